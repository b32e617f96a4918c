"""Which pictures of a run were seen to be those that were drawn: one is decoded again only where its file has changed since.

A file in images/.seen holds 8 bytes for every picture: a digest of what the picture shows and of its file's size and time of
change. It is a memory and no proof: without it every picture is decoded, as after a copy that does not keep these times.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image

from suder_bench.errors import PictureError
from suder_bench.records import Response, open_image

FOLDER = ".seen"
STAMP = np.dtype("<u8")
_LAST = np.iinfo(STAMP).max


def picture_digest(picture: Image.Image) -> str:
    """sha256 of width, height and RGB pixels, whatever the file format."""
    size = f"{picture.width}x{picture.height}:".encode()
    return hashlib.sha256(size + picture.convert("RGB").tobytes()).hexdigest()


class Seen:
    """The pictures of a benchmark's responses in a run folder; this process notes what it saw in a file of its `writer`'s."""

    def __init__(self, run: Path, benchmark: str, writer: str) -> None:
        self._run, self._folder = run, run / "images" / FOLDER / benchmark
        self._own = self._folder / writer
        self._known: np.ndarray | None = None

    def note(self, responses: Sequence[Response]) -> None:
        """Remember these pictures as what their responses say. One that is not there is passed over; a disk may refuse."""
        stamps = [stamp for response in responses if (stamp := self._stamp(response))]
        if stamps:
            with suppress(OSError):
                self._folder.mkdir(parents=True, exist_ok=True)
                with open(self._own, "ab") as opened:
                    torn = -opened.tell() % STAMP.itemsize
                    opened.write(bytes(torn) + np.array(stamps, dtype=STAMP).tobytes())

    def checked(self, read: Sequence[Response | str], *, note: bool) -> list[Response | str]:
        """Each response, or why its picture is not the one that was drawn. What was decoded for it is remembered with `note`."""
        drawn = [(place, one) for place, one in enumerate(read) if isinstance(one, Response) and one.image is not None]
        stamps = np.array([self._stamp(one) for _, one in drawn], dtype=STAMP)
        strange = np.flatnonzero((self._all()[np.searchsorted(self._all(), stamps)] != stamps) | (stamps == 0))
        if not len(strange):
            return list(read)
        found, again = list(read), [drawn[i] for i in strange]
        with ThreadPoolExecutor() as pool:
            for (place, _), one in zip(again, pool.map(self._decoded, [one for _, one in again]), strict=True):
                found[place] = one
        if note:
            self.note([one for place, _ in again if isinstance(one := found[place], Response)])
        return found

    def _decoded(self, response: Response) -> Response | str:
        assert response.image is not None
        file = self._run / response.image
        try:
            picture = open_image(file)
        except PictureError as error:
            return str(error)
        return response if picture_digest(picture) == response.digest else f"{file} is not the picture that was drawn"

    def _stamp(self, response: Response) -> int:
        """0 where there is no such file."""
        try:
            file = os.stat(f"{self._run}/{response.image}")
        except (OSError, ValueError):
            return 0
        content = f"{response.digest} {file.st_size} {file.st_mtime_ns}".encode()
        return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little")

    def _all(self) -> np.ndarray:
        """What is known, in order, and `_LAST` at the end, so that there is always one that is not smaller."""
        if self._known is None:
            contents = []
            for file in sorted(self._folder.glob("*")):
                with suppress(OSError):  # a shard's of another user, perhaps; then its pictures are looked at
                    contents.append(file.read_bytes())
            parts = [np.frombuffer(one[: len(one) // STAMP.itemsize * STAMP.itemsize], STAMP) for one in contents]
            self._known = np.sort(np.concatenate([*parts, [_LAST]]).astype(STAMP, copy=False))
        return self._known
