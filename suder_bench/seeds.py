"""A training run with several seeds, and the difference of two such: what prompts, seeds and pictures each leave unknown.

The value is the mean over the seeds of a metric's values. Two things vary it, each resampled in its own way:

- **Prompts** (or pictures, or groups of questions) are drawn with replacement, one draw for all seeds and for both sides of a
  difference, as in `stats.paired`; so what makes a prompt hard for all cancels out.
- **Seeds** are too few to draw from: of three, resampling has ten outcomes and a variance a third too small. Their share is
  added to every resample as a draw from Student's t with one degree of freedom less than seeds. How far seeds are apart is their
  variance less that part of it which other pictures alone would give; the latter is known from the prompts' resamples, as how
  far the same resample moves one seed and not another. Where seeds are no further apart than that, their share is 0.

Trainings are taken for independent also where two have a seed in common.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from suder_bench import few_clusters, intervals, stats
from suder_bench.few_clusters import FEW, LEVEL, POWER, Spread
from suder_bench.records import Metric, Statistic
from suder_bench.stats import Clusters, Components, Paired

RESAMPLES = 10_000
"""More than `stats.RESAMPLES`, as the p-values of claims are held against a family of them."""

Rows = tuple[Statistic, Sequence[str]]
"""A metric of one run, and the cluster of each of its rows."""


@dataclass(frozen=True)
class Averaged:
    """The mean of a metric over runs, and its `values` in each. `components` are None where its interval is."""

    metric: Metric
    values: tuple[float, ...]
    components: Components | None


def mean(runs: Sequence[Rows], *, seed: int = 0, resamples: int = RESAMPLES) -> Averaged:
    """The mean over the runs, which differ in the seed of their training; `n` is the smallest of theirs."""
    names = np.array(sorted({name for _, clusters in runs for name in clusters}), dtype=str)
    sides = [_Side(1.0, runs, names)]
    value = float(sides[0].values.mean())
    few, known = _known(sides, names, value, seed, resamples)
    low, high = known.interval() if known else (None, None)
    metric = Metric(value, low, high, min(one.n for one, _ in runs), few_clusters=few)
    return Averaged(metric, tuple(map(float, sides[0].values)), known.components if known else None)


def difference(a: Sequence[Rows], b: Sequence[Rows], *, seed: int = 0, resamples: int = RESAMPLES) -> Paired:
    """The mean of the runs `b` less that of the runs `a`, on the clusters that all have; the runs of a side differ in the seed of
    their training. `n` counts the clusters.

    Where both sides are one run this is `stats.paired` with more resamples. `error` is the standard error of the difference,
    `freedom` its degrees by Satterthwaite, and `components` what it is made of; None where there is no interval.
    """
    names = np.array(sorted(set.intersection(*(set(clusters) for _, clusters in (*a, *b)))), dtype=str)
    sides = [_Side(-1.0, a, names), _Side(1.0, b, names)]
    mean_a, mean_b = (float(side.values.mean()) for side in sides)
    few, known = _known(sides, names, mean_b - mean_a, seed, resamples)
    if len(a) == len(b) == 1:
        [(one, of_one)], [(other, of_other)] = a, b
        found = stats.paired({"": one}, of_one, {"": other}, of_other, seed=seed, resamples=resamples)[""]
    else:
        found = Paired(mean_a, mean_b, mean_b - mean_a, None, None, None, None, len(names), few)
        if known:
            low, high = known.interval()
            found = replace(found, low=low, high=high, p=known.p(), detectable=known.times(LEVEL) + known.times(POWER))
    if known is None or found.low is None:  # of one run a side that never differ some is known all the same
        return found
    return replace(found, error=known.error, freedom=known.freedom, components=known.components, seeds=(len(a), len(b)))


@dataclass(frozen=True)
class _Side:
    """The runs of one side, of whose mean `sign` times is a part of the number."""

    sign: float
    runs: Sequence[Rows]
    names: np.ndarray
    known: list[Clusters] = field(init=False)
    whole: list[Statistic] = field(init=False)
    values: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        known = [stats.among(self.names, clusters) for _, clusters in self.runs]
        whole = [clusters.whole(one) for clusters, (one, _) in zip(known, self.runs, strict=True)]
        with np.errstate(divide="ignore", invalid="ignore"):
            values = np.array([float(one.of(np.ones(len(self.names)))) for one in whole])
        for name, found in (("known", known), ("whole", whole), ("values", values)):
            object.__setattr__(self, name, found)


@dataclass(frozen=True)
class _Prompts:
    """What is known of the number as far as prompts vary it: its variance with degrees of freedom, and the covariance of each
    side's runs, and the ends of its `scale`. With ten clusters or more there are resamples of it, `drawn`, with the acceleration
    `bend`."""

    variance: float
    freedom: float
    covariances: list[np.ndarray]
    drawn: np.ndarray | None = None
    bend: float = 0.0
    scale: tuple[float, float] = (-math.inf, math.inf)


@dataclass(frozen=True)
class _Known:
    """The number with all that varies it. `shares` are (variance, degrees of freedom) of each side's seeds."""

    value: float
    prompts: _Prompts
    shares: list[tuple[float, float]]
    components: Components
    seed: int

    @property
    def error(self) -> float:
        return math.sqrt(self.prompts.variance + sum(share for share, _ in self.shares))

    @property
    def freedom(self) -> float:
        parts = [(self.prompts.variance, self.prompts.freedom), *self.shares]
        below = sum(share**2 / freedom for share, freedom in parts)
        return self.error**4 / below if below else self.prompts.freedom

    def times(self, quantile: float) -> float:
        """So many standard errors."""
        from scipy.special import stdtrit

        return float(stdtrit(self.freedom, quantile)) * self.error

    def interval(self) -> tuple[float, float]:
        """95 %, cut at the ends of the scale."""
        lowest, highest = self.prompts.scale
        low, high = self._ends()
        return max(low, min(lowest, self.value)), min(high, max(highest, self.value))

    def _ends(self) -> tuple[float, float]:
        if self.prompts.drawn is None:
            reach = self.times(LEVEL)
            return self.value - reach, self.value + reach
        drawn, value, bend = self._drawn(), np.asarray(self.value), np.asarray(self._bend)
        ends = intervals.bca(drawn, value, bend) if self.shares else intervals.expanded_bca(drawn, value, bend, self._clusters)
        return float(ends[0]), float(ends[1])

    def p(self) -> float:
        """Two-sided, of the number being 0."""
        from scipy.special import stdtr

        if self.prompts.drawn is None:
            return 2 * float(stdtr(self.freedom, -abs(self.value) / self.error))
        return intervals.p_value(self._drawn(), self.value, self._bend, None if self.shares else self._clusters)

    @property
    def _clusters(self) -> int:
        """That a number of ten clusters or more rests on."""
        return round(self.prompts.freedom) + 1

    @property
    def _bend(self) -> float:
        """Of the whole: only the prompts' part of it is skewed."""
        return self.prompts.bend * (self.prompts.variance / self.error**2) ** 1.5 if self.error else 0.0

    def _drawn(self) -> np.ndarray:
        """With seeds each resample is moved by a draw for those of each side, and away from the value as t is from normal."""
        drawn, k = self.prompts.drawn, self._clusters
        assert drawn is not None
        if not self.shares:
            return drawn
        rng = np.random.default_rng([self.seed, 1])
        drawn = self.value + (drawn - self.value) * np.sqrt(k / rng.chisquare(k - 1, len(drawn)))
        for share, freedom in self.shares:
            drawn = drawn + math.sqrt(share) * rng.standard_t(freedom, len(drawn))
        return drawn


