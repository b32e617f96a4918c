"""A table as lines of cells, the same for every format that people read: values, then intervals, then gains."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from suder_bench.reports.tables.table import Cell, Rank, Row, Table

GROUPS = {
    "generation": "Generation only",
    "understanding": "Understanding only",
    "unified": "Unified",
    "measured": "Measured",
}
DASH = "-"
TIED = "="
BEST = "Best and second of a column; a higher number is better in each."
SIGNS = {
    TIED: "Tied: of two measured numbers one lies in the other's 95 % interval, so that which is higher cannot be told.",
    DASH: "Not measured or not published; in place of an interval: too little was measured to give one.",
}


@dataclass(frozen=True)
class Entry:
    """A cell of a line: its text, its rank in the column, and the letters of its footnotes."""

    text: str
    rank: Rank = ""
    marks: str = ""


@dataclass(frozen=True)
class Line:
    """A line of a table. `detail`: it belongs to the row above, as its interval or gain."""

    label: Entry
    entries: tuple[Entry, ...]
    detail: bool = False


def header(table: Table) -> list[Entry]:
    return [Entry(name, marks=_marks(table, notes)) for name, notes in table.columns]


def groups(table: Table) -> Iterator[tuple[str, list[Line]]]:
    """(title, lines) of the published groups and the measured rows, in the table's order."""
    for group in dict.fromkeys(row.group for row in table.rows):
        yield GROUPS[group], [line for row in table.rows if row.group == group for line in _lines(table, row)]


def signs(table: Table) -> list[tuple[str, str]]:
    """(sign, meaning) of those that stand in the table."""
    entries = [entry for _, lines in groups(table) for line in lines for entry in line.entries]
    there = {TIED: any(entry.marks.startswith(TIED) for entry in entries), DASH: any(entry.text == DASH for entry in entries)}
    return [(sign, meaning) for sign, meaning in SIGNS.items() if there[sign]]


def _lines(table: Table, row: Row) -> Iterator[Line]:
    cells = row.cells
    values = tuple(Entry(cell.value or DASH, cell.rank, _marks(table, cell.notes, tied=cell.tied)) for cell in cells)
    yield Line(Entry(row.label, marks=_marks(table, row.notes)), values)
    if row.group == "measured" and any(cell.value for cell in cells):
        yield Line(Entry("95 % interval"), tuple(_interval(table, cell) for cell in cells), detail=True)
    if any(cell.without for cell in cells):
        yield Line(Entry("without prompts trained on"), tuple(Entry(cell.without or DASH) for cell in cells), detail=True)
    if any(cell.gain for cell in cells):
        yield Line(Entry(f"gain over {row.base}, points"), tuple(Entry(cell.gain or DASH) for cell in cells), detail=True)


def _interval(table: Table, cell: Cell) -> Entry:
    return Entry(f"{cell.low} to {cell.high}" if cell.low and cell.high else DASH, marks=_marks(table, cell.doubts))


def _marks(table: Table, notes: tuple[str, ...], *, tied: bool = False) -> str:
    return ",".join([*([TIED] if tied else []), *(table.footnotes[text] for text in notes)])
