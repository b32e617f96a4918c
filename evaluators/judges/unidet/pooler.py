"""What the pyramid holds of each box: 7 x 7 cells, each the mean of bilinear samples, as ROIAlign takes them.

He et al. 2017, "Mask R-CNN", in detectron2's aligned form, with ceil(side / 7) samples a cell and axis. A cell is a weighted sum
of few places of a map, each weight a factor of the row times one of the column; so all cells that span as many rows and
columns are one sum over rows of a table.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn.functional import embedding_bag

from suder_bench.evaluators.judges.unidet import boxes

CELLS = 7
LEVELS = (3, 4, 5)
CANONICAL_SIDE, CANONICAL_LEVEL = 224, 4


def level_of(found: torch.Tensor) -> torch.Tensor:
    """(n,) levels of boxes (n, 4): 4 at 224 pixels, one more where the side doubles, from 3 to 5."""
    sides = boxes.area(found).sqrt()
    level = (CANONICAL_LEVEL + torch.log2(sides / CANONICAL_SIDE + 1e-8)).floor()
    return level.nan_to_num(LEVELS[0]).clamp(LEVELS[0], LEVELS[-1]).long()


def pool(maps: Sequence[torch.Tensor], found: torch.Tensor) -> torch.Tensor:
    """(n, C, 7, 7) of boxes (n, 4) in pixels, from one picture's maps p3, p4, p5 of (C, H, W).

    Boxes are rounded to the maps' precision, as detectron2 does; the sums are in float32.
    """
    place = level_of(found) - LEVELS[0]
    heights, widths, starts, scales = (values.to(found.device)[place] for values in _layout(maps))
    table = torch.cat([own.flatten(1).t() for own in maps]).float()
    corners = found.to(maps[0].dtype).float().nan_to_num() * scales[:, None] - 0.5
    down, across = (_Axis.of(corners[:, i], corners[:, i + 2], limit) for i, limit in ((1, heights), (0, widths)))
    pooled = table.new_empty(len(found), CELLS * CELLS, table.shape[1])
    spans = torch.stack([down.samples, across.samples], dim=1)
    for rows, columns in spans.unique(dim=0).tolist():
        own = ((down.samples == rows) & (across.samples == columns)).nonzero()[:, 0]
        y, weight_y = down.taps(own, rows)
        x, weight_x = across.taps(own, columns)
        indices = starts[own, None, None, None, None] + y[:, :, None, :, None] * widths[own, None, None, None, None]
        indices = (indices + x[:, None, :, None, :]).flatten(3).flatten(0, 2)
        weights = (weight_y[:, :, None, :, None] * weight_x[:, None, :, None, :]).flatten(3).flatten(0, 2)
        sums = embedding_bag(indices, table, mode="sum", per_sample_weights=weights / max(1, rows * columns))
        pooled[own] = sums.unflatten(0, (-1, CELLS * CELLS))
    return pooled.transpose(1, 2).unflatten(2, (CELLS, CELLS)).to(maps[0].dtype)


def _layout(maps: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
    """Height, width, first row in the table and scale of each level."""
    sides = torch.tensor([own.shape[1:] for own in maps])
    places = sides.prod(dim=1)
    return sides[:, 0], sides[:, 1], places.cumsum(0) - places, torch.tensor([0.5**level for level in LEVELS])


class _Axis:
    """Boxes along one axis: where each begins, how long a cell is and how many samples it takes, in units of the box's map."""

    def __init__(self, start: torch.Tensor, cell: torch.Tensor, samples: torch.Tensor, limit: torch.Tensor) -> None:
        self.start, self.cell, self.samples, self.limit = start, cell, samples, limit

    @staticmethod
    def of(start: torch.Tensor, end: torch.Tensor, limit: torch.Tensor) -> _Axis:
        length = end - start
        return _Axis(start, length / CELLS, (length / CELLS).ceil().long(), limit)

    def taps(self, own: torch.Tensor, samples: int) -> tuple[torch.Tensor, torch.Tensor]:
        """(n, 7, samples + 1) places on the axis and the sums of the samples' weights there, for the boxes `own`.

        Samples lie at most one place apart, so that a cell touches no more places. A sample more than one place outside
        counts nothing; nearer ones count as on the border.
        """
        device = own.device
        start, cell, limit = self.start[own, None, None], self.cell[own, None, None], self.limit[own, None, None]
        number, within = torch.arange(CELLS, device=device)[:, None], torch.arange(samples, device=device)
        at = start + number * cell + (within + 0.5) * cell / max(1, samples)
        counts = (at >= -1) & (at <= limit)
        at = at.clamp(min=0)
        low = torch.minimum(at.long(), limit - 1)
        high = torch.minimum(low + 1, limit - 1)
        upper = torch.where(low < limit - 1, at - low, 0.0)
        first = low[..., :1] if samples else torch.zeros_like(limit).expand(-1, CELLS, 1)
        places = first + torch.arange(samples + 1, device=device)
        hits_low, hits_high = (ends[..., None] == places[..., None, :] for ends in (low, high))
        weights = ((hits_low * (1 - upper)[..., None] + hits_high * upper[..., None]) * counts[..., None]).sum(dim=-2)
        return torch.minimum(places, limit - 1), weights
