"""Trainings with several seeds: closed forms, the parts of the variance, and how often the intervals hold the truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t as student
from scipy.stats import ttest_rel
from test_stats import alone, f1, mean

from suder_bench import seeds, stats
from suder_bench.evaluators import weighted
from suder_bench.seeds import Rows, difference


def rows(values: np.ndarray) -> Rows:
    """A run's mean over prompts with so many pictures each, (prompts, pictures)."""
    values = np.atleast_2d(values.T).T
    return mean(values.ravel()), [f"prompt {i:04d}" for i in range(len(values)) for _ in range(values.shape[1])]


def trained(
    rng: np.random.Generator, hard: np.ndarray, count: int, gain: float, seed: float, picture: float, pictures: int = 4
) -> list[Rows]:
    """Runs of a training with normal parts: what is hard for all, `gain`, and standard deviations of seeds and of pictures."""
    shape = (len(hard), pictures)
    return [rows(hard[:, None] + gain + seed * rng.normal() + picture * rng.normal(size=shape)) for _ in range(count)]


def test_one_run_a_side_is_the_paired_bootstrap() -> None:
    a, b = np.random.default_rng(0).random((2, 60))
    found = difference([rows(a)], [rows(b)])
    plain = stats.paired({"": mean(a)}, rows(a)[1], {"": mean(b)}, rows(b)[1], resamples=seeds.RESAMPLES)[""]
    assert (found.difference, found.low, found.high, found.p, found.n) == (
        plain.difference,
        plain.low,
        plain.high,
        plain.p,
        60,
    )
    assert found.error == pytest.approx((b - a).std(ddof=1) / np.sqrt(60), rel=0.03)
    assert (found.freedom, found.seeds) == (pytest.approx(59), (1, 1))
    assert found.components is not None
    assert (found.components.seeds, found.components.pictures) == (0, 0)


def test_one_run_a_side_over_few_prompts_is_the_paired_t_test() -> None:
    a, b = np.random.default_rng(1).random((2, 6))
    found, expected = difference([rows(a)], [rows(b)]), ttest_rel(b, a)
    assert (found.p, found.few_clusters, found.freedom) == (pytest.approx(expected.pvalue), 6, pytest.approx(5))
    assert found.difference / found.error == pytest.approx(expected.statistic)


def test_seeds_that_move_every_prompt_alike_have_students_interval() -> None:
    """All that varies is the seed: the interval is t's of three values, however many prompts there are."""
    hard, moves = np.random.default_rng(2).random(40), np.array([0.02, 0.05, 0.11])
    found = difference([rows(hard)], [rows(hard + move) for move in moves])
    reach = student.ppf(0.975, 2) * moves.std(ddof=1) / np.sqrt(3)
    assert found.difference == pytest.approx(0.06)
    assert found.error == pytest.approx(moves.std(ddof=1) / np.sqrt(3))
    assert found.freedom == pytest.approx(2)
    assert (found.low, found.high) == pytest.approx((0.06 - reach, 0.06 + reach), abs=0.012)
    assert found.p == pytest.approx(2 * student.sf(0.06 / found.error, 2), abs=0.01)


def test_over_few_prompts_both_shares_are_by_t_and_satterthwaite() -> None:
    rng = np.random.default_rng(3)
    hard = rng.random(8)
    values = np.stack([hard + move + 0.1 * rng.normal(size=8) for move in (0.0, 0.2, 0.5)])
    found = difference([rows(hard)], [rows(one) for one in values])
    gains = values - hard
    of_prompts = gains.mean(axis=0).var(ddof=1) / 8
    covariance = np.cov(values) / 8
    own = np.trace(covariance) / 3 - (covariance.sum() - np.trace(covariance)) / 6
    of_seeds = (gains.mean(axis=1).var(ddof=1) - own) / 3
    freedom = (of_prompts + of_seeds) ** 2 / (of_prompts**2 / 7 + of_seeds**2 / 2)
    reach = student.ppf(0.975, freedom) * math.sqrt(of_prompts + of_seeds)
    assert (found.low, found.high) == pytest.approx((gains.mean() - reach, gains.mean() + reach))
    assert found.freedom == pytest.approx(freedom)
    assert found.p == pytest.approx(2 * student.sf(abs(gains.mean()) / found.error, freedom))
    assert found.components.prompts + found.components.pictures == pytest.approx(of_prompts)


def test_the_parts_of_the_variance_are_those_that_made_it() -> None:
    """Means over 60 simulated trainings, each of 4 seeds on 80 prompts of 4 pictures."""
    rng, found = np.random.default_rng(4), []
    for _ in range(60):
        runs = trained(rng, 0.3 * rng.normal(size=80), 4, 0.5, 0.05, 0.4)
        averaged = seeds.mean(runs, resamples=300)
        assert averaged.components is not None
        found.append([averaged.components.prompts, averaged.components.seeds, averaged.components.pictures])
    expected = [0.3**2 / 80, 0.05**2 / 4, 0.4**2 / (80 * 4 * 4)]
    assert np.mean(found, axis=0) == pytest.approx(expected, rel=0.25)


