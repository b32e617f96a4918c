"""How judges behind an address are asked: what the command line says, what run.json keeps, and back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suder_bench.errors import UserError
from suder_bench.terms import Terms, arguments, checked, joined, words


@pytest.mark.parametrize(
    ("pair", "expected"),
    [
        ("llm.temperature=null", {"llm": {"temperature": None}}),
        ("llm.temperature=0.7", {"llm": {"temperature": 0.7}}),
        ("llm.stop=\n", {"llm": {"stop": "\n"}}),
        ("llm.service_tier=flex", {"llm": {"service_tier": "flex"}}),
        ('llm.service_tier="1"', {"llm": {"service_tier": "1"}}),
        ("llm.limit=NaN", {"llm": {"limit": "NaN"}}),  # no JSON, and no request could hold it as a number
        ('mllm.chat_template_kwargs={"enable_thinking": false}', {"mllm": {"chat_template_kwargs": {"enable_thinking": False}}}),
        ("llm.a=b=c", {"llm": {"a": "b=c"}}),
    ],
)
def test_a_setting_is_json_or_a_text(pair: str, expected: dict[str, Any]) -> None:
    assert arguments([pair]) == expected


def test_the_last_of_two_settings_counts_and_others_stay() -> None:
    assert arguments(["llm.seed=1", "mllm.seed=2", "llm.seed=3"]) == {"llm": {"seed": 3}, "mllm": {"seed": 2}}
    assert joined({"llm": {"seed": 1, "top_p": 1}}, {"llm": {"seed": None}, "mllm": {"seed": 2}}) == {
        "llm": {"seed": None, "top_p": 1},
        "mllm": {"seed": 2},
    }
    assert Terms(arguments={"llm": {"seed": 1}, "mllm": {"seed": 2}}).only(["mllm"]).arguments == {"mllm": {"seed": 2}}


@pytest.mark.parametrize("pair", ["", "=", "llm", "llm=1", "llm.=1", ".seed=1", "seed=1"])
def test_another_form_is_refused_with_an_example(pair: str) -> None:
    with pytest.raises(UserError, match=r"is not ROLE.SETTING=VALUE; for example --judge-args llm.temperature=null"):
        arguments([pair])


@pytest.mark.parametrize("setting", ["model", "messages", "stream"])
def test_what_makes_a_request_the_benchmarks_cannot_be_set(setting: str) -> None:
    with pytest.raises(UserError, match=rf"^here: llm.{setting} cannot be set"):
        checked({"llm": {setting: 1}}, "here")


NAMES = st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=8).filter(
    lambda name: name not in ("model", "messages", "stream")
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@given(st.dictionaries(st.sampled_from(["llm", "mllm"]), st.dictionaries(NAMES, VALUES, min_size=1, max_size=3), max_size=2))
def test_what_run_json_keeps_can_be_typed_again(given_settings: dict[str, dict[str, Any]]) -> None:
    kept = checked(json.loads(json.dumps(given_settings)), "run.json")
    assert arguments(words(kept)[1::2]) == kept
