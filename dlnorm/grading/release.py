"""From `solutions/NAME/NAME.md` to what nbgrader reads, and on to `assignments/NAME/`.

The text is the only place where an exercise is written. `refresh_sources` puts beside it what
nbgrader works on: the notebook, the travelling checker and its stored cases.
`nbgrader_config.py` calls it, so every nbgrader command finds them fresh.
"""

from __future__ import annotations

import ast
import hashlib
import io
import json
import os
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import numpy as np
from nbformat import NotebookNode

from dlnorm._meaning import Code
from dlnorm.grading import PROBLEM_SETS, sections
from dlnorm.grading.exercise import Spec
from dlnorm.grading.student import checker

CHECKER = Path(__file__).with_name("student") / "checker.py"
#: The seed of the stored cases. Hidden tests draw their own.
STORED_SEED = 2014_2015
#: Beside a text: what the files there were made from.
MADE_FROM = ".made-from"
PACKAGE = Path(__file__).parents[1]
#: A link to a chapter as the texts have it, with a comma or full stop after it.
_CHAPTER = re.compile(r"\[([^][]+)\]\(\.\./\.\./book/([\w-]+)\.md(#[\w-]+)?\)([.,]?)")


class ReleaseError(Exception):
    """An assignment cannot be released; the text says which, why and what to do."""


def assignment_names(course: Path) -> list[str]:
    """The assignments of the course: folders of `solutions/` that hold a text of their name."""
    return sorted(path.stem for path in (course / "solutions").glob("*/*.md") if _is_source(path))


def refresh_sources(course: Path, *, force: bool = False) -> list[str]:
    """Write notebook, checker and cases beside each text if they were made from something else.

    That is the text itself, or code that computes the cases; a comment changes nothing.

    Parameters
    ----------
    course : Path
        The course's folder, with `solutions/` in it.
    force : bool
        Write them in any case.

    Returns
    -------
    list of str
        The names of the assignments that were written.

    Raises
    ------
    ReleaseError
        If a text names a check that does not exist, or a cell is not fit for nbgrader.
    """
    inputs = [*PACKAGE.rglob("*.py"), sections.CONFIG]
    code = max(path.stat().st_mtime for path in inputs if path.is_file())
    written = []
    for name in assignment_names(course):
        folder = course / "solutions" / name
        text = folder / f"{name}.md"
        files = PROBLEM_SETS[name].files if name in PROBLEM_SETS else {}
        targets = [folder / file for file in (f"{name}.ipynb", "checker.py", "checks.npz", *files)]
        stamp = folder / MADE_FROM
        complete = not force and all(path.exists() for path in (*targets, stamp))
        if complete and stamp.stat().st_mtime >= max(code, text.stat().st_mtime):
            continue  # nothing was written since: no need to look closer
        made_from = _made_from(name, text)
        if complete and stamp.read_text(encoding="utf-8") == made_from:
            stamp.touch()
            continue
        notebook = source_notebook(text)
        try:
            specs = [_spec(check) for check in checks_in(notebook)]
        except ReleaseError as error:
            raise ReleaseError(f"{text}: {error}") from error
        for path, content in zip(
            targets,
            (
                nbformat.writes(notebook).encode() + b"\n",
                CHECKER.read_bytes(),
                pack(specs),
                *(_archive(arrays()) for arrays in files.values()),
            ),
            strict=True,
        ):
            _write_whole(path, content)
        _write_whole(stamp, made_from.encode())
        written.append(name)
    return written


def _made_from(name: str, text: Path) -> str:
    """Identify what the files beside a text are made from: the text, the checker, and the code."""
    code = Code(PACKAGE.parent)
    starts = [f"dlnorm.grading.release:{part}" for part in ("source_notebook", "checks_in", "pack")]
    starts += ["dlnorm.grading.exercise:ProblemSet"]
    if name in PROBLEM_SETS:
        starts += [f"dlnorm.grading.exercises.{name.replace('-', '_')}"]
    total = hashlib.sha256(code.digest(*starts).encode())
    for path in (text, PACKAGE / CHECKER.relative_to(CHECKER.parents[2])):
        total.update(hashlib.sha256(path.read_bytes()).digest())
    total.update(sections.published().encode())
    for package in ("numpy", "scikit-learn", "jupytext"):
        total.update(version(package).encode())
    return total.hexdigest()


