"""The second stage: a benchmark judges responses. Verdicts are kept by response and judges, so only new pairs cost anything."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from importlib.metadata import version
from itertools import compress, islice
from pathlib import Path
from traceback import clear_frames
from typing import Any, overload

from suder_bench.benchmark import Benchmark, TellsRules
from suder_bench.errors import JudgeError, PictureError, UserError
from suder_bench.records import Answered, Response, Sample, Verdict
from suder_bench.remote import loop
from suder_bench.remote.kept import asking_about
from suder_bench.runs import sources
from suder_bench.runs.batches import AUTO, BatchSize, Failure, tell
from suder_bench.runs.cells import cut
from suder_bench.runs.compact import Filed, Rows
from suder_bench.runs.judges import Panel, key_of
from suder_bench.runs.judging import Handed, Jury, verdicts_of
from suder_bench.runs.pictures import decoded
from suder_bench.runs.plan import Item, Task, places
from suder_bench.runs.responses import Columns, Key
from suder_bench.runs.roles import Unjudged, can_judge, needed, roles_of
from suder_bench.runs.screen import Screen
from suder_bench.runs.store import RunFolder
from suder_bench.runs.workers.driver import Driver, Lot
from suder_bench.runs.workers.here import UNSEEN, Here, Holding

JUDGES = "judges"
"""The kind of workers that judge."""

Identity = Mapping[str, Mapping[str, Any]]
"""What a run says of judges, by role."""


JudgesBy = Callable[[Task, Sequence[Answered], Callable[[Sequence[Verdict]], None]], "Judged"]
"""Judges responses to a task, and keeps the verdicts."""


@dataclass(frozen=True)
class Scored:
    """A benchmark's verdicts with their samples, and what became of the other planned responses.

    `judges` tells of those that were needed and there. `skipped` responses were not there to judge; `failed` ones broke the
    model, the benchmark or its judges, or are `unjudged` because a judge was missing.
    """

    benchmark: Benchmark
    protocol: str
    rows: Sequence[tuple[Sample, Verdict]] = ()
    judges: dict[str, dict[str, object]] = field(default_factory=dict)
    planned: Sequence[Sample] = ()
    skipped: int = 0
    failed: int = 0
    unjudged: Unjudged | None = None


def score(
    task: Task,
    responses: Columns,
    unmade: int,
    panel: Panel,
    folder: RunFolder,
    judge_by: JudgesBy,
    screen: Screen,
    earlier: Identity | None = None,
    *,
    anew: bool = False,
) -> Scored:
    """Judge the responses of one task in the order of its plan; `unmade` counts those that just failed to be made. With `anew`
    the verdicts that are there do not count, but for those of judges that are missing now.

    What needs a missing judge is not judged and counts as failed. Where the rest is judged, the verdicts of a missing judge
    that is among the `earlier` ones still count if there is one on each response that needs it.
    """
    there, responded, repeats = array("q"), list[Sample](), array("q")
    for number, item in enumerate(task.items):
        if item.key in responses:
            there.append(number)
            responded.append(item.sample)
            repeats.append(item.repeat)
    identity = panel.identity(role for role in needed(task.benchmark, responded) if role in panel.judges)
    if anew:
        folder.drop_verdicts(task.name, set(filing(task, identity).values()))
    if any(can_judge(task.benchmark, sample, identity) for sample in responded):
        identity |= _still_count(task, responses, folder, identity, earlier or {})
    keys, place = filing(task, identity), places(task.items)
    if keys and identity:
        folder.seat(task.name, identity)
    lost: list[str] = []
    known = _known(task, responses, keys, folder, repair=True, lost=lost.append)
    screen.say_some([f"lost: {task.name}: {why}; judged again" for why in lost], "verdicts")
    left = [number not in known and sample.id in keys for number, sample in zip(there, responded, strict=True)]
    fresh = Answers(task.items, array("q", compress(there, left)), responses, folder.path)

    def keep(verdicts: Sequence[Verdict]) -> None:
        keep_verdicts(folder, task, keys, verdicts)
        for verdict in verdicts:
            if (number := place(verdict.sample, verdict.repeat)) is not None:
                known.put(number, verdict)

    judged = judge_by(task, fresh, keep)
    has = [number in known for number in there]
    numbers, times = (array("q", compress(column, has)) for column in (there, repeats))
    rows = Rows(known, numbers, list(compress(responded, has)), times, responses.digest)
    unjudged = Unjudged.among(task.benchmark, responded, identity)
    return Scored(
        benchmark=task.benchmark,
        protocol=task.protocol,
        rows=rows,
        judges=identity if rows or unjudged is None else {},
        planned=task.samples,
        skipped=len(task.items) + task.left_out * task.repeats - len(there) - unmade + judged.unread,
        failed=unmade + judged.failed + (unjudged.responses if unjudged else 0),
        unjudged=unjudged,
    )


def keep_verdicts(folder: RunFolder, task: Task, keys: Mapping[str, str], verdicts: Sequence[Verdict]) -> None:
    """File verdicts under the keys of their samples."""
    for key in dict.fromkeys(keys[verdict.sample] for verdict in verdicts):
        folder.add_verdicts(task.name, key, [verdict for verdict in verdicts if keys[verdict.sample] == key])


def _still_count(
    task: Task, responses: Columns, folder: RunFolder, there: Identity, earlier: Identity
) -> dict[str, dict[str, object]]:
    """The missing judges whose stored verdicts are all that is asked of them."""
    left = {role: dict(judge) for role, judge in earlier.items() if role not in there}
    while left:
        keys = filing(task, {**there, **left})
        open_ = _without(task, responses, keys, _known(task, responses, keys, folder, repair=False))
        wanting = left.keys() & set(needed(task.benchmark, open_))
        if not wanting:
            return left
        left = {role: judge for role, judge in left.items() if role not in wanting}
    return {}


class Answers(Sequence[Answered]):
    """The responses to items at some places, each with its sample and picture, made when it is looked at."""

    def __init__(self, items: Sequence[Item], places: array[int], responses: Mapping[Key, Response], folder: Path) -> None:
        self.places = places
        self._items, self._responses, self._folder = items, responses, folder

    def __len__(self) -> int:
        return len(self.places)

    @overload
    def __getitem__(self, number: int) -> Answered: ...
    @overload
    def __getitem__(self, number: slice) -> Answers: ...
    def __getitem__(self, number: int | slice) -> Answered | Answers:
        if isinstance(number, slice):
            return Answers(self._items, self.places[number], self._responses, self._folder)
        item = self._items[self.places[number]]
        return _answered(self._folder, item.sample, self._responses[item.key])


def together(task: Task, answered: Sequence[Answered]) -> Callable[[int], list[Sequence[Answered]]]:
    """Cuts the responses in the cells of the task's plan."""
    place = places(task.items)
    if isinstance(answered, Answers):
        found: Sequence[int] = answered.places
    else:
        found = [where for one in answered if (where := place(one.sample.id, one.response.repeat)) is not None]
    return lambda size: cut(answered, found, size)


