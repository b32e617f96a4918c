"""Judges that read the embedded world: the same protocols as the networks, answered from the pixels by its perception."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Self

import numpy as np

from suder_bench import world
from suder_bench.errors import JudgeError
from suder_bench.evaluators.answers import extractor
from suder_bench.evaluators.judges import known_answers
from suder_bench.evaluators.judges.protocols import Detection, Parse, Picture, Token
from suder_bench.world.grading import grade, mark
from suder_bench.world.perception import Percept, enlarged, perceive_reduced, reduced
from suder_bench.world.reading import agreement, conjunction
from suder_bench.world.tagging import chunks, tag
from suder_bench.world.version import VERSION
from suder_bench.world.vocabulary import COLORS, SIZE

_LEAST_SCORE = 0.01
"""Detections below are left out; no benchmark's threshold is lower than 0.1."""

_CANVAS = np.array((153, 153, 153), np.float32)
"""GenEval's colour around an object."""

_PALETTE = np.array(list(COLORS.values()), np.float32)


def percept(picture: Picture) -> Percept:
    """What perception sees in a picture. Several judges look at the same one, so that the last thousand are remembered."""
    pixels = np.asarray(picture.convert("RGB"))
    return enlarged(_remembered(reduced(pixels).tobytes()), picture.width, picture.height)


@lru_cache(maxsize=1000)
def _remembered(pixels: bytes) -> Percept:
    return perceive_reduced(np.frombuffer(pixels, np.uint8).reshape(SIZE, SIZE, 3))


READERS = (
    "connectors",
    "explain",
    "grading",
    "perception",
    "reading",
    "render",
    "segments",
    "sentences",
    "tagging",
    "templates",
    "views",
    "vocabulary",
)
"""The modules of the world that pictures and texts are read with."""


def source_digest() -> str:
    """The world's version, and a digest of the code that reads pictures and texts, so that no verdict of older code is taken for
    one of this."""
    modules = [Path(__file__), *(Path(world.__path__[0]) / f"{name}.py" for name in READERS)]
    digest = hashlib.sha256(b"".join(module.read_bytes() for module in modules)).hexdigest()
    return f"{VERSION}-{digest[:14]}"


class _WorldJudge:
    """What all of them share: they need no weights, and are never a benchmark's own judge."""

    backend = "world"
    exact = False
    fingerprint = source_digest()

    @classmethod
    def load(cls, *, device: str = "cpu", dtype: str = "auto", offline: bool = False) -> Self:
        """Nothing to load; the arguments are those of every judge."""
        return cls()


class WorldDetector(_WorldJudge):
    """Implements `Detector`. A thing is reported under each noun it may be; the box is the whole thing's, the mask what shows."""

    def detect(self, pictures: Sequence[Picture]) -> list[list[Detection]]:
        return [_detections(percept(picture)) for picture in pictures]

    def check(self) -> None:
        known_answers.check_detector(self)


class WorldColor(_WorldJudge):
    """Implements `ColorClassifier`: the share of an object's pixels nearest to each colour; marks are the smaller part."""

    def classify(self, crops: Sequence[Picture], nouns: Sequence[str], colors: Sequence[str]) -> np.ndarray:
        shares = [dict(zip(COLORS, _color_shares(crop), strict=True)) for crop in crops]
        return np.array([[own.get(color, 0.0) for color in colors] for own in shares]).reshape(len(crops), len(colors))

    def check(self) -> None:
        known_answers.check_color(self)


class WorldVqa(_WorldJudge):
    """Implements `VisualQuestionAnswerer`. A question that the world's grammar cannot read has probability 0."""

    def p_yes(self, pictures: Sequence[Picture], questions: Sequence[Sequence[str]]) -> list[list[float]]:
        return [
            [conjunction(question, seen) for question in own] for own, seen in zip(questions, map(percept, pictures), strict=True)
        ]

    def check(self) -> None:
        known_answers.check_vqa(self)


class WorldClip(_WorldJudge):
    """Implements `ImageTextScorer`: the geometric mean of the probabilities of the text's facts."""

    def similarity(self, pictures: Sequence[Picture], texts: Sequence[str]) -> list[float]:
        return [agreement(text, percept(picture)) for picture, text in zip(pictures, texts, strict=True)]

    def check(self) -> None:
        known_answers.check_clip(self)


class WorldDepth(_WorldJudge):
    """Implements `DepthEstimator`: background 0, then a step for each thing that something lies in front of, up to 1."""

    def depth(self, pictures: Sequence[Picture]) -> list[np.ndarray]:
        return [_nearness(percept(picture)) for picture in pictures]

    def check(self) -> None:
        known_answers.check_depth(self)


