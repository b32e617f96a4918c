"""Which files are pictures, by the endings of their names."""

from __future__ import annotations

from pathlib import Path

READ = (
    *("png", "apng", "jpg", "jpeg", "jpe", "jfif", "webp", "avif", "jp2", "j2k", "jpx", "gif", "bmp", "dib", "tif", "tiff"),
    *("tga", "ico", "ppm", "pgm", "pbm", "pnm", "pfm", "qoi", "sgi", "pcx", "dds", "psd"),
)
"""Of pictures that Pillow can read."""

ENDINGS = (*READ, "heic", "heif", "jxl", "svg")
"""Of pictures that image models and tools write."""


def is_picture(file: Path) -> bool:
    """Whether a file is called a picture, in capitals or not; nothing hidden is."""
    return file.name[0] != "." and file.suffix[1:].lower() in ENDINGS
