"""Intervals and paired tests by a bootstrap that resamples clusters.

Rows that share a prompt, a picture or a group of questions are not independent, so whole clusters are drawn with
replacement: a resample gives every cluster a multiplicity, and every row the multiplicity of its cluster as weight.
A metric is any function of those weights (`records.Statistic`), so means, F1 scores and group accuracies all get
their interval from the same few lines. Three corners are settled here:

- A resample in which a metric is undefined (NaN: no row of its category was drawn) is left out of that metric.
- A metric that rests on a single cluster has no interval (`low` and `high` are None). It cannot be seen from the
  cluster names, as one category of many may rest on one prompt; but such a metric has the same value in every
  resample that defines it, and is undefined in at least a fifth of them (a given cluster of k is left out of
  (1 - 1/k)^k of the resamples: 1/4 for two, 0.37 for many). Both together mean: no interval.
- A metric that is the same in every cluster (all right, all wrong) has an interval of width zero. The percentile
  bootstrap cannot say more; read it with `n`.

Everything is a pure function of the rows and the seed: clusters are ordered by name, so the order of rows changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from suder_bench.records import Metric, Statistic

RESAMPLES = 1000
CELLS = 2_000_000
"""Weights held at once: resamples are drawn in chunks of at most this many (16 MB), however many rows there are."""

LEVEL = (2.5, 97.5)
FEWEST = 40
"""A 2.5 % percentile of fewer defined resamples than this is just their minimum, so there is no interval."""

UNDEFINED = 0.2
"""Lies between the share of resamples that lack one given cluster (at least 1/4) and those that lack two (at most 0.136)."""

ROUNDING = 1e-12
POWER = 1.96 + 0.8416
"""z(0.975) + z(0.80): a difference of this many standard errors is found by a two-sided 5 % test 80 times in 100."""


@dataclass(frozen=True)
class Paired:
    """Two values of one metric on the clusters both have, and what can be said of `difference` = b - a.

    `low` and `high` are its 95 % interval and `p` its two-sided bootstrap p-value; `detectable` is the smallest
    difference that as many clusters would show with 80 % power at the 5 % level. All four are None where one
    cluster allows none. `n` counts shared clusters.
    """

    a: float
    b: float
    difference: float
    low: float | None
    high: float | None
    p: float | None
    detectable: float | None
    n: int


def resample_weights(clusters: Sequence[str], *, seed: int = 0, resamples: int = RESAMPLES) -> Iterator[np.ndarray]:
    """Row weights of each resample, in chunks of shape (up to CELLS / rows, rows), float64; `resamples` in all.

    The chunk size changes the memory used and nothing else. Yields nothing for fewer than two clusters.
    """
    names, cluster_of_row = np.unique(np.asarray(clusters, dtype=str), return_inverse=True)
    k, rows = len(names), len(cluster_of_row)
    if k < 2:
        return
    rng = np.random.default_rng(seed)
    chunk = max(1, CELLS // rows)
    for start in range(0, resamples, chunk):
        draws = (np.bincount(rng.integers(k, size=k), minlength=k) for _ in range(min(chunk, resamples - start)))
        yield np.stack([multiplicity[cluster_of_row] for multiplicity in draws]).astype(np.float64)


def metrics(
    statistics: Mapping[str, Statistic], clusters: Sequence[str], *, seed: int = 0, resamples: int = RESAMPLES
) -> dict[str, Metric]:
    """Each statistic's value with its 95 % percentile interval; `clusters` names the cluster of every row.

    All statistics see the same resamples, each drawn once. A value is NaN where the statistic is undefined on the
    rows at hand; then it has no interval either.
    """
    values = {name: _value(statistic, np.ones(len(clusters))) for name, statistic in statistics.items()}
    drawn = _resampled(statistics, resample_weights(clusters, seed=seed, resamples=resamples))
    found = {}
    for name, statistic in statistics.items():
        low, high = _interval(drawn[name], values[name])
        found[name] = Metric(value=values[name], low=low, high=high, n=statistic.n)
    return found


def metric(statistic: Statistic, clusters: Sequence[str], *, seed: int = 0, resamples: int = RESAMPLES) -> Metric:
    """`metrics` of one statistic."""
    return metrics({"": statistic}, clusters, seed=seed, resamples=resamples)[""]


def paired(
    a: Mapping[str, Statistic],
    clusters_a: Sequence[str],
    b: Mapping[str, Statistic],
    clusters_b: Sequence[str],
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> dict[str, Paired]:
    """Compare two runs, metric by metric, on the clusters that both have; rows of other clusters get no weight.

    One resample of the shared clusters weighs both runs, so what makes a prompt hard for both cancels out.

    The p-value plays the null hypothesis with the resampled differences moved to zero: the share of resamples that
    stray from the observed difference d at least as far as d is from zero, (1 + #{|d* - d| >= |d|}) / (1 + resamples).
    It is never below 1 / (1 + resamples). Swapping labels within pairs would be exact, but needs metrics that are
    sums over rows, and F1 or group accuracy is not one.
    """
    shared = set(clusters_a) & set(clusters_b)
    rows, middle = [*clusters_a, *clusters_b], len(clusters_a)
    kept = np.array([cluster in shared for cluster in rows], dtype=bool)

    def spread(weights: np.ndarray) -> np.ndarray:
        full = np.zeros((*weights.shape[:-1], len(rows)))
        full[..., kept] = weights
        return full

    def difference(of_a: Statistic, of_b: Statistic) -> Statistic:
        return Statistic(of=lambda w: of_b.of(w[..., middle:]) - of_a.of(w[..., :middle]), n=len(shared))

    names = [name for name in a if name in b]
    chunks = resample_weights([row for row in rows if row in shared], seed=seed, resamples=resamples)
    drawn = _resampled({name: difference(a[name], b[name]) for name in names}, map(spread, chunks))
    ones = kept.astype(np.float64)
    return {
        name: _compare(_value(a[name], ones[:middle]), _value(b[name], ones[middle:]), drawn[name], len(shared)) for name in names
    }


def _value(statistic: Statistic, weights: np.ndarray) -> float:
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(statistic.of(weights))


def _resampled(statistics: Mapping[str, Statistic], chunks: Iterator[np.ndarray]) -> dict[str, np.ndarray]:
    parts: dict[str, list[np.ndarray]] = {name: [np.empty(0)] for name in statistics}
    with np.errstate(divide="ignore", invalid="ignore"):
        for weights in chunks:
            for name, statistic in statistics.items():
                parts[name].append(statistic.of(weights))
    return {name: np.concatenate(part) for name, part in parts.items()}


def _defined(drawn: np.ndarray) -> np.ndarray | None:
    """The resamples that say something of the spread, or None where the metric rests on one cluster (see the top)."""
    finite = drawn[np.isfinite(drawn)]
    if len(finite) < FEWEST:
        return None
    constant = np.ptp(finite) <= ROUNDING * max(1.0, abs(finite[0]))
    return None if constant and len(finite) < (1 - UNDEFINED) * len(drawn) else finite


def _interval(drawn: np.ndarray, value: float) -> tuple[float | None, float | None]:
    finite = _defined(drawn)
    if finite is None or not np.isfinite(value):
        return None, None
    low, high = np.percentile(finite, LEVEL)
    return float(low), float(high)


def _compare(a: float, b: float, drawn: np.ndarray, shared: int) -> Paired:
    difference = b - a
    finite = _defined(drawn)
    if finite is None or not np.isfinite(difference):
        return Paired(a, b, difference, None, None, None, None, shared)
    low, high = np.percentile(finite, LEVEL)
    stray = np.count_nonzero(np.abs(finite - difference) >= abs(difference) - ROUNDING)
    return Paired(
        a=a,
        b=b,
        difference=difference,
        low=float(low),
        high=float(high),
        p=(1 + stray) / (1 + len(finite)),
        detectable=float(POWER * finite.std(ddof=1)),
        n=shared,
    )
