"""Anti-aliased pictures of scenes."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from PIL import Image

from suder_bench.world.scenes import Scene, Thing
from suder_bench.world.vocabulary import BACKGROUNDS, CELL, COLORS, INK, SIZE, secondary

_FINE = 8  # samples a pixel and axis


def render(scene: Scene) -> np.ndarray:
    """The scene as (SIZE, SIZE, 3) uint8 RGB."""
    canvas = np.empty((SIZE, SIZE, 3), np.float32)
    canvas[:] = BACKGROUNDS[scene.background]
    for thing in scene.things:
        _paint(canvas, thing)
    if scene.relation is not None and scene.relation.kind in ("holds", "points at"):
        described = scene.described()
        _connect(canvas, scene.relation.kind, described[scene.relation.first], described[scene.relation.second])
    return np.rint(canvas).astype(np.uint8)


def picture(scene: Scene) -> Image.Image:
    return Image.fromarray(render(scene))


def _paint(canvas: np.ndarray, thing: Thing) -> None:
    x0, y0, x1, y1 = thing.box
    alpha = glyph(thing.noun, x1 - x0, y1 - y0)[..., None]
    mark = marks(thing.texture, x1 - x0, y1 - y0)[..., None]
    tone = (1 - mark) * np.array(COLORS[thing.color], np.float32) + mark * np.array(secondary(thing.color), np.float32)
    canvas[y0:y1, x0:x1] = (1 - alpha) * canvas[y0:y1, x0:x1] + alpha * tone


def _connect(canvas: np.ndarray, kind: str, actor: Thing, patient: Thing) -> None:
    """In the gap between the boxes: two arms that end in a clamp for 'holds', an arrow to the patient for 'points at'."""
    a, b = actor.box, patient.box
    x0, x1 = (a[2], b[0]) if a[2] <= b[0] else (b[2], a[0])
    middle = (max(a[1], b[1]) + min(a[3], b[3])) // 2
    alpha = arms(kind, x1 - x0, rightward=a[2] <= b[0])[..., None]
    rows = slice(middle - CELL, middle + CELL)
    canvas[rows, x0:x1] = (1 - alpha) * canvas[rows, x0:x1] + alpha * np.array(INK, np.float32)


@lru_cache(maxsize=512)
def glyph(noun: str, width: int, height: int) -> np.ndarray:
    """Coverage (height, width) of a noun's outline that fills its box, in [0, 1]."""
    x, y = np.meshgrid(_centres(width), _centres(height))
    return _coarse(GLYPHS[noun](x, y), height, width)


@lru_cache(maxsize=64)
def marks(texture: str, width: int, height: int) -> np.ndarray:
    """Coverage (height, width) of a texture's marks, whose pattern starts at the top left corner of the box."""
    x, y = np.meshgrid((np.arange(width * _FINE) + 0.5) / _FINE % CELL, (np.arange(height * _FINE) + 0.5) / _FINE % CELL)
    return _coarse(_TEXTURE[texture](x, y), height, width)


@lru_cache(maxsize=8)
def arms(kind: str, width: int, *, rightward: bool) -> np.ndarray:
    """Coverage (2 * CELL, width) of the sign of an action in the gap between two things."""
    x, y = np.meshgrid((np.arange(width * _FINE) + 0.5) / _FINE, (np.arange(2 * CELL * _FINE) + 0.5) / _FINE - CELL)
    if kind == "holds":
        inside = (np.abs(np.abs(y) - 4) < 1.5) | ((np.abs(y) < 5.5) & (width - x < 3))
    else:
        tip = width - x
        inside = (np.abs(y) < 1.5) | ((tip < 8) & (np.abs(y) < tip * 0.75))
    drawn = _coarse(inside, 2 * CELL, width)
    return drawn if rightward else drawn[:, ::-1]


def _centres(pixels: int) -> np.ndarray:
    return (np.arange(pixels * _FINE) + 0.5) / (pixels * _FINE) * 2 - 1


def _coarse(inside: np.ndarray, height: int, width: int) -> np.ndarray:
    return inside.reshape(height, _FINE, width, _FINE).mean(axis=(1, 3), dtype=np.float32)


Outline = Callable[[np.ndarray, np.ndarray], np.ndarray]


def _star(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    # A five-pointed star stretched to fill its box: its lowest points lie at cos 36, its widest at sin 72 degrees.
    y = (y + 1) / 2 * (1 + np.cos(np.pi / 5)) - 1
    x = x * np.sin(2 * np.pi / 5)
    sector = 2 * np.pi / 5
    angle = np.abs((np.arctan2(x, -y) + sector / 2) % sector - sector / 2)
    # The edge runs from a tip (radius 1, angle 0) to a notch (radius 0.45, half a sector on).
    nx, ny = 0.45 * np.cos(sector / 2), 0.45 * np.sin(sector / 2)
    edge = ny / (np.sin(angle) * (1 - nx) + np.cos(angle) * ny)
    return np.hypot(x, y) < edge


def _heart(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    lobe = np.hypot(np.abs(x) - 0.5, (y + 0.45) / 1.1) < 0.5
    body = (np.abs(x) < (1 - y) / 1.35) & (y > -0.45) & (np.abs(x) < 1)
    return lobe | body


def _moon(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    x = (x + 1) * 0.75 - 1
    return (np.hypot(x, y) < 1) & (np.hypot(x - 0.62, y) > 0.82)


GLYPHS: dict[str, Outline] = {
    "ball": lambda x, y: np.hypot(x, y) < 1,
    "box": lambda x, y: np.ones_like(x, bool),
    "star": _star,
    "heart": _heart,
    "moon": _moon,
    "ring": lambda x, y: (np.hypot(x, y) < 1) & (np.hypot(x, y) > 0.52),
    "cross": lambda x, y: (np.abs(x) < 0.34) | (np.abs(y) < 0.34),
    "kite": lambda x, y: np.abs(x) + np.abs(y) < 1,
    "tent": lambda x, y: np.abs(x) < (y + 1) / 2,
    "bowl": lambda x, y: np.hypot(x, (y + 1) / 2) < 1,
    "hourglass": lambda x, y: np.abs(x) < np.maximum(np.abs(y), 0.18),
    "mushroom": lambda x, y: (np.hypot(x, (y - 0.15) / 1.15) < 1) & (y < 0.15) | (np.abs(x) < 0.32) & (y >= 0),
}

_TEXTURE: dict[str, Outline] = {
    "solid": lambda x, y: np.zeros_like(x, bool),
    "striped": lambda x, y: (y > 2.5) & (y < 5.5),
    "dotted": lambda x, y: np.hypot(x - 4, y - 4) < 2.1,
    "checkered": lambda x, y: (np.abs(x - 2) < 1.5) & (np.abs(y - 2) < 1.5) | (np.abs(x - 6) < 1.5) & (np.abs(y - 6) < 1.5),
}
