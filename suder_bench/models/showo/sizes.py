"""What the config.json of a Show-o says, and what the published ones leave to their code. Imports no torch.

A published config.json gives `num_vq_tokens`, `vocab_size`, `llm_vocab_size`, `codebook_size` and `w_clip_vit`; every width is
that of Phi-1.5 and of showlab/magvitv2. A smaller one says its own (`ShowoSizes.described` writes it): `"model_type": "showo"`,
the arguments of transformers' `PhiConfig` under `phi`, those of `MagvitSizes` under `magvit`, and `text_length`, the longest
prompt in tokens. The folder of such a checkpoint holds

- config.json, and generation_config.json with `guidance_scale`, where it has one of its own;
- the language model's weights as pytorch_model.safetensors (or .bin, or shards), named `showo.model...` and `showo.lm_head...`;
- the image tokenizer's as `magvitv2/pytorch_model.safetensors`;
- tokenizer.json and tokenizer_config.json of the text tokenizer, with or without the ten tokens that Show-o adds to it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from suder_bench.errors import UserError, unknown
from suder_bench.models import checkpoint

KIND = "showo"
"""Our own model_type of config.json, and the name of the adapter."""

CLASS_NAME = "Showo"
"""What the authors' code writes as `_class_name`."""

SPECIAL = ("<|soi|>", "<|eoi|>", "<|sov|>", "<|eov|>", "<|t2i|>", "<|mmu|>", "<|t2v|>", "<|v2v|>", "<|lvg|>")
PAD = "[PAD]"
ADDED = 1 + len(SPECIAL)
"""Tokens behind the text vocabulary: padding, then the special ones, in this order."""

TEXT_LENGTH = 128
"""The longest prompt, with its three special tokens but for the first, as all published checkpoints have it."""

PHI = {"qk_layernorm": True, "tie_word_embeddings": False, "attn_implementation": "sdpa"}
"""Where all Show-o differ from Phi-1.5, whatever a configuration says: eager attention would add our bool masks to its scores."""

_PUBLISHED = ("vocab_size", "llm_vocab_size", "num_vq_tokens", "codebook_size")


@dataclass(frozen=True)
class MagvitSizes:
    """Of the image tokenizer: channels and residual blocks of each level, from the full size down, `bits` of a code, and
    `groups` of channels that are normed together. Every level but the first has half the side of the one before."""

    encoder_channels: tuple[int, ...] = (128, 256, 256, 512, 512)
    encoder_blocks: tuple[int, ...] = (4, 3, 4, 3, 4)
    decoder_channels: tuple[int, ...] = (128, 128, 256, 256, 512)
    decoder_blocks: tuple[int, ...] = (4, 4, 3, 4, 3)
    bits: int = 13
    groups: int = 32

    def __post_init__(self) -> None:
        """Raises `ValueError` for what makes no network."""
        lists = (self.encoder_channels, self.encoder_blocks, self.decoder_channels, self.decoder_blocks)
        if len({len(one) for one in lists}) != 1 or not all(number > 0 for one in lists for number in one):
            raise ValueError("channels and blocks of encoder and decoder must be as many, and above 0")
        if not 0 < self.bits < 32 or self.groups < 1:
            raise ValueError(f"bits {self.bits} and groups {self.groups} must be above 0, and bits below 32")
        uneven = [width for width in (*self.encoder_channels, *self.decoder_channels) if width % self.groups]
        if uneven:
            raise ValueError(f"{uneven[0]} channels are not so many groups of as many: {self.groups}")

    @property
    def factor(self) -> int:
        """Pixels of a code each way."""
        return int(2 ** (len(self.encoder_channels) - 1))

    @property
    def codes(self) -> int:
        return int(2**self.bits)


