"""The region proposal network: at most 1,000 boxes of a picture that may hold something.

Ren et al. 2015, "Faster R-CNN"; detectron2's `proposal_utils.find_top_rpn_proposals`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn.functional import relu_

from suder_bench.evaluators.judges.unidet import anchors, boxes
from suder_bench.evaluators.judges.unidet.fpn import CHANNELS, STRIDES
from suder_bench.evaluators.judges.unidet.layers import Conv

BEST_OF_LEVEL = 1000
BEST = 1000
SAME = 0.7
"""Proposals of one level that overlap a better one by more are dropped."""

Size = tuple[int, int]
"""(height, width) of a picture, without its padding."""


class Head(nn.Module):
    """The same at all levels: for each place and anchor a logit of being an object, and deltas to its box."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = Conv(CHANNELS, CHANNELS, 3, normed=False)
        self.objectness_logits = Conv(CHANNELS, anchors.COUNT, 1, normed=False)
        self.anchor_deltas = Conv(CHANNELS, 4 * anchors.COUNT, 1, normed=False)

    def forward(self, maps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(N, 256, H, W) to (N, H * W * 9) logits and (N, H * W * 9, 4) deltas, in the order of `anchors.grid`."""
        seen = relu_(self.conv(maps))
        deltas = self.anchor_deltas(seen).unflatten(1, (anchors.COUNT, 4)).permute(0, 3, 4, 1, 2).flatten(1, 3)
        return self.objectness_logits(seen).permute(0, 2, 3, 1).flatten(1), deltas


class Proposals(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rpn_head = Head()

    def forward(self, pyramid: Sequence[torch.Tensor], sizes: Sequence[Size]) -> list[torch.Tensor]:
        """For each picture up to (1000, 4) boxes inside it, best first; `sizes` are those of the pictures."""
        found = []
        for maps, own, stride in zip(pyramid, anchors.SIZES, STRIDES, strict=True):
            logits, deltas = self.rpn_head(maps)
            grid = anchors.grid(own, stride, maps.shape[2], maps.shape[3], maps.device)
            found.append(_best_of_level(logits, deltas, grid))
        logits = torch.cat([own for own, _ in found], dim=1)
        proposed = torch.cat([own for _, own in found], dim=1)
        level = torch.cat([torch.full(own.shape[1:], place, device=own.device) for place, (own, _) in enumerate(found)])
        return [select(own, at, level, size) for own, at, size in zip(logits, proposed, sizes, strict=True)]


def _best_of_level(logits: torch.Tensor, deltas: torch.Tensor, grid: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(N, k) highest logits and (N, k, 4) boxes there."""
    best, places = logits.topk(min(BEST_OF_LEVEL, logits.shape[1]))
    return best, boxes.decode(deltas.gather(1, places[:, :, None].expand(-1, -1, 4)), grid[places])


def select(logits: torch.Tensor, proposed: torch.Tensor, level: torch.Tensor, size: Size) -> torch.Tensor:
    """The best of one picture's (k,) candidates that are finite, have an area inside it and are no duplicates of their level."""
    finite = logits.isfinite() & proposed.isfinite().all(dim=-1)
    inside = boxes.clip(proposed, *size)
    able = (finite & boxes.wide(inside)).nonzero()[:, 0]
    kept = boxes.apart(inside[able], logits[able], level[able], SAME)
    return inside[able[kept[:BEST]]]
