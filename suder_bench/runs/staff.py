"""Who responds and judges in a run: this process alone, or workers that a driver feeds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from suder_bench.benchmark import Judge
from suder_bench.errors import JudgeError, UserError
from suder_bench.machine import environments, keep_freed_memory
from suder_bench.models.protocols import Model
from suder_bench.models.reference import ModelReference
from suder_bench.records import Answered, Verdict
from suder_bench.remote.books import Books
from suder_bench.runs import judges
from suder_bench.runs.batches import AUTO, BatchSize, free_memory
from suder_bench.runs.cells import cells
from suder_bench.runs.duties import JudgesDuty, ModelDuty, Seats, introduce
from suder_bench.runs.effort import Effort
from suder_bench.runs.overlap import Scoring
from suder_bench.runs.passed import passed
from suder_bench.runs.plan import Settings, Task
from suder_bench.runs.recipe import Introduction, versions
from suder_bench.runs.respond import MODEL, check_able, lot_of, respond, tell_cut, tell_failed, unmade
from suder_bench.runs.responses import Columns
from suder_bench.runs.roles import needed
from suder_bench.runs.score import JUDGES, Judged, judge_task, judging_of, key_of_verdict, left_to_judge, tell_judged, together
from suder_bench.runs.screen import Screen, duration
from suder_bench.runs.store import RunFolder
from suder_bench.runs.workers.driver import Driver
from suder_bench.runs.workers.processes import Processes
from suder_bench.runs.workers.protocol import Card, Crew, Deserted, WorkerError
from suder_bench.runs.workers.ray_crew import Cluster, RayCrew, Seat

Responses = Mapping[str, Columns]
Keep = Callable[[Sequence[Verdict]], None]

RESPOND, SCORE = "respond", "score"
"""The stages of a run."""

ALIKE = ("suder-bench", "world")
"""What has to be of the driver's version in every worker."""


@dataclass(frozen=True)
class Staffing:
    """How many processes respond; None for this one. Without `judges` of their own the same processes judge afterwards.

    With `ray` they are in a cluster, and None is for as many as have a place there.
    `timeout` is how many seconds a worker may be silent while it loads, or has work; None for ever. With `verbose` a line says
    what each has done.
    """

    workers: int | None = None
    judges: int | None = None
    timeout: float | None = None
    verbose: bool = False
    ray: Cluster | None = None

    @property
    def alone(self) -> bool:
        return self.workers is None and self.ray is None

    def crew(self, device: str, workers: int, judges: int, screen: Screen) -> Crew:
        """So many workers that respond, and after them so many that only judge."""
        if self.ray is None:
            return Processes(environments(device, workers + judges))
        seats = [Seat(self.ray.gpus, waits=True)] * workers + [Seat(self.ray.judge_gpus, waits=False)] * judges
        return RayCrew(self.ray.address, seats, screen)


@dataclass(frozen=True)
class Job:
    """What is to be done, by whomever: a model on tasks. `chosen` are the judges by role, None for a run that judges nothing;
    `load` replaces the model's registered adapter; with `anew` all is judged, whatever has been."""

    model: ModelReference
    settings: Settings
    tasks: Sequence[Task]
    chosen: Mapping[str, str] | None
    batch: int
    load: Callable[[], Model] | None
    screen: Screen
    anew: bool = False


class Staff(Protocol):
    cards: dict[str, dict[str, Any]]
    """What run.json says of the workers, by name."""
    efforts: dict[str, Effort]
    """What responding and scoring took, by stage."""

    def begin(self, expected: str | None) -> Introduction:
        """Have the model loaded; what tells of itself the one with the fingerprint `expected`, or another where none is it.

        Raises `UserError` where it cannot be loaded, or cannot do what is asked.
        """
        ...

    def respond(self, made: Responses, folder: RunFolder) -> dict[str, int]:
        """Make what is missing in `made`; returns how many of each task failed. The model is given up."""
        ...

    def panel(self, made: Responses, folder: RunFolder) -> judges.Panel:
        """The judges. Those with something left to judge know their known answers, or have shown it in this folder before."""
        ...

    def judge(self, task: Task, answered: Sequence[Answered], keep: Keep) -> Judged:
        """Judge responses, and `keep` their verdicts; see `suder_bench.runs.score.judge`."""
        ...

    def close(self) -> None: ...


