"""The published numbers: complete, as printed, and the arithmetic behind their footnotes."""

from __future__ import annotations

from decimal import Decimal

import pytest

from suder_bench.reports import published
from suder_bench.reports.tables.layout import KNOWN, LAYOUTS


@pytest.mark.parametrize(("table", "rows"), [(1, 14), (2, 23), (3, 17), (4, 4), (5, 3), (6, 16)])
def test_every_row_is_there_once_with_known_columns(table: int, rows: int) -> None:
    found = published.rows(table)
    assert len(found) == rows
    known = {column.name for column in LAYOUTS[table].columns}
    assert all(set(row.values) <= known and row.source == f"arXiv:2506.07963v3 Table {table}" for row in found)
    assert {row.base for row in found} - {""} <= {row.model for row in found}


def test_digits_are_those_in_print() -> None:
    by_model = {row.model: row for row in published.rows(1)}
    assert by_model["Janus-Pro-7B + SUDER"].values["Color"] == "0.7824"
    assert by_model["Show-o"].values["Spatial"] == "0.20"
    assert "Spatial" not in by_model["Emu3"].values


@pytest.mark.parametrize(("table", "rows", "gain"), [(7, 13, "4.37"), (8, 3, "2.93")])
def test_srums_rows_are_there_with_their_like(table: int, rows: int, gain: str) -> None:
    """A row that draws after a chain of thought is compared with its base that does so too."""
    found = {row.model: row for row in published.rows(table)}
    assert len(found) == rows
    overall = KNOWN[table].columns[-1].name
    assert all(set(row.values) == {column.name for column in KNOWN[table].columns} for row in found.values())
    tuned = found["Bagel+SRUM"]
    assert Decimal(tuned.values[overall]) - Decimal(found[tuned.base].values[overall]) == Decimal(gain)
    if table == 7:
        thought = found["Bagel+SRUM (CoT)"]
        assert thought.base == "Bagel (CoT)"
        assert Decimal(thought.values[overall]) - Decimal(found[thought.base].values[overall]) == Decimal("3.91")


@pytest.mark.parametrize("table", KNOWN)
def test_footnotes_hang_on_rows_and_columns_that_exist(table: int) -> None:
    models, columns = {row.model for row in published.rows(table)}, {column.name for column in KNOWN[table].columns}
    for note in published.notes(table):
        assert note.model in models | {""}
        assert note.column in columns | {""}


def test_the_row_of_two_checkpoints() -> None:
    seven = next(row for row in published.rows(1) if row.model == "Janus-Pro-7B + SUDER").values
    ablation = {row.model: row.values for row in published.rows(4)}
    both, alone = ablation["Janus-Pro-7B + SUDER, both"], ablation["Janus-Pro-7B + SUDER, only generation"]
    assert (seven["Color"], seven["Shape"], seven["Texture"]) == (alone["Color"], alone["Shape"], both["Texture"])
    assert (both["Color"], both["Shape"]) == ("0.7773", "0.5763")


@pytest.mark.parametrize(("size", "gain"), [("1B", "23.26"), ("7B", "11.68")])
def test_the_mean_gains_that_the_footnote_gives(size: str, gain: str) -> None:
    rows = {row.model: row.values for row in published.rows(1)}
    new, old = rows[f"Janus-Pro-{size} + SUDER"], rows[f"Janus-Pro-{size}"]
    mean = sum((Decimal(new[name]) - Decimal(old[name]) for name in new), Decimal()) * 100 / 6
    assert round(mean, 2) == Decimal(gain)
