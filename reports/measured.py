"""Run folders and training runs as rows of tables: whose numbers they are, and how each was made."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from suder_bench import suites
from suder_bench.errors import UserError
from suder_bench.limits import Limits
from suder_bench.reports import door
from suder_bench.reports.overlap import Overlap
from suder_bench.runs import table
from suder_bench.runs.recomputed import Recomputed, recomputed
from suder_bench.runs.store import RunFolder
from suder_bench.terms import words as as_words
from suder_bench.training.settled import settled
from suder_bench.training.track import TrainingRun

_STEP = re.compile(r"step-([0-9]+)")
_CHECKPOINT = re.compile(r"checkpoint-([1-9][0-9]*)")
LOST = "not all responses are there and judged"


@dataclass(frozen=True)
class Scores:
    """One benchmark of one run's summary, or `only` some metrics of it; `unbacked` tells why its verdicts could not confirm what
    summary.json says."""

    run: Path
    summary: Mapping[str, Any]
    benchmark: str
    unbacked: str = ""
    only: frozenset[str] | None = None
    members: tuple[Path, ...] = ()
    """The runs that it is the mean of, where these are several seeds of a training; `run` is the first."""

    @property
    def runs(self) -> tuple[Path, ...]:
        return self.members or (self.run,)

    @property
    def entry(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.summary["benchmarks"][self.benchmark]
        return found

    @property
    def planned(self) -> Mapping[str, Any]:
        """What run.json said of the benchmark: its data, and how often each sample was asked where this program did."""
        found: Mapping[str, Any] = self.summary["recipe"].get("benchmarks", {}).get(self.benchmark, {})
        return found

    @property
    def metrics(self) -> dict[str, Mapping[str, Any]]:
        """The metrics that are told of: all of the entry, or `only` some."""
        return {name: one for name, one in self.entry["metrics"].items() if self.only is None or name in self.only}

    @property
    def judges(self) -> dict[str, Mapping[str, Any]]:
        """The judges whose word is in the metrics, by role."""
        judges: Mapping[str, Mapping[str, Any]] = self.entry["judges"]
        asked = {role for one in self.metrics.values() for role in one.get("judges", judges)}
        return {role: judge for role, judge in judges.items() if role in asked or not self.metrics}

    @property
    def conditions(self) -> tuple[object, ...]:
        """What must be equal, besides judges, of two numbers in one table: world, questions, protocol and deviations."""
        recipe, entry = self.summary["recipe"], self.entry
        data = self.planned.get("data") or json.dumps(recipe.get("data"), sort_keys=True)
        return self.summary["world"], data, entry["n_samples"], entry["protocol"], tuple(entry.get("deviations", ()))

    def alike(self, other: Scores) -> bool:
        """Whether the two may share a table: under the same conditions, and each metric that both have by the same judges."""
        shared = self.metrics.keys() & other.metrics.keys()
        return self.conditions == other.conditions and all(self._judged(name) == other._judged(name) for name in shared)

    def _judged(self, metric: str) -> list[tuple[object, ...]]:
        judges = replace(self, only=frozenset([metric])).judges
        return [
            (role, judge["backend"], judge["exact"], judge["fingerprint"], judge.get("unchecked", False))
            for role, judge in sorted(judges.items())
        ]

    @property
    def comparable(self) -> bool:
        """Whether the numbers may stand beside published ones: real and whole data, official protocol and judges."""
        return not self.reasons()

    def reasons(self, *, judges: bool = True) -> list[str]:
        """What keeps the numbers from standing beside published ones, with or without whose judges they are.

        Responses that a judge was missing for are no reason: the metrics that they count in are not there.
        """
        entry, limit = self.entry, Limits.read(self.summary["recipe"]).of(self.benchmark)
        found = [table.WORLD] if self.summary["world"] else []
        found += [f"protocol {entry['protocol']}"] if entry["protocol"] != "official" else []
        found += [f"only some of the samples (--limit {limit})"] if limit is not None else []
        found += [LOST] if table.incomplete(entry) else []
        found += entry.get("deviations", ())
        found += table.partial(self.metrics)
        for role, judge in self.judges.items():
            if self.summary["world"] and judge["backend"] == "world":
                continue  # its own
            if judges and (doubt := table.doubt_of(judge)):
                what = "not the benchmark's own" if doubt == "another" else "official by name, digest unknown"
                found.append(f"judge {role} is {judge['backend']}, {what}")
            if judge.get("unchecked"):
                found.append(f"judge {role} was not asked known answers")
        return found

    def parts(self, names: Collection[str] | None = None) -> list[Scores]:
        """These scores, or of those named, in two where some metrics may stand beside published numbers and others not.

        A metric counts by its own judges: those of another one are nothing to it.
        """
        shown = [name for name in self.metrics if names is None or self.plain(name) in names]
        own = {name: replace(self, only=frozenset([name])).comparable for name in shown}
        halves = [frozenset(name for name in shown if own[name] is half) for half in (True, False)]
        return [replace(self, only=half) for half in halves if half] or [self]

    def plain(self, name: str) -> str:
        """A metric's name without its protocol."""
        return name.removeprefix(f"{self.entry['protocol']}/")

    def name_of(self, plain: str) -> str:
        """What a metric is called here: by its plain name, or with its protocol's prefix."""
        return plain if plain in self.entry["metrics"] else f"{self.entry['protocol']}/{plain}"

    def metric(self, name: str) -> Mapping[str, Any] | None:
        """The metric under its plain name or with its protocol's prefix; None where it was not measured."""
        metrics = self.metrics
        found: Mapping[str, Any] | None = metrics.get(name) or metrics.get(f"{self.entry['protocol']}/{name}")
        return found if found is not None and found["value"] is not None else None


