"""Questions about a scene that have one right answer, by kind, with wrong answers for choices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import permutations

from suder_bench.world import facts
from suder_bench.world.claims import undone
from suder_bench.world.draws import Rng, absent, mixed, named, near_first, one
from suder_bench.world.language import article, noun_phrase
from suder_bench.world.scenes import Phrase, Scene
from suder_bench.world.vocabulary import COLORS, FORMS, NOUNS, NUMBERS, TEXTURES, plural


@dataclass(frozen=True)
class Asked:
    """A question, its right answer, and wrong ones, nearest first. `open` questions need no options to be answered."""

    question: str
    answer: str
    others: tuple[str, ...]
    open: bool = True


Maker = Callable[[Scene, Rng], Asked | None]

_RARELY = 0.2
"""How often the answer that most scenes would give ('one', 'solid', 'neither') is asked for, so that guessing it pays little."""


def _which_count(scene: Scene, rng: Rng) -> Asked | None:
    things = rng.random() < 0.2
    noun = one(rng, facts.nouns(scene))
    n = len(scene.things) if things else facts.count(scene, noun)
    if n == 1 and rng.random() > _RARELY:
        return None
    return _number(rng, f"How many {'things' if things else plural(noun)} are there in the image?", n)


def _which(attribute: str, values: Sequence[str], question: str) -> Maker:
    def ask(scene: Scene, rng: Rng) -> Asked | None:
        fit = [(t, known) for t, known in named(scene) if getattr(t, attribute) in values]
        if attribute == "color":
            fit = [(t, known) for t, known in fit if known == t.noun]
        if not fit:
            return None
        thing, known = one(rng, fit)
        own = getattr(thing, attribute)
        if own == "solid" and rng.random() > _RARELY:
            return None
        near = [v for t in scene.things if (v := getattr(t, attribute)) in values]
        return Asked(question.format(known), own, tuple(near_first(rng, near, values, but=[own])))

    return ask


def _which_noun(scene: Scene, rng: Rng) -> Asked | None:
    noun = one(rng, facts.nouns(scene))
    others = tuple(article(n) for n in mixed(rng, absent(scene)))
    return Asked("Which of these is in the image?", article(noun), others, open=False)


def _identity(scene: Scene, rng: Rng) -> Asked | None:
    """Which noun the only thing of a colour has."""
    colors = [t.color for t in scene.things]
    single = [t for t in scene.things if colors.count(t.color) == 1]
    if not single:
        return None
    thing = one(rng, single)
    present = [article(n) for n in facts.nouns(scene)]
    others = near_first(rng, present, map(article, NOUNS), but=[article(thing.noun)])
    return Asked(f"What is the {thing.color} thing in the image?", article(thing.noun), tuple(others))


def _bearer(scene: Scene, rng: Rng) -> Asked | None:
    """Which named thing alone has a colour, texture or form."""
    found = []
    for thing, known in named(scene):
        for attribute in ("color", "texture", "form"):
            value = getattr(thing, attribute)
            alone = [getattr(t, attribute) for t in scene.things].count(value) == 1
            if known == thing.noun and alone and value not in ("", "solid"):
                found.append((thing.noun, value))
    if not found:
        return None
    noun, value = one(rng, found)
    others = near_first(rng, (f"the {n}" for n in facts.nouns(scene)), (f"the {n}" for n in NOUNS), but=[f"the {noun}"])
    return Asked(f"Which thing is {value}?", f"the {noun}", tuple(others))


def _location(scene: Scene, rng: Rng) -> Asked | None:
    placed = [(t, known) for t, known in named(scene) if facts.place(t)]
    if not placed:
        return None
    thing, known = one(rng, placed)
    where = facts.place(thing) or ""
    places = [p for row in facts.PLACES for p in row]
    near = [p for p in places if set(p.split()) & set(where.split())]
    return Asked(f"Where in the image is the {known}?", where, tuple(near_first(rng, near, places, but=[where])))


def _spatial(scene: Scene, rng: Rng) -> Asked | None:
    return _relative(scene, rng, "Where is the {} relative to the {}?", mirrored=False)


def _mirror(scene: Scene, rng: Rng) -> Asked | None:
    question = "In a mirror, left and right change places. Where would the {} be relative to the {}?"
    return _relative(scene, rng, question, mirrored=True)


def _relative(scene: Scene, rng: Rng, question: str, *, mirrored: bool) -> Asked | None:
    for (a, first), (b, second) in mixed(rng, permutations(named(scene), 2)):
        kind = facts.direction(a, b)
        if kind:
            opposite = facts.direction(b, a)
            if mirrored and kind in ("left of", "right of"):
                kind, opposite = opposite, kind
            others = near_first(rng, [f"{opposite} the {second}"], (f"{d} the {second}" for d in facts.DIRECTIONS))
            answer = f"{kind} the {second}"
            return Asked(question.format(first, second), answer, tuple(o for o in others if o != answer))
    return None


def _front(scene: Scene, rng: Rng) -> Asked | None:
    things = facts.depth(scene)
    if things is None or things[0].noun == things[1].noun:
        return None
    forward = rng.random() < 0.5
    a, b = things if forward else things[::-1]
    others = [f"the {b.noun}", *(f"the {n}" for n in mixed(rng, absent(scene)))]
    return Asked(f"Which thing is {'in front' if forward else 'behind'}?", f"the {a.noun}", tuple(others))


def _action(scene: Scene, rng: Rng) -> Asked | None:
    done = facts.action(scene)
    if done is None or done[0].noun == done[2].noun:
        return None
    a, kind, b = done[0].noun, done[1], done[2].noun
    others = [f"The {x} {verb} the {y}." for x, verb, y in mixed(rng, undone(a, kind, b))]
    one, other = sorted((a, b))
    return Asked(f"What happens between the {one} and the {other}?", f"The {a} {kind} the {b}.", tuple(others))


def _sign(scene: Scene, rng: Rng) -> Asked | None:
    """The one piece of writing the world has: the sign between two things, and which way it runs."""
    done = facts.action(scene)
    if done is None or done[1] not in ("holds", "points at"):
        return None
    side = "right" if facts.direction(done[0], done[2]) == "left of" else "left"
    signs = [f"{sign} to the {way}" for sign in ("an arrow", "two arms") for way in ("left", "right")]
    answer = f"{'an arrow' if done[1] == 'points at' else 'two arms'} to the {side}"
    return Asked("Which sign is drawn between the things?", answer, tuple(s for s in mixed(rng, signs) if s != answer))


def _size(scene: Scene, rng: Rng) -> Asked | None:
    pairs = [(x, y) for x, y in permutations(named(scene), 2) if x[0].noun != y[0].noun]
    if not pairs:
        return None
    (a, first), (b, second) = one(rng, pairs)
    area, other = a.cell[2] * a.cell[3], b.cell[2] * b.cell[3]
    answers = [f"the {first}", f"the {second}", "neither of them"]
    if a.cell[2:] == b.cell[2:]:
        if rng.random() > _RARELY:
            return None
        answer = answers[2]
    elif max(area, other) >= 1.7 * min(area, other):
        answer = answers[int(area < other)]
    else:
        return None
    return Asked(f"Which is bigger, the {first} or the {second}?", answer, tuple(o for o in mixed(rng, answers) if o != answer))


def _arithmetic(scene: Scene, rng: Rng) -> Asked | None:
    noun = one(rng, facts.nouns(scene))
    n = facts.count(scene, noun)
    if rng.random() < 0.5:
        return _number(rng, f"If one more {noun} came, how many {plural(noun)} would there be?", n + 1)
    return _number(rng, f"If one {noun} were taken away, how many {plural(noun)} would be left?", n - 1)


def _remainder(scene: Scene, rng: Rng) -> Asked | None:
    noun = one(rng, facts.nouns(scene))
    n = len(scene.things) - facts.count(scene, noun)
    return _number(rng, f"How many things are not {plural(noun)}?", n) if n else None


def _number(rng: Rng, question: str, n: int) -> Asked:
    others = near_first(rng, [NUMBERS[abs(n - 1)], NUMBERS[n + 1]], NUMBERS[:6], but=[NUMBERS[n]])
    return Asked(question, NUMBERS[n], tuple(others))


def _caption(scene: Scene, rng: Rng) -> Asked | None:
    """Which of several descriptions fits; the wrong ones differ in one word, or have two words in each other's place."""
    phrases = []
    for noun in facts.nouns(scene):
        n, color = facts.count(scene, noun), next(t.color for t in scene.things if t.noun == noun)
        phrases.append(Phrase(noun, count=n, color=color if n == 1 else None))
    others = []
    for i, phrase in enumerate(phrases):
        number = phrase.count + (-1 if phrase.count > 2 and rng.random() < 0.5 else 1)
        wrongs = [replace(phrase, noun=one(rng, absent(scene))), replace(phrase, count=number, color=None)]
        if phrase.color:
            wrongs.append(replace(phrase, color=one(rng, [c for c in COLORS if c != phrase.color])))
        others += [[*phrases[:i], w, *phrases[i + 1 :]] for w in wrongs]
    answer = _listed(phrases)
    wrong = mixed(rng, map(_listed, others))
    if len(phrases) > 1 and phrases[0].count == phrases[1].count == 1 and phrases[0].color != phrases[1].color:
        a, b, *rest = phrases
        wrong.insert(0, _listed([replace(a, noun=b.noun), replace(b, noun=a.noun), *rest]))
    return Asked("Which description fits the image?", answer, tuple(dict.fromkeys(wrong)), open=False)


def _listed(phrases: Sequence[Phrase]) -> str:
    *first, last = map(noun_phrase, phrases)
    return f"{', '.join(first)} and {last}" if first else last


CHOICE: dict[str, Maker] = {
    "counting": _which_count,
    "color": _which("color", tuple(COLORS), "What color is the {}?"),
    "texture": _which("texture", TEXTURES, "What texture does the {} have?"),
    "form": _which("form", tuple(f for f in FORMS if f), "What form does the {} have?"),
    "noun": _which_noun,
    "identity": _identity,
    "bearer": _bearer,
    "location": _location,
    "spatial": _spatial,
    "mirror": _mirror,
    "depth": _front,
    "action": _action,
    "sign": _sign,
    "size": _size,
    "arithmetic": _arithmetic,
    "remainder": _remainder,
    "caption": _caption,
}
"""Kinds of questions with one right answer; each gives None where the scene allows none, or the draw is against it."""
