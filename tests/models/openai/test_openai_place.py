"""What may stand after `openai:`."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suder_bench.errors import UserError
from suder_bench.models.openai import place
from suder_bench.models.reference import choose


def test_model_address_and_settings_are_read() -> None:
    found = place.read("Qwen/Qwen2.5-VL-7B@https://a.b:8000/v1/#concurrency=8,timeout=30,image.size=512x512,chat.max_tokens=null")
    assert (found.model, found.url, found.concurrency, found.timeout) == ("Qwen/Qwen2.5-VL-7B", "https://a.b:8000/v1", 8, 30)
    assert (found.image, found.chat) == ({"size": "512x512"}, {"max_tokens": None})


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ("gpt", "is not openai:MODEL@URL"),
        ("gpt@ftp://a/v1", "is not openai:MODEL@URL"),
        ("gpt@http://", "is no address of an endpoint"),
        ("gpt@http://a b/v1", "is no address of an endpoint"),
        ("gpt@http://a/v1?key=1", "is no address of an endpoint"),
        ("gpt@http://me:secret-word@a/v1", "holds a user or password; give the key in SUDER_BENCH_MODEL_KEY"),
        ("gpt@http://a/v1#speed=1", r"unknown setting .* 'speed=1'"),
        ("gpt@http://a/v1#concurrency=0", "concurrency=0 is not a whole number above 0"),
        ("gpt@http://a/v1#concurrency=true", "concurrency=true is not a whole number"),
        ("gpt@http://a/v1#timeout=soon", "timeout=soon is not a number"),
        ("gpt@http://a/v1#seed=1", "seed=1 is not true or false"),
        ("gpt@http://a/v1#chat.messages=1", "chat.messages cannot be set"),
    ],
)
def test_mistakes_are_one_line_without_a_secret(reference: str, says: str) -> None:
    with pytest.raises(UserError, match=says) as caught:
        place.read(reference)
    assert "secret-word" not in str(caught.value)


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    for reference in (text, f"m@http://a/v1#{text}"):
        with suppress(UserError):
            assert place.read(reference).url.startswith("http")


def test_a_run_is_named_after_the_model_and_leaves_guidance_to_it() -> None:
    found = choose("openai:org/model-7b@http://127.0.0.1:1/v1#concurrency=2")
    assert (found.label, found.guidance, found.world, found.stamp()) == ("model-7b", None, False, None)


def test_a_key_that_no_header_can_hold_is_not_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDER_BENCH_MODEL_KEY", "two words-of-a-key")
    with pytest.raises(UserError, match="SUDER_BENCH_MODEL_KEY holds a blank") as caught:
        choose("openai:m@http://127.0.0.1:1/v1").check()
    assert "of-a-key" not in str(caught.value)
