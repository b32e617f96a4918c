"""A recipe's `trainer` group as transformers' `TrainingArguments`."""

from __future__ import annotations

import dataclasses
import os
import typing
from importlib.resources import files
from pathlib import Path
from typing import Any

from transformers import TrainingArguments

from suder_bench.errors import UserError, unknown
from suder_bench.training.recipe import Recipe

DEFAULTS: dict[str, Any] = {
    "learning_rate": 3e-6,
    "lr_scheduler_type": "cosine",
    "warmup_steps": 5,
    "num_train_epochs": 5,
    "weight_decay": 0.0,
    "max_grad_norm": 1.0,
    "per_device_train_batch_size": 4,
    "save_strategy": "epoch",
    "seed": 42,
    "report_to": "none",
}
"""The paper's settings (method section 8), and TRL's where the paper is silent."""

OURS = {
    "output_dir": "--out",
    "gradient_accumulation_steps": "global_batch_size, which decides it",
    "resume_from_checkpoint": "--resume",
    "logging_steps": "nothing: every step is logged",
    "use_cpu": "--device",
    "train_batch_size": "trainer.per_device_train_batch_size",
}
"""Fields that follow from other settings."""


def arguments(recipe: Recipe, out: Path, *, device: str, tasks: int) -> TrainingArguments:
    """Raises `UserError` naming the field for one that is unknown, set elsewhere, or of a wrong type."""
    hints = typing.get_type_hints(TrainingArguments)
    names = {one.name for one in dataclasses.fields(TrainingArguments) if one.init}
    chosen = dict(DEFAULTS)
    for name, value in recipe.trainer.items():
        if name in OURS:
            raise UserError(f"trainer.{name} is not set here; use {OURS[name]}")
        if name not in names:
            raise unknown("key", f"trainer.{name}", [f"trainer.{one}" for one in names])
        chosen[name] = _typed(name, value, hints[name])
    chosen["deepspeed"] = _configuration(chosen.get("deepspeed"))
    world = int(os.environ.get("WORLD_SIZE", "1"))
    share = int(chosen["per_device_train_batch_size"]) * world
    try:
        return TrainingArguments(
            output_dir=str(out),
            gradient_accumulation_steps=max(1, tasks * (recipe.global_batch_size // share)),
            logging_steps=1,
            logging_strategy="steps",
            logging_nan_inf_filter=False,
            remove_unused_columns=False,
            disable_tqdm=True,
            use_cpu=device == "cpu",
            **chosen,
        )
    except (ValueError, TypeError) as error:
        raise UserError(f"trainer: {str(error).splitlines()[0]}") from None
    except ImportError as error:
        raise UserError(f'{str(error).splitlines()[0]}; install it with pip install "suder-bench[train]"') from None


def _typed(name: str, value: Any, hint: Any) -> Any:
    """YAML reads 3e-6 as a text; everything else must be of the field's own kind."""
    kinds = [part for part in (typing.get_args(hint) or (hint,)) if isinstance(part, type)]
    if isinstance(value, str) and float in kinds and str not in kinds:
        try:
            return float(value)
        except ValueError:
            pass
    fits = any(isinstance(value, kind) and not (isinstance(value, bool) and kind in (int, float)) for kind in kinds)
    if fits or not kinds or isinstance(value, dict | list) or (float in kinds and type(value) is int):
        return value
    if value is None and type(None) in kinds:
        return value
    names = " or ".join(sorted({kind.__name__ for kind in kinds if kind is not type(None)}))
    raise UserError(f"trainer.{name} must be of type {names}, not {value!r}")


def _configuration(value: Any) -> Any:
    """`zero2` and `zero3` are files that come with the package; anything else is a file or mapping of the user's."""
    if not isinstance(value, str):
        return value
    shipped = files("suder_bench.training").joinpath("recipes", f"{value}.json")
    if shipped.is_file():
        return str(shipped)
    if not Path(value).expanduser().is_file():
        raise UserError(f"trainer.deepspeed: no file '{value}'; give zero2, zero3 or a DeepSpeed configuration file")
    return value
