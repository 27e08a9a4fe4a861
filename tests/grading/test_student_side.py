"""The student's side: what is downloaded works where students work.

With NumPy, Matplotlib and Jupyter and nothing else, in any folder, in the notebooks of other
makers, and on Windows as far as that can be seen from here.
"""

from __future__ import annotations

import json
import linecache
import os
import re
import shutil
import subprocess
import textwrap

import nbclient
import nbformat
import numpy as np
import pytest

from dlnorm.grading import PROBLEM_SETS, release
from dlnorm.grading.student import checker
from tests.support import REPO, run, tool

ASSIGNMENTS = release.assignment_names(REPO)

#: What a student's machine lacks, although it is installed on this one.
MISSING = (
    *("dlnorm", "nbwarden", "nbgrader", "tests", "jupytext", "nbconvert", "nbformat"),
    *("scipy", "sklearn", "pandas", "torch", "sympy", "dask", "hypothesis", "pytest"),
)

#: Runs the code cells of notebooks, one notebook after another, each in a namespace of its own.
RUNNER = f"""
import json, sys, warnings

# there is no screen here
warnings.filterwarnings("ignore", "FigureCanvasAgg is non-interactive")

class Missing:
    def find_spec(self, module, *rest):
        if module.split(".")[0] in {MISSING!r}:
            raise ImportError(f"{{module}} is not there for a student")

sys.meta_path.insert(0, Missing())
sys.path.insert(0, sys.argv[1])
import checker
checker.TIME_LIMIT = None  # it is for loops that never end, and has tests of its own
for cells in json.load(open(sys.argv[2], encoding="utf-8")):
    print("=== notebook")
    space = {{"__name__": "__main__"}}
    for source in cells:
        try:
            exec(compile(source, "<cell>", "exec"), space)
        except Exception as error:
            print(f"!!! {{type(error).__name__}}: {{str(error).strip()}}".replace(chr(10), " "))
"""


def released(name: str) -> nbformat.NotebookNode:
    return nbformat.read(REPO / "assignments" / name / f"{name}.ipynb", as_version=4)


def solved(name: str) -> nbformat.NotebookNode:
    """The released notebook with the solutions written into its cells, as a student does."""
    source = release.source_notebook(REPO / "solutions" / name / f"{name}.md")
    written = {cell.id: cell.source for cell in source.cells}
    notebook = released(name)
    for cell in notebook.cells:
        meta = cell.metadata.get("nbgrader", {})
        if cell.cell_type == "code" and meta.get("solution") and not meta.get("locked"):
            cell.source = written[cell.id]
    return notebook


