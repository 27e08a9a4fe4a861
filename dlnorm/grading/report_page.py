"""The instructor's report as one HTML page: no script, nothing from elsewhere, light and dark."""

from __future__ import annotations

from html import escape as esc

from dlnorm.grading.report import Exercise, Mistake, Report, Submission

#: How many of the slowest submissions are listed.
SLOWEST = 5

_OTHER = {
    "unknown": "Wrong numbers that no known misconception gives, by the section their message "
    "names. Worth reading: a new misconception may be among them.",
    "no result": "Nothing to compare: not written yet, an error, a wrong type or shape, or a loop "
    "without end.",
}

_STYLE = """
:root { color-scheme: light dark; --ink: #1d2126; --soft: #59616b; --page: #ffffff; --line: #d6dae0;
  --bar: #2f7fd0; --part: #9cc3ea; --bad: #b3261e; --card: #f6f7f9; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8eaed; --soft: #a8b0ba; --page: #14171b;
  --line: #363c44; --bar: #5aa2e6; --part: #2d5f93; --bad: #ff8a80; --card: #1d2126; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 60rem; background: var(--page);
  color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .3rem; }
h2 { font-size: 1.2rem; margin: 2.6rem 0 .3rem; }
p { max-width: 46rem; margin: .4rem 0; }
.soft, caption, small { color: var(--soft); }
a { color: inherit; text-underline-offset: .15em; }
.facts { display: flex; flex-wrap: wrap; gap: .75rem; margin: 1.2rem 0 0; padding: 0; }
.facts div { background: var(--card); border: 1px solid var(--line); border-radius: .5rem;
  padding: .6rem 1rem; min-width: 8rem; }
.facts dt { color: var(--soft); font-size: .85rem; }
.facts dd { margin: 0; font-size: 1.35rem; font-variant-numeric: tabular-nums; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; margin: .6rem 0; }
caption { text-align: left; font-size: .9rem; padding-bottom: .3rem; }
th, td { text-align: left; vertical-align: top; padding: .35rem .7rem .35rem 0;
  border-bottom: 1px solid var(--line); }
thead th { color: var(--soft); font-weight: 500; font-size: .85rem; }
tbody th { font-weight: 500; }
code { font: .9em ui-monospace, monospace; overflow-wrap: anywhere; }
.n { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
.b { width: 45%; min-width: 8rem; padding-right: 0; } .s { width: 22%; min-width: 7rem; }
.s + td { width: 26%; }
.bar { display: flex; height: 1.1rem; margin-top: .2rem; background: var(--card);
  border: 1px solid var(--line); border-radius: .2rem; overflow: hidden; }
.bar i { background: var(--bar); } .bar i + i { background: var(--part); }
.hint { margin: .2rem 0 0; font-size: .95rem; } .bad { color: var(--bad); }
@media print { body { max-width: none; padding: 0; } .bar i { print-color-adjust: exact; } }
"""


def page(report: Report, book: str) -> str:
    """The whole page, with links to the sections if there is a book at the address `book`."""
    parts = [
        f"<h1>{esc(report.assignment)}: how the class did</h1>",
        "<p class='soft'>Read off the gradebook and the graded notebooks. Written answers count "
        "once they are marked.</p>",
        _facts(report),
        _mistakes(report, book),
        _exercises(report),
        _scores(report),
        _trouble(report),
        _similar(report),
    ]
    return (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{esc(report.assignment)}: how the class did</title>"
        f"<style>{_STYLE}</style></head>\n<body><main>\n" + "\n".join(parts) + "\n</main></body>"
        "</html>\n"
    )


def _facts(report: Report) -> str:
    scores = sorted(s.score for s in report.submissions)
    middle = _median(scores)
    waiting = sum(s.by_hand > 0 for s in report.submissions)
    facts = [
        ("handed in", str(len(scores))),
        ("median score", f"{middle:g} of {report.points:g}" if scores else "none"),
        ("lowest to highest", f"{scores[0]:g} to {scores[-1]:g}" if scores else "none"),
        ("with answers to mark", str(waiting)),
        ("in trouble", str(sum(bool(s.reason) for s in report.submissions))),
    ]
    cells = "".join(f"<div><dt>{esc(k)}</dt><dd>{esc(v)}</dd></div>" for k, v in facts)
    return f"<dl class='facts'>{cells}</dl>"


def _median(values: list[float]) -> float:
    if not values:
        return 0.0
    half = len(values) // 2
    return values[half] if len(values) % 2 else (values[half - 1] + values[half]) / 2


def _mistakes(report: Report, book: str) -> str:
    known = [m for m in report.mistakes if m.kind == "known"]
    most = max((len(m.students) for m in report.mistakes), default=1)
    text = "<h2>What to reteach</h2>"
    if known:
        rows = "".join(_mistake(m, most, book) for m in known)
        text += _table(
            "Misconceptions that the tests recognized, by how many students show them. The text "
            "is the hint that those students read.",
            ("misconception", "students", "", "section"),
            rows,
        )
    else:
        text += "<p>No test has recognized a misconception.</p>"
    for kind, caption in _OTHER.items():
        rows = "".join(
            f"<tr><th scope='row'>{_link(m, book)}</th><td class='n'>{len(m.students)}</td>"
            f"<td class='s'>{_bar(len(m.students) / most)}</td>"
            f"<td>{_codes(m.cells)}</td></tr>"
            for m in report.mistakes
            if m.kind == kind
        )
        if rows:
            text += _table(caption, ("section", "students", "", "cells"), rows)
    return text


