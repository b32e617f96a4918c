"""The paper as a plan: which commands train, evaluate, compare and report all that Tables 1-6, Figures 3-6 and our Extension A
show.

Every entry is an ordinary command that a person could type and that goes on where it was stopped. The start model is
evaluated once, with the checkpoints of the unified training, which Figures 5 and 6 follow; of each ablation only the last
checkpoint is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from suder_bench import registry, suites
from suder_bench.limits import Limits
from suder_bench.reports.tables.markdown import escape
from suder_bench.runs.screen import duration
from suder_bench.steps import Step
from suder_bench.training.arguments import DEFAULTS
from suder_bench.training.recipe import Recipe, read_recipe
from suder_bench.world import train_split

ABLATIONS = {
    "only-und": "captioning alone (Table 4)",
    "only-gen": "drawing alone (Tables 4 and 5)",
    "clip-reward": "drawing alone, rewarded by CLIP (Table 5)",
    "separate": "two models in turns (Figure 3)",
    "grpo": "GRPO in place of SimPO (Figure 4)",
}
"""Recipes beside the unified one, and what each is for."""

EXTENSION = {
    "srum": "SRUM's reward and its credit for regions, drawing alone (Extension A)",
    "suder-srum": "both rewards, half of each (Extension A)",
}
"""Recipes of trainings that are in neither paper, and what each is for."""

VARIANTS = {
    "published-settings": "the paper's own setting where `tiny` has another: the model that learns scores",
    "grpo-same-time": "GRPO for as long as SimPO takes, which is fewer steps",
}
"""Recipes of tiny-janus on what the paper's comparisons hang on besides their algorithm, and what each is for."""

SECOND = ("show-o", "show-o-512")
"""Scales of the paper's second backbone, of which it shows what training does to drawing and nothing else (Table 6)."""

BESIDE = "tiny-showo"
"""Recipe of the second backbone that goes along with the scale tiny."""

REPEATED = ("unified", "srum", "only-gen", "clip-reward", "only-und", "grpo")
"""The trainings that have as many seeds as were asked for, in the order in which further ones are trained: all of one, then of
the next. The others take as long again and settle less: one seed each."""

PROMPTS = "geneval"
"""The benchmark on whose prompts rewards are compared."""

REWARDS = ("dsr", "clip", "vqa", "srum")

LIMIT = Limits(300, {"llavabench": 600, "mmbench": 900, "pope": 900})
"""Samples of the full world that a checkpoint of tiny-janus answers: the quick world has too few to tell differences of a few
points, and what is one question of several to a picture, or of several turns, needs more."""

QUICK = ("trainer.max_steps=6", "trainer.save_strategy=steps", "trainer.save_steps=3", "trainer.warmup_steps=1")
QUICK_LIMIT = Limits(24)
ALL = Limits()
QUICK_SAMPLES = 4

# In seconds, for a command that has two cores: 0.71 of what those of docs/reproduction took, two at a time (SIDE_BY_SIDE).
# A step of only-gen took 3.8 s (3.0 sampling and scoring, 0.8 update), of only-und 2.5 (1.6, 0.9), of tiny 6.5, of grpo 14.0.
CANDIDATE = {"gen": 0.0167, "und": 0.0087}
"""To sample and score one picture or caption."""
UPDATE = {"gen": 0.0171, "und": 0.0203}
"""To train on one of them."""
REFERENCE = 0.38
"""GRPO's pass over the frozen start weights, as a share of an update: its updates took 5.5 times as long as SimPO's."""
EVALUATION = {"all": 0.17, "gen": 1.4}
"""One sample of each benchmark of the full world, with all its repeats: of all by tiny-janus, of those drawn by tiny-showo."""
BESIDE_ITEM = 0.072
"""One of the eight candidates of a prompt and of a picture by tiny-showo, trained on: 6.4 s a step beside other work."""
YES_NO = 0.0072
"""To ask whether a picture, or a region of one, shows its prompt: a step of srum took 7.2 s, and one of suder-srum 11.3."""
COMPARED = 112
"""Prompts of the quick world's GenEval."""
COMPARISON = 0.154
"""To draw, judge and reward one picture, and a caption beside it."""
REPORT = 48.0
"""Tables, figures and pages of all trainings."""
START = 12.0
"""Starting a process and loading models."""
SIDE_BY_SIDE = 0.7
"""What two commands side by side on two cores, a thread each, take of the time that they take one after another: a step of `tiny`
4.3 s alone and 6.1 s beside another."""


