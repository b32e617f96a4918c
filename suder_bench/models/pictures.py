"""Pixels of a model as a picture."""

from __future__ import annotations

import torch
from PIL import Image

POSTPROCESSING = "(x + 1) / 2 * 255, clipped and truncated to 8 bits"


def picture(pixels: torch.Tensor) -> Image.Image:
    """The PIL picture of pixels (3, height, width) in [-1, 1]; truncated to 8 bits, not rounded, as the scripts of Janus' and of
    Show-o's authors do."""
    scaled = ((pixels.float() + 1) / 2 * 255).clamp(0, 255).to(torch.uint8)
    return Image.fromarray(scaled.permute(1, 2, 0).cpu().numpy())
