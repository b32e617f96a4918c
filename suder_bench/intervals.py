"""From resampled values to a 95 % interval and a p-value; all functions take resamples along the first axis and any shape behind.

`expanded_bca` is the one that numbers get (`suder_bench.stats`); the others stand beside it in the simulation that it was chosen
by, `tests/bench/coverage_of_intervals.py`, whose table is in docs/statistics.md.
"""

from __future__ import annotations

import numpy as np

LEVEL = 0.975
"""Of the upper end; the lower one is as far from 0."""

SAME = 1e-12
"""Values no further apart are equal, but for the last digits of sums."""

Ends = tuple[np.ndarray, np.ndarray]


def percentile(drawn: np.ndarray) -> Ends:
    """The 2.5 % and 97.5 % quantiles (Efron and Tibshirani 1993, chapter 13)."""
    ordered, level = np.sort(drawn, axis=0), np.full(drawn.shape[1:], LEVEL)
    return quantile(ordered, 1 - level), quantile(ordered, level)


def bca(drawn: np.ndarray, value: np.ndarray, acceleration: np.ndarray, reach: float | None = None) -> Ends:
    """Bias-corrected and accelerated (chapter 14): quantiles at levels moved for the median of the resamples not being the value,
    and for a standard error that changes with the value. `reach` stands for the normal quantile 1.96.
    """
    from scipy.special import ndtr, ndtri  # a third of a second to import

    z = float(ndtri(LEVEL)) if reach is None else reach
    ordered, bias = np.sort(drawn, axis=0), _bias(drawn, value)
    low, high = (
        quantile(ordered, ndtr(bias + (bias + side) / np.maximum(1 - acceleration * (bias + side), 1e-9))) for side in (-z, z)
    )
    return np.minimum(low, value), np.maximum(high, value)


def expanded_bca(drawn: np.ndarray, value: np.ndarray, acceleration: np.ndarray, clusters: int) -> Ends:
    """BCa with the quantile of Student's t for the normal one, and the n - 1 of a variance for the n of resampling.

    (Hesterberg 2015, "What Teachers Should Know About the Bootstrap", who does so with percentiles.)
    """
    from scipy.special import stdtrit

    return bca(drawn, value, acceleration, float(stdtrit(clusters - 1, LEVEL)) * expansion(clusters))


def expansion(clusters: int) -> float:
    """How much narrower the resampled means of so many clusters lie than means of new ones would by an unbiased variance."""
    return float(np.sqrt(clusters / (clusters - 1)))


def p_value(drawn: np.ndarray, value: float, acceleration: float, clusters: int | None = None) -> float:
    """Two-sided, of the true value being 0: 5 % where an end of `expanded_bca` is there, or of `bca` without `clusters`.

    `drawn` has shape (resamples,). It is never below what the rarest resample could show.
    """
    from scipy.special import ndtr, ndtri, stdtr

    if abs(value) <= SAME:
        return 1.0
    least = 0.5 / (len(drawn) + 1)
    below = (drawn <= SAME).mean() if value > 0 else (drawn < -SAME).mean()  # an interval that ends at 0 holds it
    below = np.clip(below, least, 1 - least)
    bias = float(_bias(drawn, np.asarray(value)))
    away = float(ndtri(below)) - bias
    z = away / max(1 + acceleration * away, 1e-9) - bias
    if clusters is None:
        return float(2 * ndtr(-abs(z)))
    return float(2 * stdtr(clusters - 1, -abs(z) / expansion(clusters)))


def acceleration(pulls: np.ndarray) -> np.ndarray:
    """Of how far each cluster pulls the value (or its value with more weight on each), along the first axis: a sixth of the
    skewness of their sum.

    Undefined ones are left out; 0 where all are equal.
    """
    defined = np.isfinite(pulls)
    with np.errstate(divide="ignore", invalid="ignore"):
        centre = np.where(defined, pulls, 0.0).sum(axis=0) / defined.sum(axis=0)
        apart = np.where(defined, pulls - centre, 0.0)
        spread = (apart**2).sum(axis=0)
        return np.where(spread > 1e-24, (apart**3).sum(axis=0) / (6 * spread**1.5), 0.0)


def quantile(ordered: np.ndarray, level: np.ndarray) -> np.ndarray:
    """Of sorted values, between neighbours as numpy's linear one; each column behind the first axis has its own level."""
    place = np.clip(level, 0, 1) * (len(ordered) - 1)
    left = np.floor(place).astype(int)
    right = np.minimum(left + 1, len(ordered) - 1)
    low, high = (np.take_along_axis(ordered, some[None], axis=0)[0] for some in (left, right))
    return low + (place - left) * (high - low)


def _below(drawn: np.ndarray, value: np.ndarray) -> np.ndarray:
    """The share of resamples below the value; those equal to it count half."""
    near = SAME * np.maximum(1.0, np.abs(value))
    return ((drawn < value - near).mean(axis=0) + (drawn <= value + near).mean(axis=0)) / 2


def _bias(drawn: np.ndarray, value: np.ndarray) -> np.ndarray:
    from scipy.special import ndtri

    least = 0.5 / (len(drawn) + 1)
    found: np.ndarray = ndtri(np.clip(_below(drawn, value), least, 1 - least))
    return found
