"""A Janus checkpoint from a folder or the hub, in transformers' layout or in the authors' own: no code from the checkpoint.

Everything that loads a Janus comes through `load`, so that evaluations, trainings and rewards refuse the same checkpoints.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections import Counter
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors.torch import load_file
from transformers import (
    AutoTokenizer,
    GenerationConfig,
    JanusConfig,
    JanusForConditionalGeneration,
    PreTrainedTokenizerBase,
)
from transformers.models.janus.image_processing_pil_janus import JanusImageProcessorPil

from suder_bench import machine
from suder_bench.errors import UserError
from suder_bench.models import arguments, checkpoint, lora, training_folder, unfinished
from suder_bench.models.built import blamed, build, check_finite, check_vocabulary, quiet, read_weights
from suder_bench.models.hub import folder_of
from suder_bench.models.janus import original
from suder_bench.models.janus.pixels import Squares
from suder_bench.partial import beside
from suder_bench.runs.jsonl import replace_file

DTYPES: dict[str, torch.dtype] = {name: getattr(torch, name) for name in machine.DTYPES}
KINDS = ("janus", original.MODEL_TYPE)
"""The model_type of config.json, by layout."""

SPECIAL = ("image_token", "boi_token", "eoi_token", "pad_token", "eos_token")


@dataclass(frozen=True)
class Loaded(checkpoint.Loaded):
    """A checkpoint in memory, in eval mode."""

    model: JanusForConditionalGeneration
    tokenizer: PreTrainedTokenizerBase
    processor: JanusImageProcessorPil
    folder: Path
    capture: bool = True


def choose_device(device: str) -> torch.device:
    """The device of a name, as `suder_bench.machine.choose_device`."""
    return torch.device(machine.choose_device(device))


def choose_dtype(dtype: str, device: torch.device) -> torch.dtype:
    """The dtype of a name, as `suder_bench.machine.choose_dtype`, whatever the file was stored in."""
    return DTYPES[machine.choose_dtype(dtype, device.type)]


@dataclass(frozen=True)
class Source:
    """Where a checkpoint lies: the folder of the model, that of its `weights`, which is another where a trainer saved nothing
    else, and that of LoRA adapters which go into them; with `allow_nonfinite` numbers may be NaN or infinite, and without
    `capture` no CUDA graph is made."""

    folder: Path
    weights: Path
    adapters: Path | None = None
    allow_nonfinite: bool = False
    capture: bool = True


def find(reference: str) -> Source:
    """The folder of a checkpoint, or those of `BASE+ADAPTERS` or `BASE+WEIGHTS`; a hub id is fetched into transformers' cache.
    Raises `UserError` if it is no whole Janus."""
    alone, asked = arguments.split("janus", reference)
    allowed, capture = arguments.NONFINITE in asked, arguments.NO_CAPTURE not in asked
    base, added = lora.split(alone)
    folder = folder_of(base)
    checkpoint.check(folder, KINDS)
    if added is None:
        return Source(folder, folder, None, allowed, capture)
    place = Path(added).expanduser()
    if training_folder.is_bare(place):
        checkpoint.check_weights(place)
        return Source(folder, place, None, allowed, capture)
    lora.check(place)
    return Source(folder, folder, place, allowed, capture)


def load(source: Source, *, device: torch.device, dtype: torch.dtype) -> Loaded:
    """Read what `find` returned. Raises `UserError` where its files do not fit each other, cannot be read, or hold
    weights that are no numbers and may not be that.

    The weights are read here and not by transformers, which would put LoRA adapters that lie beside them on top, and only
    where peft is installed.
    """
    folder = source.folder
    checkpoint.tell_leftover_adapters(folder)
    with unfinished.unchanged(checkpoint.weight_files(source.weights)):
        return _load(source, device, dtype)


def _load(source: Source, device: torch.device, dtype: torch.dtype) -> Loaded:
    folder = source.folder
    parts = (_original_parts if is_original(folder) else _parts)(folder, source.weights)
    with blamed(folder, "image processor"):
        squares = Squares(parts.processor)
        squares.values(squares.pixels([Image.new("RGB", (3, 2))]))
        _check_side(folder, parts.config, squares.size)
    if source.adapters is not None:
        with blamed(source.adapters, "adapters"):  # those trained with the authors' code have the names of their layout
            own = parts.weights
            check_finite(source.adapters, lora.read(source.adapters), allowed=source.allow_nonfinite)
            lora.merge(own, source.adapters, lambda name: name if name in own else original.port_name_or(name))
    model, notes = build(
        JanusForConditionalGeneration,
        source.weights,
        parts.config,
        parts.generation,
        dtype=dtype,
        device=device,
        weights=parts.weights,
        origin=parts.origin,
        allow_nonfinite=source.allow_nonfinite,
    )
    check_vocabulary(folder, parts.tokenizer, model)
    digests = checkpoint.digests(folder, source.weights)
    if source.adapters is not None:
        digests["adapters"] = checkpoint.digest([source.adapters / lora.CONFIG, lora.weights_file(source.adapters)])
    return Loaded(model, parts.tokenizer, parts.processor, folder, parts=digests, notes=notes, capture=source.capture)


def is_original(folder: Path) -> bool:
    """Whether the checkpoint is in the layout of the authors' own code."""
    return checkpoint.read_json(folder / checkpoint.CONFIG).get("model_type") == original.MODEL_TYPE