@pytest.mark.parametrize(
    ("seed", "picture", "least"),
    [(0.0, 0.4, 0.92), (0.02, 0.4, 0.92), (0.1, 0.1, 0.92)],
    ids=["seeds are alike", "prompts and pictures limit", "seeds limit"],
)
def test_intervals_hold_the_true_gain(seed: float, picture: float, least: float) -> None:
    """Three seeds against a base that was run once, 40 prompts of 4 pictures; of 150."""
    rng, held = np.random.default_rng(5), []
    for _ in range(150):
        hard = 0.3 * rng.normal(size=40)
        [base] = trained(rng, hard, 1, 0.0, 0.0, picture)
        found = difference([base], trained(rng, hard, 3, 0.1, seed, picture), resamples=300)
        held.append(found.low <= 0.1 <= found.high)
    assert np.mean(held) >= least, np.mean(held)


@pytest.mark.parametrize("prompts", [8, 40], ids=["few prompts", "many prompts"])
def test_two_seeds_far_apart_have_an_interval_on_the_metrics_scale(prompts: int) -> None:
    """By t of one degree of freedom it reaches far past both ends."""
    names = [f"prompt {i:02d}" for i in range(prompts)]
    right = [np.arange(prompts) > -1, np.arange(prompts) % 4 == 0]
    shares = [weighted.mean(one) for one in right]
    for statistics in (shares, [weighted.average([one, one], n=prompts) for one in shares]):
        found = seeds.mean([(one, names) for one in statistics]).metric
        assert (found.value, found.low, found.high) == (0.625, 0.0, 1.0)


def test_more_seeds_that_say_the_same_narrow_nothing_but_the_pictures() -> None:
    rng = np.random.default_rng(6)
    hard, effect = 0.3 * rng.normal(size=60), 0.2 * rng.normal(size=60)
    runs = trained(rng, hard + effect, 6, 0.1, 0.0, 0.3)
    base = rows(hard)
    three, six = difference([base], runs[:3]), difference([base], runs)
    assert six.error > 0.9 * 0.2 / np.sqrt(60)
    assert six.components.pictures < three.components.pictures


def test_only_prompts_of_all_runs_count() -> None:
    rng = np.random.default_rng(7)
    whole, part = rng.random(30), rng.random(20)
    found = difference([rows(whole)], [rows(whole + 0.1), rows(part)])
    assert found.n == 20
    assert found.a == pytest.approx(whole[:20].mean())


def test_a_metric_that_is_no_mean_has_seeds_too() -> None:
    rng = np.random.default_rng(8)
    truth = np.arange(80) % 2
    runs = [(f1(truth, rng.random(80) < 0.3 + 0.4 * truth), alone(80)) for _ in range(3)]
    found = seeds.mean(runs)
    assert found.metric.value == pytest.approx(np.mean([one.of(np.ones(80)) for one, _ in runs]))
    assert found.metric.low < found.metric.value < found.metric.high
    few = [(f1(truth[:8], rng.random(8) < 0.5), alone(8)) for _ in range(3)]
    assert seeds.mean(few).components is None


def test_equal_runs_do_not_differ() -> None:
    values = np.random.default_rng(9).random(30)
    found = difference([rows(values)] * 2, [rows(values)] * 3)
    assert (found.difference, found.low, found.high, found.p) == pytest.approx((0, 0, 0, 1), abs=1e-12)


def test_one_prompt_says_nothing() -> None:
    found = difference([rows(np.ones((1, 4)))], [rows(np.zeros((1, 4)))] * 3)
    assert (found.low, found.p, found.error, found.few_clusters) == (None, None, None, 1)


@given(st.permutations(range(3)), st.integers(0, 1000))
@settings(max_examples=10, deadline=None)
def test_the_order_of_seeds_changes_nothing(order: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    runs, base = [rows(rng.random(12)) for _ in range(3)], rows(rng.random(12))
    one, other = (difference([base], some, resamples=300) for some in (runs, [runs[i] for i in order]))
    assert (one.difference, one.low, one.high, one.error) == pytest.approx(
        (other.difference, other.low, other.high, other.error), abs=1e-9
    )


def test_swapping_the_sides_turns_the_sign() -> None:
    rng = np.random.default_rng(10)
    hard = rng.random(40)
    a, b = trained(rng, hard, 2, 0.0, 0.01, 0.2), trained(rng, hard, 3, 0.2, 0.01, 0.2)
    one, other = difference(a, b), difference(b, a)
    assert (one.difference, one.error) == pytest.approx((-other.difference, other.error))
    assert one.low == pytest.approx(-other.high, abs=0.1 * one.error)
