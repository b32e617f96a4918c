"""Texts of the world's language as facts: what is shown, where it is, and how it relates.

The grammar covers the prompts, captions, questions and answers of all seven benchmarks' files. What it cannot read becomes
an `Unclear` fact, which no picture shows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from suder_bench.world.scenes import Phrase
from suder_bench.world.vocabulary import COLORS, FORMS, NOUNS, NUMBERS, TEXTURES, plural

ANYTHING = "thing"
"""The noun that every thing has."""

ALWAYS = frozenset({"top", "bottom", "left", "right", "side", "middle", "front", "photo", "image", "picture", "it"})
"""Nouns that are no things of the world; every picture has them."""


@dataclass(frozen=True)
class Shown:
    """At least one thing fits the phrase, or exactly `phrase.count` where `exact`. `definite` speaks of a thing known already."""

    phrase: Phrase
    exact: bool = False
    definite: bool = False


@dataclass(frozen=True)
class Related:
    """`kind` (see `scenes.Kind`) holds between a thing that fits `first` and another that fits `second`."""

    first: Phrase
    kind: str
    second: Phrase


@dataclass(frozen=True)
class Placed:
    """A thing that fits lies in that part of the picture: 'top left', 'left', 'middle', ..."""

    phrase: Phrase
    place: str


@dataclass(frozen=True)
class Alike:
    """Whether two things have the same colour."""

    first: Phrase
    second: Phrase
    same: bool


@dataclass(frozen=True)
class Unclear:
    """Words that say nothing the world knows, or that contradict themselves."""

    words: str


Fact = Shown | Related | Placed | Alike | Unclear

_RELATIONS = {
    "on the left of": "left of",
    "to the left of": "left of",
    "left of": "left of",
    "on the right of": "right of",
    "to the right of": "right of",
    "right of": "right of",
    "on the top of": "above",
    "on top of": "above",
    "above": "above",
    "on the bottom of": "below",
    "on bottom of": "below",
    "below": "below",
    "under": "below",
    "next to": "next to",
    "near": "next to",
    "beside": "next to",
    "on side of": "next to",
    "on the side of": "next to",
    "in front of": "in front of",
    "behind": "behind",
    "hidden by": "behind",
    "touches": "touches",
    "touch": "touches",
    "touching": "touches",
    "holds": "holds",
    "hold": "holds",
    "holding": "holds",
    "points at": "points at",
    "point at": "points at",
    "pointing at": "points at",
    "inside": "is inside",
    "inside of": "is inside",
}
_CORNERS = ("top left", "top right", "bottom left", "bottom right", "top", "bottom", "left", "right", "middle")
_PLACES = {f"{at} the {corner}": corner for corner in _CORNERS for at in ("at", "on", "in")}
_PADDING = ("in the image", "in the picture", "in the photo", "would be left")
_LEADS = ("a photo of", "an image of", "a picture of")
_ALIKE = {"have the same color": True, "have different colors": False}
_SIGNS = {
    **{words: ("relation", kind) for words, kind in _RELATIONS.items()},
    **{words: ("place", where) for words, where in _PLACES.items()},
    **dict.fromkeys((*_PADDING, *_LEADS, "yes", "there", "does", "do", "you", "see", "can", "and"), ("nothing", "")),
    **{words: ("alike", same) for words, same in _ALIKE.items()},
    **dict.fromkeys(("is", "are"), ("is", "")),
    "it": ("it", ""),
    "they": ("they", ""),
}
_LONGEST = max(len(words.split()) for words in _SIGNS)
_SINGULAR = {plural(noun): noun for noun in (*NOUNS, ANYTHING, "object")}
_COUNTS = {"a": 1, "an": 1, "the": 1, "no": 0} | {w: n for n, w in enumerate(NUMBERS)} | {str(n): n for n in range(9)}
_VAGUE = ("a", "an", "the")


def read(text: str) -> tuple[Fact, ...]:
    """The facts that a text states, or asks about, in its order."""
    facts: list[Fact] = []
    subjects: list[Phrase] = []
    for sentence in re.split(r"[.?!;\n]+", text.lower()):
        words = re.findall(r"[a-z0-9]+", sentence)
        if words:
            facts += _sentence(words, subjects)
    return tuple(facts)


def _sentence(words: list[str], subjects: list[Phrase]) -> list[Fact]:
    """Facts of one sentence; `subjects` are the things spoken of so far, for 'they', and grows."""
    facts: list[Fact] = []
    subject: Shown | None = None
    last: Shown | None = None
    relation, copula = None, False
    unclear = Unclear(" ".join(words))  # once: an answer of 10,000 words may be unclear at each of them
    for kind, value in _items(words):
        if kind == "is":
            copula = True
        elif kind == "relation":
            relation = value
        elif isinstance(value, Shown) and relation is not None and subject is not None:
            facts += [value, Related(subject.phrase, str(relation), value.phrase)]
            last, relation = value, None
        elif isinstance(value, Shown) and kind == "phrase" and not _says_of(copula, subject, value):
            subject = last = value
            facts.append(value)
        elif isinstance(value, Shown) and subject is not None:
            told = _merged(subject, value.phrase)
            if told is None:
                facts.append(unclear)
            else:
                facts[_last_place(facts, subject)] = subject = told
        elif kind == "place" and subject is not None:
            facts.append(Placed(subject.phrase, str(value)))
        elif kind == "it" and relation is not None and subject is not None and last is not None:
            facts.append(Related(subject.phrase, str(relation), last.phrase))
            relation = None
        elif kind == "alike" and len(subjects) > 1:
            facts.append(Alike(subjects[-2], subjects[-1], bool(value)))
        elif kind == "it" and not facts:
            facts.append(Shown(Phrase("it")))
        elif kind not in ("nothing", "they"):
            facts.append(unclear)
    if relation is not None or not facts:
        facts.append(unclear)
    if subject is not None and subject.phrase not in subjects:
        subjects.append(subject.phrase)
    return facts


def _says_of(copula: bool, subject: Shown | None, value: Shown) -> bool:
    """Whether a phrase is a predicate: 'the ball is a red ball', but not 'there is a ball and a box'."""
    return copula and subject is not None and subject.definite and not value.definite


def _last_place(facts: list[Fact], fact: Fact) -> int:
    return len(facts) - 1 - facts[::-1].index(fact)


def _merged(subject: Shown, said: Phrase) -> Shown | None:
    """The subject with what is said of it; None where that contradicts it."""
    known, told = subject.phrase, said
    if ANYTHING not in (known.noun, told.noun) and known.noun != told.noun:
        return None
    if any(None not in (a := getattr(known, k), b := getattr(told, k)) and a != b for k in ("color", "texture", "form")):
        return None
    noun = told.noun if known.noun == ANYTHING else known.noun
    whole = Phrase(noun, known.count, known.color or told.color, known.texture or told.texture, known.form or told.form)
    return replace(subject, phrase=whole)


def _items(words: list[str]) -> Iterator[tuple[str, object]]:
    """The words as relations, places, phrases, adjectives and single words that are none of them."""
    i = 0
    while i < len(words):
        for n in range(min(_LONGEST, len(words) - i), 0, -1):
            sign = _SIGNS.get(" ".join(words[i : i + n]))
            if sign is not None:
                yield sign
                i += n
                break
        else:
            i, item = _phrase(words, i)
            yield item


def _phrase(words: list[str], i: int) -> tuple[int, tuple[str, object]]:
    """A noun phrase or bare adjectives from place `i`, and the place after it."""
    if words[i] == "nothing":
        return i + 1, ("phrase", Shown(Phrase(ANYTHING, 0), exact=True))
    start = i
    exact, count, definite, vague = False, 1, False, True
    if words[i] == "exactly" and i + 1 < len(words):
        exact, i = True, i + 1
    if words[i] in _COUNTS:
        count, definite, vague = _COUNTS[words[i]], words[i] == "the", words[i] in _VAGUE
        i += 1
    said: dict[str, str] = {}
    while i < len(words) and (key := _attribute(words[i])) and key not in said:
        said[key] = words[i]
        i += 1
    noun = words[i] if i < len(words) and " ".join(words[i : i + 1]) not in _SIGNS and not _attribute(words[i]) else None
    determined = i > start + len(said)
    if noun is not None and (noun in NOUNS or noun in _SINGULAR or noun in ALWAYS or determined or said):
        singular = _SINGULAR.get(noun, noun)
        singular = ANYTHING if singular == "object" else singular
        phrase = Phrase(singular, count, said.get("color"), said.get("texture"), said.get("form"))
        return i + 1, ("phrase", Shown(phrase, exact or not vague, definite))
    if said and not determined:
        return i, ("adjectives", Shown(Phrase(ANYTHING, 1, said.get("color"), said.get("texture"), said.get("form"))))
    return max(i, start + 1), ("unclear", words[start])


def _attribute(word: str) -> str | None:
    if word in COLORS:
        return "color"
    if word in TEXTURES:
        return "texture"
    return "form" if word and word in FORMS else None
