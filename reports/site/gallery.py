"""The galleries of a site: what each run made of the same sample, repeat by repeat, with the verdicts."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from suder_bench.errors import UserError
from suder_bench.records import Response, Sample
from suder_bench.reports import door
from suder_bench.reports.site.pictures import Pictures
from suder_bench.reports.site.runs import Shown
from suder_bench.runs.jsonl import plain
from suder_bench.runs.plan import Task, evenly, plan
from suder_bench.runs.recipe import settings_of
from suder_bench.runs.responses import Key
from suder_bench.runs.score import filing
from suder_bench.runs.store import Verdicts

TASK_KEYS = ("tag", "category", "track", "dimension")
"""Where the ground truth of a sample says which of its benchmark's tasks it belongs to."""


@dataclass(frozen=True)
class Told:
    """What a run made of a benchmark. `task` is why there are no prompts, where there are none."""

    run: Shown
    benchmark: str
    task: Task | str
    responses: Mapping[Key, Response]

    def verdicts(self, shown: Container[Key]) -> Verdicts:
        """Of the responses that are shown, those that the run's numbers were made of.

        Where the benchmark's code has changed since, these cannot be told from verdicts of other judges: the last one counts.
        """
        judges = self.run.summary["benchmarks"][self.benchmark]["judges"]
        keys = set(filing(self.task, judges).values()) if isinstance(self.task, Task) else set()
        found, others = Verdicts(), Verdicts()
        stored, judged = door.judged(self.run.path, self.benchmark, shown)
        for key, one in judged:
            (found if key in keys else others)[one.sample, one.repeat, one.digest] = one
        return others if keys.isdisjoint(stored) else found


@dataclass(frozen=True)
class Gallery:
    """One benchmark on one set of data. `items` are JSON values, an answer in each for every one of `runs` (or None);
    `note` says why prompts or ground truth are not shown."""

    benchmark: str
    world: bool
    runs: tuple[int, ...]
    items: tuple[dict[str, Any], ...]
    left_out: int = 0
    note: str = ""

    @property
    def tasks(self) -> dict[str, int]:
        """How many items each task has, in the order of the benchmark."""
        return dict(Counter(item["task"] for item in self.items if item["task"]))


def galleries(runs: Sequence[Shown], pictures: Pictures, limit: int | None, say: Callable[[str], None]) -> list[Gallery]:
    """A gallery for each benchmark and data that a run has responses on, of at most `limit` responses of each run, evenly
    spread. Side by side stand only runs that were asked the same questions."""
    planned = cache(lambda settings: _plan(settings, say))
    groups: dict[tuple[str, str], dict[int, Told]] = {}
    tasks: dict[tuple[str, str], Task | str] = {}
    for place, run in enumerate(runs):
        for name, scores in run.scores.items():
            responses = door.responses(run.path, name)
            if not responses:
                continue
            key = name, str(scores.planned.get("data") or run.path)
            task = planned(json.dumps({**run.summary["recipe"], "suite": run.summary["suite"], "only": name}, sort_keys=True))
            if isinstance(task, Task) and task.data != scores.planned.get("data"):
                task = f"the data of {name} have changed since {run.path} was made"
            if isinstance(tasks.setdefault(key, task), str):
                tasks[key] = task
            groups.setdefault(key, {})[place] = Told(run, name, task, responses)
    found = []
    for key, told in groups.items():
        note = tasks[key]
        if isinstance(note, str):
            say(f"{key[0]}: no prompts in the gallery: {note}")
        found.append(_gallery(runs, key[0], told, note, pictures, limit))
    return found


def _plan(recipe: str, say: Callable[[str], None]) -> Task | str:
    """A benchmark's task as a run had it, or why it cannot be had; nothing is fetched for it."""
    content = json.loads(recipe)
    try:
        settings = replace(settings_of(content, judges={}, offline=True), benchmarks=(content["only"],))
        [task] = plan(settings, say)
    except (UserError, KeyError, OSError) as error:
        return f"run.json lacks {error}" if isinstance(error, KeyError) else str(error)
    return task


def _gallery(
    runs: Sequence[Shown], name: str, told: Mapping[int, Told], task: Task | str, pictures: Pictures, limit: int | None
) -> Gallery:
    repeats: dict[str, list[int]] = {}
    for one, repeat in sorted({key for own in told.values() for key in own.responses}):
        repeats.setdefault(one, []).append(repeat)
    known = {sample.id: sample for sample in task.benchmark.samples()} if isinstance(task, Task) else {}
    samples = [sample for one, sample in known.items() if one in repeats]
    samples += [Sample(one, one, "") for one in repeats if one not in known]
    chosen = evenly(samples, limit and max(1, limit // max(map(len, repeats.values()))))
    root = _data_root(runs[next(iter(told))], runs)
    shown = {(sample.id, repeat) for sample in chosen for repeat in repeats[sample.id]}
    judged = {place: own.verdicts(shown) for place, own in told.items()}
    items = [_item(sample, repeat, told, judged, pictures, root) for sample in chosen for repeat in repeats[sample.id]]
    world = any(own.run.summary["world"] for own in told.values())
    note = task if isinstance(task, str) else ""
    return Gallery(name, world, tuple(told), tuple(items), left_out=sum(map(len, repeats.values())) - len(items), note=note)


def _data_root(run: Shown, runs: Sequence[Shown]) -> Path | None:
    """The folder given that the run's data lie in, out of which no picture of theirs may lead; None for the user's own data."""
    folder = run.summary["recipe"]["data"].get("folder")
    origins = (one.origin for one in runs)
    return next((one for one in origins if folder and Path(folder).resolve().is_relative_to(one.resolve())), None)


def _item(
    sample: Sample,
    repeat: int,
    told: Mapping[int, Told],
    judged: Mapping[int, Verdicts],
    pictures: Pictures,
    root: Path | None,
) -> dict[str, Any]:
    task = next((str(sample.truth[key]) for key in TASK_KEYS if key in sample.truth), "")
    return {
        "sample": sample.id,
        "repeat": repeat,
        "task": task,
        "prompt": sample.prompt.strip(),
        "pictures": [pictures.of_question(source, root) for source in sample.images],
        "answers": [
            _answer(own.responses.get((sample.id, repeat)), judged[place], own.run, pictures) for place, own in told.items()
        ],
    }


def _answer(response: Response | None, judged: Verdicts, run: Shown, pictures: Pictures) -> dict[str, Any] | None:
    if response is None:
        return None
    verdict = judged.get((response.sample, response.repeat, response.digest))
    answer: dict[str, Any] = {"seed": str(response.seed)}  # JavaScript's numbers have 53 bits
    if response.image is None:
        answer["text"] = response.text
    else:
        answer["image"] = pictures.of_response(run.path, response)
    if verdict is not None:
        answer |= {"correct": verdict.correct, "scores": plain(verdict.scores), "reason": verdict.reason}
    return answer
