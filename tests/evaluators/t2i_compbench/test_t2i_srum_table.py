"""SRUM's rubric against its own printed table, which the suite's sums have to reproduce."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from suder_bench.evaluators.t2i_compbench import T2ICompBench
from suder_bench.records import Sample, Verdict
from suder_bench.world import tasks

PRINTED = Path(__file__).parents[3] / "reports" / "published" / "srum.csv"


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> T2ICompBench:
    folder = tmp_path_factory.mktemp("srum")
    tasks.write(folder, size="quick", benchmarks=["t2i-compbench"])
    return T2ICompBench(folder, "srum")


def row(sample: Sample, score: float) -> tuple[Sample, Verdict]:
    return sample, Verdict("t2i-compbench", sample.id, 0, "", {"score": score}, None, "")


def printed() -> dict[tuple[str, str], dict[str, float]]:
    """SRUM's tables, as they are kept."""
    found: dict[tuple[str, str], dict[str, float]] = {}
    for line in csv.DictReader(PRINTED.open(encoding="utf-8")):
        found.setdefault((line["benchmark"], line["model"]), {})[line["column"]] = float(line["value"])
    return found


COLUMNS = {
    "3d spatial": "3d_spatial",
    "Color": "color",
    "Complex": "complex",
    "Nonspatial": "non_spatial",
    "Numeracy": "numeracy",
    "Shape": "shape",
    "Spatial": "spatial",
    "Texture": "texture",
}


@pytest.mark.parametrize("model", [model for benchmark, model in printed() if benchmark == "T2I-CompBench"])
def test_the_columns_of_srums_table_make_its_overall(bench: T2ICompBench, model: str) -> None:
    """With each category at its printed number: complex is one of eight, whatever it is made of."""
    columns = printed()["T2I-CompBench", model]
    scores = {category: columns[column] for column, category in COLUMNS.items()}
    rows = [row(sample, scores[sample.truth["category"]]) for sample in bench.samples()]
    found = {name: float(one.of(np.ones(len(rows)))) for name, one in bench.statistics(rows).items()}
    assert [found[f"srum/{category}"] for category in scores] == pytest.approx(list(scores.values()))
    assert found["srum/average"] == pytest.approx(columns["Overall"], abs=0.0051)  # half a digit of the last


def test_srums_headline_is_not_like_for_like() -> None:
    """82.18 to 88.37 goes from drawing directly to drawing after a chain of thought."""
    overall = {model: columns["Overall"] for (benchmark, model), columns in printed().items() if benchmark == "T2I-CompBench"}
    assert (overall["Bagel"], overall["Bagel+SRUM (CoT)"]) == (82.18, 88.37)
    assert overall["Bagel+SRUM"] - overall["Bagel"] == pytest.approx(4.37)
    assert overall["Bagel+SRUM (CoT)"] - overall["Bagel (CoT)"] == pytest.approx(3.91)
