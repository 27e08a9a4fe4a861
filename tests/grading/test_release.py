"""Releasing: assignments/ is fresh, reproducible, gives nothing away, and works on its own."""

from __future__ import annotations

import json
import os
import re
import shutil
import textwrap
from pathlib import Path

import nbformat
import pytest

from dlnorm.grading import PROBLEM_SETS, release
from tests.sampling import sample
from tests.support import REPO, run, tool

pytestmark = pytest.mark.slow  # most make problem sets, or run notebooks

ASSIGNMENTS = release.assignment_names(REPO)
#: One whose checks are computed in no time.
SMALL = "dropout"


@pytest.fixture(scope="module", autouse=True)
def sources():
    release.refresh_sources(REPO)


def source(name: str) -> nbformat.NotebookNode:
    return nbformat.read(REPO / "solutions" / name / f"{name}.ipynb", as_version=4)


def test_every_problem_set_is_an_assignment():
    assert sorted(PROBLEM_SETS) == ASSIGNMENTS


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """A copy of the course, as another instructor would have it.

    Without what was made from the texts, as it is made anew; in a sample of that, of one text.
    """
    root = tmp_path_factory.mktemp("course")
    shutil.copy(REPO / "nbgrader_config.py", root)
    shutil.copytree(REPO / "solutions", root / "solutions")
    for name in sample("release", ASSIGNMENTS, 1):
        (root / "solutions" / name / release.MADE_FROM).unlink()
    return root


def test_the_committed_assignments_are_what_the_texts_give(course):
    run(tool("dlnorm"), "--course", course, "release")
    for name in ASSIGNMENTS:
        assert (
            release.same_release(course / "assignments" / name, REPO / "assignments" / name) == []
        )
    again = run(tool("dlnorm"), "--course", course, "release", "together")
    assert again.stdout == "together: up to date\n"


@pytest.mark.cases(1)
@pytest.mark.parametrize("processor", ["Prescott", "Sandybridge"])
def test_another_processor_stores_the_same(processor, tmp_path):
    """OpenBLAS can be told to compute as on another one; other libraries pass over the word."""
    script = """
        import sys
        from pathlib import Path
        from dlnorm.grading import PROBLEM_SETS, release
        problem_set = PROBLEM_SETS["foundations"]
        specs = [problem_set.spec(check.name, release.STORED_SEED) for check in problem_set.checks]
        Path(sys.argv[1]).write_bytes(release.pack(specs))
    """
    path = tmp_path / "checks.npz"
    as_if = f"OPENBLAS_CORETYPE={processor}"
    run("env", as_if, tool("python"), "-c", textwrap.dedent(script), path)
    assert release._same_arrays(path, REPO / "assignments" / "foundations" / "checks.npz")


def test_plain_nbgrader_generates_the_same(course):
    for name in (ASSIGNMENTS[0], "together"):  # the latter has a data file of its own
        run(tool("nbgrader"), "generate_assignment", name, "--force", cwd=course)
        assert (
            release.same_release(course / "assignments" / name, REPO / "assignments" / name) == []
        )


@pytest.mark.parametrize("name", ASSIGNMENTS)
def test_nothing_leaks(name):
    assert release.leaks(source(name), REPO / "assignments" / name) == []


@pytest.mark.parametrize("secret", ["solution", "hidden", "mark scheme", "import"])
def test_a_leak_would_be_found(tmp_path, secret):
    name = ASSIGNMENTS[0]
    shutil.copytree(REPO / "assignments" / name, tmp_path / name)
    path = tmp_path / name / f"{name}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    whole = source(name)
    lines = {
        "solution": next(release._secret_lines(whole)),
        "hidden": "from dlnorm.grading import grade",
        "mark scheme": next(
            line
            for cell in whole.cells
            if "BEGIN MARK SCHEME" in cell.source
            for line in cell.source.split("BEGIN MARK SCHEME")[1].splitlines()[1:]
            if len(line.strip()) > 3
        ),
        "import": "import dlnorm",
    }
    notebook.cells[-1].source += "\n" + lines[secret]
    nbformat.write(notebook, path)
    assert release.leaks(whole, tmp_path / name) != []


