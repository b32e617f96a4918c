"""Reading an option from an answer, case by case as lmms-eval 0.7.3 does, whose own code gave these letters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suder_bench.evaluators.answers import choices
from suder_bench.evaluators.answers.lmms_eval import anywhere, extract, letter, option_text

ANIMALS = {"A": "cat", "B": "dog", "C": "cow", "D": "pig"}


@pytest.mark.parametrize(
    ("text", "picked"),
    [
        ("B", "B"),
        ("B. dog", "B"),
        ("(C).", "C"),
        (":D)", "D"),
        ("A dog", "A"),
        ("A dog is here", None),
        ("A dog is (B)", "B"),
        ("E", "E"),
        ("B or E", None),
        ("B or C.", "B"),
        ("b", None),
        ("**B**", None),
        ("Failed to obtain answer via API. B", None),
    ],
)
def test_a_letter_is_a_word_and_an_a_may_be_an_article(text: str, picked: str | None) -> None:
    assert letter(text) == picked


def test_an_option_that_a_question_lacks_is_the_word_nan() -> None:
    assert option_text("a banana", {"A": "cat", "B": "dog", "C": "cow"}) == "D"
    assert option_text("a banana", {"A": "cat", "B": "dog"}) is None
    assert option_text("a CAT " * 1000, ANIMALS) == "A"


@pytest.mark.parametrize(
    ("text", "picked"),
    [
        ("**B**", "B"),
        ("it is C, not D", "D"),
        ("DNA is it", "A"),
        ("I think that the answer is B because C is wrong", "C"),
        ("(A) or B", "B"),
        ("B) or (A) it is", "B"),
        ("xBx", "B"),
        ("", None),
        (" ... ", None),
        ("none of them", None),
    ],
)
def test_what_is_left_is_looked_for_anywhere(text: str, picked: str | None) -> None:
    assert anywhere(text) == picked


@pytest.mark.parametrize(("text", "ours"), [("A", "A"), ("A dog is what I see", "B"), ("**B**", "B"), ("E", None)])
def test_where_it_agrees_with_vlmevalkit_and_where_not(text: str, ours: str | None) -> None:
    assert choices.extract(text, ANIMALS) == ours
    assert extract(text, ANIMALS) == (ours or "E")


@given(st.text(), st.text())
def test_no_answer_stops_it_and_none_before_changes_it(text: str, before: str) -> None:
    alone = extract(text, ANIMALS)
    extract(before, ANIMALS)
    assert extract(text, ANIMALS) == alone
    assert alone in (None, *"ABCDE")
