"""T2I-CompBench's scores a second time, one picture at a time, with the habits of its scripts: nothing of the evaluator is used.

`Words` are a prompt's tokens with their parts of speech, `Found` the detections of one picture, surest first, with boxes in
UniDet's frame. With `fixed` the three repairs of the protocol of that name: "on top of" is scored, the depth map is read upright,
the surest box stands for a 3D object.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from PIL import Image

Words = list[tuple[str, str]]
Found = list[tuple[str, float, tuple[float, float, float, float]]]
Box = tuple[float, float, float, float]

PERSONS = ["girl", "boy", "man", "woman"]
TOKENS = ["on top of", "on bottom of", "on the left", "on the right", "next to", "on side of", "near"]
WORDS_2D = [
    "on side of",
    "next to",
    "near",
    "on the left of",
    "on the right of",
    "on the bottom of",
    "on the top of",
    "on top of",
]


def questions(chunks: list[str]) -> list[str]:
    asked = []
    for chunk in chunks:
        if chunk in ("top", "the side", "the left", "the right"):
            continue
        text = (chunk + "?").lower()
        for sign in '.!"()*#:;~':
            text = text.replace(sign, "")
        asked.append(" ".join(text.rstrip(" ").split(" ")[:50]))
    return asked[:8]


def attribute(answers: list[float]) -> float:
    """Eight slots, those without a question 1; each answer and the product pass through text with four decimals."""
    slots = [float(f"{p:.4f}") for p in answers] + [1.0] * (8 - len(answers))
    product = torch.tensor(slots[0], dtype=torch.float32)
    for slot in slots[1:]:
        product = product * torch.tensor(slot, dtype=torch.float32)
    return float(f"{product.item():.4f}")


def without_adjectives(words: Words) -> str:
    return " ".join(text for text, pos in words if pos != "ADJ")


def frame(width: int, height: int) -> tuple[int, int]:
    """The short side becomes 479; where the long one then exceeds 480 it becomes 480 and the short one follows."""
    short, long = sorted((width, height))
    new_short, new_long = 479, int(479 * long / short)
    if new_long > 480:
        new_short, new_long = int(480 * 479 / new_long), 480
    return (new_short, new_long) if width <= height else (new_long, new_short)


def two_objects(words: Words) -> tuple[str | None, str | None]:
    nouns = [text for text, pos in words if pos == "NOUN"]
    return person(nouns[0]), person(nouns[-1])


def complex_objects(words: Words) -> tuple[str | None, str | None]:
    texts = [text for text, _ in words]
    objects = []
    for i in range(len(words)):
        for length in (3, 2, 1):
            if " ".join(texts[i : i + length]) in TOKENS:
                break
        else:
            continue
        for text, pos in reversed(words[:i]):
            if pos in ("NOUN", "PROPN"):
                objects.append(text)
                break
        after = words[i + length :]
        noun = [text for text, pos in after if pos == "NOUN"]
        names = [text for (text, pos), (_, then) in pairwise(after) if pos == "PROPN" and then != "PROPN"]
        objects += (noun or names)[:1]
    return (person(objects[0]), person(objects[1])) if len(objects) == 2 else (None, None)


def spatial(prompt: str, words: Words, found: Found, *, complicated: bool, fixed: bool) -> float:
    """Section 3.2: half of it the objects' scores, half the relation, and nothing below a half."""
    known = [one for one in found if one[1] > 0.1]
    first, second = complex_objects(words) if complicated else two_objects(words)
    places = [*WORDS_2D, "on bottom of"] if fixed and complicated else WORDS_2D
    relation = next((word for word in places if word in prompt), None)
    if fixed and complicated and relation in ("on top of", "on bottom of"):
        relation = relation.replace("on ", "on the ")
    names = [name for name, _, _ in known]
    score = 0.0
    if first in names and second in names:
        one, two = known[names.index(first)], known[names.index(second)]
        score = 0.25 * one[1] + 0.25 * two[1] + side(relation, one[2], two[2]) / 2
    elif first in names:
        score = 0.25 * known[names.index(first)][1]
    elif second in names:
        score = 0.25 * known[names.index(second)][1]
    return 0.0 if score < 0.5 else score


def side(relation: str | None, one: Box, two: Box) -> float:
    across = (two[0] + two[2]) / 2 - (one[0] + one[2]) / 2
    down = (two[1] + two[3]) / 2 - (one[1] + one[3]) / 2
    if relation in ("next to", "on side of", "near"):
        far = abs(across) >= 150 and abs(down) >= 150
        return 150 / max(abs(across), abs(down)) if far else 1.0
    wide, tall = abs(across) > abs(down), abs(down) > abs(across)
    table = {
        "on the right of": across < 0 and wide,
        "on the left of": across > 0 and wide,
        "on the bottom of": down < 0 and tall,
        "on the top of": down > 0 and tall,
    }
    if not table.get(relation or "", False):
        return 0.0
    return 1.0 if union_share(one, two) < 0.1 else 0.1 / union_share(one, two)


