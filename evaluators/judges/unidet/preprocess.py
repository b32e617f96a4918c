"""Pictures as UniDet's network takes them: its frame, the order of channels, mean and deviation, and padding."""

from __future__ import annotations

import numpy as np
import torch

from suder_bench.evaluators.judges.protocols import Picture
from suder_bench.evaluators.judges.unidet.network import Configuration
from suder_bench.evaluators.judges.unidet.rpn import Size

DIVISOR = 32


def padded(picture: Picture) -> Size:
    """Height and width, rounded up to what the pyramid's strides divide."""
    return -(-picture.height // DIVISOR) * DIVISOR, -(-picture.width // DIVISOR) * DIVISOR


def prepare(frame: Picture, configuration: Configuration, *, rgb: bool = False) -> torch.Tensor:
    """(3, H, W) float32 of a picture that is in UniDet's frame already, padded to the right and below with what is mean.

    The official scripts feed blue first to both networks, also to RS200, whose mean and deviation begin with red's. `rgb`
    feeds red first, as RS200 was trained; no published number was made so.
    """
    channels = np.asarray(frame.convert("RGB"))[:, :, :: 1 if rgb else -1].astype(np.float32)
    values = torch.from_numpy(channels)
    values = (values - torch.tensor(configuration.mean)) / torch.tensor(configuration.deviation)
    found = torch.zeros(3, *padded(frame))
    found[:, : frame.height, : frame.width] = values.permute(2, 0, 1)
    return found
