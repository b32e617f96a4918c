"""What a connected part of a picture shows: one thing, one before another, or two side by side.

Every reading is judged by the share of the part's energy it explains; what needs two things must explain more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from suder_bench.world.render import glyph, marks
from suder_bench.world.segments import Segments, extent, grown, large, main_colors, opened, squared_distances
from suder_bench.world.templates import PRIMARY, SECONDARY, SIZES, Fit, Ground, Window, fit
from suder_bench.world.vocabulary import CELL, NOUNS, SIZE, TEXTURES

_GOOD = 0.97
"""A reading at least this good is not questioned: clean renders explain more than 0.98 of themselves."""
_FAIR = 0.9
"""A reading below is tried cut in two, and moved off the grid by a pixel or two."""
_HOPELESS = 0.3
"""A reading below is not worth moving."""
_SURPLUS = 0.03
"""What a reading as two things must explain beyond one thing; less where that left a whole patch unexplained."""
_PATCH_SURPLUS = 0.002
_WRONG = 50.0
"""RGB distance at which a pixel is not what the reading says."""


@dataclass(frozen=True)
class Reading:
    """One thing: its visible `mask` and its fit; `depth` counts what it lies in front of."""

    mask: np.ndarray
    fit: Fit
    depth: int = 0


Readings = tuple[Reading, ...]


def explain(segments: Segments, part: np.ndarray) -> Readings:
    """The things in one connected part, farthest first."""
    one: Readings = (_single(segments, part),)
    best, quality = one, one[0].fit.quality
    patched = _patched(segments, one[0])
    if patched or quality < _GOOD:
        pair = max(_by_color(segments, part), key=_pooled, default=one)
        if _pooled(pair) > quality + (_PATCH_SURPLUS if patched else _SURPLUS):
            best, quality = pair, _pooled(pair)
    if quality < _FAIR:
        pair = max(_by_cut(segments, part), key=_pooled, default=one)
        if _pooled(pair) > quality + _SURPLUS:
            best, quality = pair, _pooled(pair)
    if best is one and _HOPELESS < quality < _FAIR:
        return (_moved(segments, one[0]),)
    return best


def _patched(segments: Segments, reading: Reading) -> bool:
    """Whether the reading leaves a patch over two pixels thick unexplained, as a small thing before a big one does."""
    noun, color, texture = reading.fit.best()
    x0, y0, x1, y1 = reading.fit.window
    alpha = glyph(NOUNS[noun], x1 - x0, y1 - y0)[..., None]
    mark = marks(TEXTURES[texture], x1 - x0, y1 - y0)[..., None]
    tone = PRIMARY[color] + mark * (SECONDARY[color] - PRIMARY[color])
    rest = segments.shown[y0:y1, x0:x1] - segments.background - alpha * (tone - segments.background)
    wrong = reading.mask[y0:y1, x0:x1] & (np.einsum("ijk,ijk->ij", rest, rest) > _WRONG**2)
    return bool(wrong.any()) and int((~grown(~wrong)).sum()) >= 4


def _pooled(readings: Readings) -> float:
    return 1 - sum(float(r.fit.error.min()) for r in readings) / max(sum(r.fit.energy for r in readings), 1e-6)


def _single(segments: Segments, mask: np.ndarray) -> Reading:
    """One whole thing: everything but the mask and the background is ignored."""
    ground = _ground(segments, _weight(segments, mask))
    colors = main_colors(segments, mask)
    fits = [fit(ground, w, colors, segments.noise) for w in _windows(extent(mask))]
    if max(f.quality for f in fits) < _FAIR and (thick := opened(mask)).any():
        # Decoders draw tinted lines along the picture's edge: a thing that one hangs on is where its thick part is.
        fits += [fit(ground, w, colors, segments.noise) for w in _windows(extent(thick))]
    return Reading(mask, max(fits, key=lambda f: f.quality))


def _moved(segments: Segments, reading: Reading) -> Reading:
    """The reading where it fits best within two pixels; decoded pictures may be off the grid."""
    ground = _ground(segments, _weight(segments, reading.mask))
    here = reading.fit
    fits = [fit(ground, w, here.colors, segments.noise) for w in _shifted(here.window)]
    return Reading(reading.mask, max([here, *fits], key=lambda f: f.quality))


def _ground(segments: Segments, weight: np.ndarray) -> Ground:
    return Ground.of(segments.shown, segments.background, weight)


def _weight(segments: Segments, mask: np.ndarray) -> np.ndarray:
    counts = (grown(mask) | segments.empty) & (segments.ink < 0.1)
    return counts.astype(np.float32)


def _windows(box: Window) -> list[Window]:
    """Boxes of things that the extent of a mask may come from, on the grid where that is near."""
    x0, y0, x1, y1 = box
    misfit = {size: _misfit(box, size) for size in SIZES}
    order = sorted(misfit, key=misfit.__getitem__)
    sizes = [s for s in order if misfit[s] <= 4] or order[:2]
    return [(x, y, x + w, y + h) for w, h in sizes for x in [_start(x0, x1, w)] for y in [_start(y0, y1, h)]]


def _misfit(box: Window, size: tuple[int, int]) -> int:
    return max(abs(box[2] - box[0] - size[0]), abs(box[3] - box[1] - size[1]))


def _plausible(mask: np.ndarray) -> bool:
    """Whether a mask is big enough for a thing and near the size of one."""
    if np.count_nonzero(mask) < 20:
        return False
    box = extent(mask)
    return min(_misfit(box, size) for size in SIZES) <= 6


def _start(low: int, high: int, length: int) -> int:
    """Where a box of `length` starts that is centred on [low, high), moved to the grid if that is within 3 pixels."""
    start = (low + high - length) / 2
    snapped = round(start / CELL) * CELL
    return int(np.clip(snapped if abs(snapped - start) <= 3 else round(start), 0, SIZE - length))


def _shifted(window: Window) -> Iterator[Window]:
    x0, y0, x1, y1 = window
    for dx, dy in ((-1, 0), (1, 0), (0, -1), (0, 1), (-2, 0), (2, 0), (0, -2), (0, 2)):
        if min(x0 + dx, y0 + dy) >= 0 and max(x1 + dx, y1 + dy) <= SIZE:
            yield x0 + dx, y0 + dy, x1 + dx, y1 + dy


def _by_color(segments: Segments, part: np.ndarray) -> Iterator[Readings]:
    """Two solid things of two colours, each tried as the nearer one."""
    for a, b in combinations(main_colors(segments, part), 2):
        first, second = _colored(segments, part, a, b)
        for front, back in ((first, second), (second, first)):
            if not _plausible(front) or np.count_nonzero(back) < 20:
                continue
            near = _alone(segments, front, part & ~front)
            yield _behind(segments, back, near), near


def _colored(segments: Segments, part: np.ndarray, a: int, b: int) -> tuple[np.ndarray, np.ndarray]:
    """The pixels of two colours with their half-covered edges, which look like a third colour or the other one."""
    palette = np.stack([PRIMARY[a], PRIMARY[b], segments.background])
    nearest = squared_distances(segments.shown, palette).argmin(axis=-1)
    first, second = (part & (nearest == i) for i in range(2))
    # A piece of the other colour inside (seen through a ring) belongs to the other; its specks on edges do not.
    return (
        part & grown(large(first, 0.2)) & ~large(second, 0.02),
        part & grown(large(second, 0.2)) & ~large(first, 0.02),
    )


def _alone(segments: Segments, mask: np.ndarray, other: np.ndarray) -> Reading:
    """The mask as a whole thing, with the other thing's pixels painted over by the background."""
    shown = segments.shown.copy()
    shown[other] = segments.background
    return _single(replace(segments, shown=shown, empty=segments.empty | other), mask)


