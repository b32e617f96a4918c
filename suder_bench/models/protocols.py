"""What a model can do. An adapter implements some of these; the harness asks with isinstance, never by name."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, runtime_checkable

from PIL import Image

from suder_bench.errors import UserError

if TYPE_CHECKING:
    import torch
    from torch import nn

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


Task = Literal["gen", "und"]
"""What is learned: to draw, or to write about pictures."""


@dataclass(frozen=True)
class DrawnTokens:
    """`tokens` (samples, image tokens), int64, on the CPU; `logprobs` of them, same shape, float32, at temperature 1 without
    guidance, where they were asked for."""

    tokens: torch.Tensor
    logprobs: torch.Tensor | None = None


@dataclass(frozen=True)
class TokenScores:
    """`logprobs` of the given tokens, float32 and differentiable, one tensor (tokens,) a row; `entropy` of the distributions
    they were taken from, in nats, alike but without gradient, and empty when it was not asked for."""

    logprobs: list[torch.Tensor]
    entropy: list[torch.Tensor]


@dataclass(frozen=True)
class Anatomy:
    """Where in a network stands what may learn, by the names of its submodules.

    `parts` is what a recipe's `trainable` may name, `usual` what learns where it names none. `language_model` has `layers`, is
    alone in training mode, and takes LoRA adapters into its linear layers. `idle` are the parts that a task's log-probabilities
    do not touch, and `frozen` submodules that never learn, also where a part holds them.
    """

    parts: Mapping[str, str]
    usual: tuple[str, ...]
    language_model: str
    idle: Mapping[Task, tuple[str, ...]]
    frozen: tuple[str, ...] = ()


@runtime_checkable
class Trainable(Model, DualLikelihood, Protocol):
    """A model that learns from its own samples: it draws and writes tokens, and scores tokens that it is given, both ways.

    `network` is all that may learn, whatever stands beside it is frozen; its `state_dict` names the weights of `save`. Captions
    are asked for by `caption_request`, and end with `end_token`, which `score_end` counts in `text_logprobs`; a trainer sets both
    after loading. Where the likelihood of pictures is not exact, `estimator` names how it is estimated and with what settings.
    """

    anatomy: ClassVar[Anatomy]
    network: nn.Module
    caption_request: str
    score_end: bool
    end_token: int
    estimator: str | None

    def draw(self, prompts: Sequence[str], *, seeds: Sequence[int], sampling: ImageSampling) -> DrawnTokens:
        """Image tokens of a picture for each prompt, which depend on (prompt, seed, sampling) only."""
        ...

    def decode_tokens(self, tokens: torch.Tensor) -> torch.Tensor:
        """Pixels in [-1, 1], (pictures, 3, size, size), float32, of image tokens (pictures, image tokens)."""
        ...

    def write(
        self,
        images: Sequence[Sequence[Image.Image]],
        questions: Sequence[str],
        *,
        seeds: Sequence[int],
        sampling: TextSampling,
    ) -> list[list[int]]:
        """Answers as ids without the end token; as `ImageToText.answer`."""
        ...

    def text_of(self, ids: Sequence[int]) -> str:
        """The text of ids such as `write` returns, without special tokens and outer blanks."""
        ...

    def answer_scores(
        self,
        images: Sequence[Image.Image] | torch.Tensor,
        questions: Sequence[str],
        answers: Sequence[Sequence[int]],
        *,
        entropy: bool = False,
    ) -> TokenScores:
        """log p(answer token k | picture, question, answer tokens < k) of ids such as `write` returns, exactly; one picture, or
        pixels as `decode_tokens` makes them, a question."""
        ...

    def image_scores(
        self,
        texts: Sequence[str],
        image_tokens: torch.Tensor,
        *,
        guidance: float = 1.0,
        entropy: bool = False,
        seeds: Sequence[int] | None = None,
    ) -> TokenScores:
        """log p(image token k | text) of tokens (texts, image tokens), under guidance u + w (c - u) where it is not 1.

        What an estimator draws at random for a row follows from its seed: passes with the same seeds differ by the weights
        alone, and rows with the same seed by what they hold. An exact likelihood is given them too, and needs none.
        """
        ...

    def check_prompt(self, prompt: str) -> None:
        """Raises `UserError` for a prompt too long to be drawn, or to be scored as the text of a picture."""
        ...

    def save(self, folder: Path, weights: Mapping[str, torch.Tensor]) -> None:
        """Write a checkpoint that loads by itself: `weights` by the names of `network`, on any device and maybe of shared memory,
        and all that a response depends on. `folder` may not be there yet."""
        ...

    def saved(self, folder: Path) -> dict[str, torch.Tensor]:
        """The weights that `save` wrote, by exactly the names of `network`, on the CPU. Raises `UserError` where they are not
        whole."""
        ...


@runtime_checkable
class LimitsCaptions(Protocol):
    """A model that reads only so much of a caption, or has room for no more; one that does not say so has no limit."""

    @property
    def caption_tokens(self) -> int:
        """The most tokens of a caption that is written on the caption request and scored to its end, by itself and as the text of
        a picture."""
        ...


@runtime_checkable
class ReadsCodes(Protocol):
    """A model that understands a picture by its image tokens: `text_logprobs` and `answer_scores` take those that were drawn,
    (pictures, image tokens), int64, in place of pixels, which would be encoded to others."""

    reads_codes: bool


@runtime_checkable
class WeighsTokens(Protocol):
    """A model whose estimate may count some tokens of a picture for others: a sum of them is an estimate, each alone is none."""

    weighs_tokens: bool


@runtime_checkable
class TellsCodeGrid(Protocol):
    """A model whose image tokens, in raster order, form no square: of any other a picture has as many rows as columns."""

    code_grid: tuple[int, int]
    """Rows and columns."""


@runtime_checkable
class TellsWhyNot(Protocol):
    """An adapter that knows of checkpoints which cannot be trained, although its class may have all that it takes."""

    @classmethod
    def cannot_learn(cls, reference: str) -> str | None:
        """Why, as the end of "it cannot be trained: ..."; None where it can. Loads nothing."""
        ...


@dataclass(frozen=True)
class Sizes:
    """What the memory of a training follows from. `network` as the adapter's, on the device meta; the rest in numbers: the
    language model's `width`, `inner` width, `layers`, numbers of keys and of values of a token in a layer (`keys`) and
    `vocabulary`; image `codes` to choose from, `image_tokens` and `side` in pixels of a picture; `channels` of the widest
    feature map at full size while it is decoded. With `parallel` a picture's tokens are drawn in steps of all at once, without
    a cache."""

    network: nn.Module
    width: int
    inner: int
    layers: int
    keys: int
    vocabulary: int
    codes: int
    image_tokens: int
    side: int
    channels: int
    parallel: bool = False


@runtime_checkable
class TellsSizes(Protocol):
    """An adapter that knows its checkpoints' sizes without their weights."""

    @classmethod
    def sizes(cls, reference: Any) -> Sizes | None:
        """Of a `ModelReference`; None where its configuration is not here, and nobody knows it by heart."""
        ...
