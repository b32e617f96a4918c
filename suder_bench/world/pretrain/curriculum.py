"""What the tiny models are trained on: scenes with their texts and questions, and pictures spoilt in every way they will meet.

Nothing here knows a model: `school` makes a step's lessons of it, and a subject turns those into token ids.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from scipy.ndimage import gaussian_filter

from suder_bench.data.prompts import CAPTION_REQUEST, LETTERS, choice_prompt, yes_no_prompt
from suder_bench.world import facts, questions
from suder_bench.world.language import draw_text, noun_phrase
from suder_bench.world.perception import Percept
from suder_bench.world.render import glyph
from suder_bench.world.scenes import Description, Phrase, Scene, draw
from suder_bench.world.vocabulary import CELL, COLORS, FORMS, INK, NOUNS, SIZE, TEXTURES

SEED = (2506, 7963, 2)
NOISE = 0.1
"""Share of text-to-image captions that say something wrong: drawing then trails reading, as in the paper's models."""

MIX = {
    "single_object": 0.03,
    "two_object": 0.05,
    "counting": 0.09,
    "colors": 0.05,
    "position": 0.08,
    "color_attr": 0.08,
    "color": 0.08,
    "shape": 0.09,
    "texture": 0.09,
    "spatial": 0.07,
    "3d_spatial": 0.06,
    "numeracy": 0.06,
    "non_spatial": 0.07,
    "complex": 0.07,
    "free": 0.03,
}
"""Share of the families, those that bind two things to what they are like before the others; 'free' scenes are mixed crowds."""

EASY = {"single_object": 0.15, "colors": 0.5, "color_attr": 0.2, "color": 0.15}
"""What comes first, on solid things of one form.

Started on everything at once, neither side looked at the other's input for 700 steps."""

EASY_STEPS = 400
"""All lessons are easy for so many steps, then fewer and fewer for as many again."""

EASY_KINDS = ("presence", "colored presence", "color", "noun", "identity", "caption")
"""Of the questions that easy lessons ask: what there is, and in which colour."""


@dataclass(frozen=True)
class Lesson:
    """A scene, its picture's text, and a text that says something wrong about it."""

    scene: Scene
    text: str
    wrong: str
    easy: bool = False


def lesson(rng: np.random.Generator, *, easy: bool = False, plain: bool = False) -> Lesson:
    """Things of an `easy` or a `plain` lesson are solid and of the common form where its text leaves that open."""
    mix = EASY if easy else MIX
    family = str(rng.choice(list(mix), p=list(mix.values())))
    if family == "free":
        nouns = rng.permutation(NOUNS)[: rng.integers(2, 5)]
        phrases = tuple(Phrase(str(n), color=str(rng.choice(list(COLORS)))) for n in nouns)
        description, text = Description(phrases), " and ".join(noun_phrase(p) for p in phrases)
        return Lesson(draw(description, rng), text, text)
    description, text = draw_text(family, rng, "train")
    if easy or plain:
        description = replace(description, phrases=tuple(_plain(phrase) for phrase in description.phrases))
    return Lesson(draw(description, rng), text, _spoil(text, family, rng), easy)


def _plain(phrase: Phrase) -> Phrase:
    return replace(phrase, texture=phrase.texture or "solid", form=phrase.form or "")


def _spoil(text: str, family: str, rng: np.random.Generator) -> str:
    """Change one word, or take another text of the family: the errors that noisy alt texts have."""
    if rng.random() < 0.3:
        return draw_text(family, rng, "train")[1]
    words = text.split()
    swaps = [
        (i, kind)
        for i, word in enumerate(words)
        for kind in (NOUNS, tuple(COLORS), questions.COUNT_WORDS)
        if word.rstrip(".") in kind
    ]
    if not swaps:
        return draw_text(family, rng, "train")[1]
    i, kind = swaps[int(rng.integers(len(swaps)))]
    words[i] = str(rng.choice([w for w in kind if w != words[i]])) + ("." if words[i].endswith(".") else "")
    return " ".join(words)


