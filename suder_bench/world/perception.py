"""Things and actions recovered from the pixels of a picture, with how sure each is; nothing here knows the scene."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image
from scipy.special import expit

from suder_bench.world.connectors import Connector, connect
from suder_bench.world.explain import Reading, explain
from suder_bench.world.segments import Segments, extent, segment
from suder_bench.world.templates import NAMES, Fit
from suder_bench.world.vocabulary import CELL, FORMS, NOUNS, SIZE, TEXTURES

_TEMPERATURE, _WARMER = 0.005, 0.15
"""Difference in explained energy that makes one reading e times likelier than another: of a perfect thing, and what is added
for one that nothing explains. Near the likeliest for 3,348 things of a small tokenizer's pictures, a little below it: see
docs/world.md, as for the next two."""
_SURE, _SURE_TEXTURED, _SLOPE = 0.8, 0.74, 0.025
"""Explained share at which a thing is as likely there as not, where decoders blur marks too, and the steepness around it: from
0.855 and 0.795 on it is surer than 0.9."""

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Seen:
    """One thing. `box` is the whole thing's (also where it is hidden), `visible` the tight box of `mask`, both
    (x0, y0, x1, y1) in pixels of the picture given, x1 and y1 exclusive. `mask` is (H, W) bool. `nouns`, `colors`, `textures`
    and `forms` are probabilities given that there is a thing; `confidence` in [0, 1] is that of the thing itself.
    `depth` is larger for what lies nearer."""

    box: Box
    visible: Box
    mask: np.ndarray
    nouns: Mapping[str, float]
    colors: Mapping[str, float]
    textures: Mapping[str, float]
    forms: Mapping[str, float]
    depth: int
    confidence: float

    @property
    def noun(self) -> str:
        return max(self.nouns, key=self.nouns.__getitem__)

    @property
    def color(self) -> str:
        return max(self.colors, key=self.colors.__getitem__)

    @property
    def texture(self) -> str:
        return max(self.textures, key=self.textures.__getitem__)

    @property
    def form(self) -> str:
        return max(self.forms, key=self.forms.__getitem__)


@dataclass(frozen=True)
class Percept:
    """Things, farthest first, the actions between them by their indices, and the picture's (width, height)."""

    objects: tuple[Seen, ...]
    connectors: tuple[Connector, ...]
    size: tuple[int, int] = (SIZE, SIZE)


def perceive(pixels: np.ndarray) -> Percept:
    """Read (H, W, 3) uint8 RGB pixels. A picture that is not 64 by 64 is reduced to that first and reported in its own pixels."""
    height, width = pixels.shape[:2]
    return enlarged(perceive_reduced(reduced(pixels)), width, height)


def reduced(pixels: np.ndarray) -> np.ndarray:
    """Any picture at the world's size, each pixel the mean of those it stands for."""
    if pixels.shape[:2] == (SIZE, SIZE):
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((SIZE, SIZE), Image.Resampling.BOX))


def perceive_reduced(pixels: np.ndarray) -> Percept:
    """Read (64, 64, 3) uint8 RGB pixels."""
    segments = segment(pixels)
    found = sorted(_found(segments), key=lambda r: r.depth)
    objects = tuple(_seen(r) for r in found)
    return Percept(objects, connect([o.box for o in objects], [o.confidence for o in objects], segments.ink))


def enlarged(percept: Percept, width: int, height: int) -> Percept:
    """The same percept in the pixels of a picture of another size."""
    if percept.size == (width, height):
        return percept
    objects = tuple(_scaled(o, percept.size, width, height) for o in percept.objects)
    return replace(percept, objects=objects, size=(width, height))


def _found(segments: Segments) -> list[Reading]:
    found: list[Reading] = []
    for part in segments.parts:
        readings = explain(segments, part)
        found += [replace(r, depth=i) for i, r in enumerate(readings)]
    # Things whose boxes overlap though their pixels do not meet: the world draws what lies behind bigger.
    for i, reading in enumerate(found):
        behind = [o for o in found if o is not reading and _area(o) > _area(reading) and _overlap(o, reading)]
        found[i] = replace(reading, depth=max([reading.depth, *(o.depth + 1 for o in behind)]))
    return found


def _area(reading: Reading) -> int:
    x0, y0, x1, y1 = reading.fit.window
    return (x1 - x0) * (y1 - y0)


def _overlap(one: Reading, other: Reading) -> bool:
    a, b = one.fit.window, other.fit.window
    return a[0] < b[2] - 2 and b[0] < a[2] - 2 and a[1] < b[3] - 2 and b[1] < a[3] - 2


def _seen(reading: Reading) -> Seen:
    fit = reading.fit
    # Soft posteriors: each is the sum over the others of exp(explained share / temperature).
    temperature = _TEMPERATURE + _WARMER * (1 - fit.quality)
    share = np.exp((fit.error.min() - fit.error) / max(fit.energy, 1e-6) / temperature)
    share /= share.sum()
    colors = dict.fromkeys(NAMES, 0.0) | {NAMES[c]: float(p) for c, p in zip(fit.colors, share.sum(axis=(0, 2)), strict=True)}
    x0, y0, x1, y1 = fit.window
    return Seen(
        box=(float(x0), float(y0), float(x1), float(y1)),
        visible=_floats(extent(reading.mask)),
        mask=reading.mask,
        nouns=dict(zip(NOUNS, share.sum(axis=(1, 2)).tolist(), strict=True)),
        colors=colors,
        textures=dict(zip(TEXTURES, share.sum(axis=(0, 1)).tolist(), strict=True)),
        forms=_forms(x1 - x0, y1 - y0),
        depth=reading.depth,
        confidence=_confidence(fit),
    )


def _confidence(fit: Fit) -> float:
    *_, texture = fit.best()
    sure = _SURE if TEXTURES[texture] == "solid" else _SURE_TEXTURED
    return float(expit((fit.quality - sure) / _SLOPE))


def _forms(width: int, height: int) -> dict[str, float]:
    away = [np.hypot(np.log(width / w / CELL), np.log(height / h / CELL)) for w, h in FORMS.values()]
    weight = np.exp(-np.square(np.asarray(away) / 0.12) / 2)
    weight += 1e-12
    return dict(zip(FORMS, (weight / weight.sum()).tolist(), strict=True))


def _floats(box: tuple[int, int, int, int]) -> Box:
    return float(box[0]), float(box[1]), float(box[2]), float(box[3])


def _scaled(seen: Seen, size: tuple[int, int], width: int, height: int) -> Seen:
    sx, sy = width / size[0], height / size[1]
    rows = np.arange(height) * size[1] // height
    columns = np.arange(width) * size[0] // width
    (x0, y0, x1, y1), (u0, v0, u1, v1) = seen.box, seen.visible
    return replace(
        seen,
        box=(x0 * sx, y0 * sy, x1 * sx, y1 * sy),
        visible=(u0 * sx, v0 * sy, u1 * sx, v1 * sy),
        mask=seen.mask[rows[:, None], columns],
    )
