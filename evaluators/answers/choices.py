"""Which option a free answer to a multiple-choice question picks, by VLMEvalKit's rules. Used by MMBench and SEED-Bench.

The letter is looked for first, then an option's text. VLMEvalKit asks a language model next and finally draws a letter
at random; both are left out here, so that an answer nobody can read stays None and is counted ("unextracted").
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

Era = Literal["2024", "2025-08", "2026-06"]
"""VLMEvalKit's rules changed: since 2025-08-04 a letter must be among the last four words and long answers are not searched
for option texts, and since 2026-06-17 "the answer is B" counts anywhere."""

ERAS: tuple[Era, ...] = ("2024", "2025-08", "2026-06")
LATEST: Era = "2026-06"
REFUSED = "Z"
API_FAILURE = "Failed to obtain answer via API"
REFUSALS = (
    "Sorry, I can't help with images of people yet.",
    "I can't process this file.",
    "I'm sorry, but without the image provided",
    "Cannot determine the answer",
)
MARKS = ".()[],:;!*#{}"
"""What stands for a blank between words."""

STATED = re.compile(r"answer\s+is\s+\**([a-d])", re.IGNORECASE)


def letter(text: str, options: Mapping[str, str], era: Era = LATEST) -> str | None:
    """The option letter that the text names, "Z" for a refusal, None if it names none or several.

    Only upper-case letters of options that exist count, as whole words. Like the original, a lone article "A" is
    the letter A, and since 2026-06 "the answer is blue" is B.
    """
    if API_FAILURE in text:
        return None
    if any(phrase in text for phrase in REFUSALS):
        return REFUSED
    words = _words(text)
    named = [option for option in options if option in words]
    if len(named) == 1 and (era == "2024" or words.index(named[0]) >= len(words) - 4):
        return named[0]
    if not named and REFUSED in words:
        return REFUSED
    stated = STATED.search(text) if era == "2026-06" else None
    return stated[1].upper() if stated and stated[1].upper() in options else None


def _words(text: str) -> list[str]:
    for mark in MARKS:  # in less than half of the time that `translate` takes
        text = text.replace(mark, " ")
    return text.split()


def option_text(text: str, options: Mapping[str, str], era: Era = LATEST) -> str | None:
    """The letter of the only option whose whole text, in any case, is part of the answer."""
    text = text.lower()  # which is longer where a letter has no small one of its own, as the Turkish dotted I
    if era != "2024" and len(text) > 2 * sum(map(len, options.values())):
        return None
    named = [option for option, value in options.items() if value.lower() in text]
    return named[0] if len(named) == 1 else None


def extract(text: str, options: Mapping[str, str], era: Era = LATEST) -> str | None:
    """The letter, or else the option text, that the answer names; None if neither can be told."""
    return letter(text, options, era) or option_text(text, options, era)


def explain(picked: str | None, answer: str, options: Mapping[str, str]) -> str:
    """The reason's second half: what was read from the answer, and what was expected."""
    expected = f"{answer} ({options[answer]}) expected"
    if picked is None:
        return f"no option can be read from it, {expected}"
    if picked == REFUSED:
        return f"a refusal, {expected}"
    return f"{picked} is right" if picked == answer else f"{picked} ({options[picked]}) picked, {expected}"
