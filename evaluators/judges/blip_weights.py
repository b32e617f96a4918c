"""BLIP's own VQA checkpoint (`model_base_vqa_capfilt_large.pth`) as transformers' network, key by key."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from suder_bench.errors import JudgeError
from suder_bench.evaluators.judges.weights import fill, read_pickled

_VISION = (
    (r"cls_token", "embeddings.class_embedding"),
    (r"pos_embed", "embeddings.position_embedding"),
    (r"patch_embed\.proj", "embeddings.patch_embedding"),
    (r"blocks\.(\d+)\.norm(\d)", r"encoder.layers.\1.layer_norm\2"),
    (r"blocks\.(\d+)\.attn\.qkv", r"encoder.layers.\1.self_attn.qkv"),
    (r"blocks\.(\d+)\.attn\.proj", r"encoder.layers.\1.self_attn.projection"),
    (r"blocks\.(\d+)\.mlp", r"encoder.layers.\1.mlp"),
    (r"norm", "post_layernorm"),
)
"""The picture tower's names in BLIP and in transformers; the two text networks are called the same."""

HEADS = 12
"""The one number that no shape tells, in all three networks."""


def read_checkpoint(file: Path) -> Any:
    """A `BlipForQuestionAnswering` in float32 with the weights of `file`.

    Raises `JudgeError` for a file that is no such checkpoint, naming the first weight that lacks or has another shape;
    further ones are passed over, as BLIP does.
    """
    from transformers import BlipForQuestionAnswering

    stored = read_pickled("vqa", file)
    official = stored.get("model") if isinstance(stored, dict) else None
    if not isinstance(official, dict) or "visual_encoder.pos_embed" not in official:
        raise JudgeError(
            f"judge vqa: {file} is not BLIP's VQA checkpoint (it holds no model with a visual_encoder); run:"
            " suder-bench judges fetch vqa"
        )
    state = {ours: tensor for name, tensor in official.items() if (ours := rename(name)) is not None}
    with torch.device("meta"):
        model = BlipForQuestionAnswering(_config(official))
    fill("vqa", file, model, state)
    for text in (model.text_encoder, model.text_decoder.bert):
        text.embeddings.position_ids = torch.arange(text.config.max_position_embeddings)[None]
    return model.eval().requires_grad_(False)


def rename(name: str) -> str | None:
    """transformers' name of BLIP's weight; None for a buffer that transformers makes itself."""
    if name.endswith(".position_ids"):
        return None
    tower, _, rest = name.partition(".")
    if tower != "visual_encoder":
        return name
    for pattern, ours in _VISION:
        found, count = re.subn(rf"^{pattern}(?=\.|$)", ours, rest)
        if count:
            return f"vision_model.{found}"
    return name


def _config(state: Mapping[str, torch.Tensor]) -> Any:
    """The sizes of the network, read from its weights."""
    from transformers import BlipConfig

    width, _, patch, _ = state["visual_encoder.patch_embed.proj.weight"].shape
    grid = round((state["visual_encoder.pos_embed"].shape[1] - 1) ** 0.5)
    words, text_width = state["text_encoder.embeddings.word_embeddings.weight"].shape
    text = {
        "vocab_size": words,
        "hidden_size": text_width,
        "encoder_hidden_size": width,
        "intermediate_size": state["text_encoder.encoder.layer.0.intermediate.dense.weight"].shape[0],
        "num_hidden_layers": _count(state, r"text_encoder\.encoder\.layer\.(\d+)\."),
        "num_attention_heads": HEADS,
        "max_position_embeddings": state["text_encoder.embeddings.position_embeddings.weight"].shape[0],
        "bos_token_id": words - 2,
    }
    vision = {
        "hidden_size": width,
        "intermediate_size": state["visual_encoder.blocks.0.mlp.fc1.weight"].shape[0],
        "num_hidden_layers": _count(state, r"visual_encoder\.blocks\.(\d+)\."),
        "num_attention_heads": HEADS,
        "image_size": grid * patch,
        "patch_size": patch,
    }
    return BlipConfig(text_config=text, vision_config=vision)


def _count(state: Mapping[str, torch.Tensor], pattern: str) -> int:
    return 1 + max(int(found[1]) for name in state if (found := re.match(pattern, name)))
