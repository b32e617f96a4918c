"""What the proposals show: three heads in a cascade, each with 722 classes, and each looking at the boxes of the one before.

Cai and Vasconcelos 2018, "Cascade R-CNN"; UniDet's `UnifiedCascadeROIHeads` in its unified label space.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.functional import relu_

from suder_bench.evaluators.judges.unidet import boxes
from suder_bench.evaluators.judges.unidet.fpn import CHANNELS
from suder_bench.evaluators.judges.unidet.layers import Conv
from suder_bench.evaluators.judges.unidet.pooler import CELLS, pool
from suder_bench.evaluators.judges.unidet.rpn import Size

CLASSES = 722
WIDTH = 1024
WEIGHTS = ((10.0, 10.0, 5.0, 5.0), (20.0, 20.0, 10.0, 10.0), (30.0, 30.0, 15.0, 15.0))
"""Of each stage's deltas."""

THRESHOLD = 0.1
"""Scores must be above; the literal in T2I-CompBench's copy of UniDet, whatever its configuration says."""

SAME, MOST = 0.5, 300


@dataclass(frozen=True)
class Objects:
    """Of one picture, surest first: `boxes` (n, 4) in pixels of the network's input, `scores` (n,), `classes` (n,) numbers."""

    boxes: torch.Tensor
    scores: torch.Tensor
    classes: torch.Tensor


class Head(nn.Module):
    """(n, 256, 7, 7) to (n, 1024) by convolutions with norms, if any, and fully connected layers."""

    def __init__(self, convolutions: int, layers: int) -> None:
        super().__init__()
        self._convolutions = [f"conv{place + 1}" for place in range(convolutions)]
        self._layers = [f"fc{place + 1}" for place in range(layers)]
        for name in self._convolutions:
            self.add_module(name, Conv(CHANNELS, CHANNELS, 3))
        for place, name in enumerate(self._layers):
            self.add_module(name, nn.Linear(WIDTH if place else CHANNELS * CELLS**2, WIDTH))

    def forward(self, pooled: torch.Tensor) -> torch.Tensor:
        for name in self._convolutions:
            pooled = relu_(self.get_submodule(name)(pooled))
        seen = pooled.flatten(1)
        for name in self._layers:
            seen = relu_(self.get_submodule(name)(seen))
        return seen


class Predictor(nn.Module):
    """(n, 1024) to (n, 723) logits, the last of the background, and (n, 4) deltas that all classes share."""

    def __init__(self) -> None:
        super().__init__()
        self.cls_score = nn.Linear(WIDTH, CLASSES + 1)
        self.bbox_pred = nn.Linear(WIDTH, 4)

    def forward(self, seen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.cls_score(seen), self.bbox_pred(seen)


class Cascade(nn.Module):
    def __init__(self, convolutions: int, layers: int) -> None:
        super().__init__()
        self.box_head = nn.ModuleList(Head(convolutions, layers) for _ in WEIGHTS)
        self.box_predictor = nn.ModuleList(Predictor() for _ in WEIGHTS)

    def forward(self, maps: Sequence[torch.Tensor], proposed: torch.Tensor, size: Size) -> Objects:
        """The objects of one picture from its maps p3, p4, p5 of (256, H, W) and its proposals (n, 4)."""
        probabilities = []
        for head, predictor, weights in zip(self.box_head, self.box_predictor, WEIGHTS, strict=True):
            logits, deltas = predictor(head(pool(maps, proposed)))
            proposed = boxes.clip(boxes.decode(deltas, proposed, weights), *size)
            probabilities.append(logits.sigmoid())
        return select(proposed, sum(probabilities[1:], probabilities[0]) * (1 / len(WEIGHTS)))


def select(found: torch.Tensor, scores: torch.Tensor) -> Objects:
    """The 300 surest pairs of a box and a class above the threshold, without duplicates of a class.

    `found` (n, 4) are clipped boxes, `scores` (n, 723). A box may be several things at once. Boxes without an area go last
    of all, as in detectron2: until then they take part and count.
    """
    finite = found.isfinite().all(dim=1) & scores.isfinite().all(dim=1)
    found, scores = found[finite], scores[finite, :CLASSES]
    rows, classes = (scores > THRESHOLD).nonzero(as_tuple=True)
    pairs, sure = found[rows], scores[rows, classes]
    kept = boxes.apart(pairs, sure.float(), classes, SAME)[:MOST]
    kept = kept[boxes.wide(pairs[kept])]
    return Objects(pairs[kept], sure[kept].float(), classes[kept])
