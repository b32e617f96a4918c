"""How long a run will take: batches of its real size, made and judged as the run does it, and timed once they are warm."""

from __future__ import annotations

import io
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from suder_bench.models.protocols import Model
from suder_bench.records import Answered, Response, Verdict
from suder_bench.runs.batches import AUTO, BatchSize
from suder_bench.runs.cells import in_order
from suder_bench.runs.judges import Panel
from suder_bench.runs.plan import Settings, Task
from suder_bench.runs.respond import respond
from suder_bench.runs.responses import Key
from suder_bench.runs.score import judge, to_judge
from suder_bench.runs.screen import Screen
from suder_bench.runs.store import RunFolder

BATCHES = 6
"""Timed of a benchmark at most, besides the first, which warms up."""

ENOUGH = 4.0
"""Seconds after which no further batch is timed."""

USUAL = (10, 90)
"""Percentiles of stored responses' seconds that count as their spread."""

Item = TypeVar("Item")


@dataclass(frozen=True)
class Rate:
    """Seconds of one response: the mean of `timed` ones, and what the fastest and the slowest batch had."""

    mean: float
    low: float
    high: float
    timed: int

    def of(self, count: int) -> dict[str, Any]:
        """Of so many responses, as JSON has it."""
        return {
            "left": count,
            "seconds": round(count * self.mean, 1),
            "low": round(count * self.low, 1),
            "high": round(count * self.high, 1),
            "timed": self.timed,
        }


def of_stored(responses: Collection[Response]) -> Rate | None:
    """From the seconds that a run kept with its responses."""
    seconds = [response.seconds for response in responses]
    if not seconds:
        return None
    low, high = np.percentile(seconds, USUAL)
    return Rate(float(np.mean(seconds)), float(low), float(high), len(seconds))


def of_responding(
    task: Task, model: Model, settings: Settings, size: BatchSize, folder: RunFolder, screen: Screen
) -> tuple[Rate | None, dict[Key, Response]]:
    """Make some of a task's responses in `folder`, which is thrown away; returns them too. Where all fail that is told."""
    made: dict[Key, Response] = {}
    batches: list[tuple[float, int]] = []
    for items in _spread(in_order(task, task.items), size.value):
        fresh: dict[Key, Response] = {}
        started = time.perf_counter()
        failures = respond(replace(task, items=tuple(items)), fresh, model, folder, settings, size, Screen(io.StringIO()))
        if fresh:
            batches.append((time.perf_counter() - started, len(items)))
            made |= fresh
        elif not made:
            screen.say(f"{task.name}: none of the {len(items)} responses to time could be made: {failures[0].error!r}")
            return None, {}
        if len(batches) > 1 and sum(seconds for seconds, _ in batches[1:]) > ENOUGH:
            break
        if batches[0][0] > ENOUGH and len(items) == len(task.items):  # as long as the whole run; warming up is little of it
            break
    return _rate(batches), made


def of_judging(task: Task, responses: Mapping[Key, Response], folder: RunFolder, panel: Panel) -> Rate | None:
    """Judge some responses that lie in `folder`, and forget the verdicts; nothing where none could be judged."""
    answered = to_judge(task, responses, folder)
    marks: list[float] = []
    counts: list[int] = []

    def keep(verdicts: Sequence[Verdict]) -> None:
        marks.append(time.perf_counter())
        counts.append(len(verdicts))

    chosen: list[Answered] = [one for batch in _spread(answered, AUTO) for one in batch]
    started = time.perf_counter()
    judge(task.benchmark, chosen, panel, keep=keep, size=BatchSize(AUTO), screen=Screen(io.StringIO()))
    seconds = np.diff([started, *marks])
    return _rate([(float(took), count) for took, count in zip(seconds, counts, strict=True) if count])


def _rate(batches: Sequence[tuple[float, int]]) -> Rate | None:
    """Of (seconds, responses) of each batch, the first of which warms up."""
    timed = batches[1:] or batches
    if not timed:
        return None
    each = [seconds / count for seconds, count in timed]
    count = sum(count for _, count in timed)
    return Rate(sum(seconds for seconds, _ in timed) / count, min(each), max(each), count)


def _spread(items: Sequence[Item], size: int) -> list[Sequence[Item]]:
    """The first batch, and then some evenly spread ones of the same size; one that is alone comes twice."""
    batches = [items[i : i + size] for i in range(0, len(items), size)]
    whole = [batch for batch in batches if len(batch) == len(batches[0])] if batches else []
    if len(whole) == 1:
        return whole * 2
    count = min(BATCHES + 1, len(whole))
    return [whole[i * len(whole) // count] for i in range(count)]
