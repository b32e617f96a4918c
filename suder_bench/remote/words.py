"""What servers say around a reply: a refusal's reason, a pause, and how either is shown."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from email.utils import parsedate_to_datetime
from urllib.parse import quote

LONGEST = 1_000
"""Characters of a server's words in an error line."""


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


def is_filtered(body: bytes, signs: Collection[str]) -> bool:
    """Whether the code or type of an error has one of the words in `signs`."""
    try:
        error = json.loads(body)["error"]
        told = [str(error.get(name) or "") for name in ("code", "type")]
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return False
    return any(sign in text for text in told for sign in signs)


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