@dataclass(frozen=True)
class Training:
    """How a checkpoint was trained: the folder's recipe.yaml in short. `algorithm` with its credit for parts of pictures, so that
    none with credit passes for one without. `recipe` is all of it that changes numbers, but the `seed`, which is None where it
    names none."""

    run: Path
    start: str
    strategy: str
    algorithm: str
    reward: str
    step: int
    seed: int | None = None
    recipe: str = field(default="", repr=False)

    @classmethod
    def read(cls, run: TrainingRun, step: int) -> Training:
        recipe = door.recipe(run.path)
        rewards = recipe.get("reward")
        reward = _reward(rewards.get("und" if run.strategy == "only-und" else "gen")) if isinstance(rewards, Mapping) else "dsr"
        srum = recipe.get("srum")
        credit = srum.get("credit", "off") if isinstance(srum, Mapping) else "off"
        algorithm = str(recipe.get("algorithm", "simpo")) + ("" if credit == "off" else f" with credit by {credit}")
        decided = settled(recipe)
        seed = decided.pop("trainer.seed", None)
        rest = json.dumps(decided, sort_keys=True, default=str)
        return cls(run.path, run.model, run.strategy, algorithm, reward, step, seed if isinstance(seed, int) else None, rest)

    @property
    def kind(self) -> tuple[str, str, str]:
        return self.strategy, self.algorithm, self.reward

    @property
    def label(self) -> str:
        return f"{self.start} + {self.reward} ({self.algorithm}), {self.strategy}"

    def __str__(self) -> str:
        return f"{self.strategy}, {self.algorithm}, reward {self.reward}, step {self.step:,} of {self.run}"


@dataclass(frozen=True)
class Measured:
    """A row: one model, with the benchmarks that its runs scored. `base` is the label of the row it is compared with, `began`
    what a training calls the model that it began with: `track` may have been told more of it, which is then part of its name.
    `seen` is what the prompts of its training, or of one that began with it, share with those of benchmarks, `unseen` why that is
    not known. `members` are the rows of single seeds that it is the mean of (`suder_bench.reports.several`)."""

    label: str
    model: str
    fingerprint: str
    scores: Mapping[str, Scores]
    training: Training | None = None
    base: str = ""
    began: str = ""
    seen: Mapping[str, Overlap] = field(default_factory=dict)
    unseen: str = ""
    members: tuple[Measured, ...] = ()

    @property
    def runs(self) -> list[Path]:
        return list(dict.fromkeys(run for one in self.scores.values() for run in one.runs))

    def starts(self, other: Measured) -> bool:
        """Whether `other` was trained from this row's model."""
        return self.training is None and other.training is not None and (self.began or self.model) == other.training.start

    @property
    def world(self) -> bool:
        return any(one.summary["world"] for one in self.scores.values())