def configuration(folder: Path) -> JanusConfig:
    """The configuration of a checkpoint; that of the authors' layout is read off its weights in part. Raises `UserError` where
    these are not there, or cannot be read."""
    if is_original(folder):
        return _original_parts(folder, folder).config
    found: JanusConfig = JanusConfig.from_pretrained(folder, local_files_only=True)
    return found


def stored_dtypes(folder: Path) -> Counter[torch.dtype]:
    """How many numbers of a checkpoint's weights there are in each precision."""
    with blamed(folder, "weights"):
        counts: Counter[torch.dtype] = Counter()
        for tensor in read_weights(folder).values():
            counts[tensor.dtype] += tensor.numel()
        if not counts:
            raise UserError(f"model '{folder}' holds no weights; copy them, or save the model with save_pretrained")
    return counts


def save(
    model: JanusForConditionalGeneration,
    tokenizer: PreTrainedTokenizerBase,
    source: Path | JanusImageProcessorPil,
    folder: Path,
    **others: Any,
) -> None:
    """Write a checkpoint in transformers' layout: the weights, and everything beside config and weights of the one in `source`,
    or tokenizer and image processor as they are in memory. `others` go to `save_pretrained`."""
    model.save_pretrained(folder, **others)
    if isinstance(source, Path):
        _write_settings(source, folder)
    else:
        tokenizer.save_pretrained(folder)
        source.save_pretrained(folder)
    complete(folder, tokenizer)


def saved(folder: Path) -> dict[str, torch.Tensor]:
    """The weights that `save` wrote, in one file or several. Raises `UserError` where one is not whole."""
    found: dict[str, torch.Tensor] = {}
    for file in checkpoint.weight_files(folder):
        checkpoint.check_whole(file)
        found |= load_file(file)
    return found


def _write_settings(source: Path, folder: Path) -> None:
    """Tokenizer and image processor of `source`, and what else decides a response; files that are a checkpoint's own are left
    alone: weights, how far it was trained where it is one of a training, and what was merged into it."""
    if is_original(source):
        original.tokenizer(source).save_pretrained(folder)
        original.image_processor(source).save_pretrained(folder)
        if (source / checkpoint.GENERATION).is_file():
            shutil.copyfile(source / checkpoint.GENERATION, folder / checkpoint.GENERATION)
        return
    for file in source.iterdir():
        own = file.name in (checkpoint.CONFIG, *checkpoint.ADAPTERS, "trainer_state.json") or ".index." in file.name
        if file.suffix in (".json", ".txt", ".model", ".jinja") and not own:
            shutil.copyfile(file, folder / file.name)


def convert(reference: str, target: Path, dtype: str | None) -> torch.dtype | None:
    """Write the checkpoint into the new folder `target` in transformers' layout, for None in the precision of most of its
    numbers. The folder appears when it is whole. Returns the precision where some numbers were rounded to it.

    Raises `UserError` as `find` and `load` do.
    """
    source = find(reference)
    stored = stored_dtypes(source.weights)
    kind = stored.most_common(1)[0][0] if dtype is None else getattr(torch, dtype)
    loaded = load(source, device=torch.device("cpu"), dtype=kind)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = beside(target)
    with quiet(), redirect_stdout(sys.stderr):  # transformers imports DeepSpeed where it is installed, which talks on stdout
        save(loaded.model, loaded.tokenizer, source.folder, partial)
    partial.replace(target)
    return kind if any(torch.promote_types(one, kind) != kind for one in stored) else None


@dataclass(frozen=True)
class _Parts:
    """What a folder holds beside the network. `weights` have the port's names; `origin` is what they are called in the files."""

    config: JanusConfig
    generation: GenerationConfig | None
    tokenizer: PreTrainedTokenizerBase
    processor: JanusImageProcessorPil
    weights: dict[str, torch.Tensor]
    origin: Mapping[str, str]