class Alone:
    """This process responds, and then judges. Implements `Staff`."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._model: Model | None = None
        self._panel: judges.Panel | None = None
        self.cards: dict[str, dict[str, Any]] = {}
        self.efforts = {RESPOND: Effort(), SCORE: Effort()}

    def begin(self, expected: str | None) -> Introduction:
        job = self._job
        if self._model is None:
            if job.settings.device == "cpu":
                keep_freed_memory()
            self._model = (job.load or partial(job.model.load, device=job.settings.device, dtype=job.settings.dtype))()
            check_able(self._model, job.tasks, job.settings.image)
        return introduce(self._model, job.tasks)

    def respond(self, made: Responses, folder: RunFolder) -> dict[str, int]:
        assert self._model is not None
        job, size, before = self._job, BatchSize(self._job.batch), _count(made)
        with self._timed(RESPOND, job.settings.device) as effort:
            failed = {
                task.name: len(respond(task, made[task.name], self._model, folder, job.settings, size, job.screen))
                for task in job.tasks
            }
        effort.responses += _count(made) - before
        self.close()
        return failed

    def panel(self, made: Responses, folder: RunFolder) -> judges.Panel:
        assert self._job.chosen is not None
        self.close()
        if self._panel is None:
            self._panel = _panel(self._job, self._job.chosen, made, folder)
        return self._panel

    def judge(self, task: Task, answered: Sequence[Answered], keep: Keep) -> Judged:
        assert self._panel is not None
        with self._timed(SCORE, self._job.settings.judge_device) as effort:
            judged = judge_task(task, answered, self._panel, keep, self._job.screen)
        effort.responses += len(answered) - judged.failed
        return judged

    @contextmanager
    def _timed(self, stage: str, device: str) -> Iterator[Effort]:
        effort = self.efforts[stage]
        with effort.timed():
            yield effort
        effort.busy = effort.seconds
        effort.gpu_busy = effort.seconds if device.startswith("cuda") else 0.0

    def close(self) -> None:
        if self._model is not None:
            self._model = None
            free_memory()


class Workers:
    """Processes respond and judge; with judges of their own, these judge while the others still respond. Implements `Staff`."""

    def __init__(self, job: Job, staffing: Staffing) -> None:
        own = staffing.judges or 0
        count = staffing.workers or (1 if staffing.ray is None else staffing.ray.count())
        self._job, self._own = job, own
        self.cards: dict[str, dict[str, Any]] = {}
        self._expected: str | None = None
        self._stranger: Introduction | None = None
        self._seats: Seats | None = None
        self._panel: judges.Panel | None = None
        self._scorings: dict[str, Scoring] = {}
        duties: list[tuple[str, Any]] = [(MODEL, ModelDuty.of(job.model, job.settings, job.tasks, job.batch, job.load))] * count
        if own and job.chosen is not None:
            duties += [(JUDGES, self._judges_duty())] * own
        devices = (job.settings.device, job.settings.judge_device)
        device = "cuda" if "cuda" in devices else devices[0]
        crew = staffing.crew(device, count, len(duties) - count, job.screen)
        self._driver = Driver(crew, duties, job.screen, timeout=staffing.timeout, admit=self._admit)
        self._staffing = staffing
        self.efforts = {RESPOND: Effort(workers=count), SCORE: Effort(workers=own or count)}

    def begin(self, expected: str | None) -> Introduction:
        self._expected = expected if self._expected is None else self._expected
        try:
            holds: Introduction = self._driver.muster(MODEL).holds
        except WorkerError:
            if self._stranger is None:
                raise
            return self._stranger
        return holds

    def respond(self, made: Responses, folder: RunFolder) -> dict[str, int]:
        job, lots = self._job, {}
        if self._own and job.chosen:
            self._overlap(made, folder)
        total = sum(scoring.left for scoring in self._scorings.values())
        introduction = self.begin(None)
        for task in job.tasks:
            items = unmade(task, made[task.name])
            if items:
                tell_cut(task, introduction.cut[task.name], job.screen)
            scoring = self._scorings.get(task.name)
            came = {} if scoring is None else {"came": scoring.came}
            lots[task.name] = lot_of(task, made[task.name], folder, {}, **came)
            self._driver.add(lots[task.name], cells(task, items, job.batch))
            total += len(items)
        for scoring in self._scorings.values():
            scoring.begin()
        with self.efforts[RESPOND].timed():
            self._driver.run(" + ".join(lots), total)
        if self._scorings:
            for scoring in self._scorings.values():
                scoring.flush()
            self._driver.run("scores", sum(scoring.left for scoring in self._scorings.values()))
            self.efforts[SCORE].seconds += self.efforts[RESPOND].seconds
            self._dismiss()
        self._take_down()
        for task in job.tasks:
            tell_failed(task, lots[task.name], job.screen)
        return {name: len(lot.failures) for name, lot in lots.items()}

    def panel(self, made: Responses, folder: RunFolder) -> judges.Panel:
        chosen = self._job.chosen
        assert chosen is not None
        if self._panel is None and not chosen:
            self._panel = judges.Panel({}, {}, checked=self._job.settings.known_answers)
        if self._panel is None:
            self._driver.reassign(MODEL, JUDGES, self._judges_duty())
            self._seat()
        assert self._panel is not None
        paid = self._seats.paid if self._seats is not None else ()
        own = [task for task in self._job.tasks if any(role in paid for role in task.benchmark.judge_roles)]
        if own:
            roles = {role: chosen[role] for task in own for role in task.benchmark.judge_roles if role in chosen}
            asked = _panel(self._job, roles, made, folder, own)
            missing = {**self._panel.missing, **asked.missing}
            held = {role: judge for role, judge in {**self._panel.judges, **asked.judges}.items() if role not in missing}
            self._panel = judges.Panel(held, missing, checked=self._panel.checked, books=asked.books)
        return self._panel

    def judge(self, task: Task, answered: Sequence[Answered], keep: Keep) -> Judged:
        assert self._panel is not None
        if not self._theirs(task):
            return judge_task(task, answered, self._panel, keep, self._job.screen)
        before = self._scorings.get(task.name)
        failed = [] if before is None else [one for one, _ in before.judging.unread]
        failed += [] if before is None else [lost.item for lost in before.judging.work.failures]
        settled = set(map(key_of_verdict, failed))
        left = [one for one in answered if key_of_verdict(one) not in settled] if settled else answered
        judging = judging_of(task.benchmark, keep)
        self._driver.add(judging.work, together(task, left)(AUTO))
        if left:
            with self.efforts[SCORE].timed():
                self._driver.run(judging.work.label, len(left))
            self._take_down()
        if before is not None:
            judging.unread += before.judging.unread
            judging.work.failures += before.judging.work.failures
        return tell_judged(task.benchmark, judging, answered, self._job.screen)

    def close(self) -> None:
        self._driver.crew.close()

    def _take_down(self) -> None:
        """Into `efforts`, what the workers have done since the last time."""
        for (kind, name), tally in self._driver.tallies.items():
            effort = self.efforts[RESPOND if kind == MODEL else SCORE]
            effort.responses += tally.items
            effort.busy += tally.seconds
            effort.gpu_busy += tally.seconds if tally.gpu else 0.0
            if self._staffing.verbose:
                rate = tally.items / max(tally.seconds, 1e-9)
                self._job.screen.say(f"{name}: {tally.items:,} responses of {kind}, {rate:.1f}/s, busy {duration(tally.seconds)}")
        self._driver.tallies.clear()

    def _judges_duty(self) -> JudgesDuty:
        assert self._job.chosen is not None
        return JudgesDuty.of(self._job.settings, self._job.chosen, self._job.tasks)

    def _overlap(self, made: Responses, folder: RunFolder) -> None:
        """Have the judges begin beside the model; where they cannot, for example for want of memory, they judge after it."""
        try:
            self._seat()
        except UserError as error:
            self._job.screen.say(f"suder-bench: no judges beside the model, they judge after it: {error}")
            return
        assert self._panel is not None
        for task in filter(self._theirs, self._job.tasks):
            self._scorings[task.name] = Scoring(task, made[task.name], folder, self._panel, AUTO, self._driver.add)

    def _dismiss(self) -> None:
        """Where no judge is left, those who responded are to judge, also what was left undone."""
        for scoring in self._scorings.values():
            work = scoring.judging.work
            work.failures = [lost for lost in work.failures if not isinstance(lost.error, Deserted)]
        if not self._driver.alive(JUDGES):
            self._panel = None

    def _seat(self) -> None:
        seats: Seats = self._driver.muster(JUDGES).holds
        present: dict[str, Judge] = dict(seats.present)
        missing = {role: JudgeError(why) for role, why in seats.missing.items()}
        self._panel = judges.Panel(present, missing, checked=self._job.settings.known_answers)

    def _theirs(self, task: Task) -> bool:
        """Whether workers judge a task: what needs no judge is quicker done than sent, and paid replies are kept one by one."""
        paid = self._seats.paid if self._seats is not None else ()
        return bool(task.benchmark.judge_roles) and not any(role in paid for role in task.benchmark.judge_roles)

    def _admit(self, name: str, kind: str, card: Card) -> None:
        """Raises `UserError` for a worker that holds another model or other judges, or is of another version."""
        own = versions()
        for package in ALIKE:
            if card.versions.get(package) != own[package]:
                raise UserError(f"it has {package} {card.versions.get(package)}, not {own[package]}; install the same there")
        if kind == MODEL:
            self._admit_model(card.holds)
        else:
            self._seats = self._seats or card.holds
            if _held(card.holds) != _held(self._seats):
                raise UserError(f"its judges are others than the first worker's: {_difference(self._seats, card.holds)}")
        told = {"host": card.host, "device": card.device, "dtype": card.dtype, "versions": dict(card.versions)}
        self.cards[f"{kind}: {name.partition(' on ')[0]}"] = told  # no names of machines go into run.json

    def _admit_model(self, introduction: Introduction) -> None:
        if self._expected is None:
            self._expected = introduction.fingerprint
        if introduction.fingerprint != self._expected:
            self._stranger = introduction
            raise WorkerError(
                f"its model has the fingerprint {introduction.fingerprint[:12]}, not {self._expected[:12]} as the run's;"
                " give it the same files"
            )


def _count(made: Responses) -> int:
    return sum(map(len, made.values()))


def _held(seats: Seats) -> tuple[object, ...]:
    """What workers must have alike; why a judge is missing is told in words that name a node's own folders."""
    return dict(seats.present), set(seats.missing), seats.paid


