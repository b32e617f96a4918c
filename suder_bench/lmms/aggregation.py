"""lmms-eval's aggregations as statistics. An aggregation is a function of a list of results, so a weighted one is of a list in
which each stands as often as it weighs.

Means of the results, however they are computed, are found by trial and become weighted sums, whose resamples cost nothing. Others
are computed anew for each resample, unless that is dear, or copies of a result do not count (as where results are put into a
dictionary by question): these have a value and no interval.
"""

from __future__ import annotations

import inspect
import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import replace
from io import StringIO
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np

from suder_bench.records import Statistic

Aggregation = Callable[..., Any]

CALLS = 100_000
"""An aggregation that makes more calls is not made a thousand times, which would take a minute or more. Calls are counted, not
seconds, so that it is the same everywhere."""

SECONDS = 5.0
"""And one that waits, for an answer from elsewhere for example."""

FIRST = 16
"""So many results tell most of what is no mean."""

TRIALS = 3
CLOSE = 1e-9


def statistic(function: Aggregation, results: Sequence[Any]) -> Statistic | None:
    """Of the results of all rows, None for rows without one; None where the aggregation gives no number.

    With all weights one it is what lmms-eval gives, to the last digit. Raises whatever the aggregation does.
    """
    there = np.array([one is not None for one in results], dtype=bool)
    kept = [one for one in results if one is not None]
    if not kept:
        return None
    started = perf_counter()
    value, calls = _counted(function, kept)
    if value is None:
        return None
    if calls > CALLS or perf_counter() - started > SECONDS:
        return Statistic(_exact(_nothing, there, value), len(kept))
    if (single := _singles(function, kept, value)) is not None:
        column = np.zeros(len(results))
        column[there] = single
        mean = Statistic.of_sums([column, there.astype(float)], lambda sums: sums[0] / sums[1], n=len(kept))
        return replace(mean, of=_exact(mean.of, there, value))
    if not _counts_copies(function, kept, value):
        return Statistic(_exact(_nothing, there, value), len(kept))

    def weighted(weights: np.ndarray) -> np.ndarray:
        made = [_again(function, kept, row) for row in weights[..., there].reshape(-1, len(kept))]
        return np.array(made, dtype=float).reshape(weights.shape[:-1])

    return Statistic(_exact(weighted, there, value), len(kept))


def _nothing(weights: np.ndarray) -> np.ndarray:
    return np.full(weights.shape[:-1], np.nan)


def _exact(of: Callable[[np.ndarray], np.ndarray], there: np.ndarray, value: float) -> Callable[[np.ndarray], np.ndarray]:
    """The same, but the very value where all weights are one."""

    def exact(weights: np.ndarray) -> np.ndarray:
        ones = (weights[..., there] == 1).all(axis=-1)
        return np.array(value) if ones.all() and ones.ndim == 0 else np.where(ones, value, of(weights))

    return exact


def _singles(function: Aggregation, results: Sequence[Any], value: float) -> np.ndarray | None:
    """The number of each result by itself, where the aggregation is their mean, whatever the weights; else None."""
    first = results[:FIRST]
    small = _alone(function, first)
    if small is None or not _is_mean(function, first, small):
        return None
    single = small if len(first) == len(results) else _alone(function, results)
    if single is None or not np.isclose(single.mean(), value, rtol=CLOSE, atol=CLOSE):
        return None
    return single if _is_mean(function, results, single) else None


def _alone(function: Aggregation, results: Sequence[Any]) -> np.ndarray | None:
    numbers = np.array([_again(function, [one], np.ones(1)) for one in results])
    return numbers if np.isfinite(numbers).all() else None


def _is_mean(function: Aggregation, results: Sequence[Any], single: np.ndarray) -> bool:
    rng = np.random.default_rng(0)
    for _ in range(TRIALS):
        weights = rng.integers(0, 3, len(results)).astype(float)
        weights[rng.integers(len(results))] += 1
        if not np.isclose(_again(function, results, weights), weights @ single / weights.sum(), rtol=CLOSE, atol=CLOSE):
            return False
    return True


def _counts_copies(function: Aggregation, results: Sequence[Any], value: float) -> bool:
    rng = np.random.default_rng(0)
    trials = [_again(function, results, rng.integers(1, 3, len(results)).astype(float)) for _ in range(TRIALS)]
    return bool(np.isfinite(trials).all()) and any(one != value for one in trials)


def _again(function: Aggregation, results: Sequence[Any], weights: np.ndarray) -> float:
    """NaN for weights that are no whole numbers, and where the aggregation has no number to give for such a list."""
    if not weights.any() or (weights != np.rint(weights)).any():
        return np.nan
    copies = [one for one, weight in zip(results, weights, strict=True) for _ in range(int(weight))]
    try:
        value = _number(aggregated(function, copies))
    except Exception:  # a category is gone, or is there twice
        return np.nan
    return np.nan if value is None else value


def _counted(function: Aggregation, results: Sequence[Any]) -> tuple[float | None, int]:
    """The number, and how many calls it took."""
    calls, before = 0, sys.getprofile()

    def count(frame: Any, event: str, argument: Any) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        value = aggregated(function, list(results))
    finally:
        sys.setprofile(before)
    return _number(value), calls


def aggregated(function: Aggregation, results: list[Any]) -> Any:
    """What lmms-eval's own code gives, without what it prints, and in a folder of its own, as some write submissions there."""
    asks = "args" in inspect.signature(function).parameters
    with TemporaryDirectory() as folder, chdir(folder), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        return function(results, args=Namespace(output_path=folder)) if asks else function(results)


def _number(value: Any) -> float | None:
    value = value.item() if isinstance(value, np.generic) else value
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