def _parts(folder: Path, place: Path) -> _Parts:
    with blamed(folder, "configuration"):
        config = JanusConfig.from_pretrained(folder, local_files_only=True)
        _check_lengths(folder, config)
        generation = _generation(folder)
    with blamed(folder, "tokenizer"):
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        _try(tokenizer)
    with blamed(folder, "image processor"):
        processor = JanusImageProcessorPil.from_pretrained(folder, local_files_only=True)
    with blamed(place, "weights"):
        weights = read_weights(place)
    return _Parts(config, generation, tokenizer, processor, weights, origin={})


def _original_parts(folder: Path, place: Path) -> _Parts:
    with blamed(folder, "tokenizer"):
        tokenizer = original.tokenizer(folder)
        _try(tokenizer)
    with blamed(folder, "image processor"):
        processor = original.image_processor(folder)
    with blamed(place, "weights"):
        weights, origin = original.renamed(read_weights(place))
    with blamed(folder, "configuration"):
        told = checkpoint.read_json(folder / checkpoint.CONFIG)
        config = original.port_config(told, {name: tuple(weight.shape) for name, weight in weights.items()}, tokenizer)
        _check_lengths(folder, config)
        generation = _generation(folder) or original.generation_config(tokenizer)
    return _Parts(config, generation, tokenizer, processor, weights, origin)


def _generation(folder: Path) -> GenerationConfig | None:
    own = (folder / checkpoint.GENERATION).is_file()
    return GenerationConfig.from_pretrained(folder, local_files_only=True) if own else None


def _try(tokenizer: PreTrainedTokenizerBase) -> None:
    tokenizer.decode(tokenizer.encode("a word", add_special_tokens=False), skip_special_tokens=True)


def check_tokens(tokenizer: PreTrainedTokenizerBase, image_token_id: int, name: str) -> None:
    """Raises `UserError` if the tokenizer does not name the special tokens that Janus needs, or not as the model does."""
    lacking = [token for token in SPECIAL if tokenizer.special_tokens_map.get(token) is None]
    if lacking:
        raise UserError(f"the tokenizer of model '{name}' names no {', '.join(lacking)}; add them to its tokenizer_config.json")
    for token in ("bos_token", *SPECIAL):
        text = tokenizer.special_tokens_map.get(token)
        if text is not None and not isinstance(tokenizer.convert_tokens_to_ids(str(text)), int):
            raise UserError(f"the tokenizer of model '{name}' has {token} {str(text)!r}, which its vocabulary lacks")
    placeholder = tokenizer.convert_tokens_to_ids(str(tokenizer.special_tokens_map["image_token"]))
    if placeholder != image_token_id:
        raise UserError(
            f"model '{name}' has image token {image_token_id}, its tokenizer {placeholder}; use the tokenizer it was trained with"
        )


def complete(folder: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    """Write into a saved checkpoint's generation_config.json what transformers itself needs to draw, and does not save: the ids
    of its special tokens.

    A file that says `_from_model_config`, as that of a model built in memory does, is read without `generation_kwargs`, where
    transformers looks for begin-of-image.
    """
    file = folder / checkpoint.GENERATION
    found = checkpoint.read_json(file) if file.is_file() else {}
    generation = {name: value for name, value in found.items() if name != "_from_model_config"}
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        if generation.get(name) is None:
            generation[name] = getattr(tokenizer, name)
    kwargs = generation.get("generation_kwargs")
    boi = tokenizer.convert_tokens_to_ids(str(tokenizer.special_tokens_map["boi_token"]))
    generation["generation_kwargs"] = {"boi_token_id": boi} | (kwargs if isinstance(kwargs, dict) else {})
    if generation != found:
        replace_file(file, (json.dumps(generation, indent=2, sort_keys=True) + "\n").encode())


def _check_lengths(folder: Path, config: Any) -> None:
    """Raises `UserError` where pictures have more or fewer tokens in one place than in another."""
    vision, codes = config.vision_config, config.vq_config.num_patches**2
    tokens, patches = vision.num_image_tokens, (vision.image_size // vision.patch_size) ** 2
    if not tokens == patches == codes:
        raise UserError(
            f"model '{folder}': config.json says {tokens} image tokens, {patches} patches of the vision tower and {codes} codes "
            "of the image tokenizer, which must be equal; give it the config.json that it was saved with"
        )


def _check_side(folder: Path, config: Any, side: int) -> None:
    if side != config.vision_config.image_size:
        raise UserError(
            f"model '{folder}': its image processor makes pictures of {side} pixels, its config.json wants "
            f"{config.vision_config.image_size}; use the image processor it was trained with"
        )
