"""The statistics of rewards, against enumeration, scipy and cases that can be told by hand."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau, spearmanr

from suder_bench.rewards.compare import Samples, best_of, compare, disagreements, tau, wins

ROWS = st.lists(st.tuples(st.integers(0, 3), st.sampled_from([0.0, 0.5, 1.0])), min_size=2, max_size=6)


def arrays(row: list[tuple[int, float]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([[float(reward) for reward, _ in row]]), np.array([[verdict for _, verdict in row]])


@given(row=ROWS, data=st.data())
@settings(max_examples=60, deadline=None)
def test_best_of_k_is_the_mean_over_all_subsets(row: list[tuple[int, float]], data: st.DataObject) -> None:
    k = data.draw(st.integers(1, len(row)))
    picked = []
    for subset in combinations(row, k):
        best = max(reward for reward, _ in subset)
        picked.append(np.mean([verdict for reward, verdict in subset if reward == best]))
    reward, verdict = arrays(row)
    if len({one for one, _ in row}) == len(row):  # then no subset has a tie
        assert best_of(reward, verdict, k) == pytest.approx(np.mean(picked))
    assert best_of(reward, verdict, 1) == pytest.approx(verdict.mean())
    assert best_of(reward, verdict, len(row)) == pytest.approx(_top(row))
    assert best_of(verdict, verdict, k)[0] >= best_of(reward, verdict, k)[0] - 1e-12


def test_best_of_many_needs_counts_beyond_64_bits() -> None:
    n = 200
    reward = np.arange(n, dtype=float)[None]
    assert best_of(reward, reward / n, 100)[0] == pytest.approx((100 / 101 * (n + 1) - 1) / n)  # of the numbers 1 to n


def _top(row: list[tuple[int, float]]) -> float:
    best = max(reward for reward, _ in row)
    return float(np.mean([verdict for reward, verdict in row if reward == best]))


@given(row=ROWS)
@settings(max_examples=60, deadline=None)
def test_tau_is_scipys(row: list[tuple[int, float]]) -> None:
    reward, verdict = arrays(row)
    assert tau(reward, verdict)[0] == pytest.approx(kendalltau(reward[0], verdict[0]).statistic, nan_ok=True)


def test_wins_count_pairs_with_two_verdicts() -> None:
    won, pairs = wins(np.array([[3.0, 1, 1], [1, 2, 3]]), np.array([[1.0, 0, 1], [1, 1, 1]]))
    assert won.tolist() == [1.5, 0]
    assert pairs.tolist() == [2, 0]


def drawn(prompts: int = 60, n: int = 4) -> Samples:
    """`good` follows the verdict, `bad` is its opposite, `none` knows nothing; longer prompts have a lower `good`."""
    rng = np.random.default_rng(1)
    verdict = (rng.random((prompts, n)) < 0.5).astype(float)
    words = np.repeat(np.arange(prompts)[:, None], n, axis=1)
    good = verdict + 0.1 * rng.random((prompts, n)) - 10 * words
    rewards = {"good": good, "bad": -good - 20 * words, "none": rng.random((prompts, n))}
    return Samples(tuple(f"p{i}" for i in range(prompts)), rewards, words, verdict)


def test_rewards_that_know_all_the_opposite_and_nothing() -> None:
    samples = drawn()
    found = compare(samples)
    assert (found["prompts"], found["samples"]) == (60, 4)
    good, bad, none = (found["rewards"][name] for name in ("good", "bad", "none"))
    assert good["auc"]["value"] == 1
    assert bad["auc"]["value"] == 0
    assert none["auc"]["low"] < 0.5 < none["auc"]["high"]
    assert good["best"] == found["oracle"] == found["curves"]["good"][-1] == found["curves"]["oracle"][-1]
    assert good["best"]["value"] > found["mean"]["value"] > bad["best"]["value"] == good["worst"]["value"]
    assert found["mean"]["value"] == pytest.approx(samples.verdict.mean() if samples.verdict is not None else 0)
    assert all(point == found["mean"] for point in found["curves"]["random"])
    assert [len(curve) for curve in found["curves"].values()] == [4] * 5
    curve = [point["value"] for point in found["curves"]["good"]]
    assert curve == sorted(curve)
    assert [(row["a"], row["b"]) for row in found["correlations"]] == [("good", "bad"), ("good", "none"), ("bad", "none")]
    assert found["correlations"][0]["value"] == -1
    [difference, *_] = found["differences"]
    assert difference["low"] > 0
    assert difference["value"] == pytest.approx(good["best"]["value"] - bad["best"]["value"])


def test_length_over_prompts_is_spearmans() -> None:
    samples = drawn()
    found = compare(samples)["rewards"]["none"]["length"]
    known = spearmanr(samples.rewards["none"].mean(axis=1), samples.words[:, 0]).statistic
    assert found["value"] == pytest.approx(known)
    assert found["low"] < found["value"] < found["high"]
    assert compare(samples)["rewards"]["good"]["length"]["value"] == pytest.approx(-1)


def test_length_of_captions_is_tau_within_a_picture() -> None:
    words = np.array([[1, 2, 3]] * 3)
    samples = Samples(("a", "b", "c"), {"long": words * 1.0, "short": -words * 1.0}, words)
    found = compare(samples)
    assert [found["rewards"][name]["length"]["value"] for name in ("long", "short")] == [1, -1]


def test_without_a_verdict_only_what_needs_none() -> None:
    samples = drawn()
    found = compare(Samples(samples.clusters, samples.rewards, samples.words))
    assert found["mean"] is found["oracle"] is found["verdict_length"] is found["rewards"]["good"]["auc"] is None
    assert (found["curves"], found["differences"]) == ({}, [])
    assert found["correlations"][0]["value"] == -1
    assert disagreements(Samples(samples.clusters, samples.rewards, samples.words), 3) == []


def test_one_prompt_has_no_interval() -> None:
    samples = Samples(("a",), {"x": np.array([[1.0, 2]])}, np.array([[3, 3]]), np.array([[0.0, 1]]))
    best = compare(samples)["rewards"]["x"]["best"]
    assert (best["value"], best["low"], best["high"]) == (1, None, None)


def test_disagreements_come_from_both_sides_and_widest_first() -> None:
    verdict = np.array([[1.0, 0]] * 3 + [[0.5, 0]] + [[0, 1.0]] * 2 + [[1, 1]])
    first = np.array([[2.0, 1]] * 7)
    samples = Samples(tuple("abcdefg"), {"first": first, "second": -first}, np.ones((7, 2)), verdict)
    cases = disagreements(samples, 6)
    assert [row for row, _ in cases] == [0, 4, 1, 5, 2, 3]
    assert cases[0][1] == {"first": 0, "second": 1}
    assert len(disagreements(samples, 2)) == 2