@pytest.mark.parametrize("name", ASSIGNMENTS)
def test_cell_ids_are_stable_and_grade_ids_unique(name):
    text = REPO / "solutions" / name / f"{name}.md"
    first, second = release.source_notebook(text), release.source_notebook(text)
    assert [c.id for c in first.cells] == [c.id for c in second.cells]
    assert len({c.id for c in first.cells}) == len(first.cells)


@pytest.mark.parametrize("name", ASSIGNMENTS)
def test_every_check_is_used_shown_and_hidden(name):
    """Each check of the set stands in one graded cell: visible, and on fresh cases, hidden."""
    cells = source(name).cells
    graded = [
        c.source
        for c in cells
        if c.cell_type == "code" and c.metadata.get("nbgrader", {}).get("grade")
    ]
    for check in PROBLEM_SETS[name].checks:
        arguments = f'("{check.name}", {", ".join(check.functions)})'
        holding = [s for s in graded if f"check{arguments}" in s]
        assert len(holding) == 1, f"check{arguments} stands in {len(holding)} graded cells"
        hidden = holding[0].split("### BEGIN HIDDEN TESTS")[1].split("### END HIDDEN TESTS")[0]
        assert f"grade{arguments}" in hidden
    assert release.checks_in(source(name)) == [c.name for c in PROBLEM_SETS[name].checks]


@pytest.mark.parametrize("name", ASSIGNMENTS)
def test_there_is_a_written_derivation_with_a_mark_scheme(name):
    cells = source(name).cells
    by_hand = [
        c
        for c in cells
        if c.cell_type == "markdown" and c.metadata.get("nbgrader", {}).get("points", 0) > 0
    ]
    assert by_hand
    assert any("=== BEGIN MARK SCHEME ===" in c.source for c in cells)


def validated(folders: list[Path]) -> list[str]:
    """What `nbgrader validate` says of the notebook in each folder, in one run."""
    notebooks = [folder / f"{folder.name}.ipynb" for folder in folders]
    done = run(tool("nbgrader"), "validate", *notebooks, cwd=folders[0])
    assert "Traceback" not in done.stdout
    verdicts = re.split(r"(?=^Success!|^VALIDATION FAILED)", done.stdout, flags=re.MULTILINE)[1:]
    assert len(verdicts) == len(folders), done.stdout
    return verdicts


def test_the_solutions_pass_nbgrader_validate(tmp_path):
    names = sample("solutions", ASSIGNMENTS, 1)
    folders = [shutil.copytree(REPO / "solutions" / n, tmp_path / n) for n in names]
    for verdict in validated(folders):
        assert verdict.strip() == "Success! Your notebook passes all the tests."


def test_nbgrader_validate_reports_plainly_on_the_stubs(tmp_path):
    """For two of them; what each check says of each stub, test_student_side.py looks at."""
    names = (ASSIGNMENTS[0], "together")
    folders = [shutil.copytree(REPO / "assignments" / n, tmp_path / n) for n in names]
    for name, verdict in zip(names, validated(folders), strict=True):
        # each written derivation is empty as well
        by_hand = [c for c in source(name).cells if c.source.count("=== BEGIN MARK SCHEME ===")]
        count = len(PROBLEM_SETS[name].checks) + len(by_hand)
        assert f"VALIDATION FAILED ON {count} CELL(S)" in verdict
        assert verdict.count("is not written yet") == len(PROBLEM_SETS[name].checks)


