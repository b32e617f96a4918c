"""The boxes that the proposal network starts from: nine at each place of each map of the pyramid.

Three sizes a level, in steps of a third of an octave, in three shapes; neither rounded nor centred in their cell.
"""

from __future__ import annotations

import torch

SIZES = tuple(tuple(side * 2 ** (third / 3) for third in range(3)) for side in (32, 64, 128, 256, 512))
"""Of each level's anchors: the roots of their areas, in pixels."""

RATIOS = (0.5, 1.0, 2.0)
"""Height over width."""

COUNT = len(SIZES[0]) * len(RATIOS)


def cell(sizes: tuple[float, ...]) -> torch.Tensor:
    """(9, 4) anchors around the origin, sizes outside, ratios inside."""
    found = []
    for size in sizes:
        for ratio in RATIOS:
            width = (size**2 / ratio) ** 0.5
            height = ratio * width
            found.append([-width / 2, -height / 2, width / 2, height / 2])
    return torch.tensor(found)


def grid(sizes: tuple[float, ...], stride: int, height: int, width: int, device: torch.device) -> torch.Tensor:
    """(height * width * 9, 4) anchors of a map, row by row, those of a place together."""
    y, x = torch.meshgrid(torch.arange(height) * stride, torch.arange(width) * stride, indexing="ij")
    shifts = torch.stack([x, y, x, y], dim=-1).float()
    return (shifts[:, :, None] + cell(sizes)).flatten(0, 2).to(device)
