"""Judging while the model still responds: a cell of the plan goes to the judges once all its responses are there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from suder_bench.records import Answered, Response
from suder_bench.runs.judges import Panel
from suder_bench.runs.plan import Item, Task, places
from suder_bench.runs.responses import Key
from suder_bench.runs.score import filing, judging_of, keep_verdicts, key_of_verdict, to_judge
from suder_bench.runs.store import RunFolder
from suder_bench.runs.workers.driver import Lot


class Scoring:
    """The judging of one task as its responses come. `hand_on` is given its work, and the responses of a cell of `size` items."""

    def __init__(
        self,
        task: Task,
        made: Mapping[Key, Response],
        folder: RunFolder,
        panel: Panel,
        size: int,
        hand_on: Callable[[Lot[Answered], list[Sequence[Answered]]], None],
    ) -> None:
        self._task, self._made, self._folder, self._hand_on = task, made, folder, hand_on
        self._keys = filing(task, panel.identity(panel.judges))
        self._known = set(folder.verdicts(task.name, set(self._keys.values()), repair=False))
        self.judging = judging_of(task.benchmark, lambda verdicts: keep_verdicts(folder, task, self._keys, verdicts))
        self._place = places(task.items)
        self._cells = [task.items[start : start + size] for start in range(0, len(task.items), size)]
        self._size = size
        self._missing = [sum(item.key not in made for item in cell) for cell in self._cells]
        self.handed: set[tuple[str, int, str]] = set()

    @property
    def left(self) -> int:
        """How many responses there are to judge once all of them are made."""
        known = {(sample, repeat) for sample, repeat, _ in self._known}
        able = [item for item in self._task.items if item.sample.id in self._keys]
        return sum(item.key not in known for item in able) - len(self.handed)

    def begin(self) -> None:
        """Hand on what was made before."""
        for number, missing in enumerate(self._missing):
            if not missing:
                self._hand(number)

    def came(self, items: Sequence[Item]) -> None:
        """Told of responses that are kept now."""
        for item in items:
            place = self._place(*item.key)
            assert place is not None  # it is of the task
            number = place // self._size
            self._missing[number] -= 1
            if not self._missing[number]:
                self._hand(number)

    def flush(self) -> None:
        """Hand on what is there of the cells that lack responses for good."""
        for number, missing in enumerate(self._missing):
            if missing:
                self._hand(number)

    def _hand(self, number: int) -> None:
        cell = replace(self._task, items=self._cells[number])
        there = to_judge(cell, self._made, self._folder)
        fresh = [one for one in there if one.sample.id in self._keys and key_of_verdict(one) not in self._known]
        self.handed.update(map(key_of_verdict, fresh))
        if fresh:
            self._hand_on(self.judging.work, [fresh])
