"""The matrix in the test report: what each check makes of each known mistake."""

from __future__ import annotations

import json
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Any

#: What a check can make of a mistake, and the sign for it.
SIGNS = {
    "named": "✗",  # rejected, and called by its name
    "rejected": "x",  # rejected, and called something else or nothing
    "passes": "·",  # the check does not look at what the mistake spoils
    "": "",  # the check does not call the function
}

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Misconceptions and checks</title>
<style>
body {{ font: 14px/1.4 sans-serif; margin: 2em; }}
table {{ border-collapse: collapse; margin-bottom: 3em; }}
th {{ text-align: left; font-weight: normal; white-space: nowrap; padding-right: 1em; }}
thead th {{ writing-mode: vertical-rl; transform: rotate(180deg); padding: 0.3em 0; }}
td {{ text-align: center; min-width: 1.8em; border: 1px solid #ccc; }}
.named {{ background: #bfe3d0; }} .rejected {{ background: #f6dcc0; }} .hole {{ background: #f88; }}
</style>
<h1>Misconceptions and checks</h1>
<p>✗ the check rejects the mistake and names it · x it rejects it, and names another or none ·
· it passes, because what it looks at is not spoiled. A mistake that no check names would be a
hole, in red.</p>
{tables}
</html>
"""


def write(reports: Iterable[Any], path: Path) -> str | None:
    """Write the matrix of a test run as a page; return the line that sums it up, if any ran."""
    sets: dict[str, dict[str, dict[str, str]]] = {}
    for report in reports:
        for key, value in getattr(report, "user_properties", ()):
            if key == "matrix":
                problem_set, mistake, row = value
                sets.setdefault(problem_set, {})[mistake] = row
    if not sets:
        return None
    path.parent.mkdir(parents=True, exist_ok=True)
    page = _PAGE.format(tables="".join(table(name, sets[name]) for name in sorted(sets)))
    path.write_text(page, encoding="utf-8")
    path.with_suffix(".json").write_text(json.dumps(sets, indent=1), encoding="utf-8")
    rows = [row for mistakes in sets.values() for row in mistakes.values()]
    holes = sum("named" not in row.values() for row in rows)
    return f"{len(rows)} misconceptions in {len(sets)} sets, {holes} without a check that names it"


def table(name: str, mistakes: dict[str, dict[str, str]]) -> str:
    """One problem set: a row a mistake, a column a check."""
    checks = list(next(iter(mistakes.values())))
    head = "".join(f"<th scope='col'>{escape(check)}</th>" for check in checks)
    body = ""
    for mistake, row in sorted(mistakes.items()):
        hole = "" if "named" in row.values() else " class='hole'"
        cells = "".join(f"<td class='{row[c]}'>{SIGNS[row[c]]}</td>" for c in checks)
        body += f"<tr><th scope='row'{hole}>{escape(mistake)}</th>{cells}</tr>"
    return (
        f"<h2>{escape(name)}</h2><table><thead><tr><td></td>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table>"
    )
