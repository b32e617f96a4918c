"""Weights for UniDet that are a function of a tensor's name and shape alone: the same in its authors' code, on any machine."""

from __future__ import annotations

import hashlib

import numpy as np
from PIL import Image

FACTORS = {
    "bottom_up.stem.conv1.weight": 0.02,
    "conv3.norm.weight": 0.1,
    "lateral3.weight": 0.3,
    "lateral4.weight": 0.3,
    "lateral5.weight": 0.3,
    "anchor_deltas.weight": 0.15,
    "cls_score.weight": 1.4,
    "conv4.weight": 5.0,
    "bbox_pred.weight": 0.25,
}
"""Blocks add little to their shortcut, so that two hundred layers pass a picture on; boxes move a little."""

SHIFTS = {"cls_score.bias": -16.0}


def values(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """float32 of the shape: uniform, scaled so that a layer keeps its input's size."""
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
    drawn = (2 * np.random.Generator(np.random.PCG64(seed)).random(shape, np.float32) - 1) * np.float32(3**0.5)
    if len(shape) > 1:
        drawn *= np.float32((2 / np.prod(shape[1:])) ** 0.5)
    elif name.endswith((".running_var", ".weight")):
        drawn = 1 + np.float32(0.2) * drawn
    else:
        drawn *= np.float32(0.1)
    for part, factor in FACTORS.items():
        drawn = drawn * np.float32(factor) if name.endswith(part) else drawn
    return drawn + np.float32(sum(shift for part, shift in SHIFTS.items() if name.endswith(part)))


def scene(width: int, height: int, seed: int) -> Image.Image:
    """Twelve plain rectangles on a plain ground."""
    generator = np.random.default_rng(seed)
    pixels = np.full((height, width, 3), generator.integers(0, 256, 3), dtype=np.uint8)
    for _ in range(12):
        x, y = generator.integers(0, width * 3 // 4), generator.integers(0, height * 3 // 4)
        wide, tall = generator.integers(width // 12, width // 3), generator.integers(height // 12, height // 3)
        pixels[y : y + tall, x : x + wide] = generator.integers(0, 256, 3)
    return Image.fromarray(pixels)
