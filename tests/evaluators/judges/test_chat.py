"""Whatever a server sends is a text, the lack of one, or a reason on one line; never an exception of another kind."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suder_bench.evaluators.answers import thoughts
from suder_bench.evaluators.judges import chat
from suder_bench.remote import words
from suder_bench.remote.chat import NoReplyError

NAMES = st.sampled_from(["choices", "message", "content", "text", "thinking", "type", "reasoning", "refusal", "error", "detail"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)


def read(body: bytes) -> str | None:
    text, reason = None, ""
    try:
        text = chat.said(body)
    except NoReplyError as error:
        reason = str(error)
    assert words.one_line(reason).isprintable()
    if text is not None:
        assert thoughts.split(text)[1].strip()
        text.encode()
    return text


@given(JSON)
def test_any_document_is_read_or_refused(document: Any) -> None:
    read(json.dumps(document).encode())


@given(JSON, st.dictionaries(NAMES, JSON, max_size=3))
def test_any_message_is_read_or_refused(content: Any, others: dict[str, Any]) -> None:
    text = read(json.dumps({"choices": [{"message": {**others, "content": content}, "finish_reason": content}]}).encode())
    if isinstance(content, int | float | dict | None):
        assert text is None


@given(st.binary())
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    read(body)
    assert isinstance(words.explanation(body), str)


@given(st.text())
def test_a_text_comes_out_as_it_was_sent(text: str) -> None:
    body = json.dumps({"choices": [{"message": {"content": text}}]}).encode()
    if thoughts.split(text)[1].strip():
        assert read(body) == text


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"error": {"message": "too long", "code": 400}}, "too long"),
        ({"error": "too long"}, "too long"),
        ({"message": "too long"}, "too long"),
        ({"detail": [{"msg": "too long"}]}, '[{"msg": "too long"}]'),
        ({"error": {"code": 400}}, '{"code": 400}'),
        ("too long", "too long"),
        ([], "[]"),
    ],
)
def test_a_reason_is_found_where_servers_put_it(body: Any, reason: str) -> None:
    assert words.explanation(json.dumps(body).encode()) == reason


@given(st.text())
def test_a_line_is_one_line(text: str) -> None:
    line = words.one_line(text)
    assert line.isprintable()
    assert len(line) <= words.LONGEST + 4


NOW = datetime(2026, 1, 1, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 0),
        ({"retry-after": "20"}, 20),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "Thu, 01 Jan 2026 00:00:30 GMT"}, 30),
        ({"retry-after": "Wed, 31 Dec 2025 00:00:00 GMT"}, 0),
        ({"retry-after-ms": "1500", "retry-after": "2"}, 1.5),
        ({"retry-after-ms": "soon", "retry-after": "2"}, 2),
        ({"retry-after": "-3"}, 0),
        ({"retry-after": "nan"}, 0),
        ({"retry-after": "1e999"}, 0),
        ({"retry-after": "tomorrow"}, 0),
    ],
)
def test_the_pause_that_a_server_asks_for(headers: dict[str, str], seconds: float) -> None:
    assert words.seconds_to_wait(headers, NOW) == seconds


@given(st.dictionaries(st.sampled_from(["retry-after", "retry-after-ms"]), st.text()))
def test_any_header_is_a_pause(headers: dict[str, str]) -> None:
    assert 0 <= words.seconds_to_wait(headers, NOW) < float("inf")
