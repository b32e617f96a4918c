"""Pictures of every mode that Pillow knows, as the eight-bit RGB that judges see."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps

from suder_bench.errors import PictureError
from suder_bench.records import open_image

SHADES = np.array([[0, 1, 64], [128, 254, 255]], dtype=np.uint8)
GREY = Image.fromarray(SHADES)
COLORS = Image.fromarray(np.stack([SHADES, SHADES[::-1], SHADES[:, ::-1]], axis=-1))
OPACITY = Image.fromarray(255 - SHADES)


LAB = Image.frombytes("LAB", (2, 1), bytes([0, 0, 0, 200, 40, 216]))


def with_opacity(picture: Image.Image) -> Image.Image:
    picture = picture.copy()
    picture.putalpha(OPACITY)
    return picture


def palette() -> Image.Image:
    """Six colours that are not grey, under indexes that are not their shades."""
    indexed = Image.fromarray(np.arange(6, dtype=np.uint8).reshape(2, 3))
    indexed.putpalette(np.asarray(COLORS).reshape(-1, 3).tobytes())
    return indexed


def wide(factor: float, kind: Any) -> Image.Image:
    return Image.fromarray((SHADES * np.float64(factor)).astype(kind))


def read(picture: Image.Image, kind: str, mode: str, **how: Any) -> Image.Image:
    content = io.BytesIO()
    picture.save(content, format=kind, **how)
    assert Image.open(content).mode == mode
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return open_image(content.getvalue())


@pytest.mark.parametrize(
    ("mode", "kind", "picture", "shown"),
    [
        pytest.param("1", "PNG", Image.fromarray(SHADES > 99), np.where(SHADES > 99, 255, 0), id="1"),
        pytest.param("L", "PNG", GREY, SHADES, id="L"),
        pytest.param("LA", "PNG", with_opacity(GREY), SHADES, id="LA, opacity dropped"),
        pytest.param("I;16", "PNG", wide(257, np.uint16), SHADES, id="I;16 of a PNG"),
        pytest.param("I;16", "TIFF", wide(257, np.uint16), SHADES, id="I;16 of a TIFF"),
        pytest.param("I;16B", "TIFF", wide(257, ">u2"), SHADES, id="I;16B"),
        pytest.param("I;16", "JPEG2000", wide(257, np.uint16), SHADES, id="I;16 of a JPEG 2000"),
        pytest.param("I", "PPM", wide(257, np.int32), SHADES, id="I of a 16-bit PGM"),
        pytest.param("I", "TIFF", wide(1, np.int32), SHADES, id="I up to 255"),
        pytest.param("I", "TIFF", wide(257, np.int32), SHADES, id="I up to 65,535"),
        pytest.param("F", "TIFF", wide(1 / 255, np.float32), SHADES, id="F up to 1"),
        pytest.param("F", "TIFF", wide(1, np.float32), SHADES, id="F up to 255"),
        pytest.param("F", "TIFF", wide(257, np.float32), SHADES, id="F up to 65,535"),
        pytest.param("P", "PNG", palette(), COLORS, id="P"),
        pytest.param("RGB", "PNG", COLORS, COLORS, id="RGB"),
        pytest.param("RGB", "WEBP", COLORS, COLORS, id="RGB of a lossless WebP"),
        pytest.param("RGBA", "PNG", with_opacity(COLORS), COLORS, id="RGBA, opacity dropped"),
        pytest.param("CMYK", "TIFF", COLORS.convert("CMYK"), COLORS, id="CMYK"),
        pytest.param("PA", "TIFF", palette().convert("PA"), COLORS, id="PA, opacity dropped"),
        pytest.param("LAB", "TIFF", LAB, LAB.convert("RGB"), id="LAB"),
        pytest.param("YCbCr", "TIFF", COLORS.convert("YCbCr"), COLORS.convert("YCbCr").convert("RGB"), id="YCbCr"),
    ],
)
def test_every_mode_is_shown_in_its_own_shades(mode: str, kind: str, picture: Image.Image, shown: Any) -> None:
    how = {"WEBP": {"lossless": True}, "JPEG2000": {"irreversible": False}}.get(kind, {})
    shown = np.asarray(shown)
    wanted = shown if shown.ndim == 3 else np.repeat(shown[..., None], 3, axis=-1)
    np.testing.assert_array_equal(np.asarray(read(picture, kind, mode, **how)), wanted)


@pytest.mark.parametrize("transparency", [3, bytes([0, 255, 0, 128, 255, 0])], ids=["one colour", "each colour"])
def test_a_palettes_transparency_changes_no_colour(transparency: int | bytes) -> None:
    np.testing.assert_array_equal(read(palette(), "PNG", "P", transparency=transparency), COLORS)


def tiff(bits: int, signed: bool) -> bytes:
    """A little-endian 2 x 1 picture: black and white of so many bits, 12 of them packed."""
    white = 2 ** (bits - signed) - 1
    pixels = bytes([0, white >> 8, white & 255]) if bits == 12 else np.array([0, white], dtype="<u2").tobytes()
    entries = {256: 2, 257: 1, 258: bits, 259: 1, 262: 1, 273: 8, 277: 1, 278: 1, 279: len(pixels), 339: 2 if signed else 1}
    offset = 8 + len(pixels) + len(pixels) % 2
    table = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries.items())
    head = b"II*\x00" + struct.pack("<I", offset) + pixels.ljust(offset - 8, b"\x00")
    return head + struct.pack("<H", len(entries)) + table + bytes(4)


def png(values: np.ndarray, kind: int) -> bytes:
    """A PNG of 16 bits a channel: (rows, columns, channels) of `values`, as big-endian numbers."""
    rows, columns, _ = values.shape
    packed = zlib.compress(b"".join(b"\0" + row.astype(">u2").tobytes() for row in values))
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", columns, rows, 16, kind, 0, 0, 0)), (b"IDAT", packed), (b"IEND", b"")]
    whole = b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + whole


@pytest.mark.parametrize(("kind", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)], ids=["grey", "RGB", "grey and opacity", "RGBA"])
def test_of_sixteen_bits_the_high_ones_count(kind: int, channels: int) -> None:
    values = np.random.default_rng(0).integers(0, 65_536, (9, 7, channels))
    shown = (values >> 8)[..., :3] if channels > 2 else np.repeat((values >> 8)[..., :1], 3, axis=-1)
    np.testing.assert_array_equal(np.asarray(open_image(png(values, kind))), shown)


@pytest.mark.parametrize(("bits", "signed"), [(16, False), (16, True), (12, False)])
def test_white_is_what_a_tiff_says_it_is(bits: int, signed: bool) -> None:
    assert np.asarray(open_image(tiff(bits, signed)))[0, :, 0].tolist() == [0, 255]


@pytest.mark.parametrize(
    ("picture", "said"),
    [
        (Image.fromarray(np.array([[-1, 200]], np.int32)), "shades from -1 to 200 in mode I, whose white is unknown"),
        (Image.fromarray(np.array([[0, 2**31 - 1]], np.int32)), "shades from 0 to 2.14748"),
        (Image.fromarray(np.array([[0, np.nan]], np.float32)), "shades from nan to nan in mode F"),
        (Image.fromarray(np.array([[0, np.inf]], np.float32)), "shades from 0 to inf in mode F"),
    ],
)
def test_shades_without_a_known_white_are_named(tmp_path: Path, picture: Image.Image, said: str) -> None:
    picture.save(tmp_path / "a.tif")
    with pytest.raises(PictureError, match=rf"a\.tif is not a readable picture \({said}.*save it with 8 bits\)") as told:
        open_image(tmp_path / "a.tif")
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("make", [lambda: COLORS, lambda: wide(257, np.uint16), palette], ids=["RGB", "I;16", "P"])
def test_a_turned_picture_can_still_be_turned_back(tmp_path: Path, make: Callable[[], Image.Image]) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    make().save(tmp_path / "a.png", exif=exif)
    assert ImageOps.exif_transpose(open_image(tmp_path / "a.png")).size == (2, 3)
