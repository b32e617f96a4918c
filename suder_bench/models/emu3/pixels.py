"""Pictures to codes and back, one at a time.

transformers' encoder is given a batch padded to its largest picture, and its group norms and attention see the padding: the
codes of a picture would depend on the others'.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from transformers import Emu3ImageProcessor
from transformers.models.emu3.modeling_emu3 import Emu3VQVAE


@torch.no_grad()
def encode(vqmodel: Emu3VQVAE, processor: Emu3ImageProcessor, picture: Image.Image, *, resize: bool = True) -> torch.Tensor:
    """The codes (height, width), int64, on the CPU; resized as the image processor does, or of the size that it has."""
    vqmodel.eval()
    made: Any = processor(images=picture.convert("RGB"), do_resize=resize, return_tensors="pt")
    pixels, sizes = made["pixel_values"], made["image_sizes"]
    encoded = vqmodel.encode(pixels.to(vqmodel.device, vqmodel.dtype), sizes, return_dict=True)
    codes: torch.Tensor = encoded.image_tokens[0]
    return codes.cpu()


def fitted(picture: Image.Image, height: int, width: int) -> Image.Image:
    """The middle of a picture, as `width` x `height` pixels; one of that size as it is."""
    picture = picture.convert("RGB")
    return picture if picture.size == (width, height) else ImageOps.fit(picture, (width, height), Image.Resampling.BICUBIC)


@torch.no_grad()
def decode(vqmodel: Emu3VQVAE, codes: torch.Tensor) -> torch.Tensor:
    """Values as the image processor normalises them, (3, pixels down, pixels across), float32, of codes (height, width)."""
    vqmodel.eval()
    values: torch.Tensor = vqmodel.decode(codes[None].to(vqmodel.device))
    return values[0].float()


def picture(processor: Emu3ImageProcessor, values: torch.Tensor) -> Image.Image:
    """The PIL picture of what `decode` returns, by the image processor's own way back, which truncates to 8 bits."""
    made: Any = processor.postprocess([np.asarray(values.cpu())])
    image: Image.Image = made["pixel_values"][0]
    return image
