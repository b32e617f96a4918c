"""A Janus checkpoint in transformers' format, from a folder or the hub: safetensors only, no code from the checkpoint."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from transformers import AutoTokenizer, JanusForConditionalGeneration, PreTrainedTokenizerBase
from transformers.models.janus.image_processing_pil_janus import JanusImageProcessorPil

from suder_bench import machine
from suder_bench.errors import UserError

DTYPES: dict[str, torch.dtype] = {name: getattr(torch, name) for name in machine.DTYPES}
SPECIAL = ("image_token", "boi_token", "eoi_token", "pad_token", "eos_token")
_FILES = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja"]


def choose_device(device: str) -> torch.device:
    """The device of a name, as `suder_bench.machine.choose_device`."""
    return torch.device(machine.choose_device(device))


def choose_dtype(dtype: str, device: torch.device) -> torch.dtype:
    """The dtype of a name, as `suder_bench.machine.choose_dtype`, whatever the file was stored in."""
    return DTYPES[machine.choose_dtype(dtype, device.type)]


def find(reference: str) -> Path:
    """The folder of a checkpoint; a hub id is fetched into transformers' cache. Raises `UserError` if it is no Janus."""
    folder = Path(reference).expanduser()
    if not folder.is_dir():
        try:
            folder = Path(snapshot_download(reference, allow_patterns=_FILES))
        except Exception as error:  # offline, gated, misspelt: the hub's own words tell which
            reason = str(error).strip().split("\n")[0]
            raise UserError(f"model '{reference}' is neither a folder nor a hub id that could be fetched: {reason}") from error
    config = folder / "config.json"
    if not config.is_file():
        raise UserError(f"model '{reference}' holds no config.json; give a checkpoint folder in transformers' format")
    kind = json.loads(config.read_text(encoding="utf-8")).get("model_type")
    if kind != "janus":
        raise UserError(f"model '{reference}' has model_type {kind!r}; give a Janus, as deepseek-community/Janus-Pro-1B")
    if not list(folder.glob("*.safetensors")):
        raise UserError(f"model '{reference}' holds no *.safetensors file; convert its weights with save_pretrained")
    return folder


def load(
    folder: Path, *, device: torch.device, dtype: torch.dtype
) -> tuple[JanusForConditionalGeneration, PreTrainedTokenizerBase, JanusImageProcessorPil]:
    """Weights in eval mode, tokenizer and image processor. Raises `UserError` if weights or special tokens are missing."""
    loaded: Any = JanusForConditionalGeneration.from_pretrained(
        folder, dtype=dtype, use_safetensors=True, local_files_only=True, output_loading_info=True
    )
    model, info = loaded
    missing = sorted(info["missing_keys"])
    if missing:
        raise UserError(f"model '{folder}' lacks {len(missing)} weights, such as {missing[0]}; the checkpoint is incomplete")
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    processor = JanusImageProcessorPil.from_pretrained(folder, local_files_only=True)
    return model.to(device).eval(), tokenizer, processor


def check_tokens(tokenizer: PreTrainedTokenizerBase, image_token_id: int, name: str) -> None:
    """Raises `UserError` if the tokenizer does not name the special tokens that Janus needs, or not as the model does."""
    lacking = [token for token in SPECIAL if tokenizer.special_tokens_map.get(token) is None]
    if lacking:
        raise UserError(f"the tokenizer of model '{name}' names no {', '.join(lacking)}; add them to its tokenizer_config.json")
    placeholder = tokenizer.convert_tokens_to_ids(str(tokenizer.special_tokens_map["image_token"]))
    if placeholder != image_token_id:
        raise UserError(
            f"model '{name}' has image token {image_token_id}, its tokenizer {placeholder}; use the tokenizer it was trained with"
        )


def fingerprint(folder: Path) -> str:
    """sha256 over the content of the folder's safetensors files, in the order of their names; once per process and file."""
    digests = [_digest(file, file.stat().st_size, file.stat().st_mtime_ns) for file in sorted(folder.glob("*.safetensors"))]
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


@cache
def _digest(file: Path, size: int, changed: int) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
