"""Whatever a server replies with is what was asked for, or a reason on one line; never an exception of another kind."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai_server import document, loaded, server_of
from PIL import Image

from suder_bench.errors import UserError
from suder_bench.models.openai import replies

NAMES = st.sampled_from(
    ["data", "choices", "message", "content", "b64_json", "url", "revised_prompt", "per_token", "tokens", "prompt_logprobs"]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
READERS: list[Callable[[bytes], Any]] = [
    replies.picture,
    replies.answer,
    replies.per_token,
    replies.tokens,
    replies.detokenized,
    lambda body: replies.last_logprobs(body, [1, 2]),
]


@pytest.mark.parametrize("reader", READERS)
@given(body=st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_reply_is_read_or_refused(reader: Callable[[bytes], Any], body: bytes) -> None:
    try:
        found = reader(body)
    except replies.UnreadableError as error:
        found = str(error)
    assert isinstance(found, str | list | Image.Image)


@given(st.lists(JSON, min_size=1, max_size=3))
def test_any_numbers_are_log_probabilities_or_refused(values: list[Any]) -> None:
    try:
        found = replies.per_token(json.dumps({"data": [{"per_token": values}]}).encode())
    except replies.UnreadableError:
        return
    assert found == values
    assert max(found) <= replies.ROUNDING


@given(JSON, JSON, JSON)
def test_whatever_a_server_tells_of_its_model_is_read_or_refused(tasks: Any, settings: Any, others: Any) -> None:
    umm = {"tasks": tasks, "settings": settings, "estimator": others, "revision": others, "image_size": others}
    with server_of({"/models": document({"data": [{"id": "m", "umm": umm, "owned_by": others}, others]})}) as server:
        model = loaded(server)
        json.dumps(model.settings).encode()
        assert all(isinstance(value, str) and value.isprintable() for value in model.settings.values())


def test_a_list_of_other_models_is_shown_on_one_line() -> None:
    listed = document({"data": [{"id": "a\x1b[2J\nb"}, {"id": 3}, {}]})
    with server_of({"/models": listed}) as server, pytest.raises(UserError, match="unknown model of") as caught:
        loaded(server)
    assert str(caught.value).isprintable()
