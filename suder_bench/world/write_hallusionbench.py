"""HallusionBench's JSON: each set has an original and an edited picture, and questions whose answers the edit turns around.

Sub-categories keep the official names where the world can honestly fill them. VD (needs the picture): `figure` changes a
thing's colour, `illusion` what covers what, `math` a number, `ocr` which way the sign between two things runs. VS (also
asked without the picture): `chart` exchanges two counts, `map` two places, `table` two colours.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from suder_bench.world.examples import Size, stream, write_png, write_text
from suder_bench.world.facts import count, direction
from suder_bench.world.language import article
from suder_bench.world.scenes import Description, Kind, Phrase, Relation, Scene, Thing, draw
from suder_bench.world.vocabulary import COLORS, NOUNS, NUMBERS, plural

SETS = {"quick": 3, "full": 22}
"""Sets in each sub-category."""

Rng = np.random.Generator


@dataclass(frozen=True)
class Claim:
    """A yes/no question, its answer, and the sentence that is true either way."""

    question: str
    true: bool
    fact: str


Claims = Callable[[Scene], list[Claim]]


def write(folder: Path, size: Size) -> None:
    rows: list[dict[str, str | None]] = []
    for number, ((category, subcategory), make) in enumerate(MAKERS.items()):
        for s in range(SETS[size]):
            rng = stream("hallusionbench", 1000 * number + s)
            first, second, claims = make(rng)
            figures = [first, second] if rng.random() < 0.5 else [second, first]
            shown: list[tuple[str, Scene | None]] = [("0", None)] if category == "VS" else []
            shown += [("1", figures[0]), ("2", figures[1])]
            for f, (visual_input, scene) in enumerate(shown):
                filename = None
                if scene is not None:
                    filename = f"./{category}/{subcategory}/{s}_{f}.png"
                    write_png(scene, folder / "images" / filename)
                # Without the picture the same is asked, and the original figure's answer stands.
                for q, claim in enumerate(claims(scene or figures[0])):
                    rows.append(
                        {
                            "category": category,
                            "subcategory": subcategory,
                            "visual_input": visual_input,
                            "set_id": str(s),
                            "figure_id": str(f),
                            "sample_note": f"{subcategory}-edit" if visual_input == "2" else subcategory,
                            "question_id": str(q),
                            "question": claim.question,
                            "gt_answer_details": claim.fact,
                            "gt_answer": "1" if claim.true else "0",
                            "filename": filename,
                        }
                    )
    write_text(folder / "HallusionBench.json", json.dumps(rows, indent=1) + "\n")


Made = tuple[Scene, Scene, Claims]


def _pick(rng: Rng, words: object, n: int) -> list[str]:
    return [str(w) for w in rng.permutation(list(words))[:n]]  # type: ignore[call-overload]


def _thing(scene: Scene, noun: str) -> Thing:
    return next(t for t in scene.things if t.noun == noun)


def _swapped(scene: Scene, *attributes: str) -> Scene:
    """The two things of a scene exchange the attributes named."""
    a, b = scene.things
    changed = [replace(x, **{key: getattr(y, key) for key in attributes}) for x, y in ((a, b), (b, a))]
    return replace(scene, things=tuple(changed))


def _colored(nouns: list[str], colors: list[str]) -> Claims:
    """'Is the ball red?' for each noun with its colour."""
    asked = list(zip(nouns, colors, strict=True))

    def claims(scene: Scene) -> list[Claim]:
        facts = [f"the {t.noun} is {t.color}" for t in sorted(scene.things, key=lambda t: t.noun)]
        said = f"{' and '.join(facts)}.".replace("the", "The", 1)
        return [Claim(f"Is the {n} {c}?", _thing(scene, n).color == c, said) for n, c in asked]

    return claims


def _figure(rng: Rng) -> Made:
    (noun,) = _pick(rng, NOUNS, 1)
    colors = _pick(rng, COLORS, 2)
    scene = draw(Description((Phrase(noun, color=colors[0]),)), rng)
    edited = replace(scene, things=(replace(scene.things[0], color=colors[1]),))
    return scene, edited, _colored([noun, noun], colors)


def _table(rng: Rng) -> Made:
    nouns, colors = _pick(rng, NOUNS, 2), _pick(rng, COLORS, 2)
    scene = draw(Description(tuple(Phrase(n, color=c) for n, c in zip(nouns, colors, strict=True))), rng)
    return scene, _swapped(scene, "color"), _colored(nouns, [colors[0]] * 2)


def _related(nouns: list[str], kind: str) -> Claims:
    def claims(scene: Scene) -> list[Claim]:
        a, b = nouns
        one, other = _thing(scene, a), _thing(scene, b)
        nearer = scene.things.index(one) > scene.things.index(other)
        holds = nearer if kind == "in front of" else direction(one, other) == kind
        first, second = (a, b) if holds else (b, a)
        fact = f"The {first} is {kind} the {second}."
        return [Claim(f"Is the {a} {kind} the {b}?", holds, fact), Claim(f"Is the {b} {kind} the {a}?", not holds, fact)]

    return claims


def _illusion(rng: Rng) -> Made:
    nouns = _pick(rng, NOUNS, 2)
    scene = draw(Description(tuple(map(Phrase, nouns)), Relation("in front of")), rng)
    return scene, _swapped(scene, "noun", "color"), _related(nouns, "in front of")


def _map(rng: Rng) -> Made:
    nouns = _pick(rng, NOUNS, 2)
    kind: Kind = ("left of", "right of", "above", "below")[int(rng.integers(4))]
    scene = draw(Description(tuple(Phrase(n, form="") for n in nouns), Relation(kind)), rng)
    return scene, _swapped(scene, "noun", "color", "texture"), _related(nouns, kind)


def _counted(noun: str, number: int, scene: Scene) -> Claim:
    n = count(scene, noun)
    fact = f"There is one {noun}." if n == 1 else f"There are {NUMBERS[n]} {plural(noun)}."
    question = f"Are there {NUMBERS[number]} {plural(noun)} in the image?"
    return Claim(question if number > 1 else f"Is there exactly one {noun} in the image?", n == number, fact)


def _math(rng: Rng) -> Made:
    """A number of things, and one fewer."""
    (noun,) = _pick(rng, NOUNS, 1)
    n = int(rng.integers(2, 5))
    scene = draw(Description((Phrase(noun, count=n),)), rng)
    fewer = replace(scene, things=scene.things[:-1], order=scene.order[:-1])
    return scene, fewer, lambda shown: [_counted(noun, n, shown), _counted(noun, n - 1, shown)]


def _chart(rng: Rng) -> Made:
    """Two of one noun and one of another; in the other picture, the other way round."""
    a, b = _pick(rng, NOUNS, 2)
    scene = draw(Description((Phrase(a, count=2), Phrase(b))), rng)
    things = (scene.things[0], *(replace(t, noun=b) for t in scene.things[1:]))
    return scene, replace(scene, things=things), lambda shown: [_counted(a, 2, shown), _counted(b, 2, shown)]


def _ocr(rng: Rng) -> Made:
    """Arms or an arrow between two things, and the same the other way."""
    a, b = _pick(rng, NOUNS, 2)
    kind: Kind = "holds" if rng.random() < 0.5 else "points at"
    scene = draw(Description((Phrase(a), Phrase(b)), Relation(kind)), rng)
    edited = replace(scene, relation=Relation(kind, first=1, second=0))
    verb = kind.replace("holds", "hold").replace("points", "point")

    def claims(shown: Scene) -> list[Claim]:
        forward = shown.relation == scene.relation
        fact = f"{article(a if forward else b).capitalize()} {kind} {article(b if forward else a)}."
        return [Claim(f"Does the {a} {verb} the {b}?", forward, fact), Claim(f"Does the {b} {verb} the {a}?", not forward, fact)]

    return scene, edited, claims


MAKERS: dict[tuple[str, str], Callable[[Rng], Made]] = {
    ("VD", "figure"): _figure,
    ("VD", "illusion"): _illusion,
    ("VD", "math"): _math,
    ("VD", "ocr"): _ocr,
    ("VS", "chart"): _chart,
    ("VS", "map"): _map,
    ("VS", "table"): _table,
}
"""(original, edited, questions): each draws two pictures and the questions that tell them apart."""
