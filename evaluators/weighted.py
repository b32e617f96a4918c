"""Aggregates as functions of row weights (`records.Statistic`): means, counts, and groups that must be right as a whole.

Everything is a product of the weights with precomputed columns of length rows, so that a thousand resamples cost one
matrix product each. A mean over no weight is NaN: undefined in that resample.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

import numpy as np

from suder_bench.records import Statistic

UNIT = (0.0, 1.0)


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """numerator / denominator, NaN where the denominator is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(denominator == 0, np.nan, numerator / denominator)


def mean(values: np.ndarray, keep: np.ndarray | None = None, scale: tuple[float, float] | None = None) -> Statistic:
    """The weighted mean of `values` over the rows in the boolean `keep` (all by default). They lie on the `scale`, by default
    from 0 to 1 where each of them is one of these."""
    kept = np.ones(len(values)) if keep is None else keep.astype(float)
    kept_values = np.where(kept > 0, np.asarray(values, dtype=float), 0.0)  # 0 times NaN would be NaN
    if scale is None and np.isin(kept_values, UNIT).all():
        scale = UNIT
    return Statistic.of_sums([kept_values, kept], lambda sums: ratio(*sums), n=int(kept.sum()), scale=scale)


def count(flags: np.ndarray, keep: np.ndarray | None = None) -> Statistic:
    """The weighted number of kept rows that are flagged."""
    kept = np.ones(len(flags), dtype=bool) if keep is None else keep
    flagged = (flags & kept).astype(float)
    return Statistic.of_sums([flagged], lambda sums: sums[0], n=int(kept.sum()))


def average(parts: Sequence[Statistic], n: int, shares: Sequence[float] | None = None) -> Statistic:
    """The mean of other statistics, plain or by their `shares` (of any sum), between the ends of their
    scales; `n` is what the reader should see."""
    share = np.ones(len(parts)) if shares is None else np.asarray(shares, dtype=float)
    scales = [part.scale for part in parts if part.scale is not None]
    known = len(scales) == len(parts) > 0
    scale = (min(low for low, _ in scales), max(high for _, high in scales)) if known else None

    def mean_of(values: Sequence[np.ndarray]) -> np.ndarray:
        total = sum((own * value for own, value in zip(share, values, strict=True)), start=np.zeros(np.shape(values[0])))
        return ratio(total, np.array(share.sum()))

    if not all(part.combine for part in parts):
        return Statistic(lambda weights: mean_of([part.of(weights) for part in parts]), n=n, scale=scale)
    ends = np.cumsum([len(part.columns) for part in parts])

    def combine(sums: Sequence[np.ndarray]) -> np.ndarray:
        return mean_of([part.combine(sums[end - len(part.columns) : end]) for part, end in zip(parts, ends, strict=True)])  # type: ignore[misc]

    return Statistic.of_sums([column for part in parts for column in part.columns], combine, n=n, scale=scale)


def rounded(part: Statistic, decimals: int, *, times: float = 1) -> Statistic:
    """The statistic, which is made of sums, `times` a number and rounded, in every resample too."""
    combine, scale = part.combine, part.scale and (times * part.scale[0], times * part.scale[1])
    assert combine is not None
    return Statistic.of_sums(part.columns, lambda sums: rounds(times * combine(sums), decimals), part.n, scale)


rounds = np.vectorize(lambda value, decimals: round(float(value), decimals), otypes=[float])
"""Python's `round` of each number, which differs from numpy's where a half cannot be written in binary."""


def all_correct(
    correct: np.ndarray,
    groups: Sequence[Hashable],
    keep: np.ndarray,
    *,
    complete: Callable[[Hashable, int], bool] = lambda group, rows: True,
) -> tuple[np.ndarray, np.ndarray]:
    """Groups of kept rows that count as right only when every row is, as (values, keep) columns for `mean`.

    A group stands at its first row, whose weight is the group's. `complete(group, rows)` can leave out a group of
    which only some rows are at hand.
    """
    members: dict[Hashable, list[int]] = {}
    for row in np.flatnonzero(keep).tolist():
        members.setdefault(groups[row], []).append(row)
    values, stands = np.zeros(len(correct)), np.zeros(len(correct), dtype=bool)
    for group, rows in members.items():
        if complete(group, len(rows)):
            stands[rows[0]] = True
            values[rows[0]] = correct[rows].all()
    return values, stands