def union_share(one: Box, two: Box, edge: float = 0.0) -> float:
    wide = max(0.0, min(one[2], two[2]) - max(one[0], two[0]) + edge)
    tall = max(0.0, min(one[3], two[3]) - max(one[1], two[1]) + edge)
    return wide * tall / (area(one, edge) + area(two, edge) - wide * tall)


def area(box: Box, edge: float) -> float:
    return (box[2] - box[0] + edge) * (box[3] - box[1] + edge)


def stored_depth(raw: np.ndarray, width: int, height: int) -> torch.Tensor:
    """A network's map as it is after being saved as a grey picture and read again, in the frame."""
    depth = torch.from_numpy(raw)
    depth = (depth - depth.min()) / (depth.max() - depth.min())
    depth = torch.nn.functional.interpolate(depth[None, None], size=(height, width), mode="bilinear", align_corners=True)
    grey = Image.fromarray(255 * depth[0, 0].numpy()).convert("L")
    return torch.tensor(np.array(grey.resize(frame(width, height), Image.Resampling.BILINEAR))).float() / 255


def spatial_3d(prompt: str, words: Words, found: Found, depth: torch.Tensor, *, fixed: bool) -> float:
    """Section 3.3: names are matched by a part of them, and there is no floor."""
    known = [one for one in found if one[1] > 0.1]
    objects = two_objects(words)
    relation = next((word for word in ("in front of", "behind", "hidden") if word in prompt), None)
    last: dict[int, int] = {}
    there = [any(noun in name for name, _, _ in known) for noun in objects]
    for place, (name, _, _) in enumerate(known):
        for number, noun in enumerate(objects):
            if noun in name and (number not in last or (all(there) and not fixed)):
                last[number] = place
        if len(last) == 2:
            break
    score = sum(0.25 * known[place][1] for place in last.values())
    if all(there):
        one, two = known[last[0]][2], known[last[1]][2]
        score += nearer(relation, one, two, depth, fixed) / 2
    return score


def nearer(relation: str | None, one: Box, two: Box, depth: torch.Tensor, fixed: bool) -> float:
    means = []
    for box in (one, two):
        x, y = slice(int(box[0]), int(box[2])), slice(int(box[1]), int(box[3]))
        means.append(depth[y, x].mean() if fixed else depth[x, y].mean())
    difference = means[0] - means[1]
    holds = {"in front of": difference > 0, "behind": difference < 0, "hidden": difference < 0}.get(relation or "", False)
    share = union_share(one, two)
    if not holds or share == 0 or share == 0.5:
        return 0.0
    return 1.0 if share > 0.5 else share / 0.5


def numeracy(words: Words, found: Found, new_objects: list[str]) -> float:
    """Section 3.4: each object is worth 1/N, half of it for being there and half for the number."""
    singular = [line.split(" - ")[0].strip().lower() for line in new_objects]
    plural = [line.split(" - ")[1].strip().lower() for line in new_objects]
    numbers = ["a", "an", "one", "two", "three", "four", "five", "six", "seven", "eight"]
    names, boxes = [], []
    for name, score, box in found:
        if score > 0.1 and not any(name == old and repeats(box, other) for old, other in zip(names, boxes, strict=True)):
            names.append(name)
            boxes.append(box)
    texts = [text for text, _ in words]
    wanted = []
    for i, text in enumerate(texts[:-1]):
        if text not in numbers:
            continue
        number, one, two = max(1, numbers.index(text) - 1), texts[i + 1], " ".join(texts[i + 1 : i + 3])
        if i < len(texts) - 2 and two in singular + plural:
            several = two in plural and text not in ("a", "an", "one")
            wanted.append((singular[plural.index(two)], number) if several else (two, 1))
        elif one in singular + plural:
            alone = one in singular and text in ("a", "an", "one")
            wanted.append((one, 1) if alone else (singular[plural.index(one)], number))
    score = 0.0
    for name, number in wanted:
        name = {"ship": "boat", "telivision": "tv", "goldfish": "fish", "painting": "picture"}.get(name, person(name))
        if name not in names:
            names = [name if name in other else other for other in names]
        if name in names:
            score += 0.5 / len(wanted)
            score += 0.5 / len(wanted) * (names.count(name) == number)
    return score


def repeats(box: Box, other: Box) -> bool:
    wide = max(0.0, min(box[2], other[2]) - max(box[0], other[0]) + 1)
    tall = max(0.0, min(box[3], other[3]) - max(box[1], other[1]) + 1)
    return wide * tall / min(area(box, 1), area(other, 1)) > 0.9 or union_share(box, other, 1) > 0.9


def three_in_one(listed: str, attribute: float, spatial: float, action: float) -> float:
    if listed == "spatial":
        return (spatial + attribute) * 0.5
    return (action + attribute) * 0.5 if listed == "action" else (attribute + spatial + action) / 3


def person(noun: str) -> str:
    return "person" if noun in PERSONS else noun
