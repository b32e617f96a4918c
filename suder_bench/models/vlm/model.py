"""Vision-language models: any of transformers' image-text-to-text models, answering questions and scoring texts.

What a family needs that its checkpoint does not say stands in `families`; conventions are those of the published evaluations
(specs/backbones.md, section 2). What `settings` holds goes into run.json.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Self

import numpy as np
import torch
from PIL import Image
from transformers.image_utils import SizeDict

from suder_bench import machine
from suder_bench.data.prompts import CAPTION_REQUEST
from suder_bench.errors import UserError
from suder_bench.models.answering import apart, check_asked, texts
from suder_bench.models.built import blamed
from suder_bench.models.protocols import TextSampling
from suder_bench.models.vlm import files, likelihood, sight, writing
from suder_bench.models.vlm.batch import Joiner, Row, groups
from suder_bench.models.vlm.families import Family
from suder_bench.models.vlm.prompts import SHOWN, Prompts

Pictures = Sequence[Image.Image] | torch.Tensor


class VlmModel:
    """The adapter: implements `ImageToText`, `TextLikelihood` and `ChoiceLikelihood`. Wraps objects in memory; `load` reads a
    checkpoint."""

    def __init__(
        self,
        model: Any,
        processor: Any,
        family: Family,
        *,
        name: str = "vlm",
        fingerprint: str = "in memory",
        parts: Mapping[str, str] | None = None,
    ) -> None:
        """`parts` are the digests that `fingerprint` sums up, by name. Raises `UserError` where no prompt can be written."""
        self.model = model
        self.processor = processor
        self.family = family
        self.name = name
        self.fingerprint = fingerprint
        self.parts = dict(parts or {})
        self.prompts = Prompts(processor, family, name)
        self.positions: int | None = getattr(model.config.get_text_config(), "max_position_embeddings", None)
        self._ends = _ends(model, processor.tokenizer)
        self._join = _joiner(model, processor)
        self._proven = family.proven
        self.settings = self._described()
        writing.forget_settings(model)

    @classmethod
    def load(cls, reference: str, *, device: str = "cpu", dtype: str = "auto") -> Self:
        """Read a folder or hub id in transformers' format. `device` auto, cpu or cuda; `dtype` auto, float32 or bfloat16.

        Raises `UserError` for a wrong reference, device or dtype, and for a checkpoint that is incomplete, does not fit its
        config.json, needs code of its own without `?trust_remote_code=true`, or holds weights that are NaN or infinite without
        `?allow_nonfinite=true`.
        """
        place = torch.device(machine.choose_device(device))
        kind: torch.dtype = getattr(torch, machine.choose_dtype(dtype, place.type))
        source = files.find(reference)
        loaded = files.load(source, device=place, dtype=kind)
        digest, parts = loaded.fingerprint, loaded.parts
        with blamed(source.folder, "chat template, tokenizer or image processor"):
            made = cls(loaded.model, loaded.processor, loaded.family, name=reference, fingerprint=digest, parts=parts)
            made.prompts.row([Image.new("RGB", (64, 48))], CAPTION_REQUEST)
        made.settings |= loaded.notes
        return made

    @property
    def question_pictures(self) -> tuple[int, int | None]:
        """The fewest and the most pictures of one question; see `LimitsPictures`."""
        return self.family.pictures

    @torch.no_grad()
    def answer(
        self,
        images: Sequence[Sequence[Image.Image]],
        questions: Sequence[str],
        *,
        seeds: Sequence[int],
        sampling: TextSampling,
    ) -> list[str]:
        """One answer per question about its picture(s); see `ImageToText`."""
        check_asked(images, questions, seeds)
        rows = [self.prompts.row(several, question) for several, question in zip(images, questions, strict=True)]
        return self._written(rows, questions, seeds, sampling)

    @torch.no_grad()
    def talk(
        self,
        images: Sequence[Sequence[Image.Image]],
        turns: Sequence[Sequence[str]],
        *,
        systems: Sequence[str],
        pictures_last: Sequence[bool],
        sampling: TextSampling,
    ) -> list[str]:
        """The next turn of each conversation (`Prompts.talk`), with seed 0. Raises `UserError` as that does."""
        asked = list(zip(images, turns, systems, pictures_last, strict=True))
        texts = [self.prompts.talk(said, len(shown), system=who, pictures_last=last) for shown, said, who, last in asked]
        questions = [said[-1] for said in turns]
        rows = [self.prompts.row(*each) for each in zip(images, questions, texts, strict=True)]
        return self._written(rows, questions, [0] * len(rows), sampling)

    def _written(self, rows: Sequence[Row], questions: Sequence[str], seeds: Sequence[int], sampling: TextSampling) -> list[str]:
        rooms = [self._room(row, 1, question) for row, question in zip(rows, questions, strict=True)]
        written: dict[int, list[int]] = {}
        for places in groups(rows):
            batch = self._join([rows[i] for i in places])
            own, room = [seeds[i] for i in places], [rooms[i] for i in places]
            made = writing.write(self.model, batch, seeds=own, sampling=sampling, ends=self._ends, rooms=room)
            written |= dict(zip(places, made, strict=True))
        return texts(self.prompts.tokenizer, (written[i] for i in range(len(rows))))

    def text_logprobs(self, images: Pictures, texts: Sequence[str]) -> list[torch.Tensor]:
        """log p(text | picture) token by token, the text being the answer to the caption request. `images` may be pixels
        (pictures, 3, height, width) in [-1, 1], which are taken as pictures, so that no gradient reaches them."""
        return self.answer_logprobs(_each(images), [CAPTION_REQUEST] * len(texts), texts)

    def answer_logprobs(
        self, images: Sequence[Sequence[Image.Image]], questions: Sequence[str], answers: Sequence[str]
    ) -> list[torch.Tensor]:
        """log p(answer token k | pictures, question, answer tokens < k), (answer tokens,) a question; see `AnswerLikelihood`."""
        self._prove()
        rows = self._rows(images, questions)
        counts = [len(several) for several in images]
        ids = [self._answer_ids(*each) for each in zip(answers, questions, counts, strict=True)]
        for row, answer, question in zip(rows, ids, questions, strict=True):
            self._room(row, len(answer), question)
        kept = [i for i, answer in enumerate(ids) if answer]
        scored = likelihood.answer_logprobs(self.model, [rows[i] for i in kept], [ids[i] for i in kept], self._join)
        found = dict(zip(kept, scored, strict=True))
        return [found.get(i, torch.empty(0, device=self.model.device)) for i in range(len(rows))]

    def choice_logprobs(self, images: Pictures, questions: Sequence[str], choices: Sequence[str]) -> torch.Tensor:
        """log p(choice | picture, question) by the first token that differs, (questions, choices); see `ChoiceLikelihood`."""
        self._prove()
        rows = self._rows(_each(images), questions)
        if not rows:
            return torch.empty(0, len(choices))
        told = [apart([self._answer_ids(choice, question) for choice in choices], choices) for question in questions]
        answers = [[*shared, different[0]] for shared, different in told]
        logits = likelihood.answer_logits(self.model, rows, answers, self._join)
        last = [torch.log_softmax(each[-1], dim=-1)[different] for each, (_, different) in zip(logits, told, strict=True)]
        return torch.stack(last)

    @torch.no_grad()
    def first_tokens(
        self, images: Sequence[Image.Image], questions: Sequence[str], spellings: Sequence[Sequence[str]]
    ) -> list[list[float]]:
        """p(first token of a spelling | picture, question) by a softmax over the whole vocabulary in float32, one number for each
        of a question's spellings. Equal pictures that follow each other are encoded once."""
        self._prove()
        if not len(images) == len(questions) == len(spellings):
            raise ValueError(f"{len(images)} pictures, {len(questions)} questions, {len(spellings)} lists of spellings")
        found: list[list[float]] = []
        for places in sight.runs(images):
            rows = self._rows([[images[i]] for i in places], [questions[i] for i in places])
            for row, i in zip(rows, places, strict=True):
                self._room(row, 1, questions[i])
            with sight.looking_once(self.model, len(rows)):
                logits = likelihood.answer_logits(self.model, rows, [[0]] * len(rows), self._join)
            for row_logits, i in zip(logits, places, strict=True):
                likely = torch.softmax(row_logits[-1], dim=-1)
                found.append([float(likely[self.first_token(spelling)]) for spelling in spellings[i]])
        return found

    def first_token(self, spelling: str) -> int:
        """The id that a word begins with. Raises `ValueError` for an empty one."""
        ids: list[int] = self.prompts.tokenizer.encode(spelling, add_special_tokens=False)
        if not ids:
            raise ValueError(f"{spelling!r} has no token")
        return ids[0]

    def _rows(self, images: Sequence[Sequence[Image.Image]], questions: Sequence[str]) -> list[Row]:
        if len(images) != len(questions):
            raise ValueError(f"{len(images)} pictures, {len(questions)} questions")
        return [self.prompts.row(several, question) for several, question in zip(images, questions, strict=True)]

    def _answer_ids(self, answer: str, question: str, pictures: int = 1) -> list[int]:
        return self.prompts.answer_ids(answer, question, pictures, alone=likelihood.encoder_decoder(self.model))

    def _room(self, row: Row, least: int, question: str) -> int | None:
        """Tokens that may follow a prompt; None for a model without a limit. Raises `UserError` where `least` have no room."""
        if self.positions is None or likelihood.encoder_decoder(self.model):
            return None
        room = self.positions + 1 - row["input_ids"].shape[1]  # nothing follows the last token
        if room < least:
            needed = row["input_ids"].shape[1] + least - 1
            raise UserError(
                f"a question and its pictures need {needed:,} positions, but model '{self.name}' has {self.positions:,}; "
                f"shorten '{question[:SHOWN]}'"
            )
        return room

    @torch.no_grad()
    def _prove(self) -> None:
        """Hold a family that no test knows to its own sampler, once: the tokens of a greedy answer have to be the likeliest.

        Raises `UserError` where they are not, as in a model whose prompt sees what follows it.
        """
        if self._proven:
            return
        row = self.prompts.row([Image.new("RGB", (64, 48), "white")], CAPTION_REQUEST)
        sampling = TextSampling(max_new_tokens=3)
        ids = writing.write(self.model, self._join([row]), seeds=[0], sampling=sampling, ends=[-1], rooms=[None])[0]
        logits = likelihood.answer_logits(self.model, [row], [ids], self._join)[0]
        if logits.argmax(dim=-1).tolist() != ids:
            raise UserError(
                f"model '{self.name}' is of family '{self.model.config.model_type}', whose answers are not those that its own "
                "likelihoods prefer when read at once: its likelihoods are not known here, so choose benchmarks of answers"
            )
        self._proven = True

    def _described(self) -> dict[str, str]:
        known = self.processor.image_processor
        told = {name: str(_plain(getattr(known, name, None))) for name in self.family.recorded}
        return {
            "adapter": "vlm",
            "family": self.model.config.model_type,
            "dtype": str(self.model.dtype).removeprefix("torch."),
            "template": self.prompts.description,
            "caption request": CAPTION_REQUEST,
            "preprocessing": ", ".join([type(known).__name__, *(f"{name} {value}" for name, value in told.items())]),
            "text sampling": "whole softmax in float32, one uniform a token from the sample's seed",
            "generation config": "only its end tokens: no penalties, beams or cut-offs",
        }


