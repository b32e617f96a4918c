"""A run from end to end: plan, respond, score, summarise; stopped anywhere, the same call goes on from there."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from suder_bench.errors import UserError
from suder_bench.models.digests import anew
from suder_bench.models.protocols import Model
from suder_bench.models.reference import ModelReference
from suder_bench.records import Response
from suder_bench.runs import commands, effort, judges, manifest, timing
from suder_bench.runs.batches import AUTO, BatchSize, free_memory
from suder_bench.runs.deviations import noted
from suder_bench.runs.plan import Settings, Task, plan
from suder_bench.runs.recipe import Recipe, judge_settings, model_entry, recipe_of, refuse_change
from suder_bench.runs.recomputed import recomputed
from suder_bench.runs.respond import check_able
from suder_bench.runs.responses import Columns, Key
from suder_bench.runs.roles import can_judge
from suder_bench.runs.score import Scored, left_to_judge, score
from suder_bench.runs.screen import Screen
from suder_bench.runs.staff import RESPOND, SCORE, Alone, Job, Responses, Staff, Staffing, Workers, load_judges
from suder_bench.runs.store import RunFolder
from suder_bench.runs.summary import summarise
from suder_bench.runs.timing import Rate

Stage = Literal["all", "respond", "score"]


class _Unloadable(UserError):
    """A model that a preview finds not fit to be loaded."""

    status = 1


@dataclass(frozen=True)
class Outcome:
    """`summary` of what was asked for; `complete` is false when something failed, which has been told by then. It is not `whole`
    where others have a part of the run to do."""

    summary: dict[str, Any]
    complete: bool
    whole: bool = True


@dataclass(frozen=True)
class Run:
    """One model on one suite in one folder. `batch_size` None starts at 32 and halves when memory is full; with `rejudge` no
    verdict that is there counts."""

    out: Path
    model: ModelReference
    settings: Settings
    stage: Stage = "all"
    batch_size: int | None = None
    fresh: bool = False
    staffing: Staffing = field(default_factory=Staffing)
    rejudge: bool = False

    def execute(self, screen: Screen, load: Callable[[], Model] | None = None) -> Outcome:
        """Do what is not done yet. `load` replaces the registered adapter.

        Raises `UserError` before anything is done when the folder belongs to another run or process, data are missing,
        the model cannot be loaded, or a judge is not known; `JudgeError` when a judge fails its known answers, with the
        responses kept.
        """
        folder = RunFolder(self.out)
        self._check(folder)
        if self.stage != "score" and load is None:
            self.model.check()
        tasks = plan(self.settings, screen.say)
        chosen = self._backends(tasks)
        try:
            with closing(
                self._staff(Job(self.model, self.settings, tasks, chosen, self.batch_size or AUTO, load, screen, self.rejudge))
            ) as staff:
                if not self.out.exists():  # a model that cannot be loaded leaves none behind
                    staff.begin(None)
                with folder.locked():
                    recipe, made, failed = self._respond(folder, tasks, screen, staff)
                    outcome = self._finish(folder, recipe, tasks, made, failed, staff if chosen is not None else None, screen)
                    self._end(folder, outcome)
                    return outcome
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"interrupted; the same command goes on from here ({self.out})") from None

    def _staff(self, job: Job) -> Staff:
        return Alone(job) if self.staffing.alone else Workers(job, self.staffing)

    def preview(self, screen: Screen, load: Callable[[], Model] | None = None) -> dict[str, Any]:
        """What `execute` would do, and for about how many seconds: None where neither responses at hand nor the model can tell.

        Keeps nothing. The model is loaded only to time responses of a benchmark that has none yet, and where it may be
        another than the folder's. Raises the same `UserError`s; a model that only its loading shows to be unfit is told, and
        named in "error".
        """
        folder = RunFolder(self.out)
        self._check(folder)
        if self.stage != "score" and load is None:
            self._look()
        tasks = plan(self.settings, screen.say)
        self._backends(tasks)
        errors: list[UserError] = []
        old = None if self.fresh else folder.read()
        if old is not None:
            expected = self._expected(old, errors, load)
            refuse_change(self.out, old, recipe_of(self.out.name, self.settings, tasks, expected))
        tasks = self._own(tasks)
        made = {task.name: Columns(task.name) for task in tasks} if self.fresh else stored(folder, tasks, screen, repair=False)
        timed = self._time(tasks, made, screen, errors, load or self._load)
        for error in errors:
            screen.say(f"suder-bench: {error}")
        return {
            "run": str(self.out),
            "model": self.model.name,
            "error": str(errors[0]) if errors else None,
            "benchmarks": {
                task.name: {
                    "samples": len(task.samples),
                    "responses": len(task.items),
                    "done": len(made[task.name]),
                    **timed[task.name],
                }
                for task in tasks
            },
        }

    def _time(
        self, tasks: Sequence[Task], made: Responses, screen: Screen, errors: list[UserError], load: Callable[[], Model]
    ) -> dict[str, dict[str, Any]]:
        """By task what is left to "respond" and to "score", each with its seconds as `Rate.of` has them, None where nobody can
        tell or, of judging, where the replies of a judge cost. Responses at hand tell without the model."""
        chosen = self._backends(tasks)
        rates = {task.name: timing.of_stored(made[task.name].values()) for task in tasks}
        shown: dict[str, tuple[RunFolder, Mapping[Key, Response]]] = {
            name: (RunFolder(self.out), own) for name, own in made.items()
        }
        unknown = [task for task in tasks if rates[task.name] is None and self.stage != "score"]
        with TemporaryDirectory() as scratch:
            if unknown and not errors:
                folder = RunFolder(Path(scratch))
                for task, rate, responses in self._try_out(unknown, folder, screen, errors, load):
                    rates[task.name], shown[task.name] = rate, (folder, responses)
            judging = self._time_judging(tasks, shown, made, chosen, screen) if chosen is not None and not errors else {}
        found: dict[str, dict[str, Any]] = {}
        for task in tasks:
            rate, left = rates[task.name], 0 if self.stage == "score" else len(task.items) - len(made[task.name])
            responding = None if rate is None and left else rate.of(left) if rate else Rate(0, 0, 0, 0).of(0)
            found[task.name] = {"respond": responding, "score": judging.get(task.name)}
        return found

    def _time_judging(
        self,
        tasks: Sequence[Task],
        shown: Mapping[str, tuple[RunFolder, Mapping[Key, Response]]],
        made: Responses,
        chosen: Mapping[str, str],
        screen: Screen,
    ) -> dict[str, dict[str, Any]]:
        panel = load_judges(self.settings, chosen, screen)
        for error in panel.missing.values():
            screen.say(f"suder-bench: {error}")
        found = {}
        for task in tasks:
            benchmark, own, (folder, responses) = task.benchmark, made[task.name], shown[task.name]
            judged = {item.key for item in task.items if can_judge(benchmark, item.sample, panel.judges)}
            if panel.paid(benchmark.judge_roles) or not judged:
                continue
            rate = timing.of_judging(task, {key: one for key, one in responses.items() if key in judged}, folder, panel)
            left = len(left_to_judge(task, own, panel, RunFolder(self.out)))
            left += 0 if self.stage == "score" else len(judged - own.keys())
            if rate is not None:
                found[task.name] = rate.of(left)
        return found

    def _own(self, tasks: list[Task]) -> list[Task]:
        """What of the tasks this command does."""
        return tasks

    def _check(self, folder: RunFolder) -> None:
        """Raises `UserError` where the folder is not this run's, or not fit for the stage."""
        folder.check_is_run(fresh=self.fresh)
        if self.stage == "score" and self.fresh:
            raise UserError("--fresh discards the responses that --stage score needs; leave one of them out")
        if self.stage == "score":
            recipe = folder.read()
            if recipe is None:
                raise UserError(f"{self.out} holds no responses to score; leave out --stage score")
            if (made := recipe["model"]["name"]) != self.model.name:
                raise UserError(
                    f"{self.out} was made with model '{made}', not '{self.model.name}'; give --model {shlex.quote(made)}, "
                    f"or score it without a model: suder-bench score {shlex.quote(str(self.out))}"
                )

    def _look(self) -> None:
        try:
            self.model.check()
        except UserError as error:
            raise _Unloadable(str(error)) from None

    def _expected(self, old: Recipe, errors: list[UserError], load: Callable[[], Model] | None) -> dict[str, Any]:
        """What run.json would say of the model; nothing where it would not be loaded, or cannot be, which goes to `errors`."""
        if self.stage == "score" or self._same_files(old):
            return {}
        try:
            return model_entry(self.model, (load or self._load)())
        except UserError as error:
            errors.append(error)
            return {}

    def _backends(self, tasks: Sequence[Task]) -> dict[str, str] | None:
        """The judges' back-ends by role, or None for a run that judges nothing. Raises `UserError` for a wrong choice."""
        if self.stage == "respond":
            roles = [role for task in tasks for role in task.benchmark.judge_roles]
            judges.check_overrides(roles, self.settings.judges, self.settings.terms.arguments)
            return None
        return judges.chosen_for(tasks, self.settings)

    def _try_out(
        self, tasks: Sequence[Task], folder: RunFolder, screen: Screen, errors: list[UserError], load: Callable[[], Model]
    ) -> Iterator[tuple[Task, Rate | None, dict[Key, Response]]]:
        """Each task with its rate and the responses made for it in `folder`; a model that cannot be loaded goes to `errors`."""
        try:
            model = load()
        except UserError as error:
            errors.append(error)
            return
        check_able(model, tasks, self.settings.image)
        size = BatchSize(self.batch_size or AUTO)
        for task in tasks:
            yield (task, *timing.of_responding(task, model, self.settings, size, folder, screen))
        del model
        free_memory()

    def _respond(
        self, folder: RunFolder, tasks: Sequence[Task], screen: Screen, staff: Staff
    ) -> tuple[Recipe, Responses, dict[str, int]]:
        """Make the missing responses; returns run.json, all responses, and how many of each task failed."""
        recipe, made, todo = self._prepare(folder, tasks, screen, staff)
        failed = staff.respond(made, folder) if todo else dict.fromkeys(made, 0)
        if staff.cards:
            recipe["workers"] = {**recipe.get("workers", {}), **staff.cards}
            folder.write("run.json", recipe)
        effort.add(folder, {RESPOND: staff.efforts[RESPOND]})
        return recipe, made, failed

    def _prepare(self, folder: RunFolder, tasks: Sequence[Task], screen: Screen, staff: Staff) -> tuple[Recipe, Responses, bool]:
        """Write run.json; returns it, the responses at hand, and whether there are others to make, for which the model is there
        now."""
        old = None if self.fresh else folder.read()
        recipe = recipe_of(self.out.name, self.settings, tasks, {} if old is None else old["model"])
        if old is not None:
            if self.stage == "score":  # no model is loaded, so that these may be another's by now
                recipe |= {"device": old["device"], "dtype": old["dtype"]}
            refuse_change(self.out, old, recipe)
            for name, entry in recipe["benchmarks"].items():  # what pictures' folder or model told, which may not be read again
                told = old["benchmarks"].get(name, {})
                entry |= {what: told[what] for what in ("rewritten", "cut") if told.get(what)}
            recipe |= {"workers": old["workers"]} if "workers" in old else {}
            if old["judges"]:  # what the scores at hand were made with, until there are new ones
                recipe |= {"judges": old["judges"]} | {name: old[name] for name in judge_settings(self.settings) if name in old}
        made = {task.name: Columns(task.name) for task in tasks} if old is None else stored(folder, tasks, screen, repair=True)
        total, done = sum(len(task.items) for task in tasks), sum(map(len, made.values()))
        if done:
            screen.say(f"resuming: {done:,} of {total:,} done")
        if self.stage == "score" or (done == total and old is not None and self._same_files(old)):
            self._begin(folder, old, recipe, complete=done == total)
            return recipe, made, False
        introduction = staff.begin(None if old is None else old["model"].get("fingerprint"))
        recipe["model"] = model_entry(self.model, introduction)
        for task in tasks:
            recipe["benchmarks"][task.name] |= noted(rewritten=introduction.rewritten[task.name], left_out=task.left_out)
            recipe["benchmarks"][task.name] |= {"cut": dict(cut)} if (cut := introduction.cut[task.name]) else {}
        if old is None:
            folder.clear()
        else:
            refuse_change(self.out, old, recipe)
        self._begin(folder, old, recipe, complete=done == total)
        return recipe, made, True

    def _begin(self, folder: RunFolder, old: Recipe | None, recipe: Recipe, *, complete: bool) -> None:
        """Write run.json, and withdraw a summary that the run is about to outgrow."""
        manifest.withdraw(folder)
        outgrown = not complete and self.stage != "score"
        if outgrown or old is None:
            folder.withdraw_summary()
        folder.write("run.json", recipe)
        commands.begin(folder)

    def _end(self, folder: RunFolder, outcome: Outcome) -> None:
        """Note that the command is done, and of the whole run what it has made."""
        commands.end(folder, complete=outcome.complete)
        if outcome.whole:
            manifest.write(folder)

    def _finish(
        self,
        folder: RunFolder,
        recipe: Recipe,
        tasks: Sequence[Task],
        made: Responses,
        failed: Mapping[str, int],
        staff: Staff | None,
        screen: Screen,
    ) -> Outcome:
        """Have the responses judged and write the summary; with None, only count them."""
        if staff is None:
            counted = [_counted(task, failed[task.name]) for task in tasks]
            return Outcome(summarise(recipe, counted), complete=not any(failed.values()))
        settings = self.settings
        panel = staff.panel(made, folder)
        for error in panel.missing.values():
            screen.say(f"suder-bench: {error}")
        scored = [
            score(
                task,
                made[task.name],
                failed[task.name],
                panel,
                folder,
                staff.judge,
                screen,
                recipe["judges"].get(task.name),
                anew=self.rejudge,
            )
            for task in tasks
        ]
        for one in scored:
            if one.skipped:
                screen.say(f"{one.benchmark.name}: {one.skipped:,} responses are missing and not scored")
        kept = _kept(folder, scored, screen)
        for name in kept:
            screen.say(f"{name}: not judged now; the summary keeps its earlier scores")
        for one in scored:
            if one.unjudged is not None and one.rows:
                screen.say(f"{one.benchmark.name}: {one.unjudged}")
            if before := [role for role in one.judges if role not in panel.judges]:
                screen.say(f"{one.benchmark.name}: what {', '.join(before)} judged before still counts")
        judged = {one.benchmark.name: one.judges for one in scored if not _lacks(one)}
        earlier = {name: entry["judges"] for name, entry in kept.items()}
        recipe = {**recipe, "judges": judged | earlier, **judge_settings(settings)}
        recipe |= {"workers": {**recipe.get("workers", {}), **staff.cards}} if staff.cards else {}
        summary = summarise(recipe, scored, folder.books().totals())
        summary["benchmarks"] |= kept
        folder.write("run.json", recipe)
        folder.write("summary.json", summary)
        effort.add(folder, {SCORE: staff.efforts[SCORE]})
        return Outcome(summary, complete=not panel.missing and not any(one.failed for one in scored))

    def _load(self) -> Model:
        return self.model.load(device=self.settings.device, dtype=self.settings.dtype)

    def _same_files(self, old: Mapping[str, Any]) -> bool:
        """Whether the checkpoint is untouched since, so that a finished run need not load it to be sure."""
        return not anew() and bool(old["model"]["name"] == self.model.name and old["model"]["files"] == self.model.stamp())


