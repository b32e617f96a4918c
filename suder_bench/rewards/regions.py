"""Boxes on a picture and what they say of its codes: SRUM's map (arXiv 2510.12784, method notes, sections 4 and 8) on any grid.

A credit is a number in [-1, 1] for each code, in raster order: what the regions that cover it are worth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Literal

import numpy as np

Box = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels of a picture; the last two lie outside."""

Size = tuple[int, int]
"""Width and height of a picture."""

Grid = tuple[int, int]
"""Rows and columns of a picture's codes."""

Map = Literal["signed", "released"]
Spread = Literal["columns", "to-go", "off"]

OWNED = 0.5
"""A box owns the codes of which it covers so much."""


@dataclass(frozen=True)
class Region:
    """A box and its score in [-1, 1]."""

    box: Box
    score: float


Regions = Sequence[Region] | None
"""Of a picture; None of one that should teach nothing."""


def cells(size: Size, count: int) -> list[Box]:
    """A partition in count x count, in raster order; the sides of neighbours differ by at most a pixel."""
    columns, rows = ([round(k * side / count) for k in range(count + 1)] for side in size)
    return [(left, top, right, bottom) for (top, bottom), (left, right) in product(pairwise(rows), pairwise(columns))]


def inside(boxes: Sequence[Box], size: Size) -> list[Box]:
    """What of the boxes lies on the picture; those of which nothing does, or that are upside down, are left out."""
    width, height = size
    cut = [(max(0, left), max(0, top), min(width, right), min(height, bottom)) for left, top, right, bottom in boxes]
    return [(left, top, right, bottom) for left, top, right, bottom in cut if left < right and top < bottom]


def coverage(boxes: Sequence[Box], size: Size, grid: Grid) -> np.ndarray:
    """c_b(n): the share of each code's cell that a box covers, (boxes, codes). Boxes may be of any scale: `size` is theirs."""

    def along(starts: np.ndarray, ends: np.ndarray, side: int, count: int) -> np.ndarray:
        edges = np.arange(count + 1) * (side / count)
        overlap = np.minimum(ends[:, None], edges[1:]) - np.maximum(starts[:, None], edges[:-1])
        return np.asarray(np.maximum(overlap, 0) * (count / side))

    left, top, right, bottom = np.array(boxes, float).reshape(-1, 4).T
    rows, columns = along(top, bottom, size[1], grid[0]), along(left, right, size[0], grid[1])
    return (rows[:, :, None] * columns[:, None, :]).reshape(len(boxes), -1)


def owned(cover: np.ndarray) -> np.ndarray:
    """Which codes a box owns, (boxes, codes), bool: those that it covers by half, else the one that it covers most of, the first
    of equals."""
    cover = cover.round(9)  # a half is a product of rounded numbers
    found = cover >= OWNED
    small = ~found.any(axis=1)
    found[small, cover[small].argmax(axis=1)] = True
    return np.asarray(found)


def credit(regions: Sequence[Region], size: Size, grid: Grid, kind: Map) -> np.ndarray:
    """q_n in [-1, 1] of each code, (codes,); 0 where no region lies.

    signed: the mean score of the regions over a code, weighted by what they cover of it (section 8).
    released: 2 m_n - 1 = max(0, s_b of the boxes that own it), of section 4's m: a bad box changes nothing, and no code is ever
    below 0.
    """
    codes = grid[0] * grid[1]
    if not regions:
        return np.zeros(codes)
    scores, cover = np.array([one.score for one in regions]), coverage([one.box for one in regions], size, grid)
    if kind == "released":
        return np.asarray(np.where(owned(cover), scores[:, None], 0.0).max(axis=0).clip(min=0.0))
    total = cover.sum(axis=0)
    return np.asarray(np.divide(scores @ cover, total, out=np.zeros(codes), where=total > 0))


def spread(credits: np.ndarray, grid: Grid, how: Spread, rho: float) -> np.ndarray:
    """Credit carried back to the codes drawn before it (section 8, causality), (codes,).

    columns: q_n + rho times the mean of its column's later rows. to-go: the mean of all codes from n on.
    """
    if how == "to-go":
        return np.asarray(credits[::-1].cumsum()[::-1] / np.arange(len(credits), 0, -1))
    if how == "off" or grid[0] == 1:
        return credits
    rows = credits.reshape(grid)
    below = rows[::-1].cumsum(axis=0)[::-1] - rows
    later = np.arange(grid[0] - 1, -1, -1).clip(min=1)[:, None]
    return np.asarray((rows + rho * below / later).ravel())
