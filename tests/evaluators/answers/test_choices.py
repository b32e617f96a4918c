"""Reading an option from an answer, case by case as VLMEvalKit does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suder_bench.evaluators.answers.choices import ERAS, Era, explain, extract, letter, option_text

ANIMALS = {"A": "cat", "B": "dog", "C": "cow", "D": "pig"}
SKY = "The answer is B because the sky looks very blue today"


@pytest.mark.parametrize(
    ("text", "picked"),
    [
        ("B", "B"),
        ("B. dog", "B"),
        ("(C)", "C"),
        ("A or B", None),
        ("a", None),
        ("Z", "Z"),
        ("**B**", "B"),
        ("Answer: B", "B"),
        ("nan", None),
        ("", None),
        ("Failed to obtain answer via API. B", None),
        ("I can't process this file.", "Z"),
        ("the correct answer is **C**, for it moos and gives milk", "C"),
        ("the correct answer is (C), for it moos and gives milk", None),
    ],
)
def test_letter(text: str, picked: str | None) -> None:
    assert letter(text, ANIMALS) == picked


@pytest.mark.parametrize(
    ("text", "era", "picked"),
    [
        (SKY, "2024", "B"),
        (SKY, "2025-08", None),
        (SKY, "2026-06", "B"),
        ("B is it, by all I see", "2024", "B"),
        ("B is it, by all I see", "2025-08", None),
        ("B is it, by all I see", "2026-06", None),
        ("The answer is blue", "2025-08", None),
    ],
)
def test_a_letter_far_from_the_end_depends_on_the_era(text: str, era: Era, picked: str | None) -> None:
    assert letter(text, ANIMALS, era) == picked


@pytest.mark.parametrize(("words_after", "picked"), [(3, "B"), (4, None)])
def test_only_the_last_four_words_hold_a_letter(words_after: int, picked: str | None) -> None:
    assert letter("B" + " so" * words_after, ANIMALS) == picked


def test_a_letter_without_an_option_is_no_letter() -> None:
    two = {"A": "cat", "B": "dog"}
    assert letter("D", two) is None
    assert extract("D", two) is None
    assert extract("D, a dog", two) == "B"


def test_an_article_is_taken_for_the_letter() -> None:
    assert extract("A dog", {"A": "cat", "B": "dog"}) == "A"


def test_statements_need_no_word_end() -> None:
    assert letter("The answer is blue", ANIMALS) == "B"
    assert letter("The answer is blue", {"A": "red"}) is None


@pytest.mark.parametrize(
    ("text", "options", "picked"),
    [
        ("It is a cute teddy bear", {"A": "teddy bear", "B": "rabbit", "C": "cat", "D": "dog"}, "A"),
        ("cat and dog", {"A": "cat", "B": "cat and dog"}, None),
        ("One", {"A": "One", "B": "Two", "C": "Three", "D": "Four"}, "A"),
        ("it shows 12", {"A": "12", "B": "7", "C": "30 apples"}, "A"),
        ("b", {"A": "teapot", "B": "bowl"}, None),
        ("nan", ANIMALS, None),
    ],
)
def test_option_text(text: str, options: dict[str, str], picked: str | None) -> None:
    assert option_text(text, options) == picked
    assert extract(text, options) == picked


def test_long_answers_are_searched_in_the_old_rules_only() -> None:
    text = "there might well be, on the left of it, a dog"
    assert option_text(text, ANIMALS) is None
    assert option_text(text, ANIMALS, "2024") == "B"


def test_the_limit_is_on_the_small_letters_of_an_answer() -> None:
    """A dotted capital I is two characters when small: 10 of them and "cat" are 13 characters as written, and 23 as compared."""
    options = {"A": "cat", "B": "elephants"}
    text = "\u0130" * 10 + "cat"
    assert len(text) < 2 * 12 < 2 * len(text.lower())
    assert option_text(text, options) == "A"
    assert option_text("\u0130" + text, options) is None
    assert option_text("\u0130" + text, options, "2024") == "A"


def test_options_that_hold_letters_are_fine() -> None:
    assert extract("C", {"A": "A and B", "B": "B", "C": "A"}) == "C"


@given(st.text(), st.sampled_from(ERAS))
def test_what_is_picked_is_an_option(text: str, era: Era) -> None:
    assert extract(text, ANIMALS, era) in (None, "Z", *ANIMALS)


@given(st.sampled_from("ABCD"), st.sampled_from(["{}", "{}.", "({})", "**{}**", "Answer: {}", "{}: it is"]))
def test_every_era_reads_a_plain_letter(option: str, form: str) -> None:
    assert {extract(form.format(option), ANIMALS, era) for era in ERAS} == {option}


@pytest.mark.parametrize(
    ("picked", "words"),
    [("A", "A is right"), ("B", "B (dog) picked, A (cat) expected"), (None, "no option can be read from it, A (cat) expected")],
)
def test_reasons(picked: str | None, words: str) -> None:
    assert explain(picked, "A", ANIMALS) == words
