"""A picture cut into background, ink and connected parts, by colour alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from suder_bench.world.templates import NAMES, PRIMARY
from suder_bench.world.vocabulary import BACKGROUNDS, INK

_FAR = 40.0
"""RGB distance from the background at which a pixel belongs to a thing: a quarter of the least contrast of the palette."""
_BACKGROUND_REACH = 36.0
_LEAST = 12
"""Pixels of the smallest part that is looked at, and of the least ink."""
_MOST = 8
"""Parts looked at; noise has hundreds."""
_NOISIEST = 300.0
"""Most squared deviation of a pixel that passes for noise: ten levels a channel."""
_GROUNDS = np.array(BACKGROUNDS, np.float32)
_INK = np.array(INK, np.float32)


@dataclass(frozen=True)
class Segments:
    """`shown` (H, W, 3) float32, its `background` colour, `near` (H, W) index of the nearest colour of the palette,
    `empty` (H, W) bool where the background shows, `ink` (H, W) coverage of the sign of an action in [0, 1], `noise` the
    mean squared deviation of the background, and the bool masks of the connected `parts`, biggest first.
    """

    shown: np.ndarray
    background: np.ndarray
    near: np.ndarray
    empty: np.ndarray
    ink: np.ndarray
    noise: float
    parts: tuple[np.ndarray, ...]


def segment(pixels: np.ndarray) -> Segments:
    """Cut (H, W, 3) uint8 pixels of a world-sized picture."""
    shown = pixels.astype(np.float32)
    background = _background(shown)
    to_palette = squared_distances(shown, PRIMARY)
    difference = shown - background
    away = np.einsum("ijk,ijk->ij", difference, difference)
    to_ink = squared_distances(shown, _INK[None])[..., 0]
    inked = (to_ink < 80**2) & (to_ink < to_palette.min(axis=-1)) & (to_ink < away)
    things = away > _FAR**2
    quiet = away[away < (_FAR / 2) ** 2]
    noise = min(float(quiet.mean()), _NOISIEST) if quiet.size else 0.0
    coverage = np.zeros(things.shape, np.float32)
    if inked.sum() >= _LEAST:
        coverage = _mixed(difference, _INK - background)
        things &= coverage < 0.2
    # Half-covered edges of black on white pass for background: close gaps of up to two pixels.
    things = _closed(things) & (coverage < 0.2)
    return Segments(shown, background, to_palette.argmin(axis=-1), away <= _FAR**2, coverage, noise, _parts(things))


def squared_distances(shown: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """(H, W, colours) from every pixel to every colour of a palette."""
    square = np.einsum("ijk,ijk->ij", shown, shown)
    return square[..., None] - 2 * shown @ palette.T + (palette**2).sum(axis=1)


def _background(shown: np.ndarray) -> np.ndarray:
    """The mean of the pixels near the commonest of the world's backgrounds, or near the border's median, which decoders tint."""
    border = np.concatenate([shown[0], shown[-1], shown[:, 0], shown[:, -1]])
    grounds = np.vstack([_GROUNDS, np.median(border, axis=0)])
    near = squared_distances(shown, grounds) < _BACKGROUND_REACH**2
    best = int(near.sum(axis=(0, 1)).argmax())
    return shown[near[..., best]].mean(axis=0) if near[..., best].any() else grounds[-1]


def _mixed(difference: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """Coverage of a tone in each pixel, 0 where the pixel is no mixture of the background and that tone."""
    length = float(direction @ direction)
    amount = difference @ direction / length
    rest = difference - amount[..., None] * direction
    return np.where(np.einsum("ijk,ijk->ij", rest, rest) < 45**2, np.clip(amount, 0, 1), 0).astype(np.float32)


def grown(mask: np.ndarray) -> np.ndarray:
    """The mask and its eight-neighbours."""
    wide = mask.copy()
    wide[:, 1:] |= mask[:, :-1]
    wide[:, :-1] |= mask[:, 1:]
    tall = wide.copy()
    tall[1:] |= wide[:-1]
    tall[:-1] |= wide[1:]
    return tall


def opened(mask: np.ndarray) -> np.ndarray:
    """The mask without what is thinner than three pixels; beyond the picture's edge is nothing."""
    thick = ~grown(~mask)
    thick[[0, -1]] = thick[:, [0, -1]] = False
    return grown(thick)


def _closed(mask: np.ndarray) -> np.ndarray:
    return ~grown(~grown(mask))


def _parts(mask: np.ndarray) -> tuple[np.ndarray, ...]:
    labels, count = ndimage.label(mask)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    sizes[0] = 0
    biggest = np.argsort(-sizes, kind="stable")[:_MOST]
    return tuple(labels == i for i in biggest if sizes[i] >= _LEAST)


def large(mask: np.ndarray, share: float) -> np.ndarray:
    """The connected pieces of a mask that have at least that share of the biggest one's pixels."""
    labels, count = ndimage.label(mask)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    sizes[0] = 0
    return (sizes >= max(1, sizes.max() * share))[labels]


def extent(mask: np.ndarray) -> tuple[int, int, int, int]:
    """The tight box of a mask that has pixels."""
    columns, rows = np.asarray(mask.any(axis=0)), np.asarray(mask.any(axis=1))
    height, width = mask.shape
    return int(columns.argmax()), int(rows.argmax()), width - int(columns[::-1].argmax()), height - int(rows[::-1].argmax())


def main_colors(segments: Segments, mask: np.ndarray, most: int = 3) -> tuple[int, ...]:
    """Indices of the palette colours with a share in the mask, commonest first."""
    counts = np.bincount(segments.near[mask], minlength=len(NAMES))
    order = np.argsort(-counts, kind="stable")[:most]
    return tuple(int(i) for i in order if counts[i] > 0.03 * counts.sum())
