"""Intervals from resampled values, against scipy's bootstrap and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import bootstrap, norm, skew, ttest_1samp
from scipy.stats import t as student

from suder_bench import intervals


def resampled(values: np.ndarray, resamples: int = 20_000) -> np.ndarray:
    """Means of resamples."""
    rng = np.random.default_rng(7)
    return rng.multinomial(len(values), np.full(len(values), 1 / len(values)), resamples) @ values / len(values)


def bend(values: np.ndarray) -> np.ndarray:
    """The acceleration of a mean, each value left out in turn."""
    return -intervals.acceleration((values.sum() - values) / (len(values) - 1))


SKEWED = np.random.default_rng(1).exponential(size=40)


def test_percentile_and_bca_are_scipys() -> None:
    drawn, value = resampled(SKEWED), np.asarray(SKEWED.mean())
    for method, found in (
        ("percentile", intervals.percentile(drawn)),
        ("BCa", intervals.bca(drawn, value, bend(SKEWED))),
    ):
        expected = bootstrap((SKEWED,), np.mean, n_resamples=20_000, method=method, random_state=8).confidence_interval
        assert found == pytest.approx(tuple(expected), rel=0.01)


def test_the_acceleration_of_a_mean_is_its_skewness() -> None:
    assert bend(SKEWED) == pytest.approx(intervals.acceleration(SKEWED))
    assert bend(SKEWED) == pytest.approx(skew(SKEWED) / (6 * np.sqrt(len(SKEWED))))


def test_the_expanded_interval_of_normal_values_is_students() -> None:
    values = norm.ppf((np.arange(12) + 0.5) / 12)  # so even that neither bias nor skewness moves it
    low, high = intervals.expanded_bca(resampled(values, 200_000), np.asarray(values.mean()), bend(values), 12)
    reach = student.ppf(0.975, 11) * values.std(ddof=1) / np.sqrt(12)
    assert (low, high) == pytest.approx((-reach, reach), rel=0.03)


@pytest.mark.parametrize("shift", [0.2, 0.5])
def test_p_of_normal_values_is_that_of_the_t_test(shift: float) -> None:
    values = norm.ppf((np.arange(30) + 0.5) / 30) + shift
    found = intervals.p_value(resampled(values, 200_000), values.mean(), float(bend(values)), 30)
    assert found == pytest.approx(ttest_1samp(values, 0).pvalue, abs=0.006)


@given(st.integers(0, 10_000), st.floats(0.3, 3), st.booleans())
@settings(max_examples=40, deadline=None)
def test_p_is_five_percent_where_the_interval_ends(seed: int, shape: float, below: bool) -> None:
    """Move the values until an end of the interval is zero: the interval and p say the same."""
    values = np.random.default_rng(seed).gamma(shape, size=25)
    drawn, value, acceleration = resampled(values, 2000), np.asarray(values.mean()), bend(values)
    end = intervals.expanded_bca(drawn, value, acceleration, 25)[below]
    assert intervals.p_value(drawn - end, float(value - end), float(acceleration), 25) == pytest.approx(0.05, abs=0.004)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=200), st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_quantiles_are_numpys(values: list[float], level: float) -> None:
    ordered = np.sort(values)
    assert intervals.quantile(ordered, np.asarray(level)) == pytest.approx(np.quantile(ordered, level), abs=1e-12)


def test_many_at_once_are_each_its_own() -> None:
    values = np.random.default_rng(3).exponential(size=(20, 5))
    drawn = np.stack([resampled(column, 500) for column in values.T], axis=1)
    bends = np.array([bend(column) for column in values.T])
    whole = intervals.expanded_bca(drawn, values.mean(axis=0), bends, 20)
    for i in range(5):
        own = intervals.expanded_bca(drawn[:, i], values[:, i].mean(), bends[i], 20)
        assert (whole[0][i], whole[1][i]) == pytest.approx(own)


def test_what_never_varies_has_no_width_and_differs_from_zero_as_surely_as_can_be() -> None:
    same = np.full(1000, 0.25)
    assert intervals.expanded_bca(same, np.asarray(0.25), np.zeros(()), 30) == (0.25, 0.25)
    assert intervals.p_value(same, 0.25, 0.0, 30) < 0.005
    assert intervals.p_value(np.zeros(1000), 0.0, 0.0, 30) == 1