def _known(
    sides: Sequence[_Side], names: np.ndarray, value: float, seed: int, resamples: int
) -> tuple[int | None, _Known | None]:
    """On how many clusters the number rests where these are few, and what is known of it where they allow that."""
    if not math.isfinite(value):
        return None, None
    signed = stats.linear([(side.sign / len(side.whole), one) for side in sides for one in side.whole])
    resting = few_clusters.resting_on(signed, np.arange(len(names)), len(names))
    few = len(resting) if len(resting) < FEW else None
    prompts = _few(sides, resting, value) if few is not None else _many(sides, signed, len(names), seed, resamples)
    if prompts is None:
        return few, None
    shares, pictures = [], 0.0
    for side, covariance in zip(sides, prompts.covariances, strict=True):
        count = len(side.runs)
        if count > 1:
            own = np.trace(covariance) / count
            own = max(0.0, float(own - (covariance.sum() - np.trace(covariance)) / (count * (count - 1))))
            shares.append((max(0.0, float(side.values.var(ddof=1)) - own) / count, count - 1.0))
            pictures += own / count
    shares = [(share, freedom) for share, freedom in shares if share > stats.ROUNDING**2]
    pictures = min(pictures, prompts.variance)
    components = Components(prompts.variance - pictures, sum(share for share, _ in shares), pictures)
    return few, _Known(value, prompts, shares, components, seed)


