"""The paper as a plan: which commands train, evaluate, compare and report all that Tables 1-6 and Figures 3-6 show.

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

from suder_bench import registry
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

SECOND = ("show-o", "show-o-512")
"""Scales of the paper's second backbone, of which it shows what training does to drawing and nothing else (Table 6)."""

PROMPTS = "geneval"
"""The benchmark on whose prompts rewards are compared."""

REWARDS = ("dsr", "clip", "vqa", "srum")

LIMIT = 300
"""Samples of each benchmark of the full world that a checkpoint of tiny-janus answers: the quick world has too few to tell
differences of a few points."""

QUICK = ("trainer.max_steps=6", "trainer.save_strategy=steps", "trainer.save_steps=3", "trainer.warmup_steps=1")
QUICK_LIMIT = 24
QUICK_SAMPLES = 4

# Measured on tiny-janus with two cores (tests/bench/bench_training.py), in seconds: a step of 16 prompts x 8 takes 3.94 s, of
# which 82 % is sampling and scoring and 18 % update; one of 16 pictures x 8 1.18 s (61 %, 38 %); one of both 5.3 s.
CANDIDATE = {"gen": 0.0252, "und": 0.0056}
"""To sample and score one picture or caption."""
UPDATE = {"gen": 0.0222, "und": 0.0140}
"""To train on one of them."""
REFERENCE = 0.97
"""GRPO's pass over the frozen start weights, as a share of an update: its updates took 7.9 times as long as SimPO's."""
EVALUATION = 0.68
"""One sample of each benchmark of the full world, with all its repeats."""
COMPARED = 112
"""Prompts of the quick world's GenEval."""
COMPARISON = 0.154
"""To draw, judge and reward one picture, and a caption beside it."""
REPORT = 48.0
"""Tables, figures and pages of six trainings."""
START = 12.0
"""Starting a process and loading models."""


@dataclass(frozen=True)
class Choices:
    """What the user chose. `sets` go over every recipe; `limit` and what is of judges are those of `run`; `processes` train at
    scales above tiny; `workers` and `ray` are those of `track` and `reward compare`."""

    scale: str
    out: Path
    quick: bool = False
    sets: tuple[str, ...] = ()
    limit: int | None = None
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
    def ablations(self) -> tuple[str, ...]:
        return () if self.scale in SECOND else tuple(ABLATIONS)

    @property
    def suite(self) -> str:
        """What a checkpoint is evaluated on."""
        return "gen" if self.scale in SECOND else "all"

    @property
    def recipe(self) -> Recipe:
        """The unified training's. Raises `UserError` for a wrong setting."""
        return read_recipe(self.scale, self.training_sets("unified"))

    def judge_words(self) -> list[str]:
        """How the judges were chosen, as the command line has it."""
        words = [word for one in self.judges for word in ("--judge", one)]
        words += [word for one in self.judge_args for word in ("--judge-args", one)]
        words += [] if self.judge_timeout is None else ["--judge-timeout", f"{self.judge_timeout:g}"]
        return words + ([] if self.judge_concurrency is None else ["--judge-concurrency", str(self.judge_concurrency)])

    def training_sets(self, name: str) -> tuple[str, ...]:
        """What `--set` puts over the recipe of a training, the user's own last."""
        quick = QUICK if self.quick else ()
        extends = () if self.tiny or name == "unified" else (f"extends={self.scale}",)
        if name != "separate":
            return (*extends, *quick, *self.sets)
        short = self._short_epochs() if self.quick else ()
        return (*extends, *short, *self.sets, "trainer.max_steps=-1")  # which counts in whole epochs

    def _short_epochs(self) -> tuple[str, ...]:
        whole = self.recipe
        first = {"source": whole.data.images[0].source, "count": 2 * whole.global_batch_size}
        two = ("separate.epochs=total", "trainer.num_train_epochs=2", "trainer.save_strategy=epoch", "num_generations=2")
        return ("data.prompts=[geneval:world]", f"data.images={_flow([first])}", *two)


