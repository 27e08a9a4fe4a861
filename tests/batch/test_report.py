"""The instructor's report: true to the gradebook, complete in one file, and readable by all."""

from __future__ import annotations

import csv
import io
import json
import re
from urllib.parse import unquote

import nbformat
import pytest
from axe_playwright_python.sync_playwright import Axe

from dlnorm import cli
from dlnorm.grading import PROBLEM_SETS, report, report_page, sections, similar
from nbwarden import gradebook
from tests.sample_class.test_sample_class import graded  # noqa: F401  (a fixture)
from tests.support import run, tool

ASSIGNMENT = "batchnorm"


@pytest.fixture(scope="module")
def written(graded, tmp_path_factory):  # noqa: F811
    out = tmp_path_factory.mktemp("report")
    run(tool("dlnorm"), "report", ASSIGNMENT, "--class-dir", graded, "--out", out)
    return out


def table(written, name):
    return list(csv.DictReader(io.StringIO((written / name).read_text(encoding="utf-8"))))


def test_every_designed_misconception_is_counted_with_its_section(written):
    rows = {row["misconception"]: row for row in table(written, "misconceptions.csv")}
    page = (written / "index.html").read_text("utf-8")
    for name, student, anchor in (
        ("eps_outside_the_root", "carl", "bn-eps"),
        ("statistics_held_constant", "dora", "bn-constants"),
        ("gamma_and_beta_forgotten", "emil", "bn-gamma-beta"),
    ):
        assert rows[name]["who"] == student
        section = sections.SECTIONS[anchor]
        assert rows[name]["section"] == f"“{section.title}” in “{section.chapter}”"
        assert rows[name]["section"] in page
        assert rows[name]["link"] == sections.link(anchor, sections.published())
    assert rows["(no result)"]["students"]


def test_the_numbers_are_those_of_the_gradebook(written, graded):  # noqa: F811
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{graded}/gradebook.db") as book:
        rows = {r.student: r for r in gradebook.rows(book) if r.assignment == ASSIGNMENT}
        marks = gradebook.marks(book, ASSIGNMENT)
    students = table(written, "students.csv")
    assert {s["student"]: float(s["score"]) for s in students} == {
        name: row.score for name, row in rows.items()
    }
    (ivan,) = (s for s in students if s["student"] == "ivan")
    assert ivan["status"] == "unreadable"
    assert "not a Jupyter notebook" in ivan["reason"]
    assert all(float(s["seconds"]) > 0 for s in students)
    for row in table(written, "exercises.csv"):
        mine = [m for m in marks if m.cell == row["cell"]]
        assert int(row["full"]) == sum(m.score == m.max_score and not m.waiting for m in mine)
        assert sum(int(row[n]) for n in ("full", "partial", "none", "waiting")) == len(mine)
    order = [row["cell"] for row in table(written, "exercises.csv")]
    assert order.index("test-column-statistics") < order.index("test-batchnorm-backward-train")


@pytest.mark.without_sandbox
def test_a_mistake_of_no_name_is_counted_by_the_section_of_its_message():
    from dlnorm.grading.exercise import section
    from dlnorm.grading.student import checker

    for label in sections.SECTIONS:
        for book in ("", "https://b.example/"):
            said = checker.wrap(checker.reread(section(label, book)), 60, indent="")
            message = f"{checker.OPENING[None]}\n\n{said}\n    {section(label, book)['url']}"
            (found,) = report.mistakes(PROBLEM_SETS[ASSIGNMENT], {"s": notebook(message)})
            assert (found.kind, found.section) == ("unknown", label)


@pytest.mark.without_sandbox
def test_a_section_is_linked_where_the_book_is(tmp_path, monkeypatch):
    site, out = tmp_path / "course" / "_build" / "html", tmp_path / "a class" / "reports"
    site.mkdir(parents=True)
    monkeypatch.setattr(sections, "CONFIG", tmp_path / "course" / "_config.yml")
    mistake = report.Mistake("known", "some", "It looks as if ...", "bn-eps", ("s",), ("c",))
    made = report.Report("set", 4, (), (), (mistake,), ())

    def links(published: str) -> list[str]:
        monkeypatch.setattr(sections, "published", lambda: published)
        return re.findall("href='([^']+)'", report_page.page(made, cli.book_for(out)))

    assert links("") == []
    (site / "index.html").touch()
    (link,) = links("")  # the book that was built here
    path, _, anchor = unquote(link).partition("#")
    assert (out / path).resolve() == site / "batchnorm-forward.html"
    assert anchor == "bn-eps"
    assert links("https://b.example/") == ["https://b.example/batchnorm-forward.html#bn-eps"]


