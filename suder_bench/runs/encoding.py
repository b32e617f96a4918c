"""What a response is on disk, and the digest that tells whether it still is."""

from __future__ import annotations

import hashlib
import io

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from suder_bench.records import REVISED
from suder_bench.runs.seen import picture_digest

MOST_NOTED = 20_000
"""Characters of a rewritten prompt that a picture keeps."""


def text_digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def encoded(picture: Image.Image) -> tuple[bytes, str]:
    """As PNG, turned as it was, with the prompt that a server made of the benchmark's; and the digest."""
    content = io.BytesIO()
    picture = picture.convert("RGB")
    turned = {"exif": picture.getexif()} if picture.getexif() else {}
    noted = PngInfo()
    if isinstance(revised := picture.info.get(REVISED), str):
        noted.add_itxt(REVISED, revised[:MOST_NOTED])
    picture.save(content, format="PNG", pnginfo=noted, **turned)
    return content.getvalue(), picture_digest(picture)
