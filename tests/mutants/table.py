"""The mutants' table in the test report: how each equation's check stood up to them."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Any

from tests import reported

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Mutants of the equations</title>
<style>
body {{ font: 14px/1.4 sans-serif; margin: 2em; }}
table {{ border-collapse: collapse; }}
th, td {{ text-align: left; font-weight: normal; padding: 0.2em 0.8em; border: 1px solid #ccc; }}
td.number {{ text-align: right; }} .hole {{ background: #f88; }}
</style>
<h1>Mutants of the equations</h1>
<p>{line}. A mutant is one number, sign, index or operator of a transcribed formula changed, or
another way to standardize; it is killed if the equation's check no longer passes. Those that make
no difference are listed with the reason. A row in red has one that nobody has explained.</p>
<table><thead><tr><th scope="col">Page</th><th scope="col">Equation</th><th scope="col">Tried</th>
<th scope="col">Sides differ</th><th scope="col">Other error</th><th scope="col">No difference</th>
</tr></thead>
<tbody>{rows}</tbody></table>
</html>
"""


def write(reports: Iterable[Any], path: Path) -> str | None:
    """Write the table of a test run as a page; return the line that sums it up, if any ran."""
    rows = reported.rows(reports, "mutants")
    if not rows:
        return None
    tried, survivors = sum(row["tried"] for row in rows), [row["survivors"] for row in rows]
    explained = sum(bool(reason) for found in survivors for reason in found.values())
    holes = sum(map(len, survivors)) - explained
    line = (
        f"{tried} mutants of {len(rows)} equations, {tried - explained - holes} killed, "
        f"{explained} that make no difference, {holes} unexplained"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    body = "".join(map(_row, sorted(rows, key=lambda row: row["page"])))
    path.write_text(_PAGE.format(line=line, rows=body), encoding="utf-8")
    return line


def _row(row: dict[str, Any]) -> str:
    hole = "" if all(row["survivors"].values()) else " class='hole'"
    reasons = "<br>".join(
        f"<code>{escape(change)}</code>: {escape(reason or 'unexplained')}"
        for change, reason in row["survivors"].items()
    )
    return (
        f"<tr{hole}><td>{escape(row['page'])}</td><th scope='row'>{escape(row['label'])}</th>"
        f"<td class='number'>{row['tried']}</td><td class='number'>{row['differ']}</td>"
        f"<td class='number'>{row['error']}</td><td>{reasons}</td></tr>"
    )
