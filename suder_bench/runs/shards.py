"""One of several commands that share a run: each does its cells of the plan and writes files of its own, into one folder.

They need nothing of each other but a disk that all of them see. What there is in the folder counts for all, whoever made it; the
command that finds everything there sums up.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

from suder_bench.errors import UserError
from suder_bench.models.protocols import Model
from suder_bench.runs import effort, provenance
from suder_bench.runs.batches import AUTO
from suder_bench.runs.cells import work_places
from suder_bench.runs.effort import Effort
from suder_bench.runs.execute import Outcome, Run, stored
from suder_bench.runs.plan import Task, plan
from suder_bench.runs.recipe import versions
from suder_bench.runs.score import left_to_judge, score
from suder_bench.runs.screen import Screen
from suder_bench.runs.staff import RESPOND, SCORE, Job, Staff
from suder_bench.runs.store import RunFolder
from suder_bench.runs.summary import summarise


@dataclass(frozen=True)
class Shard:
    """Number `index` of `count`, from 1 on."""

    index: int
    count: int

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    @property
    def writer(self) -> str:
        return f"shard-{self.index}-of-{self.count}"

    def of(self, task: Task, size: int) -> Task:
        """Its part of a task: every `count`-th of the cells that hold whole batches of `size` and of judging alike."""
        cell = math.lcm(size, AUTO)
        placed = zip(work_places(task, task.items), task.items, strict=True)
        return replace(task, items=tuple(item for place, item in placed if place // cell % self.count == self.index - 1))


def read(text: str) -> Shard:
    """The value of `--shard`, "2/3". Raises `UserError` for what is none."""
    found = re.fullmatch(r"([0-9]+)/([0-9]+)", text)
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise UserError(f"--shard '{text}' is not I/N with I from 1 to N, for example 1/3")
    return Shard(int(found[1]), int(found[2]))


@dataclass(frozen=True)
class ShardedRun(Run):
    """A run of which this process does a shard. A summary is written where nothing is left for others."""

    shard: Shard = Shard(1, 1)

    def execute(self, screen: Screen, load: Callable[[], Model] | None = None) -> Outcome:
        """As `Run.execute`, for the shard; the outcome's summary is of the whole run where it is `whole`, else of the shard."""
        folder = RunFolder(self.out, self.shard.writer)
        self._check(folder)
        if load is None:
            self.model.check()
        tasks = plan(self.settings, screen.say)
        own = self._own(tasks)
        chosen = self._backends(tasks)
        try:
            job = Job(self.model, self.settings, own, chosen, self.batch_size or AUTO, load, screen)
            with closing(self._staff(job)) as staff:
                if self._missing(own):  # loaded before the folder is held, so that no shard waits for another's model
                    staff.begin(None)
                with folder.shared(screen.say):
                    outcome = self._share(folder, tasks, own, staff, screen)
                    with folder.briefly(screen.say):
                        self._end(folder, outcome)
                    return outcome
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"interrupted; the same command goes on from here ({self.out})") from None

    def _own(self, tasks: list[Task]) -> list[Task]:
        return [self.shard.of(task, self.batch_size or AUTO) for task in tasks]

    def _check(self, folder: RunFolder) -> None:
        if self.fresh:
            raise UserError("--fresh would discard what other shards have made; remove the run folder, or choose another --out")
        if self.stage == "score":
            raise UserError("--stage score is for the whole run; leave out --shard")
        super()._check(folder)

    def _share(self, folder: RunFolder, tasks: Sequence[Task], own: Sequence[Task], staff: Staff, screen: Screen) -> Outcome:
        with folder.briefly(screen.say):
            recipe, made, todo = self._prepare(folder, own, screen, staff)
        failed = staff.respond(made, folder) if todo else dict.fromkeys(made, 0)
        with folder.briefly(screen.say):
            recipe = folder.read() or recipe
            recipe["workers"] = {**recipe.get("workers", {}), **self._cards(staff)}
            folder.write("run.json", recipe)
            effort.add(folder, {RESPOND: staff.efforts[RESPOND]})
        if self.stage == "respond":
            screen.say(f"shard {self.shard} is done; with all shards' responses there: suder-bench score {self.out}")
            return replace(self._finish(folder, recipe, own, made, failed, None, screen), whole=False)
        panel = staff.panel(made, folder)
        scored = [score(task, made[task.name], failed[task.name], panel, folder, staff.judge, screen) for task in own]
        with folder.briefly(screen.say):
            recipe = folder.read() or recipe
            recipe["workers"] = {**recipe.get("workers", {}), **self._cards(staff)}
            folder.write("run.json", recipe)
            effort.add(folder, {SCORE: staff.efforts[SCORE]})
            staff.efforts[SCORE] = Effort()  # which is not counted again where this shard sums up
            everything = stored(folder, tasks, screen, repair=False)
            missing = sum(len(task.items) - len(everything[task.name]) for task in tasks)
            unjudged = sum(len(left_to_judge(task, everything[task.name], panel, folder)) for task in tasks)
            if not missing and not unjudged:
                return self._finish(folder, recipe, tasks, everything, dict.fromkeys(everything, 0), staff, screen)
        for error in panel.missing.values():
            screen.say(f"suder-bench: {error}")
        left = f"{missing:,} responses are not made yet" if missing else f"{unjudged:,} responses are not judged yet"
        screen.say(f"shard {self.shard} is done; {left}. The last shard sums up, or: suder-bench score {self.out}")
        complete = not panel.missing and not any(one.failed for one in scored)
        return Outcome(summarise(recipe, scored), complete, whole=False)

    def _cards(self, staff: Staff) -> dict[str, dict[str, Any]]:
        """What run.json says of this shard's machine, or of its workers."""
        own = {"device": self.settings.device, "dtype": self.settings.dtype, "versions": versions()}
        here = {"this process": {"host": provenance.kind(), **own}}
        return {f"shard {self.shard}, {name}": card for name, card in (staff.cards or here).items()}

    def _missing(self, own: Sequence[Task]) -> bool:
        there = RunFolder(self.out, self.shard.writer)
        found = [there.responses(task.name, repair=False, pictures=False) for task in own]
        return any(item.key not in made for task, made in zip(own, found, strict=True) for item in task.items)
