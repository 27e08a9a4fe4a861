"""What `zip_collect` did not take of what was handed in, by whose it is."""

from __future__ import annotations

from pathlib import Path

#: What systems and programs leave beside a student's files.
_LITTER = ("__MACOSX", "Thumbs.db", "desktop.ini")

#: A hand-in, as the learning platform or the instructor named it: its path below the folder that
#: was unpacked into, in at most two parts.
HandIn = tuple[str, ...]


def uncollected(root: Path, taken: set[Path]) -> dict[HandIn, list[str]]:
    """Hand-ins of which nothing was collected, or not every notebook: the files not collected.

    Parameters
    ----------
    root : Path
        The folder that was unpacked into.
    taken : set of Path
        The files below it that were collected.

    Returns
    -------
    dict
        By hand-in, the names of its files, sorted; only notebooks where something was collected.
    """
    collected: set[HandIn] = set()
    left: dict[HandIn, list[Path]] = {}
    for path in sorted(filter(Path.is_file, root.rglob("*"))):
        below = path.relative_to(root)
        if path in taken:
            collected.add(below.parts[:2])
        elif not _is_unpacked(path) and not any(map(_is_litter, below.parts)):
            left.setdefault(below.parts[:2], []).append(path)
    found = {}
    for hand_in, paths in left.items():
        kept = [p for p in paths if hand_in not in collected or p.suffix.lower() == ".ipynb"]
        if kept:
            found[hand_in] = [path.name for path in kept]
    return found


def _is_unpacked(path: Path) -> bool:
    """Whether it is an archive whose contents lie beside it."""
    stem = path.with_suffix("")
    return path.suffix != "" and (stem.is_dir() or stem.with_suffix("").is_dir())


def _is_litter(part: str) -> bool:
    """Whether a file or folder was put there by a system or a program."""
    return part.startswith(".") or part in _LITTER