def read(paths: Sequence[Path]) -> list[Measured]:
    """The rows of run folders and training runs, in the order given.

    Runs of one model on different benchmarks share a row. Of a training run the start model and the last evaluated
    checkpoint are rows. Raises `UserError` for a run that is missing or not finished, with the command that makes it.
    """
    rows: list[Measured] = []
    for path in dict.fromkeys(paths):
        for row in _training(path) if (path / "recipe.yaml").is_file() else [_run(path)]:
            _add(rows, row)
    return _based(_named(rows))


def _add(rows: list[Measured], new: Measured) -> None:
    """Append the row, or merge it into one of the same model whose benchmarks are others, or were scored the same."""
    for i, row in enumerate(rows):
        same = row.fingerprint == new.fingerprint != "" and row.world == new.world
        if same and all(row.scores[name].entry == new.scores[name].entry for name in set(row.scores) & set(new.scores)):
            added = {name: one for name, one in new.scores.items() if name not in row.scores}
            rows[i] = replace(
                row, scores={**row.scores, **added}, training=row.training or new.training, began=row.began or new.began
            )
            return
    rows.append(new)


def _run(path: Path) -> Measured:
    found = _recomputed(path)
    summary = found.summary
    model = summary["recipe"]["model"]
    scores = {name: Scores(path, summary, name, found.unbacked.get(name, "")) for name in summary["benchmarks"]}
    checkpoint = Path(summary["model"])
    name, training = _CHECKPOINT.fullmatch(checkpoint.name), None
    for folder in (checkpoint.parent, checkpoint.parent.parent):  # the separate strategy has a folder for each model
        if name and training is None and (folder / "recipe.yaml").is_file():
            training = Training.read(door.training(folder), int(name[1]))
    label = f"{training.label}, step {training.step:,}" if training else summary["model"]
    return Measured(label, summary["model"], model.get("fingerprint", ""), scores, training)


def _training(path: Path) -> Iterator[Measured]:
    steps = _evaluated(path)
    if not steps or max(steps) == 0:
        raise UserError(f"{path} has no evaluated checkpoint; make them with: suder-bench track {quoted(path)} --suite all")
    run = door.training(path)
    if 0 in steps:
        yield _checkpoint(run, 0, steps[0])
    last = {part.name: part for step in sorted(steps) if step for part in steps[step]}  # two models may end at different steps
    yield _checkpoint(run, max(steps), list(last.values()) if run.strategy == "separate" else steps[max(steps)])


def evolution(path: Path) -> list[Measured]:
    """The start model and every evaluated checkpoint of a training run, in order of step; steps in progress are left out."""
    run = door.training(path)
    finished = {step: [part for part in parts if (part / "summary.json").is_file()] for step, parts in _evaluated(path).items()}
    return [_checkpoint(run, step, parts) for step, parts in sorted(finished.items()) if parts]


def _evaluated(path: Path) -> dict[int, list[Path]]:
    """The run folders of each step."""
    steps = {}
    for folder in (path / "evaluations").glob("step-*"):
        found = _STEP.fullmatch(folder.name)
        parts = sorted(door.run(part.parent, path) for part in folder.glob("*/run.json"))
        if found and parts:
            steps[int(found[1])] = parts
    return steps


def _checkpoint(run: TrainingRun, step: int, parts: Sequence[Path]) -> Measured:
    """The row of a step; of a benchmark scored in several of its runs, the one with the most samples counts."""
    made = [_run(part) for part in parts]
    scores: dict[str, Scores] = {}
    for name, one in ((name, one) for row in made for name, one in row.scores.items()):
        if name not in scores or one.entry["n_samples"] > scores[name].entry["n_samples"]:
            scores[name] = one
    training = Training.read(run, step) if step else None
    label, began = (training.label, "") if training else (made[0].model, run.model)
    return replace(made[0], label=label, scores=scores, training=training, began=began)


