"""LoRA adapters as peft saves them, merged into the weights of their base in memory: W + scale B A (Hu et al. 2021, section 4.1).

Without peft, so that a number never depends on whether it is installed. What is more than low-rank matrices (DoRA, adapters of
embeddings, a base that was changed beforehand) is refused by name.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from suder_bench.errors import UserError
from suder_bench.models import checkpoint, training_folder, unfinished
from suder_bench.models.hub import is_folder

if TYPE_CHECKING:
    import torch

CONFIG, WEIGHTS, PICKLED = checkpoint.ADAPTERS
PREFIX = "base_model.model."
REFUSED = ("use_dora", "use_qalora", "lora_bias", "layer_replication", "alora_invocation_tokens")
"""Settings of adapter_config.json that make more of it than W + scale B A."""
ADDED = ("gaussian", "eva", "orthogonal")
"""Ways to begin that leave the base as it is; others by a name (PiSSA, OLoRA, CorDA, LoftQ, ...) change it too."""


def is_alone(folder: Path) -> bool:
    """Whether a folder holds adapters and no model that they belong to."""
    return (folder / CONFIG).is_file() and not (folder / checkpoint.CONFIG).is_file()


def split(reference: str) -> tuple[str, str | None]:
    """Base and what goes into it of `BASE+ADAPTERS` or `BASE+WEIGHTS`, the latter a folder of weights without a config.json; a
    folder whose own name holds a plus is itself."""
    if not is_folder(reference):
        for plus in (place for place, sign in enumerate(reference) if sign == "+"):
            added = Path(reference[plus + 1 :]).expanduser()
            if (added / CONFIG).is_file() or training_folder.is_bare(added):
                return reference[:plus], reference[plus + 1 :]
    return reference, None


def base_of(folder: Path) -> str:
    """The folder or hub id that adapters were trained on, by their config. Raises `UserError` where it says none."""
    base = settings(folder).get("base_model_name_or_path")
    if not isinstance(base, str) or not base:
        raise UserError(f"{folder / CONFIG} names no base model; give it with --base")
    return base


def settings(folder: Path) -> dict[str, Any]:
    """adapter_config.json. Raises `UserError` for adapters of another kind."""
    found = checkpoint.read_json(folder / CONFIG)
    if found.get("peft_type") != "LORA":
        raise UserError(f"{folder / CONFIG}: peft_type {found.get('peft_type')!r} is not LORA; merge it with peft first")
    for name in REFUSED:
        if found.get(name):
            raise UserError(f"{folder / CONFIG}: {name} is more than low-rank matrices; merge it with peft first")
    begun = found.get("init_lora_weights")
    if isinstance(begun, str) and begun.lower() not in ADDED:
        raise UserError(
            f"{folder / CONFIG}: init_lora_weights {begun!r} takes something from the base before it adds to it; merge it with"
            " peft first"
        )
    rank = found.get("r")
    if type(rank) is not int or rank < 1 or not isinstance(found.get("lora_alpha"), int | float):
        raise UserError(f"{folder / CONFIG}: r {rank!r} and lora_alpha {found.get('lora_alpha')!r} are not a rank and a number")
    return found


def weights_file(folder: Path) -> Path:
    """Where the matrices are: `adapter_model.safetensors`, else the pickle that older versions of peft wrote, which only tensors
    are read out of."""
    pickled = not (folder / WEIGHTS).is_file() and (folder / PICKLED).is_file()
    return folder / (PICKLED if pickled else WEIGHTS)


def check(folder: Path) -> None:
    """Raises `UserError` where the adapters are not whole. Reads no tensor."""
    settings(folder)
    checkpoint.check_whole(weights_file(folder))
    unfinished.check_folder(folder)


def read(folder: Path) -> dict[str, torch.Tensor]:
    """The matrices, and what else was trained, by their names in the base as peft has them."""
    from suder_bench.models.built import read_file

    return {name.removeprefix(PREFIX): tensor for name, tensor in read_file(weights_file(folder)).items()}


def merge(weights: dict[str, torch.Tensor], folder: Path, named: Callable[[str], str] = lambda name: name) -> None:
    """Put the adapters in `folder` into `weights`, in place. `named` turns a weight's name as the adapters' base had it into the
    one in `weights`. Weights that were trained whole (modules_to_save, biases) replace their own.

    Raises `UserError` for adapters of a weight that is not there or has another shape.
    """
    told, file = settings(folder), weights_file(folder)
    found = read(folder)
    for name in sorted(found):
        module, low, side = name.partition(".lora_")
        if low and side != "B.weight":
            if side == "A.weight" and f"{module}.lora_B.weight" in found:
                continue
            raise UserError(f"{file} holds '{name}', which is no low-rank matrix of a linear layer; merge it with peft first")
        own = named(f"{module}.weight" if low else name.replace(".modules_to_save", ""))
        if own not in weights:
            raise UserError(f"{file} adapts '{own}', which the base does not have; give the base it was trained on")
        change = _change(found, module, told) if low else found[name]
        if change.shape != weights[own].shape:
            shapes = f"'{own}' is {tuple(weights[own].shape)} in the base, {tuple(change.shape)} here"
            raise UserError(f"{file}: {shapes}; give the base it was trained on")
        kept = weights[own]
        weights[own] = (kept.float() + change if low else change).to(kept.dtype)


def _change(found: Mapping[str, torch.Tensor], module: str, told: Mapping[str, Any]) -> torch.Tensor:
    """scale B A, in float32; scale = alpha / r, or alpha / sqrt(r) (rank-stabilised, Kalajdzievski 2023)."""
    up, down = found[f"{module}.lora_B.weight"].float(), found[f"{module}.lora_A.weight"].float()
    rank = down.shape[0]
    alpha = float(_of(told.get("alpha_pattern"), module, told["lora_alpha"]))
    scale = alpha / (math.sqrt(rank) if told.get("use_rslora") else rank)
    change = scale * (up @ down)
    return change.T if told.get("fan_in_fan_out") else change


def _of(patterns: Mapping[str, Any] | None, module: str, default: Any) -> Any:
    """The value for a module: of the first pattern that its name ends with, as peft reads them."""
    fits = (value for pattern, value in (patterns or {}).items() if re.match(rf"(.*\.)?({pattern})$", module))
    return next(fits, default)
