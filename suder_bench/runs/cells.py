"""How a task's items go together: where rounding depends on a batch's shape, a number depends on which items share a batch.

The plan, in the order in which a model responds, is cut into cells of the batch size, and what is left of a cell, after a kill
or a failure, goes together as it did before. So it does not matter how many workers there are, in which order they end, or
where a run was stopped.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TypeVar

from suder_bench.runs import plan
from suder_bench.runs.plan import Item, Task

Kept = TypeVar("Kept")

WASTE = 1.25
"""By how much more batches than needed the cells of the plan may cost: a plan that has grown, as by more repeats, is cut anew."""


def cells(task: Task, items: Sequence[Item], size: int) -> list[Sequence[Item]]:
    """`items` of the task in the order of its work, in chunks of at most `size`."""
    ordered = in_order(task, items)
    return cut(ordered, work_places(task, ordered), size)


def in_order(task: Task, items: Sequence[Item]) -> Sequence[Item]:
    """`items` of the task, which are in the order of its plan, in the order of its work."""
    if not task.work:
        return items
    placed = sorted(zip(work_places(task, items), items, strict=True), key=lambda pair: pair[0])
    return [item for _, item in placed]


def work_places(task: Task, items: Sequence[Item]) -> list[int]:
    """Where in the order of the task's work the items stand; samples that are not asked about keep theirs free."""
    if not task.work:
        return places(task, items)
    return [task.work[item.sample.id] * task.repeats + item.repeat for item in items]


def places(task: Task, items: Sequence[Item]) -> list[int]:
    """Where in the plan the items stand, all of which are of it."""
    place = plan.places(task.items)
    return [found for item in items if (found := place(*item.key)) is not None]


def cut(items: Sequence[Kept], places: Sequence[int], size: int) -> list[Sequence[Kept]]:
    """Items, by the increasing places of their cells, in chunks of at most `size`."""
    starts = [number for number, place in enumerate(places) if not number or place // size != places[number - 1] // size]
    if len(starts) > WASTE * max(1, -(-len(items) // size)):
        starts = list(range(0, len(items), size))
    return [items[start:end] for start, end in pairwise([*starts, len(items)])]