def _signed(values: Iterable[Sequence[np.ndarray] | np.ndarray], sides: Sequence[_Side]) -> np.ndarray:
    found: np.ndarray = sum(side.sign * np.mean(own, axis=0) for side, own in zip(sides, values, strict=True))  # type: ignore[assignment]
    return found


def _many(sides: Sequence[_Side], signed: Statistic, clusters: int, seed: int, resamples: int) -> _Prompts | None:
    """By resampling; None where the number is undefined in nearly all resamples."""
    named = {f"{i} {j}": one for i, side in enumerate(sides) for j, one in enumerate(side.whole)}
    together = Clusters(clusters, np.concatenate([known.of_row for side in sides for known in side.known]))
    matrix = np.stack(list(stats.resampled(named, together.drawn(seed=seed, resamples=resamples)).values()))
    matrix = matrix[:, np.isfinite(matrix).all(axis=0)]
    if matrix.shape[1] < stats.FEWEST:
        return None
    parts = np.split(matrix, np.cumsum([len(side.runs) for side in sides])[:-1])
    count = stats.counted(signed, clusters)
    drawn, wider = _signed(parts, sides), intervals.expansion(count) ** 2
    covariances = [wider * np.cov(part).reshape(len(part), len(part)) for part in parts]
    bend = float(intervals.acceleration(stats.pulled(signed, clusters)))
    scale = _scale(sides, [one.scale or (-math.inf, math.inf) for one in sides[0].whole])
    return _Prompts(wider * float(drawn.var(ddof=1)), count - 1.0, covariances, drawn, bend, scale)


def _scale(sides: Sequence[_Side], ends: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """What the number cannot pass where the first side's runs have these `ends`; nothing is known of a difference."""
    if len(sides) > 1:
        return -math.inf, math.inf
    return min(low for low, _ in ends), max(high for _, high in ends)


def _few(sides: Sequence[_Side], resting: np.ndarray, value: float) -> _Prompts | None:
    """By the means of few clusters; None where a metric is no mean, or where the clusters do not differ."""
    found = [
        [few_clusters.spread(one, known.of_row, resting) for known, (one, _) in zip(side.known, side.runs, strict=True)]
        for side in sides
    ]
    spreads = [[one for one in side if one is not None] for side in found]
    if [len(side) for side in spreads] != [len(side.runs) for side in sides]:
        return None
    apart = [np.array([one.value for one in own]) - side.values for side, own in zip(sides, spreads, strict=True)]
    if np.abs(np.concatenate(apart)).max() > stats.SAME:  # a run has rows in a cluster where another has none
        return None
    parts = [np.stack([one.pulls for one in own]) for own in spreads]
    freedom = min(one.freedom for own in spreads for one in own)
    whole = Spread(value, _signed(parts, sides), freedom)
    if not whole.error or freedom <= 0:
        return None
    scale = _scale(sides, [one.scale for one in spreads[0]])
    k = len(resting)
    return _Prompts(whole.error**2, freedom, [part @ part.T / (k * (k - 1)) for part in parts], scale=scale)