def corpus(n: int = 1200) -> list[tuple[str, list[Turn]]]:
    """Texts of scenes with turns about them, for a tokenizer to be trained on."""
    found = []
    for i in range(n):
        rng = np.random.default_rng([*SEED, 3, i])
        made = lesson(rng)
        found.append((made.text, [caption(made.text), *(turn(made.scene, rng) for _ in range(3))]))
    return found


@dataclass(frozen=True)
class Turn:
    """What is asked about a picture and answered. `truths` are spans (from, to) of the request's characters that say something
    of the picture, and whether it is true: a yes/no question whole, or an option that may be chosen."""

    request: str
    answer: str
    truths: tuple[tuple[int, int, bool], ...] = ()


def caption(text: str) -> Turn:
    return Turn(CAPTION_REQUEST, text)


def turn(scene: Scene, rng: np.random.Generator, *, easy: bool = False) -> Turn:
    """A question of one of the benchmarks' forms, with its answer."""
    form = rng.random()
    if form < 0.35 or (easy and form < 0.5):
        return _claim(scene, rng, easy)
    if form < 0.8 or easy:
        return _choice(scene, rng, easy)
    if form < 0.86:
        return Turn(*questions.short(scene, rng))
    request, sentences = questions.detail(scene, rng)
    return Turn(request, " ".join(sentences))


CLAIMS = {
    "presence": 2.0,
    "colored presence": 1.0,
    "color": 1.2,
    "texture": 0.8,
    "form": 0.8,
    "counting": 1.5,
    "spatial": 1.2,
    "depth": 5.0,
    "action": 5.0,
}
"""How often each kind of yes/no question is asked, beside the others that a scene allows: few scenes allow the last two."""

CHOICES = {
    "caption": 1.2,
    "noun": 0.8,
    "identity": 0.8,
    "bearer": 1.0,
    "color": 0.8,
    "texture": 1.0,
    "form": 1.0,
    "location": 1.0,
    "counting": 1.2,
    "spatial": 1.2,
    "mirror": 1.0,
    "size": 1.0,
    "arithmetic": 1.2,
    "remainder": 0.8,
    "depth": 5.0,
    "action": 4.0,
    "sign": 3.0,
}
"""The same of choices, which MMBench and SEED-Bench ask."""

T = TypeVar("T")


def _kinds(weights: Mapping[str, float], easy: bool) -> dict[str, float]:
    return {kind: weight for kind, weight in weights.items() if kind in EASY_KINDS or not easy}


def _asked(
    ask: Callable[[Scene, np.random.Generator, str], T], weights: Mapping[str, float], scene: Scene, rng: np.random.Generator
) -> T:
    """A question of the first kind, in an order drawn by the weights, that the scene allows."""
    for kind in sorted(weights, key=lambda kind: -(rng.random() ** (1 / weights[kind]))):
        try:
            return ask(scene, rng, kind)
        except ValueError:
            continue
    raise ValueError("the scene allows no question")


def _claim(scene: Scene, rng: np.random.Generator, easy: bool) -> Turn:
    question, answer = _asked(questions.yes_no, _kinds(CLAIMS, easy), scene, rng)
    request = yes_no_prompt(question).strip()
    return Turn(request, answer, ((0, len(request), answer == "Yes"),))


def _choice(scene: Scene, rng: np.random.Generator, easy: bool) -> Turn:
    question, options, letter = _asked(questions.choice, _kinds(CHOICES, easy), scene, rng)
    request = choice_prompt(question, options).strip()
    truths, end = [], request.index("\nA. ")
    for name, option in zip(LETTERS, options, strict=False):
        begin = end + len(f"\n{name}. ")
        end = begin + len(option)
        truths.append((begin, end + 1, name == letter))
    return Turn(request, letter, tuple(truths))


def easy_share(step: int) -> float:
    """Share of easy lessons at a step: all, then fewer and fewer, never none."""
    return min(1.0, max(0.1, 1 - (step - EASY_STEPS) / EASY_STEPS))


LOOKS = {
    "noun": len(NOUNS) + 1,
    "color": len(COLORS) + 1,
    "texture": len(TEXTURES) + 1,
    "form": len(FORMS) + 1,
    "column": 7,
    "row": 7,
    "mark": 5,
}
"""What can be told of a patch, and in how many ways; 0 is said of the background."""