def _mistake(mistake: Mistake, most: int, book: str) -> str:
    return (
        f"<tr><th scope='row'><code>{esc(mistake.name)}</code>"
        f"<p class='hint soft'>{esc(mistake.hint)}</p></th>"
        f"<td class='n'>{len(mistake.students)}</td>"
        f"<td class='s'>{_bar(len(mistake.students) / most)}"
        f"<small>{esc(', '.join(mistake.students[:12]))}"
        f"{' …' if len(mistake.students) > 12 else ''}</small></td>"
        f"<td>{_link(mistake, book)}</td></tr>"
    )


def _link(mistake: Mistake, book: str) -> str:
    if not mistake.section:
        return "no section named"
    address = mistake.link(book)
    return f"<a href='{esc(address)}'>{esc(mistake.title)}</a>" if address else esc(mistake.title)


def _exercises(report: Report) -> str:
    rows = "".join(_exercise(e) for e in report.exercises)
    return "<h2>Success by exercise</h2>" + _table(
        "Share of students with full marks; the lighter part has some of the points.",
        ("cell", "points", "full marks", ""),
        rows,
    )


def _exercise(entry: Exercise) -> str:
    marked = entry.full + entry.partial + entry.none
    words = f"{entry.full} of {marked}" if marked else "none marked"
    waiting = f" <small>{entry.waiting} to mark</small>" if entry.waiting else ""
    partial = entry.partial / marked if marked else 0.0
    return (
        f"<tr><th scope='row'><code>{esc(entry.cell)}</code></th>"
        f"<td class='n'>{entry.points:g}</td><td class='n'>{words}{waiting}</td>"
        f"<td class='b'>{_bar(entry.share, partial)}</td></tr>"
    )


def _scores(report: Report) -> str:
    bins = min(10, max(1, int(report.points)))
    counts = [0] * bins
    for submission in report.submissions:
        share = submission.score / report.points if report.points else 0.0
        counts[min(bins - 1, max(0, int(share * bins)))] += 1
    most = max(counts, default=1) or 1
    width = report.points / bins
    rows = "".join(
        f"<tr><th scope='row' class='n'>{number * width:g} to "
        f"{'' if number == bins - 1 else 'under '}{(number + 1) * width:g}</th>"
        f"<td class='n'>{count}</td><td class='b'>{_bar(count / most)}</td></tr>"
        for number, count in reversed(list(enumerate(counts)))
    )
    return "<h2>Scores</h2>" + _table(
        f"Students by points, of {report.points:g}.", ("points", "students", ""), rows
    )


def _trouble(report: Report) -> str:
    text = "<h2>In trouble, and slow</h2>"
    bad = [s for s in report.submissions if s.reason]
    if bad:
        rows = "".join(
            f"<tr><th scope='row'>{esc(s.student)}</th><td class='bad'>{esc(s.status)}</td>"
            f"<td>{esc(s.reason)}</td></tr>"
            for s in bad
        )
        text += _table("Submissions that need a person.", ("student", "what", "why"), rows)
    else:
        text += "<p>Every submission could be graded.</p>"
    timed = [s for s in report.submissions if s.seconds is not None]
    timed.sort(key=_seconds, reverse=True)
    if timed:
        longest = _seconds(timed[0]) or 1.0
        rows = "".join(
            f"<tr><th scope='row'>{esc(s.student)}</th><td class='n'>{_seconds(s):.1f} s</td>"
            f"<td class='b'>{_bar(_seconds(s) / longest)}</td></tr>"
            for s in timed[:SLOWEST]
        )
        median = _median(sorted(map(_seconds, timed)))
        text += _table(
            f"The slowest to grade; the median is {median:.1f} s.", ("student", "time", ""), rows
        )
    return text


def _seconds(submission: Submission) -> float:
    return submission.seconds or 0.0


def _similar(report: Report) -> str:
    text = "<h2>Answers that resemble each other</h2>"
    text += (
        f"<p class='soft'>A list to look at, and no verdict: pairs may have learned from the same "
        f"page or worked together as they were asked to. {esc(report.compared)}</p>"
    )
    if not report.similar:
        return text + "<p>No pair is as alike as that.</p>"
    rows = "".join(
        f"<tr><th scope='row'>{esc(p.one)} and {esc(p.other)}</th>"
        f"<td class='n'>{p.likeness:.0%}</td><td class='n'>{p.shared}</td>"
        f"<td>{_codes(p.cells)}</td></tr>"
        for p in report.similar
    )
    return text + _table(
        "The most alike first.", ("students", "likeness", "shared runs", "in the cells"), rows
    )


def _codes(names: tuple[str, ...]) -> str:
    return ", ".join(f"<code>{esc(name)}</code>" for name in names)


def _bar(share: float, more: float = 0.0) -> str:
    """A bar; the number it shows stands beside it as text."""
    second = f"<i style='width:{100 * more:.1f}%'></i>" if more else ""
    return (
        f"<span class='bar' aria-hidden='true'><i style='width:{100 * share:.1f}%'></i>"
        f"{second}</span>"
    )


def _table(caption: str, heads: tuple[str, ...], rows: str) -> str:
    numbers = ("points", "students", "full marks", "time", "likeness", "shared runs")
    head = "".join(
        f"<th scope='col'{' class=n' if h in numbers and i else ''}>{esc(h)}</th>"
        if h
        else "<td></td>"
        for i, h in enumerate(heads)
    )
    return (
        f"<div class='wide' tabindex='0' role='region' aria-label='{esc(caption)}'>"
        f"<table><caption>{esc(caption)}</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )
