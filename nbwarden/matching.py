"""Which submitted cell is which cell of the assignment, also where nbgrader's metadata are lost.

A cell is known by its grade_id. Tools that are not Jupyter, or copying into a new notebook, drop
it; then a cell is known by its source, if nobody changed it, an answer in code by the names that it
defines, and an answer in words by the place where it is.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from nbwarden.canonical import Known, SourceCell
from nbwarden.handed_in import Cell
from nbwarden.names import bound_in, mentioned_in

_TEXT = ("markdown", "raw")
#: The assignment's cells in their order, each with the number of the submitted one, if there is.
Places = list[tuple[str, int | None]]


@dataclass
class Matching:
    """What stands for what: submitted cells by their number, the assignment's by their grade_id.

    Attributes
    ----------
    by_id, by_source, by_names, by_place : dict
        For the grade_ids that were found so, the number of the cell; `by_place` has the numbers
        of all the cells that make up the answer.
    along : dict
        Numbers of the student's own cells which an answer that had to be moved takes along.
    unsure : list of str
        Written answers that are missing, while the student has text of their own elsewhere.
    """

    by_id: dict[str, int] = field(default_factory=dict)
    by_source: dict[str, int] = field(default_factory=dict)
    by_names: dict[str, int] = field(default_factory=dict)
    by_place: dict[str, list[int]] = field(default_factory=dict)
    along: dict[str, list[int]] = field(default_factory=dict)
    unsure: list[str] = field(default_factory=list)

    @property
    def anchors(self) -> dict[str, int]:
        """The cells that are where they are because the assignment has them there."""
        return self.by_source | self.by_id

    @property
    def used(self) -> set[int]:
        """The submitted cells that are spoken for."""
        lists = [*self.by_place.values(), *self.along.values()]
        single = [*self.anchors.values(), *self.by_names.values()]
        return {*single, *(number for numbers in lists for number in numbers)}

    def lacks(self, grade_id: str) -> bool:
        """Whether no cell stands for that one."""
        return not any(grade_id in way for way in (self.anchors, self.by_names, self.by_place))


def same(one: str, other: str) -> bool:
    """Whether two sources differ in nothing but blanks at the ends of lines and around them."""
    return one == other or _stripped(one) == _stripped(other)


def _stripped(source: str) -> str:
    return "\n".join(line.rstrip() for line in source.strip().split("\n"))


def is_blank(cell: Cell, entry: Known) -> bool:
    """Whether a student left a cell as it was handed out."""
    return same(cell.source, entry.released)


def match(submitted: list[Cell], known: list[Known], source: tuple[SourceCell, ...]) -> Matching:
    """Find the assignment's cells among those that were handed in.

    Parameters
    ----------
    submitted : list of Cell
    known : list of Known
        In the released order.
    source : tuple of SourceCell
        All cells of the instructor's notebook, to tell their text from the student's; empty if
        nobody has it.
    """
    matching = Matching()
    _match_ids(submitted, known, matching)
    _match_sources(submitted, known, matching)
    open_entries = [
        entry for entry in known if entry.solution and _open(entry, submitted, matching)
    ]
    if open_entries:
        ours = {entry.grade_id for entry in known}
        given = _given(submitted, source)
        others = matching.used | set(given.values())
        own = [n for n, c in enumerate(submitted) if n not in others and c.grade_id not in ours]
        _match_names(submitted, known, open_entries, own, matching)
        places = _places(known, source, given, matching)
        _match_places(submitted, places, open_entries, own, matching)
    return matching


def _match_ids(submitted: list[Cell], known: list[Known], matching: Matching) -> None:
    """Of several cells with one grade_id, the last one that was written in counts."""
    by_id = {entry.grade_id: entry for entry in known}
    for number, cell in enumerate(submitted):
        entry = by_id.get(cell.grade_id or "")
        if entry is None:
            continue
        if entry.grade_id not in matching.by_id or not (is_blank(cell, entry) or entry.locked):
            matching.by_id[entry.grade_id] = number


def _match_sources(submitted: list[Cell], known: list[Known], matching: Matching) -> None:
    """A cell without metadata is what it was copied from, in the order of the assignment."""
    free: dict[tuple[str, str], list[int]] = {}
    for number, cell in enumerate(submitted):
        if not cell.marked:
            free.setdefault((cell.cell_type, _stripped(cell.source)), []).append(number)
    for entry in known:
        numbers = free.get((entry.cell_type, _stripped(entry.released)))
        if numbers and entry.grade_id not in matching.by_id:
            matching.by_source[entry.grade_id] = numbers.pop(0)


def _open(entry: Known, submitted: list[Cell], matching: Matching) -> bool:
    """Whether an answer is missing, or its cell was left as it was handed out."""
    number = matching.anchors.get(entry.grade_id)
    return number is None or is_blank(submitted[number], entry)


# ---------------------------------------------------------------- answers in code


def _match_names(
    submitted: list[Cell],
    known: list[Known],
    open_entries: list[Known],
    own: list[int],
    matching: Matching,
) -> None:
    """An answer is the last of the student's own cells that binds most of its names."""
    free = {n: bound_in(submitted[n].source) for n in own if submitted[n].cell_type == "code"}
    missing = {}
    for entry in open_entries:
        fitting = {n: len(bound & entry.names) for n, bound in free.items() if bound & entry.names}
        if fitting:
            best = max(fitting, key=lambda number: (fitting[number], number))
            missing[entry.grade_id] = entry.names - free.pop(best)
            matching.by_names[entry.grade_id] = best
    places = [(entry.grade_id, matching.anchors.get(entry.grade_id)) for entry in known]
    for grade_id, number in matching.by_names.items():
        _, after = gap(grade_id, places, len(submitted))
        if number > after:
            helpers = {
                n: bound
                for n, bound in free.items()
                if after < n and (n < number or bound & missing[grade_id])
            }
            wanted = missing[grade_id] | mentioned_in(submitted[number].source)
            matching.along[grade_id] = _needed(submitted, wanted, helpers)
            for helper in matching.along[grade_id]:
                del free[helper]


