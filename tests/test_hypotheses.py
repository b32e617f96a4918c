"""Tests of one difference and of many at once, against scipy, the closure of Bonferroni's test, and values worked out by hand."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm, ttest_1samp

from suder_bench.hypotheses import Estimate, More, holm, holm_by_claim

DIFFERENCES = np.random.default_rng(3).normal(0.4, 1.5, 30)
MEASURED = Estimate(float(DIFFERENCES.mean()), float(DIFFERENCES.std(ddof=1) / 30**0.5), freedom=29)
PS = st.lists(st.floats(0, 1), min_size=1, max_size=6)


def test_p_values_are_those_of_students_test() -> None:
    for bound in (-2.0, 0.0, 0.5):
        assert MEASURED.p_different(bound) == pytest.approx(ttest_1samp(DIFFERENCES, bound).pvalue)
        assert MEASURED.p_above(bound) == pytest.approx(ttest_1samp(DIFFERENCES, bound, alternative="greater").pvalue)
        assert MEASURED.p_below(bound) == pytest.approx(ttest_1samp(DIFFERENCES, bound, alternative="less").pvalue)


def test_alike_is_the_worse_of_two_one_sided_tests() -> None:
    sides = ttest_1samp(DIFFERENCES, -1, alternative="greater"), ttest_1samp(DIFFERENCES, 1, alternative="less")
    assert MEASURED.p_within(1) == pytest.approx(max(side.pvalue for side in sides))
    assert Estimate(0.5, 0.5).p_within(2) == pytest.approx(norm.sf(3))  # the side that is three errors away, not the other's five
    assert Estimate(-0.5, 0.5).p_within(2) == pytest.approx(norm.sf(3))
    assert Estimate(2.5, 0.5).p_within(2) == pytest.approx(norm.cdf(1))


def test_beyond_the_margin_is_tested_from_its_nearer_end() -> None:
    assert Estimate(3.0, 0.5).p_beyond(2) == pytest.approx(2 * norm.sf(2))
    assert Estimate(-3.0, 0.5).p_beyond(2) == pytest.approx(2 * norm.sf(2))
    assert Estimate(1.0, 0.5).p_beyond(2) == 1


def test_clusters_that_are_all_alike_are_counted() -> None:
    """A difference of two points in a hundred needs two clusters in a hundred that differ: how likely is it that none did?"""
    none = Estimate(0.0, 0.0, freedom=299)
    assert none.p_different() == 1
    assert none.p_within(2) == pytest.approx(0.98**300)
    assert Estimate(0.0, 0.0, freedom=99).p_within(2) == pytest.approx(0.98**100)  # which 100 questions cannot show
    assert none.p_below(1.0) == pytest.approx(0.99**300)
    assert Estimate(100.0, 0.0, freedom=9).p_different() == 0


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1, 1]
    assert holm([]) == []


@given(PS)
def test_holm_is_the_closure_of_bonferronis_test(p: list[float]) -> None:
    """A hypothesis is rejected where every set of hypotheses that it is in is, each by its smallest p times its size."""
    sets = [some for size in range(1, len(p) + 1) for some in combinations(range(len(p)), size)]
    expected = [max(min(1.0, len(some) * min(p[j] for j in some)) for some in sets if i in some) for i in range(len(p))]
    assert holm(p) == pytest.approx(expected)


@given(PS)
def test_claims_of_one_test_each_are_adjusted_by_holm(p: list[float]) -> None:
    assert holm_by_claim([[one] for one in p]) == [[one] for one in holm(p)]


def test_tests_of_a_claim_are_adjusted_in_its_place() -> None:
    """Two claims: what is small against the other's largest p is doubled, and what is not has its place after it."""
    assert holm_by_claim([[0.01, 0.5], [0.02, 0.04], []]) == [
        pytest.approx([0.02, 0.5]),
        pytest.approx([0.04, 0.08]),
        [],
    ]
    assert holm_by_claim([[0.03], [0.001, 0.002]]) == [pytest.approx([0.03]), pytest.approx([0.002, 0.004])]


@pytest.mark.parametrize("truth", [-3.0, -2.0, -0.5, 0.0, 1.0, 2.0, 2.5, 7.0])
def test_false_rejections_of_a_claim_are_those_of_one_test(truth: float) -> None:
    """A difference, less than 2.5, within 2: of 2,000 equally likely estimates 5 % at most are told something false."""
    wrong = 0
    for value in truth + norm.ppf((np.arange(2000) + 0.5) / 2000):
        estimate = Estimate(float(value), 1.0)
        different = estimate.p_different() < 0.05 and value * truth <= 0  # the other side of zero, or none
        smaller = estimate.p_below(2.5) < 0.05 and truth >= 2.5
        alike = estimate.p_within(2) < 0.05 and abs(truth) >= 2
        wrong += different or smaller or alike
    assert wrong <= 101


@pytest.mark.parametrize("level", [0.05, 0.001])
def test_so_many_questions_have_the_power_that_was_asked_for(level: float) -> None:
    error, difference, margin = 0.65, 0.2, 2.0
    known = Estimate(0.3, error)
    smaller = error / known.more_to_differ(-difference, level).questions ** 0.5
    assert norm.sf(norm.isf(level / 2) - difference / smaller) == pytest.approx(0.8)
    smaller = error / known.more_to_be_alike(margin, level).questions ** 0.5
    assert 2 * norm.cdf(margin / smaller - norm.isf(level)) - 1 == pytest.approx(0.8)


def test_of_clusters_that_are_all_alike_so_many_more_rule_a_difference_out() -> None:
    none = Estimate(0.0, 0.0, freedom=99)
    more = none.more_to_be_alike(2.0, level=0.01)
    assert 0.98 ** (100 * more.questions) == pytest.approx(0.01)
    assert none.more_to_differ(-2.0, level=0.01) == More(pytest.approx(more.questions), 1.0)


@pytest.mark.parametrize(("trained", "seeds"), [(0.0, 1.0), (0.1, 1.0), (0.5, 0.5**2 * 2 / (1 / 2.8016) ** 2)])
def test_seeds_are_added_where_questions_cannot_help(trained: float, seeds: float) -> None:
    """One point to be found with an error of 1: the parts of its square fall to (1 / 2.8)^2 together."""
    more = Estimate(0.0, 1.0, trained=trained).more_to_differ(1.0)
    assert more.seeds == pytest.approx(seeds, rel=1e-3)
    left = (1 - trained**2) / more.questions + trained**2 / more.seeds
    assert left**0.5 == pytest.approx(1 / 2.8016, rel=1e-3)


def test_what_pope_would_need_for_the_difference_in_print() -> None:
    """Two tenths of a point with an error of 0.65: 83 times the questions."""
    assert round(Estimate(0.9, 0.65).more_to_differ(0.2).questions) == 83
