"""How much memory a training takes on each process, from its recipe and its model's configuration alone.

What stays (weights, copies, gradients, optimizer) is counted exactly; what comes and goes (drawing, writing, scoring, updating)
is the largest of its parts, with the factors that tests/training/test_memory.py holds against what a small model allocates.
Judges, CUDA's own few hundred MiB and fragmentation are not counted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from suder_bench.errors import UserError
from suder_bench.models.protocols import Anatomy, Sizes
from suder_bench.training.arguments import DEFAULTS, deepspeed_file
from suder_bench.training.policy import adapted_layers
from suder_bench.training.recipe import Lora, Recipe
from suder_bench.training.rewards import asks_model

FULL, HALF = 4, 2
"""Bytes of a float32, and of a bfloat16 or float16."""

QUESTION = 40
"""Tokens of a prompt, or of a question around its picture; a few more or less do not matter beside the picture's own."""

BUCKET = 500_000_000
"""Numbers that DeepSpeed reduces at once unless its file says otherwise; two of them overlap."""


@dataclass(frozen=True)
class Estimate:
    """Bytes. `kept` stays all the time; of `passing` the largest comes on top. `cache` and `logits` are drawing's shares."""

    kept: Mapping[str, int]
    passing: Mapping[str, int]
    cache: int
    logits: int

    @property
    def total(self) -> int:
        return sum(self.kept.values()) + max(self.passing.values())

    def told(self, processes: int) -> list[str]:
        """A line for the whole, and two for its parts."""
        most = max(self.passing, key=lambda name: self.passing[name])
        shares = f"cache {_size(self.cache)}, logits {_size(self.logits)}"
        passing = [f"{name} {_size(size)}" + (f" ({shares})" if name == "drawing" else "") for name, size in self.passing.items()]
        return [
            f"memory of each of {processes} processes: about {_size(self.total)}, while {most}",
            "  kept: " + ", ".join(f"{name} {_size(size)}" for name, size in self.kept.items() if size),
            "  at times: " + ", ".join(passing),
        ]


def estimate(recipe: Recipe, sizes: Sizes, anatomy: Anatomy, *, processes: int) -> Estimate:
    """For weights in float32, as `train` reads them, on one of `processes`."""
    weights = sum(one.numel() for one in sizes.network.parameters())
    learning = _learning(sizes.network, anatomy, recipe)
    settings = _Precision.of(recipe, processes)
    passing = _Passing(recipe, sizes, settings)
    cache, logits = passing.cache(), passing.logits()
    doing: dict[str, int] = {}
    if "gen" in recipe.tasks:
        doing["drawing"] = max(cache + logits + passing.codes(), passing.decoding())
    if "und" in recipe.tasks:
        doing["writing"] = passing.writing()
    if any(asks_model(getattr(recipe.reward, task)) for task in recipe.tasks):
        doing["scoring"] = max(passing.scoring(task) for task in recipe.tasks)
    doing["updating"] = max(passing.updating(task) for task in recipe.tasks)
    return Estimate(settings.kept(weights, learning, _copies(recipe)), doing, cache, logits)


def _learning(network: nn.Module, anatomy: Anatomy, recipe: Recipe) -> int:
    """How many numbers learn."""
    if recipe.lora is not None:
        return _adapters(network.get_submodule(anatomy.language_model), recipe.lora)
    frozen = {id(one) for name in anatomy.frozen for one in network.get_submodule(name).parameters()}
    parts = [network.get_submodule(anatomy.parts[name]) for name in recipe.trainable or anatomy.usual]
    chosen = {id(one): one for part in parts for one in part.parameters()}
    return sum(one.numel() for key, one in chosen.items() if key not in frozen)


def _adapters(language_model: nn.Module, lora: Lora) -> int:
    adapted = (language_model.get_submodule(name) for name in adapted_layers(language_model, lora))
    return sum(lora.r * (one.in_features + one.out_features) for one in adapted if isinstance(one, nn.Linear))


def _copies(recipe: Recipe) -> int:
    """Whole models beside the one that learns, without the one that samples in place of shards."""
    separate = recipe.strategy == "separate"
    asked = any(asks_model(getattr(recipe.reward, task)) for task in recipe.tasks)
    frozen = recipe.reward.scorer == "frozen" and asked and not separate
    return int(recipe.needs_start or recipe.draws_from_start or frozen) + int(separate)


@dataclass(frozen=True)
class _Precision:
    """`weight` is the width of the weights while they compute, `wide` of hidden states and keys, `narrow` of what a linear
    layer gives. `stage` is ZeRO's, 3 also for FSDP; `autocast` casts weights of 32 bits for every use, and keeps what it cast."""

    weight: int
    wide: int
    narrow: int
    stage: int
    bucket: int
    autocast: bool
    processes: int

    @classmethod
    def of(cls, recipe: Recipe, processes: int) -> _Precision:
        trainer = DEFAULTS | dict(recipe.trainer)
        half = bool(trainer.get("bf16") or trainer.get("fp16"))
        if trainer.get("deepspeed"):
            width = HALF if half else FULL
            zero = _read(deepspeed_file(trainer["deepspeed"])).get("zero_optimization")
            zero = zero if isinstance(zero, Mapping) else {}
            stage, bucket = zero.get("stage"), zero.get("reduce_bucket_size")
            stage, bucket = stage if isinstance(stage, int) else 0, bucket if isinstance(bucket, int | float) else BUCKET
            return cls(width, width, width, stage, int(bucket), False, processes)
        stage = 3 if trainer.get("fsdp") else 0
        return cls(FULL, FULL, HALF if half else FULL, stage, 0, half, processes)

    def kept(self, weights: int, learning: int, copies: int) -> dict[str, int]:
        def share(stage: int) -> int:
            return self.processes if self.stage >= stage else 1

        copies += self.stage >= 3
        partitions = 2 if self.bucket and self.stage >= 2 else 1  # while they are gathered into one flat tensor
        buckets = min(2 * self.bucket, learning) * self.weight
        master = FULL if self.weight == HALF else 0
        return {
            "weights": self.weight * weights // share(3) + (HALF * learning if self.autocast else 0),
            "copies": self.weight * weights * copies,
            "gradients": partitions * self.weight * learning // share(2) + buckets,
            "optimizer": (master + 2 * FULL) * learning // share(1),
        }


