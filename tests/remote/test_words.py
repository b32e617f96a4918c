"""What servers say around a reply, whatever it is: a reason, a pause, a line, a refusal by a filter."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suder_bench.remote import words
from suder_bench.remote.client import REFUSALS


@pytest.mark.parametrize(
    ("error", "filtered"),
    [
        ({"code": "content_policy_violation"}, True),
        ({"code": None, "type": "image_generation_user_error", "message": "content_filter"}, False),
        ({"code": "moderation_blocked", "type": "image_generation_user_error"}, True),
        ({"code": 400, "type": "BadRequestError"}, False),
        ("content_filter", False),
        (None, False),
    ],
)
def test_a_filter_is_known_by_code_and_type_and_not_by_what_is_said(error: Any, filtered: bool) -> None:
    assert words.is_filtered(json.dumps({"error": error}).encode(), REFUSALS) is filtered


@given(st.binary())
def test_any_body_is_filtered_or_not(body: bytes) -> None:
    assert words.is_filtered(body, REFUSALS) in (True, False)


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
