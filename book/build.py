"""Build the book: `python book/build.py [--fresh] [--out FOLDER]`.

The site goes to `_build/html`, and any warning fails the build. What has not changed is not done
again: a page is executed anew if its cells have changed, or the code or a file of ours that they
use, but not for a comment in that code (`pages.py`). All cores execute pages (`execute.py`).
"""

from __future__ import annotations

import argparse
import fcntl
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # the code that lies beside this file, installed or not

from book import pages  # noqa: E402
from book.pages import digest  # noqa: E402

#: Made by a build, below `_build/`; another build may find all of it gone.
MADE = ("html", ".doctrees", ".jupyter_cache", "jupyter_execute")

#: Its command line, which has no option for the number of processes that read and write pages.
_JUPYTER_BOOK = """
from functools import partial
from jupyter_book.cli import main
from jupyter_book.sphinx import build_sphinx
import jupyter_book.sphinx
jupyter_book.sphinx.build_sphinx = partial(build_sphinx, jobs={jobs})
main.main()
"""

_COLOR = re.compile(r"\x1b\[[0-9;]*m")
_PROBLEM = re.compile(r"\b(WARNING|ERROR|SEVERE|CRITICAL): |^Exception occurred|^\w+Error: ")
_NO_PROBLEM = re.compile(r"^\[IPKernelApp\]")  # ipykernel's notice on how it talks to its parent
_PROGRESS = re.compile(r"^(reading sources|writing output)\.\.\. \[ *(\d+)%\] *(\S*)")
_EXECUTED = re.compile(r"/([\w-]+)\.md: Executed notebook in ([\d.]+) seconds")


def main() -> int:
    """Parse the command line, build, and return the exit status."""
    parser = argparse.ArgumentParser(description="Build the book into _build/html.")
    parser.add_argument("--fresh", action="store_true", help="forget every earlier build")
    parser.add_argument(
        "--out", type=Path, default=ROOT, metavar="FOLDER", help="where to make _build/ instead"
    )
    arguments = parser.parse_args()
    return build(arguments.out.resolve(), fresh=arguments.fresh)


def build(out: Path = ROOT, *, fresh: bool = False, if_needed: bool = False) -> int:
    """Build the site into `out/_build/html`; return 0 if there was no warning, else 1.

    With `if_needed`, a site that was made from what is there now is left alone.
    """
    made = out / "_build"
    made.mkdir(parents=True, exist_ok=True)
    with locked(made / ".lock"):
        if if_needed and is_fresh(out):
            return 0
        if fresh:
            forget(made, MADE)
        (made / ".inputs").unlink(missing_ok=True)
        inputs = digest_of_inputs()
        pages.forget_changed(made)
        forget_if_changed(made, ".site", digest_of_extensions(), (".doctrees",))

        started = time.monotonic()
        if not execute(pages.waiting(made), made):
            return 1
        problems = run_jupyter_book(out, made / "build.log")
        if problems:
            # a page that is found unchanged next time would keep its warning to itself
            forget(made, (".doctrees",))
            print("\n".join(["", *problems, ""]), file=sys.stderr)
            print(
                f"The book was not built: see above, or all of {made / 'build.log'}",
                file=sys.stderr,
            )
            return 1
        (made / ".inputs").write_text(inputs)
    print(
        f"Built without a warning in {time.monotonic() - started:.0f} s: "
        f"{made / 'html' / 'index.html'}"
    )
    return 0


def is_fresh(out: Path = ROOT) -> bool:
    """Whether `out/_build/html` was built, without a warning, from what is there now."""
    stamp = out / "_build" / ".inputs"
    return stamp.is_file() and stamp.read_text() == digest_of_inputs()


def run_experiments() -> None:
    """Fill the cache of the experiments that pages show: on all cores, which Sphinx would not."""
    command = [sys.executable, "-m", "dlnorm.experiments", "--jobs", "0"]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    print(f"experiments: {done.stdout.strip().splitlines()[-1]}", flush=True)