@dataclass(frozen=True)
class ShowoSizes:
    """Of a whole Show-o. `text_vocabulary` are the ids of the text tokenizer; ten tokens, the codes and the mask token follow."""

    text_vocabulary: int = 50295
    image_tokens: int = 256
    text_length: int = TEXT_LENGTH
    phi: Mapping[str, Any] = field(default_factory=dict)
    magvit: MagvitSizes = field(default_factory=MagvitSizes)
    clip: bool = False

    @property
    def first_code(self) -> int:
        """The id of code 0."""
        return self.text_vocabulary + ADDED

    @property
    def mask(self) -> int:
        """The id of a code that is not drawn yet, the last of all."""
        return self.first_code + self.magvit.codes

    @property
    def vocabulary(self) -> int:
        return self.mask + 1

    @property
    def prefix(self) -> int:
        """Tokens before begin-of-image when a picture is drawn, padding among them."""
        return self.text_length + 1

    @property
    def side(self) -> int:
        """Pixels of a picture each way."""
        return math.isqrt(self.image_tokens) * self.magvit.factor

    def phi_config(self) -> Any:
        """transformers' `PhiConfig` of the language model."""
        from transformers import PhiConfig

        return PhiConfig(**{**self.phi, **PHI, "vocab_size": self.vocabulary})

    def described(self) -> dict[str, Any]:
        """As config.json says it, in the published keys and in those of a smaller one."""
        return {
            "_class_name": CLASS_NAME,
            "model_type": KIND,
            "w_clip_vit": self.clip,
            "vocab_size": self.vocabulary,
            "llm_vocab_size": self.text_vocabulary,
            "codebook_size": self.magvit.codes,
            "num_vq_tokens": self.image_tokens,
            "mask_token_id": self.mask,
            "text_length": self.text_length,
            "phi": dict(self.phi),
            "magvit": {one.name: getattr(self.magvit, one.name) for one in fields(self.magvit)},
        }


def is_showo(config: Mapping[str, Any]) -> bool:
    """Whether a config.json is that of a Show-o: our own, or one of the authors', which has no model_type."""
    if config.get("model_type") is not None:
        return bool(config["model_type"] == KIND)
    return config.get("_class_name") == CLASS_NAME or ("w_clip_vit" in config and set(_PUBLISHED) <= config.keys())


def read(folder: Path) -> ShowoSizes:
    """What the config.json of a folder says. Raises `UserError` where it is no Show-o's, or contradicts itself."""
    file = folder / checkpoint.CONFIG
    config = checkpoint.read_json(file)
    if not is_showo(config):
        raise UserError(f"model '{folder}' has model_type {config.get('model_type')!r}; give a Show-o, as showlab/show-o")
    numbers: dict[str, Any] = {name: config.get(name) for name in _PUBLISHED}
    numbers["text_length"] = config.get("text_length", TEXT_LENGTH)
    for name, value in numbers.items():
        if type(value) is not int or value < 1:
            raise UserError(f"{file}: {name} is {json.dumps(value)}, not a whole number from 1 on")
    phi, magvit = config.get("phi", {}), config.get("magvit", {})
    if not isinstance(phi, dict) or not isinstance(magvit, dict):
        raise UserError(f"{file}: phi and magvit are not objects of sizes")
    known = {one.name for one in fields(MagvitSizes)}
    if set(magvit) - known:
        raise unknown(f"size of magvit in {file}", sorted(set(magvit) - known)[0], sorted(known))
    try:
        given: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in magvit.items()}
        made = MagvitSizes(**given)
    except (TypeError, ValueError) as error:
        raise UserError(f"{file}: magvit makes no image tokenizer: {error}") from None
    sizes = ShowoSizes(
        numbers["llm_vocab_size"], numbers["num_vq_tokens"], numbers["text_length"], phi, made, config.get("w_clip_vit") is True
    )
    _check(file, sizes, numbers)
    return sizes


def _check(file: Path, sizes: ShowoSizes, numbers: Mapping[str, int]) -> None:
    if math.isqrt(sizes.image_tokens) ** 2 != sizes.image_tokens:
        raise UserError(f"{file}: num_vq_tokens {sizes.image_tokens} is no square number; pictures are square")
    told = {"codebook_size": sizes.magvit.codes, "vocab_size": sizes.vocabulary}
    for name, wanted in told.items():
        if numbers[name] != wanted:
            raise UserError(
                f"{file}: {name} is {numbers[name]:,}, but text, {ADDED} special tokens, {sizes.magvit.codes:,} codes "
                f"and a mask token make it {wanted:,}; give it the config.json that it was saved with"
            )
