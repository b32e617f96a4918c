"""Where requests are sent, and the key that goes along. Neither is quoted where it might hold a secret."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

from suder_bench.errors import UserError
from suder_bench.remote.words import one_line

URL, KEY = "OPENAI_BASE_URL", "OPENAI_API_KEY"
TOKEN = "SUDER_BENCH_TOKEN"
"""Where the token of a `suder-bench serve` stands, for the server and for those who ask it."""

LOCAL = ("localhost", "127.0.0.1", "::1")


def is_local(url: str) -> bool:
    return urlsplit(url).hostname in LOCAL


def check_address(who: str, url: str, *, key: str = KEY) -> None:
    """Raises `UserError` for what is no place to send requests to; `who` begins its line, `key` is where a key may stand."""
    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        sound = False
    if sound and (parts.username is not None or parts.password is not None):  # it would stand in run.json and in every error
        raise UserError(f"{who}: the address of {parts.hostname} holds a user or password; give the key in {key}")
    if not sound or parts.query or not url.isprintable() or " " in url:
        raise UserError(f"{who}: '{one_line(url)}' is no address of an endpoint; for example http://localhost:8000/v1")


def key_in(variable: str, who: str) -> str | None:
    """The key that the environment holds. Raises `UserError` as `key_of` does."""
    return key_of(os.environ.get(variable, ""), variable, who)


def key_of(text: str, place: str, who: str) -> str | None:
    """The key that stands in `place`. Raises `UserError` for what no header can hold, without quoting it as libraries do."""
    key = text.strip()
    if not key.isascii() or not key.isprintable() or " " in key:
        raise UserError(f"{who}: {place} holds a blank, a line break or a letter that no key has; set it anew")
    return key or None