@dataclass(frozen=True)
class Training:
    """One of the plan: a recipe by what it is for, and its seed where that is not the recipe's own."""

    kind: str
    seed: int | None = None

    @property
    def name(self) -> str:
        return self.kind if self.seed is None else f"{self.kind}-seed-{self.seed}"


@dataclass(frozen=True)
class Choices:
    """What the user chose. `seeds` is how many each training has; `sets` go over every recipe; `limit` and what is of judges are
    those of `run`; `processes` train at scales above tiny; `workers` and `ray` are those of `track` and `reward compare`."""

    scale: str
    out: Path
    quick: bool = False
    seeds: int = 1
    sets: tuple[str, ...] = ()
    limit: Limits = ALL
    judges: tuple[str, ...] = ()
    judge_args: tuple[str, ...] = ()
    judge_timeout: float | None = None
    judge_concurrency: int | None = None
    device: str = "auto"
    offline: bool = False
    processes: int = 1
    workers: str | None = None
    ray: str | None = None

    @property
    def tiny(self) -> bool:
        return self.scale == "tiny"

    @property
    def compared(self) -> tuple[str, ...]:
        """What is compared with the unified training by its last checkpoint: the paper's ablations, and what is ours."""
        return () if self.scale in SECOND else (*ABLATIONS, *EXTENSION, *(VARIANTS if self.tiny else ()))

    @property
    def trainings(self) -> list[Training]:
        """All with their own seeds first, so that a plan that is cut short has every row, then whole rows of several seeds: two
        say little."""
        kinds = ("unified", *self.compared, *((BESIDE,) if self.tiny else ()))
        again = [kind for kind in REPEATED if kind in kinds] if self.seeds > 1 else []
        own = {kind: int(self.recipe_of(kind).trainer.get("seed", DEFAULTS["seed"])) for kind in again}
        return [*map(Training, kinds), *(Training(kind, own[kind] + i) for kind in again for i in range(1, self.seeds))]

    def config(self, kind: str) -> str:
        """The recipe that a training has."""
        return self.scale if kind == "unified" else kind

    def suite(self, name: str = "unified") -> str:
        """What the checkpoints of a training are evaluated on."""
        return "gen" if self.scale in SECOND or name == BESIDE else "all"

    def recipe_of(self, kind: str = "unified") -> Recipe:
        """Raises `UserError` for a wrong setting."""
        return read_recipe(self.config(kind), self.training_sets(kind))

    def judge_words(self) -> list[str]:
        """How the judges were chosen, as the command line has it."""
        words = [word for one in self.judges for word in ("--judge", one)]
        words += [word for one in self.judge_args for word in ("--judge-args", one)]
        words += [] if self.judge_timeout is None else ["--judge-timeout", f"{self.judge_timeout:g}"]
        return words + ([] if self.judge_concurrency is None else ["--judge-concurrency", str(self.judge_concurrency)])

    def training_sets(self, name: str) -> tuple[str, ...]:
        """What `--set` puts over the recipe of a training, the user's own last; the second backbone stays what it is."""
        quick = QUICK if self.quick else ()
        if name == BESIDE:
            return (*quick, *(one for one in self.sets if one.partition("=")[0] not in ("model", "algorithm")))
        extends = () if self.tiny or name == "unified" else (f"extends={self.scale}",)
        if name != "separate":
            return (*extends, *quick, *self.sets)
        short = self._short_epochs() if self.quick else ()
        return (*extends, *short, *self.sets, "trainer.max_steps=-1")  # which counts in whole epochs

    def _short_epochs(self) -> tuple[str, ...]:
        whole = self.recipe_of()
        first = {"source": whole.data.images[0].source, "count": 2 * whole.global_batch_size}
        two = ("separate.epochs=total", "trainer.num_train_epochs=2", "trainer.save_strategy=epoch", "num_generations=2")
        return ("data.prompts=[geneval:world]", f"data.images={_flow([first])}", *two)


