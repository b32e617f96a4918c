"""Aggregations of lists as functions of row weights. Needs no lmms-eval."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from suder_bench import stats
from suder_bench.lmms.aggregation import CALLS, statistic


def mean(results: Sequence[float]) -> float:
    return sum(results) / len(results)


def field(results: Sequence[Mapping[str, Any]]) -> float:
    return 100 * mean([float(one["pred"] == one["answer"]) for one in results])


def f1(results: Sequence[Sequence[bool]]) -> float:
    tp = sum(said and true for said, true in results)
    return 2 * tp / (2 * tp + sum(said != true for said, true in results)) if tp else 0.0


def groups(results: Sequence[Sequence[Any]]) -> float:
    found: dict[str, list[bool]] = {}
    for name, right in results:
        found.setdefault(name, []).append(right)
    return mean([float(all(right)) for right in found.values()])


def weights(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 4, (5, count)).astype(float)


def copies(results: Sequence[Any], row: np.ndarray) -> list[Any]:
    return [one for one, weight in zip(results, row, strict=True) for _ in range(int(weight))]


@pytest.mark.parametrize("aggregation", [mean, lambda results, args: mean(results)])
def test_a_mean_is_weighted_sums_and_exact_with_all_weights_one(aggregation: Any) -> None:
    results = list(np.random.default_rng(1).uniform(size=40))
    made = statistic(aggregation, results)
    assert made is not None
    assert len(made.columns) == 2
    assert float(made.of(np.ones(40))) == mean(results)
    for row, value in zip(weights(40), made.of(weights(40)), strict=True):
        assert value == pytest.approx(mean(copies(results, row)))
    assert made.of(np.full((2, 40), 0.5)) == pytest.approx([mean(results)] * 2)


def test_a_mean_of_fields_has_the_interval_of_its_numbers() -> None:
    right = np.arange(60) % 3 == 0
    made = statistic(field, [{"pred": "a", "answer": "a" if one else "b"} for one in right])
    same = statistic(mean, [100.0 * one for one in right])
    assert made is not None
    assert same is not None
    clusters = [str(number // 2) for number in range(60)]
    found, numbers = stats.metric(made, clusters), stats.metric(same, clusters)
    assert found.value == field([{"pred": "a", "answer": "a" if one else "b"} for one in right])
    assert (found.low, found.high, found.n) == (numbers.low, numbers.high, numbers.n)


def test_any_other_function_is_of_copies() -> None:
    rng = np.random.default_rng(2)
    results = [[bool(rng.integers(2)), bool(rng.integers(2))] for _ in range(50)]
    made = statistic(f1, results)
    assert made is not None
    assert made.columns == ()
    for row, value in zip(weights(50), made.of(weights(50)), strict=True):
        assert value == f1(copies(results, row))
    interval = stats.metric(made, [str(number) for number in range(50)])
    assert interval.low is not None
    assert interval.high is not None
    assert interval.low < interval.value == f1(results) < interval.high


def test_rows_without_a_result_do_not_count() -> None:
    results = [1.0, None, 0.0, None, 1.0]
    made = statistic(mean, results)
    assert made is not None
    assert made.n == 3
    assert float(made.of(np.array([1.0, 5, 1, 0, 1]))) == 2 / 3
    assert statistic(mean, [None, None]) is None


def test_where_copies_do_not_count_there_is_a_value_and_no_interval() -> None:
    results = [[str(number // 2), number % 3 > 0] for number in range(40)]
    made = statistic(groups, results)
    assert made is not None
    found = stats.metric(made, [str(number // 2) for number in range(40)])
    assert (found.value, found.low, found.high) == (groups(results), None, None)


def test_a_dear_aggregation_is_made_once() -> None:
    asked = []

    def dear(results: Sequence[float]) -> float:
        asked.append(len(results))
        return float(np.median([abs(one) for one in results for _ in range(CALLS // len(results) + 1)]))

    made = statistic(dear, [float(number) for number in range(30)])
    assert made is not None
    found = stats.metric(made, [str(number) for number in range(30)])
    assert (found.value, found.low, asked) == (14.5, None, [30])


def test_no_number_is_no_metric_and_what_fails_is_told() -> None:
    assert statistic(lambda results: None, [1, 2]) is None
    assert statistic(lambda results: "done", [1, 2]) is None
    assert statistic(lambda results: True, [1, 2]) is None
    with pytest.raises(KeyError):
        statistic(lambda results: results[0]["gone"], [{}])


def test_files_and_prints_of_an_aggregation_go_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    def writes(results: Sequence[float], args: Namespace) -> float:
        print("Storing files ...")
        Path("submission.json").write_text(json.dumps(list(results)))
        Path(args.output_path, "more.json").write_text("{}")
        return mean(results)

    made = statistic(writes, [0.0, 1.0])
    assert made is not None
    assert float(made.of(np.ones(2))) == 0.5
    assert (list(tmp_path.iterdir()), capsys.readouterr().out, Path.cwd()) == ([], "", tmp_path)
