"""How much memory a training takes on each process, from its recipe and its model's configuration alone.

What stays (weights, copies, gradients, optimizer) is counted exactly; what comes and goes (drawing, writing, scoring, updating)
is the largest of its parts, with the factors that tests/training/test_memory.py holds against what a small model allocates.
Judges, CUDA's own few hundred MiB and fragmentation are not counted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import JanusConfig, JanusForConditionalGeneration

from suder_bench.errors import UserError
from suder_bench.models.janus import files as janus_files
from suder_bench.models.reference import ModelReference
from suder_bench.training.arguments import DEFAULTS, deepspeed_file
from suder_bench.training.policy import PARTS
from suder_bench.training.recipe import Lora, Recipe
from suder_bench.training.rewards import asks_model

FULL, HALF = 4, 2
"""Bytes of a float32, and of a bfloat16 or float16."""

QUESTION = 40
"""Tokens of a prompt, or of a question around its picture; a few more or less do not matter beside the picture's own."""

BUCKET = 500_000_000
"""Numbers that DeepSpeed reduces at once unless its file says otherwise; two of them overlap."""

_LARGE = {
    "deepseek-community/Janus-Pro-1B": (2048, 24, 16, 5632),
    "deepseek-community/Janus-Pro-7B": (4096, 30, 32, 11008),
}
"""Width, layers, heads and inner width of their language models; the rest is `JanusConfig`'s default."""


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


def configuration(reference: ModelReference) -> JanusConfig | None:
    """Of a checkpoint that is here, or of a large one that everybody knows; None for any other."""
    base = reference.checkpoints[0]
    if base in _LARGE:
        width, layers, heads, inner = _LARGE[base]
        text = {"model_type": "llama", "hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": heads}
        text |= {"num_key_value_heads": heads, "intermediate_size": inner, "vocab_size": 102400}
        quantizer = {"projection_dim": width, "image_token_embed_dim": width}
        vision = {"projection_dim": width}
        return JanusConfig(text_config=text, vision_config=vision, vq_config=quantizer, tie_word_embeddings=False)
    folder = reference.described(base)
    whole = folder is not None and (reference.stamp() is not None or not janus_files.is_original(folder))
    return janus_files.configuration(folder) if folder is not None and whole else None


def estimate(recipe: Recipe, config: JanusConfig, *, processes: int) -> Estimate:
    """For weights in float32, as `train` reads them, on one of `processes`."""
    with torch.device("meta"):
        network = JanusForConditionalGeneration(config)
    weights = sum(one.numel() for one in network.parameters())
    learning = _learning(network, recipe)
    settings = _Precision.of(recipe, processes)
    passing = _Passing(recipe, config, settings)
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


def _learning(network: torch.nn.Module, recipe: Recipe) -> int:
    """How many numbers learn."""
    if recipe.lora is not None:
        return _adapters(network, recipe.lora)
    frozen = {id(one) for one in network.get_submodule("model.vqmodel").parameters()}
    chosen = {id(one): one for name in recipe.trainable for one in network.get_submodule(PARTS[name]).parameters()}
    return sum(one.numel() for key, one in chosen.items() if key not in frozen)


def _adapters(network: torch.nn.Module, lora: Lora) -> int:
    named = re.compile(rf".*\.({'|'.join(map(re.escape, lora.target_modules))})")
    layers = network.get_submodule("model.language_model").named_modules(prefix="model.language_model")
    linear = [one for name, one in layers if isinstance(one, torch.nn.Linear) and named.fullmatch(name)]
    return sum(lora.r * (one.in_features + one.out_features) for one in linear)


