"""The parity table in the test report: what each test cell scores by plain nbgrader and by us."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Any

from tests import reported

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Scores by nbgrader and by nbwarden</title>
<style>
body {{ font: 14px/1.4 sans-serif; margin: 2em; }}
table {{ border-collapse: collapse; }}
th, td {{ text-align: left; font-weight: normal; padding: 0.2em 0.8em; border: 1px solid #ccc; }}
td.number {{ text-align: right; }} .differs {{ background: #f88; }}
</style>
<h1>Scores by nbgrader and by nbwarden</h1>
<p>{line}. Each row is a test cell of an ordinary nbgrader course, whose right and whose wrong
answer were graded twice. "By hand" waits for a person. A row in red is a difference.</p>
<table><thead><tr><th scope="col" rowspan="2">Topic</th><th scope="col" rowspan="2">Test cell</th>
<th scope="col" rowspan="2">Points</th><th scope="col" colspan="2">Right answer</th>
<th scope="col" colspan="2">Wrong answer</th></tr>
<tr>{columns}</tr></thead>
<tbody>{rows}</tbody></table>
</html>
"""
_COLUMNS = "<th scope='col'>nbgrader</th><th scope='col'>nbwarden</th>" * 2


def write(reports: Iterable[Any], path: Path) -> str | None:
    """Write the table of a test run as a page; return the line that sums it up, if any ran."""
    rows = reported.rows(reports, "parity")
    if not rows:
        return None
    patterns = {row["pattern"] for row in rows}
    differ = sum(map(_differs, rows))
    line = f"{len(patterns)} patterns with {len(rows)} graded cells, {differ} differ from nbgrader"
    rows.sort(key=lambda row: (row["topic"], row["cell"]))
    page = _PAGE.format(line=line, columns=_COLUMNS, rows="".join(map(_row, rows)))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")
    return line


def _differs(row: dict[str, Any]) -> bool:
    return any(plain != ours for plain, ours in (row["right"], row["wrong"]))


def _row(row: dict[str, Any]) -> str:
    kind = " class='differs'" if _differs(row) else ""
    scores = [score for student in ("right", "wrong") for score in row[student]]
    cells = "".join(
        f"<td class='number'>{'by hand' if score is None else format(score, 'g')}</td>"
        for score in (row["points"], *scores)
    )
    return (
        f"<tr{kind}><td>{escape(row['topic'])}</td><th scope='row'>{escape(row['cell'])}</th>"
        f"{cells}</tr>"
    )
