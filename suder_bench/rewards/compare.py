"""What rewards know of right and wrong: agreement with verdicts, best-of-k curves, and how they differ.

N samples of each prompt (or of each picture, when captions are rewarded) have a verdict and a number from each reward:

- best of k: the mean verdict of the sample that a reward likes best among k of the N. It is exact, the mean over all
  C(N, k) subsets: with the samples sorted by reward, the i-th (from 0) is the best of C(i, k - 1) of them. Samples that a
  reward cannot tell apart share their mean verdict, as a fair coin between them would.
- AUC: of all pairs of one prompt whose verdicts differ, the share in which the better one has the higher reward (ties half).
- tau: Kendall's tau-b within a prompt, averaged over the prompts where it is defined.
- length: of captions, tau of reward and words within a picture; where all samples of a prompt share its length, Spearman's
  rank correlation over prompts of the mean reward with the prompt's words. Long prompts are also harder: hold it beside
  the verdict's own.

All intervals resample prompts (`suder_bench.stats`), all from the same resamples; ranks over prompts are those of the whole.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import Any

import numpy as np

from suder_bench import stats
from suder_bench.records import Statistic

Scale = tuple[float, float]
TAU: Scale = (-1.0, 1.0)
AUC: Scale = (0.0, 1.0)
DIFFERENCE: Scale = (-math.inf, math.inf)
VERDICT = "verdict"
"""How the verdict's own row is called among the rewards."""


@dataclass(frozen=True)
class Samples:
    """`verdict` and each of `rewards` are (prompts, samples); `verdict` is None where nobody judges. `words` counts those of
    the text that is rewarded or rewards, (prompts, samples); `clusters` names what the bootstrap resamples, a prompt each."""

    clusters: tuple[str, ...]
    rewards: Mapping[str, np.ndarray]
    words: np.ndarray
    verdict: np.ndarray | None = None


def compare(samples: Samples) -> dict[str, Any]:
    """Every number as {"value", "low", "high", "n"} (`records.Metric.document`).

    `curves` hold a number for each k from 1 to N, `differences` those of best of N between two rewards. All that needs a
    verdict is None or empty without one.
    """
    statistics = _agreement(samples) | _lengths(samples)
    for one, other in combinations(samples.rewards, 2):
        statistics[f"correlation/{one}/{other}"] = _mean(tau(samples.rewards[one], samples.rewards[other]), TAU)
    found = {name: metric.document() for name, metric in stats.metrics(statistics, samples.clusters).items()}
    n = samples.words.shape[1]
    measures = ("best", "worst", "auc", "tau", "length")
    curves = ("random", *samples.rewards, "oracle") if samples.verdict is not None else ()
    pairs = list(combinations(samples.rewards, 2))
    return {
        "prompts": len(samples.clusters),
        "samples": n,
        "mean": found.get("mean"),
        "oracle": found.get(f"curve/oracle/{n}"),
        "rewards": {name: {what: found.get(f"{what}/{name}") for what in measures} for name in samples.rewards},
        "verdict_length": found.get(f"length/{VERDICT}"),
        "curves": {
            name: [found["mean" if name == "random" else f"curve/{name}/{k}"] for k in range(1, n + 1)] for name in curves
        },
        "differences": [{"a": a, "b": b, **found[f"difference/{a}/{b}"]} for a, b in pairs if f"difference/{a}/{b}" in found],
        "correlations": [{"a": a, "b": b, **found[f"correlation/{a}/{b}"]} for a, b in pairs],
    }


def best_of(reward: np.ndarray, verdict: np.ndarray, k: int) -> np.ndarray:
    """The expected verdict of the best of k by `reward`; (prompts, samples) twice to (prompts,)."""
    n = reward.shape[1]
    chance = np.array([comb(i, k - 1) / comb(n, k) for i in range(n)])  # of Python's integers, which hold any of them
    order = reward.argsort(axis=1, kind="stable")
    return np.asarray(np.take_along_axis(_level(reward, verdict), order, axis=1) @ chance)


