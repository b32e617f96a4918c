"""Questions that were prepared one by one, put together: ids padded on the left, pictures one after the other.

Every question is prepared alone and padded here, because a processor that pads would pad all of its tokenizers on one side:
the Q-Former of InstructBLIP counts its positions from the left.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional as F

Row = Mapping[str, torch.Tensor]

FILL = {"attention_mask": 1}
"""What an answer's tokens have in the tensors beside `input_ids`; elsewhere 0, plain text."""


def extended(row: Row, ids: Sequence[int]) -> dict[str, torch.Tensor]:
    """The row with more ids behind it, and every tensor that tells something of each id as long as they are."""
    length = row["input_ids"].shape[1]
    more = torch.tensor([list(ids)], dtype=torch.long)

    def longer(name: str, value: torch.Tensor) -> torch.Tensor:
        if _right(name) or not _of_ids(value, length):
            return value
        behind = more if name == "input_ids" else torch.full_like(more, FILL.get(name, 0))
        return torch.cat([value, behind.to(value.dtype)], dim=1)

    return {name: longer(name, value) for name, value in row.items()}


def groups(rows: Sequence[Row]) -> Iterator[list[int]]:
    """Places of the rows that one call can read: those with and without pictures apart, and pictures of unlike shapes."""
    found: dict[Hashable, list[int]] = {}
    for place, row in enumerate(rows):
        length = row["input_ids"].shape[1]
        shapes = [(name, () if _of_ids(value, length) or _right(name) else value.shape[1:]) for name, value in row.items()]
        found.setdefault(tuple(sorted(shapes)), []).append(place)
    yield from found.values()


@dataclass(frozen=True)
class Joiner:
    """Makes one batch of the rows of a group. `pad` fills `input_ids` on the left, `reader_pad` the Q-Former's on the right."""

    pad: int
    reader_pad: int
    device: torch.device
    dtype: torch.dtype

    def __call__(self, rows: Sequence[Row]) -> dict[str, torch.Tensor]:
        batch = {name: torch.cat(self._padded(name, rows)) for name in rows[0]}
        return {name: x.to(self.device, self.dtype if x.is_floating_point() else None) for name, x in batch.items()}

    def _padded(self, name: str, rows: Sequence[Row]) -> list[torch.Tensor]:
        values = [row[name] for row in rows]
        longest = max(value.shape[-1] for value in values)
        if _right(name):
            fill = self.reader_pad if name.endswith("input_ids") else 0
            return [F.pad(value, (0, longest - value.shape[1]), value=fill) for value in values]
        if all(_of_ids(value, row["input_ids"].shape[1]) for value, row in zip(values, rows, strict=True)):
            fill = self.pad if name == "input_ids" else 0
            return [F.pad(value, (longest - value.shape[1], 0), value=fill) for value in values]
        return values


def _of_ids(value: torch.Tensor, length: int) -> bool:
    """Whether a tensor says something of each of a row's ids."""
    return value.dim() == 2 and value.shape == (1, length) and not value.is_floating_point()


def _right(name: str) -> bool:
    """Whether a tensor belongs to the Q-Former's reading of the question, which never sees an answer."""
    return name.startswith("qformer_")
