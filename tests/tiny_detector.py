"""GenEval's detector in small: Mask2Former with few channels and random weights, saved as mmdet saves it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from transformers import Mask2FormerConfig, SwinConfig

from suder_bench.evaluators.judges.mmdet_weights import Row, relative_places, table

WIDTH, EMBED = 32, 16
FACTORS = {
    "attentions.0.attn.in_proj_weight": 2.0,
    "attentions.0.attn.out": 0.6,
    "attentions.1.attn.out": 0.1,
    "cls_embed.weight": 6.0,
    "mask_embed.4.weight": 4.0,
}
SHIFTS = {"panoptic_head.pixel_decoder.mask_feature.bias": 1.0, "panoptic_head.mask_embed.4.bias": -2.0}
"""Their product lies under every mask's logits, so that a mask holds only the part of a picture that stands out."""


def config(layers: int = 1) -> Mask2FormerConfig:
    """The architecture and the 80 classes of GenEval's, with the least that its parts allow."""
    stages = [f"stage{stage}" for stage in range(1, 5)]
    swin = SwinConfig(embed_dim=EMBED, depths=[2, 1, 2, 1], num_heads=[1, 2, 4, 8], window_size=7, out_features=stages)
    return Mask2FormerConfig(
        backbone_config=swin,
        feature_size=WIDTH,
        mask_feature_size=WIDTH,
        hidden_dim=WIDTH,
        encoder_feedforward_dim=48,
        encoder_layers=layers,
        decoder_layers=3 * layers + 1,
        dim_feedforward=40,
        num_queries=20,
        num_labels=80,
    )


def tensors(network: Mask2FormerConfig, seed: int = 0) -> dict[str, torch.Tensor]:
    """Random weights under mmdet's names, the same on every machine, large enough to tell pictures apart."""
    return {row.name: _random(row, np.random.default_rng([seed, place])) for place, row in enumerate(table(network))}


def save(folder: Path, network: Mask2FormerConfig | None = None, *, seed: int = 0) -> Path:
    """A folder with a checkpoint of mmdet's and the configuration of its network, the tiny one unless another is given."""
    network = network or config()
    network.save_pretrained(folder)
    notes = {"mmdet_version": "2.28.2", "CLASSES": ("person", "bicycle"), "best_score": np.float64(0.5)}
    torch.save({"meta": notes, "state_dict": tensors(network, seed)}, folder / "tiny.pth")
    return folder


def scene(width: int, height: int, seed: int) -> Image.Image:
    """Up to three plain rectangles on a plain ground; no filter of Pillow's has a part in it."""
    generator = np.random.default_rng(seed)
    pixels = np.full((height, width, 3), generator.integers(0, 256, 3), dtype=np.uint8)
    for _ in range(generator.integers(1, 4)):
        x, y = generator.integers(0, width * 2 // 3), generator.integers(0, height * 2 // 3)
        wide, tall = generator.integers(width // 6, width // 3), generator.integers(height // 6, height // 3)
        pixels[y : y + tall, x : x + wide] = generator.integers(0, 256, 3)
    return Image.fromarray(pixels)


def _random(row: Row, generator: np.random.Generator) -> torch.Tensor:
    """Layers keep most of what they are given, or all queries would become one; classes and masks are told apart sharply."""
    if not row.others:
        return relative_places(7)
    values = generator.standard_normal(row.shape)
    if len(row.shape) == 1:
        middle = 1.0 if row.name.endswith(("norm.weight", "gn.weight")) or (".norm" in row.name and "weight" in row.name) else 0.0
        values = middle + 0.2 * values
    elif ".query_" not in row.name and ".level_" not in row.name:
        values *= 1.2 / np.sqrt(np.prod(row.shape[1:]))
    values += SHIFTS.get(row.name, 0.0) * (WIDTH / row.shape[0]) ** 0.4
    for part, factor in FACTORS.items():
        values = values * factor if part in row.name else values
    if "transformer_decoder" in row.name and ".ffns." in row.name:
        values = 0.5 * values
    return torch.from_numpy(values).float()
