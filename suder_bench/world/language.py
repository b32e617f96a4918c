"""What is said about scenes: one family of texts for each category of the two generation benchmarks.

A family draws a description and words it exactly as that category's official prompts are worded. Compositional texts
are split into train and val by their hash, so that no prompt of a test file was ever trained on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np

from suder_bench.world.scenes import Description, Kind, Phrase, Relation
from suder_bench.world.vocabulary import COLORS, FORMS, HOLDERS, NOUNS, NUMBERS, TEXTURES, plural

Rng = np.random.Generator
Worded = tuple[Description, str]

SPATIAL: dict[str, Kind] = {
    "on the left of": "left of",
    "on the right of": "right of",
    "on the top of": "above",
    "on the bottom of": "below",
    "next to": "next to",
    "near": "next to",
    "on side of": "next to",
}
"""T2I-CompBench's relation words and what the world draws for them."""

DEPTH: dict[str, Kind] = {"in front of": "in front of", "behind": "behind", "hidden by": "behind"}

SMALL_FAMILIES = frozenset({"single_object", "counting", "colors"})
"""Families with too few texts to split; their prompts are in both splits."""


def split_of(family: str, text: str) -> str:
    """'train', 'val', or 'both': one text in five of the large families is kept for the test files."""
    if family in SMALL_FAMILIES:
        return "both"
    return "val" if hashlib.sha256(text.lower().encode()).digest()[0] < 51 else "train"


def article(words: str) -> str:
    return ("an " if words[0] in "aeiou" or words.startswith("hour") else "a ") + words


def noun_phrase(phrase: Phrase) -> str:
    """'a tall red striped ball', 'three balls'; open attributes are not said."""
    said = [phrase.form or "", phrase.color or "", phrase.texture or ""]
    words = " ".join([w for w in said if w] + [phrase.noun if phrase.count == 1 else plural(phrase.noun)])
    return article(words) if phrase.count == 1 else f"{NUMBERS[phrase.count]} {words}"


def _pick(rng: Rng, choices: object, n: int) -> list[str]:
    return [str(c) for c in rng.permutation(list(choices))[:n]]  # type: ignore[call-overload]


def _single_object(rng: Rng) -> Worded:
    (noun,) = _pick(rng, NOUNS, 1)
    return Description((Phrase(noun),)), f"a photo of {article(noun)}"


def _two_object(rng: Rng) -> Worded:
    a, b = _pick(rng, NOUNS, 2)
    return Description((Phrase(a), Phrase(b))), f"a photo of {article(a)} and {article(b)}"


def _counting(rng: Rng) -> Worded:
    (noun,) = _pick(rng, NOUNS, 1)
    phrase = Phrase(noun, count=int(rng.integers(2, 5)))
    return Description((phrase,)), f"a photo of {noun_phrase(phrase)}"


def _colors(rng: Rng) -> Worded:
    (noun,), (color,) = _pick(rng, NOUNS, 1), _pick(rng, COLORS, 1)
    phrase = Phrase(noun, color=color)
    return Description((phrase,)), f"a photo of {noun_phrase(phrase)}"


def _position(rng: Rng) -> Worded:
    a, b = _pick(rng, NOUNS, 2)
    kind: Kind = str(rng.choice(["left of", "right of", "above", "below"]))  # type: ignore[assignment]
    return Description((Phrase(a), Phrase(b)), Relation(kind)), f"a photo of {article(a)} {kind} {article(b)}"


def _two(rng: Rng, **attributes: list[str]) -> tuple[Phrase, Phrase]:
    a, b = _pick(rng, NOUNS, 2)
    first, second = ({key: values[i] for key, values in attributes.items()} for i in range(2))
    return Phrase(a, **first), Phrase(b, **second)  # type: ignore[arg-type]


def _joined(phrases: tuple[Phrase, ...], lead: str = "") -> Worded:
    return Description(phrases), lead + " and ".join(noun_phrase(p) for p in phrases)


def _color_attr(rng: Rng) -> Worded:
    return _joined(_two(rng, color=_pick(rng, COLORS, 2)), "a photo of ")


def _color(rng: Rng) -> Worded:
    return _joined(_two(rng, color=_pick(rng, COLORS, 2)))


def _shape(rng: Rng) -> Worded:
    return _joined(_two(rng, form=_pick(rng, [f for f in FORMS if f], 2)))


def _texture(rng: Rng) -> Worded:
    return _joined(_two(rng, texture=_pick(rng, TEXTURES, 2)))


