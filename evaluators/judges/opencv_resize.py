"""OpenCV's bilinear resizing of 8-bit pictures, to the last bit, without OpenCV.

mmcv resizes with `cv2.resize(..., INTER_LINEAR)`, which computes in fixed point: weights of 11 bits, one pass along rows and
one along columns with a rounding of its own. Other bilinear filters differ from it by a grey level in many pixels.
"""

from __future__ import annotations

import numpy as np

BITS = 11
ONE = 1 << BITS


def resize(pixels: np.ndarray, width: int, height: int) -> np.ndarray:
    """(H, W, channels) uint8 to (height, width, channels) uint8."""
    rows, columns = pixels.shape[:2]
    if (rows, columns) == (height, width):
        return pixels
    if (rows, columns) == (2 * height, 2 * width):
        return _halved(pixels)
    left, right, weight, other = _taps(columns, width, clamp=True)
    wide = pixels[:, left] * weight[:, None] + pixels[:, right] * other[:, None]
    above, below, upper, lower = _taps(rows, height, clamp=False)
    wide >>= 4
    summed = (wide[above] * upper[:, None, None] >> 16) + (wide[below] * lower[:, None, None] >> 16)
    return ((summed + 2) >> 2).astype(np.uint8)


def _taps(before: int, after: int, *, clamp: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """For each of `after` places: its two neighbours among `before`, and their weights in units of 1 / ONE.

    Beyond the border OpenCV gives all weight to the last column (`clamp`), but splits it between two copies of the last row.
    """
    scale = 1.0 / (after / before)
    place = ((np.arange(after) + 0.5) * scale - 0.5).astype(np.float32)
    first = np.floor(place).astype(np.int64)
    part = place - first.astype(np.float32)
    if clamp:
        part[(first < 0) | (first >= before - 1)] = 0
    weights = [np.rint(share * np.float32(ONE)).astype(np.int32) for share in (np.float32(1) - part, part)]
    return first.clip(0, before - 1), (first + 1).clip(0, before - 1), *weights


def _halved(pixels: np.ndarray) -> np.ndarray:
    """Exactly half the size: OpenCV takes the mean of 2 x 2 pixels then, rounding halves up."""
    quarters = [pixels[row::2, column::2].astype(np.uint16) for row in (0, 1) for column in (0, 1)]
    return ((sum(quarters[1:], quarters[0]) + 2) >> 2).astype(np.uint8)
