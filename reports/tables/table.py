"""Tables 1-6: what stands in each cell, beside what it may stand, and what has to be said about it.

Numbers share a table only where they are comparable: world and real data, different questions, judges or protocols make
tables of their own. The published rows stand in the table of the measured rows that keep the benchmarks' official
protocol and judges on real data, or else alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Literal

from suder_bench import suites
from suder_bench.errors import UserError
from suder_bench.reports import published
from suder_bench.reports.admission import start_of
from suder_bench.reports.measured import Measured, Scores, quoted, starts_of
from suder_bench.reports.recipes import difference, losses, recipe
from suder_bench.reports.tables.layout import LAYOUTS, Column, Layout
from suder_bench.runs.table import FEW_CLUSTERS

Rank = Literal["", "best", "second"]
WORLD = "measured on the embedded world, not comparable with published numbers"
OWN_ELSEWHERE = "Measured as the benchmark does it, and beside the published numbers."
FOREIGN_ELSEWHERE = "Measured, but not quite as the benchmark does it, and in a table apart."
OTHER = "measured in another way, not comparable with the other tables"


@dataclass(frozen=True)
class Cell:
    """Digits as printed, '' where there is none; `gain` in points over the row's base; `notes` are texts of footnotes, and
    `doubts` those of its interval. `tied`: others of another value share its rank."""

    value: str = ""
    low: str = ""
    high: str = ""
    gain: str = ""
    rank: Rank = ""
    notes: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    tied: bool = False


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

    number: int
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


def build(measured: Sequence[Measured], asked: Sequence[int] = ()) -> tuple[list[Table], list[str]]:
    """The tables asked for, or all that the rows suffice for; and a line for each table left out and each row with gaps.

    Raises `UserError` for a table asked for whose benchmark nobody scored, and when none can be made.
    """
    tables: list[Table] = []
    made: list[Layout] = []
    left_out: list[str] = []
    for number in asked or LAYOUTS:
        layout = LAYOUTS[number]
        try:
            tables += _tables(layout, _admitted(layout, measured))
            made.append(layout)
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
            numbers = ", ".join(f"Table {layout.number}" for layout in lacking)
            missing = list(dict.fromkeys(name for names in lacking.values() for name in names))
            lines.append(f"{row.label} in {numbers}: not scored on {', '.join(missing)}; {command(row, missing)}")
    return lines


def _admitted(layout: Layout, measured: Sequence[Measured]) -> list[Measured]:
    """The rows that belong into the table: none where it is about other models than those that were scored, so that the
    published ones stand alone. Raises `UserError` saying what is missing and the command that makes it."""
    if layout.compares:
        return _trainings(layout, measured)
    rows = [row for row in measured if any(_has(row, column) for column in layout.columns)]
    if not rows:
        needs = " or ".join(layout.benchmarks)
        raise UserError(
            f"Table {layout.number} needs {needs}, which no run has scored; {command(measured[0], layout.benchmarks)}"
        )
    return [row for row in rows if layout.admits.model(row)]


def _trainings(layout: Layout, measured: Sequence[Measured]) -> list[Measured]:
    admits = layout.admits
    trained = [row for row in measured if admits.training(row)]
    if not trained:
        config = "clip-reward" if "clip" in admits.rewards else admits.strategies[0]
        raise UserError(
            f"Table {layout.number} compares trainings ({', '.join(admits.strategies)}; reward {' or '.join(admits.rewards)}) "
            f"and none was given; make one with: suder-bench train --config {config} --out runs/{config} && "
            f"suder-bench track runs/{config} --suite all"
        )
    rows = [*starts_of(trained, measured), *trained]
    for row in rows:
        missing = [
            name for name in layout.benchmarks if not any(_has(row, one) for one in layout.columns if one.benchmark == name)
        ]
        if missing:
            raise UserError(f"Table {layout.number} needs {' and '.join(missing)} of {row.label} too; {command(row, missing)}")
    return rows


def _has(row: Measured, column: Column) -> bool:
    scores = row.scores.get(column.benchmark)
    return scores is not None and scores.metric(column.metric) is not None


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
    names = {name: {one.metric for one in layout.columns if one.benchmark == name} for name in layout.benchmarks}
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
    reasons = [difference(group[0], layout.benchmarks), origin(layout, group, groups)]
    why = "; ".join(filter(None, reasons))
    name, title = ("world", WORLD) if group[0].world else ("other", OTHER)
    return name, title + (f" ({why})" if why else "")


def origin(layout: Layout, group: Sequence[Measured], groups: Sequence[Sequence[Measured]]) -> str:
    """The start model of a group of trainings, where the groups have several."""
    starts = {start_of(row) for own in groups for row in own}
    return f"trained from {start_of(group[0])}" if layout.compares and len(starts) > 1 else ""


def _tables(layout: Layout, rows: Sequence[Measured]) -> list[Table]:
    measured = apart(layout, rows)
    groups = measured if measured and beside_published(layout, measured[0][0]) else [[], *measured]
    return [_table(layout, group, measured, with_published=i == 0, number=i) for i, group in enumerate(groups)]


def _together(layout: Layout, one: Measured, other: Measured) -> bool:
    if layout.compares and start_of(one) != start_of(other):
        return False
    shared = [name for name in layout.benchmarks if name in one.scores and name in other.scores]
    alike = all(one.scores[name].alike(other.scores[name]) for name in shared)
    return alike and one.world == other.world and beside_published(layout, one) == beside_published(layout, other)


def beside_published(layout: Layout, row: Measured) -> bool:
    """Whether all that the layout shows of the row keeps the official protocol and judges on real data."""
    return all(row.scores[name].comparable for name in layout.benchmarks if name in row.scores)


def _table(
    layout: Layout, group: Sequence[Measured], groups: Sequence[Sequence[Measured]], *, with_published: bool, number: int
) -> Table:
    notes = published.notes(layout.number) if with_published else ()
    rows = [_published_row(layout, row) for row in published.rows(layout.number)] if with_published else []
    rows = _gains(layout, rows) + _gains(layout, [_measured_row(layout, row) for row in group])
    rows = [replace(row, cells=cells) for row, cells in zip(rows, _ranked(rows), strict=True)]
    if with_published:
        name, title = "paper", "published and measured" if group else "published"
        title += f" ({why})" if group and (why := origin(layout, group, groups)) else ""
    else:
        name, title = heading(layout, group, groups)
    sources = dict.fromkeys(row.source for row in rows if row.source)
    return Table(
        number=layout.number,
        name=f"table-{layout.number}-{name}" + (f"-{number}" if number > 1 else ""),
        title=f"Table {layout.number}. {layout.title}: {title}",
        columns=tuple(
            (one.name, tuple(note.text for note in notes if note.column == one.name and not note.model)) for one in layout.columns
        ),
        rows=tuple(rows),
        notes=(
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
        found = row.scores[column.benchmark].metric(column.metric) if column.benchmark in row.scores else None
        value, low, high = (column.shown(found[key] if found else None) for key in ("value", "low", "high"))
        few = found.get("few_clusters") if found else None
        doubts = () if few is None else (f"{FEW_CLUSTERS[:1].upper()}{FEW_CLUSTERS[1:]}.",)
        cells.append(Cell(value, low, high, notes=() if found else _elsewhere(row, column), doubts=doubts))
    return Row(row.label, "measured", row.base, tuple(cells), losses(row, layout.benchmarks))


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
