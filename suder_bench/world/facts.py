"""What is true of a scene, and how it is said. Only clear-cut cases are told: what a picture leaves open is None here."""

from __future__ import annotations

from itertools import combinations

from suder_bench.world.language import article
from suder_bench.world.scenes import GRID, Kind, Scene, Thing
from suder_bench.world.vocabulary import ACTIONS, NUMBERS, plural

DIRECTIONS: tuple[Kind, ...] = ("left of", "right of", "above", "below")
PLACES = (
    ("top left", "top", "top right"),
    ("left", "middle", "right"),
    ("bottom left", "bottom", "bottom right"),
)

_PREPOSITION = {"middle": "in", "left": "on", "right": "on"}
WHEREABOUTS = {p: f"{_PREPOSITION.get(p, 'at')} the {p}" for row in PLACES for p in row}
"""'at the top left', 'on the left', 'in the middle'."""


def count(scene: Scene, noun: str, color: str | None = None) -> int:
    """How many things have this noun (and colour)."""
    return sum(t.noun == noun and color in (None, t.color) for t in scene.things)


def nouns(scene: Scene) -> list[str]:
    """The distinct nouns, in drawing order."""
    return list(dict.fromkeys(t.noun for t in scene.things))


def name(scene: Scene, thing: Thing) -> str | None:
    """'ball', or 'red ball' if there are several balls and one is red; None if neither tells the thing from the others."""
    if count(scene, thing.noun) == 1:
        return thing.noun
    return full_name(scene, thing)


def full_name(scene: Scene, thing: Thing) -> str | None:
    """'red ball', or None if there is another red ball."""
    return f"{thing.color} {thing.noun}" if count(scene, thing.noun, thing.color) == 1 else None


def direction(a: Thing, b: Thing) -> Kind | None:
    """On which side of `b` thing `a` lies: their boxes are apart, and one axis has at least twice the other's offset."""
    ax, ay, aw, ah = a.cell
    bx, by, bw, bh = b.cell
    dx, dy = bx + bw / 2 - ax - aw / 2, by + bh / 2 - ay - ah / 2
    if abs(dy) <= abs(dx) / 2 and (ax + aw <= bx or bx + bw <= ax):
        return "left of" if dx > 0 else "right of"
    if abs(dx) <= abs(dy) / 2 and (ay + ah <= by or by + bh <= ay):
        return "above" if dy > 0 else "below"
    return None


def depth(scene: Scene) -> tuple[Thing, Thing] | None:
    """(front, back) of a scene in which one thing partly covers the other."""
    if scene.relation is None or scene.relation.kind not in ("in front of", "behind"):
        return None
    back, front = scene.things
    return front, back


def action(scene: Scene) -> tuple[Thing, Kind, Thing] | None:
    """(actor, kind, patient) of a scene in which something is done."""
    if scene.relation is None or scene.relation.kind not in ACTIONS:
        return None
    described = scene.described()
    return described[scene.relation.first], scene.relation.kind, described[scene.relation.second]


def place(thing: Thing) -> str | None:
    """The ninth of the picture in which the thing's centre lies, from 'top left' to 'bottom right'; None on a boundary."""
    x, y, w, h = thing.cell
    thirds = [_third(x + w / 2), _third(y + h / 2)]
    return None if None in thirds else PLACES[thirds[1]][thirds[0]]  # type: ignore[index]


def _third(centre: float) -> int | None:
    if abs(centre - GRID / 2) < 0.75:
        return 1
    return None if abs(centre - GRID / 2) < 1.25 else int(centre > GRID / 2) * 2


def look(thing: Thing) -> str:
    """'a big red striped ball'; the unmarked form and the solid texture are not said."""
    return article(" ".join(w for w in (thing.form, thing.color, thing.texture.replace("solid", ""), thing.noun) if w))


def relation_sentence(scene: Scene, a: Thing, b: Thing) -> str | None:
    """'The red ball is left of the blue box.', 'The red ball holds the blue box.'; None if nothing clear can be said."""
    acted, layered = action(scene), depth(scene)
    if acted:
        a, verb, b = acted
    elif layered:
        a, b = layered
        verb = "in front of"
    else:
        found = direction(a, b)
        if found is None:
            return None
        verb = found
    first, second = full_name(scene, a), full_name(scene, b)
    if first is None or second is None:
        return None
    return f"The {first} {verb if verb in ACTIONS else f'is {verb}'} the {second}."


def facts(scene: Scene) -> list[str]:
    """One sentence for each thing, each repeated noun, each clear place, and each clear relation between two things."""
    things = sorted(scene.things, key=lambda t: (t.cell[0] + t.cell[2] / 2, t.cell[1]))
    said = [f"{look(t).capitalize()}." for t in things]
    said += [f"There are {NUMBERS[n]} {plural(noun)}." for noun in nouns(scene) if (n := count(scene, noun)) > 1]
    for thing in things:
        known, where = full_name(scene, thing), place(thing)
        if known and where:
            said.append(f"The {known} is {WHEREABOUTS[where]}.")
    said += [s for a, b in combinations(things, 2) if (s := relation_sentence(scene, a, b))]
    return said
