"""A Janus checkpoint in transformers' format, from a folder or the hub: safetensors only, no code from the checkpoint.

Everything that loads a Janus comes through `load`, so that evaluations, trainings and rewards refuse the same checkpoints.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from PIL import Image
from safetensors.torch import load_file
from transformers import (
    AutoTokenizer,
    GenerationConfig,
    JanusConfig,
    JanusForConditionalGeneration,
    PreTrainedTokenizerBase,
)
from transformers import logging as transformers_logging
from transformers.models.janus.image_processing_pil_janus import JanusImageProcessorPil

from suder_bench import machine
from suder_bench.errors import UserError
from suder_bench.models import checkpoint
from suder_bench.models.janus.pixels import Squares
from suder_bench.proxies import before_the_hub
from suder_bench.runs.jsonl import replace_file

DTYPES: dict[str, torch.dtype] = {name: getattr(torch, name) for name in machine.DTYPES}
KIND = "janus"
"""The model_type of config.json."""

SPECIAL = ("image_token", "boi_token", "eoi_token", "pad_token", "eos_token")
MUCH = 4
"""A configuration may ask for so many times the numbers that the weights hold, before they are compared one by one."""

_FILES = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja"]
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Loaded:
    """A checkpoint in memory, in eval mode. `parts` are the digests of what decides its responses, by name."""

    model: JanusForConditionalGeneration
    tokenizer: PreTrainedTokenizerBase
    processor: JanusImageProcessorPil
    parts: Mapping[str, str]

    @property
    def fingerprint(self) -> str:
        return checkpoint.fingerprint(self.parts)


def choose_device(device: str) -> torch.device:
    """The device of a name, as `suder_bench.machine.choose_device`."""
    return torch.device(machine.choose_device(device))


def choose_dtype(dtype: str, device: torch.device) -> torch.dtype:
    """The dtype of a name, as `suder_bench.machine.choose_dtype`, whatever the file was stored in."""
    return DTYPES[machine.choose_dtype(dtype, device.type)]


def find(reference: str) -> Path:
    """The folder of a checkpoint; a hub id is fetched into transformers' cache. Raises `UserError` if it is no whole Janus."""
    folder = Path(reference).expanduser()
    if not folder.is_dir():
        try:
            folder = Path(snapshot_download(reference, allow_patterns=_FILES))
        except Exception as error:  # offline, gated, misspelt: the hub's own words tell which
            reason = str(error).strip().split("\n")[0]
            raise UserError(
                f"model '{reference}' is neither a folder nor a hub id that could be fetched: {reason}{before_the_hub(error)}"
            ) from error
    checkpoint.check(folder, KIND)
    return folder


def load(folder: Path, *, device: torch.device, dtype: torch.dtype) -> Loaded:
    """Read a folder that `find` returned. Raises `UserError` where its files do not fit each other, cannot be read, or hold
    weights that are no numbers.

    The weights are read here and not by transformers, which would put LoRA adapters that lie beside them on top, and only
    where peft is installed.
    """
    with _blamed(folder, "configuration"):
        config = JanusConfig.from_pretrained(folder, local_files_only=True)
        _check_lengths(folder, config)
        own = (folder / checkpoint.GENERATION).is_file()
        generation = GenerationConfig.from_pretrained(folder, local_files_only=True) if own else None
    with _blamed(folder, "tokenizer"):
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        tokenizer.decode(tokenizer.encode("a word", add_special_tokens=False), skip_special_tokens=True)
    with _blamed(folder, "image processor"):
        processor = JanusImageProcessorPil.from_pretrained(folder, local_files_only=True)
        squares = Squares(processor)
        squares.values(squares.pixels([Image.new("RGB", (3, 2))]))
        _check_side(folder, config, squares.size)
    leftover = [name for name in checkpoint.ADAPTERS if (folder / name).is_file()]
    if leftover:
        _log.warning(
            "suder-bench: %s: %s beside whole weights: the weights are taken as they are, without the adapters; "
            "if these are not merged into them yet, merge them first (peft: merge_and_unload)",
            folder,
            " and ".join(leftover),
        )
    with _blamed(folder, "weights"):
        model = _built(folder, config, generation, dtype, device)
        _check_finite(folder, model)
        _check_vocabulary(folder, tokenizer, model)
    return Loaded(model, tokenizer, processor, checkpoint.digests(folder))


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