def source_notebook(text: Path) -> NotebookNode:
    """Read a MyST text as a notebook whose cell ids are the same at every release.

    Its links to chapters lead to the published book; while there is none, they are titles.
    """
    notebook: NotebookNode = jupytext.read(text)
    kernelspec = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook.metadata = NotebookNode(kernelspec=kernelspec)
    seen: set[str] = set()
    for number, cell in enumerate(notebook.cells):
        grade_id = cell.metadata.get("nbgrader", {}).get("grade_id")
        cell.id = grade_id or f"cell-{number:03d}"
        if cell.id in seen or not re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", cell.id):
            raise ReleaseError(
                f"{text}: every grade_id must be there once and be 1 to 64 letters, digits, - or _;"
                f" got {cell.id!r}"
            )
        seen.add(cell.id)
        if cell.cell_type == "markdown":
            cell.source = with_chapters(cell.source)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    nbformat.validate(notebook)
    return notebook


def with_chapters(text: str) -> str:
    """Turn a text's links to chapters into what is right in a notebook away from the book."""
    book = sections.published()

    def chapter(link: re.Match[str]) -> str:
        title, page, anchor, mark = link.groups(default="")
        return f"[{title}]({book}{page}.html{anchor}){mark}" if book else f"“{title}{mark}”"

    return _CHAPTER.sub(chapter, text)


def checks_in(notebook: NotebookNode) -> list[str]:
    """The names in the notebook's ``check("name", ...)`` calls, in order."""
    names: dict[str, None] = {}
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        try:
            tree = ast.parse(cell.source)
        except SyntaxError as error:
            raise ReleaseError(f"cell {cell.id} is no Python: {error}") from error
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id == "check"
                and isinstance(node.args[0], ast.Constant)
            ):
                names[str(node.args[0].value)] = None
    return list(names)


def pack(specs: list[Spec]) -> bytes:
    """Checks as one `.npz`; `checker.load` says how it is made up."""
    entries: dict[str, np.ndarray] = {}
    for spec in specs:
        text, data = _in_a_row(spec)
        entries[spec["name"]] = np.frombuffer(json.dumps(text).encode(), np.uint8)
        entries[spec["name"] + checker.ARRAYS] = np.frombuffer(data, np.uint8)
    return _archive(entries)


def _in_a_row(spec: Spec) -> tuple[Any, bytes]:
    """A check as plain values, and the bytes of its arrays, each of them once."""
    data = bytearray()
    known: dict[tuple[Any, ...], int] = {}

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(entry) for key, entry in value.items()}
        if isinstance(value, list | tuple):
            return [plain(entry) for entry in value]
        if isinstance(value, np.ndarray):
            if value.dtype.kind not in "fiub":
                raise TypeError(f"only arrays of numbers can be stored, got dtype {value.dtype}")
            key = (value.dtype.str, value.tobytes())
            if key not in known:
                known[key] = len(data)
                data.extend(value.tobytes())
                data.extend(bytes(-len(data) % 16))  # the next one is aligned
            return {"dtype": value.dtype.str, "shape": value.shape, "start": known[key]}
        return value.item() if isinstance(value, np.generic) else value

    return plain(spec), bytes(data)


def _archive(arrays: dict[str, np.ndarray]) -> bytes:
    """Arrays as one `.npz`; the same arrays give the same bytes."""
    stream = io.BytesIO()
    np.savez_compressed(stream, allow_pickle=False, **arrays)
    return stream.getvalue()


