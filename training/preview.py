"""What a training will meet, looked at before anything is loaded or drawn: what `train --dry-run` says beside the recipe."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from suder_bench.data.catalogue import catalogue
from suder_bench.data.source import official
from suder_bench.errors import AbsentError, PictureError, UserError, install
from suder_bench.models.protocols import Task, TellsSizes
from suder_bench.models.reference import ModelReference
from suder_bench.training.arguments import DEFAULTS, arguments
from suder_bench.training.images import HUB, ImageSource, hub_name, open_images
from suder_bench.training.items import MicroBatches
from suder_bench.training.memory import estimate
from suder_bench.training.policy import check_trainable
from suder_bench.training.prompts import read_prompts
from suder_bench.training.recipe import Recipe, blamed
from suder_bench.training.strategies import check

LOOKED_AT = 200
"""Pictures of a source that are decoded, evenly spread: a second or two, and what is wrong with one in a hundred is found."""

BENCHMARK = "t2i-compbench"
MANY = 8
"""Processes for which memory is told too, where they share it."""


@dataclass
class Preview:
    """`facts` are lines; `missing` is what this machine does not have, each with what to do about it, in a line."""

    facts: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def foresee(recipe: Recipe, place: Callable[[str], str], say: Callable[[str], None]) -> Preview:
    """Reads the prompts, decodes pictures of every source and looks at the model's files; nothing is fetched.

    Raises the `UserError` that the training would end with, for all but what is not here: another machine may have it.
    `place` says where a key was written; `say` is told what is written into the cache.
    """
    look = _Look(recipe, place, say)
    start = check(recipe, place)
    look.packages()
    look.trainer()
    look.found.missing += [f"weights of {one} are not here; run: hf download {one}" for one in start.absent()]
    counts: dict[Task, int | None] = {}
    if "gen" in recipe.tasks:
        with blamed(place, "data.prompts"):
            counts["gen"] = _sum([look.prompts(source) for source in recipe.data.prompts])
    if "und" in recipe.tasks:
        with blamed(place, "data.images"):
            counts["und"] = _sum([look.pictures(source) for source in recipe.data.images])
    look.steps(counts)
    look.memory(start)
    return look.found


@dataclass
class _Look:
    recipe: Recipe
    place: Callable[[str], str]
    say: Callable[[str], None]
    found: Preview = field(default_factory=Preview)

    def packages(self) -> None:
        wanted = {("peft", "train"): self.recipe.lora, ("deepspeed", "deepspeed"): self.recipe.trainer.get("deepspeed")}
        for (package, extra), asked in wanted.items():
            if asked and find_spec(package) is None:
                self.found.missing.append(f"the package {package} is not installed; run: {install(extra)}")

    def trainer(self) -> None:
        """What the Trainer says of its arguments; those of other machines than this one are not made."""
        elsewhere = any(self.recipe.trainer.get(key) for key in ("deepspeed", "fsdp", "fp16"))
        if not elsewhere and _processes() == 1:
            arguments(self.recipe, Path("runs"), device="cpu", tasks=len(self.recipe.tasks))

    def prompts(self, source: str) -> int | None:
        """How many a source holds; None where that cannot be known here."""
        files = [file for file in catalogue() if file.benchmark == BENCHMARK]
        if source == f"{BENCHMARK}:official" and any(file.state(official()) == "missing" for file in files):
            self.found.missing.append(f"prompts {source} are not here; run: suder-bench data fetch {BENCHMARK}")
            return None
        try:
            count = len(read_prompts([source], self.say, offline=True))
        except AbsentError as absent:
            self.found.missing.append(f"{self.place('data.prompts')}: data.prompts: {absent}")
            return None
        self.found.facts.append(f"{count:,} prompts of {source}")
        return count

    def pictures(self, source: ImageSource) -> int | None:
        """The same of pictures, some of which are decoded."""
        if source.source.startswith(HUB):
            self.found.facts.append(f"pictures of {hub_name(source)} are fetched when the training starts; nothing was looked at")
            return source.count
        try:
            pictures = open_images([source])
        except AbsentError as absent:
            self.found.missing.append(f"{self.place('data.images')}: data.images: {absent}")
            return None
        looked_at = range(0, len(pictures), max(1, len(pictures) // LOOKED_AT)) if source.source != "world" else range(0)
        broken = []
        for i in looked_at:
            try:
                pictures[i]
            except PictureError as error:
                broken.append(str(error))
        if broken:
            raise UserError(f"{len(broken)} of {len(looked_at)} pictures that were looked at cannot be read, first {broken[0]}")
        seen = f", {len(looked_at)} of which were looked at" if looked_at else ""
        self.found.facts.append(f"{len(pictures):,} pictures of {source.source}{seen}")
        return len(pictures)

    def steps(self, counts: dict[Task, int | None]) -> None:
        """How many there are. Raises `UserError` where they cannot be filled."""
        recipe, trainer = self.recipe, DEFAULTS | dict(self.recipe.trainer)
        together = [[task] for task in counts] if recipe.strategy == "separate" else [list(counts)]
        for tasks in together:
            batches = MicroBatches(
                counts={task: counts[task] or recipe.global_batch_size for task in tasks},
                batch_size=trainer["per_device_train_batch_size"],
                global_batch_size=recipe.global_batch_size,
                rank=0,
                world=_processes(),
                seed=trainer["seed"],
                num_iterations=recipe.updates,
            )
            if all(counts[task] is not None for task in tasks):
                of = " and ".join({"gen": "prompts", "und": "pictures"}[task] for task in tasks)
                steps = len(batches) // batches.accumulation
                updates = f", {recipe.updates} on the same samples" if recipe.updates > 1 else ""
                self.found.facts.append(f"an epoch is {steps:,} steps of {recipe.global_batch_size} {of}{updates}")

    def memory(self, start: ModelReference) -> None:
        kind, processes = check_trainable(start), _processes()
        try:
            sizes = kind.sizes(start) if issubclass(kind, TellsSizes) else None
            if sizes is None:
                unknown = "" if issubclass(kind, TellsSizes) else f"; adapter '{start.adapter}' does not tell it"
                self.found.facts.append(f"memory: unknown until the configuration of {start.name} is here{unknown}")
                return
            self.found.facts += estimate(self.recipe, sizes, kind.anatomy, processes=processes).told(processes)
        except (ValueError, TypeError, RuntimeError, AttributeError, ZeroDivisionError) as error:  # sizes that fit no network
            with blamed(self.place, "model"):
                raise UserError(f"model '{start.name}': its config.json describes no network ({error})") from error
        if processes == 1 and any(self.recipe.trainer.get(key) for key in ("deepspeed", "fsdp")):
            self.found.facts += estimate(self.recipe, sizes, kind.anatomy, processes=MANY).told(MANY)[:1]


def _processes() -> int:
    return int(os.environ.get("WORLD_SIZE", "1"))


def _sum(counts: list[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None