def plan(chosen: Choices) -> list[Step]:
    """All steps in order. Raises `UserError` for a setting that a recipe does not take."""
    machine = (*(() if chosen.device == "auto" else ("--device", chosen.device)), *(("--offline",) if chosen.offline else ()))
    limit = chosen.limit or (QUICK_LIMIT if chosen.quick else ALL)
    limited = ("--limit", str(limit)) if limit else ()
    asked = ("--size", "full", "--limit", str(limit or LIMIT)) if chosen.tiny else limited
    judges = tuple(chosen.judge_words())
    staffing = {"--workers": chosen.workers, "--ray": chosen.ray}
    workers = tuple(word for option, value in staffing.items() if value is not None for word in (option, value))
    steps = []
    for one in chosen.trainings:
        steps.append(_training(chosen, one, machine))
        last = ("--last",) if _last(chosen, one) else ()
        steps.append(_evaluation(chosen, one, (*last, *asked, *judges, *machine, *workers), limit or LIMIT))
    runs = {f"evaluate {one.name}": str(chosen.out / one.name) for one in chosen.trainings}
    if chosen.scale not in SECOND:
        roles = registry.load("benchmarks", PROMPTS).judge_roles
        judges = tuple(word for judge in chosen.judges if judge.partition("=")[0] in roles for word in ("--judge", judge))
        steps.append(_rewards(chosen, (*limited, *judges, *machine, *workers), limit.of(PROMPTS) or COMPARED))
        runs["compare rewards"] = str(chosen.out / "rewards")
    argv = ("report", *runs.values(), "--out", str(chosen.out / "report"))
    makes = chosen.out / "report" / "tables.md"
    seconds = REPORT if chosen.tiny else None
    return [*steps, Step("report", argv, makes, seconds, needs=("evaluate unified",), takes=runs)]


def _last(chosen: Choices, one: Training) -> bool:
    """Whether only the end of a training is evaluated: its start is that of the unified one, or it repeats one with its steps."""
    return one.kind in chosen.compared or one.seed is not None


def _training(chosen: Choices, one: Training, machine: tuple[str, ...]) -> Step:
    sets, recipe = chosen.training_sets(one.kind), chosen.recipe_of(one.kind)
    sets = sets if one.seed is None else (*sets, f"trainer.seed={one.seed}")
    words = tuple(word for given in sets for word in ("--set", given))
    out = chosen.out / one.name
    argv = ("train", "--config", chosen.config(one.kind), *words, "--out", str(out), "--resume", *machine)
    seconds = training_seconds(recipe) if chosen.tiny else None
    return Step(f"train {one.name}", argv, out / "finished.json", seconds, processes=1 if chosen.tiny else chosen.processes)


def _evaluation(chosen: Choices, one: Training, options: tuple[str, ...], limit: Limits) -> Step:
    out = chosen.out / one.name
    suite = chosen.suite(one.kind)
    argv = ("track", str(out), "--suite", suite, *options)
    seconds = None
    if chosen.tiny:
        saves = chosen.recipe_of(one.kind).trainer
        every, steps = saves.get("save_steps", 0), saves.get("max_steps", 0)
        models = 1 if _last(chosen, one) or every < 1 else 1 + math.ceil(steps / every)
        asked = [limit.of(benchmark) or 0 for benchmark in suites.SUITES[suite]]
        seconds = START + models * EVALUATION[suite] * sum(asked) / len(asked)
    return Step(f"evaluate {one.name}", argv, out / "evaluations" / "curves.csv", seconds, needs=(f"train {one.name}",))


