"""A training run's start model and its checkpoints, each evaluated once and alike, also while the training goes on."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from suder_bench import small_yaml, suites
from suder_bench.errors import JudgeError, UserError
from suder_bench.models import reference
from suder_bench.models.arguments import split
from suder_bench.models.digests import anew
from suder_bench.models.protocols import Model
from suder_bench.models.reference import ModelReference
from suder_bench.runs.execute import Outcome, Run
from suder_bench.runs.jsonl import plain
from suder_bench.runs.judges import check_overrides
from suder_bench.runs.plan import OFFICIAL, Settings, Task, plan
from suder_bench.runs.recipe import ChangedModelError, recipe_of, refuse_change
from suder_bench.runs.recomputed import recomputed
from suder_bench.runs.screen import Screen
from suder_bench.runs.staff import Staffing
from suder_bench.runs.store import RunFolder

State = Literal["running", "finished", "stopped"]

POLL = 5.0
"""Seconds between two looks for a new checkpoint."""

COMPLETE = "trainer_state.json"
"""Written last into a checkpoint."""

BRANCHES = {"gen": "generation", "und": "understanding"}
"""The two models of the separate strategy: their folder, and the kind of benchmark that each is reported on."""

_CHECKPOINT = re.compile(r"checkpoint-([1-9][0-9]*)")


@dataclass(frozen=True)
class TrainingRun:
    """The folder of a training run; `model` and `strategy` are those of its recipe.yaml."""

    path: Path
    model: str
    strategy: str

    @classmethod
    def open(cls, path: Path) -> TrainingRun:
        """Raises `UserError` when there is no training run in the folder."""
        file = path / "recipe.yaml"
        if not file.is_file():
            why = "it does not exist" if not path.exists() else "no recipe.yaml"
            raise UserError(f"'{path}' is not a training run ({why}); give the --out of a suder-bench train")
        recipe = small_yaml.read_of(file, file.read_bytes())
        if not isinstance(recipe, dict) or not isinstance(recipe.get("model"), str):
            raise UserError(f"{file} names no model; give the --out of a suder-bench train")
        return cls(path, recipe["model"], str(recipe.get("strategy", "unified")))

    def start(self, asked: Mapping[str, str] | None = None, base: str | None = None) -> ModelReference:
        """The model that the training began with, and what is asked of it and its checkpoints besides; see
        `suder_bench.models.reference.choose`. Raises `UserError` when it is not there any more."""
        try:
            return reference.choose(self.model, asked, base=base)
        except UserError as error:
            raise UserError(f"the start model of {self.path / 'recipe.yaml'}: {error}") from None

    @property
    def state(self) -> State:
        """Whether training is going on, has come to its end, or ended before it."""
        if (self.path / "finished.json").is_file():
            return "finished"
        if RunFolder(self.path).in_use():
            return "running"
        return "finished" if (self.path / "finished.json").is_file() else "stopped"  # it may have ended just now

    def checkpoints(self, branch: str = "") -> dict[int, Path]:
        """The complete checkpoints by step."""
        found = {}
        for folder in (self.path / branch).glob("checkpoint-*"):
            name = _CHECKPOINT.fullmatch(folder.name)
            if name and (folder / COMPLETE).is_file():
                found[int(name[1])] = folder
        return dict(sorted(found.items()))


@dataclass(frozen=True)
class Part:
    """What is measured on the checkpoints of one folder of the run, `branch`: all of a suite, but for the separate strategy."""

    branch: str
    settings: Settings
    tasks: tuple[Task, ...]


@dataclass(frozen=True)
class Evaluation:
    """One model on one part. `step` 0 is the start model."""

    step: int
    part: Part
    model: ModelReference
    out: Path

    def __str__(self) -> str:
        return f"step {self.step}, {self.part.settings.suite}"


@dataclass(frozen=True)
class _Loading:
    """Loads an evaluation's model, in this process or in a worker."""

    model: ModelReference
    checkpoint: bool
    device: str
    dtype: str

    def __call__(self) -> Model:
        """Raises `UserError` when the model cannot be loaded."""
        if self.checkpoint and not Path(self.model.checkpoints[0]).is_dir():
            raise UserError(f"{self.model.name} was deleted before it was evaluated")
        try:
            return self.model.load(device=self.device, dtype=self.dtype)
        except UserError:
            raise
        except Exception as error:  # a torn file breaks tokenizer, config and weights each in its own way
            reason = str(error).strip().split("\n")[0] or repr(error)
            raise UserError(f"{self.model.name} cannot be loaded ({reason}); it is left out") from error


