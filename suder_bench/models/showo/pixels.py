"""Between PIL pictures and the squares that Show-o sees: the shorter side resized, the middle cut out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image

PREPROCESSING = "shorter side to {side}, bicubic, the middle {side} x {side}"


def square(picture: Image.Image, side: int) -> Image.Image:
    """The RGB square of a picture; what is long loses its ends."""
    picture = picture.convert("RGB")
    shorter = min(picture.size)
    width, height = (side if length == shorter else int(side * length / shorter) for length in picture.size)
    if picture.size != (width, height):
        picture = picture.resize((width, height), Image.Resampling.BICUBIC)
    left, top = round((width - side) / 2), round((height - side) / 2)
    return picture.crop((left, top, left + side, top + side))


def pixels(pictures: Sequence[Image.Image], side: int) -> torch.Tensor:
    """Shape (pictures, 3, side, side), float32 in [-1, 1]."""
    stacked = np.stack([np.asarray(square(picture, side)) for picture in pictures])
    return (torch.from_numpy(stacked).permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.5
