"""Heads beside a subject that say early what its own losses teach late. They are not part of the checkpoint."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from suder_bench.world.pretrain.curriculum import LOOKS

GROUND = 0.2
"""Weight of a patch of bare ground."""


class Hints(nn.Module):
    """Says what each patch shows: of the picture that is read, from the vision tower's features, which teaches the tower to
    look; and of the picture that is drawn, just before the patch is, which teaches the drawing side what to draw before it
    has learned which of the many codes do. And says of each word that claims something of the picture whether it is true,
    which teaches to compare word and picture at once, and not only at the answer. All return mean cross-entropies."""

    def __init__(self, read: int, drawn: int | None = None):
        """`read` and `drawn` are the widths of the two sides' features; `drawn` is `read` by default."""
        super().__init__()
        self.read = nn.Linear(read, sum(LOOKS.values()))
        self.drawn = nn.Linear(drawn or read, sum(LOOKS.values()))
        self.truth = nn.Linear(drawn or read, 2)

    def reading(self, features: torch.Tensor, looks: torch.Tensor) -> torch.Tensor:
        """Of (pictures, 64, width) and (pictures, 64, 7) labels, where -100 is not scored."""
        return _told(self.read(features), looks)

    def drawing(self, features: torch.Tensor, looks: torch.Tensor) -> torch.Tensor:
        """The same of the features that each of the 64 patches is drawn from."""
        return _told(self.drawn(features), looks)

    def claims(self, features: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
        """Of (words, width) and (words,) 1 or 0."""
        return F.cross_entropy(self.truth(features).float(), true) if len(true) else features.sum() * 0


def _told(guesses: torch.Tensor, looks: torch.Tensor) -> torch.Tensor:
    if not len(looks):
        return guesses.sum() * 0
    total = torch.zeros((), device=guesses.device)
    for guess, wanted in zip(
        guesses.flatten(0, -2).float().split(list(LOOKS.values()), 1), looks.flatten(0, 1).unbind(1), strict=True
    ):
        weight = torch.ones(guess.shape[1], device=guess.device)
        weight[0] = GROUND
        total = total + F.cross_entropy(guess, wanted, weight)
    return total
