"""One Emu3 checkpoint in memory: transformers' format, safetensors only, no code from the checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import (
    AutoTokenizer,
    Emu3Config,
    Emu3ForConditionalGeneration,
    Emu3ImageProcessor,
    GenerationConfig,
    PreTrainedTokenizerBase,
)

from suder_bench.errors import UserError
from suder_bench.models import checkpoint
from suder_bench.models.built import blamed, build, check_vocabulary
from suder_bench.models.emu3 import pixels, reference
from suder_bench.models.emu3.vocabulary import Vocabulary
from suder_bench.models.hub import folder_of


@dataclass(frozen=True)
class Part:
    """A checkpoint in eval mode with all that belongs to it. `template` is its chat template, None where it has none; `digests`
    are of what decides its responses, by name; `notes` is what run.json has to say of its weights."""

    name: str
    model: Emu3ForConditionalGeneration
    tokenizer: PreTrainedTokenizerBase
    processor: Emu3ImageProcessor
    vocabulary: Vocabulary
    template: str | None
    digests: Mapping[str, str]
    notes: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        model: Emu3ForConditionalGeneration,
        tokenizer: PreTrainedTokenizerBase,
        processor: Emu3ImageProcessor,
        *,
        template: str | None,
        name: str = "emu3",
        digests: Mapping[str, str] | None = None,
    ) -> Part:
        """Of objects in memory. Raises `UserError` where they do not fit each other."""
        vocabulary = fitting(model.config, tokenizer, processor, template, name)
        return cls(name, model, tokenizer, processor, vocabulary, template, dict(digests or {}))

    @property
    def positions(self) -> int:
        """The longest sequence that the language model was made for."""
        return int(self.model.model.text_model.config.max_position_embeddings)

    @property
    def ends(self) -> set[int]:
        """The ids that end an answer."""
        said = self.model.generation_config.eos_token_id
        return {int(self.tokenizer.eos_token_id), *(said if isinstance(said, list) else [] if said is None else [said])}


def load(name: str, *, device: torch.device, dtype: torch.dtype, allow_nonfinite: bool = False) -> Part:
    """Read a folder or hub id. Raises `UserError` where its files are not whole, do not fit each other, or without
    `allow_nonfinite` hold weights that are no numbers."""
    folder = folder_of(name)
    checkpoint.check(folder, (reference.KIND,))
    with blamed(folder, "configuration"):
        config = Emu3Config.from_pretrained(folder, local_files_only=True)
        own = (folder / checkpoint.GENERATION).is_file()
        generation = GenerationConfig.from_pretrained(folder, local_files_only=True) if own else None
    with blamed(folder, "tokenizer"):
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        tokenizer.decode(tokenizer.encode("a word", add_special_tokens=False), skip_special_tokens=True)
    with blamed(folder, "image processor"):
        processor = Emu3ImageProcessor.from_pretrained(folder, local_files_only=True)
        _try(processor)
    with blamed(folder, "chat template"):
        template = _template(folder, tokenizer)
        vocabulary = fitting(config, tokenizer, processor, template, name)
    checkpoint.tell_leftover_adapters(folder)
    model, notes = build(
        Emu3ForConditionalGeneration, folder, config, generation, dtype=dtype, device=device, allow_nonfinite=allow_nonfinite
    )
    check_vocabulary(folder, tokenizer, model)
    return Part(name, model, tokenizer, processor, vocabulary, template, checkpoint.digests(folder), notes)


def fitting(
    config: Emu3Config, tokenizer: PreTrainedTokenizerBase, processor: Emu3ImageProcessor, template: str | None, name: str
) -> Vocabulary:
    """The vocabulary that config.json, tokenizer and chat template agree on. Raises `UserError` where they do not, or the image
    processor not with them. Reads no tensor."""
    quantizer: Any = config.vq_config
    factor = 2 ** (len(quantizer.channel_multiplier) - 1)
    if processor.spatial_factor != factor:
        raise UserError(
            f"model '{name}': its image processor has spatial_factor {processor.spatial_factor}, its image tokenizer makes "
            f"one code of {factor} pixels each way; use the image processor it was trained with"
        )
    vocabulary = Vocabulary(tokenizer, config.vocabulary_map or {}, quantizer.codebook_size, name)
    if template is not None:
        vocabulary.question_ids("a question", [torch.zeros(1, 1, dtype=torch.long)] * 2, template)
    return vocabulary


def _try(processor: Emu3ImageProcessor) -> None:
    """There and back with a picture. Raises whatever the processor does, and `ValueError` for values that are no picture's."""
    with np.errstate(all="ignore"):  # told below, in one line
        made: Any = processor(images=Image.new("RGB", (48, 32)), return_tensors="pt")
    [values] = made["pixel_values"]
    if values.ndim != 3 or len(values) != 3 or not values.isfinite().all():
        raise ValueError(f"it makes values of shape {tuple(values.shape)}, not all of them finite or of three colours")
    back = pixels.picture(processor, values)
    if back.size != (values.shape[2], values.shape[1]):
        raise ValueError(f"it makes a picture of {back.size} of values of shape {tuple(values.shape)}")


def _template(folder: Path, tokenizer: PreTrainedTokenizerBase) -> str | None:
    """The processor's own, where transformers looks first, or the tokenizer's."""
    files = [folder / name for name in checkpoint.PARTS["chat template"] if (folder / name).is_file()]
    if not files:
        found = tokenizer.chat_template
        return found if isinstance(found, str) else None
    if files[0].suffix == ".json":
        return str(checkpoint.read_json(files[0])["chat_template"])
    return files[0].read_text(encoding="utf-8")
