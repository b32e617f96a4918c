"""Boxes as rows (x0, y0, x1, y1) in pixels: decoded from deltas, clipped, compared, and thinned out."""

from __future__ import annotations

import math

import torch

LARGEST = math.log(1000 / 16)
"""A side grows at most to its 62.5-fold in one step."""

MEMORY = 1 << 21
"""Pairs of boxes that are compared at once."""


def decode(deltas: torch.Tensor, boxes: torch.Tensor, weights: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0)) -> torch.Tensor:
    """`boxes` (..., 4) moved and scaled by `deltas` (..., 4) = (dx, dy, dw, dh), each over its weight, in float32.

    dx and dy are shares of a box's sides, dw and dh logarithms. detectron2's `Box2BoxTransform.apply_deltas`.
    """
    deltas, boxes = deltas.float() / deltas.new_tensor(weights, dtype=torch.float32), boxes.float()
    size = boxes[..., 2:] - boxes[..., :2]
    centre = deltas[..., :2] * size + (boxes[..., :2] + 0.5 * size)
    half = 0.5 * (deltas[..., 2:].clamp(max=LARGEST).exp() * size)
    return torch.cat([centre - half, centre + half], dim=-1)


def clip(boxes: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Into [0, width] x [0, height]."""
    return torch.minimum(boxes.clamp(min=0), boxes.new_tensor([width, height, width, height]))


def wide(boxes: torch.Tensor) -> torch.Tensor:
    """Which boxes (..., 4) have an area."""
    return (boxes[..., 2] > boxes[..., 0]) & (boxes[..., 3] > boxes[..., 1])


def area(boxes: torch.Tensor) -> torch.Tensor:
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def overlaps(boxes: torch.Tensor) -> torch.Tensor:
    """(..., n, n) intersections over unions of boxes (..., n, 4); not a number where both are empty."""
    corner = torch.maximum(boxes[..., :, None, :2], boxes[..., None, :, :2])
    sides = (torch.minimum(boxes[..., :, None, 2:], boxes[..., None, :, 2:]) - corner).clamp(min=0)
    shared, areas = sides[..., 0] * sides[..., 1], area(boxes)
    return shared / (areas[..., :, None] + areas[..., None, :] - shared)


def apart(boxes: torch.Tensor, scores: torch.Tensor, groups: torch.Tensor, threshold: float) -> torch.Tensor:
    """Greedy non-maximum suppression inside each group: the places of the boxes to keep, surest first.

    `boxes` (n, 4), `scores` (n,), `groups` (n,) integers. A box goes when its intersection over union with a kept, surer
    one of its group is more than `threshold`; of equal scores the first is surer.
    """
    order = scores.argsort(descending=True, stable=True)
    order = order[groups[order].argsort(stable=True)]
    _, counts = groups[order].unique_consecutive(return_counts=True)
    starts, kept = counts.cumsum(0) - counts, torch.zeros(len(boxes), dtype=torch.bool, device=boxes.device)
    powers = [1 << (count - 1).bit_length() for count in counts.tolist()]
    lengths = torch.tensor(powers, dtype=torch.long, device=boxes.device)  # groups of about one length share a batch
    for length in lengths.unique().tolist():
        chosen = (lengths == length).nonzero()[:, 0]
        for some in chosen.split(max(1, MEMORY // length**2)):
            rank = torch.arange(length, device=boxes.device)
            inside = rank < counts[some, None]
            places = order[(starts[some, None] + rank).clamp(max=len(order) - 1)]
            kept[places[inside]] = _greedy(boxes[places], inside, threshold)[inside]
    found = kept.nonzero()[:, 0]
    return found[scores[found].argsort(descending=True, stable=True)]


def _greedy(boxes: torch.Tensor, inside: torch.Tensor, threshold: float) -> torch.Tensor:
    """Which of boxes (g, n, 4), surest first, greedy suppression keeps among those `inside` (g, n).

    A box stays if no box before it that stays overlaps it. Repeating this for all at once settles the k-th of a chain of
    overlaps in the k-th round, and what no longer changes is the greedy answer.
    """
    over = (overlaps(boxes) > threshold).triu(1) & inside[:, :, None]
    kept = inside
    while True:
        now = inside & ~(over & kept[:, :, None]).any(dim=1)
        if torch.equal(now, kept):
            return kept
        kept = now