def _needed(
    submitted: list[Cell], wanted: frozenset[str], helpers: dict[int, frozenset[str]]
) -> list[int]:
    """The student's own cells without which an answer does not work at an earlier place."""
    needed: set[int] = set()
    while more := {n for n, bound in helpers.items() if n not in needed and bound & wanted}:
        needed |= more
        wanted = wanted.union(*(mentioned_in(submitted[n].source) for n in more))
    return sorted(needed)


# ---------------------------------------------------------------- answers in words


def _match_places(
    submitted: list[Cell],
    places: Places,
    open_entries: list[Known],
    own: list[int],
    matching: Matching,
) -> None:
    """An answer in words, or in code without names, is what the student wrote at its place."""
    nameless = [
        entry
        for entry in open_entries
        if entry.grade_id not in matching.by_names and (entry.grade or not entry.names)
    ]
    gaps = {entry.grade_id: gap(entry.grade_id, places, len(submitted)) for entry in nameless}
    for entry in nameless:
        kinds = ("code",) if entry.cell_type == "code" else _TEXT
        free = [
            number
            for number in own
            if number not in matching.used
            and submitted[number].cell_type in kinds
            and submitted[number].source.strip()
        ]
        first, last = gaps.pop(entry.grade_id)
        here = [number for number in free if first < number < last]
        if here:
            shared = (first, last) in gaps.values()
            matching.by_place[entry.grade_id] = here[:1] if shared else here
        elif free and entry.grade and matching.lacks(entry.grade_id):
            matching.unsure.append(entry.grade_id)


def _given(submitted: list[Cell], source: tuple[SourceCell, ...]) -> dict[int, int]:
    """Which submitted cells are text of the instructor's that nbgrader does not know."""
    free: dict[tuple[str, str], list[int]] = {}
    for number, cell in enumerate(submitted):
        free.setdefault((cell.cell_type, _stripped(cell.source)), []).append(number)
    given = {}
    for place, made in enumerate(source):
        numbers = free.get((made.cell_type, _stripped(made.source)))
        if not made.grade_id and numbers:
            given[place] = numbers.pop(0)
    return given


def _places(
    known: list[Known],
    source: tuple[SourceCell, ...],
    given: dict[int, int],
    matching: Matching,
) -> Places:
    order = [cell.grade_id for cell in source] or [entry.grade_id for entry in known]
    return [
        (grade_id, matching.anchors.get(grade_id) if grade_id else given.get(place))
        for place, grade_id in enumerate(order)
    ]


def gap(grade_id: str, places: Places, total: int) -> tuple[int, int]:
    """Between which two of so many submitted cells an answer would be, both exclusive.

    Who left the cell as it was handed out, and wrote elsewhere, wrote below it.
    """
    at = next((i for i, (name, _) in enumerate(places) if name == grade_id), len(places))
    before = [number for _, number in places[: at + 1] if number is not None]
    behind = [number for _, number in places[at + 1 :] if number is not None]
    return before[-1] if before else -1, behind[0] if behind else total