def to_judge(task: Task, responses: Mapping[Key, Response], folder: RunFolder) -> list[Answered]:
    """The responses in the order of the plan, with their samples and pictures."""
    return [_answered(folder.path, item.sample, responses[item.key]) for item in task.items if item.key in responses]


def left_to_judge(task: Task, responses: Columns, panel: Panel, folder: RunFolder) -> list[Sample]:
    """The samples, one each, of these responses that `score` would have to judge, those that lack a judge left out."""
    keys = filing(task, panel.identity(panel.judges))
    return _without(task, responses, keys, _known(task, responses, keys, folder, repair=False))


def _without(task: Task, responses: Columns, keys: Mapping[str, str], known: Filed) -> list[Sample]:
    """The samples, one each, of the responses without a verdict, of those that have all their judges."""
    return [
        item.sample
        for number, item in enumerate(task.items)
        if number not in known and item.sample.id in keys and item.key in responses
    ]


def _known(
    task: Task,
    responses: Columns,
    keys: Mapping[str, str],
    folder: RunFolder,
    *,
    repair: bool,
    lost: Callable[[str], None] = lambda why: None,
) -> Filed:
    """The verdicts on these responses that are filed under `keys`; what was read is kept for the next to ask the same of a folder
    that has not changed."""
    asked = frozenset(keys.values()), folder.stamp(task.name)
    before = folder.remembered.pop(task.name, None)
    if before is not None and before[0] == asked and before[1] is task.items and before[2] is responses:
        found: Filed = before[3]
    else:
        found, place = Filed(task.name, len(task.items)), places(task.items)

        def take(verdict: Verdict) -> bool:
            number = place(verdict.sample, verdict.repeat)
            if number is None or responses.digest((verdict.sample, verdict.repeat)) != verdict.digest:
                return True
            if number in found:
                return False
            found.put(number, verdict)
            return True

        if not folder.each_verdict(task.name, asked[0], take, repair=repair, lost=lost):
            return found
    if not repair:
        folder.remembered[task.name] = asked, task.items, responses, found
    return found


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
    gone: set[Key] | None = None,
) -> tuple[list[tuple[Sample, Verdict]], Unjudged | None]:
    """`judged_rows`, and which responses lack a judge. With `gone` the pictures are looked at, but those that are not what was
    drawn are only noted there."""
    place = places(task.items)
    digests: list[str | None] = [None] * len(task.items)
    found: list[Verdict | None] = [None] * len(task.items)

    def respond(response: Response) -> bool:
        where = place(response.sample, response.repeat)
        if where is not None and digests[where] is None:
            digests[where] = response.digest
        return True

    def judge(verdict: Verdict) -> bool:
        where = place(verdict.sample, verdict.repeat)
        if where is not None and found[where] is None and digests[where] == verdict.digest:
            found[where], digests[where] = verdict, verdict.digest  # one text for both
        return True

    folder.each_response(task.name, respond, pictures=pictures, gone=gone)
    folder.each_verdict(task.name, set(filing(task, identity).values()), judge, lost=lost)
    responded = [item.sample for item, digest in zip(task.items, digests, strict=True) if digest is not None]
    rows = [(item.sample, verdict) for item, verdict in zip(task.items, found, strict=True) if verdict is not None]
    return rows, Unjudged.among(task.benchmark, responded, identity)


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
    rules = [task.benchmark.rules] if isinstance(task.benchmark, TellsRules) else []
    code = sources.digest(task.benchmark)
    return key_of(identity, [task.name, task.protocol, task.data, version("suder-bench"), code, *rules])


