"""T2I-CompBench++'s numeracy: which objects a prompt counts, and how many of each the detector sees.

Huang et al. 2025, "T2I-CompBench++". Each of the N objects of a prompt is worth 1/N: half for being there, half for
the exact number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from suder_bench.errors import UserError
from suder_bench.evaluators.answers.files import text_of
from suder_bench.evaluators.judges.protocols import Box, Detection, Detector, Parse, PromptedDetector
from suder_bench.evaluators.t2i_compbench.finding import Finding
from suder_bench.evaluators.t2i_compbench.spatial import detect

ONE = ("a", "an", "one")
NUMBERS = dict.fromkeys(ONE, 1) | {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8}
SAME = 0.9
DETECTOR_NAMES = {
    "boy": "person",
    "girl": "person",
    "man": "person",
    "woman": "person",
    "ship": "boat",
    "telivision": "tv",
    "goldfish": "fish",
    "painting": "picture",
}


@dataclass(frozen=True)
class Vocabulary:
    """`new_objects.txt`: what can be counted, as singular and plural names in the file's order."""

    singular: tuple[str, ...]
    plural: tuple[str, ...]

    @staticmethod
    def read(file: Path) -> Vocabulary:
        """Read lines of "singular - plural". Raises `UserError` naming the line that is none, and for a file without any."""
        pairs = []
        for number, line in enumerate(text_of(file).split("\n"), 1):
            singular, separator, plural = line.lower().partition(" - ")
            if not separator and line.strip():
                raise UserError(f"{file}:{number}: '{line}' is not 'singular - plural'")
            if separator:
                pairs.append((singular.strip(), plural.strip()))
        if not pairs:
            raise UserError(f"{file} is empty; put the whole official file there, or use --data world")
        return Vocabulary(tuple(pair[0] for pair in pairs), tuple(pair[1] for pair in pairs))

    def single(self, plural: str) -> str:
        return self.singular[self.plural.index(plural)]


def counted_objects(prompt: str, parse: Parse, vocabulary: Vocabulary) -> list[tuple[str, int]]:
    """(singular name, number) for each counted object of a prompt, in order.

    Raises `UserError` where nothing is counted, and where a number above one stands before a singular: the official
    script fails there too.
    """
    words = [token.text for token in parse.tokens]
    known = {*vocabulary.singular, *vocabulary.plural}
    counted: list[tuple[str, int]] = []
    for place, word in enumerate(words[:-1]):
        if word not in NUMBERS:
            continue
        noun, pair = words[place + 1], " ".join(words[place + 1 : place + 3])
        if place + 2 < len(words) and pair in known:
            several = pair in vocabulary.plural and word not in ONE
            counted.append((vocabulary.single(pair), NUMBERS[word]) if several else (pair, 1))
        elif noun in vocabulary.singular and word in ONE:
            counted.append((noun, 1))
        elif noun in vocabulary.plural:
            counted.append((vocabulary.single(noun), NUMBERS[word]))
        elif noun in vocabulary.singular:
            raise UserError(f"numeracy prompt '{prompt}': '{noun}' after '{word}' is not a plural of new_objects.txt")
    if not counted:
        raise UserError(f"numeracy prompt '{prompt}': it counts no object of new_objects.txt")
    return counted


def without_duplicates(detections: Sequence[Detection]) -> list[Detection]:
    """Drop a detection that repeats an earlier one: same class, and nearly the same box or one inside the other."""
    kept: list[Detection] = []
    for detection in detections:
        if not any(detection.label == one.label and _same_place(detection.box, one.box) for one in kept):
            kept.append(detection)
    return kept


def score_numeracy(counted: Sequence[tuple[str, int]], detections: Sequence[Detection]) -> Finding:
    """The share of objects that are there, and there in the right number.

    An object that is not among the classes is looked for inside their names ("table" in "coffee table"), and those
    detections then carry its name for the objects after it too.
    """
    labels = [detection.label for detection in without_duplicates(detections)]
    score, said, seen = 0.0, [], {}
    for name, number in counted:
        name = DETECTOR_NAMES.get(name, name)
        if name not in labels:
            labels = [name if name in label else label for label in labels]
        found = labels.count(name)
        score += (0.5 * (found > 0) + 0.5 * (found == number)) / len(counted)
        said.append(f"expected {number} {name}, found {found}")
        seen[name] = found
    return Finding(score, "; ".join(said), {"expected": [list(one) for one in counted], "found": seen})


def judge_numeracy(
    pictures: Sequence[Image.Image], counted: Sequence[Sequence[tuple[str, int]]], detector: Detector | PromptedDetector
) -> list[Finding]:
    """All pictures in one call of the detector."""
    asked = [list(dict.fromkeys(DETECTOR_NAMES.get(name, name) for name, _ in objects)) for objects in counted]
    found = detect(pictures, asked, detector)
    return [score_numeracy(objects, own) for objects, own in zip(counted, found, strict=True)]


def _same_place(a: Box, b: Box) -> bool:
    """Areas count the pixels on both edges, as the official script does."""
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]) + 1)
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]) + 1)
    shared = width * height
    area_a, area_b = ((box[2] - box[0] + 1) * (box[3] - box[1] + 1) for box in (a, b))
    return max(shared / (area_a + area_b - shared), shared / area_a, shared / area_b) > SAME