def _named(rows: Sequence[Measured]) -> list[Measured]:
    """Rows with one label each: a label that several rows have is followed by their runs."""
    labels = [row.label for row in rows]
    doubled = [label for label in labels if labels.count(label) > 1]
    return [replace(row, label=f"{row.label} ({', '.join(map(str, row.runs))})") if row.label in doubled else row for row in rows]


def _based(rows: Sequence[Measured]) -> list[Measured]:
    """Each row with its base: the start model of its training where that was measured, else the first row. A model that a
    training started from has none: what is compared with it is that training.

    Of several rows of the start model it is the one with the most benchmarks scored alike.
    """
    based = []
    for row in rows:
        starts = [one for one in rows if one.starts(row)]
        base = max(starts, key=lambda one: _alike(one, row), default=rows[0])  # the first of equals
        began = any(row.starts(one) for one in rows)
        based.append(row if base is row or began else replace(row, base=base.label))
    return based


def _alike(one: Measured, other: Measured) -> int:
    shared = set(one.scores) & set(other.scores)
    return sum(one.scores[name].alike(other.scores[name]) for name in shared)


def starts_of(trained: Sequence[Measured], rows: Sequence[Measured]) -> list[Measured]:
    """The rows that trained ones are compared with and that are the models they were trained from."""
    return [row for row in rows if any(row.starts(one) and row.label == one.base for one in trained)]


def read_summary(path: Path) -> dict[str, Any]:
    """The summary of a run folder, made anew from its verdicts. Raises `UserError` with the command that makes or
    finishes it, and for one that says otherwise than the verdicts."""
    return _recomputed(path).summary


def _recomputed(path: Path) -> Recomputed:
    folder = door.run(path)
    found = recomputed(folder, strict=True)
    if found is not None:
        return found
    recipe = RunFolder(folder).read()
    if recipe is not None:
        raise UserError(f"{path} is in progress or was interrupted (no summary.json); finish it with: {command_of(path, recipe)}")
    why = "does not exist" if not path.exists() else "is not a run folder (no summary.json)"
    raise UserError(f"{path} {why}; make it with: {command_of(path, None)}")


def command_of(path: Path, recipe: Mapping[str, Any] | None) -> str:
    """The command line that makes, or goes on with, the run in a folder."""
    if recipe is None:
        return f"suder-bench run --model MODEL --suite all --out {quoted(path)}"
    words = ["--model", recipe["model"]["name"]]
    suite = recipe["suite"]
    whole = suite in suites.SUITES or (":" in suite and "+" not in suite)  # a family's
    words += ["--suite", suite] if whole else [word for name in suite.split("+") for word in ("--benchmark", name)]
    data = recipe["data"]
    words += ["--data", data["folder"] or data["source"]]
    words += ["--size", data["size"]] if data["size"] else []
    sampling = recipe.get("sampling", {}).get("image", {})
    options = {name: recipe.get(name) for name in ("seed", "limit", "repeats", "device", "dtype", "protocol")}
    options["limit"] = str(limits) if (limits := Limits.read(recipe)) else None
    options |= {"allow-missing": recipe.get("allow_missing"), "prompt-style": recipe.get("prompt_style")}
    for name, value in {**options, **{name: sampling.get(name) for name in ("guidance", "steps", "temperature")}}.items():
        words += [f"--{name}", str(value)] if value is not None else []
    words += [word for role, backend in recipe.get("judge_choice", {}).items() for word in ("--judge", f"{role}={backend}")]
    words += as_words(recipe.get("judge_args", {}))
    words += ["--judge-dtype", recipe["judge_dtype"]] if recipe.get("judge_dtype", "auto") != "auto" else []
    return shlex.join(["suder-bench", "run", *words, "--out", str(path)])


def quoted(name: Path | str) -> str:
    """A path or a model's name as a shell takes it."""
    return shlex.quote(str(name))


def _reward(weights: object) -> str:
    if weights is None:
        return "dsr"
    if isinstance(weights, Mapping):
        return " + ".join(name if weight == 1 else f"{weight} {name}" for name, weight in sorted(weights.items()))
    return str(weights)
