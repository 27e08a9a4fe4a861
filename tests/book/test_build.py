"""What the build says when something is wrong, and when it does its work again."""

from __future__ import annotations

from pathlib import Path

import pytest
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn

from book import build, pages

NOTICE = "[IPKernelApp] WARNING | Kernel is running over TCP without encryption."
FAILED = """reading sources... [ 50%] page
Exception occurred:
nbclient.exceptions.CellExecutionError: An error occurred while executing the following cell:
------------------
verify("one", 1, 2)
------------------
AssertionError: one: the sides differ by 1
The above exception was the direct cause of the following exception:
Traceback that concerns Sphinx alone""".splitlines()


def test_a_good_build_has_no_problem():
    assert (
        build.problems_in(["reading sources... [100%] page", NOTICE, "build succeeded."], 0) == []
    )


@pytest.mark.parametrize(
    "line",
    [
        "book/page.md:9: WARNING: equation not found: one",
        "docstring of dlnorm.verify:3: ERROR: Unexpected indentation.",
        "WARNING: while setting up extension course_api",
    ],
)
def test_a_warning_is_a_problem_even_if_the_status_is_0(line: str):
    assert build.problems_in([line, NOTICE, "build finished with problems."], 0) == [line]


def test_a_failed_cell_is_shown_with_its_error_and_without_the_rest():
    text = "\n".join(build.problems_in(FAILED, 1))
    assert 'verify("one", 1, 2)' in text
    assert "AssertionError: one: the sides differ by 1" in text
    assert "Sphinx alone" not in text


def test_a_failure_without_a_warning_shows_the_end_of_the_output():
    assert build.problems_in(["some", "thing"], 2) == ["some", "thing"]


def test_paths_are_given_from_the_repository_on():
    line = f"{build.ROOT}/book/page.md:9: WARNING: x"
    assert build.problems_in([line], 1) == ["book/page.md:9: WARNING: x"]


def test_what_was_made_goes_when_it_was_made_from_something_else(tmp_path: Path):
    def made() -> bool:
        return (tmp_path / ".doctrees").is_dir()

    build.forget_if_changed(tmp_path, ".site", "old", [".doctrees"])
    (tmp_path / ".doctrees").mkdir()
    build.forget_if_changed(tmp_path, ".site", "old", [".doctrees"])
    assert made()
    build.forget_if_changed(tmp_path, ".site", "new", [".doctrees"])
    assert not made()


def test_a_digest_depends_on_names_and_contents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pages, "ROOT", tmp_path)
    one, two = tmp_path / "one.py", tmp_path / "two.py"
    one.write_text("a")
    two.write_text("a")
    digests = {pages.digest([one], ()), pages.digest([two], ()), pages.digest([one, two], ())}
    one.write_text("b")
    digests |= {pages.digest([one], ()), pages.digest([one], ("numpy",))}
    assert len(digests) == 5
    assert pages.digest([one, two], ()) == pages.digest([two, one], ())


