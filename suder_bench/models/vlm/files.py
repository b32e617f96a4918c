"""The folder of a vision-language checkpoint: whether it is whole, what decides its responses, and its model in memory."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForImageTextToText, GenerationConfig
from transformers.dynamic_module_utils import get_class_from_dynamic_module

from suder_bench.errors import UserError
from suder_bench.models import arguments, checkpoint
from suder_bench.models.built import blamed, build, check_vocabulary
from suder_bench.models.hub import folder_of
from suder_bench.models.vlm import code, whole
from suder_bench.models.vlm.families import Family, family
from suder_bench.models.vlm.parts import processor

CODE = "code of the checkpoint"
"""Key of a model's `settings` that is there where such code was run."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Loaded(checkpoint.Loaded):
    """A checkpoint in memory, in eval mode."""

    model: Any
    processor: Any
    family: Family


@dataclass(frozen=True)
class Source:
    """The folder of a checkpoint, and whether its own code is `trusted`, and its weights may be NaN or infinite."""

    folder: Path
    trusted: bool = False
    allow_nonfinite: bool = False


def find(reference: str) -> Source:
    """A checkpoint folder, or that of a hub id, which is fetched into transformers' cache. Raises `UserError` if it is not whole,
    or needs code that is not trusted."""
    alone, asked = arguments.split("vlm", reference)
    trusted = arguments.TRUST in asked
    folder = folder_of(alone, code=trusted)
    whole.check(folder, trusted=trusted)
    return Source(folder, trusted, arguments.NONFINITE in asked)


def load(source: Source, *, device: torch.device, dtype: torch.dtype) -> Loaded:
    """Read what `find` returned. Raises `UserError` where its files do not fit each other, cannot be read, hold weights that are
    no numbers and may not be that, or are of no image-text-to-text model."""
    folder, trusted = source.folder, source.trusted
    if not trusted:
        _leave_code(folder)
    with blamed(folder, "configuration"):
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=trusted)
        own = (folder / checkpoint.GENERATION).is_file()
        generation = GenerationConfig.from_pretrained(folder, local_files_only=True) if own else None
    kind, known = _class(source, config)
    with blamed(folder, "tokenizer or image processor"):
        made = processor(folder, config, known, trusted=trusted)
    checkpoint.tell_leftover_adapters(folder)
    allowed = source.allow_nonfinite
    model, notes = build(kind, folder, config, generation, dtype=dtype, device=device, allow_nonfinite=allowed)
    check_vocabulary(folder, made.tokenizer, model)
    run = code.asked(folder) if trusted else []
    notes |= {CODE: ", ".join(map(str, run))} if run else {}
    return Loaded(model, made, known, parts=digests(source), notes=notes)


def _leave_code(folder: Path) -> None:
    """Raises `UserError` for code that is needed; what transformers has itself is taken from there, and that is said."""
    code.check_classes(folder)
    left = list(dict.fromkeys(one.source for one in code.asked(folder)))
    if left:
        _log.warning(
            "suder-bench: %s: code of the checkpoint's own (%s) is not run; transformers' own classes are used "
            "(--trust-remote-code runs it)",
            folder,
            ", ".join(left),
        )


def _class(source: Source, config: Any) -> tuple[Any, Family]:
    """The class of the model, transformers' own or the checkpoint's, and what is known of its family: code of a checkpoint's own
    may answer otherwise than the family of its model_type. Raises `UserError` where there is none."""
    known = family(config.model_type)
    own = code.found(source.folder, *code.MODELS) if source.trusted else None
    if own is not None:
        with blamed(source.folder, "code"):
            return get_class_from_dynamic_module(own, source.folder, local_files_only=True), replace(known, proven=False)
    if type(config) not in AutoModelForImageTextToText._model_mapping:
        raise UserError(f"model '{source.folder}' has model_type '{config.model_type}', which is no image-text-to-text model")
    return AutoModelForImageTextToText._model_mapping[type(config)], known


def digests(source: Source) -> dict[str, str]:
    """`checkpoint.digests`, of each further tokenizer in a folder of its own, such as the Q-Former's, and of code that is run."""
    folder = source.folder
    found = checkpoint.digests(folder)
    if source.trusted and code.asked(folder):
        found["code"] = code.digest(folder)
    for own in sorted(path for path in folder.glob("*tokenizer") if path.is_dir()):
        files = sorted(path for path in own.iterdir() if path.is_file())
        content = [(file.name, hashlib.sha256(file.read_bytes()).hexdigest()) for file in files]
        found[own.name] = hashlib.sha256(json.dumps(content).encode()).hexdigest()
    return found
