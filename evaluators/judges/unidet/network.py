"""UniDet (Zhou et al. 2022, "Simple Multi-dataset Detection") in its two sizes: what each is made of, and a pass through it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from suder_bench.evaluators.judges.unidet.fpn import Pyramid
from suder_bench.evaluators.judges.unidet.heads import Cascade, Objects
from suder_bench.evaluators.judges.unidet.pooler import LEVELS
from suder_bench.evaluators.judges.unidet.resnest import resnest200
from suder_bench.evaluators.judges.unidet.resnet import Trunk, resnet50
from suder_bench.evaluators.judges.unidet.rpn import Proposals, Size


@dataclass(frozen=True)
class Configuration:
    """A trunk; whether the pyramid has norms; a head's convolutions and layers; mean and deviation of the channels as fed."""

    name: str
    trunk: Callable[[], Trunk]
    normed: bool
    convolutions: int
    layers: int
    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]


R50 = Configuration("r50", resnet50, False, 0, 2, (103.530, 116.280, 123.675), (1.0, 1.0, 1.0))
RS200 = Configuration("rs200", resnest200, True, 4, 1, (123.68, 116.779, 103.939), (58.393, 57.12, 57.375))
CONFIGURATIONS = {configuration.name: configuration for configuration in (R50, RS200)}


class Network(nn.Module):
    """The tensors of `state_dict` are those of UniDet's checkpoints but for their counters of batches."""

    def __init__(self, configuration: Configuration) -> None:
        super().__init__()
        self.backbone = Pyramid(configuration.trunk(), normed=configuration.normed)
        self.proposal_generator = Proposals()
        self.roi_heads = Cascade(configuration.convolutions, configuration.layers)

    def forward(self, pictures: torch.Tensor, sizes: Sequence[Size]) -> list[Objects]:
        """(N, 3, H, W) prepared pictures, sides divisible by 32, and each one's own height and width in that frame."""
        pyramid = self.backbone(pictures)
        proposed = self.proposal_generator(pyramid, sizes)
        maps = zip(*pyramid[: len(LEVELS)], strict=True)
        return [self.roi_heads(own, boxes, size) for own, boxes, size in zip(maps, proposed, sizes, strict=True)]