class _ChangedError(Exception):
    """Other weights than those that the evaluation at hand belongs to."""

    def __init__(self, model: Model) -> None:
        self.model = model


def parts(settings: Settings, strategy: str, screen: Screen) -> list[Part]:
    """The settings as they are, or for the separate strategy those of each of its two models.

    Raises `UserError`s as `suder_bench.runs.plan.plan` does.
    """
    tasks = plan(settings, screen.say)
    roles = [role for task in tasks for role in task.benchmark.judge_roles]
    check_overrides(roles, settings.judges, settings.terms.arguments)
    if strategy != "separate":
        return [Part("", settings, tuple(tasks))]
    kinds = {branch: tuple(task for task in tasks if task.benchmark.kind == kind) for branch, kind in BRANCHES.items()}
    return [Part(branch, _restricted(settings, branch, own), own) for branch, own in kinds.items() if own]


def _restricted(settings: Settings, branch: str, tasks: Sequence[Task]) -> Settings:
    names = tuple(task.name for task in tasks)
    roles = {role for task in tasks for role in task.benchmark.judge_roles}
    return replace(
        settings,
        suite=branch if names == suites.SUITES[branch] else "+".join(names),
        benchmarks=names,
        protocol=settings.protocol if any(task.protocol == settings.protocol for task in tasks) else OFFICIAL,
        judges={role: backend for role, backend in settings.judges.items() if role in roles},
        terms=settings.terms.only(roles),
    )


