"""Tables 1-6, SRUM's and our extensions: what stands in each cell, beside what it may stand, and what has to be said of it.

Numbers share a table only where they are comparable: world and real data, different questions, judges or protocols make
tables of their own. The published rows stand in the table of the measured rows that keep the benchmarks' official
protocol and judges on real data, or else alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Literal

from suder_bench import suites
from suder_bench.errors import UserError
from suder_bench.reports import published
from suder_bench.reports.admission import start_of
from suder_bench.reports.measured import Measured, Scores, quoted, starts_of
from suder_bench.reports.recipes import difference, losses, recipe, shared
from suder_bench.reports.tables.layout import EXTENSIONS, FURTHER, KNOWN, LAYOUTS, Column, Layout, Number, called, file_of
from suder_bench.runs.table import FEW_CLUSTERS

Rank = Literal["", "best", "second"]
WORLD = "measured on the embedded world, not comparable with published numbers"
OWN_ELSEWHERE = "Measured as the benchmark does it, and beside the published numbers."
FOREIGN_ELSEWHERE = "Measured, but not quite as the benchmark does it, and in a table apart."
OTHER = "measured in another way, not comparable with the other tables"


@dataclass(frozen=True)
class Cell:
    """Digits as printed, '' where there is none; `gain` in points over the row's base, `without` what it is without prompts that
    the model was trained on; `notes` are texts of footnotes, and `doubts` those of its interval. `tied`: others of another value
    share its rank."""

    value: str = ""
    low: str = ""
    high: str = ""
    gain: str = ""
    rank: Rank = ""
    notes: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    tied: bool = False
    without: str = ""


@dataclass(frozen=True)
class Row:
    """A model's row. `group` is generation, understanding or unified for a published row, else 'measured'."""

    label: str
    group: str
    base: str
    cells: tuple[Cell, ...]
    notes: tuple[str, ...] = ()
    source: str = ""