def stored(folder: RunFolder, tasks: Sequence[Task], screen: Screen, *, repair: bool) -> Responses:
    """The responses at hand, by task and key; `screen` is told of each that is damaged, which counts as not made."""
    found: dict[str, Columns] = {}
    for task in tasks:
        repeats: dict[str, set[int]] = {}
        for item in task.items:
            repeats.setdefault(item.sample.id, set()).add(item.repeat)
        lost: list[str] = []
        responses = folder.responses(task.name, repair=repair, lost=lost.append)
        screen.say_some([f"lost: {task.name}: {why}" for why in lost], "responses")
        for key in [key for key in responses if key[1] not in repeats.get(key[0], ())]:
            del responses[key]
        found[task.name] = responses
    return found


def _kept(folder: RunFolder, scored: Sequence[Scored], screen: Screen) -> dict[str, Any]:
    """The entries of the summary at hand for what cannot be judged now, so that a try without a judge costs nothing."""
    unjudged = [one.benchmark.name for one in scored if _lacks(one)]
    found = recomputed(folder.path, screen.say) if unjudged else None
    entries = found.summary["benchmarks"] if found else {}
    return {name: entry for name, entry in entries.items() if name in unjudged and entry["metrics"]}


def _lacks(one: Scored) -> bool:
    return one.unjudged is not None and not one.rows


def _counted(task: Task, failed: int) -> Scored:
    """A task that nobody judges now."""
    skipped = len(task.items) + task.left_out * task.repeats - failed
    return Scored(task.benchmark, task.protocol, planned=task.samples, skipped=skipped, failed=failed)
