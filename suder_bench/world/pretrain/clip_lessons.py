"""What tiny-clip learns from and is tested on: pictures with captions that are true of them, and captions that nearly are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from suder_bench.world.draws import Rng, mixed, one
from suder_bench.world.language import FAMILIES, draw_text, noun_phrase
from suder_bench.world.reading import faithful
from suder_bench.world.render import render
from suder_bench.world.scenes import Phrase, Scene, draw
from suder_bench.world.vocabulary import COLORS, FORMS, NOUNS, NUMBERS, TEXTURES, plural

SEED = (2506, 7963, 6)
RETOLD = 0.4
"""Share of training captions that tell the scene anew instead of repeating the text that it was drawn from."""
WRONG = 2
"""Captions of each picture that nearly fit."""

_TURNED = {"left": "right", "above": "below", "top": "bottom", "front": "behind", "in front of": "behind"}
OPPOSITE = {**_TURNED, **{there: here for here, there in _TURNED.items() if here != "front"}}
SWAPS: Mapping[str, tuple[str, ...]] = {
    "noun": NOUNS,
    "attribute": (*COLORS, *TEXTURES, *(form for form in FORMS if form)),
    "number": ("one", *NUMBERS[2:5]),
}
"""Kinds of change that put another word of a group in the place of one."""
KINDS = (*SWAPS, "bearer", "relation")


MIX = {
    "single_object": 0.05,
    "two_object": 0.1,
    "counting": 0.1,
    "colors": 0.08,
    "position": 0.1,
    "color_attr": 0.1,
    "color": 0.06,
    "shape": 0.05,
    "texture": 0.06,
    "spatial": 0.06,
    "3d_spatial": 0.04,
    "numeracy": 0.06,
    "non_spatial": 0.05,
    "complex": 0.05,
    "free": 0.04,
}
"""Share of the families; 'free' stands for more of 'numeracy'."""


@dataclass(frozen=True)
class Pair:
    """A picture (64, 64, 3) uint8 with texts that are true of it, and texts that are not."""

    picture: np.ndarray
    right: tuple[str, ...]
    wrong: tuple[str, ...]


def pair(i: int) -> Pair:
    """The i-th picture of the training split."""
    rng = np.random.default_rng([*SEED, 1, i])
    family = str(rng.choice(list(MIX), p=list(MIX.values())))
    if family == "free":
        family = "numeracy"
    description, text = draw_text(family, rng, "train")
    scene = draw(description, rng)
    again = retold(scene, rng)
    told = again if rng.random() < RETOLD else text
    wrong = near_misses(told, scene, rng)
    return Pair(render(scene), (text, again), tuple(mixed(rng, wrong.values())[:WRONG]))


def held_out(i: int) -> tuple[np.ndarray, str, Mapping[str, str]]:
    """The i-th picture of the val split, its text, and what nearly fits by kind; the families take turns."""
    rng = np.random.default_rng([*SEED, 2, i])
    description, text = draw_text(list(FAMILIES)[i % len(FAMILIES)], rng, "val")
    scene = draw(description, rng)
    return render(scene), text, near_misses(text, scene, rng)


def near_misses(text: str, scene: Scene, rng: Rng) -> dict[str, str]:
    """The text with a change of each kind that makes it false of the scene; kinds that it has no room for are left out."""
    found = {}
    for kind in KINDS:
        for _ in range(3):
            changed = _changed(text, kind, rng)
            if changed is not None and changed != text and not faithful(changed, scene):
                found[kind] = changed
                break
    return found


def retold(scene: Scene, rng: Rng) -> str:
    """The scene's things in some order, each with nothing, its colour, its texture or its form said."""
    said = one(rng, ("", "color", "color", "texture", "form"))
    phrases: Counter[Phrase] = Counter()
    for thing in scene.things:
        phrase = Phrase(thing.noun)
        if said and getattr(thing, said):
            phrase = replace(phrase, **{said: getattr(thing, said)})
        phrases[phrase] += 1
    nouns = [noun_phrase(replace(phrase, count=n)) for phrase, n in mixed(rng, phrases.items())]
    return ("a photo of " if rng.random() < 0.5 else "") + " and ".join(nouns)


def _changed(text: str, kind: str, rng: Rng) -> str | None:
    """One change: another word of a group, the two things' nouns exchanged, or the relation turned around."""
    words = text.split()
    bare = [word.strip(".").lower() for word in words]
    if kind == "relation":
        places = [i for i, word in enumerate(bare) if word in OPPOSITE]
        if not places:
            return None
        if "in front of" in text:
            return text.replace("in front of", "behind")
        new = "in front of" if bare[places[0]] == "behind" else OPPOSITE[bare[places[0]]]
        return _put(words, {places[0]: new})
    if kind == "bearer":
        nouns = [i for i, word in enumerate(bare) if word in _SINGULAR]
        if len(nouns) != 2:
            return None
        a, b = nouns
        return _put(words, {a: _as(bare[b], bare[a]), b: _as(bare[a], bare[b])})
    group = {**{word: word for word in SWAPS[kind]}, **(_SINGULAR if kind == "noun" else {})}
    places = [i for i, word in enumerate(bare) if word in group]
    if not places:
        return None
    i = one(rng, places)
    said = {group.get(word) for word in bare} if kind == "noun" else {bare[i]}
    new = one(rng, [word for word in _alike(kind, bare[i]) if word not in said])
    if kind == "number":
        return _recounted(words, bare, i, new)
    return _put(words, {i: _as(new, bare[i]) if kind == "noun" else new})


def _alike(kind: str, word: str) -> tuple[str, ...]:
    """What may stand in a word's place: of an attribute only its own kind."""
    if kind != "attribute":
        return SWAPS[kind]
    return next(tuple(w for w in group if w) for group in (COLORS, TEXTURES, FORMS) if word in group)


def _recounted(words: list[str], bare: list[str], i: int, number: str) -> str | None:
    """Another number, and its noun in singular or plural."""
    noun = next((k for k in range(i + 1, len(bare)) if bare[k] in _SINGULAR), None)
    if noun is None:
        return None
    single = _SINGULAR[bare[noun]]
    return _put(words, {i: number, noun: single if number == "one" else plural(single)})


_SINGULAR = {form: noun for noun in NOUNS for form in (noun, plural(noun))}


def _as(noun: str, other: str) -> str:
    """The noun in the number, singular or plural, of the other."""
    return _SINGULAR[noun] if other in NOUNS else plural(_SINGULAR[noun])


def _put(words: list[str], new: Mapping[int, str]) -> str:
    """The words with some replaced; articles, capital and full stop follow."""
    made = list(words)
    for i, word in new.items():
        made[i] = word + ("." if words[i].endswith(".") else "")
    for i in range(len(made) - 1):
        if made[i].lower() in ("a", "an"):
            article = "an" if made[i + 1][0] in "aeio" or made[i + 1].startswith("hour") else "a"
            made[i] = article.capitalize() if made[i][0] == "A" else article
    return " ".join(made)
