"""SUDER against SRUM: by how much the trainings of an extension's table differ, paired by prompt, as notes under the table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from suder_bench.errors import UserError
from suder_bench.hypotheses import holm
from suder_bench.reports.findings import Difference
from suder_bench.reports.measured import Measured
from suder_bench.reports.tables import Table
from suder_bench.reports.tables.layout import EXTENSIONS, Column, Layout
from suder_bench.runs.table import FEW, FEW_CLUSTERS
from suder_bench.stats import Paired

HOW = (
    "Differences are in points, paired by prompt, picture or question group, with 95 % intervals; p is adjusted (Holm) for all"
    " {count} of them. What another seed of a training would do is not covered where each was run once."
)


def compared(tables: Sequence[Table], rows: Sequence[Measured], difference: Difference) -> list[Table]:
    """The tables, each extension among them with a note for each of its trainings with SRUM's reward: by how much that differs
    from SUDER's of the same strategy, in every column. The differences of a table are one family of tests."""
    return [_compared(one, EXTENSIONS[str(one.number)], rows, difference) if one.number in EXTENSIONS else one for one in tables]


def _compared(table: Table, layout: Layout, rows: Sequence[Measured], difference: Difference) -> Table:
    shown = {row.label for row in table.rows}
    pairs = list(_pairs(layout, [row for row in rows if row.label in shown]))
    columns = [one for one in layout.columns if not one.of]
    found = [[_gap(*pair, column, difference) for column in columns] for pair in pairs]
    ps = [gap.p for own in found for gap in own if isinstance(gap, Paired) and gap.p is not None]
    adjusted = iter(holm(ps))
    told = []
    for (row, other), own in zip(pairs, found, strict=True):
        gaps = ", ".join(_told(column, gap, adjusted) for column, gap in zip(columns, own, strict=True))
        told.append(f"{row.label} less {other.label}: {gaps}.")
    few = any(isinstance(gap, Paired) and gap.few_clusters is not None for own in found for gap in own)
    how = [HOW.format(count=len(ps)) + (f" {FEW} {FEW_CLUSTERS}." if few else "")] if ps else []
    return replace(table, notes=(*table.notes, *told, *how))


def _pairs(layout: Layout, rows: Sequence[Measured]) -> Iterator[tuple[Measured, Measured]]:
    """Each training that the extension is about, with SUDER's of the same strategy."""
    for row in rows:
        for other in rows:
            if layout.sought is None or row.training is None or other.training is None:
                continue
            alike = row.training.strategy == other.training.strategy
            if alike and layout.sought.training(row) and not layout.sought.training(other):
                yield row, other


def _gap(row: Measured, other: Measured, column: Column, difference: Difference) -> Paired | str:
    """row - other, or why nobody can tell."""
    before, after = (one.scores.get(column.benchmark) for one in (other, row))
    if before is None or after is None or before.metric(column.metric) is None or after.metric(column.metric) is None:
        return "not measured"
    try:
        return difference(column.benchmark, [after.name_of(column.metric)], before.run, after.run)
    except UserError as error:
        return str(error)


def _told(column: Column, gap: Paired | str, adjusted: Iterator[float]) -> str:
    if isinstance(gap, str):
        return f"{column.name} unknown ({gap})"
    scale = column.factor * column.points
    interval = "no interval" if gap.low is None or gap.high is None else f"{gap.low * scale:+z.1f} to {gap.high * scale:+z.1f}"
    p = "" if gap.p is None else f", p {next(adjusted):.2g}"
    return f"{column.name} {gap.difference * scale:+z.1f} ({interval}{FEW if gap.few_clusters is not None else ''}{p})"