def code(notebook: nbformat.NotebookNode) -> list[str]:
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def unpack(name: str, folder):
    """Download an assignment into `folder`."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    return shutil.copytree(REPO / "assignments" / name, folder)


@pytest.mark.parametrize("name", ASSIGNMENTS)
def test_a_released_folder_works_alone_wherever_it_lies(name, tmp_path):
    """In a path with blanks and letters beyond ASCII, and from another working directory."""
    folder = unpack(name, tmp_path / "Übungen – 課題 (1)" / "my first network" / name)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    cells = tmp_path / "cells.json"
    cells.write_text(json.dumps([code(released(name)), code(solved(name))]), encoding="utf-8")
    done = run(tool("python"), "-W", "error", "-c", RUNNER, folder, cells, cwd=elsewhere)
    blank, full = done.stdout.split("=== notebook\n")[1:]
    checks = [check.name for check in PROBLEM_SETS[name].checks]
    for check in checks:
        assert f"✓ {check}: " in full
    assert "!!!" not in full
    assert "warning" not in full
    assert not re.search("This (picture|check|cell) needs|is missing", full), full
    failed = re.findall("^!!! (.*)", blank, re.MULTILINE)
    assert len(failed) == len(checks)
    assert all(f.startswith("CheckFailed") and "is not written yet" in f for f in failed), blank
    assert os.listdir(elsewhere) == []


def test_a_solved_notebook_runs_in_a_real_kernel_in_such_a_folder(tmp_path):
    folder = unpack("dropout", tmp_path / "Größe und Maß" / "dropout (2)")
    notebook = solved("dropout")
    path = {"metadata": {"path": str(folder)}}
    nbclient.NotebookClient(notebook, allow_errors=True, resources=path).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert [o for o in outputs if o.output_type == "error"] == []
    text = "".join(o.text for o in outputs if o.output_type == "stream")
    assert text.count("✓") == len(PROBLEM_SETS["dropout"].checks)


def test_every_file_that_travels_is_small_and_has_a_plain_name():
    for path in (REPO / "assignments").rglob("*.*"):
        assert re.fullmatch(r"[\w.-]+", path.name), path
        assert path.stat().st_size < 2_000_000, path


# ---------------------------------------------------------------- notebooks of other makers


def test_a_shell_like_that_of_colab_shows_the_message_once(tmp_path):
    """Colab and others run a shell class of their own, which has a kernel like any other."""
    unpack("batchnorm", tmp_path / "batchnorm")
    script = """
        import sys
        from IPython.core.displaypub import CapturingDisplayPublisher
        from IPython.core.interactiveshell import InteractiveShell

        class OtherShell(InteractiveShell):
            kernel = object()

        shell = OtherShell.instance(display_pub_class=CapturingDisplayPublisher, colors="NoColor")
        result = shell.run_cell(
            "from checker import check\\n"
            "def column_statistics(x):\\n"
            "    return x.mean(axis=0), x.std(axis=0)\\n"
            "check('column_statistics', column_statistics)"
        )
        assert type(result.error_in_exec).__name__ == "CheckFailed", result
        print("shown", len(shell.display_pub.outputs))
        data = shell.display_pub.outputs[0]["data"]
        print("html", "<table>" in data["text/html"], "standard deviation" in data["text/html"])
        print("text", "standard deviation" in data["text/plain"])
    """
    done = run(tool("python"), "-c", textwrap.dedent(script), cwd=tmp_path / "batchnorm")
    *error, shown, html, text = done.stdout.strip().splitlines()
    assert (shown, html, text) == ("shown 1", "html True True", "text True")
    assert error == ["✗ column_statistics: case 1 of 3 (see above)"]


def spec(program="y = f(x)"):
    return {
        "name": "f",
        "program": [program],
        "functions": ["f"],
        "compare": ["y"],
        "says": "y agrees",
        "section": {"chapter": "A chapter", "title": "A section", "url": "https://example.org"},
        "hints": {},
        "seed": None,
        "cases": [
            {
                "args": {"x": np.ones((2, 3))},
                "expected": {"values": {"y": np.ones(2)}, "changed": [], "raised": None},
                "variants": {},
            }
        ],
    }


SOURCE = '''def f(x):
    """Right, but for a shape."""
    return np.linalg.solve(x, np.ones(2))
'''


@pytest.mark.parametrize(
    ("filename", "place"),
    [
        ("<ipython-input-3-0123456789ab>", "line 3 of its cell"),  # Colab
        ("/tmp/ipykernel_4711/1234567890.py", "line 3 of its cell"),
        (r"C:\Users\Jörg Ä\AppData\Local\Temp\ipykernel_4711\1234567890.py", "line 3 of its cell"),
        ("vscode-notebook-cell:/c%3A/My%20Work/batchnorm.ipynb#W3sZmlsZQ%3D%3D", "its cell"),
        (r"d:\my numpy course\batchnorm\layers.py", "line 3 of layers.py"),
        ("/home/me/numpy/batchnorm/layers.py", "line 3 of layers.py"),
    ],
)
@pytest.mark.parametrize("known", [True, False])
def test_the_own_line_is_found_however_paths_look(filename, place, known, monkeypatch):
    """NumPy's own lines, where the error was raised, are of no use to a student."""
    lines = SOURCE.splitlines(keepends=True)
    monkeypatch.setattr(linecache, "checkcache", lambda *args: None)
    if known:
        monkeypatch.setitem(linecache.cache, filename, (len(SOURCE), None, lines, filename))
    space = {"__name__": "__main__", "np": np}
    exec(compile(SOURCE, filename, "exec"), space)
    message = checker.judge(spec(), [space["f"]])["message"]
    assert "LinAlgError: Last 2 dimensions of the array must be square" in message
    assert f"in f, line 3 of {place.split(' of ')[-1]}" in message
    assert ("return np.linalg.solve(x, np.ones(2))" in message) == known
    assert "linalg.py" not in message


def test_the_own_line_may_stand_in_a_module_beside_the_checker(tmp_path):
    """A student may keep layers in a file; it lies in the folder in which the checker lies."""
    folder = unpack("batchnorm", tmp_path / "batchnorm")
    (folder / "layers.py").write_text(
        "import numpy as np\n\n\ndef column_statistics(x):\n    return np.mean(x, axis=2), 1\n",
        encoding="utf-8",
    )
    script = """
        from checker import check
        from layers import column_statistics
        check("column_statistics", column_statistics)
    """
    done = run(tool("python"), "-c", textwrap.dedent(script), cwd=folder, ok=False)
    words = " ".join(done.stderr.split())
    assert "in column_statistics, line 5 of layers.py: return np.mean(x, axis=2)" in words


def test_where_there_are_no_threads_there_is_no_time_limit(monkeypatch):
    """As in a browser."""

    def start(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(checker.threading.Timer, "start", start)
    assert checker.judge(spec(), [lambda x: np.ones(2)])["passed"]


def test_a_console_of_windows_gets_the_message(tmp_path):
    """Its encodings lack the marks and the quotation marks."""
    folder = unpack("batchnorm", tmp_path / "batchnorm")
    for encoding in ("cp437", "cp1252", "ascii"):
        done = subprocess.run(
            [
                *(tool("python"), "-c"),
                "from checker import check\n"
                "check('column_statistics', lambda x: (x.mean(axis=0), x.var(axis=0)))\n"
                "check('column_statistics', lambda x: (x.mean(axis=0), x.std(axis=0)))",
            ],
            cwd=folder,
            capture_output=True,
            env={**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"},
            check=False,
        )
        assert done.stdout.split()[1:3] == [b"column_statistics:", b"one"], done.stderr
        assert b"It looks as if the second result is the standard deviation." in done.stderr
