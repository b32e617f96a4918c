"""The second stage: a benchmark judges responses. Verdicts are kept by response and judges, so only new pairs cost anything."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from suder_bench.ahead import Ahead
from suder_bench.benchmark import Benchmark
from suder_bench.errors import PictureError
from suder_bench.records import Answered, Response, Sample, Verdict
from suder_bench.runs.batches import BatchSize, tell, work
from suder_bench.runs.judges import Panel, key_of
from suder_bench.runs.pictures import decoded
from suder_bench.runs.plan import Task
from suder_bench.runs.roles import Unjudged, can_judge, needed, roles_of
from suder_bench.runs.screen import Screen
from suder_bench.runs.store import Key, RunFolder, read_verdict, verdict_row
from suder_bench.terms import AT_ONCE

Identity = Mapping[str, Mapping[str, Any]]
"""What a run says of judges, by role."""


@dataclass(frozen=True)
class Scored:
    """A benchmark's verdicts with their samples, and what became of the other planned responses.

    `judges` tells of those that were needed and there. `skipped` responses were not there to judge; `failed` ones broke the
    model, the benchmark or its judges, or are `unjudged` because a judge was missing.
    """

    benchmark: Benchmark
    protocol: str
    rows: list[tuple[Sample, Verdict]] = field(default_factory=list)
    judges: dict[str, dict[str, object]] = field(default_factory=dict)
    samples: int = 0
    skipped: int = 0
    failed: int = 0
    unjudged: Unjudged | None = None


def score(
    task: Task,
    responses: dict[Key, Response],
    unmade: int,
    panel: Panel,
    folder: RunFolder,
    size: BatchSize,
    screen: Screen,
    earlier: Identity | None = None,
) -> Scored:
    """Judge the responses of one task in the order of its plan; `unmade` counts those that just failed to be made.

    What needs a missing judge is not judged and counts as failed. Where the rest is judged, the verdicts of a missing judge
    that is among the `earlier` ones still count if there is one on each response that needs it.
    """
    answered = to_judge(task, responses, folder)
    responded = [one.sample for one in answered]
    identity = panel.identity(role for role in needed(task.benchmark, responded) if role in panel.judges)
    if any(can_judge(task.benchmark, sample, identity) for sample in responded):
        identity |= _still_count(task, answered, folder, identity, earlier or {})
    keys = filing(task, identity)
    lost: list[str] = []
    known = folder.verdicts(task.name, set(keys.values()), repair=True, lost=lost.append)
    screen.say_some([f"lost: {task.name}: {why}; judged again" for why in lost], "verdicts")
    fresh = [one for one in answered if one.sample.id in keys and _key(one) not in known]

    def keep(verdicts: Sequence[Verdict]) -> None:
        for key in dict.fromkeys(keys[verdict.sample] for verdict in verdicts):
            folder.add_verdicts(task.name, key, [verdict for verdict in verdicts if keys[verdict.sample] == key])
        known.update({(verdict.sample, verdict.repeat, verdict.digest): verdict for verdict in verdicts})

    judged = judge(task.benchmark, fresh, panel, keep=keep, size=size, screen=screen)
    rows = [(one.sample, known[_key(one)]) for one in answered if _key(one) in known]
    unjudged = Unjudged.among(task.benchmark, responded, identity)
    return Scored(
        benchmark=task.benchmark,
        protocol=task.protocol,
        rows=rows,
        judges=identity if rows or unjudged is None else {},
        samples=len(task.samples),
        skipped=len(task.items) + task.left_out * task.repeats - len(answered) - unmade + judged.unread,
        failed=unmade + judged.failed + (unjudged.responses if unjudged else 0),
        unjudged=unjudged,
    )


def _still_count(
    task: Task, answered: Sequence[Answered], folder: RunFolder, there: Identity, earlier: Identity
) -> dict[str, dict[str, object]]:
    """The missing judges whose stored verdicts are all that is asked of them."""
    left = {role: dict(judge) for role, judge in earlier.items() if role not in there}
    while left:
        keys = filing(task, {**there, **left})
        known = folder.verdicts(task.name, set(keys.values()), repair=False)
        open_ = [one.sample for one in answered if one.sample.id in keys and _key(one) not in known]
        wanting = left.keys() & set(needed(task.benchmark, open_))
        if not wanting:
            return left
        left = {role: judge for role, judge in left.items() if role not in wanting}
    return {}


def to_judge(task: Task, responses: Mapping[Key, Response], folder: RunFolder) -> list[Answered]:
    """The responses in the order of the plan, with their samples and pictures."""
    return [_answered(folder.path, item.sample, responses[item.key]) for item in task.items if item.key in responses]


def left_to_judge(task: Task, responses: Mapping[Key, Response], panel: Panel, folder: RunFolder) -> list[Sample]:
    """The samples, one each, of these responses that `score` would have to judge, those that lack a judge left out."""
    keys = filing(task, panel.identity(panel.judges))
    known = folder.verdicts(task.name, set(keys.values()), repair=False)
    wanted = ((item.sample, responses.get(item.key)) for item in task.items if item.sample.id in keys)
    return [sample for sample, one in wanted if one is not None and (one.sample, one.repeat, one.digest) not in known]


def judged_rows(
    task: Task,
    identity: Identity,
    folder: RunFolder,
    *,
    pictures: bool = True,
    lost: Callable[[str], None] = lambda why: None,
) -> list[tuple[Sample, Verdict]]:
    """What `score` had for rows when these judges last judged the task, without judging and without touching the folder.

    Without `pictures` these are not decoded, and taken for what the responses' lines say; `lost` is told of verdicts that
    count as not made.
    """
    return judged_before(task, identity, folder, pictures=pictures, lost=lost)[0]


def judged_before(
    task: Task,
    identity: Identity,
    folder: RunFolder,
    *,
    pictures: bool = True,
    lost: Callable[[str], None] = lambda why: None,
) -> tuple[list[tuple[Sample, Verdict]], Unjudged | None]:
    """`judged_rows`, and which responses lack a judge."""
    responses = folder.responses(task.name, repair=False, pictures=pictures)
    keys = filing(task, identity)
    known = folder.verdicts(task.name, set(keys.values()), repair=False, lost=lost)
    there = [item for item in task.items if item.key in responses]
    keyed = [(item.sample, (*item.key, responses[item.key].digest)) for item in there]
    unjudged = Unjudged.among(task.benchmark, [item.sample for item in there], identity)
    return [(sample, known[key]) for sample, key in keyed if key in known], unjudged


def filing(task: Task, identity: Identity) -> dict[str, str]:
    """The key that the verdicts on each sample are filed under, by id; of samples that need other judges too there are none.

    It changes with the judges that the sample needs and no others.
    """
    keys: dict[tuple[str, ...], str] = {}
    found = {}
    for sample in task.samples:
        roles = roles_of(task.benchmark, sample)
        if all(role in identity for role in roles):
            if roles not in keys:
                keys[roles] = filed_under(task, {role: identity[role] for role in roles})
            found[sample.id] = keys[roles]
    return found


def filed_under(task: Task, identity: Identity) -> str:
    """The key of verdicts by just these judges. It changes with the data and the code, so that no stale verdict counts."""
    return key_of(identity, [task.name, task.protocol, task.data, version("suder-bench"), _source(task.benchmark)])


@dataclass(frozen=True)
class Judged:
    """How many responses could not be judged, and how many pictures among them could not even be read."""

    failed: int
    unread: int


def judge(
    benchmark: Benchmark, answered: Sequence[Answered], panel: Panel, *, keep: Any, size: BatchSize, screen: Screen
) -> Judged:
    """`keep` a verdict on each response, batch by batch, while worker threads decode the pictures of the next batch.

    A judge that is paid by the reply is asked about as many responses as it has requests under way at once: what ends the work
    costs no more replies than these.
    A picture that cannot be read is told and left out. Verdicts pass through their stored form, so that a number never
    depends on whether it was read back.
    """
    unread: dict[int, PictureError] = {}
    if panel.paid(benchmark.judge_roles):
        size = BatchSize(AT_ONCE)

    def do(batch: Sequence[int]) -> list[Verdict | None]:
        found = dict(zip(batch, pictures.take(batch), strict=True))
        unread.update({index: one for index, one in found.items() if isinstance(one, PictureError)})
        readable = {index: one for index, one in found.items() if isinstance(one, Answered)}
        verdicts = dict(zip(readable, verdicts_of(benchmark, list(readable.values()), panel), strict=True))
        return [verdicts.get(index) for index in batch]

    def keep_verdicts(batch: Sequence[Verdict | None]) -> None:
        keep([verdict for verdict in batch if verdict is not None])

    with screen.bar(f"{benchmark.name} scores", len(answered)) as bar, Ahead(decoded, answered) as pictures:
        failures = work(range(len(answered)), do, keep_verdicts, size=size, bar=bar)
    failures = [failure for failure in failures if failure.item not in unread]
    screen.say_some([f"skipped: {benchmark.name}: {error}" for error in unread.values()], "pictures that cannot be read")
    tell(failures, lambda item: _told(benchmark, answered[item]), screen)
    return Judged(failed=len(failures), unread=len(unread))


def verdicts_of(benchmark: Benchmark, answered: Sequence[Answered], panel: Panel) -> list[Verdict]:
    """One verdict on each response, in order, as it is stored and read back. Raises what the benchmark or a judge raises."""
    if not answered:
        return []
    verdicts = [read_verdict(benchmark.name, verdict_row(verdict)) for verdict in benchmark.verdicts(answered, panel.judges)]
    if [(verdict.sample, verdict.repeat, verdict.digest) for verdict in verdicts] != [_key(one) for one in answered]:
        raise RuntimeError(f"{benchmark.name}: verdicts are not one per response, in order")
    return verdicts


def _told(benchmark: Benchmark, one: Answered) -> str:
    return f"{benchmark.name} score of {one.sample.id}, repeat {one.response.repeat}"


def _answered(folder: Path, sample: Sample, response: Response) -> Answered:
    return Answered(sample, response, None if response.image is None else folder / response.image)


def _key(one: Answered) -> tuple[str, int, str]:
    return one.sample.id, one.response.repeat, one.response.digest


def _source(benchmark: Benchmark) -> str:
    """A digest of the benchmark's module and those beside it: an edited rule must not meet verdicts of the old one."""
    file = inspect.getsourcefile(type(benchmark))
    modules = sorted(Path(file).parent.glob("*.py")) if file is not None else []
    return hashlib.sha256(b"".join(module.read_bytes() for module in modules)).hexdigest()