def _spatial(rng: Rng) -> Worded:
    a, b = _pick(rng, NOUNS, 2)
    words = str(rng.choice(list(SPATIAL)))
    return Description((Phrase(a), Phrase(b)), Relation(SPATIAL[words])), f"{article(a)} {words} {article(b)}"


def _3d_spatial(rng: Rng) -> Worded:
    a, b = _pick(rng, NOUNS, 2)
    words = str(rng.choice(list(DEPTH)))
    return Description((Phrase(a), Phrase(b)), Relation(DEPTH[words])), f"{article(a)} {words} {article(b)}"


def _numeracy(rng: Rng) -> Worded:
    nouns = _pick(rng, NOUNS, 2)
    counts = [int(rng.integers(1, 5))]
    if counts[0] < 4 and rng.random() < 0.7:
        counts.append(int(rng.integers(1, 5 - counts[0])))
    phrases = tuple(Phrase(noun, count=n) for noun, n in zip(nouns, counts, strict=False))
    said = [noun_phrase(p) if p.count > 1 else f"one {p.noun}" for p in phrases]
    return Description(phrases), " and ".join(said)


def _acting(rng: Rng) -> tuple[str, str, Kind]:
    kind: Kind = str(rng.choice(["touches", "holds", "points at", "is inside"]))  # type: ignore[assignment]
    (b,) = _pick(rng, HOLDERS if kind == "is inside" else NOUNS, 1)
    (a,) = _pick(rng, [n for n in NOUNS if n != b], 1)
    return a, b, kind


def _non_spatial(rng: Rng) -> Worded:
    a, b, kind = _acting(rng)
    return Description((Phrase(a), Phrase(b)), Relation(kind)), f"{article(a).capitalize()} {kind} {article(b)}."


def _complex(rng: Rng) -> Worded:
    """Attributes with a spatial relation, with an action, or with an action at a side."""
    return COMPLEX[str(rng.choice(list(COMPLEX)))](rng)


def _complex_spatial(rng: Rng) -> Worded:
    words = str(rng.choice([w for w in SPATIAL if w not in ("near", "on side of")]))
    phrases = _two(rng, color=_pick(rng, COLORS, 2))
    if SPATIAL[words] != "next to" and rng.random() < 0.5:
        (texture,) = _pick(rng, TEXTURES[1:], 1)
        phrases = (Phrase(phrases[0].noun, color=phrases[0].color, texture=texture), phrases[1])
    first, second = (noun_phrase(p).split(" ", 1)[1] for p in phrases)
    return Description(phrases, Relation(SPATIAL[words])), f"The {first} is {words} the {second}."


def _complex_action(rng: Rng) -> Worded:
    a, b, kind = _acting(rng)
    colors = _pick(rng, COLORS, 2)
    phrases = (Phrase(a, color=colors[0]), Phrase(b, color=colors[1]))
    return Description(phrases, Relation(kind)), f"The {colors[0]} {a} {kind} the {colors[1]} {b}."


def _complex_both(rng: Rng) -> Worded:
    kind: Kind = str(rng.choice(["touches", "holds", "points at"]))  # type: ignore[assignment]
    first, second = _two(rng, color=_pick(rng, COLORS, 2))
    side = "left" if rng.random() < 0.5 else "right"
    text = f"The {first.color} {first.noun} on the {side} of the {second.color} {second.noun} {kind} it."
    return Description((first, second), Relation(kind, side=f"{side} of")), text  # type: ignore[arg-type]


COMPLEX: dict[str, Callable[[Rng], Worded]] = {
    "spatial": _complex_spatial,
    "action": _complex_action,
    "spatialaction": _complex_both,
}
"""The sub-lists of T2I-CompBench's complex category."""

FAMILIES: dict[str, Callable[[Rng], Worded]] = {
    "single_object": _single_object,
    "two_object": _two_object,
    "counting": _counting,
    "colors": _colors,
    "position": _position,
    "color_attr": _color_attr,
    "color": _color,
    "shape": _shape,
    "texture": _texture,
    "spatial": _spatial,
    "3d_spatial": _3d_spatial,
    "numeracy": _numeracy,
    "non_spatial": _non_spatial,
    "complex": _complex,
}
"""GenEval's six tags and T2I-CompBench's eight categories."""


def draw_text(family: str, rng: Rng, split: str) -> Worded:
    """A description of the family whose text belongs to `split` ('train' or 'val')."""
    while True:
        description, text = FAMILIES[family](rng)
        if split_of(family, text) in (split, "both"):
            return description, text