def test_stale_sources_are_written_again_and_fresh_ones_left_alone(course):
    release.refresh_sources(course)
    assert release.refresh_sources(course) == []
    text = course / "solutions" / SMALL / f"{SMALL}.md"
    later = text.stat().st_mtime + 1e6
    os.utime(text, (later, later))
    assert release.refresh_sources(course) == []  # newer, but the same
    text.write_text(text.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    assert release.refresh_sources(course) == [SMALL]
    (text.parent / "checks.npz").unlink()
    assert release.refresh_sources(course) == [SMALL]


def made_from() -> dict[str, str]:
    """What the files of each assignment are made from."""
    texts = {name: REPO / "solutions" / name / f"{name}.md" for name in ASSIGNMENTS}
    return {name: release._made_from(name, text) for name, text in texts.items()}


@pytest.fixture(scope="module")
def made_from_what_is_there() -> dict[str, str]:
    return made_from()


@pytest.mark.cases(6)
@pytest.mark.parametrize(
    ("file", "old", "new", "stale"),
    [
        ("nn/loss.py", "return ", "return 2 * ", {"together"}),
        ("nn/data.py", "OFFSET = ", "OFFSET = 2 * ", {"together"}),
        ("experiments/invariances.py", "FACTOR = ", "FACTOR = 2 * ", {"weightnorm"}),
        ("grading/misconceptions/dropout.py", "return ", "return 1 * ", {"dropout"}),
        ("grading/misconceptions/dropout.py", "You ", "You all ", {"dropout"}),  # hints
        ("grading/student/checker.py", "\n\n\n", "\n\n# copied as it is\n\n", set(ASSIGNMENTS)),
        ("nn/loss.py", "\n\n\n", "\n\n# another comment\n\n", set()),
        ("grading/misconceptions/dropout.py", "\n\n\n", "\n\n# another comment\n\n", set()),
        ("experiments/li_2018.py", "return ", "return 2 * ", set()),
        ("grading/report.py", "return ", "return 2 * ", set()),
    ],
)
def test_stored_checks_are_stale_when_what_computes_them_has_changed(
    file, old, new, stale, tmp_path, monkeypatch, made_from_what_is_there
):
    package = tmp_path / "dlnorm"
    shutil.copytree(release.PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(release, "PACKAGE", package)
    text = (package / file).read_text(encoding="utf-8")
    assert old in text
    (package / file).write_text(text.replace(old, new), encoding="utf-8")
    before, after = made_from_what_is_there, made_from()
    assert {name for name in ASSIGNMENTS if before[name] != after[name]} == stale


def test_notebooks_are_stale_when_the_book_is_published_elsewhere(monkeypatch):
    name = ASSIGNMENTS[0]
    text = REPO / "solutions" / name / f"{name}.md"
    made_from = set()
    for address in ("", "https://one.example/", "https://two.example/"):
        monkeypatch.setattr(release.sections, "published", lambda address=address: address)
        made_from.add(release._made_from(name, text))
    assert len(made_from) == 3


def test_an_edited_release_is_noticed(course):
    name = ASSIGNMENTS[0]
    run(tool("dlnorm"), "--course", course, "release", name)
    path = course / "assignments" / name / f"{name}.ipynb"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("NotImplementedError", "KeyError", 1), encoding="utf-8")
    done = run(tool("dlnorm"), "--course", course, "release", name, "--check", ok=False)
    assert done.returncode == 1
    assert (
        f"{name}: out of date ({name}.ipynb: other text); run: dlnorm release {name}" in done.stdout
    )
    assert path.read_text(encoding="utf-8") != text, "--check must write nothing"


def test_a_check_that_does_not_exist_stops_the_release(course, tmp_path):
    name = ASSIGNMENTS[0]
    root = tmp_path / "broken"
    shutil.copytree(course, root)
    text = root / "solutions" / name / f"{name}.md"
    check = PROBLEM_SETS[name].checks[0].name
    broken = text.read_text("utf-8").replace(f'check("{check}"', 'check("nope"')
    text.write_text(broken, encoding="utf-8")
    done = run(tool("dlnorm"), "--course", root, "release", ok=False)
    assert done.returncode != 0
    assert "names a check that no problem set has" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("release", "nope"), "no assignment 'nope'; there are: batchnorm, dropout"),
        (("grade",), "nothing to grade"),
        (("grade", "--class-dir", "/nowhere"), "does not exist"),
    ],
)
def test_a_wrong_command_says_what_to_do(course, arguments, said):
    done = run(tool("dlnorm"), "--course", course, *arguments, ok=False)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_outside_a_course_the_command_says_where_to_run(tmp_path):
    done = run(tool("dlnorm"), "release", cwd=tmp_path, ok=False)
    assert done.returncode == 2
    assert "nbgrader_config.py does not exist: name the course's folder" in done.stderr


def test_a_notebook_is_valid_json_of_format_4_5():
    for name in ASSIGNMENTS:
        path: Path = REPO / "assignments" / name / f"{name}.ipynb"
        notebook = json.loads(path.read_text(encoding="utf-8"))
        assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
        nbformat.validate(notebook)
