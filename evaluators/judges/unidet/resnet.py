"""ResNet-50 as detectron2 builds it: a stage's stride is on the first 1 x 1 convolution of its first block."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn.functional import max_pool2d, relu_

from suder_bench.evaluators.judges.unidet.layers import Conv

BLOCKS = (3, 4, 6, 3)
Block = Callable[[int, int, int], nn.Module]
"""Makes a block of (channels in, width, stride), which gives four times the width."""


class Stem(nn.Module):
    """(N, 3, H, W) to (N, 64, H/4, W/4)."""

    out = 64

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = Conv(3, self.out, 7, stride=2)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return max_pool2d(relu_(self.conv1(pictures)), 3, 2, 1)


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3 and 1 x 1 beside a shortcut, which is convolved where the channels change."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = Conv(channels, width, 1, stride=stride)
        self.conv2 = Conv(width, width, 3)
        self.conv3 = Conv(width, 4 * width, 1)
        self.shortcut = Conv(channels, 4 * width, 1, stride=stride) if channels != 4 * width else None

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        found = self.conv3(relu_(self.conv2(relu_(self.conv1(maps)))))
        return relu_(found.add_(maps if self.shortcut is None else self.shortcut(maps)))


class Trunk(nn.Module):
    """A stem and the four stages of a residual network, of which the last three are handed on."""

    def __init__(self, stem: nn.Module, channels: int, block: Block, blocks: tuple[int, ...]) -> None:
        super().__init__()
        self.stem = stem
        for stage, count in enumerate(blocks):
            width, stride = 64 << stage, 1 if stage == 0 else 2
            made = [block(channels, width, stride), *(block(4 * width, width, 1) for _ in range(count - 1))]
            self.add_module(f"res{stage + 2}", nn.Sequential(*made))
            channels = 4 * width

    def forward(self, pictures: torch.Tensor) -> list[torch.Tensor]:
        """(N, 3, H, W) to (N, 512, H/8, W/8), (N, 1024, H/16, W/16), (N, 2048, H/32, W/32)."""
        maps, found = self.stem(pictures), []
        for stage in range(2, 6):
            maps = self.get_submodule(f"res{stage}")(maps)
            found.append(maps)
        return found[1:]


def resnet50() -> Trunk:
    return Trunk(Stem(), Stem.out, Bottleneck, BLOCKS)
