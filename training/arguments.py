"""A recipe's `trainer` group as transformers' `TrainingArguments`."""

from __future__ import annotations

import dataclasses
import os
import socket
import types
import typing
from enum import Enum
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from transformers import SchedulerType, TrainingArguments
from transformers.training_args import OptimizerNames

from suder_bench.errors import UserError, install, unknown

if typing.TYPE_CHECKING:
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
    "output_dir": "use --out",
    "resume_from_checkpoint": "use --resume",
    "use_cpu": "use --device",
    "gradient_accumulation_steps": "it follows from global_batch_size",
    "train_batch_size": "use trainer.per_device_train_batch_size",
    "auto_find_batch_size": "use trainer.per_device_train_batch_size",
    **dict.fromkeys(
        (
            "do_eval",
            "eval_accumulation_steps",
            "eval_delay",
            "eval_do_concat_batches",
            "eval_on_start",
            "eval_steps",
            "eval_strategy",
            "eval_use_gather_object",
            "per_device_eval_batch_size",
        ),
        "suder-bench track evaluates checkpoints",
    ),
    "train_sampling_strategy": "items are shuffled by trainer.seed",
    "neftune_noise_alpha": "the likelihood that is trained is that of the samples, without noise",
    "logging_steps": "every step is logged",
    "logging_strategy": "every step is logged",
    "logging_nan_inf_filter": "a loss that is no number stops the training",
    "remove_unused_columns": "there are no columns",
    "disable_tqdm": "every step prints a line",
    "ignore_data_skip": "a training goes on with the next item",
    "data_seed": "use trainer.seed",
    "label_smoothing_factor": "there are no labels",
    **dict.fromkeys(
        ("dataloader_drop_last", "dataloader_num_workers", "dataloader_persistent_workers", "dataloader_prefetch_factor"),
        "nothing is loaded beside the training",
    ),
}
"""Fields that follow from other settings, and what to say of them."""


def arguments(recipe: Recipe, out: Path, *, device: str, tasks: int) -> TrainingArguments:
    """Raises `UserError` naming the field for one that is unknown, set elsewhere, or of a wrong type; and for a device that
    the Trainer would not take."""
    if device.startswith("cuda:"):
        number = device.removeprefix("cuda:")
        raise UserError(f"training takes the first GPU it sees, not '{device}'; set CUDA_VISIBLE_DEVICES={number}")
    chosen = DEFAULTS | {name: check_field(name, value) for name, value in recipe.trainer.items()}
    if chosen.get("deepspeed"):
        chosen["deepspeed"] = deepspeed_file(chosen["deepspeed"])
        _alone()
    if chosen.get("fp16") and device == "cpu":
        raise UserError("trainer.fp16 is for GPUs; leave it out, or set trainer.bf16=true")
    world = int(os.environ.get("WORLD_SIZE", "1"))
    share = int(chosen["per_device_train_batch_size"]) * world
    try:
        found = TrainingArguments(
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
        # A process has one GPU, and several are for a launcher: the Trainer would split batches between all it sees.
        found._n_gpu = min(found.n_gpu, 1)
    except (ValueError, TypeError) as error:
        raise UserError(f"trainer: {str(error).splitlines()[0]}") from None
    except ImportError as error:
        extras = ("train", "deepspeed") if chosen.get("deepspeed") else ("train",)
        raise UserError(f"{str(error).splitlines()[0]}; install it with {install(*extras)}") from None
    if not chosen.get("deepspeed"):  # whose file may bring an optimizer and a scheduler of its own
        _check_optimizer(found)
    return found


def _check_optimizer(args: TrainingArguments) -> None:
    """The Trainer makes both when a model is loaded; whether it can does not depend on the model, but for GaLore and its like."""
    import torch  # not when recipes are only read
    from transformers import Trainer, get_scheduler

    try:
        if not args.optim_target_modules:
            Trainer.get_optimizer_cls_and_kwargs(args, torch.nn.Linear(1, 1))  # type: ignore[arg-type]
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)])
        kwargs = args.lr_scheduler_kwargs  # a text has become a mapping by now
        get_scheduler(args.lr_scheduler_type, optimizer, 0, 1, kwargs if isinstance(kwargs, dict) else None)
    except (ImportError, ValueError, TypeError, RuntimeError, KeyError) as error:
        told = str(error).splitlines()[0]
        chosen = f"optim {OptimizerNames(args.optim).value} and lr_scheduler_type {SchedulerType(args.lr_scheduler_type).value}"
        raise UserError(f"trainer: {chosen} cannot be used so: {told}") from error


