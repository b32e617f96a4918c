"""A reply of the chat-completions interface, taken apart: what the model thought, what it said, and how it ended."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from suder_bench.remote.words import LONGEST, explanation

_THOUGHTS = ("reasoning_content", "reasoning")
"""Where servers that take the thought out of the text put it: vLLM, SGLang, DeepSeek; newer vLLM, OpenRouter."""


class NoReplyError(Exception):
    """A reply without a text. `whole`: it is a chat completion all the same; `cut_off`: it ran out of tokens; `refused`: the
    model would not, or was not let."""

    def __init__(self, reason: str, *, whole: bool = False, cut_off: bool = False, refused: bool = False) -> None:
        super().__init__(reason)
        self.whole, self.cut_off, self.refused = whole, cut_off, refused


@dataclass(frozen=True)
class Message:
    """The first choice. `text` is None where the content is none, and `finish` what ended it ("stop", "length", ...)."""

    thought: str
    text: str | None
    refusal: str | None
    finish: Any


def message(body: bytes) -> Message:
    """Raises `NoReplyError` for what is no chat completion."""
    document = document_of(body)
    try:
        choice = document["choices"][0]
        said = choice["message"]
        content, refusal = said.get("content"), said.get("refusal")
        finish = choice.get("finish_reason")
    except (AttributeError, KeyError, IndexError, TypeError):
        raise NoReplyError(f"no choices[0].message in {explanation(body) or 'an empty body'}") from None
    thought, text = _parts(content)
    thought = thought or next((said[name] for name in _THOUGHTS if isinstance(said.get(name), str)), "")
    return Message(thought, text, refusal if isinstance(refusal, str) else None, finish)


MOST_TOKENS = 10**9
"""Of one reply; a server that tells more tells nothing."""


def usage(body: bytes) -> tuple[int, int] | None:
    """Tokens of input and output that a reply says it took, None where it does not."""
    try:
        told = document_of(body)["usage"]
        found = told["prompt_tokens"], told.get("completion_tokens", 0)
    except (NoReplyError, AttributeError, KeyError, TypeError):
        return None
    return found if all(type(count) is int and 0 <= count <= MOST_TOKENS for count in found) else None


def document_of(body: bytes) -> Any:
    """Raises `NoReplyError` for what is no JSON."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise NoReplyError(f"no JSON: {body[:LONGEST].decode(errors='replace')}" if body else "an empty body") from None


def data_uri(picture: Image.Image) -> str:
    """The picture as a PNG in a "data:" address."""
    encoded = io.BytesIO()
    picture.save(encoded, format="PNG")
    return f"data:image/png;base64,{base64.b64encode(encoded.getvalue()).decode()}"


def whole_letters(text: str) -> str:
    """The text without halves of surrogate pairs, which cannot be written down."""
    return text.encode("utf-8", "replace").decode()


def _parts(content: Any) -> tuple[str, str | None]:
    """(thought, text) of a message's content, which is a text or a list of typed parts (Mistral)."""
    if not isinstance(content, list):
        return "", content if isinstance(content, str) else None
    parts = [part for part in content if isinstance(part, Mapping)]
    thought = [inner for part in parts if isinstance(part.get("thinking"), list) for inner in part["thinking"]]
    return _joined(thought), _joined(parts)


def _joined(parts: Sequence[Any]) -> str:
    found = (part.get("text") for part in parts if isinstance(part, Mapping))
    return "".join(text for text in found if isinstance(text, str))