def test_the_page_is_one_file_without_script(written):
    page = (written / "index.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert not re.findall(r"""(?:src|url\(|@import|<link)\s*=?\s*["'(]?http""", page)
    assert page.count("<h1>") == 1


def test_json_says_the_same(graded):  # noqa: F811
    done = run(tool("dlnorm"), "report", ASSIGNMENT, "--class-dir", graded, "--json")
    document = json.loads(done.stdout)
    assert document["assignment"] == ASSIGNMENT
    assert {s["student"] for s in document["submissions"]} >= {"ada", "ivan"}
    assert any(m["name"] == "eps_outside_the_root" for m in document["mistakes"])
    assert not (graded / "reports").exists()


def test_an_ungraded_assignment_is_a_clear_error(graded):  # noqa: F811
    done = run(tool("dlnorm"), "report", "foundation", "--class-dir", graded, ok=False)
    assert done.returncode == 2
    assert "no assignment 'foundation'" in done.stderr


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_passes_an_accessibility_check(written, browser, scheme):
    with browser.new_context(
        color_scheme=scheme, viewport={"width": 390, "height": 800}
    ) as context:
        page = context.new_page()
        requests = []
        page.on("request", lambda request: requests.append(request.url))
        page.goto((written / "index.html").as_uri())
        assert Axe().run(page).response["violations"] == []
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert len(requests) == 1


# ---------------------------------------------------------------- what a hint becomes


def notebook(*messages):
    cells = []
    for number, message in enumerate(messages):
        cell = nbformat.v4.new_code_cell("check(...)")
        cell.metadata["nbgrader"] = {"grade": True, "solution": False, "grade_id": f"t{number}"}
        error = nbformat.v4.new_output("error", ename="E", evalue=message, traceback=[])
        cell.outputs = [error]
        cells.append(cell)
    return nbformat.v4.new_notebook(cells=cells)


@pytest.mark.without_sandbox
def test_every_hint_of_every_problem_set_is_recognized_as_it_is_printed():
    from dlnorm.grading.student import checker

    for problem_set in PROBLEM_SETS.values():
        for misconception in problem_set.misconceptions:
            for check in problem_set.checks:
                if misconception.replaces not in check.functions:
                    continue
                hint = checker.wrap(misconception.hint, 60, indent="    ")
                message = f"✗ {check.name}: case 1 of 3\n\n{hint}"
                found = report.mistakes(problem_set, {"s": notebook(message)})
                assert misconception.name in {m.name for m in found}
                assert {m.hint for m in found} == {misconception.hint}


@pytest.mark.without_sandbox
def test_what_a_student_prints_counts_for_nothing():
    forged = notebook()
    cell = nbformat.v4.new_code_cell("")
    cell.metadata["nbgrader"] = {"grade": False, "solution": True, "grade_id": "answer"}
    hint = PROBLEM_SETS[ASSIGNMENT].misconceptions[0].hint
    cell.outputs = [nbformat.v4.new_output("error", ename="E", evalue=hint, traceback=[])]
    forged.cells.append(cell)
    assert report.mistakes(PROBLEM_SETS[ASSIGNMENT], {"s": forged}) == []


@pytest.mark.without_sandbox
def test_text_from_students_cannot_become_markup_or_a_formula():
    made = report.Report(
        "<b>",
        4,
        (report.Submission("=1+1", 2, 0, "failed", "<script>x</script>", 1.0),),
        (),
        (),
        (),
    )
    assert "<script" not in report_page.page(made, "")
    assert "'=1+1" in report.tables(made)["students.csv"]


@pytest.mark.without_sandbox
@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "＝", "\t", "\r", "\n", " =", "\t="])
def test_no_cell_of_a_table_is_taken_for_a_formula(begin):
    name = f"{begin}cmd|'/c calc'!A1"
    pair = similar.Pair(name, name, 1.0, 3, (name,))
    written = report.tables(
        report.Report("b", 4, (report.Submission(name, 2, 0, name, name, 1.0),), (), (), (pair,))
    )
    for table in (written["students.csv"], written["similar.csv"]):
        _, row = csv.reader(io.StringIO(table))
        texts = [cell for cell in row if "calc" in cell]
        assert len(texts) >= 3
        assert all(cell.startswith("'") for cell in texts)


@pytest.mark.without_sandbox
def test_no_name_ends_its_row():
    made = report.Report("b", 4, (report.Submission("a\r=1", 2, 0),), (), (), ())
    assert "\r" not in report.tables(made)["students.csv"]


# ---------------------------------------------------------------- likeness

ONE = """
def forward(x, gamma, beta):
    m = len(x)
    total = 0
    for row in x:
        total = total + row
    mean = total / m
    centered = [row - mean for row in x]
    square = sum(value * value for value in centered) / m
    scaled = [value / (square + 1e-5) ** 0.5 for value in centered]
    return [gamma * value + beta for value in scaled], (scaled, square)
"""
OTHER = """
def forward(x, gamma, beta):
    mu = np.mean(x, axis=0)
    v = np.var(x, axis=0)
    hat = (x - mu) / np.sqrt(v + 1e-5)
    return gamma * hat + beta, (hat, v, gamma)
"""


def renamed(source):
    for name, new in (("total", "s"), ("mean", "avg"), ("row", "r"), ("scaled", "out")):
        source = re.sub(rf"\b{name}\b", new, source)
    return "# all mine\n" + source.replace("    m = len(x)\n", "    m = len(x)  # count\n\n")


@pytest.mark.without_sandbox
def test_a_copy_with_other_names_and_remarks_is_listed_and_no_one_else():
    answers = {"a": {"c": ONE}, "b": {"c": renamed(ONE)}, "d": {"c": OTHER}, "e": {"c": ""}}
    (pair,) = similar.pairs(answers)
    assert (pair.one, pair.other) == ("a", "b")
    assert pair.likeness > 0.99
    assert pair.cells == ("c",)


@pytest.mark.without_sandbox
def test_what_everybody_was_given_makes_no_one_alike():
    answers = {"a": {"c": ONE}, "b": {"c": ONE}}
    assert similar.pairs(answers, [{"c": ONE}]) == []


@pytest.mark.without_sandbox
def test_broken_code_is_compared_as_far_as_it_goes():
    broken = ONE + "\nx = ("
    assert similar.tokens(broken)[:20] == similar.tokens(ONE)[:20]
    (pair,) = similar.pairs({"a": {"c": broken}, "b": {"c": broken}})
    assert pair.likeness == 1
