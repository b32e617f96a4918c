"""Janus: transformers' `JanusForConditionalGeneration` as a model that draws, answers and scores.

Serves any checkpoint of that class alike, from the tiny one to Janus-Pro-7B: sizes come from its configuration, prompts from
`prompts`. Conventions are those of deepseek-ai/Janus; what `settings` holds goes into run.json.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from PIL import Image
from transformers import JanusForConditionalGeneration, PreTrainedTokenizerBase
from transformers.models.janus.image_processing_pil_janus import JanusImageProcessorPil

from suder_bench.data.prompts import CAPTION_REQUEST
from suder_bench.errors import UserError
from suder_bench.models.answering import apart, beginning, check_asked, texts
from suder_bench.models.janus import files, likelihood, sampler, vq
from suder_bench.models.janus import sizes as janus_sizes
from suder_bench.models.janus.pixels import Squares
from suder_bench.models.janus.prompts import (
    answer_ids,
    generation_text,
    image_block,
    prompt_ids,
    question_text,
    roles_of,
)
from suder_bench.models.pictures import POSTPROCESSING, picture
from suder_bench.models.prompt_rows import Shared
from suder_bench.models.protocols import Anatomy, DrawnTokens, GeneratedImage, ImageSampling, Sizes, TextSampling, TokenScores
from suder_bench.models.reference import WORLD_MARKER, ModelReference
from suder_bench.models.sampling import check_numbers
from suder_bench.models.writing import write_tokens

SHOWN = 60
"""Characters of a text that an error line quotes."""


class JanusModel:
    """The adapter, and a `Trainable`. Wraps objects in memory (tests, trainers); `load` reads a checkpoint.

    `draw` and `write` sample tokens; `text_logprobs`, `answer_scores` and `image_scores` score them with gradients.
    """

    anatomy: ClassVar[Anatomy] = Anatomy(
        parts={
            "language_model": "model.language_model",
            "lm_head": "lm_head",
            "generation_head": "model.generation_head",
            "aligner": "model.aligner",
            "generation_aligner": "model.generation_aligner",
        },
        usual=("language_model", "lm_head", "generation_head"),
        language_model="model.language_model",
        idle={"gen": ("lm_head", "aligner"), "und": ("generation_head", "generation_aligner")},
        # Frozen with the codes they stand for, although some checkpoints keep them in a part that learns.
        frozen=("model.vqmodel",),
    )
    """The vision tower and the image tokenizer never learn: the rewards read through the one and are defined on the codes of the
    other."""

    estimator = None

    def __init__(
        self,
        model: JanusForConditionalGeneration,
        tokenizer: PreTrainedTokenizerBase,
        image_processor: JanusImageProcessorPil,
        *,
        name: str = "janus",
        fingerprint: str = "in memory",
        parts: Mapping[str, str] | None = None,
        caption_request: str = CAPTION_REQUEST,
        score_end: bool = False,
        capture: bool = True,
        source: Path | None = None,
    ):
        """`caption_request` is how captions are asked for, and texts scored; with `score_end` a text's end token counts too.
        `parts` are the digests that `fingerprint` sums up, by name. With `capture` steps of drawing are captured on CUDA. What a
        checkpoint holds beside the network, `save` copies from the folder `source` where there is one."""
        files.check_tokens(tokenizer, model.config.image_token_id, name)
        self.model = model
        self.tokenizer = tokenizer
        self.image_processor = image_processor
        self.squares = Squares(image_processor)
        self.name = name
        self.fingerprint = fingerprint
        self.parts = dict(parts or {})
        self.caption_request = caption_request
        self.score_end = score_end
        self.capture = capture
        self.source = source
        self.roles = roles_of(tokenizer)
        self.image_tokens = int(model.model.vision_model.config.num_image_tokens)
        self.positions = sampler.positions_of(model)
        self.settings = {
            "adapter": "janus",
            "dtype": str(model.dtype).removeprefix("torch."),
            "template": self.roles.template,
            "system prompt": "",
            "caption request": caption_request,
            "image tokens": str(self.image_tokens),
            "preprocessing": self.squares.description,
            "pixels": POSTPROCESSING,
            "guidance": "u + w (c - u); u has pad for all tokens but begin-of-text and begin-of-image, all attended to",
            "image sampling": "whole softmax in float32, one uniform a token from the sample's seed",
        }
        if model.device.type == "cuda" or not capture:
            self.settings["steps of drawing"] = "captured in a CUDA graph" if capture else "one kernel at a time (--no-capture)"
        named = tokenizer.special_tokens_map
        self._boi, self._eoi, self._placeholder = (str(named[key]) for key in ("boi_token", "eoi_token", "image_token"))
        ends = model.generation_config.eos_token_id
        self._ends = {int(tokenizer.eos_token_id), *(ends if isinstance(ends, list) else [] if ends is None else [ends])}
        # By name and not by what a tokenizer file calls special, which differs between layouts of one checkpoint.
        silent = [named.get("bos_token"), named["pad_token"], self._boi, self._eoi, self._placeholder, *self.roles.tokens]
        ids = [tokenizer.convert_tokens_to_ids(str(token)) for token in silent if token is not None]
        self._suppressed = sorted({*(one for one in ids if isinstance(one, int)), model.config.image_token_id} - self._ends)
        self._kept = {tokenizer.convert_tokens_to_ids(self._boi), tokenizer.bos_token_id}

    @property
    def world(self) -> bool:
        """Whether the checkpoint was trained on the embedded world, as its config.json says."""
        return getattr(self.model.config, WORLD_MARKER, False) is True

    @property
    def network(self) -> JanusForConditionalGeneration:
        return self.model

    @property
    def end_token(self) -> int:
        return int(self.tokenizer.eos_token_id)

    @classmethod
    def sizes(cls, reference: ModelReference) -> Sizes | None:
        """See `TellsSizes`."""
        return janus_sizes.of(reference)

    @classmethod
    def load(cls, reference: str, *, device: str = "cpu", dtype: str = "auto") -> Self:
        """Read a folder or hub id, in transformers' layout or the authors'. `device` auto, cpu or cuda; `dtype` auto, float32
        or bfloat16.

        Raises `UserError` for a wrong reference, device or dtype, and for a checkpoint that is incomplete, does not fit its
        config.json, or holds weights that are NaN or infinite without `?allow_nonfinite=true`.
        """
        place = files.choose_device(device)
        kind = files.choose_dtype(dtype, place)
        return cls.of(files.load(files.find(reference), device=place, dtype=kind), name=reference)

    @classmethod
    def of(cls, loaded: files.Loaded, *, name: str, **others: Any) -> Self:
        """A checkpoint that `files.load` read; `others` go to `__init__`."""
        told: dict[str, Any] = {
            "fingerprint": loaded.fingerprint,
            "parts": loaded.parts,
            "capture": loaded.capture,
            "source": loaded.folder,
        }
        made = cls(loaded.model, loaded.tokenizer, loaded.processor, name=name, **told | others)
        made.settings |= loaded.notes
        return made

    def generate(self, prompts: Sequence[str], *, seeds: Sequence[int], sampling: ImageSampling) -> list[GeneratedImage]:
        """One picture per prompt, with its tokens; see `TextToImage`."""
        tokens = self.draw(prompts, seeds=seeds, sampling=sampling).tokens
        pixels = self.decode_tokens(tokens)
        check_numbers(pixels.isfinite().flatten(1).all(dim=1), "the pixels of a picture")
        return [GeneratedImage(picture(x), row) for x, row in zip(pixels, tokens, strict=True)]

    def draw(
        self, prompts: Sequence[str], *, seeds: Sequence[int], sampling: ImageSampling, return_logprobs: bool = False
    ) -> DrawnTokens:
        """Image tokens without decoding them. Repeated prompts are read once. With `return_logprobs` also what
        `image_logprobs` would say of them."""
        if len(prompts) != len(seeds):
            raise ValueError(f"{len(prompts)} prompts, but {len(seeds)} seeds")
        rows = [self._generation_ids(prompt) for prompt in prompts]
        blanks = [self._blank(row) for row in rows]
        return sampler.draw_tokens(
            self.model,
            rows,
            blanks,
            seeds=seeds,
            sampling=sampling,
            return_logprobs=return_logprobs,
            capture=self.capture,
        )

    def decode_tokens(self, tokens: torch.Tensor) -> torch.Tensor:
        """Pixels in [-1, 1], (pictures, 3, size, size), float32, of image tokens (pictures, image tokens)."""
        return vq.decode(self.model.model.vqmodel, tokens)

    def answer(
        self,
        images: Sequence[Sequence[Image.Image]],
        questions: Sequence[str],
        *,
        seeds: Sequence[int],
        sampling: TextSampling,
    ) -> list[str]:
        """One answer per question about its picture(s); see `ImageToText`."""
        return texts(self.tokenizer, self.write(images, questions, seeds=seeds, sampling=sampling))

    def write(
        self,
        images: Sequence[Sequence[Image.Image]],
        questions: Sequence[str],
        *,
        seeds: Sequence[int],
        sampling: TextSampling,
    ) -> list[list[int]]:
        """Answers as ids without the end token. Every distinct picture, and every distinct question about it, is read once, and
        so is what comes before and right behind the picture in all questions."""
        check_asked(images, questions, seeds)
        if not questions:
            return []
        with torch.no_grad():
            features, asked = self._asked(images, questions)
            rows = {(question, *which.tolist()): (question, which) for question, which in asked}
            order = {key: i for i, key in enumerate(rows)}
            prompts, shared = self._questions(list(rows.values()), features)
        place = torch.tensor([order[(question, *which.tolist())] for question, which in asked], device=self.model.device)
        return write_tokens(
            self.model.model.language_model,
            self.model.lm_head,
            prompts,
            place,
            positions=self.positions,
            seeds=seeds,
            sampling=sampling,
            ends=self._ends,
            suppressed=self._suppressed,
            shared=shared,
        )

    def text_of(self, ids: Sequence[int]) -> str:
        """The text of ids such as `write` returns."""
        return texts(self.tokenizer, [ids])[0]

    def text_logprobs(self, images: Sequence[Image.Image] | torch.Tensor, texts: Sequence[str]) -> list[torch.Tensor]:
        """log p(text | picture) token by token, the geometry of the reward R_G: the picture and the caption request in the
        user's turn, the text in the assistant's. `images` may be pixels (pictures, 3, size, size) in [-1, 1]."""
        end = [self.end_token] if self.score_end else []
        answers = [answer_ids(self.tokenizer, text) + end for text in texts]
        return self.answer_scores(images, [self.caption_request] * len(texts), answers).logprobs

    def answer_logprobs(
        self, images: Sequence[Sequence[Image.Image]], questions: Sequence[str], answers: Sequence[str]
    ) -> list[torch.Tensor]:
        """log p(answer | pictures, question) token by token; see `AnswerLikelihood`."""
        check_asked(images, questions, answers, "answers")
        if not questions:
            return []
        features, asked = self._asked(images, questions)
        prompts = [self._question(question, features[which]) for question, which in asked]
        ids = [answer_ids(self.tokenizer, answer) for answer in answers]
        for prompt, row, answer in zip(prompts, ids, answers, strict=True):
            self._check_room(len(prompt) + len(row) - 1, "pictures, a question and its answer", answer)
        return likelihood.answer_scores(self.model, prompts, ids, entropy=False).logprobs

    def answer_scores(
        self,
        images: Sequence[Image.Image] | torch.Tensor,
        questions: Sequence[str],
        answers: Sequence[Sequence[int]],
        *,
        entropy: bool = False,
    ) -> TokenScores:
        """log p(answer token k | picture, question, answer tokens < k) of ids such as `write` returns; add the id of the
        end token to score that too. One picture per question."""
        features, which = self._features(images)
        if not len(which) == len(questions) == len(answers):
            raise ValueError(f"{len(which)} pictures, {len(questions)} questions, {len(answers)} answers")
        if not questions:
            return TokenScores([], [])
        prompts = [self._question(question, features[i : i + 1]) for i, question in zip(which.tolist(), questions, strict=True)]
        for prompt, answer in zip(prompts, answers, strict=True):
            self._check_room(len(prompt) + len(answer) - 1, "a picture and its text", str(self.tokenizer.decode(list(answer))))
        return likelihood.answer_scores(self.model, prompts, answers, entropy=entropy)

    def choice_logprobs(
        self, images: Sequence[Image.Image] | torch.Tensor, questions: Sequence[str], choices: Sequence[str]
    ) -> torch.Tensor:
        """log p(choice | picture, question) by the first token that differs, (questions, choices); see `ChoiceLikelihood`."""
        ids = [answer_ids(self.tokenizer, choice) for choice in choices]
        shared, different = apart(ids, choices)
        features, which = self._features(images)
        if len(which) != len(questions):
            raise ValueError(f"{len(which)} pictures, {len(questions)} questions")
        if not questions:
            return torch.empty(0, len(choices))
        begun = likelihood.embed(self.model, shared)
        prompts = [
            torch.cat([self._question(question, features[i : i + 1]), begun])
            for i, question in zip(which.tolist(), questions, strict=True)
        ]
        return likelihood.next_token_scores(self.model, prompts, different)

    def image_logprobs(self, texts: Sequence[str], image_tokens: torch.Tensor) -> torch.Tensor:
        """log p(image tokens | text), (texts, image tokens), without guidance; see `DualLikelihood`."""
        return torch.stack(self.image_scores(texts, image_tokens).logprobs)

    def image_scores(
        self,
        texts: Sequence[str],
        image_tokens: torch.Tensor,
        *,
        guidance: float = 1.0,
        entropy: bool = False,
        seeds: Sequence[int] | None = None,
    ) -> TokenScores:
        """The same, also under guidance, and with the distributions' entropies when asked for; `seeds` say nothing here."""
        rows = [self._generation_ids(text) for text in texts]
        blanks = [self._blank(row) for row in rows] if guidance != 1 else []
        return likelihood.image_scores(self.model, rows, image_tokens, blanks=blanks, guidance=guidance, entropy=entropy)

    def tokenize_images(self, images: Sequence[Image.Image]) -> torch.Tensor:
        """Codes (pictures, image tokens), on the CPU, of the same squares that the vision tower sees."""
        return vq.encode(self.model.model.vqmodel, self.squares.pixels(images)).cpu()

    def save(self, folder: Path, weights: Mapping[str, torch.Tensor]) -> None:
        """Write a checkpoint in transformers' layout."""
        files.save(self.model, self.tokenizer, self.source or self.image_processor, folder, state_dict=dict(weights))

    def saved(self, folder: Path) -> dict[str, torch.Tensor]:
        """The weights of one that `save` wrote."""
        return files.saved(folder)

    def check_prompt(self, prompt: str) -> None:
        """Raises `UserError` for a prompt too long to be drawn, or to be scored as the text of a picture."""
        request = prompt_ids(self.tokenizer, question_text(self.caption_request, self._block(1), self.roles))
        if len(request) + len(prompt.encode()) + 64 < self.positions:
            return  # no token is shorter than a byte, and 64 are more than the template has
        self._generation_ids(prompt)
        self._check_room(len(request) + len(answer_ids(self.tokenizer, prompt)), "a picture and its text", prompt)

    @property
    def caption_tokens(self) -> int:
        """See `LimitsCaptions`: what the positions have room for, behind a picture and before one."""
        asked = len(self._question_ids(self.caption_request, 1))
        return self.positions + 1 - max(asked, len(self._generation_ids("")) + self.image_tokens)

    def _generation_ids(self, prompt: str) -> list[int]:
        ids = prompt_ids(self.tokenizer, generation_text(prompt, self._boi, self.roles))
        self._check_room(len(ids) + self.image_tokens - 1, "a prompt and its picture", prompt)  # nothing follows the last token
        return ids

    def _check_room(self, tokens: int, what: str, text: str) -> None:
        """Raises `UserError` where a sequence is longer than what the model was made for: it would answer, but nonsense."""
        if tokens > self.positions:
            shown = text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
            raise UserError(f"{what} need {tokens:,} positions, but the model has {self.positions:,}; shorten the text {shown!r}")

    def _block(self, images: int) -> str:
        return image_block(self._boi, self._placeholder, self._eoi, image_tokens=self.image_tokens, images=images)

    def _blank(self, ids: Sequence[int]) -> list[int]:
        return sampler.unconditional(ids, keep=self._kept, pad=int(self.tokenizer.pad_token_id))

    def _question(self, question: str, features: torch.Tensor) -> torch.Tensor:
        """Embeddings of a question about the pictures whose features (pictures, image tokens, width) are given."""
        ids = self._question_ids(question, len(features))
        return likelihood.embed(self.model, ids, features if len(features) else None)

    def _question_ids(self, question: str, pictures: int) -> list[int]:
        block = self._block(pictures) if pictures else ""
        ids = prompt_ids(self.tokenizer, question_text(question, block, self.roles))
        self._check_room(len(ids), "a question and its pictures", question)
        return ids

    def _questions(
        self, asked: Sequence[tuple[str, torch.Tensor]], features: torch.Tensor
    ) -> tuple[list[torch.Tensor], Shared | None]:
        """Embeddings of questions about those of the pictures' `features`, without the beginnings that they share."""
        rows = [self._question_ids(question, len(which)) for question, which in asked]
        alike = min(len(beginning(rows)), min(map(len, rows)) - 1)  # placeholders are, whatever picture they stand for
        picture = self.model.config.image_token_id
        if picture not in rows[0][:alike] or any(picture in row[alike:] for row in rows):
            return [self._question(question, features[which]) for question, which in asked], None
        shown = {tuple(which.tolist()): which for _, which in asked}
        order = {key: i for i, key in enumerate(shown)}
        begun = [likelihood.embed(self.model, rows[0][:alike], features[which]) for which in shown.values()]
        of = torch.tensor([order[tuple(which.tolist())] for _, which in asked], device=self.model.device)
        return [likelihood.embed(self.model, row[alike:]) for row in rows], Shared(torch.stack(begun), of)

    def _asked(
        self, images: Sequence[Sequence[Image.Image]], questions: Sequence[str]
    ) -> tuple[torch.Tensor, list[tuple[str, torch.Tensor]]]:
        """The features of each distinct picture, and every question with the places of its pictures among them."""
        features, pictures = self._features([one for several in images for one in several])
        return features, list(zip(questions, pictures.split([len(several) for several in images]), strict=True))

    def _features(self, images: Sequence[Image.Image] | torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """What the language model reads of each distinct picture, (distinct, image tokens, width), and which is whose."""
        if isinstance(images, torch.Tensor):
            pixels, which = images, torch.arange(len(images))
            side = self.squares.size
            if images.shape[1:] != (3, side, side):
                raise ValueError(f"pixels of shape {tuple(images.shape)}, not (pictures, 3, {side}, {side})")
        elif images:
            objects = {id(one): one for one in images}
            first: dict[tuple[str, tuple[int, int], bytes], int] = {}
            place = {name: first.setdefault((one.mode, one.size, one.tobytes()), len(first)) for name, one in objects.items()}
            places = [place[id(one)] for one in images]
            which = torch.tensor(places)
            pixels = self.squares.pixels([images[places.index(i)] for i in range(len(first))])
        else:
            return torch.empty(0, self.image_tokens, 1), torch.empty(0, dtype=torch.long)
        values = self.squares.values(pixels).to(self.model.device, self.model.dtype)
        return self.model.model.get_image_features(values, return_dict=True).pooler_output, which
