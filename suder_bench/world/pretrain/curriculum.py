"""What tiny-janus is trained on: scenes with their texts and questions, and pictures spoilt in every way it will meet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from transformers import PreTrainedTokenizerBase

from suder_bench.data.prompts import choice_prompt, yes_no_prompt
from suder_bench.models.janus.prompts import CAPTION_REQUEST, answer_ids, generation_text, image_block, prompt_ids, question_text
from suder_bench.world import questions
from suder_bench.world.language import draw_text, noun_phrase
from suder_bench.world.perception import Percept
from suder_bench.world.render import glyph
from suder_bench.world.scenes import Description, Phrase, Scene, draw
from suder_bench.world.vocabulary import CELL, COLORS, NOUNS, SIZE

SEED = (2506, 7963, 2)
NOISE = 0.25
"""Share of text-to-image captions that say something wrong: drawing then trails reading, as in the paper's models."""

MIX = {
    "single_object": 0.05,
    "two_object": 0.1,
    "counting": 0.1,
    "colors": 0.08,
    "position": 0.1,
    "color_attr": 0.1,
    "color": 0.06,
    "shape": 0.05,
    "texture": 0.06,
    "spatial": 0.06,
    "3d_spatial": 0.04,
    "numeracy": 0.06,
    "non_spatial": 0.05,
    "complex": 0.05,
    "free": 0.04,
}
"""Share of the families; 'free' scenes are mixed crowds for the questions."""

EASY = {"single_object": 0.15, "colors": 0.5, "color_attr": 0.2, "color": 0.15}
"""What comes first, on solid things of one form.

Started on everything at once, neither side looked at the other's input for 700 steps."""

EASY_LESSONS = 8000
"""The first lessons are easy ones."""


@dataclass(frozen=True)
class Lesson:
    """A scene, its picture's text, and a text that says something wrong about it."""

    scene: Scene
    text: str
    wrong: str


def lesson(i: int) -> Lesson:
    rng = np.random.default_rng([*SEED, i])
    mix = EASY if i < EASY_LESSONS else MIX
    family = str(rng.choice(list(mix), p=list(mix.values())))
    if family == "free":
        nouns = rng.permutation(NOUNS)[: rng.integers(2, 5)]
        phrases = tuple(Phrase(str(n), color=str(rng.choice(list(COLORS)))) for n in nouns)
        description, text = Description(phrases), " and ".join(noun_phrase(p) for p in phrases)
        return Lesson(draw(description, rng), text, text)
    description, text = draw_text(family, rng, "train")
    if mix is EASY:
        description = Description(tuple(replace(phrase, texture="solid", form="") for phrase in description.phrases))
    return Lesson(draw(description, rng), text, _spoil(text, family, rng))


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


def corpus() -> list[str]:
    """Texts that the tokenizer is trained on."""
    texts = []
    for i in range(1200):
        made = lesson(EASY_LESSONS + i)
        texts += [generation_text(made.text, ""), question_text(CAPTION_REQUEST, "")]
        for question, answer in turns(made.scene, made.text, np.random.default_rng([*SEED, 3, i]), 4):
            texts += [question_text(question, ""), " " + answer]
    return texts + ["Question: Hint: Options: Please answer yes or no. 0 1 2 3 4 5 6 7 8 9"] * 50


def turns(scene: Scene, text: str, rng: np.random.Generator, n: int, claims: int = 0) -> list[tuple[str, str]]:
    """The caption and `n - 1` questions with their answers, then `claims` more to which the answer is yes or no."""
    made = [(CAPTION_REQUEST, text)]
    while len(made) < n:
        kind = rng.random()
        if kind < 0.45:
            made.append(_claim(scene, rng))
        elif kind < 0.75:
            question, options, letter = questions.choice(scene, rng)
            made.append((choice_prompt(question, options), letter))
        elif kind < 0.88:
            made.append(questions.short(scene, rng))
        else:
            request, sentences = questions.detail(scene, rng)
            made.append((request, " ".join(sentences)))
    return made + [_claim(scene, rng) for _ in range(claims)]


def _claim(scene: Scene, rng: np.random.Generator) -> tuple[str, str]:
    """What is there at all is asked as often as all the rest."""
    question, answer = questions.yes_no(scene, rng, "presence" if rng.random() < 0.5 else None)
    return yes_no_prompt(question), answer


