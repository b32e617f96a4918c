"""Eight-bit RGB of whatever a picture's file holds, in the shades that a viewer shows.

Pillow cuts wide shades off at 255, so that a 16-bit picture becomes white. Opacity is dropped, not laid over a background:
GenEval's and T2I-CompBench's scripts do so.
"""

from __future__ import annotations

import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import BITSPERSAMPLE, SAMPLEFORMAT, TiffImageFile

_WHITES = {"I": (255, 65_535), "F": (1, 255, 65_535)}
_SIGNED = 2


def to_rgb(picture: Image.Image) -> Image.Image:
    """An opened picture as RGB, with its `info` (where EXIF is kept).

    Raises `ValueError` for shades whose white is unknown: infinite, negative, or beyond 16 bits.
    """
    if picture.mode in ("I", "F") or picture.mode.startswith("I;16"):
        grey = Image.fromarray(_eight_bits(picture))
        grey.info = dict(picture.info)
        return grey.convert("RGB")
    if picture.mode == "P" and isinstance(picture.info.get("transparency"), bytes):
        return picture.convert("RGBA").convert("RGB")  # the same colours, without Pillow's warning
    return picture.convert("RGB")


def _eight_bits(picture: Image.Image) -> np.ndarray:
    shades = np.asarray(picture)
    low, high = float(shades.min()), float(shades.max())  # NaN where any shade is
    white = _white(picture, high)
    if white is None or not 0 <= low <= high <= white:
        raise ValueError(f"shades from {low:g} to {high:g} in mode {picture.mode}, whose white is unknown; save it with 8 bits")
    if picture.mode == "F":
        return np.rint(shades * (255 / white)).astype(np.uint8)
    return (shades.astype(np.int64) * 256 // (white + 1)).astype(np.uint8)  # OpenCV and Pillow drop the low bits too


def _white(picture: Image.Image, high: float) -> int | None:
    """The shade of white: what the file says; where it says nothing, the least usual one that no shade exceeds."""
    if isinstance(picture, TiffImageFile):
        bits, signed = (picture.tag_v2.get(tag, (1,))[0] for tag in (BITSPERSAMPLE, SAMPLEFORMAT))
        if bits <= 16:
            return int(2 ** (bits - (signed == _SIGNED)) - 1)
    if picture.mode not in _WHITES or (picture.mode == "I" and picture.format in ("PNG", "PPM")):
        return 65_535
    return next((white for white in _WHITES[picture.mode] if high <= white), None)
