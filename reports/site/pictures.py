"""The pictures of a site: an address for each, a small copy on disk, or the file itself on request."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from PIL import Image

from suder_bench.errors import PictureError
from suder_bench.records import Embedded, ImageSource, Response, open_image
from suder_bench.reports import door
from suder_bench.runs.jsonl import replace_file
from suder_bench.runs.screen import Screen

SIDE = 256
"""Pixels of a small copy's longer side; smaller pictures, as the world's, are kept pixel by pixel."""

QUALITY = 80
"""Of WebP: about 10 kB for a photograph of this size."""

TYPES = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg", b"RIFF": "image/webp", b"GIF8": "image/gif"}


@dataclass(frozen=True)
class Picture:
    """`source` must lie in `root`, as what run folders hold is not trusted; data of the user's own have none."""

    source: ImageSource
    root: Path | None = None

    def read(self) -> tuple[str, bytes]:
        """Its type and bytes. Raises `OutsideError` for a file elsewhere, `PictureError` for one that cannot be read, and for any
        but a picture."""
        if isinstance(self.source, bytes):
            content = self.source
        elif isinstance(self.source, Embedded):
            content = self.source.read()
        else:
            try:
                content = door.read_bytes(self.source, self._given(self.source))
            except OSError as error:
                raise PictureError(f"{self.source} cannot be read ({error.strerror})") from None
        kind = next((kind for start, kind in TYPES.items() if content.startswith(start)), None)
        if kind is None:
            raise PictureError(f"{'a picture' if isinstance(self.source, bytes) else self.source} is of no known format")
        return kind, content

    def small(self) -> bytes:
        """A copy of at most `SIDE` pixels as WebP. Raises what `read` does."""
        if isinstance(self.source, bytes | Embedded):
            picture = open_image(self.source)
        else:
            picture = door.picture(self.source, self._given(self.source))
        whole = max(picture.size) <= SIDE
        if not whole:
            picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
        content = io.BytesIO()
        picture.save(content, "WEBP", lossless=whole, quality=QUALITY, method=2)
        return content.getvalue()

    def _given(self, source: Path) -> Path:
        return self.root or Path(source.resolve().anchor)


@dataclass
class Pictures:
    """All pictures of a site by their address in it, which changes with what a picture shows."""

    known: dict[str, Picture] = field(default_factory=dict)

    def of_response(self, run: Path, response: Response) -> str:
        relative = PurePosixPath(response.image or "")
        picture = Picture(run / relative, run)
        return self._add(picture, str(run), str(relative), response.digest)

    def of_question(self, source: ImageSource, root: Path | None = None) -> str:
        if isinstance(source, bytes):
            return self._add(Picture(source), hashlib.sha256(source).hexdigest())
        if isinstance(source, Embedded):
            return self._add(Picture(source), hashlib.sha256(source.read()).hexdigest())
        stamp = source.stat().st_mtime_ns if source.is_file() else 0
        return self._add(Picture(source, root), str(source), stamp)

    def write(self, site: Path, screen: Screen) -> int:
        """Small copies of all pictures below `site`, but for those that are there; copies of others are removed.

        Returns how many could not be read, which are told.
        """
        there = {path.relative_to(site).as_posix() for path in site.glob("pictures/*/*.webp")}
        for old in there - set(self.known):
            (site / old).unlink()
        new = [address for address in self.known if address not in there]

        def copy(address: str) -> str:
            try:
                replace_file(site / address, self.known[address].small())
            except PictureError as error:
                return f"left out: {error}"
            return ""

        lost: list[str] = []
        with screen.bar("pictures", len(new)) as bar, ThreadPoolExecutor() as pool:
            for block in _blocks(new):
                lost += filter(None, pool.map(copy, block))
                bar.advance(len(block))
        screen.say_some(lost, "pictures that cannot be read")
        return len(lost)

    def _add(self, picture: Picture, *identity: object) -> str:
        name = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:24]
        address = f"pictures/{name[:2]}/{name[2:]}.webp"
        self.known.setdefault(address, picture)
        return address


def _blocks(names: list[str], size: int = 64) -> Iterator[list[str]]:
    return (names[i : i + size] for i in range(0, len(names), size))
