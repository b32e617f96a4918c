"""GenEval 2's `geneval2_data.jsonl`: prompts of three to seven atoms, each with a question to every object, count and so on.

A picture of the world shows four things at most, so that counts end at four and prompts at seven atoms (officially ten).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from suder_bench.world.examples import Size, stream, write_json_lines
from suder_bench.world.language import noun_phrase
from suder_bench.world.scenes import Description, Kind, Phrase, Relation
from suder_bench.world.vocabulary import COLORS, NOUNS, NUMBERS, TEXTURES, plural

PROMPTS = {"quick": 10, "full": 100}
"""With each number of atoms, as officially."""

POSITIONS: dict[str, Kind] = {
    "to the left of": "left of",
    "to the right of": "right of",
    "in front of": "in front of",
    "behind": "behind",
    "on top of": "above",
    "under": "below",
}
VERBS: dict[str, Kind] = {"touching": "touches", "holding": "holds", "pointing at": "points at"}

Form = tuple[tuple[tuple[int, bool], ...], bool]
"""(count, whether it has an attribute) of each object, and whether the first two stand in a relation."""

FORMS: dict[int, tuple[Form, ...]] = {
    3: ((((2, True),), False), (((1, True), (1, False)), False), (((1, False), (1, False)), True)),
    4: ((((1, True), (1, True)), False), (((1, True), (1, False)), True), (((2, True), (1, False)), False)),
    5: (
        (((1, True), (1, True)), True),
        (((2, True), (2, False)), False),
        (((1, True), (1, True)), True),
        (((3, True), (1, True)), False),
    ),
    6: ((((2, True), (2, True)), False), (((1, True), (1, True), (1, True)), False)),
    7: ((((2, True), (1, True), (1, True)), False),),
}
"""By number of atoms; a relation is one, and stands in every third to second prompt of up to five."""


def write(folder: Path, size: Size) -> None:
    rows: list[dict[str, Any]] = []
    for atoms, forms in FORMS.items():
        rng = stream("geneval2", atoms)
        found: dict[str, dict[str, Any]] = {}
        while len(found) < PROMPTS[size]:
            description, words = draw(forms[len(found) % len(forms)], rng)
            made = row(description, words)
            found.setdefault(made["prompt"], made)
        rows += found.values()
    write_json_lines(folder / "geneval2_data.jsonl", rows)


def draw(form: Form, rng: np.random.Generator) -> tuple[Description, str]:
    """A description of the form, and the words of its relation ("" for none)."""
    objects, related = form
    nouns, colors = ([str(word) for word in rng.permutation(list(words))] for words in (NOUNS, COLORS))
    phrases = []
    for i, (count, attribute) in enumerate(objects):
        textured = attribute and not related and rng.random() < 0.3
        texture = str(rng.choice(TEXTURES[1:])) if textured else None
        color = colors[i] if attribute and not textured else None
        phrases.append(Phrase(nouns[i], count=count, color=color, texture=texture))
    if not related:
        return Description(tuple(phrases)), ""
    words = str(rng.choice([*POSITIONS, *VERBS]))
    return Description(tuple(phrases), Relation({**POSITIONS, **VERBS}[words])), words


def row(description: Description, words: str) -> dict[str, Any]:
    """A line of the file: the prompt, its atoms ("a" and "and" are none), its questions and their skills."""
    asked = list(_asked(description, words))
    atoms = sum(1 + (phrase.count > 1) + bool(phrase.color or phrase.texture) for phrase in description.phrases) + bool(words)
    return {
        "prompt": _prompt(description, words),
        "atom_count": atoms,
        "vqa_list": [[question, answer] for question, answer, _ in asked],
        "skills": [skill for *_, skill in asked],
    }


def _prompt(description: Description, words: str) -> str:
    *first, last = map(noun_phrase, description.phrases)
    if words:
        return f"{first[0]} {words} {last}"
    return f"{', '.join(first)}{',' if len(first) > 1 else ''}{' and ' if first else ''}{last}"


def _asked(description: Description, words: str) -> Iterator[tuple[str, str, str]]:
    """(question, answer, skill) in the official order: of each object count, attribute and presence, after the first what it
    does or where it is."""
    for i, phrase in enumerate(description.phrases):
        several = plural(phrase.noun)
        be, named = ("Is", phrase.noun) if phrase.count == 1 else ("Are", several)
        yield f"How many {several} are in the image?", NUMBERS[phrase.count], "count"
        if attribute := phrase.color or phrase.texture:
            yield f"{be} the {named} {attribute}?", "Yes", "attribute"
        yield f"Are there any {several} in the image?", "Yes", "object"
        if words and i == 0:
            skill = "position" if words in POSITIONS else "verb"
            yield f"Is the {phrase.noun} {words} the {description.phrases[1].noun}?", "Yes", skill