@dataclass(frozen=True)
class Judged:
    """How many responses could not be judged, and how many pictures among them could not even be read."""

    failed: int
    unread: int


def judge(
    benchmark: Benchmark,
    answered: Sequence[Answered],
    panel: Panel,
    *,
    keep: Any,
    size: BatchSize,
    screen: Screen,
    together: Callable[[int], Sequence[Sequence[Answered]]] | None = None,
) -> Judged:
    """`keep` a verdict on each response, batch by batch, while threads decode the pictures of the next batch.

    Judges that are paid by the reply are asked about as many responses as they have requests under way, each by itself, and each
    verdict is kept when it comes. A picture that cannot be read is told and left out. `together` cuts the responses in
    chunks of a size, else they are cut as they come.
    """
    if panel.all_paid(benchmark.judge_roles):
        paid = judging_of(benchmark, keep)
        side_by_side(paid, benchmark, answered, panel, screen)
        return tell_judged(benchmark, paid, answered, screen)
    if panel.paid(benchmark.judge_roles):
        size = BatchSize(panel.at_once(benchmark.judge_roles))
    count = size.value
    lot = judging_of(benchmark, keep)
    jury = Jury(panel, {benchmark.name: benchmark}, size, UNSEEN)
    driver = Driver(Here(), [(JUDGES, Holding(jury))], screen)
    driver.muster(JUDGES)
    chunks = together(count) if together else [answered[start : start + count] for start in range(0, len(answered), count)]
    driver.add(lot.work, chunks)
    try:
        driver.run(lot.work.label, len(answered))
    finally:
        jury.close()
    return tell_judged(benchmark, lot, answered, screen)


def judge_task(
    task: Task, answered: Sequence[Answered], panel: Panel, keep: Callable[[Sequence[Verdict]], None], screen: Screen
) -> Judged:
    """`judge` responses to a task in this process, in the cells of its plan."""
    cells = together(task, answered)
    return judge(task.benchmark, answered, panel, keep=keep, size=BatchSize(AUTO), screen=screen, together=cells)