def plan(chosen: Choices) -> list[Step]:
    """All steps in order. Raises `UserError` for a setting that a recipe does not take."""
    machine = (*(() if chosen.device == "auto" else ("--device", chosen.device)), *(("--offline",) if chosen.offline else ()))
    limit = chosen.limit or (QUICK_LIMIT if chosen.quick else None)
    limited = ("--limit", str(limit)) if limit else ()
    asked = ("--size", "full", "--limit", str(limit or LIMIT)) if chosen.tiny else limited
    judges = tuple(chosen.judge_words())
    staffing = {"--workers": chosen.workers, "--ray": chosen.ray}
    workers = tuple(word for option, value in staffing.items() if value is not None for word in (option, value))
    steps = []
    for name in ("unified", *chosen.ablations):
        steps.append(_training(chosen, name, machine))
        last = () if name == "unified" else ("--last",)
        steps.append(_evaluation(chosen, name, (*last, *asked, *judges, *machine, *workers), limit or LIMIT))
    runs = {f"evaluate {name}": str(chosen.out / name) for name in ("unified", *chosen.ablations)}
    if chosen.scale not in SECOND:
        roles = registry.load("benchmarks", PROMPTS).judge_roles
        judges = tuple(word for judge in chosen.judges if judge.partition("=")[0] in roles for word in ("--judge", judge))
        steps.append(_rewards(chosen, (*limited, *judges, *machine, *workers), limit or COMPARED))
        runs["compare rewards"] = str(chosen.out / "rewards")
    argv = ("report", *runs.values(), "--out", str(chosen.out / "report"))
    makes = chosen.out / "report" / "tables.md"
    seconds = REPORT if chosen.tiny else None
    return [*steps, Step("report", argv, makes, seconds, needs=("evaluate unified",), takes=runs)]


def _training(chosen: Choices, name: str, machine: tuple[str, ...]) -> Step:
    config, sets = chosen.scale if name == "unified" else name, chosen.training_sets(name)
    recipe = read_recipe(config, sets)
    words = tuple(word for one in sets for word in ("--set", one))
    out = chosen.out / name
    argv = ("train", "--config", config, *words, "--out", str(out), "--resume", *machine)
    seconds = training_seconds(recipe) if chosen.tiny else None
    return Step(f"train {name}", argv, out / "finished.json", seconds, processes=1 if chosen.tiny else chosen.processes)


def _evaluation(chosen: Choices, name: str, options: tuple[str, ...], limit: int) -> Step:
    out = chosen.out / name
    argv = ("track", str(out), "--suite", chosen.suite, *options)
    seconds = None
    if chosen.tiny:
        saves = read_recipe(chosen.scale if name == "unified" else name, chosen.training_sets(name)).trainer
        every, steps = saves.get("save_steps", 0), saves.get("max_steps", 0)
        models = 1 if name != "unified" or every < 1 else 1 + math.ceil(steps / every)
        seconds = START + models * EVALUATION * limit
    return Step(f"evaluate {name}", argv, out / "evaluations" / "curves.csv", seconds, needs=(f"train {name}",))


def _rewards(chosen: Choices, options: tuple[str, ...], limit: int) -> Step:
    known = [name for name in REWARDS if name in registry.table("rewards")]
    out = chosen.out / "rewards"
    samples = QUICK_SAMPLES if chosen.quick else 8
    what = ("--model", chosen.recipe.model, "--rewards", ",".join(known), "--prompts", PROMPTS, "--samples", str(samples))
    argv = ("reward", "compare", *what, "--out", str(out), *options)
    seconds = START + min(COMPARED, limit) * samples * COMPARISON if chosen.tiny else None
    return Step("compare rewards", argv, out / "compare.json", seconds)


def training_seconds(recipe: Recipe) -> float:
    """What a training of tiny-janus on the world takes on two cores."""
    items, group = recipe.global_batch_size, recipe.num_generations
    steps = training_steps(recipe)
    trained, passes = (2, 1.0) if recipe.algorithm == "simpo" else (group, 1 + REFERENCE)
    each = {task: items * (group * CANDIDATE[task] + trained * passes * UPDATE[task]) for task in recipe.tasks}
    return START + sum(steps[task] * seconds for task, seconds in each.items())


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
    lines += [f"{duration(record['seconds'])} in all, on {escape(record['hardware'])}; {escape(versions)}.", ""]
    return "\n".join([*lines, *rows]) + "\n"


def _flow(value: Sequence[object]) -> str:
    """One line of YAML."""
    return yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=math.inf).strip()
