"""Whatever a server sends is a text, the lack of one, or a reason on one line; never an exception of another kind."""

from __future__ import annotations

import json
from typing import Any

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