def check_trackers(recipe: Recipe) -> None:
    """Raises `UserError` where `trainer.report_to` names what transformers does not know, or what cannot be used here."""
    from transformers.integrations import integration_utils as known  # not when recipes are only read

    asked = recipe.trainer.get("report_to") or []
    names = [asked] if isinstance(asked, str) else list(asked)
    if names in (["none"], ["all"]):
        return
    for name in names:
        if name in ("none", "all"):
            raise UserError(f"'{name}' stands alone; leave out the others")
        if name not in known.INTEGRATION_TO_CALLBACK:
            raise unknown("tracker", str(name), [*known.INTEGRATION_TO_CALLBACK, "all", "none"])
        try:
            known.INTEGRATION_TO_CALLBACK[name]()  # which only looks for its package
        except Exception as error:  # whatever another package raises when it is imported
            raise UserError(f"{name} cannot be used here: {' '.join(str(error).split()) or repr(error)}") from error


def _alone() -> None:
    """Tell DeepSpeed that no launcher started this process, where none did: it would ask MPI."""
    if "LOCAL_RANK" not in os.environ:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        alone = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        os.environ.update(alone)


def check_field(name: str, value: Any) -> Any:
    """The value of the field trainer.`name`, as `TrainingArguments` takes it. Raises `UserError` as `arguments` does."""
    if name in OURS:
        raise UserError(f"trainer.{name} is not set here; {OURS[name]}")
    known = _fields()
    if name not in known:
        raise unknown("key", f"trainer.{name}", [f"trainer.{one}" for one in known])
    if not (name == "fsdp" and isinstance(value, bool)):  # which transformers declares a text, and documents as true
        value = _typed(name, value, known[name])
    if name == "per_device_train_batch_size" and value < 1:
        raise UserError(f"trainer.{name} must be above 0, not {value}")
    if name == "seed" and not 0 <= value < 2**32:
        raise UserError(f"trainer.{name} must be from 0 to {2**32 - 1}, not {value}")
    if name == "deepspeed":
        deepspeed_file(value)
    return value


@cache
def _fields() -> dict[str, tuple[type, ...]]:
    """The fields of `TrainingArguments` and the types each may have, none where it may be anything."""
    hints = typing.get_type_hints(TrainingArguments)
    return {one.name: _kinds(hints[one.name]) for one in dataclasses.fields(TrainingArguments) if one.init}


def _kinds(hint: Any) -> tuple[type, ...]:
    parts = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    kinds = [typing.get_origin(part) or part for part in parts]
    return tuple(kinds) if all(isinstance(kind, type) for kind in kinds) else ()


def _typed(name: str, value: Any, kinds: tuple[type, ...]) -> Any:
    """YAML reads 3e-6 as a text; everything else must be of the field's own kind, or a whole number in place of a broken."""
    if isinstance(value, str) and float in kinds and str not in kinds:
        try:
            return float(value)
        except ValueError:
            pass
    words = [str(word.value) for kind in kinds if issubclass(kind, Enum) for word in kind]
    if words and isinstance(value, str) and value not in words:
        raise unknown(f"trainer.{name}", value, words)
    number = not isinstance(value, bool)
    fits = any(isinstance(value, kind) and (number or kind not in (int, float)) for kind in kinds)
    if fits or not kinds or (float in kinds and type(value) is int):
        return value
    names = " or ".join(sorted({kind.__name__ for kind in kinds if kind is not type(None)}))
    raise UserError(f"trainer.{name} must be of type {names}, not {value!r}")


def deepspeed_file(value: Any) -> Any:
    """`zero2` and `zero3` are files that come with the package; anything else is a file or mapping of the user's."""
    if not isinstance(value, str):
        return value
    shipped = files("suder_bench.training").joinpath("recipes", f"{value}.json")
    if shipped.is_file():
        return str(shipped)
    if not Path(value).expanduser().is_file():
        raise UserError(f"trainer.deepspeed: no file '{value}'; give zero2, zero3 or a DeepSpeed configuration file")
    return value