@dataclass(frozen=True)
class Table:
    """One table to print. `name` is its file's; `columns` have their footnotes; `recipes` tell how each measured row was made."""

    number: Number
    name: str
    title: str
    columns: tuple[tuple[str, tuple[str, ...]], ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    recipes: tuple[tuple[str, tuple[str, ...]], ...]

    @property
    def footnotes(self) -> dict[str, str]:
        """Letters of the footnotes that cells, rows and columns refer to, by text, in the order a reader meets them."""
        texts = [text for _, notes in self.columns for text in notes]
        for row in self.rows:
            texts += [*row.notes, *(text for cell in row.cells for text in cell.notes)]
            texts += [text for cell in row.cells for text in cell.doubts]
        return {text: _letter(i) for i, text in enumerate(dict.fromkeys(texts))}


def build(measured: Sequence[Measured], asked: Sequence[Number] = ()) -> tuple[list[Table], list[str]]:
    """The tables asked for, or all that the rows suffice for; and a line for each table left out and each row with gaps.

    Raises `UserError` for a table asked for whose benchmark nobody scored, and when none can be made.
    """
    tables: list[Table] = []
    made: list[Layout] = []
    left_out: list[str] = []
    further = [number for number, layout in FURTHER.items() if _scored(layout, measured)]
    ours = [number for number, layout in EXTENSIONS.items() if compared(layout, measured)]
    for number in asked or [*LAYOUTS, *further, *ours]:
        layout = KNOWN[number]
        try:
            admitted, without = _admitted(layout, measured)
            tables += _tables(layout, admitted)
            made.append(layout)
            left_out += without
        except UserError as error:
            if asked:
                raise
            left_out.append(str(error))
    if not tables:
        runs = ", ".join(quoted(run) for row in measured for run in row.runs)
        names = tuple(dict.fromkeys(name for layout in LAYOUTS.values() for name in layout.benchmarks))
        raise UserError(f"no score for any of Tables 1-6 in {runs}; {command(measured[0], names)}")
    return tables, left_out + _gaps(made, measured)


def _gaps(made: Sequence[Layout], measured: Sequence[Measured]) -> list[str]:
    """Of the tables made, what each row lacks, and the command that scores it; comparisons of trainings have no gaps."""
    lines = []
    for row in measured:
        lacking = {
            layout: missing
            for layout in made
            if not layout.compares
            and layout.admits.model(row)
            and (missing := [name for name in layout.benchmarks if name not in row.scores])
        }
        if lacking:
            numbers = ", ".join(called("Table", layout.number) for layout in lacking)
            missing = list(dict.fromkeys(name for names in lacking.values() for name in names))
            lines.append(f"{row.label} in {numbers}: not scored on {', '.join(missing)}; {command(row, missing)}")
    return lines


def _admitted(layout: Layout, measured: Sequence[Measured]) -> tuple[list[Measured], list[str]]:
    """The rows that belong into the table, and a line for each start model left out: no rows where the table is about other
    models than those that were scored, so that the published ones stand alone. Raises `UserError` saying what is missing and
    the command that makes it."""
    if layout.compares:
        return trainings(layout, measured)
    rows = _scored(layout, measured)
    if not rows:
        needs = " or ".join(layout.benchmarks)
        raise UserError(
            f"{called('Table', layout.number)} needs {needs}, which no run has scored; {command(measured[0], layout.benchmarks)}"
        )
    return [row for row in rows if layout.admits.model(row)], []


def trainings(layout: Layout, measured: Sequence[Measured]) -> tuple[list[Measured], list[str]]:
    """`sufficient` of the trainings compared and their start models. Raises `UserError` where none was given, too."""
    trained = compared(layout, measured)
    what = called("Table", layout.number)
    if not trained:
        asked, example = layout.sought or layout.admits, layout.example
        raise UserError(
            f"{what} compares trainings ({', '.join(asked.strategies)}; reward {' or '.join(asked.rewards)}) "
            f"and none was given; make one with: suder-bench train --config {example} --out runs/{example} && "
            f"suder-bench track runs/{example} --suite all"
        )

    def lacking(row: Measured) -> list[str]:
        columns = [part for one in layout.columns for part in one.of or (one,)]
        return [name for name in layout.benchmarks if not any(_has(row, one) for one in columns if one.benchmark == name)]

    return sufficient(what, [*starts_of(trained, measured), *trained], lacking)


def compared(layout: Layout, measured: Sequence[Measured]) -> list[Measured]:
    """The trainings that a comparison is of; of an extension those of the models that one which is sought was trained from."""
    trained = [row for row in measured if layout.admits.training(row)]
    if layout.sought is None:
        return trained
    starts = {start_of(row) for row in trained if layout.sought.training(row)}
    return [row for row in trained if start_of(row) in starts]


def sufficient(
    what: str, rows: Sequence[Measured], lacking: Callable[[Measured], Sequence[str]]
) -> tuple[list[Measured], list[str]]:
    """The rows of those start models whose rows all have the benchmarks that a comparison needs, and a line for each of the other
    start models. Raises `UserError` with the first line where no model is left."""
    lines: dict[str, str] = {}
    for row in rows:
        if missing := lacking(row):
            lines.setdefault(start_of(row), f"{what} needs {' and '.join(missing)} of {row.label}; {command(row, missing)}")
    kept = [row for row in rows if start_of(row) not in lines]
    if lines and not kept:
        raise UserError(next(iter(lines.values())))
    return kept, list(lines.values())


def _scored(layout: Layout, measured: Sequence[Measured]) -> list[Measured]:
    """The rows that have some of its numbers."""
    return [row for row in measured if any(_has(row, column) for column in layout.columns)]


def _has(row: Measured, column: Column) -> bool:
    return column.metric_of(row.scores) is not None


def command(row: Measured, benchmarks: Sequence[str]) -> str:
    """The command that scores these benchmarks of the row's model."""
    chosen = " ".join(f"--benchmark {name}" for name in benchmarks)
    for suite, names in suites.SUITES.items():
        if set(names) == set(benchmarks):
            chosen = f"--suite {suite}"
            break
    if row.training:
        return f"score it with: suder-bench track {quoted(row.training.run)} {chosen}"
    return f"score it with: suder-bench run --model {quoted(row.model)} {chosen}"


def apart(layout: Layout, rows: Sequence[Measured]) -> list[list[Measured]]:
    """The rows in groups that may share a table (or a figure); those beside the paper's own come first.

    A row of which some numbers may stand beside published ones and others not is in two groups, with a part of its numbers.
    """
    groups: list[list[Measured]] = []
    for part in (part for row in rows for part in _parts(layout, row)):
        group = next((group for group in groups if all(_together(layout, part, other) for other in group)), None)
        if group is None:
            groups.append(group := [])
        group.append(part)
    return sorted(groups, key=lambda group: not beside_published(layout, group[0]))


def _parts(layout: Layout, row: Measured) -> list[Measured]:
    """The row with the numbers that the layout shows, in two parts where only some of them may stand beside published ones."""
    columns = [part for one in layout.columns for part in one.of or (one,)]
    names = {name: {one.metric for one in columns if one.benchmark == name} for name in layout.benchmarks}
    found: dict[bool, dict[str, Scores]] = {}
    for name, metrics in names.items():
        for part in row.scores[name].parts(metrics) if name in row.scores else ():
            found.setdefault(part.comparable, {})[name] = part
    several = [name for name in names if all(name in half for half in found.values())]
    if len(found) < 2 or not several:
        whole = {name: one for half in found.values() for name, one in half.items()}
        return [replace(row, scores={**row.scores, **whole})]
    others = {name: one for name, one in row.scores.items() if name not in names}
    return [replace(row, scores={**others, **found[half]}) for half in (True, False)]


def heading(layout: Layout, group: Sequence[Measured], groups: Sequence[Sequence[Measured]]) -> tuple[str, str]:
    """(name, words) that tell a group which is not the paper's from the other groups."""
    reasons = [difference(group, layout.benchmarks), origin(layout, group, groups)]
    why = "; ".join(filter(None, reasons))
    name, title = ("world", WORLD) if group[0].world else ("other", OTHER)
    return name, title + (f" ({why})" if why else "")


def origin(layout: Layout, group: Sequence[Measured], groups: Sequence[Sequence[Measured]]) -> str:
    """The start model of a group of trainings, where the groups have several."""
    starts = {start_of(row) for own in groups for row in own}
    return f"trained from {start_of(group[0])}" if layout.compares and len(starts) > 1 else ""


def _tables(layout: Layout, rows: Sequence[Measured]) -> list[Table]:
    measured = apart(layout, rows)
    groups = dict(enumerate(measured, start=0 if measured and beside_published(layout, measured[0][0]) else 1))
    if published.rows(layout.number):
        groups = {0: [], **groups}
    return [_table(layout, group, measured, place) for place, group in groups.items()]


def _together(layout: Layout, one: Measured, other: Measured) -> bool:
    if layout.compares and start_of(one) != start_of(other):
        return False
    shared = [name for name in layout.benchmarks if name in one.scores and name in other.scores]
    alike = all(one.scores[name].alike(other.scores[name]) for name in shared)
    return alike and one.world == other.world and beside_published(layout, one) == beside_published(layout, other)


def beside_published(layout: Layout, row: Measured) -> bool:
    """Whether all that the layout shows of the row keeps the official protocol and judges on real data."""
    return all(row.scores[name].comparable for name in layout.benchmarks if name in row.scores)


def _table(layout: Layout, group: Sequence[Measured], groups: Sequence[Sequence[Measured]], place: int) -> Table:
    """The table in the first place, 0, has the published rows, where there are any."""
    notes = published.notes(layout.number) if place == 0 else ()
    rows = [_published_row(layout, row) for row in published.rows(layout.number)] if place == 0 else []
    rows = _gains(layout, rows) + _gains(layout, [_measured_row(layout, row) for row in group])
    rows = [replace(row, cells=cells) for row, cells in zip(rows, _ranked(rows), strict=True)]
    if place == 0:
        of_paper = bool(published.rows(layout.number))
        name, title = ("paper", "published and measured" if group else "published") if of_paper else ("real", "measured")
        title += f" ({why})" if group and (why := origin(layout, group, groups)) else ""
    else:
        name, title = heading(layout, group, groups)
    sources = dict.fromkeys(row.source for row in rows if row.source)
    return Table(
        number=layout.number,
        name=f"{file_of('Table', layout.number)}-{name}" + (f"-{place}" if place > 1 else ""),
        title=f"{called('Table', layout.number)}. {layout.title}: {title}",
        columns=tuple(
            (one.name, tuple(note.text for note in notes if note.column == one.name and not note.model)) for one in layout.columns
        ),
        rows=tuple(rows),
        notes=(
            *layout.notes,
            *_absent(layout, groups),
            *(f"Published rows: {source}." for source in sources),
            *(one.text for one in notes if not one.model + one.column),
        ),
        recipes=tuple((row.label, recipe(row, layout.benchmarks)) for row in group),
    )


def _absent(layout: Layout, groups: Sequence[Sequence[Measured]]) -> list[str]:
    """That none of the models was measured that the table is about."""
    return [] if groups else [f"Of {' or '.join(layout.admits.families)}, which this table is about, nothing was measured here."]


def _published_row(layout: Layout, row: published.PublishedRow) -> Row:
    mine = [note for note in published.notes(layout.number) if note.model == row.model]
    cells = tuple(
        Cell(row.values.get(column.name, ""), notes=tuple(note.text for note in mine if note.column == column.name))
        for column in layout.columns
    )
    return Row(row.model, row.group, row.base, cells, tuple(note.text for note in mine if not note.column), row.source)


def _measured_row(layout: Layout, row: Measured) -> Row:
    cells = []
    for column in layout.columns:
        found = column.metric_of(row.scores)
        value, low, high = (column.shown(found[key] if found else None) for key in ("value", "low", "high"))
        few = found.get("few_clusters") if found else None
        doubts = () if few is None else (f"{FEW_CLUSTERS[:1].upper()}{FEW_CLUSTERS[1:]}.",)
        notes = () if found else _elsewhere(row, column)
        cells.append(Cell(value, low, high, notes=notes, doubts=doubts, without=_without(row, column) if found else ""))
    notes = (*losses(row, layout.benchmarks), *shared(row, layout.benchmarks))
    return Row(row.label, "measured", row.base, tuple(cells), notes)


def _without(row: Measured, column: Column) -> str:
    """The number over the prompts that the model was not trained on, where there are some that it was."""
    overlap = row.seen.get(column.benchmark)
    if overlap is None or not overlap.shared:
        return ""
    return column.shown(overlap.without.get(row.scores[column.benchmark].name_of(column.metric)))


def _elsewhere(row: Measured, column: Column) -> tuple[str, ...]:
    """Where the number stands that this part of a row leaves to the other."""
    part = row.scores.get(column.benchmark)
    if part is None or replace(part, only=None).metric(column.metric) is None:
        return ()
    return (OWN_ELSEWHERE,) if not part.comparable else (FOREIGN_ELSEWHERE,)


def _gains(layout: Layout, rows: Sequence[Row]) -> list[Row]:
    """The rows with their gains over the base, where that stands among them too."""
    by_label: Mapping[str, Row] = {row.label: row for row in rows}
    found = []
    for row in rows:
        base = by_label.get(row.base)
        if base is None:
            found.append(replace(row, base=""))
            continue
        gains = [column.gain(*pair) for column, pair in zip(layout.columns, _pairs(row, base), strict=True)]
        found.append(replace(row, cells=tuple(replace(cell, gain=gain) for cell, gain in zip(row.cells, gains, strict=True))))
    return found


def _pairs(row: Row, base: Row) -> list[tuple[str, str]]:
    return [(mine.value, its.value) for mine, its in zip(row.cells, base.cells, strict=True)]


def _ranked(rows: Sequence[Row]) -> list[tuple[Cell, ...]]:
    """The cells of the rows with their ranks; a column of one number has none."""
    columns = [
        _ranked_column([row.group == "measured" for row in rows], cells) for cells in zip(*(r.cells for r in rows), strict=True)
    ]
    return list(zip(*columns, strict=True))


def _ranked_column(measured: Sequence[bool], cells: Sequence[Cell]) -> list[Cell]:
    """The highest number is best and the next lower one second, equal ones alike. Measured ones that cannot be told from it are
    tied with it, and so is what lies between them; nothing is second to a tie. What was measured without an interval has no
    rank."""
    left = {i: Decimal(cell.value) for i, cell in enumerate(cells) if cell.value and not (measured[i] and not cell.low)}
    found = list(cells)
    if len(set(left.values())) < 2:
        return found
    ranks: tuple[Rank, ...] = ("best", "second")
    for rank in ranks:
        highest = max(left.values(), default=Decimal(0))
        tops = [cells[i] for i, value in left.items() if value == highest]
        lowest = min((value for i, value in left.items() if any(_tied(cells[i], top) for top in tops)), default=highest)
        for i in [i for i, value in left.items() if value >= lowest]:
            found[i] = replace(cells[i], rank=rank, tied=lowest < highest)
            del left[i]
        if lowest < highest:
            break
    return found


def _tied(one: Cell, other: Cell) -> bool:
    """Whether one of two measured numbers lies in the other's interval; of published ones none is known."""
    values, ends = (one.value, other.value), (other.low, other.high, one.low, one.high)
    if not all(ends):
        return False
    low, high, own_low, own_high = map(Decimal, ends)
    return low <= Decimal(values[0]) <= high or own_low <= Decimal(values[1]) <= own_high


def _letter(i: int) -> str:
    return (_letter(i // 26 - 1) if i >= 26 else "") + chr(ord("a") + i % 26)
