"""Prompts that hint at a scene without naming all of it, with what is meant: for the benchmarks that ask a model to reason.

Each kind stands for a kind of knowledge that the world's pictures can show. What is meant is a sentence of the world's grammar.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import permutations

from suder_bench.world.language import article, noun_phrase
from suder_bench.world.scenes import Description, Kind, Phrase, Relation
from suder_bench.world.vocabulary import NOUNS, NUMBERS, plural


@dataclass(frozen=True)
class Riddle:
    """`meant` is what a right picture shows, `partly` what one shows that has only its things; `clue` is the words that hint."""

    prompt: str
    description: Description
    meant: str
    partly: str
    clue: str


BEARERS = {
    "red": "a ripe tomato",
    "orange": "a carrot",
    "yellow": "a ripe lemon",
    "green": "fresh grass",
    "blue": "a clear sky",
    "purple": "lavender",
    "pink": "a flamingo",
    "brown": "chocolate",
    "black": "coal",
    "white": "fresh snow",
}
MIXTURES = {"green": ("blue", "yellow"), "orange": ("red", "yellow"), "purple": ("red", "blue"), "pink": ("red", "white")}
IDIOMS: Mapping[str, Kind] = {
    "in the shadow of": "behind",
    "stealing the show from": "in front of",
    "looking down on": "above",
    "at the feet of": "below",
    "rubbing shoulders with": "next to",
    "hand in hand with": "touches",
}
MIRRORED: Mapping[Kind, Kind] = {"left of": "right of", "right of": "left of"}
AFLOAT: Mapping[str, Kind] = {
    "a heavy {} and a light {} in a tank of water": "below",
    "a light {} and a heavy {} in a tank of water": "above",
}
DIVIDED = {
    "{} and its twin": 2,
    "{} that has divided in two once, like a cell": 2,
    "one of three {} siblings with the two others": 3,
    "{} that has divided in two twice, like a cell": 4,
}


def hues() -> Iterator[Riddle]:
    """A thing in the colour of another that everybody knows."""
    for noun in NOUNS:
        for color, bearer in BEARERS.items():
            phrase = Phrase(noun, color=color)
            clue = f"in the color of {bearer}"
            yield Riddle(f"{article(noun)} {clue}", Description((phrase,)), noun_phrase(phrase), article(noun), clue)


def mixtures() -> Iterator[Riddle]:
    """A thing in a colour that is mixed from two others."""
    for noun in NOUNS:
        for color, parts in MIXTURES.items():
            for one, other in permutations(parts):
                phrase = Phrase(noun, color=color)
                clue = f"painted with a mix of {one} and {other}"
                yield Riddle(f"{article(noun)} {clue}", Description((phrase,)), noun_phrase(phrase), article(noun), clue)


def remainders() -> Iterator[Riddle]:
    """What is left, or has become more, after a while."""
    for noun in NOUNS:
        for n in range(1, 4):
            yield _counted(noun, n, f"what is left of {NUMBERS[n + 1]} {plural(noun)} after one of them was taken away")
        for n in range(2, 5):
            before = noun_phrase(Phrase(noun, count=n - 1))
            yield _counted(noun, n, f"{before}, an hour after one more {noun} came to stay")


def offspring() -> Iterator[Riddle]:
    """Twins, triplets and what divides."""
    for noun in NOUNS:
        for clue, n in DIVIDED.items():
            yield _counted(noun, n, clue.format(noun if clue.startswith("one") else article(noun)))


def mirrors() -> Iterator[Riddle]:
    """Two things whose sides a mirror exchanges."""
    for a, b in permutations(NOUNS, 2):
        for told, meant in MIRRORED.items():
            yield _related(a, b, meant, f"{article(a)} {told} {article(b)}, as a mirror shows them", "as a mirror shows them")


def buoyancies() -> Iterator[Riddle]:
    """What sinks lies below what floats."""
    for a, b in permutations(NOUNS, 2):
        for words, meant in AFLOAT.items():
            yield _related(a, b, meant, words.format(a, b), "in a tank of water")


def idioms() -> Iterator[Riddle]:
    """A relation in a figure of speech."""
    for a, b in permutations(NOUNS, 2):
        for clue, meant in IDIOMS.items():
            yield _related(a, b, meant, f"{article(a)} {clue} {article(b)}", clue)


def designs() -> Iterator[Riddle]:
    """Signs, tables and charts, of the only writing that the world has."""
    for a, b in permutations(NOUNS, 2):
        yield _related(a, b, "points at", f"Draw a sign that sends whoever sees the {a} on to the {b}", "a sign")
        columns = f"{article(a)} in its first column and {article(b)} in its last"
        yield _related(a, b, "left of", f"Design a table with {columns}", "a table")
        phrases = (Phrase(a, count=2), Phrase(b))
        meant, both = " and ".join(map(noun_phrase, phrases)), f"{article(a)} and {article(b)}"
        prompt = f"Create a chart in which the {a} counts twice as much as the {b}"
        yield Riddle(prompt, Description(phrases), meant, both, "a chart")


def _counted(noun: str, n: int, prompt: str) -> Riddle:
    phrase = Phrase(noun, count=n)
    meant = noun_phrase(phrase) if n > 1 else f"exactly one {noun}"
    return Riddle(prompt, Description((phrase,)), meant, article(noun), "the number")


def _related(a: str, b: str, kind: Kind, prompt: str, clue: str) -> Riddle:
    phrases = (Phrase(a), Phrase(b))
    both = f"{article(a)} and {article(b)}"
    return Riddle(prompt, Description(phrases, Relation(kind)), f"{article(a)} {kind} {article(b)}", both, clue)


KNOWLEDGE: Mapping[str, Callable[[], Iterator[Riddle]]] = {
    "culture": hues,
    "time": remainders,
    "space": mirrors,
    "biology": offspring,
    "physics": buoyancies,
    "chemistry": mixtures,
}
"""WISE's categories and the riddles that stand for them."""
