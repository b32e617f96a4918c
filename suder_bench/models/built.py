"""Any transformers model of the files in a folder, or one line that says why not: what every family here refuses alike.

The weights are read here and not by transformers, which would put LoRA adapters that lie beside them on top, and only where
peft is installed; keys of older layouts are renamed by transformers' own table.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn
from transformers import GenerationConfig, PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers import logging as transformers_logging

from suder_bench.errors import UserError
from suder_bench.models import checkpoint, training_folder, unfinished
from suder_bench.models.protocols import NOT_FINITE

MUCH = 4
"""A configuration may ask for so many times the numbers that the weights hold, before they are compared one by one."""

NO_NAMES: Mapping[str, str] = MappingProxyType({})
ZEROS = "weights of zeros"
"""Key of a model's `settings` that is there where some of its matrices are all zeros."""

LOOKED_AT = 1000
"""Numbers of a weight that are looked at before all of them are."""

SHOWN = 300
"""Characters of another library's reason that an error line quotes."""

_log = logging.getLogger(__name__)


@contextmanager
def blamed(folder: Path, what: str) -> Iterator[None]:
    """One `UserError` of one line for whatever transformers raises over a broken file, each in its own way."""
    try:
        yield
    except (UserError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        said = "" if isinstance(error, KeyError) else " ".join(str(error).split())[:SHOWN]
        told = f"its {what}: {said or repr(error)}"
        raise UserError(f"model '{folder}' cannot be loaded: {told}; copy its files again, or save the model again") from error


@contextmanager
def quiet() -> Iterator[None]:
    """Without transformers' table of keys, whose content is told in one line, and its bars but on a screen."""
    level, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    if not sys.stderr.isatty():
        transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
        if bars:
            transformers_logging.enable_progress_bar()


def read_weights(folder: Path) -> dict[str, torch.Tensor]:
    """All weights by the names in their files, without what a wrapper put before them, mapped into memory; nothing but tensors
    is read out of a pickle."""
    weights: dict[str, torch.Tensor] = {}
    for file in checkpoint.weight_files(folder):
        weights |= read_file(file)
    own = training_folder.unwrapped(list(weights))
    return {own[name]: tensor for name, tensor in weights.items()}


def read_file(file: Path) -> dict[str, torch.Tensor]:
    """The tensors of one file by name, mapped into memory. Raises `UserError` where a pickle holds something else."""
    if file.suffix == ".safetensors":
        return load_file(file)
    found: dict[str, torch.Tensor] = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    strange = [name for name, value in found.items() if not isinstance(value, torch.Tensor)]
    if strange:
        raise UserError(f"{file} holds '{strange[0]}', which is no weight; give the model's own state_dict")
    return found


def build(
    kind: type[PreTrainedModel],
    folder: Path,
    config: PreTrainedConfig,
    generation: GenerationConfig | None,
    *,
    dtype: torch.dtype,
    device: torch.device,
    weights: dict[str, torch.Tensor] | None = None,
    origin: Mapping[str, str] = NO_NAMES,
    allow_nonfinite: bool = False,
) -> tuple[Any, dict[str, str]]:
    """A model of class `kind` with the folder's weights, in eval mode, and what run.json has to say of them.

    `weights` are these where they have been read already, and `origin` says what they are called in the files where that is
    something else.

    Raises `UserError` for weights that are missing, left over, of another size than `config` says, and without
    `allow_nonfinite` for such as are NaN or infinite.
    """
    with unfinished.unchanged(checkpoint.weight_files(folder)), blamed(folder, "weights"):
        weights = read_weights(folder) if weights is None else weights
        with quiet():
            _check_amount(kind, folder, config, weights)
            made: Any = kind.from_pretrained(
                None,
                config=config,
                state_dict=weights,
                generation_config=generation,
                dtype=dtype,
                ignore_mismatched_sizes=True,  # told below, in one line
                output_loading_info=True,
            )
        check_keys(folder, made[1], origin)
        held = made[0].state_dict()

        def lies(name: str) -> str:
            return _lies(folder, origin.get(name, name))

        notes = check_finite(folder, held, lies, allowed=allow_nonfinite) | tell_zeros(folder, held, lies)
        model = made[0].to(device).eval()
        # Weights in the file's own precision are the file, mapped into memory: written over, it would be another model.
        mapped = {tensor.untyped_storage().data_ptr() for tensor in weights.values()}
        for tensor in (*model.parameters(), *model.buffers()):
            if tensor.untyped_storage().data_ptr() in mapped:
                tensor.data = tensor.data.clone()
    return model, notes


def fill(
    module: nn.Module,
    folder: Path,
    weights: Mapping[str, torch.Tensor],
    *,
    dtype: torch.dtype,
    device: torch.device,
    origin: Mapping[str, str] = NO_NAMES,
    allow_nonfinite: bool = False,
) -> dict[str, str]:
    """Give a module of our own, made on the device meta, its weights, and put it into eval mode; otherwise as `build`."""
    own = module.state_dict()
    wrong = [(name, weights[name].shape, own[name].shape) for name in own.keys() & weights.keys()]
    info = {
        "missing_keys": own.keys() - weights.keys(),
        "unexpected_keys": weights.keys() - own.keys(),
        "mismatched_keys": [one for one in wrong if one[1] != one[2]],
    }
    check_keys(folder, info, origin)

    def lies(name: str) -> str:
        return _lies(folder, origin.get(name, name))

    notes = check_finite(folder, weights, lies, allowed=allow_nonfinite) | tell_zeros(folder, weights, lies)
    taken = {
        name: weight.to(device, dtype if weight.is_floating_point() else None, copy=True) for name, weight in weights.items()
    }
    module.load_state_dict(taken, assign=True)
    module.eval()
    return notes


def _check_amount(
    kind: type[PreTrainedModel], folder: Path, config: PreTrainedConfig, weights: Mapping[str, torch.Tensor]
) -> None:
    """Raises `UserError` for a configuration of quite another size, before memory is taken and filled with random weights."""
    layers = max((_layers(part) for part in _parts(config)), default=0)
    if layers > len(weights):  # building them would take for ever
        raise _other(folder, len(weights), layers, "weights for its layers")
    with torch.device("meta"):
        model = kind(config)
    held, asked = (sum(one.numel() for one in many) for many in (weights.values(), model.parameters()))
    if asked > MUCH * held:
        empty = [name for name, weight in weights.items() if not weight.numel()]
        if empty:
            raise _emptied(folder, empty)
        raise _other(folder, held, asked, "numbers in its weights")


def _parts(config: PreTrainedConfig) -> Iterator[PreTrainedConfig]:
    yield config
    for value in vars(config).values():
        if isinstance(value, PreTrainedConfig):
            yield from _parts(value)


def _layers(config: PreTrainedConfig) -> int:
    counts = [getattr(config, name, 0) for name in ("num_hidden_layers", "num_layers", "depth", "num_res_blocks")]
    return max(count for count in counts if isinstance(count, int))


def _other(folder: Path, held: int, asked: int, what: str) -> UserError:
    cure = "give it the config.json that it was saved with"
    return UserError(f"model '{folder}' holds {held:,} {what}, its config.json asks for {asked:,}; {cure}")


def _emptied(folder: Path, names: Sequence[str]) -> UserError:
    """What a Trainer saves of parameters that ZeRO-3 or FSDP keeps in parts, where nothing gathers them."""
    _, cure = training_folder.parts(folder) or ("", "save them anew with the parts gathered")
    return UserError(f"model '{folder}' has {len(names)} weights without content, such as {names[0]}; {cure}")


def check_keys(folder: Path, info: Mapping[str, Any], origin: Mapping[str, str] = NO_NAMES) -> None:
    """Raises `UserError` for weights that are missing, of another size, or in no use: transformers fills in random ones."""
    missing, unused = (sorted(origin.get(name, name) for name in info[f"{kind}_keys"]) for kind in ("missing", "unexpected"))
    sizes = sorted((origin.get(name, name), tuple(found), tuple(wanted)) for name, found, wanted in info["mismatched_keys"])
    if missing:
        raise UserError(f"model '{folder}' lacks {len(missing)} weights, such as {missing[0]}; the checkpoint is incomplete")
    cure = "give it the config.json that it was saved with"
    if sizes:
        name, found, wanted = sizes[0]
        if 0 in found:
            raise _emptied(folder, [name for name, found, _ in sizes if 0 in found])
        others = f" (and {len(sizes) - 1} more)" if len(sizes) > 1 else ""
        told = f"{name} of shape {found}{others}, its config.json asks for {wanted}"
        raise UserError(f"model '{folder}' has {told}; {cure}{_lies(folder, name)}")
    if unused:
        told = f"{len(unused)} weights that its config.json leaves unused, such as {unused[0]}"
        raise UserError(f"model '{folder}' holds {told}; {cure}{_lies(folder, unused[0])}")


def _lies(folder: Path, name: str) -> str:
    file = checkpoint.file_of(folder, name)
    return "" if file is None else f" (the weight is in {file.name})"


def check_vocabulary(folder: Path, tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel) -> None:
    """Raises `UserError` where the tokenizer has ids that the model has no embedding for."""
    embeddings: Any = model.get_input_embeddings()
    rows, last = len(embeddings.weight), max(tokenizer.get_vocab().values(), default=-1)
    if not 0 <= last < rows:
        raise UserError(
            f"model '{folder}' has embeddings for {rows:,} tokens, its tokenizer ids up to {last:,}; "
            "use the tokenizer it was trained with"
        )


def tell_zeros(folder: Path, weights: Mapping[str, torch.Tensor], lies: Callable[[str], str] = lambda name: "") -> dict[str, str]:
    """What run.json has to say of matrices that are all zeros, which is also warned of in a line: a download that made room for
    the whole file before it was broken off leaves such, with the right header and length."""
    empty = [name for name, tensor in weights.items() if tensor.dim() > 1 and tensor.is_floating_point() and _is_empty(tensor)]
    if not empty:
        return {}
    told = f"{len(empty):,} of {len(weights):,} weights hold nothing but zeros, such as {empty[0]}"
    cure = "a download that was broken off leaves such: compare its sha256 with the publisher's, or fetch the file again"
    _log.warning("suder-bench: %s: %s%s; %s", folder, told, lies(empty[0]), cure)
    return {ZEROS: told}


def _is_empty(tensor: torch.Tensor) -> bool:
    flat = tensor.detach().flatten()
    return bool(flat.numel()) and not flat[:: max(1, flat.numel() // LOOKED_AT)].any() and not flat.any()


def check_finite(
    folder: Path, weights: Mapping[str, torch.Tensor], lies: Callable[[str], str] = lambda name: "", *, allowed: bool
) -> dict[str, str]:
    """What run.json has to say of numbers that are NaN or infinite: nothing where there are none. A sum keeps either and costs
    little; only a sum that is no number is looked into.

    Raises `UserError` naming the first weight that has some, and where it `lies`, unless that is `allowed`.
    """
    bad = dict(_not_finite(weights))
    if not bad:
        return {}
    first, total = next(iter(bad)), sum(bad.values())
    if allowed:
        return {NOT_FINITE: f"{total:,} NaN or infinite numbers in {len(bad):,} of {len(weights):,} weights, such as {first}"}
    told = f"{bad[first]:,} of the {weights[first].numel():,} numbers of weight {first} are NaN or infinite{lies(first)}"
    raise UserError(
        f"model '{folder}': {told}; nothing that it makes is worth a score "
        "(a training that diverged leaves such weights; take an earlier one, or look at it with --allow-nonfinite)"
    )


def _not_finite(weights: Mapping[str, torch.Tensor]) -> Iterator[tuple[str, int]]:
    for name, tensor in weights.items():
        if tensor.is_floating_point() and not tensor.sum().isfinite():
            bad = int((~tensor.isfinite()).sum())
            if bad:
                yield name, bad