def _rewards(chosen: Choices, options: tuple[str, ...], limit: int) -> Step:
    known = [name for name in REWARDS if name in registry.table("rewards")]
    out = chosen.out / "rewards"
    samples = QUICK_SAMPLES if chosen.quick else 8
    what = ("--model", chosen.recipe_of().model, "--rewards", ",".join(known), "--prompts", PROMPTS, "--samples", str(samples))
    argv = ("reward", "compare", *what, "--out", str(out), *options)
    seconds = START + min(COMPARED, limit) * samples * COMPARISON if chosen.tiny else None
    return Step("compare rewards", argv, out / "compare.json", seconds)


def training_seconds(recipe: Recipe) -> float:
    """What a training of tiny-janus or tiny-showo on the world takes on two cores."""
    items, group = recipe.global_batch_size, recipe.num_generations
    steps = training_steps(recipe)
    if recipe.model.startswith(BESIDE):
        return START + max(steps.values()) * items * group * BESIDE_ITEM
    trained, passes = (2 if recipe.algorithm == "simpo" else group), 1 + (REFERENCE if recipe.needs_start else 0.0)
    each = {task: items * (group * CANDIDATE[task] + trained * passes * UPDATE[task]) for task in recipe.tasks}
    if "gen" in each:
        each["gen"] += items * asked_of(recipe) * YES_NO
    return START + sum(steps[task] * seconds for task, seconds in each.items())


def asked_of(recipe: Recipe) -> int:
    """How many questions srum asks about the pictures of a prompt: of each picture, and of the boxes of those that need them."""
    if "srum" not in recipe.reward.gen:
        return 0
    settings, group = recipe.srum, recipe.num_generations
    boxes = settings.cells**2 if settings.boxes == "grid" else settings.most
    paired = 2 if recipe.algorithm == "simpo" else group
    judged = group if settings.scalar == "product" else paired if settings.credit == "boxes" else 0
    return group + judged * boxes


def training_steps(recipe: Recipe) -> dict[str, int]:
    """How often each task is trained on a batch: of the world's prompts and pictures, unless `max_steps` says it."""
    limit = recipe.trainer.get("max_steps", -1)
    if limit > 0:
        return dict.fromkeys(recipe.tasks, limit)
    epochs = int(recipe.trainer.get("num_train_epochs", DEFAULTS["num_train_epochs"]))
    counts = {"gen": len(train_split.geneval_rows()), "und": sum(one.count or train_split.PICTURES for one in recipe.data.images)}
    turns = {"gen": epochs, "und": epochs}
    if recipe.strategy == "separate" and recipe.separate.epochs == "total":
        other = "und" if recipe.separate.first == "gen" else "gen"
        turns = {recipe.separate.first: epochs - epochs // 2, other: epochs // 2}
    together = max(counts[task] for task in recipe.tasks) if recipe.strategy != "separate" else 0
    return {task: turns[task] * ((together or counts[task]) // recipe.global_batch_size) for task in recipe.tasks}


def told(record: Mapping[str, Any]) -> str:
    """What reproduce.json says, as Markdown: the command, the machine, and each step with its time, failed attempts included."""
    rows = ["| step | command | time | |", "|---|---|---:|---|"]
    for step in record["steps"]:
        seconds = sum(attempt["seconds"] or 0.0 for attempt in step["attempts"])
        again = f", {len(step['attempts'])} attempts" if len(step["attempts"]) > 1 else ""
        became = (step["status"] or "not run") + again + (f": {escape(step['reason'])}" if step["reason"] else "")
        rows.append(f"| {step['name']} | `{step['command'].replace('|', chr(92) + '|')}` | {duration(seconds)} | {became} |")
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items() if version)
    lines = ["# How this was made", "", "```sh", record["command"], "```", ""]
    beside = f", {record['jobs']} commands side by side" if record["jobs"] > 1 else ""
    lines += [f"{duration(record['seconds'])} in all{beside}, on {escape(record['hardware'])}; {escape(versions)}.", ""]
    return "\n".join([*lines, *rows]) + "\n"


def _flow(value: Sequence[object]) -> str:
    """One line of YAML."""
    return yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=math.inf).strip()
