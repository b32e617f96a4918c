"""Between PIL pictures and the square tensors that Janus sees, as the authors' code does both."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from transformers.models.janus.image_processing_pil_janus import JanusImageProcessorPil

PREPROCESSING = "longest side to {size}, other side truncated but at least {least}, bicubic, padded to a square with {background}"


class Squares:
    """Picture to square and to pixel values, with the numbers of a checkpoint's image processor."""

    def __init__(self, processor: JanusImageProcessorPil):
        """Raises an exception of any kind for a processor whose numbers make no picture."""
        self.size = int(processor.size["height"])
        self.least = int(processor.min_size)
        self.background = tuple(int(value) for value in processor.background_color)
        self.mean = torch.tensor(processor.image_mean, dtype=torch.float32).view(3, 1, 1)
        self.std = torch.tensor(processor.image_std, dtype=torch.float32).view(3, 1, 1)
        if not (self.size > 0 and self.least > 0 and len(self.background) == 3):
            raise ValueError(f"size {self.size}, min_size {self.least}, background_color {self.background}")
        if not (self.mean.isfinite().all() and self.std.isfinite().all() and (self.std > 0).all()):
            raise ValueError(f"image_mean {processor.image_mean}, image_std {processor.image_std}")

    @property
    def description(self) -> str:
        return PREPROCESSING.format(size=self.size, least=self.least, background=self.background)

    def square(self, picture: Image.Image) -> Image.Image:
        """The RGB square of side `size` that both the vision tower and the image tokenizer see."""
        picture = picture.convert("RGB")
        longest = max(picture.size)
        width, height = (max(int(side / longest * self.size), self.least) for side in picture.size)
        if picture.size != (width, height):
            picture = picture.resize((width, height), Image.Resampling.BICUBIC)
        if width == height:
            return picture
        square = Image.new("RGB", (self.size, self.size), self.background)
        square.paste(picture, ((self.size - width) // 2, (self.size - height) // 2))
        return square

    def pixels(self, pictures: Sequence[Image.Image]) -> torch.Tensor:
        """Shape (pictures, 3, size, size), float32 in [-1, 1]."""
        stacked = np.stack([np.asarray(self.square(picture)) for picture in pictures])
        return torch.from_numpy(stacked).permute(0, 3, 1, 2).float() / 127.5 - 1

    def values(self, pixels: torch.Tensor) -> torch.Tensor:
        """What the vision tower is given for pixels in [-1, 1]: (x - mean) / std of the values in [0, 1]."""
        return ((pixels + 1) / 2 - self.mean.to(pixels)) / self.std.to(pixels)