def _copies(recipe: Recipe) -> int:
    """Whole models beside the one that learns, without the one that samples in place of shards."""
    separate = recipe.strategy == "separate"
    start = recipe.algorithm == "grpo" and (recipe.grpo.beta != 0 or recipe.grpo.anchor == "reference")
    asked = any(asks_model(getattr(recipe.reward, task)) for task in recipe.tasks)
    frozen = recipe.reward.scorer == "frozen" and asked and not separate
    return int(start or frozen) + int(separate)


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
    config: Any  # a JanusConfig, whose parts transformers declares optional
    at: _Precision

    @property
    def _text(self) -> Any:
        return self.config.text_config

    @property
    def _image(self) -> int:
        return int(self.config.vision_config.num_image_tokens)

    @property
    def _column(self) -> int:
        """Keys and values of one token in all layers; the cache takes the keys' precision for both."""
        heads = self._text.num_key_value_heads * (self._text.hidden_size // self._text.num_attention_heads)
        return int(self._text.num_hidden_layers * heads * 2 * self.at.wide)

    @property
    def _samples(self) -> int:
        return min(self.recipe.sampling.batch_size, self.recipe.global_batch_size * self.recipe.num_generations)

    def cache(self) -> int:
        rows = self._samples * (1 if self.recipe.sampling.guidance == 1 else 2)
        return rows * self._image * self._column

    def logits(self) -> int:
        """Those of a step, mixed, and their distribution function in 64 bits."""
        rows = self._samples * (1 if self.recipe.sampling.guidance == 1 else 2)
        return int(self.config.vq_config.num_embeddings * (rows * FULL + self._samples * (3 * FULL + 2 * 2 * FULL)))

    def codes(self) -> int:
        """Every code as the language model reads it."""
        return int(self.config.vq_config.num_embeddings * self._text.hidden_size * self.at.weight)

    def decoding(self) -> int:
        """Of one picture, and all of them as they are kept."""
        quantizer, side = self.config.vq_config, self.config.vision_config.image_size
        return int(side * side * (6 * quantizer.base_channels * self.at.weight + 3 * FULL * self._samples))

    def writing(self) -> int:
        """Either all captions are being written, or half of them, which have their pictures' keys each for themselves."""
        prompt, longest = self._image + QUESTION, self.recipe.sampling.max_completion_length
        pictures = max(1, self._samples // self.recipe.num_generations)
        columns = max(pictures * prompt + self._samples * longest, (self._samples + 1) // 2 * (prompt + longest))
        return int(columns * self._column + self._samples * self._text.vocab_size * (4 * FULL + 2 * 2 * FULL))

    def scoring(self, task: str) -> int:
        """Without gradients: the widest point of a layer, or the logits."""
        rows = min(self.recipe.reward.batch_size, self._samples)
        layer = rows * (self._image + 2 * QUESTION) * self._layer_passing
        if task == "gen":  # the likelihood of the prompt's tokens, given the picture
            return max(layer, rows * QUESTION * self._text.vocab_size * (self.at.narrow + 2 * FULL))
        return max(layer, rows * self._image * self.config.vq_config.num_embeddings * self._copies_of_logits(2))

    def updating(self, task: str) -> int:
        """A forward and backward pass of a batch."""
        recipe = self.recipe
        trainer = DEFAULTS | dict(recipe.trainer)
        rows = trainer["per_device_train_batch_size"] * (2 if recipe.algorithm == "simpo" else recipe.num_generations)
        if task == "gen":
            guided = 2 if recipe.sampling.likelihood_guidance != 1 else 1
            tokens = rows * guided * (self._image + QUESTION)
            logits = rows * guided * self._image * self.config.vq_config.num_embeddings * self._copies_of_logits(4)
        else:
            longest = recipe.sampling.max_completion_length
            tokens = rows * (self._image + QUESTION + longest)
            logits = rows * longest * self._text.vocab_size * self._copies_of_logits(4)
        layers, saved = self._text.num_hidden_layers, tokens * self._text.hidden_size * self.at.wide
        if trainer.get("gradient_checkpointing") or trainer.get("activation_checkpointing"):
            return int(layers * saved + max(logits, tokens * self._layer_saved * 3 // 2))
        return int(layers * tokens * self._layer_saved + max(logits, tokens * self._layer_saved // 2))

    def _copies_of_logits(self, copies: int) -> int:
        """Bytes of a number in so many tensors of 32 bits, and in what the head gave where that is narrower."""
        return copies * FULL + (self.at.narrow if self.at.narrow < FULL else 0)

    @property
    def _layer_saved(self) -> int:
        """What a layer keeps of a token for its backward pass: both norms, queries, keys and values before and after they are
        turned, what was attended to, and four of the inner width."""
        return int(10 * self._text.hidden_size * self.at.wide + 4 * self._text.intermediate_size * self.at.narrow)

    @property
    def _layer_passing(self) -> int:
        """The widest point of a layer without it."""
        return int(5 * self._text.hidden_size * self.at.wide + 3 * self._text.intermediate_size * self.at.narrow)


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
