"""Convolutions with their norm inside, as detectron2 names them: `x.weight` beside `x.norm.weight`."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import batch_norm

EPSILON = 1e-5


class Norm(nn.Module):
    """Batch norm with stored statistics; detectron2's frozen and synchronised ones compute the same at inference."""

    weight: torch.Tensor
    bias: torch.Tensor
    running_mean: torch.Tensor
    running_var: torch.Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        for name, value in (("weight", 1.0), ("bias", 0.0), ("running_mean", 0.0), ("running_var", 1.0)):
            self.register_buffer(name, torch.full((channels,), value))

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return batch_norm(maps, self.running_mean, self.running_var, self.weight, self.bias, eps=EPSILON)


class Conv(nn.Conv2d):
    """A convolution without a bias and a norm, or one with a bias and without a norm. Keeps the size at stride 1."""

    def __init__(self, channels: int, out: int, kernel: int, *, stride: int = 1, groups: int = 1, normed: bool = True) -> None:
        super().__init__(channels, out, kernel, stride, kernel // 2, groups=groups, bias=not normed)
        self.norm = Norm(out) if normed else None

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        found = super().forward(maps)
        return found if self.norm is None else self.norm(found)
