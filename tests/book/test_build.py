"""What the build says when something is wrong, and when it does its work again."""

from __future__ import annotations

from pathlib import Path

import pytest

from book import build

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


def test_a_cache_goes_when_what_it_was_made_from_has_changed(tmp_path: Path):
    def cached() -> bool:
        return (tmp_path / ".jupyter_cache").is_dir()

    build.forget_if_changed(tmp_path, ".code", "old", [".jupyter_cache"])
    (tmp_path / ".jupyter_cache").mkdir()
    build.forget_if_changed(tmp_path, ".code", "old", [".jupyter_cache"])
    assert cached()
    build.forget_if_changed(tmp_path, ".code", "new", [".jupyter_cache"])
    assert not cached()


def test_a_digest_depends_on_names_and_contents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(build, "ROOT", tmp_path)
    one, two = tmp_path / "one.py", tmp_path / "two.py"
    one.write_text("a")
    two.write_text("a")
    digests = {build.digest([one], ()), build.digest([two], ()), build.digest([one, two], ())}
    one.write_text("b")
    digests |= {build.digest([one], ()), build.digest([one], ("numpy",))}
    assert len(digests) == 5
    assert build.digest([one, two], ()) == build.digest([two, one], ())
