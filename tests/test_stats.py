"""The bootstrap: closed forms, coverage, and the corners that suder_bench.stats settles."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from suder_bench import intervals, stats
from suder_bench.evaluators import weighted
from suder_bench.records import Statistic
from suder_bench.stats import metric, metrics, paired, resample_weights


def mean(values, rows=None) -> Statistic:
    """Weighted mean of the values, or of those in `rows` alone; NaN where no weight is left."""
    values = np.asarray(values, dtype=float)
    chosen = np.ones(len(values)) if rows is None else np.isin(np.arange(len(values)), rows).astype(float)
    return Statistic(of=lambda w: (w * chosen) @ values / (w @ chosen), n=int(chosen.sum()))


def f1(truth, answer) -> Statistic:
    """Not a sum over rows, which is why intervals come from weights."""
    truth, answer = np.asarray(truth, dtype=float), np.asarray(answer, dtype=float)
    return Statistic(of=lambda w: 2 * (w @ (truth * answer)) / (w @ truth + w @ answer), n=len(truth))


def alone(rows: int) -> list[str]:
    return [f"prompt {i}" for i in range(rows)]


def width(m) -> float:
    return m.high - m.low


def test_weights_are_multiplicities_of_whole_clusters():
    clusters = ["b", "a", "b", "c"]
    weights = np.concatenate(list(resample_weights(clusters, seed=3, resamples=200)))
    assert weights.shape == (200, 4)
    assert np.array_equal(weights[:, 0], weights[:, 2])
    assert np.array_equal(weights[:, [0, 1, 3]].sum(axis=1), np.full(200, 3.0))


def test_chunks_change_the_memory_and_not_the_draws(monkeypatch):
    whole = list(resample_weights(alone(50), resamples=100))
    monkeypatch.setattr(stats, "CELLS", 7 * 50)
    chunks = list(resample_weights(alone(50), resamples=100))
    assert len(whole) == 1
    assert [len(chunk) for chunk in chunks] == [7] * 14 + [2]
    assert np.array_equal(np.concatenate(chunks), whole[0])


def test_twenty_thousand_rows_are_never_held_a_thousand_times():
    assert max(chunk.size for chunk in resample_weights(alone(20_000), resamples=150)) <= stats.CELLS


def test_value_is_the_statistic_of_all_rows():
    found = metric(f1([1, 1, 0, 0], [1, 0, 1, 0]), alone(4))
    assert found.value == pytest.approx(0.5)
    assert found.n == 4


def test_one_row_per_cluster_gives_the_standard_error_of_a_mean():
    values = np.random.default_rng(0).normal(size=400)
    found = metric(mean(values), alone(400), resamples=20_000)
    standard_error = values.std() / np.sqrt(400)
    assert width(found) == pytest.approx(2 * 1.96 * standard_error, rel=0.05)
    assert found.low == pytest.approx(values.mean() - 1.96 * standard_error, abs=0.1 * standard_error)


def test_rows_of_one_cluster_that_agree_count_once():
    rng = np.random.default_rng(1)
    values = np.repeat(rng.random(60), 10)
    clusters = [f"prompt {i}" for i in np.repeat(np.arange(60), 10)]
    clustered, as_if_independent = metric(mean(values), clusters), metric(mean(values), alone(600))
    assert width(clustered) == pytest.approx(np.sqrt(10) * width(as_if_independent), rel=0.15)


def test_intervals_cover_the_truth():
    """Of 2,000 simulated benchmarks of 120 prompts with 4 correlated responses each, 93-97 % of the intervals hold the truth."""
    rng = np.random.default_rng(5)
    clusters = [f"prompt {i}" for i in np.repeat(np.arange(120), 4)]
    prompts = rng.beta(1.2, 1.8, size=(2000, 120))  # mean 0.4
    correct = (rng.random((2000, 120, 4)) < prompts[:, :, None]).reshape(2000, -1).astype(float)
    weights = np.concatenate(list(resample_weights(clusters)))
    drawn, pulls = np.stack([mean(row).of(weights) for row in correct], axis=1), correct.reshape(2000, 120, 4).mean(axis=2).T
    low, high = intervals.expanded_bca(drawn, correct.mean(axis=1), intervals.acceleration(pulls), 120)
    assert 0.93 <= np.mean((low <= 0.4) & (high >= 0.4)) <= 0.97


def test_one_cluster_has_no_interval():
    found = metric(mean([0, 1, 1]), ["same"] * 3)
    assert (found.value, found.low, found.high) == (pytest.approx(2 / 3), None, None)


def test_no_rows_has_no_value():
    found = metric(mean([]), [])
    assert np.isnan(found.value)
    assert (found.low, found.high, found.n) == (None, None, 0)


@pytest.mark.parametrize("clusters", [2, 3, 30])
def test_a_category_that_rests_on_one_prompt_has_no_interval(clusters):
    found = metric(mean(np.linspace(0, 1, clusters), rows=[0]), alone(clusters))
    assert (found.low, found.high) == (None, None)


def test_a_category_of_two_prompts_has_one():
    found = metric(mean([0, 1, 0, 1, 1, 1], rows=[0, 1]), alone(6))
    assert (found.low, found.high) == (0, 1)


def test_all_right_has_an_interval_of_width_zero():
    found = metric(mean(np.ones(50)), alone(50))
    assert (found.low, found.high) == (1, 1)


def test_undefined_resamples_are_left_out():
    values = np.random.default_rng(2).random(40)
    parts = mean(values, rows=[0, 1, 2]), mean(values, rows=range(3, 40))
    both = metric(Statistic(of=lambda w: (parts[0].of(w) + parts[1].of(w)) / 2, n=40), alone(40))
    weights = np.concatenate(list(resample_weights(alone(40))))
    assert (weights[:, :3].sum(axis=1) == 0).any()
    assert values.min() <= both.low < both.value < both.high <= values.max()


def test_metrics_share_their_resamples_and_each_equals_its_own():
    values = np.random.default_rng(3).random((2, 30))
    both = metrics({"x": mean(values[0]), "y": mean(values[1])}, alone(30), seed=4)
    assert both["x"] == metric(mean(values[0]), alone(30), seed=4)
    assert both["y"] == metric(mean(values[1]), alone(30), seed=4)


@st.composite
def clustered(draw):
    rows = draw(st.lists(st.tuples(st.floats(-10, 10), st.integers(0, 8)), min_size=2, max_size=40))
    return [value for value, _ in rows], [f"prompt {cluster}" for _, cluster in rows]


@given(clustered(), st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_the_order_of_rows_changes_nothing(rows, random):
    values, clusters = rows
    order = list(range(len(values)))
    random.shuffle(order)
    straight = metric(mean(values), clusters, resamples=200)
    shuffled = metric(mean([values[i] for i in order]), [clusters[i] for i in order], resamples=200)
    assert straight.value == pytest.approx(shuffled.value, abs=1e-9)
    assert (straight.low is None) == (shuffled.low is None)
    if straight.low is not None:
        assert (straight.low, straight.high) == pytest.approx((shuffled.low, shuffled.high), abs=1e-9)


@given(st.lists(st.floats(0, 1), min_size=10, max_size=60))
@settings(max_examples=40, deadline=None)
def test_the_interval_of_a_mean_holds_its_value_and_stays_within_the_data(values):
    found = metric(mean(values), alone(len(values)))
    assert min(values) - 1e-9 <= found.low <= found.value + 1e-9
    assert found.value - 1e-9 <= found.high <= max(values) + 1e-9


def test_paired_on_one_row_per_cluster_is_the_paired_z_test():
    rng = np.random.default_rng(6)
    hard = rng.normal(size=300)
    a, b = hard + 0.2 * rng.normal(size=300), hard + 0.05 + 0.2 * rng.normal(size=300)
    found = paired({"m": mean(a)}, alone(300), {"m": mean(b)}, alone(300), resamples=4000)["m"]
    standard_error = (b - a).std() / np.sqrt(300)
    assert found.difference == pytest.approx((b - a).mean())
    assert found.high - found.low == pytest.approx(2 * 1.96 * standard_error, rel=0.05)
    assert found.detectable == pytest.approx(2.80 * standard_error, rel=0.05)
    normal_tail = 2 * (1 - 0.5 * (1 + math.erf(abs(found.difference) / standard_error / np.sqrt(2))))
    assert found.p == pytest.approx(normal_tail, abs=0.01)
    assert found.n == 300


def test_paired_matches_clusters_by_name_and_ignores_the_rest():
    rng = np.random.default_rng(7)
    values = rng.random(20)
    order = rng.permutation(20)
    names = alone(20)
    found = paired(
        {"m": mean([*values, 5.0])},
        [*names, "only in a"],
        {"m": mean([9.0, *(values[order] + 0.1)])},
        ["only in b", *(names[i] for i in order)],
    )["m"]
    assert (found.a, found.b) == (pytest.approx(values.mean()), pytest.approx(values.mean() + 0.1))
    assert (found.low, found.high) == (pytest.approx(0.1), pytest.approx(0.1))
    assert found.p < 0.01
    assert found.n == 20


def test_equal_runs_do_not_differ():
    values = np.random.default_rng(8).random(30)
    found = paired({"m": mean(values)}, alone(30), {"m": mean(values)}, alone(30))["m"]
    assert (found.difference, found.low, found.high, found.p, found.detectable) == (0, 0, 0, 1, 0)


def test_p_is_uniform_when_nothing_differs():
    rng = np.random.default_rng(9)
    found = []
    for _ in range(200):
        a, b = rng.random((2, 40))
        found.append(paired({"m": mean(a)}, alone(40), {"m": mean(b)}, alone(40), resamples=200)["m"].p)
    assert np.mean(np.array(found) < 0.05) < 0.12
    assert np.mean(found) == pytest.approx(0.5, abs=0.08)


def test_detectable_differences_are_detected_four_times_in_five():
    rng = np.random.default_rng(10)
    noise = 0.3
    effect = stats.POWER * noise * np.sqrt(2) / np.sqrt(60)
    hits = 0
    for _ in range(200):
        a, b = noise * rng.normal(size=(2, 60))
        hits += paired({"m": mean(a)}, alone(60), {"m": mean(b + effect)}, alone(60), resamples=200)["m"].p < 0.05
    assert hits / 200 == pytest.approx(0.8, abs=0.09)


@pytest.mark.parametrize("clusters_b", [["x"] * 3, ["p", "q", "r"]])
def test_too_few_shared_clusters_say_so(clusters_b):
    found = paired({"m": mean([0, 1, 1])}, ["x"] * 3, {"m": mean([1, 1, 1])}, clusters_b)["m"]
    assert (found.low, found.high, found.p, found.detectable) == (None, None, None, None)
    assert found.n == len({"x"} & set(clusters_b))


def test_only_common_metrics_are_compared():
    one, other = {"m": mean([0, 1]), "a": mean([0, 1])}, {"m": mean([1, 1]), "b": mean([0, 1])}
    assert list(paired(one, alone(2), other, alone(2))) == ["m"]


@pytest.mark.parametrize("prompts", [4, 60])
def test_sums_of_whole_clusters_give_what_weights_of_rows_give(prompts):
    """Also where the two runs have other rows of a prompt, and prompts that the other one lacks."""
    rng = np.random.default_rng(11)
    values, categories = rng.random(4 * prompts), rng.integers(3, size=4 * prompts)
    clusters = [f"prompt {i // 4}" for i in range(4 * prompts)]

    def found(rows: slice) -> dict[str, Statistic]:
        parts = {f"{i}": weighted.mean(values[rows], categories[rows] == i) for i in range(3)}
        both = f1(values[rows] > 0.3, values[rows] > 0.6)
        share = weighted.mean(values[rows] > 0.5)
        return {
            **parts,
            "all": weighted.average(list(parts.values()), n=1),
            "share": share,
            "f1": both,
        }

    def plain(statistics: dict[str, Statistic]) -> dict[str, Statistic]:
        return {name: Statistic(one.of, one.n, one.scale) for name, one in statistics.items()}

    one, other = slice(0, 4 * prompts - 3), slice(6, 4 * prompts)
    a, b, of_a, of_b = found(one), found(other), clusters[one], clusters[other]
    pairs = [(metrics(a, of_a), metrics(plain(a), of_a)), (paired(a, of_a, b, of_b), paired(plain(a), of_a, plain(b), of_b))]
    for quick, slow in pairs:
        assert quick.keys() == slow.keys()
        for name in quick:
            told, expected = quick[name].document(), slow[name].document()
            assert {key for key in told if told[key] is None} == {key for key in expected if expected[key] is None}
            assert [one or 0 for one in told.values()] == pytest.approx([one or 0 for one in expected.values()], rel=1e-12)


@pytest.mark.parametrize("clusters", [11, 47, 1500])
def test_clusters_are_made_weightier_by_whole_numbers(clusters):
    """As copies of their rows, which is all that some aggregations know."""
    seen = []

    def of(weights):
        seen.append(weights)
        return weights[..., 0]

    pulled = stats.pulled(Statistic(of, clusters), clusters)
    assert len(pulled) == min(clusters, stats.RESAMPLES)
    assert all(np.array_equal(weights, np.rint(weights)) and (weights >= 1).all() for weights in seen)
    assert np.count_nonzero(pulled > 1) == 1


@pytest.mark.parametrize("clusters", [60, 2500])
def test_how_clusters_pull_shows_the_skewness_of_their_means_also_when_rounded(clusters):
    values = np.random.default_rng(12).exponential(size=clusters)
    expected = float(((values - values.mean()) ** 3).mean() / values.std() ** 3 / 6 / np.sqrt(clusters))
    whole = Statistic.of_sums([values, np.ones(clusters)], lambda sums: sums[0] / sums[1], n=clusters)
    coarse = weighted.rounded(whole, 2)
    for one in (whole, coarse, Statistic(whole.of, clusters)):
        found = float(intervals.acceleration(stats.pulled(one, clusters)))
        assert found == pytest.approx(expected, rel=0.35 if clusters > stats.RESAMPLES else 0.03)


def test_an_interval_and_its_p_say_the_same():
    rng = np.random.default_rng(13)
    for _ in range(60):
        a, b = rng.random((2, 30)) < [[0.1], [0.3]]
        found = paired({"m": mean(a)}, alone(30), {"m": mean(b)}, alone(30))["m"]
        if abs(found.p - 0.05) > 0.004:
            assert (found.p < 0.05) == (not found.low <= 0 <= found.high)
