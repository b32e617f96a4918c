"""Resizing as OpenCV does it; the expected values and digests are OpenCV's own (4.10 and 5.0 agree)."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from suder_bench.evaluators.judges.opencv_resize import resize

SMALL = np.random.default_rng(0).integers(0, 256, (3, 5, 1), dtype=np.uint8)


def test_small_pictures_by_hand():
    enlarged = [
        [95, 115, 148, 194, 210, 213, 207],
        [182, 111, 91, 175, 123, 149, 212],
        [228, 131, 97, 195, 121, 112, 140],
        [217, 167, 163, 248, 206, 115, 16],
    ]
    assert resize(SMALL, 7, 4)[..., 0].tolist() == enlarged
    assert resize(SMALL[:2, :4], 2, 1)[..., 0].tolist() == [[119, 152]]
    assert resize(SMALL, 5, 3) is SMALL


@pytest.mark.parametrize(
    ("size", "digest"),
    [
        ((1081, 800), "8cb29f756d089873dea0e35bddb4c2610f939d7b3ff2aeda49bc68f4cc5c27a9"),
        ((64, 48), "a2469971d2e603b30fc1d0ceb9b1e75fd46b8ff08eae9e448676f08828675b4f"),
        ((131, 40), "b0568fb33a23a3f52c88aabce097dbfcfdaaf4ae6788388fcd0eec27abdd8bd2"),
    ],
)
def test_every_pixel_is_opencvs(size, digest):
    pixels = np.random.default_rng(1).integers(0, 256, (97, 131, 3), dtype=np.uint8)
    assert hashlib.sha256(resize(pixels, *size).tobytes()).hexdigest() == digest


def test_against_opencv_where_it_is_installed():
    cv2 = pytest.importorskip("cv2")
    generator = np.random.default_rng(2)
    for trial in range(100):
        (rows, columns), (height, width) = generator.integers(1, 200, (2, 2))
        if trial % 4 == 0:
            rows, columns = 2 * height, 2 * width
        pixels = generator.integers(0, 256, (rows, columns, 3), dtype=np.uint8)
        assert np.array_equal(resize(pixels, int(width), int(height)), cv2.resize(pixels, (int(width), int(height))))
