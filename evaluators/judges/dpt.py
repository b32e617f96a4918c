"""DPT-Hybrid (MiDaS), T2I-CompBench++'s judge of depth.

With timm's epsilon, which the official network has, transformers' computes the same to the last bit. The weights come as their
authors published them (`official:FILE.pt`, or in the cache: exact) or in transformers' format (`official:FOLDER`, or the hub's
copy: not exact, since nobody has published what that file must hash to).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import torch
from PIL import Image
from torch import nn

from suder_bench.benchmark import Match
from suder_bench.errors import JudgeError
from suder_bench.evaluators.judges import manifest as manifests
from suder_bench.evaluators.judges.dpt_weights import read_checkpoint
from suder_bench.evaluators.judges.manifest import Manifest
from suder_bench.evaluators.judges.protocols import Picture
from suder_bench.evaluators.judges.weights import Place, load_pretrained, pixels, prepared, weights_file

if TYPE_CHECKING:
    from transformers import DPTForDepthEstimation

SIDE = 480
HUB = "Intel/dpt-hybrid-midas"
MEAN = STD = (0.5, 0.5, 0.5)
EPSILON = 1e-6
"""Of timm's layer norms; transformers' copy of the network has 1e-12."""

BATCH = 16


class DptDepth:
    """Implements `DepthEstimator` with inverse depth of 480 x 480 pixels, whatever the picture's shape.

    `exact` is true for the file of weights that the benchmark names.
    """

    def __init__(self, model: DPTForDepthEstimation, place: Place, *, match: Match, name: str) -> None:
        self.match, self.exact = match, match == "exact"
        self.backend = f"dpt:{name}" if match == "another file" else "dpt-hybrid-midas"
        for module in model.modules():
            if isinstance(module, nn.LayerNorm):
                module.eps = EPSILON
        self.fingerprint = place.fingerprint(model)
        self._model, self._place = place.put(model), place
        # transformers resizes the position grid to any input, but first insists on the training size of 384.
        self._model.dpt.embeddings.image_size = (SIDE, SIDE)

    @classmethod
    def load(cls, source: str | None, *, device: str, dtype: str, offline: bool, manifest: Manifest | None = None) -> Self:
        """Read the authors' file, or a folder or hub id in transformers' format; without a source, the file that was fetched
        or else the hub's copy. Raises `JudgeError` where the weights cannot be had."""
        from transformers import DPTForDepthEstimation

        place, reference = Place.choose(device, dtype, half_on_cuda=True), _located(source, manifest)
        name = Path(reference).name if os.path.exists(reference) else reference
        file = Path(reference) if os.path.isfile(reference) else None
        if file is not None:
            model = read_checkpoint(file)
        else:
            model = load_pretrained("depth", DPTForDepthEstimation, reference, offline=offline)
        match = manifests.match("depth", file or weights_file(reference), manifest)
        return cls(model, place, match=match, name=name)

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


def _located(source: str | None, manifest: Manifest | None) -> str:
    if source is not None:
        return source
    fetched = manifests.of("depth", manifest)[0].place(manifests.folder())
    return str(fetched) if fetched.is_file() else HUB
