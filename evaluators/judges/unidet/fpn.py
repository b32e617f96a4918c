"""The feature pyramid: five maps of 256 channels, p3 to p7, at strides of 8 to 128 pixels.

Lin et al. 2017, "Feature Pyramid Networks for Object Detection", with the two coarsest maps made from p5.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import interpolate, relu

from suder_bench.evaluators.judges.unidet.layers import Conv
from suder_bench.evaluators.judges.unidet.resnet import Trunk

CHANNELS = 256
STRIDES = (8, 16, 32, 64, 128)
INPUTS = {3: 512, 4: 1024, 5: 2048}
"""Level: the channels of the trunk's map there."""


class Top(nn.Module):
    """p5 to p6 and p7."""

    def __init__(self) -> None:
        super().__init__()
        self.p6 = Conv(CHANNELS, CHANNELS, 3, stride=2, normed=False)
        self.p7 = Conv(CHANNELS, CHANNELS, 3, stride=2, normed=False)

    def forward(self, p5: torch.Tensor) -> list[torch.Tensor]:
        p6 = self.p6(p5)
        return [p6, self.p7(relu(p6))]


class Pyramid(nn.Module):
    """A trunk and the pyramid over it; `normed` puts batch norms behind the pyramid's convolutions instead of biases."""

    def __init__(self, trunk: Trunk, *, normed: bool) -> None:
        super().__init__()
        self.bottom_up = trunk
        for level, channels in INPUTS.items():
            self.add_module(f"fpn_lateral{level}", Conv(channels, CHANNELS, 1, normed=normed))
            self.add_module(f"fpn_output{level}", Conv(CHANNELS, CHANNELS, 3, normed=normed))
        self.top_block = Top()

    def forward(self, pictures: torch.Tensor) -> list[torch.Tensor]:
        """(N, 3, H, W), sides divisible by 32, to p3, p4, ..., p7: (N, 256, H/8, W/8) and so on, halved and rounded up."""
        found: list[torch.Tensor] = []
        above = None
        for level, maps in reversed(list(zip(INPUTS, self.bottom_up(pictures), strict=True))):
            own = self.get_submodule(f"fpn_lateral{level}")(maps)
            above = own if above is None else own + interpolate(above, scale_factor=2.0, mode="nearest")
            found.insert(0, self.get_submodule(f"fpn_output{level}")(above))
        return [*found, *self.top_block(found[-1])]
