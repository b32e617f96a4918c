"""Which option a free answer picks by lmms-eval's rules for MMBench, version 0.7.3 (`mmbench_en_dev_static`).

Unlike VLMEvalKit's, the rules know a letter E, take an "A" in a longer answer for an article, and read almost any answer
that holds a capital letter. An option that a question lacks is the word "nan", as in the hub's copies that lmms-eval reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from suder_bench.data.prompts import LETTERS
from suder_bench.evaluators.answers.choices import API_FAILURE

NAMED = f"{LETTERS}E"
"""The letters that the first step looks for, whether or not the question has such options; E stands for none of them."""

ABSENT = "nan"
ARTICLE_WORDS = 3
"""In an answer of more words, a word "A" is an article."""

BARE = "{}"
AROUND = ("{}.", "{},", "{}:", "{})", "{}).", "({})", "({}).", ":{}", ":{},", ":{}.", ":{})", ":{}).")
"""How a letter may be written where it does not stand alone, in the order in which they are tried."""

WRITTEN = {form.format(letter): (form, letter) for form in (BARE, *AROUND) for letter in NAMED}
"""Every word that names a letter."""

ENDS = ",.!?;:'\""
START, END, PHRASE = 10, 9, 7
FORMS = {"({})": 6, "{}.": 5, "{}:": 4, "{})": 3, "{} ": 2}
"""What the last step looks for, and how much each counts; a letter may be the end of a word ("DNA " is an A)."""

PHRASES = (
    *(f"{article}{what} is" for article in ("the ", "") for what in ("answer", "correct answer", "best answer")),
    *(f"{article}{what} is" for article in ("the ", "") for what in ("correct option", "best option")),
    *(f"{article}{what} is" for article in ("the ", "") for what in ("choice", "correct choice")),
    *("i choose", "i select", "i pick", "my answer is", "my choice is"),
    *("옵션", "정답은", "답은", "답:", "答案是", "答案为", "选", "答えは"),
)


def extract(text: str, options: Mapping[str, str]) -> str | None:
    """The letter that the answer names, the only option whose text it holds, or else what `anywhere` finds; else None."""
    text = text.strip()
    return letter(text) or option_text(text, options) or anywhere(text)


def letter(text: str) -> str | None:
    """The one letter A to E that is a word, bare or with the marks of `AROUND`; None for an article alone, and for several."""
    if API_FAILURE in text:
        return None
    words = text.split()
    named: dict[str, list[str]] = {}
    for word in WRITTEN.keys() & words:
        form, letter = WRITTEN[word]
        named.setdefault(form, []).append(letter)
    bare = named.get(BARE, [])
    if len(bare) == 1 and ("A" not in bare or len(words) <= ARTICLE_WORDS):
        return bare[0]
    return next((named[form][0] for form in AROUND if len(named.get(form, ())) == 1), None)


def option_text(text: str, options: Mapping[str, str]) -> str | None:
    """The letter of the only option whose whole text, in any case, is part of the answer, however long that is."""
    text = text.lower()
    named = [letter for letter in LETTERS if options.get(letter, ABSENT).lower() in text]
    return named[0] if len(named) == 1 else None


def anywhere(text: str) -> str | None:
    """The letter A to D that the most telling form shows, of equals the last in the text."""
    for mark in ENDS:
        text = text.strip(mark)
    there = [letter for letter in LETTERS if letter in text]
    if len(there) < 2:  # whatever shows it
        return there[0] if there else None
    found = max(_found(text, there), default=None)
    return (found or max((0, text.rfind(letter), letter) for letter in there))[2]


def _found(text: str, letters: Sequence[str]) -> Iterator[tuple[int, int, str]]:
    """(how much it counts, its place, the letter) of each form in which one of the letters stands in the text."""
    padded, bare = f" {text} ", text.strip()
    starts = sorted(set(_after_phrases(padded.lower())))
    for letter in letters:
        for form, rank in FORMS.items():
            if (place := padded.rfind(form.format(letter))) >= 0:
                yield rank, place, letter
        for start in starts:
            if (place := padded.find(letter, start)) >= 0:
                yield PHRASE, place, letter
        if bare.startswith(letter) and not bare[1:2].isalpha():
            yield START, 0, letter
        if bare.endswith(letter) and not bare[-2:-1].isalpha():
            yield END, len(padded), letter


def _after_phrases(text: str) -> Iterator[int]:
    """Where the first occurrence of each phrase ends; a place in the text made small, as lmms-eval takes it."""
    for phrase in PHRASES:
        if (place := text.find(phrase)) >= 0:
            yield place + len(phrase)