def execute(paths: list[Path], made: Path) -> bool:
    """Execute pages, and before them the experiments they show; return whether this could be done.

    A page that fails is no obstacle: Sphinx comes across it and says what is wrong with it.
    """
    if not paths:
        return True
    if any("experiments" in pages.cells_of(path) for path in paths):
        run_experiments()
    timeout = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))["execute"]["timeout"]
    command = [sys.executable, str(Path(__file__).with_name("execute.py"))]
    command += [str(made / ".jupyter_cache"), str(timeout), *map(str, paths)]
    log = made / "execute.log"
    with log.open("w", encoding="utf-8") as file:
        done = subprocess.run(command, cwd=ROOT, env=environment(), stderr=file, check=False)
    if done.returncode:
        print(f"The pages were not executed:\n{log.read_text('utf-8')}", file=sys.stderr)
    return not done.returncode


def run_jupyter_book(out: Path, log: Path) -> list[str]:
    """Run Jupyter Book, show where it is, and return what it complained of."""
    command = [
        sys.executable,
        "-c",
        _JUPYTER_BOOK.format(jobs=os.cpu_count()),
        "build",
        "book",
        "--config",
        "_config.yml",
        "--path-output",
        str(out),
        "-W",
        "-n",
        "--keep-going",
    ]
    lines: list[str] = []
    with (
        log.open("w", encoding="utf-8") as file,
        subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment(),
            text=True,
            encoding="utf-8",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        for raw in process.stdout or ():
            line = _COLOR.sub("", raw.rstrip())
            lines.append(line)
            file.write(line + "\n")
            show(line)
    show("")
    return problems_in(lines, process.returncode)


def environment() -> dict[str, str]:
    """Return the environment in which pages find the code that lies here."""
    search = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    # pages are executed side by side, and matrices as small as theirs gain nothing from threads
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    return {**threads, **os.environ, "PYTHONPATH": os.pathsep.join(filter(None, search))}


def problems_in(lines: list[str], status: int) -> list[str]:
    """Return what an author needs to see of the output of a build that did not go well."""
    problems = [line for line in lines if _PROBLEM.search(line) and not _NO_PROBLEM.match(line)]
    if "Exception occurred:" in lines:
        problems = [*dict.fromkeys(problems), "", *failed_cell(lines)]
    elif status and not problems:
        problems = lines[-30:]
    return [line.replace(f"{ROOT}/", "") for line in problems]


def failed_cell(lines: list[str]) -> list[str]:
    """Return the source of the cell that failed, and its traceback, out of everything printed."""
    start = next((i for i, line in enumerate(lines) if "the following cell" in line), -30)
    rest = lines[start:]
    end = next((i for i, line in enumerate(rest) if "direct cause of" in line), len(rest))
    return rest[:end]


def show(line: str) -> None:
    """Turn a line of Sphinx's into progress: one line on a terminal, a line a page elsewhere."""
    progress, executed = _PROGRESS.match(line), _EXECUTED.search(line)
    if sys.stdout.isatty():
        text = f"{progress[1]} {progress[2]:>3} %  {progress[3]}" if progress else ""
        if progress or not line:
            print(f"\r\x1b[K{text}", end="", flush=True)
    if executed:
        start = "\r\x1b[K" if sys.stdout.isatty() else ""
        print(f"{start}executed {executed[1]} in {float(executed[2]):.1f} s", flush=True)


def forget(made: Path, names: Iterable[str]) -> None:
    """Remove folders below `_build/`."""
    for name in names:
        shutil.rmtree(made / name, ignore_errors=True)


def forget_if_changed(made: Path, stamp: str, digest: str, names: Iterable[str]) -> bool:
    """Remove folders that were made from something else, and note what the next are made from."""
    path = made / stamp
    changed = not path.is_file() or path.read_text() != digest
    if changed:
        forget(made, names)
        path.write_text(digest)
    return changed


def digest_of_extensions() -> str:
    """Identify what turns a page into HTML, beyond what Sphinx itself keeps track of."""
    tools = ("jupyter-book", "sphinx", "myst-nb", "sphinx-book-theme")
    folders = (ROOT / "book" / name for name in ("_ext", "_assets"))
    files = [path for folder in folders for path in folder.rglob("*.*")]
    return digest([ROOT / "_config.yml", *files], tools)


def digest_of_inputs() -> str:
    """Identify everything that the site is made from."""
    folders = ("book", "assignments", *pages.CODE)
    files = [path for folder in folders for path in (ROOT / folder).rglob("*.*")]
    files.append(ROOT / "nbgrader_config.py")
    return digest(files, pages.PACKAGES) + digest_of_extensions()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Let one build at a time into a folder; the lock goes with its process."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    sys.exit(main())
