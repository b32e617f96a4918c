"""How large a Janus is, without its weights."""

from __future__ import annotations

from typing import Any

import torch
from transformers import JanusConfig, JanusForConditionalGeneration

from suder_bench.models.janus import files
from suder_bench.models.protocols import Sizes
from suder_bench.models.reference import ModelReference

_LARGE = {
    "deepseek-community/Janus-Pro-1B": (2048, 24, 16, 5632),
    "deepseek-community/Janus-Pro-7B": (4096, 30, 32, 11008),
}
"""Width, layers, heads and inner width of their language models; the rest is `JanusConfig`'s default."""


def of(reference: ModelReference) -> Sizes | None:
    """Of a checkpoint that is here, or of a large one that everybody knows; None for any other."""
    config = configuration(reference)
    return None if config is None else sizes_of(config)


def configuration(reference: ModelReference) -> JanusConfig | None:
    """As `of`."""
    base = reference.checkpoints[0]
    if base in _LARGE:
        width, layers, heads, inner = _LARGE[base]
        text = {"model_type": "llama", "hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": heads}
        text |= {"num_key_value_heads": heads, "intermediate_size": inner, "vocab_size": 102400}
        quantizer = {"projection_dim": width, "image_token_embed_dim": width}
        vision = {"projection_dim": width}
        return JanusConfig(text_config=text, vision_config=vision, vq_config=quantizer, tie_word_embeddings=False)
    folder = reference.described(base)
    whole = folder is not None and (reference.stamp() is not None or not files.is_original(folder))
    return files.configuration(folder) if folder is not None and whole else None


def sizes_of(config: JanusConfig) -> Sizes:
    """Of a configuration."""
    with torch.device("meta"):
        network = JanusForConditionalGeneration(config)
    parts: Any = config  # which transformers declares optional
    text, vision, quantizer = parts.text_config, parts.vision_config, parts.vq_config
    return Sizes(
        network=network,
        width=text.hidden_size,
        inner=text.intermediate_size,
        layers=text.num_hidden_layers,
        keys=text.num_key_value_heads * (text.hidden_size // text.num_attention_heads),
        vocabulary=text.vocab_size,
        codes=quantizer.num_embeddings,
        image_tokens=vision.num_image_tokens,
        side=vision.image_size,
        channels=quantizer.base_channels,
    )
