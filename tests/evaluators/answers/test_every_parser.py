"""Any text at all, through everything that reads an answer or a review: no exception, and a reading of the text alone."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
from trials import trials

from suder_bench.evaluators.answers import choices, lmms_eval, thoughts, yes_no
from suder_bench.evaluators.answers.reviews import judge_mark, parse_scores

OPTIONS = ({"A": "cat", "B": "dog", "C": "cow", "D": "pig"}, {"A": "A", "B": "a banana", "C": "İ"}, {"A": "yes", "B": "no"})
PARSERS: dict[str, Callable[[str], object]] = {
    "official": yes_no.official,
    "lmms-eval yes or no": yes_no.lmms_eval,
    "holds yes": yes_no.holds_yes,
    "scores": parse_scores,
    "mark": judge_mark,
    "thoughts": thoughts.split,
    **{f"vlmevalkit {era}": lambda text, era=era: yes_no.vlmevalkit(text, era) for era in yes_no.ERAS},
    **{
        f"choices {era} {number}": lambda text, era=era, options=options: choices.extract(text, options, era)
        for era in choices.ERAS
        for number, options in enumerate(OPTIONS)
    },
    **{
        f"lmms-eval choices {number}": lambda text, options=options: lmms_eval.extract(text, options)
        for number, options in enumerate(OPTIONS)
    },
}
LETTERS = {None, *"ABCDEZ"}
READINGS = {name: LETTERS if "choices" in name else {"yes", "no", "neither"} for name in PARSERS} | {"mark": {0, 1, 2}}
FREE = ("scores", "thoughts")
"""What these read is no word of a few."""

PIECES = (
    *"ABCDEZab.,:;!?()[]{}*#\"'\n\t \u00a0\u2028\ud800\0İß日選",
    *("yes", "No", "not", "eyes", "the answer is ", "My choice is", "답은", "答案是", "(B).", "1,000", "1."),
    *("8 9", "8,9", "-1e999"),
    *("nan", "a banana", "cat", "DOG", "correct", "incorrect", "<think>", "</think>", "[THINK]", "◁/think▷"),
    *("Failed to obtain answer via API", "Cannot determine the answer", "9" * 400, "no " * 40),
)


def hostile(number: int, seed: int) -> list[str]:
    """Texts of up to nine pieces, or of up to forty of any characters."""
    draw = random.Random(seed)

    def one() -> str:
        if draw.random() < 0.8:
            return "".join(draw.choices(PIECES, k=draw.randrange(10)))
        return "".join(chr(draw.randrange(draw.choice([128, 0x3000, 0x110000]))) for _ in range(draw.randrange(40)))

    return [one() for _ in range(number)]


def read_alone(texts: list[str], seed: int) -> str:
    """Every parser reads every text twice, in two orders and two states of the global generators, from which it never draws.

    A digest of all readings."""
    digest = hashlib.sha256()
    order = list(range(len(texts)))
    random.Random(seed).shuffle(order)
    for name, parse in PARSERS.items():
        random.seed(seed)
        np.random.seed(seed)
        before = random.getstate(), np.random.get_state()[1].tobytes()
        first = [parse(text) for text in texts]
        assert before == (random.getstate(), np.random.get_state()[1].tobytes()), name
        random.seed(seed + 1)
        again = {place: parse(texts[place]) for place in order}
        changed = [text for place, text in enumerate(texts) if again[place] != first[place]]
        assert not changed, (name, changed[0])
        assert name in FREE or set(first) <= READINGS[name], name
        digest.update(repr(first).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def test_thousands_of_texts_through_every_parser() -> None:
    texts = hostile(3_000, 1)
    read_alone(texts, 1)
    found = {name: {parse(text) for text in texts} for name, parse in PARSERS.items()}
    assert all(len(readings) > 1 for readings in found.values())  # the texts are of all sorts


def read_some(seed: int) -> str:
    return read_alone(hostile(10_000, seed), seed)


@pytest.mark.slow
def test_texts_by_ten_thousands_through_every_parser() -> None:
    """In processes that start anew, each with hashes of its own: what one of them reads is what is read here."""
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        digests = list(pool.map(read_some, range(trials(10, thorough=100))))
    assert digests[7] == read_some(7)