def _ends(model: Any, tokenizer: Any) -> list[int]:
    given = [model.generation_config.eos_token_id, model.config.get_text_config().eos_token_id, tokenizer.eos_token_id]
    ends = {end for each in given for end in (each if isinstance(each, list) else [each]) if end is not None}
    return sorted(int(end) for end in ends)


def _joiner(model: Any, processor: Any) -> Joiner:
    reader = getattr(processor, "qformer_tokenizer", None)
    pads = [one.pad_token_id for one in (processor.tokenizer, reader or processor.tokenizer)]
    return Joiner(pads[0] or 0, pads[1] or 0, model.device, model.dtype)


def _each(images: Pictures) -> list[list[Image.Image]]:
    """One picture a question."""
    return [[one] for one in (_pictures(images) if isinstance(images, torch.Tensor) else images)]


def _pictures(pixels: torch.Tensor) -> list[Image.Image]:
    levels = ((pixels.detach().float() + 1) * 127.5).round().clamp(0, 255).byte().cpu().permute(0, 2, 3, 1).numpy()
    return [Image.fromarray(np.ascontiguousarray(one)) for one in levels]


def _plain(value: Any) -> Any:
    """A size without the names that it leaves open."""
    if not isinstance(value, SizeDict):
        return value
    return " ".join(f"{key} {number}" for key, number in asdict(value).items() if number is not None)
