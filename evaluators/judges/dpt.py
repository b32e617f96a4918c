"""DPT-Hybrid (MiDaS), T2I-CompBench++'s judge of depth.

With timm's epsilon, which the official network has, transformers' computes the same to the last bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from PIL import Image
from torch import nn

from suder_bench.errors import JudgeError
from suder_bench.evaluators.judges.protocols import Picture
from suder_bench.evaluators.judges.weights import Place, load_pretrained, pixels, prepared

if TYPE_CHECKING:
    from transformers import DPTForDepthEstimation

SIDE = 480
MEAN = STD = (0.5, 0.5, 0.5)
EPSILON = 1e-6
"""Of timm's layer norms; transformers' copy of the network has 1e-12."""

BATCH = 16


class DptDepth:
    """Implements `DepthEstimator` with inverse depth of 480 x 480 pixels, whatever the picture's shape.

    `exact` is false for a network of another kind or size.
    """

    backend = "dpt-hybrid-midas"

    def __init__(self, model: DPTForDepthEstimation, place: Place) -> None:
        config: Any = model.config
        self.exact = config.is_hybrid and (config.hidden_size, config.num_hidden_layers, config.image_size) == (768, 12, 384)
        for module in model.modules():
            if isinstance(module, nn.LayerNorm):
                module.eps = EPSILON
        self.fingerprint = place.fingerprint(model)
        self._model, self._place = place.put(model), place
        # transformers resizes the position grid to any input, but first insists on the training size of 384.
        self._model.dpt.embeddings.image_size = (SIDE, SIDE)

    @classmethod
    def load(cls, reference: str, *, device: str, dtype: str, offline: bool) -> Self:
        """Read a folder or hub id in transformers' format. Raises `JudgeError` where the weights cannot be had."""
        from transformers import DPTForDepthEstimation

        place = Place.choose(device, dtype, half_on_cuda=True)
        return cls(load_pretrained("depth", DPTForDepthEstimation, reference, offline=offline), place)

    @torch.inference_mode()
    def depth(self, pictures: Sequence[Picture]) -> list[np.ndarray]:
        maps: list[np.ndarray] = []
        for _, squares in prepared(pictures, _prepare, BATCH):
            with self._place.precision():
                found = self._model(squares.to(self._place.device)).predicted_depth
            maps += [depth.float().cpu().numpy() for depth in found]
        return maps

    def check(self) -> None:
        """A drawn floor has a depth that is finite and not the same everywhere. Raises `JudgeError`.

        Which of its ends is nearer is not asked: what the network makes of a drawing is nobody's promise.
        """
        shades = np.linspace(40, 220, SIDE).astype(np.uint8)
        floor = Image.fromarray(np.repeat(shades[:, None], SIDE, axis=1)).convert("RGB")
        (found,) = self.depth([floor])
        if not np.isfinite(found).all() or np.ptp(found) == 0:
            raise JudgeError("a drawn floor: expected a finite depth that varies, got none; wrong weights?")


def _prepare(picture: Picture) -> torch.Tensor:
    return pixels(picture.resize((SIDE, SIDE), Image.Resampling.BILINEAR), MEAN, STD)
