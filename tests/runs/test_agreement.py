"""Cohen's kappa of two judges' scores, against the table of classes that textbooks compute it from."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from suder_bench import stats
from suder_bench.runs.agreement import kappa

SCORES = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=2, max_size=40)


def by_table(a: np.ndarray, b: np.ndarray) -> float:
    """Weighted kappa from the table of how often which two scores met, with squared distances as weights."""
    levels = np.unique([a, b])
    table = np.array([[np.sum((a == one) & (b == other)) for other in levels] for one in levels]) / len(a)
    chance = np.outer(table.sum(axis=1), table.sum(axis=0))
    weights = (levels[:, None] - levels[None]) ** 2
    return float(1 - (weights * table).sum() / (weights * chance).sum())


def value(a: np.ndarray, b: np.ndarray) -> float:
    with np.errstate(invalid="ignore"):
        return float(kappa(a, b).of(np.ones(len(a))))


def test_right_and_wrong_as_in_the_textbook() -> None:
    pairs = [(1, 1)] * 20 + [(1, 0)] * 5 + [(0, 1)] * 10 + [(0, 0)] * 15
    a, b = np.array(pairs, dtype=float).T
    assert value(a, b) == pytest.approx(0.4)  # 0.7 agree, 0.5 by chance


@settings(deadline=None, derandomize=True)
@given(SCORES)
def test_scores_on_a_scale_are_weighted_by_squared_distances(pairs: list[tuple[int, int]]) -> None:
    a, b = np.array(pairs, dtype=float).T
    if len(np.unique([a, b])) == 1:
        assert np.isnan(value(a, b))
        return
    assert value(a, b) == pytest.approx(by_table(a, b), abs=1e-9)
    assert value(a, b) == pytest.approx(value(b, a), abs=1e-9)
    assert value(1e6 + 20 * a, 1e6 + 20 * b) == pytest.approx(by_table(a, b), abs=1e-6)


@settings(deadline=None, derandomize=True)
@given(SCORES)
def test_a_judge_agrees_with_itself(pairs: list[tuple[int, int]]) -> None:
    a, _ = np.array(pairs, dtype=float).T
    assert np.isnan(value(a, a)) if len(set(a)) == 1 else value(a, a) == pytest.approx(1)


def test_the_interval_holds_what_the_scores_were_drawn_with() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 2000)
    a, b = (np.where(rng.random(2000) < 0.9, truth, 1 - truth).astype(float) for _ in range(2))
    found = stats.metric(kappa(a, b), [str(i // 2) for i in range(2000)])
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0.64 < found.high  # 0.82 agree, 0.5 by chance
    assert found.high - found.low < 0.1
