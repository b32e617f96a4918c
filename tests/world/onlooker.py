"""An independent reader of the world: a scene from pixels alone, and the answer to a question from its words."""

from __future__ import annotations

import numpy as np

from suder_bench.records import ImageSource, open_image
from suder_bench.world.perception import perceive
from suder_bench.world.scenes import GRID, Relation, Scene, Thing
from suder_bench.world.vocabulary import CELL, NOUNS, NUMBERS

WAYS = {"left of": (-1, 0), "right of": (1, 0), "above": (0, -1), "below": (0, 1)}


def seen(source: ImageSource) -> Scene:
    """What the perception finds in a picture, farthest first."""
    percept = perceive(np.asarray(open_image(source)))
    things = []
    for thing in percept.objects:
        x0, y0, x1, y1 = (round(v / CELL) for v in thing.box)
        things.append(Thing(thing.noun, thing.color, thing.texture, thing.form, (x0, y0, x1 - x0, y1 - y0)))
    relation = None
    if percept.connectors and percept.connectors[0].confidence > 0.5:
        surest = percept.connectors[0]
        relation = Relation(surest.kind, surest.actor, surest.patient)  # type: ignore[arg-type]
    return Scene(0, tuple(things), tuple(range(len(things))), relation)


def yes_no(scene: Scene, question: str) -> bool:
    """Whether a yes/no question is true of the scene."""
    words = question.removesuffix("?").removesuffix(" in the image").split()
    things = scene.things
    match words:
        case ["Is", "there", "exactly", "one", noun]:
            return number(scene, noun) == 1
        case ["Is", "there", "a" | "an", *said]:
            return any(set(said) <= {t.noun, t.color} for t in things)
        case ["Are", "there", n, nouns]:
            return number(scene, nouns) == NUMBERS.index(n)
        case ["Is", "the", *name, "inside", "the", other]:
            return done(scene) == (find(scene, name), "is inside", find(scene, [other]))
        case ["Is", "the", *_] if side := next((w for w in words if w in ("left", "right", "above", "below")), None):
            i = words.index(side)
            return lies(find(scene, words[2:i]), find(scene, words[words.index("the", i) + 1 :]), side)
        case ["Is", "the", name, "in", "front", "of", "the", other]:
            return things.index(find(scene, [name])) > things.index(find(scene, [other]))
        case ["Is", "the", name, "behind", "the", other]:
            return things.index(find(scene, [name])) < things.index(find(scene, [other]))
        case ["Is", "the", *name, value]:
            found = find(scene, name)
            return value in (found.color, found.texture, found.form)
        case ["Does", "the", a, verb, *between, b]:
            assert between in (["the"], ["at", "the"])
            return acts(scene, a, verb, b)
    raise AssertionError(question)


