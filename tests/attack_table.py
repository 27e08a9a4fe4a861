"""The attack suite's table in the test report: what each attack tried, scored and took."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Any

from tests import reported

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Attacks on the grader</title>
<style>
body {{ font: 14px/1.4 sans-serif; margin: 2em; }}
table {{ border-collapse: collapse; }}
th, td {{ text-align: left; font-weight: normal; padding: 0.2em 0.8em; border: 1px solid #ccc; }}
td.number {{ text-align: right; }} .hole {{ background: #f88; }}
</style>
<h1>Attacks on the grader</h1>
<p>{line}. A blank submission scores 0. Each attack is a submission of its own, graded among others
that must not suffer from it, with kernels that start cold and with warm ones, and both against
trusted test cells, where it must gain nothing, and against contained ones, in which a student may
give themselves any mark, as in plain nbgrader, and nothing else. Seconds are
those between one graded submission and the next, on a machine that runs other tests as well. A row
in red is a hole.</p>
<table><thead><tr><th scope="col">Against</th><th scope="col">Attack</th><th scope="col">Tries to
</th><th scope="col">Test cells</th><th scope="col">Kernels</th>
<th scope="col">Score</th><th scope="col">Seconds</th>
<th scope="col">Outcome</th></tr></thead>
<tbody>{rows}</tbody></table>
</html>
"""


def write(reports: Iterable[Any], path: Path) -> str | None:
    """Write the table of a test run as a page; return the line that sums it up, if any ran."""
    rows = reported.rows(reports, "attacks")
    if not rows:
        return None
    holes = sum(bool(row["problems"]) for row in rows)
    names, starts = ({row[key] for row in rows} for key in ("name", "kernels"))
    line = f"{len(names)} attacks on {' and '.join(sorted(starts))} kernels, {holes} successful"
    path.parent.mkdir(parents=True, exist_ok=True)
    body = "".join(map(_row, sorted(rows, key=_place)))
    path.write_text(_PAGE.format(line=line, rows=body), encoding="utf-8")
    return line


def _place(row: dict[str, Any]) -> tuple[str, str, str, str]:
    return row["kind"], row["name"], row["cells"], row["kernels"]


def _row(row: dict[str, Any]) -> str:
    hole = " class='hole'" if row["problems"] else ""
    gained = "their own mark changed, and nothing else" if row["score"] else "nothing gained"
    outcome = "; ".join(row["problems"]) or gained
    return (
        f"<tr{hole}><td>{escape(row['kind'])}</td><th scope='row'>{escape(row['name'])}</th>"
        f"<td>{escape(row['tries'])}</td><td>{row['cells']}</td><td>{row['kernels']}</td>"
        f"<td class='number'>{row['score']:g}</td>"
        f"<td class='number'>{row['seconds']:.1f}</td><td>{escape(outcome)}</td></tr>"
    )
