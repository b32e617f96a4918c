"""What goes into the requests of `openai:`, and what comes out of the replies: a picture, an answer, numbers. None is trusted."""

from __future__ import annotations

import base64
import binascii
import io
import re
from collections.abc import Sequence
from typing import Any

from PIL import Image

from suder_bench.records import REVISED
from suder_bench.remote.chat import NoReplyError, data_uri, document_of, message, whole_letters
from suder_bench.rgb import to_rgb

IMAGE = {"response_format": "b64_json", "output_format": "png"}
"""Asked of every picture: JPEG's traces change what judges see, and no other address is opened for one."""

CHAT = ("temperature", "max_tokens", "seed")
FORMATS = ("PNG", "JPEG", "WEBP")
MOST_PIXELS = 64_000_000
"""A small file can hold a picture that fills the memory."""


LEAST, ROUNDING = -1e30, 1e-5
"""Nats of a token: none is impossible, and none is sure but for rounding."""


class UnreadableError(Exception):
    """A reply that holds not what was asked for; completes "URL ..."."""


def turn(images: Sequence[Image.Image], text: str) -> dict[str, Any]:
    """The user's turn: pictures, then the text."""
    return {"role": "user", "content": parts(images, text)}


def parts(images: Sequence[Image.Image], text: str) -> list[dict[str, Any]]:
    shown = [{"type": "image_url", "image_url": {"url": data_uri(image.convert("RGB"))}} for image in images]
    return [*shown, {"type": "text", "text": text}]


def picture(body: bytes) -> Image.Image:
    """RGB; the prompt that a server made of the one it was sent is in `info`."""
    document = _document(body)
    try:
        drawn = document["data"][0]
        encoded, revised = drawn.get("b64_json"), drawn.get(REVISED)
    except (AttributeError, KeyError, IndexError, TypeError):
        raise UnreadableError("replied without a picture (no data[0])") from None
    if not isinstance(encoded, str):
        where = "the address of a picture, which is not opened" if drawn.get("url") else "no b64_json"
        raise UnreadableError(f"replied without a picture ({where})")
    try:
        opened = Image.open(io.BytesIO(base64.b64decode(encoded, validate=True)), formats=FORMATS)
        if opened.width * opened.height > MOST_PIXELS:
            raise ValueError(f"{opened.width} x {opened.height} pixels are too many")
        found = to_rgb(opened)
    except (binascii.Error, Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
        raise UnreadableError(f"replied with a picture that cannot be read ({error})") from None
    found.info = {REVISED: whole_letters(revised)} if isinstance(revised, str) and revised.strip() else {}
    return found


def answer(body: bytes) -> str:
    """What the model said, which may be nothing."""
    try:
        found = message(body)
    except NoReplyError as error:
        raise UnreadableError(f"replied without an answer ({error})") from None
    if found.refusal is not None or found.finish == "content_filter":
        raise UnreadableError(f"refuses this request ({found.refusal or 'content_filter'}); it counts as failed")
    if found.text is None and (found.finish == "length" or found.thought):
        raise UnreadableError(
            "replied without an answer (it ran out of tokens); allow more with #chat.max_tokens=N after the address"
        )
    return whole_letters(found.text or "")


def per_token(body: bytes) -> list[float]:
    """The log-probabilities, in nats, of the only item of /v1/loglikelihood."""
    document = _document(body)
    try:
        values = document["data"][0]["per_token"]
    except (KeyError, IndexError, TypeError):
        raise UnreadableError("replied without data[0].per_token") from None
    return numbers(values, "data[0].per_token")


def numbers(values: Any, what: str) -> list[float]:
    """Raises `UnreadableError` for what are no log-probabilities."""
    if not isinstance(values, list) or not values or not all(type(value) in (int, float) for value in values):
        raise UnreadableError(f"replied with {what} that are no numbers")
    if not all(LEAST <= value <= ROUNDING for value in values):  # NaN is neither
        raise UnreadableError(f"replied with {what} that are no log-probabilities (one is above 0 or infinite)")
    return [float(value) for value in values]


def tokens(body: bytes) -> list[int]:
    """The ids of /tokenize."""
    found = _document(body)
    values = found.get("tokens") if isinstance(found, dict) else None
    if not isinstance(values, list) or not all(type(value) is int for value in values):
        raise UnreadableError("replied without tokens")
    return values


def detokenized(body: bytes) -> str:
    """The text of /detokenize."""
    found = _document(body)
    text = found.get("prompt") if isinstance(found, dict) else None
    if not isinstance(text, str):
        raise UnreadableError("replied without a prompt")
    return text


def last_logprobs(body: bytes, tail: Sequence[int]) -> list[float]:
    """Of vLLM's prompt_logprobs those of the last tokens, which must be `tail`."""
    found = _document(body)
    listed = found.get("prompt_logprobs") if isinstance(found, dict) else None
    if not isinstance(listed, list) or len(listed) < len(tail):
        raise UnreadableError("replied without prompt_logprobs")
    values = []
    for token, entry in zip(tail, listed[-len(tail) :], strict=True):
        try:
            values.append(entry[str(token)]["logprob"])
        except (KeyError, TypeError):
            raise UnreadableError("replied with prompt_logprobs of other tokens than the text's") from None
    return numbers(values, "prompt_logprobs")


def names(why: str, setting: str) -> bool:
    """Whether a refusal names a setting."""
    return re.search(rf"\b{re.escape(setting)}\b", why) is not None


def _document(body: bytes) -> Any:
    try:
        return document_of(body)
    except NoReplyError as error:
        raise UnreadableError(f"replied with {error}") from None