def _difference(one: Seats, other: Seats) -> str:
    """The first role that two workers do not hold alike."""
    held = [{**seats.present, **dict.fromkeys(seats.missing)} for seats in (one, other)]
    return next((role for role in sorted({*held[0], *held[1]}) if held[0].get(role) != held[1].get(role)), "in what they lack")


def load_judges(settings: Settings, chosen: Mapping[str, str], screen: Screen, books: Books | None = None) -> judges.Panel:
    """The judges, not asked anything yet."""
    return judges.load(
        chosen,
        device=settings.judge_device,
        dtype=settings.judge_dtype,
        offline=settings.offline,
        known_answers=settings.known_answers,
        terms=settings.terms,
        say=lambda line: screen.say(f"suder-bench: {line}"),
        books=books,
    )


def _panel(
    job: Job, chosen: Mapping[str, str], made: Responses, folder: RunFolder, tasks: Sequence[Task] | None = None
) -> judges.Panel:
    """The judges of tasks, loaded here and, where they have something to judge, asked what they are not known to know."""
    settings = job.settings
    panel = load_judges(settings, chosen, job.screen, folder.books(settings.terms, anew=job.anew))
    busy = [
        (task.benchmark, task.samples if job.anew else left_to_judge(task, made[task.name], panel, folder))
        for task in tasks or job.tasks
    ]
    roles = [role for benchmark, samples in busy for role in needed(benchmark, samples)]
    known = passed(folder, panel, device=settings.judge_device, dtype=settings.judge_dtype)
    if job.anew:
        known.roles.clear()
    return judges.ask(panel, chosen, roles, known)
