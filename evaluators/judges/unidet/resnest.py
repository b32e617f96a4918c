"""ResNeSt-200 (Zhang et al. 2020, "Split-Attention Networks"): halves of a 3 x 3 convolution, weighed by attention."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import avg_pool2d, max_pool2d, relu_

from suder_bench.evaluators.judges.unidet.layers import Conv, Norm
from suder_bench.evaluators.judges.unidet.resnet import Trunk

BLOCKS = (3, 24, 36, 3)
RADIX = 2
LEAST_WIDTH = 32


class DeepStem(nn.Module):
    """(N, 3, H, W) to (N, 128, H/4, W/4)."""

    out = 128

    def __init__(self) -> None:
        super().__init__()
        self.conv1_1 = Conv(3, self.out // 2, 3, stride=2)
        self.conv1_2 = Conv(self.out // 2, self.out // 2, 3)
        self.conv1_3 = Conv(self.out // 2, self.out, 3)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        maps = relu_(self.conv1_2(relu_(self.conv1_1(pictures))))
        return max_pool2d(relu_(self.conv1_3(maps)), 3, 2, 1)


class SplitAttention(nn.Module):
    """(N, C, H, W) to the same: a 3 x 3 convolution to two halves, and their sum with weights that the picture decides."""

    def __init__(self, width: int) -> None:
        super().__init__()
        inner = max(width * RADIX // 4, LEAST_WIDTH)
        self.conv = nn.Conv2d(width, RADIX * width, 3, padding=1, groups=RADIX, bias=False)
        self.bn0 = Norm(RADIX * width)
        self.fc1 = nn.Conv2d(width, inner, 1)
        self.bn1 = Norm(inner)
        self.fc2 = nn.Conv2d(inner, RADIX * width, 1)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        first, second = relu_(self.bn0(self.conv(maps))).chunk(RADIX, dim=1)
        mean = (first + second).mean((2, 3), keepdim=True)
        weights = self.fc2(relu_(self.bn1(self.fc1(mean)))).unflatten(1, (RADIX, -1)).softmax(dim=1)
        return weights[:, 0] * first + weights[:, 1] * second


class Bottleneck(nn.Module):
    """1 x 1, split attention and 1 x 1 beside a shortcut; a stride is an average over 3 x 3, and 2 x 2 in the shortcut."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.conv1 = Conv(channels, width, 1)
        self.conv2 = SplitAttention(width)
        self.conv3 = Conv(width, 4 * width, 1)
        self.shortcut = Conv(channels, 4 * width, 1) if channels != 4 * width else None

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        found = self.conv2(relu_(self.conv1(maps)))
        if self.stride == 2:
            found, maps = avg_pool2d(found, 3, 2, 1), avg_pool2d(maps, 2, 2, ceil_mode=True, count_include_pad=False)
        found = self.conv3(found)
        return relu_(found.add_(maps if self.shortcut is None else self.shortcut(maps)))


def resnest200() -> Trunk:
    return Trunk(DeepStem(), DeepStem.out, Bottleneck, BLOCKS)
