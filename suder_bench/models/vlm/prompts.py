"""A question about pictures as a family reads it: its text, its tensors, and the ids of what may be answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from PIL import Image

from suder_bench.errors import UserError
from suder_bench.models.vlm.families import Family

SHOWN = 60
"""Characters of a question that an error line quotes."""


class Prompts:
    """Writes questions with the checkpoint's chat template, or with the family's where it has none."""

    def __init__(self, processor: Any, family: Family, name: str) -> None:
        """Raises `UserError` for a checkpoint without a chat template of a family that none is known of."""
        self.processor = processor
        self.family = family
        self.name = name
        self.tokenizer = processor.tokenizer
        chat = processor.chat_template or getattr(self.tokenizer, "chat_template", None)
        self.template = chat["default"] if isinstance(chat, Mapping) else chat
        if self.template is None and family.template is None:
            raise UserError(
                f"model '{name}' has no chat template, and its family none that is known here; give it the chat_template.jinja "
                "of the model that it comes from"
            )
        token = getattr(processor, "image_token", None)
        self.placeholder = str(getattr(token, "content", token)) if token is not None else None

    @property
    def description(self) -> str:
        """The template as run.json records it, with one picture where the family takes one."""
        return self.text("{question}", 1)

    def text(self, question: str, pictures: int) -> str:
        """The prompt, with one placeholder a picture. Raises `UserError` for a question that holds one itself."""
        asked = self._without_placeholder(question)
        if self.template is None:
            placeholders = f"{self.placeholder}{self.family.between}" * pictures
            around = str(self.family.template).replace("{pictures}", placeholders)
            return around.replace("{separator}", self.tokenizer.sep_token or "").replace("{question}", asked)
        content = [*({"type": "image"} for _ in range(pictures)), {"type": "text", "text": asked}]
        return self._templated([{"role": "user", "content": content}])

    def talk(self, turns: Sequence[str], pictures: int, *, system: str = "", pictures_last: bool = False) -> str:
        """A conversation of a user's turns and the model's by turns, up to where the model is to go on, without a thought where
        its template can leave that out; the pictures stand in the first turn, before its words or behind them.

        Raises `UserError` for a checkpoint whose family's template has one turn only.
        """
        if self.template is None:
            if len(turns) == 1 and not pictures_last:
                return self.text(f"{system}\n\n{turns[0]}" if system else turns[0], pictures)
            raise UserError(
                f"model '{self.name}' has no chat template, and its family's is for one turn with the picture first; give it the"
                " chat_template.jinja of the model that it comes from, or judge with another"
            )
        said: list[dict[str, Any]] = [{"role": "system", "content": [_words(system)]}] if system else []
        for number, turn in enumerate(turns):
            content = [_words(self._without_placeholder(turn))]
            shown = [] if number else [{"type": "image"} for _ in range(pictures)]
            content = [*content, *shown] if pictures_last else [*shown, *content]
            said.append({"role": "assistant" if number % 2 else "user", "content": content})
        return self._templated(said, enable_thinking=False)

    def _templated(self, said: Sequence[Mapping[str, Any]], **settings: bool) -> str:
        given = {"chat_template": self.template, "tokenize": False, "add_generation_prompt": True, **settings}
        return str(self.processor.apply_chat_template(list(said), **given))

    def row(self, images: Sequence[Image.Image], question: str, text: str | None = None) -> dict[str, torch.Tensor]:
        """The tensors of one question, each with a leading 1, or for pictures with as many rows as they take; `text` is its whole
        prompt, where that is another than `self.text`."""
        self._check_count(len(images), question)
        text = self.text(question, len(images)) if text is None else text
        bos = self.tokenizer.bos_token
        own = dict(self.family.call) if self.template is None else {}
        if bos is not None and text.startswith(bos):  # it would begin twice
            own["add_special_tokens"] = False
        shown = {"images": [image.convert("RGB") for image in images]} if images else {}
        made = self.processor(text=text, return_tensors="pt", **shown, **own)
        return {name: value for name, value in made.items() if isinstance(value, torch.Tensor)}

    def answer_ids(self, answer: str, question: str, pictures: int, *, alone: bool) -> list[int]:
        """Ids of an answer after its prompt, without the end token: what the tokenizer adds when both are read together, so
        that the first word has the form that it has after the prompt. `alone` for a decoder that has not read the prompt."""
        words = self._without_placeholder(answer)
        if alone:
            return self._ids(words)
        prompt = self.text(question, pictures)
        head = self._ids(prompt)
        gap = "" if prompt[-1:].isspace() or (head and head[-1] in self.tokenizer.all_special_ids) else " "
        whole = self._ids(prompt + gap + words)
        return whole[len(head) :] if whole[: len(head)] == head else self._ids(gap + words)

    def _without_placeholder(self, text: str) -> str:
        words = text.strip()
        if self.placeholder is not None and self.placeholder in words:
            raise UserError(f"'{words[:SHOWN]}' holds {self.placeholder}, the sign of a picture for model '{self.name}'")
        return words

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False)
        return ids

    def _check_count(self, pictures: int, question: str) -> None:
        fewest, most = self.family.pictures
        if pictures < fewest or (most is not None and pictures > most):
            raise UserError(f"model '{self.name}' reads one picture a question, but '{question[:SHOWN]}' has {pictures}")


def _words(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}
