"""Yes/no questions about a scene, by kind. What is denied is near the truth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import permutations

from suder_bench.world import facts
from suder_bench.world.draws import Rng, absent, mixed, named, near_first, one
from suder_bench.world.language import article
from suder_bench.world.scenes import Scene
from suder_bench.world.vocabulary import ACTIONS, COLORS, FORMS, NUMBERS, TEXTURES, plural

Claim = Callable[[Scene, Rng, bool], str | None]


def _presence(scene: Scene, rng: Rng, truth: bool) -> str | None:
    noun = one(rng, facts.nouns(scene) if truth else absent(scene))
    return f"Is there {article(noun)} in the image?"


def _colored_presence(scene: Scene, rng: Rng, truth: bool) -> str | None:
    thing = one(rng, scene.things)
    pair = (thing.color, thing.noun)
    if not truth:
        taken = [t.color for t in scene.things if t.noun == thing.noun]
        colors = near_first(rng, (t.color for t in scene.things), COLORS, but=taken)
        pair = (colors[0], thing.noun) if rng.random() < 0.6 else (thing.color, one(rng, absent(scene)))
    return f"Is there {article(' '.join(pair))} in the image?"


def _of_thing(attribute: str, values: Sequence[str], *, common: str = "?", share: float = 1) -> Claim:
    """'Is the ball red?'. A thing with the `common` value is asked about in only a `share` of cases, so that the answer
    is yes half the time for every value; the shares follow from how often scenes draw it."""

    def ask(scene: Scene, rng: Rng, truth: bool) -> str | None:
        known_things = [(t, known) for t, known in named(scene) if attribute != "color" or known == t.noun]
        if not known_things:
            return None
        thing, known = one(rng, known_things)
        own = getattr(thing, attribute)
        if (truth and own not in values) or (own == common and rng.random() > share):
            return None
        near = [v for t in scene.things if (v := getattr(t, attribute)) in values]
        value = own if truth else near_first(rng, near, values, but=[own])[0]
        return f"Is the {known} {value}?"

    return ask


def _counted(scene: Scene, rng: Rng, truth: bool) -> str | None:
    noun = one(rng, facts.nouns(scene))
    n = facts.count(scene, noun)
    if not truth:
        n += 1 if n == 1 or rng.random() < 0.5 else -1
    return f"Is there exactly one {noun} in the image?" if n == 1 else f"Are there {NUMBERS[n]} {plural(noun)} in the image?"


def _sided(scene: Scene, rng: Rng, truth: bool) -> str | None:
    for (a, first), (b, second) in mixed(rng, permutations(named(scene), 2)):
        kind = facts.direction(a, b)
        if kind:
            opposite = facts.direction(b, a)
            others = [opposite, opposite, *(d for d in facts.DIRECTIONS if d != kind)]
            return f"Is the {first} {kind if truth else one(rng, others)} the {second}?"
    return None


def _layered(scene: Scene, rng: Rng, truth: bool) -> str | None:
    things = facts.depth(scene)
    if things is None or things[0].noun == things[1].noun:
        return None
    forward = rng.random() < 0.5
    a, b = things if forward == truth else things[::-1]
    return f"Is the {a.noun} {'in front of' if forward else 'behind'} the {b.noun}?"


def _acted(scene: Scene, rng: Rng, truth: bool) -> str | None:
    done = facts.action(scene)
    if done is None or done[0].noun == done[2].noun:
        return None
    actor, kind, patient = done
    asked = (actor.noun, kind, patient.noun) if truth else one(rng, undone(actor.noun, kind, patient.noun))
    a, verb, b = asked
    if verb == "is inside":
        return f"Is the {a} inside the {b}?"
    return f"Does the {a} {verb.replace('touches', 'touch').replace('holds', 'hold').replace('points', 'point')} the {b}?"


def undone(actor: str, kind: str, patient: str) -> list[tuple[str, str, str]]:
    """Actions that the picture clearly does not show; touching has no direction, and what is inside is also held and touched."""
    verbs = [v for v in ACTIONS if kind != "is inside" or v in ("is inside", "points at")]
    told = [(actor, v, patient) for v in verbs if v != kind]
    return told + [(patient, v, actor) for v in verbs if v != "touches"]


YES_NO: dict[str, Claim] = {
    "presence": _presence,
    "colored presence": _colored_presence,
    "color": _of_thing("color", tuple(COLORS)),
    "texture": _of_thing("texture", TEXTURES, common="solid", share=3 / 7),
    "form": _of_thing("form", tuple(f for f in FORMS if f), common="", share=0.15),
    "counting": _counted,
    "spatial": _sided,
    "depth": _layered,
    "action": _acted,
}
"""Kinds of yes/no questions. Each takes the wanted truth, and gives None where none fits or the draw is against it."""