@dataclass(frozen=True)
class _Passing:
    """What comes and goes: sums of rows x columns x numbers x bytes."""

    recipe: Recipe
    of: Sizes
    at: _Precision

    @property
    def _column(self) -> int:
        """Keys and values of one token in all layers; the cache takes the keys' precision for both."""
        return self.of.layers * self.of.keys * 2 * self.at.wide

    @property
    def _samples(self) -> int:
        return min(self.recipe.sampling.batch_size, self.recipe.global_batch_size * self.recipe.num_generations)

    @property
    def _drawn_rows(self) -> int:
        return self._samples * (1 if self.recipe.sampling.guidance == 1 else 2)

    def cache(self) -> int:
        """Keys and values of the pictures' tokens; those that are drawn all at once pass through a layer instead."""
        column = self._layer_passing if self.of.parallel else self._column
        return self._drawn_rows * self.of.image_tokens * column

    def logits(self) -> int:
        """Those of a step, mixed, and their distribution function in 64 bits."""
        columns = self.of.image_tokens if self.of.parallel else 1
        return columns * self.of.codes * (self._drawn_rows * FULL + self._samples * (3 * FULL + 2 * 2 * FULL))

    def codes(self) -> int:
        """Every code as the language model reads it."""
        return 0 if self.of.parallel else self.of.codes * self.of.width * self.at.weight

    def decoding(self) -> int:
        """Of one picture, and all of them as they are kept."""
        return self.of.side**2 * (6 * self.of.channels * self.at.weight + 3 * FULL * self._samples)

    def writing(self) -> int:
        """Either all captions are being written, or half of them, which have their pictures' keys each for themselves."""
        prompt, longest = self.of.image_tokens + QUESTION, self.recipe.sampling.max_completion_length
        pictures = max(1, self._samples // self.recipe.num_generations)
        columns = max(pictures * prompt + self._samples * longest, (self._samples + 1) // 2 * (prompt + longest))
        return columns * self._column + self._samples * self.of.vocabulary * (4 * FULL + 2 * 2 * FULL)

    def scoring(self, task: str) -> int:
        """Without gradients: the widest point of a layer, or the logits."""
        rows = min(self.recipe.reward.batch_size, self._samples)
        layer = rows * (self.of.image_tokens + 2 * QUESTION) * self._layer_passing
        if task == "gen":  # the likelihood of the prompt's tokens, given the picture
            return max(layer, rows * QUESTION * self.of.vocabulary * (self.at.narrow + 2 * FULL))
        return max(layer, rows * self.of.image_tokens * self.of.codes * self._copies_of_logits(2))

    def updating(self, task: str) -> int:
        """A forward and backward pass of a batch."""
        recipe = self.recipe
        trainer = DEFAULTS | dict(recipe.trainer)
        rows = trainer["per_device_train_batch_size"] * (2 if recipe.algorithm == "simpo" else recipe.num_generations)
        if task == "gen":
            guided = 2 if recipe.sampling.likelihood_guidance != 1 else 1
            tokens = rows * guided * (self.of.image_tokens + QUESTION)
            logits = rows * guided * self.of.image_tokens * self.of.codes * self._copies_of_logits(4)
        else:
            longest = recipe.sampling.max_completion_length
            tokens = rows * (self.of.image_tokens + QUESTION + longest)
            logits = rows * longest * self.of.vocabulary * self._copies_of_logits(4)
        saved = tokens * self.of.width * self.at.wide
        if trainer.get("gradient_checkpointing") or trainer.get("activation_checkpointing"):
            return self.of.layers * saved + max(logits, tokens * self._layer_saved * 3 // 2)
        return self.of.layers * tokens * self._layer_saved + max(logits, tokens * self._layer_saved // 2)

    def _copies_of_logits(self, copies: int) -> int:
        """Bytes of a number in so many tensors of 32 bits, and in what the head gave where that is narrower."""
        return copies * FULL + (self.at.narrow if self.at.narrow < FULL else 0)

    @property
    def _layer_saved(self) -> int:
        """What a layer keeps of a token for its backward pass: both norms, queries, keys and values before and after they are
        turned, what was attended to, and four of the inner width."""
        return 10 * self.of.width * self.at.wide + 4 * self.of.inner * self.at.narrow

    @property
    def _layer_passing(self) -> int:
        """The widest point of a layer without it."""
        return 5 * self.of.width * self.at.wide + 3 * self.of.inner * self.at.narrow


def _read(configuration: Any) -> dict[str, Any]:
    """DeepSpeed's settings of a mapping or a file."""
    if isinstance(configuration, Mapping):
        return dict(configuration)
    try:
        found = json.loads(Path(configuration).expanduser().read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"trainer.deepspeed: {configuration} is not a readable JSON file ({error})") from None
    return found if isinstance(found, dict) else {}


def _size(count: float) -> str:
    gib = count / 2**30
    return f"{gib:.1f} GiB" if gib >= 1 else f"{count / 2**20:.1f} MiB"
