"""Intervals and paired tests by a bootstrap that resamples clusters.

Rows that share a prompt, a picture or a group of questions are not independent, so whole clusters are drawn with
replacement: a resample gives every cluster a multiplicity, and every row the multiplicity of its cluster as weight.
A metric is any function of those weights (`records.Statistic`), so means, F1 scores and group accuracies all get
their interval from the same few lines. Three corners are settled here:

- A resample in which a metric is undefined (NaN: no row of its category was drawn) is left out of that metric.
- A metric that rests on fewer than ten clusters is not bootstrapped: its interval is Student's t on the clusters' means
  where it is a mean, and there is none elsewhere (`few_clusters`); `few_clusters` of the result says on how many it
  rests. That is asked of each metric, as one category of many may rest on a single prompt.
- A metric that is the same in every one of ten clusters or more (all right, all wrong) has an interval of width zero. The
  percentile bootstrap cannot say more; read it with `n`.

Everything is a pure function of the rows and the seed: clusters are ordered by name, so the order of rows changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from typing import Any

import numpy as np

from suder_bench import few_clusters
from suder_bench.few_clusters import FEW, Spread
from suder_bench.records import Metric, Statistic

RESAMPLES = 1000
CELLS = 250_000
"""Weights held at once: resamples are drawn in chunks of at most this many (2 MB), however many rows there are."""

LEVEL = (2.5, 97.5)
FEWEST = 40
"""A 2.5 % percentile of fewer defined resamples than this is just their minimum, so there is no interval."""

ROUNDING = 1e-12
SAME = 1e-9
POWER = 1.96 + 0.8416
"""z(0.975) + z(0.80): a difference of this many standard errors is found by a two-sided 5 % test 80 times in 100."""


@dataclass(frozen=True)
class Paired:
    """Two values of one metric on the clusters both have, and what can be said of `difference` = b - a.

    `low` and `high` are its 95 % interval and `p` its two-sided bootstrap p-value; `detectable` is the smallest
    difference that as many clusters would show with 80 % power at the 5 % level. All four are None where the clusters
    allow none. `n` counts shared clusters; `few_clusters` those that the metric rests on where they are fewer than ten,
    from whose means all four then come by Student's t.
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

    def document(self) -> dict[str, Any]:
        """The fields as JSON documents hold them: `few_clusters` is absent where it is None."""
        return {name: value for name, value in asdict(self).items() if name != "few_clusters" or value is not None}


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
    """Each statistic's value with its 95 % percentile interval; `clusters` names the cluster of every row.

    All statistics see the same resamples, each drawn once. A value is NaN where the statistic is undefined on the
    rows at hand; then it has no interval either.
    """
    known = Clusters.named(clusters)
    values = {name: _value(statistic, np.ones(len(clusters))) for name, statistic in statistics.items()}
    whole = {name: known.whole(statistic) for name, statistic in statistics.items()}
    resting = {name: few_clusters.resting_on(one, np.arange(known.count), known.count) for name, one in whole.items()}
    many = {name: one for name, one in whole.items() if len(resting[name]) >= FEW}
    drawn = _resampled(many, known.drawn(seed=seed, resamples=resamples))
    found = {}
    for name, statistic in statistics.items():
        if name in many:
            low, high = _interval(drawn[name], values[name])
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

    The p-value plays the null hypothesis with the resampled differences moved to zero: the share of resamples that
    stray from the observed difference d at least as far as d is from zero, (1 + #{|d* - d| >= |d|}) / (1 + resamples).
    It is never below 1 / (1 + resamples). Swapping labels within pairs would be exact, but needs metrics that are
    sums over rows, and F1 or group accuracy is not one.
    """
    names = np.array(sorted(set(clusters_a) & set(clusters_b)), dtype=str)
    in_a, in_b = (_among(names, clusters) for clusters in (clusters_a, clusters_b))
    sides = {name: (in_a.whole(a[name]), in_b.whole(b[name])) for name in a if name in b}
    differences = {name: _difference(one, other) for name, (one, other) in sides.items()}
    alone = np.arange(len(names))
    resting = {name: few_clusters.resting_on(one, alone, len(names)) for name, one in differences.items()}
    many = {name: one for name, one in differences.items() if len(resting[name]) >= FEW}
    both = Clusters(len(names), np.concatenate([in_a.of_row, in_b.of_row]))
    drawn = _resampled(many, both.drawn(seed=seed, resamples=resamples))
    found = {}
    for name in sides:
        values = _value(a[name], in_a.weights(np.ones(len(names)))), _value(b[name], in_b.weights(np.ones(len(names))))
        if name in many:
            found[name] = _compare(*values, drawn[name], len(names))
        else:
            of_a, of_b = (
                few_clusters.spread(side, rows.of_row, resting[name]) for side, rows in ((a[name], in_a), (b[name], in_b))
            )
            few = len(resting[name]) if np.isfinite(values).all() else None
            found[name] = replace(_compare_few(*values, of_a, of_b, len(names)), few_clusters=few)
    return found


def _among(names: np.ndarray, clusters: Sequence[str]) -> Clusters:
    """The rows of the clusters `names`, which are sorted, among all `clusters`."""
    rows = np.asarray(clusters, dtype=str)
    place = np.minimum(np.searchsorted(names, rows), max(0, len(names) - 1))
    there = names[place] == rows if len(names) else np.zeros(len(rows), dtype=bool)
    return Clusters(len(names), np.where(there, place, len(names)))


def _difference(one: Statistic, other: Statistic) -> Statistic:
    mine, theirs, middle = one.combine, other.combine, len(one.columns)
    if mine is None or theirs is None:
        return Statistic(of=lambda w: other.of(w) - one.of(w), n=one.n)
    return Statistic.of_sums([*one.columns, *other.columns], lambda sums: theirs(sums[middle:]) - mine(sums[:middle]), n=one.n)


def _value(statistic: Statistic, weights: np.ndarray) -> float:
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(statistic.of(weights))


def _resampled(statistics: Mapping[str, Statistic], chunks: Iterator[np.ndarray]) -> dict[str, np.ndarray]:
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


def _defined(drawn: np.ndarray) -> np.ndarray | None:
    """The resamples that say something of the spread, or None where they are too few."""
    finite = drawn[np.isfinite(drawn)]
    return finite if len(finite) >= FEWEST else None


def _interval(drawn: np.ndarray, value: float) -> tuple[float | None, float | None]:
    finite = _defined(drawn)
    if finite is None or not np.isfinite(value):
        return None, None
    low, high = np.percentile(finite, LEVEL)
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
        return replace(none, low=low, high=high, p=found.p(), detectable=found.detectable())
    if abs(found.value) <= ROUNDING:  # the runs are the same in every cluster
        return replace(none, low=0.0, high=0.0, p=1.0, detectable=0.0)
    return replace(none, p=2.0 ** (1 - len(found.pulls)))  # of all signs that the same difference could have had, two are as far


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
