"""What a judge can do. A back-end is exact (the file of weights that the benchmark names) or embedded (reads the world)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from PIL import Image

from suder_bench.benchmark import Judge

Picture = Image.Image
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Detection:
    """One object: `box` is (x0, y0, x1, y1) in pixels of the picture given, x1 and y1 exclusive; `mask` is (H, W) bool."""

    label: str
    score: float
    box: Box
    mask: np.ndarray | None = None


@dataclass(frozen=True)
class Token:
    """A word with its universal part of speech (NOUN, PROPN, ADJ, NUM, ...)."""

    text: str
    pos: str


@dataclass(frozen=True)
class Parse:
    """A text as tokens and noun chunks, in order; a chunk is its text as written ('a green bench')."""

    tokens: tuple[Token, ...]
    noun_chunks: tuple[str, ...]


class Detector(Judge, Protocol):
    def detect(self, pictures: Sequence[Picture]) -> list[list[Detection]]:
        """All detections of each picture, most confident first, unfiltered by any threshold of the benchmark."""
        ...


@runtime_checkable
class NumberedClasses(Protocol):
    """A detector whose network numbers its classes; what they are called is the benchmark's to say."""

    def named(self, names: Sequence[str]) -> Detector:
        """The same detector with its class i called `names[i]`. Raises `JudgeError` for a list of another length."""
        ...


@runtime_checkable
class PromptedDetector(Judge, Protocol):
    """A detector without classes of its own, which looks for what it is told to."""

    def detect_named(self, pictures: Sequence[Picture], names: Sequence[Sequence[str]]) -> list[list[Detection]]:
        """All detections of each picture's `names`, labelled so, most confident first."""
        ...


class ColorClassifier(Judge, Protocol):
    def classify(self, crops: Sequence[Picture], nouns: Sequence[str], colors: Sequence[str]) -> np.ndarray:
        """(crops, colors) scores; the arg-max is the colour, ties to the first. A crop shows one object on #999."""
        ...


class VisualQuestionAnswerer(Judge, Protocol):
    def p_yes(self, pictures: Sequence[Picture], questions: Sequence[Sequence[str]]) -> list[list[float]]:
        """p(yes) / (p(yes) + p(no)) of each question about its picture ('a red ball?'), in [0, 1]."""
        ...


class ImageTextScorer(Judge, Protocol):
    def similarity(self, pictures: Sequence[Picture], texts: Sequence[str]) -> list[float]:
        """Similarity of each picture with its text (CLIP: raw cosine)."""
        ...


class DepthEstimator(Judge, Protocol):
    def depth(self, pictures: Sequence[Picture]) -> list[np.ndarray]:
        """(H, W) float maps; larger is nearer; any affine scale."""
        ...


class TextParser(Judge, Protocol):
    def parse(self, texts: Sequence[str]) -> list[Parse]: ...


class LanguageJudge(Judge, Protocol):
    def review(self, system: str, prompts: Sequence[str]) -> list[str]:
        """The judge's raw reply to each prompt of LLaVA-Bench."""
        ...

    def mark(self, prompts: Sequence[str]) -> list[str]:
        """The judge's raw reply to each prompt of HallusionBench, or of MMBench's extractor."""
        ...


class PictureRater(Judge, Protocol):
    def rate(self, pictures: Sequence[Picture], requests: Sequence[str]) -> list[str]:
        """The judge's raw reply to each picture with its request: one turn, greedy."""
        ...


@dataclass(frozen=True)
class Talk:
    """A conversation about a picture that waits for the judge's next turn.

    `turns` are the user's and the judge's own by turns, a user's first and last. The picture stands in the first one, before its
    words, or behind them with `picture_last`. `system` is who the judge is told to be, "" for nothing.
    """

    picture: Picture
    turns: tuple[str, ...]
    system: str = ""
    picture_last: bool = False


def talks(pictures: Sequence[Picture], requests: Sequence[str]) -> list[Talk]:
    """A conversation of one turn about each picture."""
    return [Talk(picture, (request,)) for picture, request in zip(pictures, requests, strict=True)]


class PictureTalker(Judge, Protocol):
    def reply(self, talks: Sequence[Talk], *, max_tokens: int) -> list[str]:
        """The judge's raw next turn in each conversation: greedy, at most so many tokens, and no thought before it where a model
        can leave it out."""
        ...


class FirstToken(Judge, Protocol):
    """How likely a judge is to begin its answer with a word (GenEval 2's Soft-TIFA).

    `whole_vocabulary` is false for a judge that is told the likeliest tokens only, such as `top_logprobs` of a server: what is
    not among them counts as 0, so that its probabilities are lower bounds.
    """

    whole_vocabulary: bool

    def first_tokens(
        self, pictures: Sequence[Picture], questions: Sequence[str], spellings: Sequence[Sequence[str]]
    ) -> list[list[float]]:
        """For each item the probability of the first token of each of its `spellings`, by a softmax over the vocabulary.

        The question is one user's turn, the picture before its words, and the token is the first that the judge would write
        after it. Equal pictures that follow each other may be looked at once.
        """
        ...

    def shared(self, spellings: Sequence[str]) -> list[int]:
        """A number for each spelling, equal for those that begin with the same token: their probability is one and the same."""
        ...
