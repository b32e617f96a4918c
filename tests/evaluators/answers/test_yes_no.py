"""The yes/no parsers, case by case as the harnesses behave."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suder_bench.evaluators.answers import yes_no


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Yes", "yes"),
        ("No, there is not.", "no"),
        ("no", "no"),
        ("NO", "yes"),
        ("", "yes"),
        ("There is a dog. No cat.", "yes"),
        ("Yes, but not clearly visible.", "no"),
        ("No.", "no"),
        ("not-visible", "yes"),
        ("I do not see it", "no"),
        ("No\nYes", "yes"),
        (" no", "no"),
        (".No", "yes"),
        ("There's none", "yes"),
        ("Nothing", "yes"),
    ],
)
def test_official_pope_parser(text: str, said: str) -> None:
    assert yes_no.official(text) == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Yes, it is.", "yes"),
        ("No", "no"),
        ("NO!", "no"),
        ("Not at all", "neither"),
        ("**No**", "neither"),
        ("**Yes**", "neither"),
        ("Yes, there is no cat", "neither"),
        ("Yes: it is", "neither"),
        ("yes and no", "neither"),
        ("knowledge", "neither"),
        ("nan", "neither"),
        ("", "neither"),
        ("yes/maybe", "yes"),
        ("yes/ maybe, or not/so", "yes"),
        ("Yes,1,000 of them", "neither"),
        ("yes" + "." * 32, "yes"),
        ("yes" + "." * 33, "neither"),
    ],
)
def test_vlmevalkit_parser(text: str, said: str) -> None:
    assert yes_no.vlmevalkit(text) == said


LIST_OF_32 = "".join(f"{n}. a thing\n" for n in range(1, 33))


@pytest.mark.parametrize(
    ("text", "until_may_2025", "since"),
    [
        (f"{LIST_OF_32}No.", "neither", "no"),
        (f"{LIST_OF_32[:-12]}No.", "no", "no"),
        ("In 2024.Yes", "neither", "neither"),
        ("Yes 3.", "yes", "yes"),
        ("1.yes", "neither", "neither"),
        ("1. no", "no", "no"),
        ("1.no. 2", "neither", "neither"),
        ("no.1", "neither", "neither"),
        ("yes" + "." * 32, "yes", "yes"),
        ("yes" + "." * 33, "neither", "neither"),
    ],
)
def test_the_eras_of_vlmevalkits_full_stops(text: str, until_may_2025: str, since: str) -> None:
    assert yes_no.vlmevalkit(text, "2024") == until_may_2025
    assert yes_no.vlmevalkit(text, "2025-05") == since == yes_no.vlmevalkit(text)


@given(st.text(alphabet="yesno YESNO.,!?1\n-"), st.sampled_from(yes_no.ERAS))
def test_every_era_reads_what_holds_no_full_stop_alike(text: str, era: yes_no.Era) -> None:
    assert yes_no.vlmevalkit(text.replace(".", ""), era) == yes_no.vlmevalkit(text.replace(".", ""))


@pytest.mark.parametrize(("text", "said"), [("Yes", "yes"), (" no\n", "no"), ("Yes.", "neither"), ("", "neither")])
def test_lmms_eval_parser(text: str, said: str) -> None:
    assert yes_no.lmms_eval(text) == said


@given(st.text())
def test_every_text_has_a_reading(text: str) -> None:
    assert yes_no.official(text) in ("yes", "no")
    assert yes_no.vlmevalkit(text) in ("yes", "no", "neither")
    if yes_no.lmms_eval(text) != "neither":
        assert yes_no.vlmevalkit(text) == yes_no.lmms_eval(text)
