"""What a free answer to a yes/no question says, by each harness's own rule. Used by POPE and HallusionBench."""

from __future__ import annotations

import re
from typing import Literal

YES, NO, NEITHER = "yes", "no", "neither"

Era = Literal["2024", "2025-05"]
"""VLMEvalKit's rule of full stops changed on 2025-05-13: one after a number ("1.") is no longer removed."""

ERAS: tuple[Era, ...] = ("2024", "2025-05")
LATEST: Era = "2025-05"

PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
"""Marks that VLMEvalKit removes; `*`, `:`, `'` and `#` are not among them and stay glued to the word."""

THOUSANDS = re.compile(r"\d,\d")

FULL_STOPS = {"2024": re.compile(r"\.(?!\d)"), "2025-05": re.compile(r"(?<!\d)\.(?!\d)")}
"""Which full stops are removed. The first means to spare those after a number too, and its look-behind is misspelt."""

BUDGET = 32
"""At most this many full stops are removed (a regular expression's flag stands where its count belongs)."""


def official(text: str) -> str:
    """POPE's and LLaVA's rule: "no" if the text before the first period holds the exact word No, no or not; else "yes".

    So an empty answer, "NO", "nope" and "Nothing" all read yes. Words are split at single spaces only.
    """
    words = text.split(".")[0].replace(",", "").split(" ")
    return NO if not {"No", "no", "not"}.isdisjoint(words) else YES


def vlmevalkit(text: str, era: Era = LATEST) -> str:
    """VLMEvalKit's rule without its language model: the lower-case words hold yes and not no, or the reverse; else "neither".

    A mark is deleted if it stands next to a space anywhere in the text, or if the text holds a number like 1,000;
    otherwise it becomes a space. Then the era's full stops go, of which the stops behind the numbers of a list use up the
    budget in 2024: a "No." after a list of 32 is then no "no".
    """
    text = text.lower()
    thousands = THOUSANDS.search(text) is not None
    cleaned = text
    for mark in PUNCTUATION:
        if mark not in text:
            continue
        spaced = f"{mark} " in text or f" {mark}" in text
        cleaned = cleaned.replace(mark, "" if spaced or thousands else " ")
    words = FULL_STOPS[era].sub("", cleaned, count=BUDGET).split()
    if ("yes" in words) == ("no" in words):
        return NEITHER
    return YES if "yes" in words else NO


def lmms_eval(text: str) -> str:
    """lmms-eval's rule: the stripped, lower-case answer must equal yes or no ("yes." is neither)."""
    word = text.strip().lower()
    return word if word in (YES, NO) else NEITHER


def holds_yes(text: str) -> str:
    """ "yes" if the lower-case answer holds these three letters anywhere ("eyes" does), else "no": never neither.

    lmms-eval's string match for HallusionBench (`hb_aggregation_result_intern`), which it took from InternVL.
    """
    return YES if "yes" in text.lower() else NO
