"""What the servers of the chat-completions interface send: a reply's text, a refusal's reason, a pause. None of it is trusted."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote

from suder_bench.evaluators import thoughts

LONGEST = 1_000
"""Characters of a server's words in an error line."""

_THOUGHTS = ("reasoning_content", "reasoning")
"""Where servers that take the thought out of the text put it: vLLM, SGLang, DeepSeek; newer vLLM, OpenRouter."""


class NoReplyError(Exception):
    """A reply without a text. `whole`: it is a chat completion all the same; `cut_off`: it ran out of tokens."""

    def __init__(self, reason: str, *, whole: bool = False, cut_off: bool = False) -> None:
        super().__init__(reason)
        self.whole, self.cut_off = whole, cut_off


def said(body: bytes) -> str:
    """The text of the first choice, with what the model thought as a block in front of it (`thoughts.split`).

    Raises `NoReplyError`; blanks, and a thought that never ends, are no text.
    """
    document = _json(body)
    try:
        choice = document["choices"][0]
        message = choice["message"]
        content, refusal = message.get("content"), message.get("refusal")
    except (AttributeError, KeyError, IndexError, TypeError):
        raise NoReplyError(f"no choices[0].message in {explanation(body) or 'an empty body'}") from None
    thought, text = _parts(content)
    thought = thought or next((message[name] for name in _THOUGHTS if isinstance(message.get(name), str)), "")
    if text is not None and thoughts.split(text)[1].strip():
        whole = thoughts.joined(thought.replace(thoughts.BLOCKS[0][1], ""), text)
        return whole.encode("utf-8", "replace").decode()  # half a surrogate pair cannot be written down
    held = "a thought without an end" if text and text.strip() else repr(text)
    reason = f"refusal: {refusal}" if isinstance(refusal, str) else f"content: {held}"
    raise NoReplyError(reason, whole=True, cut_off=choice.get("finish_reason") == "length")


def explanation(body: bytes) -> str:
    """What a body says of an error: its `error.message`, `message` or `detail` where it is JSON, else all of it."""
    text = body.decode(errors="replace")
    try:
        found = json.loads(text)
        for name in ("error", "message", "detail"):
            if isinstance(found, Mapping) and found.get(name):
                found = found[name]
        return found if isinstance(found, str) else json.dumps(found)
    except (ValueError, RecursionError):
        return text


def seconds_to_wait(headers: Mapping[str, str], now: float) -> float:
    """The pause that a server asks for: Retry-After in seconds or as a date, or the finer retry-after-ms; 0 for none."""
    for name, scale in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            wait = float(headers.get(name, "")) / scale
        except ValueError:
            continue
        if math.isfinite(wait):
            return max(0.0, wait)
    try:
        return max(0.0, parsedate_to_datetime(headers.get("retry-after", "")).timestamp() - now)
    except (ValueError, TypeError, OverflowError):
        return 0.0


def one_line(text: str) -> str:
    """At most `LONGEST` characters on one line, without control characters, which a terminal would obey."""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text[: 4 * LONGEST]).split())
    return line if len(line) <= LONGEST else f"{line[:LONGEST]} ..."


def spellings(key: str) -> list[str]:
    """How a server may write a key that it was sent, the longest first; nothing for no key."""
    return sorted({key, quote(key, safe=""), json.dumps(key)[1:-1]} - {""}, key=len, reverse=True)


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise NoReplyError(f"no JSON: {body[:LONGEST].decode(errors='replace')}" if body else "an empty body") from None


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