@contextmanager
def _blamed(folder: Path, what: str) -> Iterator[None]:
    """One line for whatever transformers raises over a broken file, each in its own way."""
    try:
        yield
    except (UserError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:300] or repr(error)
        raise UserError(f"model '{folder}' cannot be loaded: its {what}: {reason}") from error


def _built(
    folder: Path, config: JanusConfig, generation: GenerationConfig | None, dtype: torch.dtype, device: torch.device
) -> JanusForConditionalGeneration:
    weights: dict[str, torch.Tensor] = {}
    for file in checkpoint.weight_files(folder):
        weights |= load_file(file)
    with _quiet():
        _check_amount(folder, config, weights)
        built: Any = JanusForConditionalGeneration.from_pretrained(
            None,
            config=config,
            state_dict=weights,
            generation_config=generation,
            dtype=dtype,
            ignore_mismatched_sizes=True,  # told below, in one line
            output_loading_info=True,
        )
    _check_keys(folder, built[1])
    model: Any = built[0].to(device).eval()
    # Weights in the file's own precision are the file, mapped into memory: written over, it would be another model.
    mapped = {tensor.untyped_storage().data_ptr() for tensor in weights.values()}
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.untyped_storage().data_ptr() in mapped:
            tensor.data = tensor.data.clone()
    return model  # type: ignore[no-any-return]


def _check_amount(folder: Path, config: Any, weights: Mapping[str, torch.Tensor]) -> None:
    """Raises `UserError` for a configuration of quite another size, before memory is taken and filled with random weights."""

    def other(held: int, asked: int, what: str) -> UserError:
        cure = "give it the config.json that it was saved with"
        return UserError(f"model '{folder}' holds {held:,} {what}, its config.json asks for {asked:,}; {cure}")

    parts = (config.text_config, config.vision_config, config.vq_config)
    layers = max(getattr(part, name, 0) for part in parts for name in ("num_hidden_layers", "num_res_blocks", "depth"))
    if layers > len(weights):  # building them would take for ever
        raise other(len(weights), layers, "weights for its layers")
    with torch.device("meta"):
        model = JanusForConditionalGeneration(config)
    held, asked = (sum(one.numel() for one in many) for many in (weights.values(), model.parameters()))
    if asked > MUCH * held:
        raise other(held, asked, "numbers in its weights")


def _check_keys(folder: Path, info: Mapping[str, Any]) -> None:
    """Raises `UserError` for weights that are missing, of another size, or in no use: transformers fills in random ones."""
    missing, unused = sorted(info["missing_keys"]), sorted(info["unexpected_keys"])
    sizes = sorted((name, tuple(found), tuple(wanted)) for name, found, wanted in info["mismatched_keys"])
    if missing:
        raise UserError(f"model '{folder}' lacks {len(missing)} weights, such as {missing[0]}; the checkpoint is incomplete")
    cure = "give it the config.json that it was saved with"
    if sizes:
        name, found, wanted = sizes[0]
        others = f" (and {len(sizes) - 1} more)" if len(sizes) > 1 else ""
        raise UserError(f"model '{folder}' has {name} of shape {found}{others}, its config.json asks for {wanted}; {cure}")
    if unused:
        told = f"{len(unused)} weights that its config.json leaves unused, such as {unused[0]}"
        raise UserError(f"model '{folder}' holds {told}; {cure}")


def _check_finite(folder: Path, model: JanusForConditionalGeneration) -> None:
    """Raises `UserError` naming the first weight with NaN or infinity. A sum keeps either and costs a fiftieth of a look at
    each number (0.03 s for 1 GB of float32, against 2.5 s, on one core); only a sum that is no number is looked into."""
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and not tensor.sum().isfinite():
            bad = int((~tensor.isfinite()).sum())
            if bad:
                raise UserError(
                    f"model '{folder}': {bad:,} of the {tensor.numel():,} numbers of weight {name} are NaN or infinite; "
                    "nothing that it says is worth a score (a training that diverged leaves such weights; take an earlier one)"
                )


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


def _check_vocabulary(folder: Path, tokenizer: PreTrainedTokenizerBase, model: JanusForConditionalGeneration) -> None:
    rows, last = len(model.model.language_model.embed_tokens.weight), max(tokenizer.get_vocab().values(), default=-1)
    if not 0 <= last < rows:
        raise UserError(
            f"model '{folder}' has embeddings for {rows:,} tokens, its tokenizer ids up to {last:,}; "
            "use the tokenizer it was trained with"
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' table of keys, whose content is told in one line."""
    level = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