@dataclass
class Judging:
    """The work of judging responses to a benchmark, the pictures among them that could not be read, and how many responses were
    not come to since the work was `stopped`."""

    work: Lot[Answered]
    unread: list[tuple[Answered, PictureError]] = field(default_factory=list)
    left: int = 0
    stopped: JudgeError | None = None


def side_by_side(judging: Judging, benchmark: Benchmark, answered: Sequence[Answered], panel: Panel, screen: Screen) -> None:
    """Judge each response by itself in one of as many threads as the judges have requests under way."""
    coming, under_way = iter(answered), dict[Future[Verdict | PictureError], Answered]()

    def one_verdict(one: Answered) -> Verdict | PictureError:
        shown = decoded(one)
        if isinstance(shown, PictureError):
            return shown
        about = f"{benchmark.name}/{one.sample.id}/{one.response.repeat}"
        with asking_about(about):
            try:
                [verdict] = verdicts_of(benchmark, [shown], panel)
            except UserError as error:
                if not isinstance(error, JudgeError):
                    panel.books.forget(about)
                raise
        return verdict

    threads = panel.at_once(benchmark.judge_roles)
    pool = ThreadPoolExecutor(threads, thread_name_prefix="judge")
    with screen.bar(judging.work.label, len(answered)) as bar:
        try:
            while True:
                wanted = 0 if judging.stopped else threads - len(under_way)
                under_way |= {pool.submit(one_verdict, one): one for one in islice(coming, wanted)}
                if not under_way:
                    break
                for done in wait(under_way, return_when=FIRST_COMPLETED).done:
                    one, error = under_way.pop(done), done.exception()
                    if error is None:
                        judging.work.keep([(one, done.result())])
                    elif isinstance(error, JudgeError):
                        judging.stopped, judging.left = judging.stopped or error, judging.left + 1
                    elif isinstance(error, Exception):
                        clear_frames(error.__traceback__)  # they hold pictures
                        judging.work.failures.append(Failure(one, error))
                    else:
                        raise error
                    bar.advance(1)
        finally:  # also what interrupts it ends the requests under way
            pool.shutdown(wait=False, cancel_futures=True)
            if under_way:
                loop.give_up()
    judging.left += sum(1 for _ in coming)


def judging_of(benchmark: Benchmark, keep: Callable[[Sequence[Verdict]], None]) -> Judging:
    def keep_verdicts(pairs: Sequence[tuple[Answered, Verdict | PictureError]]) -> None:
        judging.unread.extend((one, found) for one, found in pairs if isinstance(found, PictureError))
        keep([found for _, found in pairs if isinstance(found, Verdict)])

    def pack(answered: Sequence[Answered]) -> Handed:
        return Handed(benchmark.name, tuple(answered))

    judging = Judging(Lot(f"{benchmark.name} scores", JUDGES, pack, keep_verdicts))
    return judging


def tell_judged(benchmark: Benchmark, judging: Judging, answered: Sequence[Answered], screen: Screen) -> Judged:
    """Say what could not be read or judged, in the order of the responses, whichever came first."""
    if judging.stopped is not None:
        screen.say(f"{benchmark.name}: {judging.left:,} responses are left to judge: {judging.stopped}")
    if not judging.unread and not judging.work.failures:
        return Judged(failed=judging.left, unread=0)
    place = {(one.sample.id, one.response.repeat): number for number, one in enumerate(answered)}
    judging.unread.sort(key=lambda pair: place[pair[0].sample.id, pair[0].response.repeat])
    judging.work.failures.sort(key=lambda failure: place[failure.item.sample.id, failure.item.response.repeat])
    lines = [f"skipped: {benchmark.name}: {error}" for _, error in judging.unread]
    screen.say_some(lines, "pictures that cannot be read")
    tell(judging.work.failures, lambda one: _told(benchmark, one), screen)
    return Judged(failed=judging.left + len(judging.work.failures), unread=len(judging.unread))


def _told(benchmark: Benchmark, one: Answered) -> str:
    return f"{benchmark.name} score of {one.sample.id}, repeat {one.response.repeat}"


def _answered(folder: Path, sample: Sample, response: Response) -> Answered:
    return Answered(sample, response, None if response.image is None else folder / response.image)


def key_of_verdict(one: Answered) -> tuple[str, int, str]:
    return _key(one.response)


def _key(response: Response) -> tuple[str, int, str]:
    return response.sample, response.repeat, response.digest
