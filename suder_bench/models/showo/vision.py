"""CLIP as the eyes of those Show-o that do not read their own codes: frozen, and projected into the language model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image
from torch import nn
from transformers import CLIPVisionModel

LAYER = -2
"""Whose hidden states are read, without that of the whole picture."""


def projector(vision: int, language: int) -> nn.Sequential:
    """From CLIP's width to the language model's; named `mm_projector` in a checkpoint."""
    return nn.Sequential(nn.Linear(vision, language), nn.GELU(), nn.Linear(language, language))


class Eyes(nn.Module):
    """CLIP's tower, its image processor, and the projector."""

    def __init__(self, tower: CLIPVisionModel, processor: Any, project: nn.Sequential):
        super().__init__()
        self.tower, self.processor, self.project = tower, processor, project

    @property
    def patches(self) -> int:
        """How many vectors a picture is read as."""
        config: Any = self.tower.config
        return int((config.image_size // config.patch_size) ** 2)

    @torch.no_grad()
    def forward(self, pictures: Sequence[Image.Image]) -> torch.Tensor:
        """What the language model reads of each picture, (pictures, patches, width)."""
        values = self.processor(images=[one.convert("RGB") for one in pictures], return_tensors="pt")["pixel_values"]
        hidden = self.tower(values.to(self.tower.device, self.tower.dtype), output_hidden_states=True).hidden_states
        made: torch.Tensor = self.project(hidden[LAYER][:, 1:].to(self.project[0].weight.dtype))
        return made
