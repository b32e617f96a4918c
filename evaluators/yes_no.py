"""What a free answer to a yes/no question says, by each harness's own rule. Used by POPE and HallusionBench."""

from __future__ import annotations

import re

YES, NO, NEITHER = "yes", "no", "neither"

PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
"""Marks that VLMEvalKit removes; `*`, `:`, `'` and `#` are not among them and stay glued to the word."""

PERIODS = 32
"""At most this many periods are removed (a regular expression's flag stands where its count belongs)."""


def official(text: str) -> str:
    """POPE's and LLaVA's rule: "no" if the text before the first period holds the exact word No, no or not; else "yes".

    So an empty answer, "NO", "nope" and "Nothing" all read yes. Words are split at single spaces only.
    """
    words = text.split(".")[0].replace(",", "").split(" ")
    return NO if not {"No", "no", "not"}.isdisjoint(words) else YES


def vlmevalkit(text: str) -> str:
    """VLMEvalKit's rule without its language model: the lower-case words hold yes and not no, or the reverse; else "neither".

    A mark is deleted if it stands next to a space anywhere in the text, or if the text holds a number like 1,000;
    otherwise it becomes a space.
    """
    text = text.lower()
    thousands = re.search(r"\d,\d", text) is not None
    cleaned = text
    for mark in PUNCTUATION:
        spaced = f"{mark} " in text or f" {mark}" in text
        cleaned = cleaned.replace(mark, "" if spaced or thousands else " ")
    words = re.sub(r"\.(?!\d)", "", cleaned, count=PERIODS).split()
    if ("yes" in words) == ("no" in words):
        return NEITHER
    return YES if "yes" in words else NO


def lmms_eval(text: str) -> str:
    """lmms-eval's rule: the stripped, lower-case answer must equal yes or no ("yes." is neither)."""
    word = text.strip().lower()
    return word if word in (YES, NO) else NEITHER
