"""Intervals and paired tests by a bootstrap that resamples clusters.

The intervals are expanded BCa ones (`suder_bench.intervals`), chosen by how often they hold the truth: docs/statistics.md.

Rows that share a prompt, a picture or a group of questions are not independent, so whole clusters are drawn with
replacement: a resample gives every cluster a multiplicity, and every row the multiplicity of its cluster as weight.
A metric is any function of those weights (`records.Statistic`), so means, F1 scores and group accuracies all get
their interval from the same few lines. Three corners are settled here:

- A resample in which a metric is undefined (NaN: no row of its category was drawn) is left out of that metric.
- A metric that rests on fewer than ten clusters is not bootstrapped: its interval is Student's t on the clusters' means
  where it is a mean, and there is none elsewhere (`few_clusters`); `few_clusters` of the result says on how many it
  rests. That is asked of each metric, as one category of many may rest on a single prompt.
- A metric that is the same in every one of ten clusters or more (all right, all wrong) has an interval of width zero. A
  bootstrap cannot say more; read it with `n`.

Everything is a pure function of the rows and the seed: clusters are ordered by name, so the order of rows changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from typing import Any

import numpy as np

from suder_bench import few_clusters, intervals
from suder_bench.few_clusters import FEW, Spread
from suder_bench.records import Metric, Statistic

RESAMPLES = 1000
CELLS = 250_000
"""Weights held at once: resamples are drawn in chunks of at most this many (2 MB), however many rows there are."""

METHOD = "expanded BCa bootstrap"
"""What summaries call the intervals by; those that name none have percentile ones."""

WEIGHTIER = 0.1
"""The share of all clusters by which one is made weightier, to see how far it pulls: less would drown in rounded metrics."""

FEWEST = 40
"""A 2.5 % percentile of fewer defined resamples than this is just their minimum, so there is no interval."""

ROUNDING = 1e-12
SAME = 1e-9
POWER = 1.96 + 0.8416
"""z(0.975) + z(0.80): a difference of this many standard errors is found by a two-sided 5 % test 80 times in 100."""


@dataclass(frozen=True)
class Components:
    """What the variance of a number is made of, its parts in the square of the metric's unit: which `prompts` (or pictures to ask
    about, or groups of questions) there are, which `seeds` were trained with, and which `pictures` (or answers) each seed gave,
    with what a seed changes of single prompts. Of a side that was run once the last are in the first."""

    prompts: float
    seeds: float
    pictures: float


@dataclass(frozen=True)
class Paired:
    """Two values of one metric on the clusters both have, and what can be said of `difference` = b - a.

    `low` and `high` are its 95 % interval and `p` its two-sided bootstrap p-value; `detectable` is the smallest
    difference that as many clusters would show with 80 % power at the 5 % level; `error` is its standard error, with as many
    degrees of `freedom`. All six are None where the clusters allow none. `n` counts shared clusters; `few_clusters` those that
    the metric rests on where they are fewer than ten, from whose means all six then come by Student's t. `components`, what the
    variance is made of, and the `seeds` of either side are told of trainings with several (`suder_bench.seeds`).
    """

    a: float
    b: float
    difference: float
    low: float | None
    high: float | None
    p: float | None
    detectable: float | None
    n: int
    few_clusters: int | None = None
    error: float | None = None
    freedom: float | None = None
    components: Components | None = None
    seeds: tuple[int, int] | None = None

    def document(self) -> dict[str, Any]:
        """The fields as JSON documents hold them: without `freedom`, and without what only some have where it is None."""
        told = {name: value for name, value in asdict(self).items() if name != "freedom"}
        return {name: value for name, value in told.items() if name not in _OF_SOME or value is not None}


_OF_SOME = ("few_clusters", "components", "seeds")


@dataclass(frozen=True)
class Clusters:
    """`count` clusters, and the number of each row's; a row of none of them has the number `count` and no weight."""

    count: int
    of_row: np.ndarray

    @classmethod
    def named(cls, clusters: Sequence[str]) -> Clusters:
        names, of_row = np.unique(np.asarray(clusters, dtype=str), return_inverse=True)
        return cls(len(names), of_row)

    def weights(self, multiplicities: np.ndarray) -> np.ndarray:
        """(..., rows) of (..., clusters), float64."""
        none = np.zeros((*multiplicities.shape[:-1], 1))
        return np.concatenate([multiplicities, none], axis=-1)[..., self.of_row]

    def sums(self, column: np.ndarray) -> np.ndarray:
        """(clusters,) of (rows,)."""
        return np.bincount(self.of_row, weights=column, minlength=self.count + 1)[: self.count]

    def drawn(self, *, seed: int, resamples: int) -> Iterator[np.ndarray]:
        """Multiplicities of each resample, in chunks of shape (up to CELLS / rows, clusters), float64."""
        rng, k = np.random.default_rng(seed), self.count
        chunk = max(1, CELLS // max(1, len(self.of_row)))
        for start in range(0, resamples if k > 1 else 0, chunk):
            draws = [np.bincount(rng.integers(k, size=k), minlength=k) for _ in range(min(chunk, resamples - start))]
            yield np.stack(draws).astype(np.float64)

    def whole(self, statistic: Statistic) -> Statistic:
        """The statistic as a function of multiplicities, of shape (..., clusters)."""
        if statistic.combine is None:
            return Statistic(lambda multiplicities: statistic.of(self.weights(multiplicities)), statistic.n, statistic.scale)
        sums = [self.sums(column) for column in statistic.columns]
        return Statistic.of_sums(sums, statistic.combine, statistic.n, statistic.scale)


def resample_weights(clusters: Sequence[str], *, seed: int = 0, resamples: int = RESAMPLES) -> Iterator[np.ndarray]:
    """Row weights of each resample, in chunks of shape (up to CELLS / rows, rows), float64; `resamples` in all.

    The chunk size changes the memory used and nothing else. Yields nothing for fewer than two clusters.
    """
    known = Clusters.named(clusters)
    yield from map(known.weights, known.drawn(seed=seed, resamples=resamples))


def metrics(
    statistics: Mapping[str, Statistic], clusters: Sequence[str], *, seed: int = 0, resamples: int = RESAMPLES
) -> dict[str, Metric]:
    """Each statistic's value with its 95 % interval; `clusters` names the cluster of every row.

    All statistics see the same resamples, each drawn once. A value is NaN where the statistic is undefined on the
    rows at hand; then it has no interval either.
    """
    known = Clusters.named(clusters)
    values = {name: _value(statistic, np.ones(len(clusters))) for name, statistic in statistics.items()}
    whole = {name: known.whole(statistic) for name, statistic in statistics.items()}
    resting = {name: few_clusters.resting_on(one, np.arange(known.count), known.count) for name, one in whole.items()}
    many = {name: one for name, one in whole.items() if len(resting[name]) >= FEW}
    drawn = resampled(many, known.drawn(seed=seed, resamples=resamples))
    found = {}
    for name, statistic in statistics.items():
        if name in many:
            low, high = _interval(drawn[name], values[name], whole[name], known.count)
            found[name] = Metric(value=values[name], low=low, high=high, n=statistic.n)
        else:
            low, high = _interval_of_few(statistic, known.of_row, resting[name])
            few = len(resting[name]) if np.isfinite(values[name]) else None
            found[name] = Metric(value=values[name], low=low, high=high, n=statistic.n, few_clusters=few)
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

    The p-value is the level at which the interval would end at zero, so that both say the same. It is never below what the
    rarest resample could show. Swapping labels within pairs would be exact, but needs metrics that are sums over rows, and F1 or
    group accuracy is not one.
    """
    names = np.array(sorted(set(clusters_a) & set(clusters_b)), dtype=str)
    in_a, in_b = (among(names, clusters) for clusters in (clusters_a, clusters_b))
    sides = {name: (in_a.whole(a[name]), in_b.whole(b[name])) for name in a if name in b}
    differences = {name: linear([(-1.0, one), (1.0, other)]) for name, (one, other) in sides.items()}
    alone = np.arange(len(names))
    resting = {name: few_clusters.resting_on(one, alone, len(names)) for name, one in differences.items()}
    many = {name: one for name, one in differences.items() if len(resting[name]) >= FEW}
    both = Clusters(len(names), np.concatenate([in_a.of_row, in_b.of_row]))
    drawn = resampled(many, both.drawn(seed=seed, resamples=resamples))
    found = {}
    for name in sides:
        values = _value(a[name], in_a.weights(np.ones(len(names)))), _value(b[name], in_b.weights(np.ones(len(names))))
        if name in many:
            found[name] = _compare(*values, drawn[name], differences[name], len(names))
        else:
            of_a, of_b = (
                few_clusters.spread(side, rows.of_row, resting[name]) for side, rows in ((a[name], in_a), (b[name], in_b))
            )
            few = len(resting[name]) if np.isfinite(values).all() else None
            found[name] = replace(_compare_few(*values, of_a, of_b, len(names)), few_clusters=few)
    return found


def among(names: np.ndarray, clusters: Sequence[str]) -> Clusters:
    """The rows of the clusters `names`, which are sorted, among all `clusters`."""
    rows = np.asarray(clusters, dtype=str)
    place = np.minimum(np.searchsorted(names, rows), max(0, len(names) - 1))
    there = names[place] == rows if len(names) else np.zeros(len(rows), dtype=bool)
    return Clusters(len(names), np.where(there, place, len(names)))


def linear(parts: Sequence[tuple[float, Statistic]]) -> Statistic:
    """A sum of statistics of the same weights, each times a factor, with the `n` of the first; made of sums where all are."""
    first, combines = parts[0][1], [one.combine for _, one in parts]
    if not all(combines):
        return Statistic(lambda weights: np.asarray(sum(factor * one.of(weights) for factor, one in parts)), n=first.n)
    ends = np.cumsum([len(one.columns) for _, one in parts])

    def combine(sums: Sequence[np.ndarray]) -> np.ndarray:
        own = zip(parts, combines, ends, strict=True)
        return np.asarray(sum(factor * of(sums[end - len(one.columns) : end]) for (factor, one), of, end in own if of))

    return Statistic.of_sums([column for _, one in parts for column in one.columns], combine, n=first.n)


def _value(statistic: Statistic, weights: np.ndarray) -> float:
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(statistic.of(weights))


def resampled(statistics: Mapping[str, Statistic], chunks: Iterator[np.ndarray]) -> dict[str, np.ndarray]:
    """The values of statistics of whole clusters, all their sums in one product a chunk."""
    parts: dict[str, list[np.ndarray]] = {name: [np.empty(0)] for name in statistics}
    if not parts:  # nothing need be drawn
        return {}
    columns = [column for one in statistics.values() for column in one.columns]
    matrix = np.stack(columns, axis=1) if columns else None
    with np.errstate(divide="ignore", invalid="ignore"):
        for multiplicities in chunks:
            sums = iter(() if matrix is None else (multiplicities @ matrix).T)
            for name, one in statistics.items():
                parts[name].append(
                    one.of(multiplicities) if one.combine is None else one.combine(list(islice(sums, len(one.columns))))
                )
    return {name: np.concatenate(part) for name, part in parts.items()}


def pulled(statistic: Statistic, clusters: int) -> np.ndarray:
    """The values of a statistic of whole clusters with each of them weightier in turn, of shape (clusters,).

    Where it is no sum and they are many, with each of `RESAMPLES` groups of them.
    """
    more = max(1, round(WEIGHTIER * clusters))  # whole numbers, as some metrics are made of copies of rows
    with np.errstate(divide="ignore", invalid="ignore"):
        if statistic.combine is not None:
            return np.asarray(statistic.combine([column.sum() + more * column for column in statistic.columns]), dtype=float)
        groups = min(clusters, RESAMPLES)
        of_cluster, found = np.arange(clusters) * groups // max(1, clusters), [np.empty(0)]
        step = max(1, CELLS // max(1, clusters))
        for start in range(0, groups, step):
            chosen = of_cluster == np.arange(start, min(start + step, groups))[:, None]
            weights = 1 + chosen * np.maximum(1, np.round(more / chosen.sum(axis=1, keepdims=True)))
            found.append(np.asarray(statistic.of(weights), dtype=float))
    return np.concatenate(found)


def counted(statistic: Statistic, clusters: int) -> int:
    """How many of ten clusters or more a statistic of whole ones rests on: those that give it a value alone.

    All, where fewer than ten do, or where it is no sum and they are more than `RESAMPLES`.
    """
    step = max(1, CELLS // max(1, clusters))
    with np.errstate(divide="ignore", invalid="ignore"):
        if statistic.combine is not None:
            alone = [statistic.combine(list(statistic.columns))]
        elif clusters <= RESAMPLES:
            alone = [statistic.of(np.eye(clusters)[start : start + step]) for start in range(0, clusters, step)]
        else:
            return clusters
    count = sum(int(np.count_nonzero(np.isfinite(some))) for some in alone)
    return count if count >= FEW else clusters


def _defined(drawn: np.ndarray) -> np.ndarray | None:
    """The resamples that say something of the spread, or None where they are too few."""
    finite = drawn[np.isfinite(drawn)]
    return finite if len(finite) >= FEWEST else None


def _interval(drawn: np.ndarray, value: float, statistic: Statistic, clusters: int) -> tuple[float | None, float | None]:
    finite = _defined(drawn)
    if finite is None or not np.isfinite(value):
        return None, None
    bend = intervals.acceleration(pulled(statistic, clusters))
    low, high = intervals.expanded_bca(finite, np.asarray(value), bend, counted(statistic, clusters))
    return float(low), float(high)


def _interval_of_few(statistic: Statistic, of_row: np.ndarray, resting: np.ndarray) -> tuple[float | None, float | None]:
    found = few_clusters.spread(statistic, of_row, resting)
    return found.interval() if found else (None, None)


def _compare_few(a: float, b: float, of_a: Spread | None, of_b: Spread | None, shared: int) -> Paired:
    """By Student's t on the differences of the clusters' means; without an interval where one of the two is no mean."""
    none = Paired(a, b, b - a, None, None, None, None, shared)
    if of_a is None or of_b is None or abs(of_b.value - of_a.value - (b - a)) > SAME:
        return none  # the last: one run has rows in a cluster where the other has none
    found = Spread(b - a, of_b.pulls - of_a.pulls, min(of_a.freedom, of_b.freedom))
    low, high = found.interval()
    if found.error or len(found.pulls) < 2:
        spread = (found.error, found.freedom) if found.error else (None, None)
        return replace(none, low=low, high=high, p=found.p(), detectable=found.detectable(), error=spread[0], freedom=spread[1])
    if abs(found.value) <= ROUNDING:  # the runs are the same in every cluster
        return replace(none, low=0.0, high=0.0, p=1.0, detectable=0.0, error=0.0, freedom=len(found.pulls) - 1.0)
    return replace(none, p=2.0 ** (1 - len(found.pulls)))  # of all signs that the same difference could have had, two are as far


def _compare(a: float, b: float, drawn: np.ndarray, statistic: Statistic, shared: int) -> Paired:
    """`statistic` is the difference, of whole clusters."""
    difference = b - a
    finite = _defined(drawn)
    if finite is None or not np.isfinite(difference):
        return Paired(a, b, difference, None, None, None, None, shared)
    bend, count = intervals.acceleration(pulled(statistic, shared)), counted(statistic, shared)
    low, high = intervals.expanded_bca(finite, np.asarray(difference), bend, count)
    error = float(finite.std(ddof=1)) * intervals.expansion(count)
    return Paired(
        a=a,
        b=b,
        difference=difference,
        low=float(low),
        high=float(high),
        p=intervals.p_value(finite, difference, float(bend), count),
        detectable=POWER * error,
        n=shared,
        error=error,
        freedom=count - 1.0,
    )
