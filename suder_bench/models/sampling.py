"""Choosing tokens: every sample has its own stream of uniforms from its seed, and a token is found by inverting the distribution
function, so that a sample depends on (prompt, seed, settings) and not on its neighbours in the batch.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from suder_bench import machine
from suder_bench.errors import UserError


class NoNumbersError(UserError):
    """A response that cannot be scored, because what it would be made of is NaN or infinite."""

    status = 1


def distinct(rows: Sequence[Sequence[int]], device: torch.device) -> tuple[list[Sequence[int]], torch.Tensor]:
    """The different rows in order of appearance, and for each given row the index of its like."""
    index: dict[tuple[int, ...], int] = {}
    place = [index.setdefault(tuple(row), len(index)) for row in rows]
    return [list(row) for row in index], torch.tensor(place, device=device)


def shared_beginnings(
    rows: Sequence[Sequence[int]], device: torch.device
) -> tuple[list[Sequence[int]], torch.Tensor, torch.Tensor]:
    """The different rows that no other row begins with, and for each given row which of them it is the beginning of and how
    long it is, (rows,) each."""
    order = sorted({tuple(row) for row in rows})  # a beginning stands before what goes on with it
    index: dict[tuple[int, ...], int] = {}
    read: list[Sequence[int]] = []
    for row in reversed(order):
        if not read or tuple(read[-1][: len(row)]) != row:
            read.append(row)
        index[row] = len(read) - 1
    place = torch.tensor([index[tuple(row)] for row in rows], device=device)
    return read, place, torch.tensor([len(row) for row in rows], device=device)


def uniforms(seeds: Sequence[int], steps: int) -> torch.Tensor:
    """Shape (samples, steps), float64 in [0, 1), on the CPU whatever the device, so that machines agree."""
    return torch.stack([torch.rand(steps, generator=torch.Generator().manual_seed(s), dtype=torch.float64) for s in seeds])


def noise_of(seeds: Sequence[int], steps: int, device: torch.device) -> torch.Tensor:
    """The `uniforms` where `choose` compares them: on the model's device, or on the CPU where that knows no float64."""
    return uniforms(seeds, steps).to(device if machine.has_float64(device.type) else "cpu")


def choose(logits: torch.Tensor, temperature: float, uniform: torch.Tensor) -> torch.Tensor:
    """One token a row, (rows,), from float32 logits (rows, vocabulary): the arg-max at temperature 0, else the token in
    whose share of the distribution function `uniform` (rows,), float64, falls. Nothing is cut off.

    The distribution function is summed in float64 where `uniform` lies: a sum in float32 would lose the rare codes.
    """
    if temperature == 0:
        return logits.argmax(dim=-1)
    shares = torch.softmax(logits / temperature, dim=-1).to(uniform.device)
    total = shares.double().cumsum(dim=-1)
    found = torch.searchsorted(total, uniform[:, None] * total[:, -1:], right=True)[:, 0]
    return found.clamp(max=logits.shape[-1] - 1).to(logits.device)


def numbers(logits: torch.Tensor) -> torch.Tensor:
    """(rows,), bool: whether all of a row are finite. A sum keeps NaN and infinity, and costs less than a look at each."""
    return logits.sum(dim=-1).isfinite()


def check_numbers(rows: torch.Tensor, what: str) -> None:
    """Raises `NoNumbersError` where a row has none, to be blamed on a sample by whoever made the batch."""
    if not bool(rows.all()):
        raise NoNumbersError(
            f"{what} are NaN or infinite, so that there is nothing to score: the weights have diverged, or "
            "the numbers outgrow the precision (--dtype) or the guidance (--guidance)"
        )
