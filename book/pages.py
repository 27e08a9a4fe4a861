"""What the cells of a page run and read, and which pages must therefore be executed.

Jupyter Book's own cache notices a cell that has changed, but not a function that it calls.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
import sys
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from importlib.metadata import version
from pathlib import Path

from jupyter_cache import get_cache

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # the code that lies beside this file, installed or not

from dlnorm._meaning import Code  # noqa: E402

#: Where a cell's code may come from: of these a comment makes no difference,
CODE = ("dlnorm", "nbwarden")
#: and of these only the version.
PACKAGES = ("numpy", "matplotlib", "scikit-learn", "nbgrader")

_CELL = re.compile(r"^(`{3,})\{code-cell\}[^\n]*\n(.*?)^\1[ \t]*$", re.MULTILINE | re.DOTALL)
_CELL_OPTIONS = re.compile(r"\A(---\n.*?^---\n|(:[^\n]*\n)+)", re.MULTILINE | re.DOTALL)


def forget_changed(made: Path) -> None:
    """Forget what was made of pages whose cells run or read something else now."""
    stamp = made / ".pages"
    former = json.loads(stamp.read_text("utf-8")) if stamp.is_file() else {}
    now = {path.stem: digest_of_cells(path) for path in (ROOT / "book").glob("*.md")}
    changed = {page for page in now if former.get(page) != now[page]}
    cache = get_cache(made / ".jupyter_cache")
    for record in cache.list_cache_records():
        if Path(record.uri).stem in changed:
            cache.remove_cache(record.pk)
    for page in changed:  # Sphinx reads a page again if this is missing
        (made / ".doctrees" / f"{page}.doctree").unlink(missing_ok=True)
    stamp.write_text(json.dumps(now), encoding="utf-8")


def waiting(made: Path) -> list[Path]:
    """Return the pages with cells whose results are not in the cache."""
    cache = get_cache(made / ".jupyter_cache")
    pages = [str(path) for path in sorted((ROOT / "book").glob("*.md")) if cells_of(path)]
    for page in pages:  # to be read as MyST-NB reads it, so that it finds what is stored
        cache.add_nb_to_project(page, read_data={"name": "myst_nb_md", "type": "plugin"})
    return [Path(record.uri) for record in cache.list_unexecuted(pages)]


def cells_of(path: Path) -> str:
    """Return the code of a page's cells."""
    cells = (match[2] for match in _CELL.finditer(path.read_text("utf-8")))
    return "\n\n".join(_CELL_OPTIONS.sub("", cell, count=1) for cell in cells)


def digest_of_cells(path: Path) -> str:
    """Identify what a page's cells run: themselves, the code and the files that they name."""
    source = cells_of(path)
    try:
        code = Code(ROOT, CODE).digest(source=source)
        files = set(files_named_in(source)) - {path}
    except SyntaxError:  # a magic, say: it may run whatever lies here
        code, files = "", {file for name in CODE for file in (ROOT / name).rglob("*.py")}
    files.add(ROOT / "_config.yml")  # the address in messages comes from there
    return hashlib.sha256(f"{source}\0{code}\0{digest(files, PACKAGES)}".encode()).hexdigest()


def files_named_in(source: str) -> Iterator[Path]:
    """Yield the files of the book that a string names: `bench.json`, `*.md`, or `f"{page}.md"`."""
    nodes = (node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant))
    names = {name.rpartition("/")[2] for name in nodes if isinstance(name, str)}
    names |= {f"*{name}" for name in names if name.startswith(".")}
    book = ROOT / "book"
    for path in (*book.glob("*.*"), *(book / "data").glob("*.*"), ROOT / "nbgrader_config.py"):
        if any(fnmatch(path.name, name) for name in names if name.strip("*.")):
            yield path


def digest(files: Iterable[Path], packages: Iterable[str]) -> str:
    """Hash the names and contents of files and the versions of packages."""
    total = hashlib.sha256()
    for path in sorted(files):
        if path.is_file() and "__pycache__" not in path.parts:
            total.update(f"{path.relative_to(ROOT)}\0".encode())
            total.update(hashlib.sha256(path.read_bytes()).digest())
    for package in packages:
        total.update(f"{package} {version(package)}\0".encode())
    return total.hexdigest()
