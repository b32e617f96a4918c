"""ROIAlign as a weighted sum of few places, against a loop over every sample."""

from __future__ import annotations

import math

import pytest
import torch

from suder_bench.evaluators.judges.unidet.pooler import CELLS, level_of, pool


def sample(plane: torch.Tensor, y: float, x: float) -> float:
    """Bilinear; nothing further than one place outside, the border for what is nearer."""
    height, width = plane.shape
    if not (-1 <= y <= height and -1 <= x <= width):
        return 0.0
    y, x = max(y, 0.0), max(x, 0.0)
    top, left = min(int(y), height - 1), min(int(x), width - 1)
    down = y - top if top < height - 1 else 0.0
    right = x - left if left < width - 1 else 0.0
    bottom, far = min(top + 1, height - 1), min(left + 1, width - 1)
    upper = plane[top, left] * (1 - right) + plane[top, far] * right
    lower = plane[bottom, left] * (1 - right) + plane[bottom, far] * right
    return float(upper * (1 - down) + lower * down)


def naive(plane: torch.Tensor, box: list[float], stride: int) -> torch.Tensor:
    x0, y0, x1, y1 = (side / stride - 0.5 for side in box)
    tall, wide = (y1 - y0) / CELLS, (x1 - x0) / CELLS
    rows, columns = math.ceil(tall), math.ceil(wide)
    found = torch.zeros(CELLS, CELLS)
    for cell_y in range(CELLS):
        for cell_x in range(CELLS):
            values = [
                sample(plane, y0 + cell_y * tall + (i + 0.5) * tall / rows, x0 + cell_x * wide + (k + 0.5) * wide / columns)
                for i in range(rows)
                for k in range(columns)
            ]
            found[cell_y, cell_x] = sum(values) / max(1, len(values))
    return found


BOXES = {
    "small": [13.3, 20.1, 44.9, 61.7],
    "on the border": [0.0, 0.0, 90.0, 33.0],
    "at the far corner": [150.0, 111.5, 192.0, 128.0],
    "wide": [0.0, 60.0, 192.0, 71.0],
    "tall": [88.0, 0.0, 94.5, 128.0],
    "thinner than a place": [50.0, 50.0, 50.5, 51.0],
    "whole": [0.0, 0.0, 192.0, 128.0],
    "without a height": [10.0, 20.0, 60.0, 20.0],
    "without anything": [40.0, 40.0, 40.0, 40.0],
    "beyond the last place": [180.0, 100.0, 230.0, 160.0],
}


@pytest.mark.parametrize("scale", [1, 3])
def test_cells_are_the_means_of_their_samples(scale):
    generator = torch.Generator().manual_seed(scale)
    maps = [torch.randn(2, 16 * scale >> level, 24 * scale >> level, generator=generator) for level in range(3)]
    boxes = torch.tensor(list(BOXES.values())) * scale
    found = pool(maps, boxes)
    assert found.shape == (len(boxes), 2, CELLS, CELLS)
    for (name, _), box, level, own in zip(BOXES.items(), boxes.tolist(), level_of(boxes).tolist(), found, strict=True):
        for channel in range(2):
            expected = naive(maps[level - 3][channel], box, 2**level)
            assert torch.allclose(own[channel], expected, atol=2e-5), name


def square(side: float) -> list[float]:
    return [5.0, 7.0, 5 + side, 7 + side]


def test_the_level_follows_the_side():
    sides = [0.0, 20.0, 111.9, 112.0, 223.9, 224.0, 447.9, 448.0, 2000.0]
    assert level_of(torch.tensor([square(side) for side in sides])).tolist() == [3, 3, 3, 3, 3, 4, 4, 5, 5]
    assert level_of(torch.tensor([[0.0, 0.0, 448.0, 112.0]])).tolist() == [4]


def test_half_precision_rounds_boxes_and_sums_in_float32():
    maps = [torch.randn(1, 64 >> level, 64 >> level, generator=torch.Generator().manual_seed(0)).half() for level in range(3)]
    box = torch.tensor([[300.1, 300.1, 410.06, 410.06]])
    rounded = box.half().float()
    assert pool(maps, box).dtype == torch.float16
    assert torch.equal(pool(maps, box), pool(maps, rounded))
    assert torch.equal(pool(maps, box), pool([own.float() for own in maps], rounded).half())


def test_no_boxes_and_boxes_that_are_no_numbers():
    maps = [torch.ones(3, 16 >> level, 16 >> level) for level in range(3)]
    assert pool(maps, torch.zeros(0, 4)).shape == (0, 3, CELLS, CELLS)
    assert pool(maps, torch.full((1, 4), math.nan)).shape == (1, 3, CELLS, CELLS)
