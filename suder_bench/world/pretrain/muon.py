"""Muon (Jordan et al., 2024): momentum whose matrices are made orthogonal before they move the weights."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the quintic iteration: singular values end between 0.7 and 1.2, in five rounds wherever they began."""
ROUNDS = 5


def orthogonal(matrices: torch.Tensor) -> torch.Tensor:
    """Each of (n, rows, columns) matrices with singular values near 1, by Newton and Schulz."""
    wide = matrices if matrices.shape[1] <= matrices.shape[2] else matrices.mT
    x = wide / (wide.norm(dim=(1, 2), keepdim=True) + 1e-7)
    a, b, c = COEFFICIENTS
    for _ in range(ROUNDS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x if wide is matrices else x.mT


class Muon(torch.optim.Optimizer):
    """As torch.optim.Muon with `match_rms_adamw`, so that AdamW's learning rate and decay serve; but in float32 (torch's
    iterates in bfloat16, which many CPUs multiply fifty times as slowly), and all matrices of one shape at once."""

    def __init__(self, parameters: Iterable[torch.nn.Parameter], lr: float, weight_decay: float = 0.0, momentum: float = 0.95):
        super().__init__(parameters, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            alike: dict[torch.Size, list[tuple[torch.nn.Parameter, torch.Tensor]]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    mean = self.state[parameter].setdefault("momentum", torch.zeros_like(parameter))
                    mean.lerp_(parameter.grad, 1 - group["momentum"])
                    alike[parameter.shape].append((parameter, torch.lerp(parameter.grad, mean, group["momentum"])))
            for (rows, columns), found in alike.items():
                size = group["lr"] * 0.2 * max(rows, columns) ** 0.5
                for (parameter, _), update in zip(found, orthogonal(torch.stack([moved for _, moved in found])), strict=True):
                    parameter.mul_(1 - group["lr"] * group["weight_decay"]).sub_(update, alpha=size)
