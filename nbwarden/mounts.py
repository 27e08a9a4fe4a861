"""What there is in a sandbox: the arguments of bubblewrap, and what lies where.

The system and the Python environment, read-only; a copy of the submission's files, in memory; and
nothing else. A handle is the number of an open file that bubblewrap reads a file's content from.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

_MB = 2**20
#: What is writable: each is a file system of its own, in memory.
FOLDERS = ("/tmp", "/submission", "/dev/shm")
#: Files and folders of /etc that programs look for, and that tell nothing.
_ETC = ("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime", "fonts", "alternatives")


def system(handle: Callable[[bytes], str], uid: int, readable: Iterable[str]) -> list[str]:
    """The system, Python and the folders in `readable`, read-only; the user has that number."""
    arguments = ["--proc", "/proc", "--dev", "/dev", "--perms", "0755", "--dir", "/etc"]
    for name in ("bin", "sbin", "lib", "lib32", "lib64"):
        path = Path("/", name)
        if path.is_symlink():
            arguments += ["--symlink", os.readlink(path), str(path)]
        elif path.is_dir():
            arguments += ["--ro-bind", str(path), str(path)]
    for path in (Path("/etc", name) for name in _ETC):
        if path.exists():
            arguments += ["--ro-bind", str(path.resolve()), str(path)]
    people = f"student:x:{uid}:0::/tmp:/bin/false\n".encode()
    arguments += ["--perms", "0444", "--file", handle(people), "/etc/passwd"]
    whole = dict.fromkeys([sys.base_prefix, sys.prefix, *site_packages(), *readable])
    for folder in ("/usr", *whole):
        path = Path(folder)
        if path.is_dir() and (folder == "/usr" or not path.is_relative_to("/usr")):
            arguments += [*_parents(path), "--ro-bind", folder, folder]
    return arguments + _links_to_python(("/usr", "/bin", *whole))


def _parents(path: Path) -> list[str]:
    """The folders that lead to a path, which hold nothing but the way."""
    parents = [parent for parent in path.parents[:-1] if not parent.is_relative_to("/usr")]
    return [
        part for parent in reversed(parents) for part in ("--perms", "0755", "--dir", str(parent))
    ]


def _links_to_python(whole: Iterable[str]) -> list[str]:
    """Links by which this Python is called: a virtual environment's, by way of ~/.local/bin, say.

    Those in the folders that are there as a whole need none.
    """
    arguments: list[str] = []
    path = Path(sys.executable)
    while path.is_symlink():
        target = Path(os.path.normpath(path.parent / os.readlink(path)))
        if not any(path.is_relative_to(folder) for folder in whole):
            arguments += [*_parents(path), "--symlink", str(target), str(path)]
        path = target
    return arguments


def hiding(packages: Iterable[str]) -> list[str]:
    """Covers over packages in the Python environment, and over this one."""
    found: list[Path] = []
    for name in {"nbwarden", *(package.replace("-", "_") for package in packages)}:
        for folder in map(Path, site_packages()):
            for pattern in ("{}", "{}.py", "{}.*.so", "{}-*", "__editable__*{}*"):
                found += folder.glob(pattern.format(name))
    arguments: list[str] = []
    for path in sorted(set(found)):
        cover = ["--tmpfs"] if path.is_dir() else ["--ro-bind", "/dev/null"]
        arguments += [*cover, str(path)]
    return arguments


def memory_folder(path: str, megabytes: int) -> list[str]:
    """A writable folder in memory, of limited size."""
    return ["--perms", "0777", "--size", str(megabytes * _MB), "--tmpfs", path]


def copies(handle: Callable[[Path], str], files: Iterable[tuple[str, Path]]) -> list[str]:
    """Copies of files, which may be changed: path inside, and path here."""
    arguments: list[str] = []
    for name, source in files:
        for parent in reversed(Path(name).parents[:-2]):
            arguments += ["--perms", "0777", "--dir", str(parent)]
        arguments += ["--perms", "0666", "--file", handle(source), name]
    return arguments


def submission(folder: str) -> list[tuple[str, Path]]:
    """The files of a submission's folder: path inside, and path here. No notebooks."""
    if not folder:
        return []
    root = Path(folder)
    return [
        (f"/submission/{path.relative_to(root).as_posix()}", path)
        for path in sorted(root.rglob("*"))
        if path.is_file() and not path.is_symlink() and path.suffix != ".ipynb"
    ]


def font_lists() -> list[tuple[str, Path]]:
    """Matplotlib's list of fonts, if it has made one: making it takes two seconds each time."""
    cache = os.environ.get("MPLCONFIGDIR") or Path(
        os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "matplotlib"
    )
    return [
        (f"/tmp/.cache/matplotlib/{path.name}", path)
        for path in sorted(Path(cache).glob("fontlist-*.json"))
        if path.is_file() and not path.is_symlink()
    ]


def site_packages() -> list[str]:
    """The folders of installed packages that this Python uses."""
    ends = ("site-packages", "dist-packages")
    return [path for path in sys.path if path.endswith(ends) and Path(path).is_dir()]


def environment() -> dict[str, str]:
    """The environment variables: none of the grader's."""
    return {
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "HOME": "/tmp",
        "USER": "student",
        "LANG": "C.UTF-8",
        "TMPDIR": "/tmp",
        "IPYTHONDIR": "/tmp/.ipython",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "PYTHONDONTWRITEBYTECODE": "1",
        "NBGRADER_EXECUTION": "autograde",
        # threads and their arenas take addresses, and a grader uses its cores for submissions
        "MALLOC_ARENA_MAX": "2",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
    }