def wins(reward: np.ndarray, verdict: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each prompt the pairs that the reward orders as the verdict does (a tie counts half), and all with two verdicts."""
    better = verdict[:, :, None] > verdict[:, None, :]
    ahead = np.sign(reward[:, :, None] - reward[:, None, :])
    return np.where(better, (ahead + 1) / 2, 0).sum(axis=(1, 2)), better.sum(axis=(1, 2))


def tau(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Kendall's tau-b of each row, (rows, values) twice to (rows,); NaN where one of the two is constant."""
    a, b = (np.sign(values[:, :, None] - values[:, None, :]) for values in (one, other))
    with np.errstate(invalid="ignore"):
        return np.asarray((a * b).sum(axis=(1, 2)) / np.sqrt((a**2).sum(axis=(1, 2)) * (b**2).sum(axis=(1, 2))))


def disagreements(samples: Samples, limit: int) -> list[tuple[int, dict[str, int]]]:
    """Prompts whose favourites have different verdicts, with the favourite of each reward: (prompt, reward -> sample).

    Widest apart first, and among equals those that the first reward has right and those it has wrong take turns.
    Nothing without a verdict.
    """
    if samples.verdict is None:
        return []
    first = next(iter(samples.rewards))
    found: dict[bool, list[tuple[float, int, dict[str, int]]]] = {True: [], False: []}
    for row, verdict in enumerate(samples.verdict):
        picks = {name: int(reward[row].argmax()) for name, reward in samples.rewards.items()}
        values = [verdict[pick] for pick in picks.values()]
        if max(values) > min(values):
            found[bool(verdict[picks[first]] == max(values))].append((min(values) - max(values), row, picks))
    turns = [
        (gap, turn, row, picks) for cases in found.values() for turn, (gap, row, picks) in enumerate(sorted(cases, key=_place))
    ]
    return [(row, picks) for _, _, row, picks in sorted(turns, key=lambda case: case[:3])[:limit]]


def _place(case: tuple[float, int, dict[str, int]]) -> tuple[float, int]:
    return case[:2]


def _agreement(samples: Samples) -> dict[str, Statistic]:
    verdict, n = samples.verdict, samples.words.shape[1]
    if verdict is None:
        return {}
    found = {"mean": _mean(verdict.mean(axis=1))}
    for name, reward in {**samples.rewards, "oracle": verdict}.items():
        for k in range(1, n + 1):
            found[f"curve/{name}/{k}"] = _mean(best_of(reward, verdict, k))
    for name, reward in samples.rewards.items():
        found[f"best/{name}"] = found[f"curve/{name}/{n}"]
        found[f"worst/{name}"] = _mean(best_of(-reward, verdict, n))
        found[f"auc/{name}"] = _ratio(*wins(reward, verdict), AUC)
        found[f"tau/{name}"] = _mean(tau(reward, verdict), TAU)
    for one, other in combinations(samples.rewards, 2):
        best = [best_of(samples.rewards[name], verdict, n) for name in (one, other)]
        found[f"difference/{one}/{other}"] = _mean(best[0] - best[1], DIFFERENCE)
    return found


def _lengths(samples: Samples) -> dict[str, Statistic]:
    numbers = dict(samples.rewards) if samples.verdict is None else {**samples.rewards, VERDICT: samples.verdict}
    if np.ptp(samples.words, axis=1).any():
        return {f"length/{name}": _mean(tau(values, samples.words), TAU) for name, values in numbers.items()}
    return {f"length/{name}": _spearman(values.mean(axis=1), samples.words[:, 0]) for name, values in numbers.items()}


def _level(reward: np.ndarray, verdict: np.ndarray) -> np.ndarray:
    """The verdicts, each replaced by the mean of those whose reward in the row is the same."""
    same = reward[:, :, None] == reward[:, None, :]
    return np.asarray((same * verdict[:, None, :]).sum(axis=2) / same.sum(axis=2))


def _mean(values: np.ndarray, scale: Scale | None = None) -> Statistic:
    """The mean over the prompts where it is defined."""
    kept = np.isfinite(values)
    return _ratio(np.where(kept, values, 0), kept, scale)


def _ratio(numerator: np.ndarray, denominator: np.ndarray, scale: Scale | None) -> Statistic:
    over, under = numerator.astype(float), denominator.astype(float)
    return Statistic(lambda weights: (weights @ over) / (weights @ under), n=int(np.count_nonzero(under)), scale=scale)


def _spearman(one: np.ndarray, other: np.ndarray) -> Statistic:
    from scipy.stats import rankdata  # half a second to import

    a, b = (rankdata(values) - (len(values) + 1) / 2 for values in (one, other))

    def of(weights: np.ndarray) -> np.ndarray:
        total = weights.sum(axis=-1)
        mean_a, mean_b = weights @ a / total, weights @ b / total
        spread = [np.maximum(weights @ x**2 / total - mean**2, 0) for x, mean in ((a, mean_a), (b, mean_b))]
        return np.asarray((weights @ (a * b) / total - mean_a * mean_b) / np.sqrt(spread[0] * spread[1]))

    return Statistic(of, n=len(a))