@dataclass
class Tracker:
    """Evaluates each model of a training run into `out`/step-N/SUITE, an ordinary run folder.

    `failures` tells what was left out or not evaluated in full, and why. With `fresh` nothing at hand counts; with `last`
    only the checkpoint with the most steps is evaluated, of the separate strategy that of each model.
    """

    training: TrainingRun
    start: ModelReference
    parts: Sequence[Part]
    out: Path
    screen: Screen
    batch_size: int | None = None
    fresh: bool = False
    last: bool = False
    staffing: Staffing = field(default_factory=Staffing)
    failures: dict[str, str] = field(default_factory=dict)

    def check(self) -> None:
        """Raises `UserError` where an evaluation at hand was made with other settings, so that nothing starts in vain."""
        for one in self.evaluations() if not self.fresh else []:
            old = RunFolder(one.out).read()
            if old is not None:
                refuse_change(one.out, old, plain(recipe_of(one.out.name, one.part.settings, one.part.tasks, {})))
                self._refuse_another(one)

    def evaluations(self) -> list[Evaluation]:
        """The start model and the checkpoints that are there now, or only the last of these, in order of step."""
        found = []
        for part in self.parts:
            models = {0: self.start}
            for step, folder in self.training.checkpoints(part.branch).items():
                models[step] = self.start.at(folder)
            if self.last:
                models = {step: models[step] for step in [max(models)] if step}
            suite = part.settings.suite
            found += [Evaluation(step, part, model, self.out / f"step-{step}" / suite) for step, model in models.items()]
        return sorted(found, key=lambda one: one.step)

    def run(self, *, follow: bool = False, poll: float = POLL) -> Iterator[Evaluation]:
        """Make what is missing, and hand on each evaluation once it is made; with `follow` until the training has ended.

        A model that cannot be loaded is told, noted in `failures` and left out. Raises `JudgeError` when a judge fails its
        known answers, which it would for every model.
        """
        seen: set[Path] = set()
        waiting = False
        while True:
            state = self.training.state  # before looking for checkpoints, so that the last one is never missed
            new = [one for one in self.evaluations() if one.out not in seen]
            done = [one for one in new if self._is_done(one)]
            seen.update(one.out for one in done)
            for suite in dict.fromkeys(one.part.settings.suite for one in done):
                steps = [str(one.step) for one in done if one.part.settings.suite == suite]
                self.screen.say(f"evaluated before: {suite} at step{'s' if len(steps) > 1 else ''} {', '.join(steps)}")
            left = [one for one in new if one.out not in seen]
            if left:
                waiting = False
                seen.add(left[0].out)
                self.screen.say(f"{left[0]}: evaluating {left[0].model.name}, {len(left) - 1} more to do")
                if self._evaluate(left[0]):
                    yield left[0]
            elif follow and state == "running":
                if not waiting:
                    self.screen.say(f"waiting for the next checkpoint of {self.training.path}")
                waiting = True
                time.sleep(poll)
            else:
                return

    def _is_done(self, one: Evaluation) -> bool:
        """Whether the run folder holds this very evaluation, whole, so that neither model nor judges need be loaded."""
        folder = RunFolder(one.out)
        old, found = folder.read(), recomputed(one.out, self.screen.say)
        if (
            self.fresh
            or old is None
            or found is None
            or found.unbacked
            or found.wrong
            or one.model.stamp() != old["model"]["files"]
            or anew()
        ):
            return False
        now = plain(recipe_of(one.out.name, one.part.settings, one.part.tasks, old["model"]))
        same = all(old.get(name) == value for name, value in now.items() if name not in ("judges", "versions"))
        entries = found.summary["benchmarks"].values()
        unchecked = any(judge.get("unchecked") for entry in entries for judge in entry["judges"].values())
        return (
            same
            and all(old["versions"].get(name) == now["versions"][name] for name in ("suder-bench", "world"))
            and not any(entry["skipped"] or entry["failed"] for entry in entries)
            and not (unchecked and one.part.settings.known_answers)
        )

    def _evaluate(self, one: Evaluation) -> bool:
        """Whether there is a summary now; what went wrong is told and noted."""
        run = Run(
            one.out,
            one.model,
            one.part.settings,
            batch_size=self.batch_size,
            fresh=self.fresh,
            staffing=self.staffing,
        )
        try:
            self._refuse_another(one)
            outcome = self._executed(one, run)
        except JudgeError:
            raise
        except UserError as error:
            self._fail(one, str(error))
            return False
        if not outcome.complete:
            self._fail(one, f"not everything was made or judged; the same command tries again ({one.out})")
        return True

    def _executed(self, one: Evaluation, run: Run) -> Outcome:
        """Run it, from the start where the weights are others than those that it was evaluated with."""
        again = f"{one}: its weights have changed since it was evaluated; starting over"
        if not self.staffing.alone:  # whatever loads the model goes to other processes
            load = self._loading(one)
            try:
                return run.execute(self.screen, load)
            except ChangedModelError:
                self.screen.say(again)
                return replace(run, fresh=True).execute(self.screen, load)
        try:
            return run.execute(self.screen, load=lambda: self._load(one))
        except _ChangedError as changed:
            self.screen.say(again)
            model = changed.model
            return replace(run, fresh=True).execute(self.screen, load=lambda: model)

    def _refuse_another(self, one: Evaluation) -> None:
        """Raises `UserError` where the folder has the evaluation of a checkpoint that lies elsewhere: another training's."""
        old = None if self.fresh else RunFolder(one.out).read()
        other = None if old is None else Path(split(one.model.adapter, old["model"]["name"])[0])
        if other is not None and other.is_dir() and one.step and other.resolve() != Path(one.model.checkpoints[0]).resolve():
            raise UserError(f"{one.out} holds the evaluation of {other}; choose another --out, or --fresh")

    def _fail(self, one: Evaluation, reason: str) -> None:
        self.failures[str(one)] = reason
        self.screen.say(f"suder-bench: {one}: {reason}")

    def _loading(self, one: Evaluation) -> _Loading:
        settings = one.part.settings
        return _Loading(one.model, bool(one.step), settings.device, settings.dtype)

    def _load(self, one: Evaluation) -> Model:
        """Raises `UserError` when the model cannot be loaded, `_ChangedError` when it is not the one that was evaluated."""
        model = self._loading(one)()
        old = None if self.fresh else RunFolder(one.out).read()
        if old is not None and old["model"]["fingerprint"] != model.fingerprint:
            raise _ChangedError(model)
        return model