def install(built: Path, target: Path) -> None:
    """Put the freshly generated folder `built` in the place of `target`, whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}-"))
    try:
        new, old = staging / "new", staging / "old"
        shutil.copytree(built, new)
        if target.exists():
            target.rename(old)
        new.rename(target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def leaks(source: NotebookNode, released: Path) -> list[str]:
    """What of the solutions, hidden tests and mark schemes is left in a released folder.

    Parameters
    ----------
    source : NotebookNode
        The notebook with solutions.
    released : Path
        The folder a student downloads.

    Returns
    -------
    list of str
        One line a leak; empty if there is none.
    """
    found = []
    for path in sorted(released.rglob("*")):
        if path.is_dir() or path.suffix == ".npz":
            continue
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".ipynb":
            cells = nbformat.reads(text, as_version=4).cells
            text = "\n".join(cell.source for cell in cells)
            found += [f"{path.name}: output in a cell" for cell in cells if cell.get("outputs")]
        lines = {line.strip() for line in text.splitlines()}
        found += [f"{path.name}: {line}" for line in _secret_lines(source) if line in lines]
        if re.search(r"^\s*(from|import)\s+dlnorm\b", text, re.MULTILINE):
            found.append(f"{path.name}: imports dlnorm")
    return found


def _secret_lines(source: NotebookNode) -> Iterator[str]:
    """Lines of solutions, hidden tests and mark schemes that occur nowhere outside them."""
    inside: list[str] = []
    outside: set[str] = set()
    for cell in source.cells:
        meta = cell.metadata.get("nbgrader", {})
        whole = cell.cell_type == "markdown" and meta.get("solution")
        secret = bool(whole)
        for line in cell.source.splitlines():
            line = line.strip()
            if re.search(r"BEGIN (SOLUTION|HIDDEN TESTS|MARK SCHEME)", line):
                secret = True
            elif re.search(r"END (SOLUTION|HIDDEN TESTS|MARK SCHEME)", line):
                secret = bool(whole)
            elif secret:
                inside.append(line)
            else:
                outside.add(line)
    yield from (line for line in dict.fromkeys(inside) if len(line) > 3 and line not in outside)


def _is_source(path: Path) -> bool:
    return path.stem == path.parent.name


def _spec(check: str) -> Spec:
    for problem_set in PROBLEM_SETS.values():
        if any(c.name == check for c in problem_set.checks):
            return problem_set.spec(check, STORED_SEED)
    raise ReleaseError(f"check({check!r}, ...) names a check that no problem set has")


def _write_whole(path: Path, content: bytes) -> None:
    """Write a file in one step, so that nobody ever reads half of it."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
    os.chmod(temporary, 0o644)
    os.replace(temporary, path)


def same_release(a: Path, b: Path) -> list[str]:
    """How two released folders differ: texts byte for byte, stored numbers to rounding.

    Returns
    -------
    list of str
        One line a difference; empty if there is none.
    """
    names = {
        p.relative_to(root).as_posix() for root in (a, b) for p in root.rglob("*") if p.is_file()
    }
    found = []
    for name in sorted(names):
        left, right = a / name, b / name
        if not (left.exists() and right.exists()):
            found.append(f"{name}: only in {(left if left.exists() else right).parent}")
        elif name.endswith(".npz"):
            if not _same_arrays(left, right):
                found.append(f"{name}: other stored cases")
        elif left.read_bytes() != right.read_bytes():
            found.append(f"{name}: other text")
    return found


def _same_arrays(left: Path, right: Path) -> bool:
    """Whether two archives hold the same checks or data, numbers compared to rounding."""

    def content(path: Path) -> dict[str, Any]:
        with np.load(path, allow_pickle=False) as stored:
            if not any(name.endswith(checker.ARRAYS) for name in stored.files):
                return {name: stored[name] for name in stored.files}
        return dict(checker.load(path))

    def same_variants(a: dict[str, Any], b: dict[str, Any]) -> bool:
        # what is rounding noise on one machine, None, may be numbers on the other, right or wrong
        noise = {name for stored in (a, b) for name, outcome in stored.items() if outcome is None}
        known = (a.keys() | b.keys()) - noise
        return known <= a.keys() & b.keys() and all(same(a[n], b[n], 1e3) for n in known)

    def same(a: Any, b: Any, rounding: float = 1.0) -> bool:
        if isinstance(a, dict) and isinstance(b, dict):
            return a.keys() == b.keys() and all(
                same_variants(a[key], b[key])
                if key == "variants"
                else same(a[key], b[key], rounding)
                for key in a
            )
        if isinstance(a, list) and isinstance(b, list):
            return len(a) == len(b) and all(same(x, y, rounding) for x, y in zip(a, b, strict=True))
        if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
            scale = 1e-6 if a.dtype == np.float32 else 1e-10 * rounding
            if a.shape != b.shape or a.dtype != b.dtype:
                return False
            if a.dtype.kind == "U":
                return bool((a == b).all())
            return bool(np.allclose(a, b, rtol=scale, atol=scale, equal_nan=True))
        return bool(a == b)

    try:
        return same(content(left), content(right))
    except (zipfile.BadZipFile, EOFError, KeyError, ValueError):
        return False
