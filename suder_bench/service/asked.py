"""What a request asks, taken apart without trust: which benchmark, which prompts, and pictures, by their header only.

A picture is unpacked by a worker, and only after its header said that it is small enough: a file of a kilobyte can hold a
picture that fills the memory.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NoReturn

from PIL import Image

from suder_bench.terms import NOTHING

FORMATS = ("PNG", "JPEG", "WEBP")
MOST_PIXELS = 4096 * 4096
"""Of one picture: a detector's hundred masks of so many pixels are 1.7 GB."""
MOST_RATIO = 32
"""Of the long side to the short one: judges that enlarge the short side enlarge the long one with it."""

NO_FILES: Mapping[str, bytes] = MappingProxyType({})
LONGEST = 64_000
"""Characters of a prompt, and of one item's metadata as JSON."""


class Refusal(Exception):
    """A request that is not answered: its HTTP status, a word for programs, and a line for people."""

    def __init__(self, status: int, code: str, message: str, *, wait: int | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.wait = status, code, wait


class FaultError(Exception):
    """What is wrong with one item; the others of its request are judged."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code

    @property
    def row(self) -> dict[str, Any]:
        return {"error": {"code": self.code, "message": " ".join(str(self).split())[:1000]}}


@dataclass(frozen=True)
class Asked:
    """One encoded picture and what it was drawn for: a prompt, what the benchmark's metadata say of it, or a sample's id.

    `pixels` counts those of its header. Without a picture it only asks whether this is something that can be judged.
    """

    benchmark: str
    picture: bytes
    pixels: int
    prompt: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
    sample: str | None = None


def document(body: bytes) -> Any:
    """Raises `Refusal` for what is no JSON object."""
    try:
        found = json.loads(body, parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise Refusal(400, "invalid_json", "the request is no JSON") from None
    if not isinstance(found, dict):
        raise Refusal(400, "invalid_json", "the request is no JSON object")
    return found


def items(found: Any, name: str, most: int) -> list[dict[str, Any]]:
    """The objects under a name of a request. Raises `Refusal` where there is none, or more than `most`."""
    listed = found.get(name)
    if not isinstance(listed, list) or not listed or not all(isinstance(item, dict) for item in listed):
        raise Refusal(400, "invalid_items", f"{name} is no list of objects, or an empty one")
    if len(listed) > most:
        raise Refusal(413, "too_many_items", f"{len(listed):,} items in a request; send {most:,} at most")
    return listed


def benchmark(found: Mapping[str, Any], served: Sequence[str]) -> str:
    """The benchmark that a request names, which it need not where only one is served. Raises `Refusal`."""
    named = found.get("benchmark")
    if named is None and len(served) == 1:
        return served[0]
    if named not in served:
        raise Refusal(404, "unknown_benchmark", f"benchmark {json.dumps(named)[:80]} is not served here; {', '.join(served)}")
    return str(named)


def question(item: Mapping[str, Any], name: str) -> Asked:
    """An item of `POST /v1/prompts`, which has no picture. Raises `FaultError`."""
    return one(name, b"", item.get("prompt"), item.get("metadata"), item.get("sample"))


def asked(item: Mapping[str, Any], name: str, parts: Mapping[str, bytes] = NO_FILES) -> Asked:
    """An item of `POST /v1/score`; `parts` are the files that came along. Raises `FaultError`."""
    part = item.get("part")
    if part is not None:
        if not isinstance(part, str) or part not in parts:
            raise FaultError("invalid_picture", f"no part {json.dumps(part)[:80]} in the request")
        encoded = parts[part] or b" "  # which is no picture either
    else:
        encoded = unpacked(item.get("picture"))
    return one(name, encoded, item.get("prompt"), item.get("metadata"), item.get("sample"))


def one(name: str, encoded: bytes, prompt: Any, metadata: Any, sample: Any = None) -> Asked:
    """One item, whatever it was called in its request. Raises `FaultError`."""
    for what, value in (("prompt", prompt), ("sample", sample)):
        if value is not None and not (isinstance(value, str) and len(value) <= LONGEST):
            raise FaultError(f"invalid_{what}", f"{what} is no text of at most {LONGEST:,} characters")
    if metadata is not None and not (isinstance(metadata, dict) and _fits(metadata)):
        raise FaultError("invalid_metadata", f"metadata is no object of at most {LONGEST:,} characters with finite numbers")
    prompt = prompt if prompt is not None else (metadata or {}).get("prompt")
    if sample is None and not (isinstance(prompt, str) and prompt.strip()):
        raise FaultError("invalid_prompt", "an item has a prompt, or metadata with one, or the id of a sample")
    return Asked(name, encoded, pixels(encoded) if encoded else 0, prompt, metadata or NOTHING, sample)


def _fits(metadata: dict[str, Any]) -> bool:
    try:
        return len(json.dumps(metadata, allow_nan=False)) <= LONGEST
    except ValueError:  # 1e999 is JSON, and infinite
        return False


def unpacked(text: Any) -> bytes:
    """The bytes of base64, also after "data:image/png;base64,". Raises `FaultError`."""
    if not isinstance(text, str) or not text:
        raise FaultError("invalid_picture", "picture is no base64 text of a PNG, JPEG or WebP file")
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        found = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        found = b""
    if not found:
        raise FaultError("invalid_picture", "picture is no base64 of anything")
    return found


def pixels(encoded: bytes) -> int:
    """How many a picture has, by its header. Raises `FaultError` for another format, and for too many."""
    try:
        with Image.open(io.BytesIO(encoded), formats=FORMATS) as opened:
            count, sides = opened.width * opened.height, opened.size
    except MemoryError:
        raise
    except Image.DecompressionBombError:
        count, sides = MOST_PIXELS + 1, (1, 1)
    except Exception as error:  # Pillow raises a dozen kinds on damaged files
        raise FaultError("invalid_picture", f"not a PNG, JPEG or WebP file that can be read ({type(error).__name__})") from None
    if count > MOST_PIXELS:
        raise FaultError("picture_too_large", f"a picture has at most {MOST_PIXELS:,} pixels")
    if max(sides) > MOST_RATIO * min(sides):
        raise FaultError("picture_too_large", f"a picture's long side is at most {MOST_RATIO} times its short one")
    return count


def each(listed: Sequence[Any], read: Callable[[Any], Asked]) -> list[Asked | FaultError]:
    """Every item, or what is wrong with it."""
    found: list[Asked | FaultError] = []
    for item in listed:
        try:
            found.append(read(item))
        except FaultError as fault:
            found.append(fault)
    return found


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
