"""How many questions and seeds a difference needs: normal theory, Student's t, and exact binomial power."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, nct, norm
from scipy.stats import t as student

from suder_bench.hypotheses import Estimate
from suder_bench.planning import Variances

Z = norm.ppf(0.975) + norm.ppf(0.8)


def test_many_questions_are_those_of_normal_theory() -> None:
    found = Variances(prompts=0.25).questions(0.02)
    assert found == pytest.approx(0.25 * (Z / 0.02) ** 2, rel=0.001)


def test_questions_agree_with_what_findings_say_it_would_take() -> None:
    variance, at_hand = 0.3, 400
    more = Estimate(0.0, math.sqrt(variance / at_hand)).more_to_differ(0.05)
    assert Variances(variance).questions(0.05) == pytest.approx(more.questions * at_hand, rel=0.005)


@pytest.mark.parametrize("difference", [0.5, 0.7, 1.0, 1.5])
def test_few_questions_have_the_exact_power_of_the_t_test(difference: float) -> None:
    """By the noncentral t; the plan is a question too careful at most."""
    questions = Variances(1.0).questions(difference)
    assert questions is not None

    def power(n: int) -> float:
        return float(nct.sf(student.ppf(0.975, n - 1), n - 1, difference * math.sqrt(n)))

    assert power(questions) >= 0.79
    assert power(questions - 2) < 0.8


@pytest.mark.parametrize(("one", "other"), [(0.3, 0.4), (0.5, 0.6), (0.05, 0.1)])
def test_two_shares_are_told_apart_with_the_exact_power_of_binomials(one: float, other: float) -> None:
    """Every outcome of two runs of so many answers, and whether the z-test of two shares finds it."""
    n = Variances(one * (1 - one) + other * (1 - other)).questions(other - one)
    assert n is not None
    counts = np.arange(n + 1)
    a, b = counts[:, None] / n, counts[None, :] / n
    with np.errstate(divide="ignore", invalid="ignore"):
        z = (b - a) / np.sqrt((a * (1 - a) + b * (1 - b)) / n)
    chance = binom.pmf(counts, n, one)[:, None] * binom.pmf(counts, n, other)[None, :]
    assert chance[z > norm.ppf(0.975)].sum() == pytest.approx(0.8, abs=0.015)


def test_seeds_alone_are_those_of_students_t() -> None:
    seeds_only = Variances(prompts=0.0, seeds=0.0004)
    for seeds in (2, 3, 5):
        reach = student.ppf(0.975, seeds - 1) + student.ppf(0.8, seeds - 1)
        assert seeds_only.detectable(100, seeds) == pytest.approx(reach * math.sqrt(0.0004 / seeds))
    assert math.isinf(seeds_only.detectable(100, 1))


def test_where_seeds_are_too_far_apart_no_number_of_questions_is_enough() -> None:
    far = Variances(prompts=0.2, seeds=0.05**2)
    assert far.questions(0.05, 2) is None
    assert far.questions(0.05, 20) is not None


def test_seeds_that_are_alike_save_only_what_their_pictures_are() -> None:
    alike = Variances(prompts=0.2, pictures=0.1)
    assert alike.questions(0.05, 1) == pytest.approx(0.3 * (Z / 0.05) ** 2, rel=0.01)
    assert alike.questions(0.05, 10) == pytest.approx(0.21 * (Z / 0.05) ** 2, rel=0.01)


def test_no_variance_needs_two_questions_and_finds_anything() -> None:
    assert Variances(0.0).questions(0.01) == 2
    assert Variances(0.0).detectable(2) == 0


variances = st.builds(Variances, st.floats(1e-4, 1), st.just(0.0) | st.floats(1e-6, 1e-3), st.floats(0, 1))


@given(variances, st.integers(2, 8), st.floats(0.02, 0.5), st.floats(0.5, 0.95))
@settings(max_examples=80, deadline=None)
def test_what_is_planned_is_enough_and_one_less_is_not(one: Variances, seeds: int, difference: float, power: float) -> None:
    found = one.questions(difference, seeds, power=power)
    if found is not None:
        assert one.detectable(found, seeds, power=power) <= difference
        assert found == 2 or one.detectable(found - 1, seeds, power=power) > difference
