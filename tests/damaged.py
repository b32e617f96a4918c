"""Pictures that nobody should judge: cut short, unpacking to gigabytes, in colours that PNG has not."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image


def truncated(file: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8)).save(file)
    file.write_bytes(file.read_bytes()[:1000])


def bomb(file: Path, side: int = 30_000) -> None:
    """A whole black-and-white PNG of side x side pixels in about a hundred kilobytes."""
    packer = zlib.compressobj()
    row = bytes(1 + (side + 7) // 8)
    rows = b"".join(packer.compress(row * 1000) for _ in range(side // 1000)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    file.write_bytes(
        b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*chunk) for chunk in ((b"IHDR", header), (b"IDAT", rows), (b"IEND", b"")))
    )


def cmyk(file: Path) -> None:
    Image.new("CMYK", (4, 4), (0, 255, 255, 0)).save(file, format="JPEG")


def not_a_picture(file: Path) -> None:
    file.write_bytes(b"no picture")


def empty(file: Path) -> None:
    file.write_bytes(b"")


DAMAGES = {
    truncated: r"truncated",
    bomb: r"900000000 pixels",
    cmyk: r"a CMYK JPEG called \.png; save it as an RGB PNG",
    not_a_picture: r"of no known format",
    empty: r"of no known format",
}
"""How a picture is damaged -> what is said of it."""


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
