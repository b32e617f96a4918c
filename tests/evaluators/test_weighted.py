"""Aggregates over row weights against their plain definitions."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from suder_bench.evaluators.weighted import all_correct, average, count, mean, rounded

ROWS = st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(0, 3)), min_size=1, max_size=12)


@given(ROWS)
def test_a_weight_is_a_number_of_copies(rows: list[tuple[bool, bool, int]]) -> None:
    values, keep, weights = (np.array(column) for column in zip(*rows, strict=True))
    copies = [float(value) for value, kept, copy in rows if kept for _ in range(copy)]
    found = mean(values, keep)
    assert found.n == keep.sum()
    assert np.array_equal(found.of(weights), np.mean(copies) if copies else np.nan, equal_nan=True)
    assert count(values, keep).of(weights) == sum(copies)


def test_a_mean_of_nothing_is_undefined() -> None:
    part = mean(np.array([1.0, 0.0]), np.array([True, False]))
    assert np.array_equal(part.of(np.array([[1.0, 1.0], [0.0, 1.0]])), [1.0, np.nan], equal_nan=True)
    assert np.isnan(average([part, mean(np.ones(2))], n=2).of(np.array([0.0, 1.0])))


def test_an_undefined_score_spoils_no_other_mean() -> None:
    values = np.array([1.0, np.nan])
    assert mean(values, np.array([True, False])).of(np.ones(2)) == 1.0
    assert np.isnan(mean(values).of(np.ones(2)))


def test_groups_are_right_as_a_whole() -> None:
    correct = np.array([True, True, False, True, True])
    values, stands = all_correct(correct, ["a", "b", "b", "c", "a"], np.array([True, True, True, True, True]))
    assert stands.tolist() == [True, True, False, True, False]
    assert values.tolist() == [1, 0, 0, 1, 0]


def test_incomplete_groups_are_left_out() -> None:
    values, stands = all_correct(
        np.array([True, True]), ["a", "b"], np.ones(2, dtype=bool), complete=lambda group, rows: group == "b"
    )
    assert (values.tolist(), stands.tolist()) == ([0, 1], [False, True])


def test_what_is_made_of_means_keeps_their_scale() -> None:
    shares = [mean(np.array([0.2, 0.4]), scale=(0.0, 1.0)), mean(np.array([1.0, 0.0]), scale=(0.0, 1.0))]
    assert average(shares, n=4).scale == (0.0, 1.0)
    assert rounded(average(shares, n=4), 2, times=100).scale == (0.0, 100.0)
    assert average([shares[0], mean(np.array([3.0, 4.0]))], n=4).scale is None
