"""Questions about a scene and their answers. Every function is pure in (scene, random generator).

Three ways to ask: yes or no, a choice of options, a short answer; and requests for several sentences. Questions only
name things that their noun, or colour and noun, tells from all others, and only ask what the picture makes clear. What
is denied is near the truth: another thing's colour, the next number, the relation turned around.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations

from suder_bench.data.prompts import LETTERS
from suder_bench.world import facts
from suder_bench.world.asked import CHOICE
from suder_bench.world.claims import YES_NO
from suder_bench.world.draws import Rng, mixed, named, one
from suder_bench.world.scenes import Scene
from suder_bench.world.vocabulary import NUMBERS, plural

COUNT_WORDS = NUMBERS[1:5]
"""The numbers of things that a scene can show."""


def yes_no(scene: Scene, rng: Rng, kind: str | None = None) -> tuple[str, str]:
    """(question, 'Yes' or 'No'), either with probability 1/2; of one kind in `YES_NO`, or of any that fits the scene.

    Raises `ValueError` if no question of that kind came up: draw again, or another scene.
    """
    truth = bool(rng.random() < 0.5)
    for each in mixed(rng, YES_NO) if kind is None else [kind]:
        question = YES_NO[each](scene, rng, truth)
        if question:
            return question, "Yes" if truth else "No"
    raise ValueError(f"the scene allows no yes/no question about {kind}")


def choice(scene: Scene, rng: Rng, kind: str | None = None, options: int | None = None) -> tuple[str, list[str], str]:
    """(question, options, letter of the right one). Four options mostly, else two or three, or `options` of them.

    Raises `ValueError` if no question of that kind with that many options came up: draw again, or another scene.
    """
    for each in mixed(rng, CHOICE) if kind is None else [kind]:
        asked = CHOICE[each](scene, rng)
        n = options or (4 if rng.random() < 0.8 else int(rng.integers(2, 4)))
        if asked is None or (options and len(asked.others) < options - 1):
            continue
        shown = mixed(rng, [asked.answer, *asked.others[: n - 1]])
        return asked.question, shown, LETTERS[shown.index(asked.answer)]
    raise ValueError(f"the scene allows no choice about {kind} with {options or 'any number of'} options")


def short(scene: Scene, rng: Rng, kind: str | None = None) -> tuple[str, str]:
    """(question, answer in a word or a phrase), such as ('What color is the ball?', 'red').

    Raises `ValueError` if no question of that kind, answerable without options, came up: draw again, or another scene.
    """
    for each in mixed(rng, CHOICE) if kind is None else [kind]:
        asked = CHOICE[each](scene, rng)
        if asked and asked.open:
            return asked.question, asked.answer
    raise ValueError(f"the scene allows no short question about {kind}")


def _converse(scene: Scene, rng: Rng) -> tuple[str, list[str]] | None:
    thing = one(rng, scene.things)
    known = facts.name(scene, thing)
    n = facts.count(scene, thing.noun)
    if known is None or rng.random() < 0.3:
        be, things = ("is", thing.noun) if n == 1 else ("are", plural(thing.noun))
        return f"How many {plural(thing.noun)} can you see?", [f"There {be} {NUMBERS[n]} {things} in the image."]
    where = facts.place(thing)
    if where and rng.random() < 0.5:
        return f"Where is the {known}?", [f"The {known} is {facts.WHEREABOUTS[where]}."]
    return f"What does the {known} look like?", [f"The {known} is {facts.look(thing)}."]


_REQUESTS = ("Describe the image in detail.", "What do you see? Tell all you can.", "Write a detailed description of the image.")


def _describe(scene: Scene, rng: Rng) -> tuple[str, list[str]] | None:
    return one(rng, _REQUESTS), facts.facts(scene)


def _reason(scene: Scene, rng: Rng) -> tuple[str, list[str]] | None:
    known = named(scene)
    if len(known) < 2:
        return None
    (a, first), (b, second) = one(rng, list(permutations(known, 2)))
    form = int(rng.integers(3))
    if form == 0:
        left = [f"{facts.look(t).capitalize()} would be left." for t in scene.things if t != a]
        return f"If the {first} were taken away, what would be left?", left
    sentence = facts.relation_sentence(scene, a, b)
    looks = [f"The {first} is {facts.look(a)}.", f"The {second} is {facts.look(b)}."]
    if form == 1 and sentence:
        return f"What is the relation between the {first} and the {second}?", [*looks, sentence]
    same = "the same color" if a.color == b.color else "different colors"
    return f"How do the {first} and the {second} differ?", [*looks, f"They have {same}."]


DETAIL: dict[str, Callable[[Scene, Rng], tuple[str, list[str]] | None]] = {
    "conv": _converse,
    "detail": _describe,
    "complex": _reason,
}
"""LLaVA-Bench's three categories."""


def detail(scene: Scene, rng: Rng, kind: str | None = None) -> tuple[str, list[str]]:
    """(request, the sentences of a good answer). Raises `ValueError` if the scene allows no request of that kind."""
    for each in mixed(rng, DETAIL) if kind is None else [kind]:
        found = DETAIL[each](scene, rng)
        if found:
            return found
    raise ValueError(f"the scene allows no {kind} request")
