"""Texts are worded as the official prompts are, and train and val never share one."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from suder_bench.world.language import (
    COMPLEX,
    FAMILIES,
    SMALL_FAMILIES,
    article,
    draw_text,
    noun_phrase,
    split_of,
)
from suder_bench.world.scenes import Phrase
from suder_bench.world.vocabulary import COLORS, FORMS, HOLDERS, NOUNS, TEXTURES, plural

SEEDS = st.integers(0, 2**31)
NOUN = f"(?:{'|'.join(NOUNS)})"
COLOR = f"(?:{'|'.join(COLORS)})"
TEXTURE = f"(?:{'|'.join(TEXTURES)})"
FORM = f"(?:{'|'.join(f for f in FORMS if f)})"
SIDE = "(?:left|right)"
PATTERNS = {
    "single_object": f"a photo of an? {NOUN}",
    "two_object": f"a photo of an? {NOUN} and an? {NOUN}",
    "counting": f"a photo of (two|three|four) {NOUN}(s|es)",
    "colors": f"a photo of an? {COLOR} {NOUN}",
    "position": f"a photo of an? {NOUN} (left of|right of|above|below) an? {NOUN}",
    "color_attr": f"a photo of an? {COLOR} {NOUN} and an? {COLOR} {NOUN}",
    "color": f"an? {COLOR} {NOUN} and an? {COLOR} {NOUN}",
    "shape": f"a {FORM} {NOUN} and a {FORM} {NOUN}",
    "texture": f"a {TEXTURE} {NOUN} and a {TEXTURE} {NOUN}",
    "spatial": f"an? {NOUN} (on the (left|right|top|bottom) of|next to|near|on side of) an? {NOUN}",
    "3d_spatial": f"an? {NOUN} (in front of|behind|hidden by) an? {NOUN}",
    "numeracy": f"(one|two|three|four) {NOUN}(s|es)?( and (one|two|three) {NOUN}(s|es)?)?",
    "non_spatial": f"An? {NOUN} (touches|holds|points at|is inside) an? {NOUN}\\.",
    "complex": (
        f"The {COLOR}( {TEXTURE})? {NOUN} (is (on the (left|right|top|bottom) of|next to)|touches|holds|points at|is inside)"
        f" the {COLOR} {NOUN}\\.|The {COLOR} {NOUN} on the {SIDE} of the {COLOR} {NOUN} (touches|holds|points at) it\\."
    ),
}


@given(st.sampled_from(sorted(FAMILIES)), SEEDS, st.sampled_from(["train", "val"]))
def test_texts_have_the_official_wording_and_their_split(family: str, seed: int, split: str) -> None:
    description, text = draw_text(family, np.random.default_rng(seed), split)
    assert re.fullmatch(PATTERNS[family], text)
    assert split_of(family, text) in (split, "both")
    assert [p.noun for p in description.phrases] == [singular(w) for w in re.findall(r"\w+", text) if singular(w)]


def singular(word: str) -> str | None:
    return next((n for n in NOUNS if word in (n, plural(n))), None)


@given(st.sampled_from(sorted(FAMILIES)), SEEDS)
def test_a_seed_is_a_text(family: str, seed: int) -> None:
    assert draw_text(family, np.random.default_rng(seed), "train") == draw_text(family, np.random.default_rng(seed), "train")


@pytest.mark.parametrize("family", sorted(set(FAMILIES) - SMALL_FAMILIES))
def test_about_a_fifth_of_the_texts_is_kept_for_the_test_files(family: str) -> None:
    rng = np.random.default_rng(5)
    texts = {FAMILIES[family](rng)[1] for _ in range(1500)}
    kept = [text for text in texts if split_of(family, text) == "val"]
    assert 0.1 < len(kept) / len(texts) < 0.3


def test_the_split_ignores_case() -> None:
    assert split_of("non_spatial", "A ball holds a box.") == split_of("non_spatial", "a ball holds a box.")


@given(SEEDS)
def test_pairs_differ_in_what_the_text_tells_apart(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for family, attribute in [("color_attr", "color"), ("color", "color"), ("shape", "form"), ("texture", "texture")]:
        a, b = draw_text(family, rng, "train")[0].phrases
        assert a.noun != b.noun
        assert getattr(a, attribute) != getattr(b, attribute)


@given(SEEDS, st.sampled_from(sorted(COMPLEX)))
def test_complex_texts_have_a_relation_between_coloured_things(seed: int, part: str) -> None:
    description, _ = COMPLEX[part](np.random.default_rng(seed))
    assert description.relation is not None
    assert all(p.color for p in description.phrases)
    assert (description.relation.side is not None) == (part == "spatialaction")
    assert description.relation.kind != "is inside" or description.phrases[1].noun in HOLDERS


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("ball", "a ball"),
        ("orange ball", "an orange ball"),
        ("hourglass", "an hourglass"),
        ("small hourglass", "a small hourglass"),
    ],
)
def test_articles(words: str, said: str) -> None:
    assert article(words) == said


@pytest.mark.parametrize(
    ("phrase", "said"),
    [
        (Phrase("ball", color="red", texture="striped", form="tall"), "a tall red striped ball"),
        (Phrase("box", count=3), "three boxes"),
        (Phrase("cross", count=2, color="orange"), "two orange crosses"),
        (Phrase("star", form=""), "a star"),
    ],
)
def test_noun_phrases(phrase: Phrase, said: str) -> None:
    assert noun_phrase(phrase) == said