def answer(scene: Scene, question: str) -> str | None:
    """The right answer to a question of the worded kinds; None for those that only make sense with their options."""
    words = question.removesuffix("?").split()
    match words:
        case ["How", "many", "things", "are", "there", *_]:
            return NUMBERS[len(scene.things)]
        case ["How", "many", "things", "are", "not", nouns]:
            return NUMBERS[len(scene.things) - number(scene, nouns)]
        case ["How", "many", nouns, "are", "there", *_]:
            return NUMBERS[number(scene, nouns)]
        case ["If", "one", "more", noun, *_]:
            return NUMBERS[number(scene, noun) + 1]
        case ["If", "one", noun, "were", "taken", *_]:
            return NUMBERS[number(scene, noun) - 1]
        case ["What", "color", "is", "the", *name]:
            return find(scene, name).color
        case ["What", "texture", "does", "the", *name, "have"]:
            return find(scene, name).texture
        case ["What", "form", "does", "the", *name, "have"]:
            return find(scene, name).form
        case ["What", "is", "the", color, "thing", *_]:
            (found,) = [t for t in scene.things if t.color == color]
            return f"{'an' if found.noun == 'hourglass' else 'a'} {found.noun}"
        case ["Which", "thing", "is", "in", "front"]:
            return f"the {scene.things[-1].noun}"
        case ["Which", "thing", "is", "behind"]:
            return f"the {scene.things[0].noun}"
        case ["Which", "thing", "is", value]:
            (found,) = [t for t in scene.things if value in (t.color, t.texture, t.form)]
            return f"the {found.noun}"
        case ["Which", "is", "bigger,", "the", *a, "or", "the", b] | ["Which", "is", "bigger,", "the", *a, "or", "the", _, b]:
            name = words[words.index("or") + 2 :]
            areas = [find(scene, n).cell[2] * find(scene, n).cell[3] for n in (a, name)]
            assert b == name[-1]
            both = (f"the {' '.join(a)}", f"the {' '.join(name)}")
            return "neither of them" if areas[0] == areas[1] else both[int(areas[0] < areas[1])]
        case ["Where", "in", "the", "image", "is", "the", *name]:
            x, y = (2 * c / GRID - 1 for c in centre(find(scene, name)))
            row, column = ("top", "", "bottom")[third(y)], ("left", "", "right")[third(x)]
            return f"{row} {column}".strip() or "middle"
        case [*start, "relative", "to", "the", _] | [*start, "relative", "to", "the", _, _]:
            name = start[len(start) - start[::-1].index("the") :]
            name = [w for w in name if w != "be"]
            other = words[words.index("to") + 2 :]
            (way,) = [w for w in WAYS if lies(find(scene, name), find(scene, other), w.split()[0])]
            if start[0] == "In":
                way = {"left of": "right of", "right of": "left of"}.get(way, way)
            return f"{way} the {' '.join(other)}"
        case ["What", "happens", "between", "the", *_]:
            a, kind, b = done(scene)
            if kind == "touches" and a.noun > b.noun:
                a, b = b, a
            return f"The {a.noun} {kind} the {b.noun}."
        case ["Which", "sign", *_]:
            a, kind, b = done(scene)
            side = "right" if a.cell[0] < b.cell[0] else "left"
            return f"{'an arrow' if kind == 'points at' else 'two arms'} to the {side}"
    return None


def fits(scene: Scene, description: str) -> bool:
    """Whether 'a red ball, two boxes and an orange star' is all that the scene shows."""
    counted = 0
    for part in description.replace(" and ", ", ").split(", "):
        n, *attributes, noun = part.split()
        wanted = 1 if n in ("a", "an") else NUMBERS.index(n)
        have = [t for t in scene.things if t.noun == singular(noun)]
        if len(have) != wanted or any(w != have[0].color for w in attributes):
            return False
        counted += wanted
    return counted == len(scene.things)


def singular(noun: str) -> str:
    return next(n for n in NOUNS if noun in (n, n + "s", n + "es"))


def number(scene: Scene, noun: str) -> int:
    return sum(t.noun == singular(noun) for t in scene.things)


def find(scene: Scene, name: list[str]) -> Thing:
    """The only thing of this name; fails if there are several."""
    (found,) = [t for t in scene.things if set(name) <= {t.noun, t.color}]
    return found


def done(scene: Scene) -> tuple[Thing, str, Thing]:
    assert scene.relation is not None
    things = scene.described()
    return things[scene.relation.first], scene.relation.kind, things[scene.relation.second]


def acts(scene: Scene, a: str, verb: str, b: str) -> bool:
    actor, kind, patient = done(scene)
    same = kind.startswith(verb)
    return same and ((actor.noun, patient.noun) == (a, b) or (verb == "touch" and (actor.noun, patient.noun) == (b, a)))


def lies(a: Thing, b: Thing, side: str) -> bool:
    """GenEval's rule for boxes that are apart: the offset along the side is more than half of its length."""
    (ax, ay), (bx, by) = centre(a), centre(b)
    dx, dy = ax - bx, ay - by
    ux, uy = next(way for name, way in WAYS.items() if name.split()[0] == side)
    return ux * dx + uy * dy > 0.5 * float(np.hypot(dx, dy))


def centre(t: Thing) -> tuple[float, float]:
    x, y, w, h = t.cell
    return x + w / 2, y + h / 2


def third(v: float) -> int:
    """0, 1 or 2 for a coordinate in [-1, 1]."""
    return int(v > -1 / 3) + int(v > 1 / 3)
