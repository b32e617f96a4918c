"""What a model can do. An adapter implements some of these; the harness asks with isinstance, never by name."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from PIL import Image

from suder_bench.errors import UserError

if TYPE_CHECKING:
    import torch

    from suder_bench.benchmark import GenerationBenchmark
    from suder_bench.records import Stranger


JANUS_GUIDANCE = 5.0

COLDEST = 1e-30
"""The least temperature but 0: logits divided by less overflow."""


def check_temperature(temperature: float) -> None:
    """Raises `UserError` for NaN, infinity, and what is below 0, or so close above it that nothing can be divided by it."""
    if temperature != 0 and not COLDEST <= temperature < math.inf:
        raise UserError(f"temperature {temperature} is not 0, which is greedy, nor a number from {COLDEST} on")


@dataclass(frozen=True)
class ImageSampling:
    """How pictures are drawn. `guidance` w combines logits as u + w (c - u); 1 switches it off, and None leaves it to the model,
    which has one of its own. Temperature 0 is greedy. `steps` are those of models that take noise away; None leaves them to the
    model."""

    temperature: float = 1.0
    guidance: float | None = JANUS_GUIDANCE
    steps: int | None = None

    def __post_init__(self) -> None:
        """Raises `UserError` for what is no number from 0 on."""
        check_temperature(self.temperature)
        if self.guidance is not None and not 0 <= self.guidance < math.inf:
            raise UserError(f"guidance {self.guidance} is not a number from 0 on")
        if self.steps is not None and self.steps < 1:
            raise UserError(f"steps {self.steps} is not a whole number from 1 on")

    def said(self) -> dict[str, float | None]:
        """The settings by name, for records: without the steps of models that have none."""
        return {name: value for name, value in asdict(self).items() if name != "steps" or value is not None}

    @property
    def weight(self) -> float:
        """`guidance`, for models that have none of their own: Janus' 5 where it is left to them."""
        return JANUS_GUIDANCE if self.guidance is None else self.guidance


@dataclass(frozen=True)
class TextSampling:
    """How answers are written. Temperature 0 is greedy; the limit is LLaVA-Bench's, the longest of the benchmarks'."""

    temperature: float = 0.0
    max_new_tokens: int = 1024

    def __post_init__(self) -> None:
        """Raises `UserError` for what is no temperature."""
        check_temperature(self.temperature)


@dataclass(frozen=True)
class GeneratedImage:
    """A picture and, where the model has them, its discrete tokens (shape (image tokens,), int64, on the CPU)."""

    picture: Image.Image
    tokens: torch.Tensor | None = None


NOT_FINITE = "weights not finite"
"""Key of a model's `settings` that is there where its weights hold NaN or infinities, and were allowed to."""


@runtime_checkable
class Model(Protocol):
    """`name` as given by the user; `settings` go into run.json.

    `fingerprint` is a digest of all that decides a response besides what it is asked: weights, configuration, tokenizer.
    """

    name: str
    fingerprint: str
    settings: dict[str, str]


@runtime_checkable
class TellsItsWorld(Protocol):
    """A model that knows whether it was trained on the embedded world, whose pictures the world's judges read."""

    @property
    def world(self) -> bool: ...


@runtime_checkable
class TellsItsParts(Protocol):
    """A model that says what its fingerprint sums up: digests by name, so that a refusal can name the part that changed."""

    parts: dict[str, str]


@runtime_checkable
class TextToImage(Protocol):
    def generate(self, prompts: Sequence[str], *, seeds: Sequence[int], sampling: ImageSampling) -> list[GeneratedImage]:
        """One picture per prompt. The picture depends on (prompt, seed, sampling) only, never on the rest of the batch."""
        ...


@runtime_checkable
class ChecksSampling(Protocol):
    """A model that follows only some settings of how pictures are drawn; `steps` are for such models alone."""

    def check_sampling(self, sampling: ImageSampling) -> None:
        """Raises `UserError` for settings that the model cannot follow, before anything is drawn."""
        ...


@runtime_checkable
class CutsPrompts(Protocol):
    """A model that draws a long prompt without its end, and without a word."""

    def cut_prompts(self, prompts: Sequence[str]) -> Mapping[str, int]:
        """{what reads no further: how many of the distinct prompts are longer}; empty where none is."""
        ...


@runtime_checkable
class StoredPictures(Protocol):
    def pictures(self, benchmark: GenerationBenchmark) -> Mapping[tuple[str, int], Path]:
        """Pictures made elsewhere: (sample id, repeat) -> file. For these, seeds and sampling settings say nothing.

        Raises `UserError` where there are none of the benchmark's.
        """
        ...


@runtime_checkable
class TellsOfPictures(Protocol):
    """Stored pictures of which a reader of the score should know more."""

    def strangers(self, benchmark: GenerationBenchmark) -> Sequence[Stranger]:
        """The pictures that are not scored."""
        ...

    def rewritten(self, benchmark: GenerationBenchmark) -> Mapping[str, str]:
        """{sample id: prompt} of those made from other prompts than the benchmark's."""
        ...


@runtime_checkable
class ImageToText(Protocol):
    def answer(
        self,
        images: Sequence[Sequence[Image.Image]],
        questions: Sequence[str],
        *,
        seeds: Sequence[int],
        sampling: TextSampling,
    ) -> list[str]:
        """One answer per question about its picture(s); an empty sequence of pictures asks about none."""
        ...


@runtime_checkable
class LimitsPictures(Protocol):
    """A model that answers only about so many pictures at a time."""

    @property
    def question_pictures(self) -> tuple[int, int | None]:
        """The fewest and the most pictures of one question; None for no limit."""
        ...


@runtime_checkable
class TextLikelihood(Protocol):
    """Teacher-forced log-probabilities in float32, differentiable unless called under `torch.no_grad`."""

    def text_logprobs(self, images: Sequence[Image.Image] | torch.Tensor, texts: Sequence[str]) -> list[torch.Tensor]:
        """log p(text token k | image, text tokens < k) of each text, shape (text tokens,); the end token is not scored."""
        ...


@runtime_checkable
class DualLikelihood(TextLikelihood, Protocol):
    """The same, and of pictures by their discrete tokens."""

    def image_logprobs(self, texts: Sequence[str], image_tokens: torch.Tensor) -> torch.Tensor:
        """log p(image token k | text, image tokens < k), shape (texts, image tokens), without guidance."""
        ...

    def tokenize_images(self, images: Sequence[Image.Image]) -> torch.Tensor:
        """The discrete codes of each picture, shape (images, image tokens), int64."""
        ...


@runtime_checkable
class AnswerLikelihood(Protocol):
    """The likelihoods of answers to any question, also about several pictures or none; as `TextLikelihood`."""

    def answer_logprobs(
        self, images: Sequence[Sequence[Image.Image]], questions: Sequence[str], answers: Sequence[str]
    ) -> list[torch.Tensor]:
        """log p(answer token k | pictures, question, answer tokens < k), shape (answer tokens,) a question; the end token is not
        scored."""
        ...


@runtime_checkable
class ChoiceLikelihood(Protocol):
    """What a model would begin its answer with: differentiable and in float32, as `DualLikelihood`."""

    def choice_logprobs(self, images: Sequence[Image.Image], questions: Sequence[str], choices: Sequence[str]) -> torch.Tensor:
        """log p(choice | image, question), shape (questions, choices), as far as it tells the choices apart: of the first
        token in which they differ, after those they share. One image per question.

        Raises `ValueError` for choices that one token does not tell apart.
        """
        ...