class WorldParser(_WorldJudge):
    """Implements `TextParser` for the world's sentences."""

    def parse(self, texts: Sequence[str]) -> list[Parse]:
        tagged = [tag(text) for text in texts]
        return [Parse(tuple(Token(*word) for word in words), tuple(chunks(words))) for words in tagged]

    def check(self) -> None:
        known_answers.check_parser(self)


class WorldLlm(_WorldJudge):
    """Implements `LanguageJudge` for the prompts of LLaVA-Bench (facts right, wrong and missing, against the context), of
    HallusionBench (correct, incorrect or unclear, against the reference) and of MMBench's extractor (the one option that the
    answer agrees with). Raises `JudgeError` for any other prompt."""

    def review(self, system: str, prompts: Sequence[str]) -> list[str]:
        return [_review(prompt) for prompt in prompts]

    def mark(self, prompts: Sequence[str]) -> list[str]:
        return [_review(prompt) for prompt in prompts]

    def check(self) -> None:
        known_answers.check_llm(self)


def _detections(seen: Percept) -> list[Detection]:
    found = [
        Detection(noun, one.confidence * p, one.box, one.mask)
        for one in seen.objects
        for noun, p in one.nouns.items()
        if one.confidence * p >= _LEAST_SCORE
    ]
    return sorted(found, key=lambda detection: -detection.score)


def _color_shares(crop: Picture) -> np.ndarray:
    pixels = np.asarray(crop.convert("RGB"), np.float32).reshape(-1, 3)
    pixels = pixels[np.abs(pixels - _CANVAS).max(axis=1, initial=0) > 4]
    nearest = ((pixels[:, None] - _PALETTE) ** 2).sum(axis=-1).argmin(axis=-1)
    return np.bincount(nearest, minlength=len(_PALETTE)) / max(len(nearest), 1)


def _nearness(seen: Percept) -> np.ndarray:
    width, height = seen.size
    deepest = max((one.depth for one in seen.objects), default=0)
    nearness = np.zeros((height, width), np.float32)
    for one in seen.objects:
        nearness[one.mask] = 0.3 + 0.7 * one.depth / deepest if deepest else 0.5
    return nearness


_BLOCKS = re.compile(
    r"\[Context\]\n(?P<context>.*?)\n\n\[Question\]\n.*?\n\n"
    r"\[(?P<one>[^\]\n]+)\]\n(?P<reference>.*?)\n\n\[End of (?P=one)\]\n\n"
    r"\[(?P<two>[^\]\n]+)\]\n(?P<answer>.*?)\n\n\[End of (?P=two)\]\n\n",
    re.DOTALL,
)


_TEACHER = re.compile(r"\n\nQuestion: (?P<question>.*?)\nReference: (?P<reference>.*?)\nAnswer: (?P<answer>.*)\n\n", re.DOTALL)


_PICKING = re.compile(
    r"Question: (?P<question>.*?)\nOptions:\n(?P<options>(?:[A-D]\. [^\n]*\n)+)Answer: (?P<answer>.*)\nLetter:", re.DOTALL
)


def _pick(question: str, options: dict[str, str], answer: str) -> str:
    """The letter of the option that is named by its letter alone, in any case, or is the only one that the answer agrees with."""
    alone = answer.strip(" .()*\n").upper()
    fit = [letter for letter, option in options.items() if mark(answer, question, option) == "correct"]
    return alone if alone in options else fit[0] if len(fit) == 1 else "Z"


def _review(prompt: str) -> str:
    if prompt.startswith(extractor.HEAD) and (asked := _PICKING.fullmatch(prompt.removeprefix(extractor.HEAD))):
        options = dict(line.split(". ", 1) for line in asked["options"].splitlines())
        return _pick(asked["question"], options, asked["answer"])
    if blocks := _BLOCKS.search(prompt):
        pairs = (("one", "reference"), ("two", "answer"))
        graded = [(blocks[name], grade(blocks[text], blocks["reference"], blocks["context"])) for name, text in pairs]
        scores = " ".join(f"{each.score:g}" for _, each in graded)
        return "\n".join([scores, *(f"{name}: {each.reason}." for name, each in graded)])
    if asked := _TEACHER.search(prompt):
        return mark(asked["answer"], asked["question"], asked["reference"])
    raise JudgeError(
        "the world's judge of texts reads the prompts of LLaVA-Bench, HallusionBench and MMBench only; give --judge llm=official"
    )