def _behind(segments: Segments, mask: np.ndarray, near: Reading) -> Reading:
    """The mask as a thing that goes on behind the nearer one; what that covers does not count."""
    ground = _ground(segments, _weight(segments, mask) * ~grown(near.mask))
    colors = main_colors(segments, mask)
    fits = [fit(ground, w, colors, segments.noise) for w in _amodal(extent(mask), near.fit.window)]
    best = max(fits or [_single(segments, mask).fit], key=lambda f: f.quality)
    return Reading(mask, best)


def _amodal(box: Window, hidden_by: Window) -> Iterator[Window]:
    """Boxes on the grid that hold the visible part and go beyond it only towards what hides the rest."""
    reach = (min(box[0], hidden_by[0]), min(box[1], hidden_by[1]), max(box[2], hidden_by[2]), max(box[3], hidden_by[3]))
    for w, h in SIZES:
        for x in range(0, SIZE - w + 1, CELL):
            for y in range(0, SIZE - h + 1, CELL):
                holds = x <= box[0] + 2 and y <= box[1] + 2 and x + w >= box[2] - 2 and y + h >= box[3] - 2
                within = x >= reach[0] - 3 and y >= reach[1] - 3 and x + w <= reach[2] + 3 and y + h <= reach[3] + 3
                if holds and within:
                    yield x, y, x + w, y + h


def _by_cut(segments: Segments, part: np.ndarray) -> Iterator[Readings]:
    """Two things side by side, cut at a line of the grid."""
    x0, y0, x1, y1 = extent(part)
    for axis, low, high in ((1, x0, x1), (0, y0, y1)):
        for line in range(low // CELL * CELL, high, CELL):
            if min(line - low, high - line) < CELL:
                continue
            before = part.copy()
            before[(slice(None), slice(line, None)) if axis else slice(line, None)] = False
            after = part & ~before
            if _plausible(before) and _plausible(after):
                yield _alone(segments, before, after), _alone(segments, after, before)
