"""The folder of a vision-language checkpoint: whether it is whole, what decides its responses, and its model in memory."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForImageTextToText, GenerationConfig

from suder_bench.errors import UserError
from suder_bench.models import checkpoint
from suder_bench.models.built import blamed, build, check_vocabulary
from suder_bench.models.hub import folder_of
from suder_bench.models.vlm import whole
from suder_bench.models.vlm.families import Family, family
from suder_bench.models.vlm.parts import processor


@dataclass(frozen=True)
class Loaded(checkpoint.Loaded):
    """A checkpoint in memory, in eval mode."""

    model: Any
    processor: Any
    family: Family


def find(reference: str) -> Path:
    """The folder of a checkpoint; a hub id is fetched into transformers' cache. Raises `UserError` if it is not whole."""
    folder = folder_of(reference)
    whole.check(folder)
    return folder


def load(folder: Path, *, device: torch.device, dtype: torch.dtype) -> Loaded:
    """Read a folder that `find` returned. Raises `UserError` where its files do not fit each other, cannot be read, hold weights
    that are no numbers, or are of no image-text-to-text model."""
    with blamed(folder, "configuration"):
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        own = (folder / checkpoint.GENERATION).is_file()
        generation = GenerationConfig.from_pretrained(folder, local_files_only=True) if own else None
    if type(config) not in AutoModelForImageTextToText._model_mapping:
        raise UserError(f"model '{folder}' has model_type '{config.model_type}', which is no image-text-to-text model")
    with blamed(folder, "tokenizer or image processor"):
        known = family(config.model_type)
        made = processor(folder, config, known)
    checkpoint.tell_leftover_adapters(folder)
    kind: Any = AutoModelForImageTextToText._model_mapping[type(config)]
    model = build(kind, folder, config, generation, dtype=dtype, device=device)
    check_vocabulary(folder, made.tokenizer, model)
    return Loaded(model, made, known, parts=digests(folder))


def digests(folder: Path) -> dict[str, str]:
    """`checkpoint.digests`, and of each further tokenizer in a folder of its own, such as the Q-Former's."""
    found = checkpoint.digests(folder)
    for own in sorted(path for path in folder.glob("*tokenizer") if path.is_dir()):
        files = sorted(path for path in own.iterdir() if path.is_file())
        content = [(file.name, hashlib.sha256(file.read_bytes()).hexdigest()) for file in files]
        found[own.name] = hashlib.sha256(json.dumps(content).encode()).hexdigest()
    return found
