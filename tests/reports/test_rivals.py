"""By how much SRUM's trainings differ from SUDER's, as notes under Extension A, from differences that are given."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from fake_runs import GEN, write_training

from suder_bench.errors import UserError
from suder_bench.reports import measured
from suder_bench.reports.findings import Difference
from suder_bench.reports.rivals import compared
from suder_bench.reports.tables import Table, build
from suder_bench.stats import Paired

CREDIT = "srum: {credit: boxes}\n"
SUDER = "strategy: unified\n"
ALONE = "strategy: only-gen\nreward: {gen: {dsr: 1.0}}\n"
SRUM = "strategy: only-gen\nreward: {gen: {srum: 1.0}}\n" + CREDIT
BOTH = "strategy: unified\nreward: {gen: {dsr: 0.5, srum: 0.5}}\n" + CREDIT


def paired(points: float, p: float | None, *, few: int | None = None) -> Paired:
    """A difference of so many points, within two."""
    edges = (None, None) if p is None else ((points - 2) / 100, (points + 2) / 100)
    return Paired(0.5, 0.5 + points / 100, points / 100, *edges, p, None, 100, few_clusters=few)


def told(paths: Sequence[Path], difference: Difference) -> list[str]:
    """The notes that are added under the extension."""
    rows = measured.read(paths)
    tables = build(rows)[0]
    after = compared(tables, rows, difference)
    assert [one for one in after if one.number != "A"] == [one for one in tables if one.number != "A"]
    [before], [found] = ([one for one in some if one.number == "A"] for some in (tables, after))
    assert found.notes[: len(before.notes)] == before.notes
    return list(found.notes[len(before.notes) :])


def trainings(tmp_path: Path, **recipes: str) -> list[Path]:
    return [write_training(tmp_path / name, recipe, 0.5, 0.6) for name, recipe in recipes.items()]


def test_each_of_srums_trainings_stands_against_suders_of_the_same_strategy(tmp_path: Path) -> None:
    asked: list[tuple[str, str, str, str]] = []

    def difference(benchmark: str, metrics: Sequence[str], a: Path, b: Path) -> Paired:
        [metric] = metrics
        asked.append((benchmark, metric, a.relative_to(tmp_path).parts[0], b.relative_to(tmp_path).parts[0]))
        return paired({"geneval": 3.0, "t2i-compbench": -4.0}.get(benchmark, 0.0), {"geneval": 0.004}.get(benchmark, 0.5))

    srum, both, how = told(trainings(tmp_path, suder=SUDER, alone=ALONE, srum=SRUM, both=BOTH), difference)
    assert asked[:2] == [("geneval", "overall", "alone", "srum"), ("t2i-compbench", "average", "alone", "srum")]
    assert {(before, after) for _, _, before, after in asked} == {("alone", "srum"), ("suder", "both")}
    assert len(asked) == 14
    assert srum.startswith(
        "my-model + srum (simpo with credit by boxes), only-gen less my-model + dsr (simpo), only-gen: "
        "GenEval +3.0 (+1.0 to +5.0, p 0.056), T2I-CompBench -4.0 (-6.0 to -2.0, p 1), HallBench +0.0 (-2.0 to +2.0, p 1), "
    )  # fourteen times 0.004
    assert both.startswith(
        "my-model + 0.5 dsr + 0.5 srum (simpo with credit by boxes), unified less my-model + dsr (simpo), unified"
    )
    assert "p is adjusted (Holm) for all 14 of them" in how


def test_what_cannot_be_told_is_said_in_its_place(tmp_path: Path) -> None:
    def difference(benchmark: str, metrics: Sequence[str], a: Path, b: Path) -> Paired:
        if benchmark == "pope":
            raise UserError("other questions")
        return paired(1.0, None if benchmark == "geneval" else 0.2, few=4 if benchmark == "mmbench" else None)

    srum, how = told(trainings(tmp_path, alone=ALONE, srum=SRUM), difference)
    assert "GenEval +1.0 (no interval), T2I-CompBench +1.0 (-1.0 to +3.0, p 1)" in srum
    assert "POPE unknown (other questions), MMB +1.0 (-1.0 to +3.0~, p 1)" in srum
    assert "for all 5 of them" in how
    assert "~ over fewer than ten prompts, pictures or question groups" in how


@pytest.mark.parametrize("recipes", [{"srum": SRUM}, {"suder": SUDER, "srum": SRUM}])
def test_without_suders_of_the_strategy_nothing_is_compared(tmp_path: Path, recipes: dict[str, str]) -> None:
    def difference(benchmark: str, metrics: Sequence[str], a: Path, b: Path) -> Paired:
        raise AssertionError

    assert told(trainings(tmp_path, **recipes), difference) == []


def test_a_report_without_the_extension_stays_as_it_is(tmp_path: Path) -> None:
    rows = measured.read([write_training(tmp_path / "t", SUDER, 0.5, 0.6, benchmarks=GEN)])
    tables: list[Table] = build(rows)[0]
    assert compared(tables, rows, lambda *asked: paired(0, 1)) == tables
