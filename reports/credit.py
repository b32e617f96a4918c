"""Where a reward credits a picture: a map over it, green where its regions are good, orange where they are bad."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageColor

from suder_bench.rewards.regions import Regions, credit
from suder_bench.training.sheets import BEST, WORST

FINE = 96
"""Cells along a side of the map: finer than any model's codes, so that boxes keep their edges."""

STRONG = 0.85
"""How much of a picture the colour of a credit of 1 hides."""


def overlay(picture: Image.Image, regions: Regions) -> Image.Image:
    """The picture in grey under its signed map (`suder_bench.rewards.regions.credit`), whatever map a training uses; in grey
    alone without regions, which are in the picture's own pixels."""
    grey = picture.convert("L").convert("RGB")
    q = credit(regions or (), picture.size, (FINE, FINE), "signed").reshape(FINE, FINE)
    strength = Image.fromarray((255 * STRONG * np.abs(q)).round().clip(0, 255).astype(np.uint8))
    good, bad = (ImageColor.getrgb(color) for color in (BEST, WORST))
    colors = Image.fromarray(np.where(q[..., None] > 0, good, bad).astype(np.uint8))
    mask = strength.resize(picture.size, Image.Resampling.NEAREST)
    return Image.composite(colors.resize(picture.size, Image.Resampling.NEAREST), grey, mask)
