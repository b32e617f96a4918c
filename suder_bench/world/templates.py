"""How well each outline, texture and colour explains a window of a picture: one least-squares table for all of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import ndimage

from suder_bench.world.render import glyph, marks
from suder_bench.world.vocabulary import CELL, COLORS, FORMS, NOUNS, TEXTURES, secondary

Window = tuple[int, int, int, int]
"""(x0, y0, x1, y1) in pixels of a world picture, x1 and y1 exclusive."""

NAMES = tuple(COLORS)
PRIMARY = np.array([COLORS[c] for c in NAMES], np.float32)
SECONDARY = np.array([secondary(c) for c in NAMES], np.float32)
_BLUR = 0.7
"""Standard deviation in pixels of the softer of the two edges that are tried."""
SIZES = tuple((w * CELL, h * CELL) for w, h in (*FORMS.values(), (6, 6)))
"""Sizes of things: those of the forms, and what holds another thing inside."""


@dataclass(frozen=True)
class Fit:
    """A window with the energy that every reading of it leaves unexplained.

    `error` is (nouns, colours, textures) for the colour indices `colors`; `energy` is what an empty window leaves.
    """

    window: Window
    colors: tuple[int, ...]
    error: np.ndarray
    energy: float

    @property
    def quality(self) -> float:
        """Explained share of the energy by the best reading: 1 is perfect, 0 no better than nothing there."""
        return 1 - float(self.error.min()) / max(self.energy, 1e-6)

    def best(self) -> tuple[int, int, int]:
        """Indices of the best noun, colour (into `NAMES`) and texture."""
        noun, color, texture = np.unravel_index(int(self.error.argmin()), self.error.shape)
        return int(noun), self.colors[int(color)], int(texture)


@dataclass(frozen=True)
class Ground:
    """What windows of one picture share: (H, W, 3) float32 `shown` less its background, how much each pixel counts in `weight`
    (H, W), their sum `count`, and the `energy` that an empty picture leaves."""

    difference: np.ndarray
    background: np.ndarray
    weight: np.ndarray
    count: float
    energy: float

    @staticmethod
    def of(shown: np.ndarray, background: np.ndarray, weight: np.ndarray) -> Ground:
        difference = shown - background
        energy = float((weight * np.einsum("ijk,ijk->ij", difference, difference)).sum())
        return Ground(difference, background, weight, float(weight.sum()), energy)


def fit(on: Ground, window: Window, colors: tuple[int, ...], noise: float = 0.0) -> Fit:
    """Try every noun, texture and the given colours in a window.

    Pixels outside the window count too: a thing drawn in the window leaves them background. `noise` is the squared error a
    pixel has anyway; it is no reading's fault. Every outline and texture is tried with sharp and with soft edges. For a noun's
    coverage a and a tone t over background b, a pixel p leaves
    |p - b - a (t - b)|^2 = |p - b|^2 - 2 a (p - b).(t - b) + a^2 |t - b|^2, so all nouns are two matrix products.
    """
    x0, y0, x1, y1 = window
    inside = on.difference[y0:y1, x0:x1].reshape(-1, 3)
    w = on.weight[y0:y1, x0:x1].reshape(-1, 1)
    mark, mark_squared = _marks(x1 - x0, y1 - y0)
    ground, figure = PRIMARY[list(colors)] - on.background, SECONDARY[list(colors)] - PRIMARY[list(colors)]
    dot = (inside @ figure.T)[:, :, None] * mark[:, None, :]
    dot += (inside @ ground.T)[:, :, None]
    square = 2 * (ground * figure).sum(1)[None, :, None] * mark[:, None, :]
    square += (ground**2).sum(1)[None, :, None]
    square += (figure**2).sum(1)[None, :, None] * mark_squared[:, None, :]
    shape = (len(w), -1)
    coverage, coverage_squared = _outlines(x1 - x0, y1 - y0)
    gain = 2 * coverage @ (w * dot.reshape(shape)) - coverage_squared @ (w * square.reshape(shape))
    error = (on.energy - gain).reshape(2, len(NOUNS), len(colors), 2, len(TEXTURES)).min(axis=(0, 3))
    return Fit(window, colors, np.maximum(error - noise * on.count, 0), on.energy)


@lru_cache(maxsize=64)
def _outlines(width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    sharp = np.stack([glyph(noun, width, height) for noun in NOUNS])
    both = np.concatenate([sharp, _blurred(sharp, "constant")]).reshape(2 * len(NOUNS), -1)
    return both, both**2


@lru_cache(maxsize=64)
def _marks(width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """The marks, (pixels, textures), sharp and soft, and their squares."""
    sharp = np.stack([marks(texture, width, height) for texture in TEXTURES])
    mark = np.concatenate([sharp, _blurred(sharp, "wrap")]).reshape(2 * len(TEXTURES), -1).T
    return mark, mark**2


def _blurred(stack: np.ndarray, mode: str) -> np.ndarray:
    """Each image as a decoder with soft edges gives it."""
    return ndimage.gaussian_filter(stack, (0, _BLUR, _BLUR), mode=mode)
