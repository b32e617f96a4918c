"""A judge: how light a picture is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image


class MeanLightness:
    backend = "mean"
    exact = True
    fingerprint = "mean-lightness-1"

    @classmethod
    def load(cls, *, device: str, dtype: str, offline: bool) -> MeanLightness:
        return cls()

    def lightness(self, pictures: Sequence[Image.Image]) -> list[float]:
        """The mean grey value of each picture, in [0, 1]."""
        return [float(np.asarray(picture.convert("L")).mean() / 255) for picture in pictures]