def looks(scene: Scene, picture: np.ndarray) -> np.ndarray:
    """(64, 7) what fills each patch of the picture, as `LOOKS` lists it. `column` and `row` tell which part of the thing it is;
    a `mark` is part of two arms or of an arrow, running to the right or to the left."""
    side = SIZE // CELL
    grid = np.zeros((side, side, len(LOOKS)), np.int64)
    for thing in scene.things:
        x, y, w, h = thing.cell
        covered = glyph(thing.noun, w * CELL, h * CELL).reshape(h, CELL, w, CELL).mean(axis=(1, 3)) > 0.25
        places = (
            NOUNS.index(thing.noun),
            list(COLORS).index(thing.color),
            TEXTURES.index(thing.texture),
            list(FORMS).index(thing.form),
        )
        part = grid[y : y + h, x : x + w]
        part[covered, :4] = np.add(places, 1)
        part[covered, 4:6] = 1 + np.argwhere(covered)[:, ::-1]
    if done := facts.action(scene):
        actor, kind, patient = done
        inked = (np.abs(picture.astype(np.int16) - INK).max(-1) < 8).reshape(side, CELL, side, CELL).sum(axis=(1, 3)) > 2
        grid[inked, 6] = 1 + (kind == "points at") + 2 * (actor.cell[0] > patient.cell[0])
    return grid.reshape(-1, len(LOOKS))


def words_for(percept: Percept, rng: np.random.Generator) -> str:
    """A caption of what is really to be seen in a picture, in the wording of a prompt; 'nothing' where there is nothing."""
    seen = [o for o in percept.objects if o.confidence > 0.5]
    lead = "a photo of " if rng.random() < 0.7 else ""
    if not seen or len(seen) > 4:
        return lead + ("nothing" if not seen else "many things")
    colored, textured = rng.random() < 0.5, rng.random() < 0.15
    groups: dict[tuple[str, str | None, str | None], int] = {}
    for thing in seen:
        key = (thing.noun, thing.color if colored else None, thing.texture if textured else None)
        groups[key] = groups.get(key, 0) + 1
    if colored and len(groups) == 1 and len(seen) > 1:
        groups = {(next(iter(groups))[0], None, None): len(seen)}
    phrases = [Phrase(noun, count=n, color=color, texture=texture) for (noun, color, texture), n in groups.items()]
    order = rng.permutation(len(phrases))
    return lead + " and ".join(noun_phrase(phrases[i]) for i in order)


def spoil_picture(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Cut, erase, shuffle or repeat parts of a picture: (64, 64, 3) uint8 in and out."""
    made = pixels.copy()
    ground = pixels[0, 0] if rng.random() < 0.5 else pixels[-1, -1]
    kind = int(rng.integers(4))
    cells = np.argwhere(np.ones((8, 8), bool)) * 8
    if kind == 0:  # half drawn: nothing below a row
        made[int(rng.integers(8, 56)) :] = ground
    elif kind == 1:  # some patches missing
        for y, x in cells[rng.permutation(64)[: rng.integers(4, 16)]]:
            made[y : y + 8, x : x + 8] = ground
    elif kind == 2:  # some patches from elsewhere in the picture
        order = rng.permutation(64)[: rng.integers(4, 12)]
        for (y, x), (v, u) in zip(cells[order], cells[np.roll(order, 1)], strict=True):
            made[y : y + 8, x : x + 8] = pixels[v : v + 8, u : u + 8]
    else:  # a shifted half
        made[:, 32:] = np.roll(pixels[:, 32:], int(rng.choice([-16, -8, 8, 16])), axis=0)
    return made


def noised(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Blur and pixel noise that leave the content readable."""
    soft = gaussian_filter(pixels.astype(np.float32), (s := float(rng.uniform(0, 0.9)), s, 0))
    return np.clip(soft + rng.normal(0, rng.uniform(0, 14), pixels.shape), 0, 255).astype(np.uint8)
