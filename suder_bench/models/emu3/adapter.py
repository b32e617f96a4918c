"""Emu3: transformers' `Emu3ForConditionalGeneration` as a model that draws, answers and scores.

One checkpoint draws and scores pictures, the other reads them, answers and scores texts; they may be the same. Conventions are
those of BAAI/Emu3 as transformers documents them; what `settings` holds goes into run.json.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image

from suder_bench import machine
from suder_bench.errors import UserError
from suder_bench.models.answering import apart, check_asked, texts
from suder_bench.models.emu3 import files, likelihood, pixels, reference
from suder_bench.models.emu3.painter import Emu3Painter, check_room
from suder_bench.models.emu3.vocabulary import CAPTION_REQUEST, SYSTEM
from suder_bench.models.protocols import TextSampling
from suder_bench.models.sampling import distinct
from suder_bench.models.writing import write_tokens


class Emu3Model(Emu3Painter):
    """The adapter. Wraps checkpoints in memory; `load` reads them. `Emu3Painter` draws; here it answers, and scores texts."""

    def __init__(self, painter: files.Part, reader: files.Part, **others: Any):
        """`painter` draws, `reader` answers, and may be the same; `others` go to `Emu3Painter`. Raises `UserError` for a reader
        that has no chat template."""
        super().__init__(painter, **others)
        if reader.template is None:
            raise UserError(
                f"model '{reader.name}' has no chat template to ask with; copy the chat_template.jinja of an Emu3 that chats"
            )
        self.reader, self.template = reader, reader.template
        self.parts = _parts(painter, reader)
        self.settings |= {
            "understanding checkpoint": reader.name,
            "preprocessing": f"{reader.processor.min_pixels} to {reader.processor.max_pixels} pixels, one picture at a time",
            "system prompt": SYSTEM,
            "caption request": CAPTION_REQUEST,
            "answer prefix": repr(reader.vocabulary.answer_prefix(self.template)),
            **_notes(painter, reader),
        }

    @classmethod
    def load(cls, text: str, *, device: str = "cpu", dtype: str = "auto") -> Emu3Painter:
        """Read `GEN+CHAT?image_area=N&negative_prompt=TEXT`, or one checkpoint for both, which only draws where it has no chat
        template. `device` auto, cpu or cuda; `dtype` auto, float32 or bfloat16.

        Raises `UserError` for a wrong reference, device or dtype, and for a checkpoint that is damaged.
        """
        asked = reference.read(text)
        place = torch.device(machine.choose_device(device))
        kind = getattr(torch, machine.choose_dtype(dtype, place.type))
        allowed = asked.allow_nonfinite
        loaded = {name: files.load(name, device=place, dtype=kind, allow_nonfinite=allowed) for name in asked.checkpoints}
        painter, reader = loaded[asked.generation], loaded[asked.understanding]
        others: dict[str, Any] = {"name": text, "image_area": asked.image_area, "negative_prompt": asked.negative_prompt}
        if painter is reader and reader.template is None:
            return Emu3Painter(painter, **others)
        return cls(painter, reader, **others)

    @classmethod
    def cannot_learn(cls, text: str) -> str:
        """See `TellsWhyNot`."""
        if len(reference.read(text).checkpoints) > 1:
            return "one checkpoint draws and another understands, so that neither could learn from itself"
        return "an Emu3 is only evaluated here, and samples no ids that it could learn from"

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
        if not questions:
            return []
        reader = self.reader
        rows, place = distinct(self._questions(images, questions), reader.model.device)
        text_model = reader.model.model.text_model
        written = write_tokens(
            text_model,
            reader.model.lm_head,
            [text_model.embed_tokens(torch.tensor(row, device=reader.model.device)) for row in rows],
            place,
            positions=reader.positions,
            seeds=seeds,
            sampling=sampling,
            ends=reader.ends,
        )
        return texts(reader.tokenizer, written)

    def text_logprobs(self, images: Sequence[Image.Image], texts: Sequence[str]) -> list[torch.Tensor]:
        """log p(text | picture) token by token: the picture and the caption request in the user's turn, the text in the
        assistant's; see `TextLikelihood`."""
        return self.answer_logprobs([[one] for one in images], [CAPTION_REQUEST] * len(texts), texts)

    def answer_logprobs(
        self, images: Sequence[Sequence[Image.Image]], questions: Sequence[str], answers: Sequence[str]
    ) -> list[torch.Tensor]:
        """log p(answer | pictures, question) token by token; see `AnswerLikelihood`."""
        check_asked(images, questions, answers, "answers")
        if not questions:
            return []
        prompts = self._questions(images, questions)
        ids = [self.reader.vocabulary.answer_ids(answer, self.template) for answer in answers]
        for prompt, row, answer in zip(prompts, ids, answers, strict=True):
            check_room(self.reader, len(prompt) + len(row) - 1, "a picture and its text", answer)
        return likelihood.text_scores(self.reader.model, prompts, ids)

    def choice_logprobs(self, images: Sequence[Image.Image], questions: Sequence[str], choices: Sequence[str]) -> torch.Tensor:
        """log p(choice | picture, question) by the first token that differs, (questions, choices); see `ChoiceLikelihood`."""
        if len(images) != len(questions):
            raise ValueError(f"{len(images)} pictures, {len(questions)} questions")
        ids = [self.reader.vocabulary.answer_ids(choice, self.template) for choice in choices]
        shared, different = apart(ids, choices)
        if not questions:
            return torch.empty(0, len(choices))
        prompts = self._questions([[one] for one in images], questions)
        return likelihood.next_token_scores(self.reader.model, [[*prompt, *shared] for prompt in prompts], different)

    def _questions(self, images: Sequence[Sequence[Image.Image]], questions: Sequence[str]) -> list[list[int]]:
        """Ids of each question about its pictures; a picture is encoded once, however many ask about it."""
        reader, template = self.reader, self.template
        known: dict[Any, torch.Tensor] = {}
        rows = []
        for several, question in zip(images, questions, strict=True):
            keys = [(one.mode, one.size, one.tobytes()) for one in several]
            for key, one in zip(keys, several, strict=True):
                if key not in known:
                    known[key] = pixels.encode(reader.model.model.vqmodel, reader.processor, one)
            rows.append(reader.vocabulary.question_ids(question, [known[key] for key in keys], template))
            check_room(reader, len(rows[-1]), "a question and its pictures", question)
        return rows


def _notes(painter: files.Part, reader: files.Part) -> dict[str, str]:
    """What run.json has to say of the weights of both checkpoints."""
    if painter is reader:
        return dict(painter.notes)
    told = [(name, f"{one.name}: {note}") for one in (painter, reader) for name, note in one.notes.items()]
    return {name: "; ".join(text for other, text in told if other == name) for name, _ in told}


def _parts(painter: files.Part, reader: files.Part) -> dict[str, str]:
    """The digests of both checkpoints, by name."""
    if painter is reader:
        return dict(painter.digests)
    named = (("generation", painter), ("understanding", reader))
    return {f"{what} {part}": digest for what, one in named for part, digest in one.digests.items()}
