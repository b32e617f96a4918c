"""What is known of image codes before anything is learned: what they look like, and what they are parts of."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F

from suder_bench.world.pretrain import curriculum
from suder_bench.world.render import render


def traits(encode: Callable[[np.ndarray], np.ndarray], means: torch.Tensor, seed: Sequence[int], lessons: int) -> torch.Tensor:
    """(codes, traits) how often a code, which stands for one of (codes, 192) mean patches, shows each of `curriculum.LOOKS` in so
    many lessons, and its outline: codes of like traits can be used alike."""
    seen = torch.zeros(len(means), sum(curriculum.LOOKS.values()))
    for i in range(lessons):
        made = curriculum.lesson(np.random.default_rng([*seed, i]))
        picture = render(made.scene)
        named = torch.from_numpy(encode(picture[None])[0])
        looks = torch.from_numpy(curriculum.looks(made.scene, picture))
        labels = [F.one_hot(look, n) for look, n in zip(looks.unbind(1), curriculum.LOOKS.values(), strict=True)]
        seen.index_add_(0, named, torch.cat(labels, 1).float())
    shown = seen / seen.sum(1, keepdim=True).clamp(min=1) * len(curriculum.LOOKS)
    outlines = (means - means.mean(0)) / means.std()
    return torch.cat([shown, outlines / outlines.shape[1] ** 0.5], 1)