HEAD = """---
jupytext:
  text_representation: {extension: .md, format_name: myst}
kernelspec: {name: python3, display_name: Python 3}
---
# A page called NAME

```{code-cell} ipython3
:tags: [hide-input]

CELL
```
"""
CELLS = {
    "index": "from dlnorm.norm import forward\nprint(f'index: {forward(1)}')",
    "other": "from dlnorm.norm import backward\nprint(f'other: {backward(1)}')",
    "shown": "from dlnorm.norm import forward\nprint(forward.__doc__)",
    "table": "from pathlib import Path\nprint(Path('data/table.csv').read_text())",
    "titles": "from pathlib import Path\nfor path in sorted(Path().glob('*.md')): print(path)",
}
FILES = {
    "dlnorm/__init__.py": "",
    "dlnorm/norm.py": '''
EPS = 0.5


def forward(x):
    """Add a little."""
    return x + EPS  # not much


def backward(x):
    return 2 * x
''',
    "nbwarden/__init__.py": "# nobody's\n",
    "nbgrader_config.py": "",
    "book/data/table.csv": "1,2\n",
    "book/plain.md": "# A page without code\n",
    "book/_toc.yml": "format: jb-book\nroot: index\nchapters:\n- file: other\n",
    "_config.yml": """
title: A small book
only_build_toc_files: true
execute: {execute_notebooks: cache, timeout: 60}
sphinx: {recursive_update: true, config: {nb_execution_raise_on_error: true}}
""",
}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small book with a small package."""
    texts = {f"book/{name}.md": page(name, cell) for name, cell in CELLS.items()}
    for name, text in (FILES | texts).items():
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.setattr(build, "ROOT", tmp_path)
    monkeypatch.setattr(pages, "ROOT", tmp_path)
    return tmp_path


def page(name: str, cell: str) -> str:
    return HEAD.replace("NAME", name).replace("CELL", cell)


def store_results(made: Path) -> None:
    """Store a result for each page that waits for one."""
    cache = get_cache(made / ".jupyter_cache")
    for path in pages.waiting(made):
        notebook = cache.get_project_notebook(str(path)).nb
        cache.cache_notebook_bundle(CacheBundleIn(notebook, str(path)), check_validity=False)
        doctree = made / ".doctrees" / f"{path.stem}.doctree"
        doctree.parent.mkdir(exist_ok=True)
        doctree.touch()


@pytest.mark.parametrize(
    ("file", "old", "new", "executed"),
    [
        ("nbwarden/__init__.py", "nobody", "somebody", set()),
        ("dlnorm/norm.py", "not much", "very little", set()),
        ("dlnorm/norm.py", "0.5", "0.25", {"index", "shown"}),
        ("dlnorm/norm.py", "2 * x", "3 * x", {"other"}),
        ("dlnorm/norm.py", "Add a little", "Add something", {"shown"}),
        ("book/data/table.csv", "1,2", "3,4", {"table"}),
        ("_config.yml", "A small book", "A book", set(CELLS)),
        ("book/index.md", "forward(1)", "forward(2)", {"index", "titles"}),
        ("book/index.md", "# A page", "# The page", {"titles"}),
        ("book/plain.md", "# A page", "# The page", {"titles"}),
        ("book/titles.md", "# A page", "# The page", set()),
    ],
)
def test_a_page_is_executed_again_if_what_it_runs_or_reads_has_changed(
    root: Path, file: str, old: str, new: str, executed: set[str]
):
    made = root / "_build"
    pages.forget_changed(made)
    assert {path.stem for path in pages.waiting(made)} == set(CELLS)
    store_results(made)
    pages.forget_changed(made)
    assert pages.waiting(made) == []
    text = (root / file).read_text("utf-8")
    assert old in text
    (root / file).write_text(text.replace(old, new), encoding="utf-8")
    pages.forget_changed(made)
    assert {path.stem for path in pages.waiting(made)} == executed
    kept = {path.stem for path in (made / ".doctrees").iterdir()}
    assert kept == set(CELLS) - executed


def test_a_page_that_is_no_plain_python_depends_on_all_code(root: Path):
    path = root / "book" / "magic.md"
    path.write_text(page("magic", "%time"), encoding="utf-8")
    before = pages.digest_of_cells(path)
    (root / "nbwarden" / "__init__.py").write_text("")
    assert pages.digest_of_cells(path) != before


def test_a_failing_cell_fails_the_build_and_the_others_keep_their_results(
    root: Path, capfd: pytest.CaptureFixture[str]
):
    other = root / "book" / "other.md"
    other.write_text(page("other", "import dlnorm\n1 / (dlnorm.__name__ == 'x')"), "utf-8")
    for name in ("shown", "table", "titles"):
        (root / "book" / f"{name}.md").unlink()
    assert build.build(root) == 1
    said = capfd.readouterr()
    assert "executed index in" in said.out
    assert "executed other in" not in said.out
    assert "1 / (dlnorm.__name__ == 'x')" in said.err
    assert "ZeroDivisionError: division by zero" in said.err
    log = (root / "_build" / "build.log").read_text("utf-8")
    assert "index.md: Using cached notebook" in log  # Sphinx found it
    assert "Executed notebook" not in log
    assert pages.waiting(root / "_build") == [other]