def easy_share(done: float) -> float:
    """Share of easy lessons when a part `done` of the training is over: all, then fewer and fewer, never none."""
    return 1.0 if done < 0.15 else max(0.1, 1 - (done - 0.15) / 0.25)


def patches(scene: Scene) -> np.ndarray:
    """(64, 2) noun and colour of what fills each patch of the picture; 0 is the background."""
    grid = np.zeros((SIZE // CELL, SIZE // CELL, 2), np.int64)
    for thing in scene.things:
        x, y, w, h = thing.cell
        covered = glyph(thing.noun, w * CELL, h * CELL).reshape(h, CELL, w, CELL).mean(axis=(1, 3)) > 0.25
        grid[y : y + h, x : x + w][covered] = (1 + NOUNS.index(thing.noun), 1 + list(COLORS).index(thing.color))
    return grid.reshape(-1, 2)


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


class Tokens:
    """Turns lessons into id sequences for one tokenizer."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, image_tokens: int):
        self.tokenizer = tokenizer
        self.block = image_block(tokenizer.boi_token, tokenizer.image_token, tokenizer.eoi_token, image_tokens=image_tokens)
        self.eos = tokenizer.eos_token_id

    def prompt(self, text: str) -> list[int]:
        return prompt_ids(self.tokenizer, generation_text(text, self.tokenizer.boi_token))

    def dialogue(self, turns: list[tuple[str, str]]) -> Dialogue:
        """One picture, several turns that each see the picture and themselves but not one another."""
        marker = "\x00"
        prefix_text, _ = question_text(marker, self.block).split(marker)
        prefix = prompt_ids(self.tokenizer, prefix_text)
        ids, segment, position, labels = list(prefix), [0] * len(prefix), list(range(len(prefix))), [-100] * len(prefix)
        weight, truth = [0.0] * len(prefix), [-100] * len(prefix)
        for number, (question, answer) in enumerate(turns, start=1):
            _, rest = question_text(question, self.block).split(self.block + "\n")
            asked = self.tokenizer.encode(rest, add_special_tokens=False)
            said = [*answer_ids(self.tokenizer, answer), self.eos]
            ids += asked + said
            segment += [number] * len(asked + said)
            position += range(len(prefix), len(prefix) + len(asked) + len(said))
            labels += [-100] * len(asked) + said
            weight += [0.0] * len(asked) + [len(said) ** -0.5] * len(said)
            truth += [{"Yes": 1, "No": 0}.get(answer, -100)] * len(asked) + [-100] * len(said)
        return Dialogue(ids, segment, position, labels, weight, truth)


@dataclass(frozen=True)
class Dialogue:
    """Ids with the turn each belongs to (0 is the picture), its position and, on answers, its label and weight.

    A yes weighs more than a word of a caption: by the root of the answer's length. `truth` is 1 on the words of a question
    whose answer is yes, 0 where it is no, -100 elsewhere."""

    ids: list[int]
    segment: list[int]
    position: list[int]
    labels: list[int]
    weight: list[float]
    truth: list[int]


def collate(dialogues: list[Dialogue], pad: int) -> dict[str, torch.Tensor]:
    """Right-padded batch; `mask` (B, 1, S, S) is additive: causal, and a turn sees the picture and itself only."""
    length = max(len(d.ids) for d in dialogues)

    def padded(rows: Sequence[Sequence[float]], value: float) -> torch.Tensor:
        return torch.tensor([[*row, *[value] * (length - len(row))] for row in rows])

    segment = padded([d.segment for d in dialogues], -1)
    own = segment[:, :, None] == segment[:, None, :]
    seen = (own | (segment[:, None, :] == 0)) & torch.ones(length, length, dtype=torch.bool).tril()
    return {
        "ids": padded([d.ids for d in dialogues], pad),
        "positions": padded([d.position for d in dialogues], 0),
        "labels": padded([d.labels for d in dialogues], -100),
        "weight": padded([d.weight for d in dialogues], 0.0),
        "truth": padded([d.truth for d in dialogues], -100),
        "mask": seen[:, None],
    }
