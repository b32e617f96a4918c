"""Emu3's one vocabulary: which ids are visual, which frame a picture, and how pictures and conversations become ids.

A picture of h x w codes is begin-of-image, "h*w", image-wrapper, h rows of w visual ids that an end-of-line id closes,
end-of-frame and end-of-image. A prompt that ends with the wrapper is followed by a picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from suder_bench.errors import UserError

SPECIAL = ("image_token", "boi_token", "eoi_token", "image_wrapper_token", "eof_token")
END_OF_LINE = "<|extra_200|>"
VISUAL = "<|visual token "
SYSTEM = "You are a helpful assistant."
"""The system turn of the documented conversation."""

CAPTION_REQUEST = "Please describe the image."
"""The one fixed request for captions: texts are scored as answers to it."""


class Vocabulary:
    """`visual` (codes,) are the ids of the image tokenizer's codes, in their order; `end_of_line` closes a row of them."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, vocabulary_map: dict[str, int], codes: int, name: str):
        """Raises `UserError` where the tokenizer and config.json's vocabulary_map, or this and the image tokenizer, disagree."""
        self.tokenizer: Any = tokenizer
        self.name = name
        _check(tokenizer, vocabulary_map, codes, name)
        named = tokenizer.special_tokens_map
        self.placeholder, self._boi, self._eoi, self._wrapper, self._eof = (str(named[token]) for token in SPECIAL)
        self.placeholder_id = int(vocabulary_map[self.placeholder])
        self.end_of_line = int(vocabulary_map[END_OF_LINE])
        by_code = {int(token[-8:-2]): one for token, one in vocabulary_map.items() if token.startswith(VISUAL)}
        self.visual = torch.tensor([by_code[code] for code in range(codes)], dtype=torch.long)

    def generation_ids(self, prompt: str, height: int, width: int) -> list[int]:
        """What a picture of `height` x `width` codes follows."""
        return self._ids(f"{self._plain(prompt)}{self._boi}{height}*{width}{self._wrapper}")

    def picture_ids(self, codes: torch.Tensor) -> list[int]:
        """Codes (height, width) as ids, every row closed by end-of-line."""
        rows = self.visual[codes.cpu()]
        return torch.cat([rows, rows.new_full((len(rows), 1), self.end_of_line)], dim=1).flatten().tolist()

    def question_ids(self, question: str, pictures: Sequence[torch.Tensor], template: str) -> list[int]:
        """What an answer follows: the system turn, the pictures' codes (each (height, width)) and the question."""
        text = self._conversation(question, len(pictures), template, add_generation_prompt=True)
        before, *parts = text.split(self.placeholder)
        if len(parts) != len(pictures):
            raise UserError(
                f"the chat template of model '{self.name}' makes {len(parts)} places for {len(pictures)} pictures; "
                "use the one it was trained with"
            )
        for codes, part in zip(pictures, parts, strict=True):
            height, width = codes.shape
            places = self.placeholder * (height * (width + 1))
            before += f"{self._boi}{height}*{width}{self._wrapper}{places}{self._eof}{self._eoi}{part}"
        visual = iter([one for codes in pictures for one in self.picture_ids(codes)])
        return [next(visual) if one == self.placeholder_id else one for one in self._ids(before)]

    def answer_ids(self, answer: str, template: str) -> list[int]:
        """Ids of an answer as the template writes it behind the question, without the end token."""
        text = self.answer_prefix(template) + self._plain(answer)
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False)
        return ids

    def answer_prefix(self, template: str) -> str:
        """What stands between "ASSISTANT:" and an answer in the template's own finished turns, a space in the published one."""
        mark = "\N{OBJECT REPLACEMENT CHARACTER}"
        asked = self._conversation("?", 0, template, add_generation_prompt=True)
        whole = self._conversation("?", 0, template, answer=mark)
        return whole[len(asked) :].partition(mark)[0] if whole.startswith(asked) and mark in whole else " "

    def _conversation(self, question: str, pictures: int, template: str, *, answer: str | None = None, **asked: bool) -> str:
        content: list[dict[str, str]] = [{"type": "image"}] * pictures + [{"type": "text", "text": self._plain(question)}]
        turns: list[dict[str, Any]] = [
            {"role": "system", "content": [{"type": "text", "text": SYSTEM}]},
            {"role": "user", "content": content},
        ]
        if answer is not None:
            turns.append({"role": "assistant", "content": [{"type": "text", "text": answer}]})
        text: str = self.tokenizer.apply_chat_template(turns, chat_template=template, tokenize=False, **asked)
        return text

    def _plain(self, text: str) -> str:
        """Without what would be read as the place of a picture."""
        return text.replace(self.placeholder, "").strip()

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False)
        return [int(self.tokenizer.bos_token_id), *ids]


def _check(tokenizer: PreTrainedTokenizerBase, vocabulary_map: dict[str, int], codes: int, name: str) -> None:
    lacking = [token for token in ("bos_token", "eos_token", *SPECIAL) if tokenizer.special_tokens_map.get(token) is None]
    if lacking:
        raise UserError(f"the tokenizer of model '{name}' names no {', '.join(lacking)}; add them to its tokenizer_config.json")
    cure = "use the tokenizer and the config.json that it was trained with"
    framing = (END_OF_LINE, str(tokenizer.special_tokens_map["image_token"]))
    wanted = chain(framing, (f"{VISUAL}{code:06d}|>" for code in range(codes)))
    vocabulary = tokenizer.get_vocab()
    for token in wanted:
        ours, theirs = vocabulary_map.get(token), vocabulary.get(token)
        if ours is None or ours != theirs:
            raise UserError(f"model '{name}' has id {ours} for {token} in its config.json, its tokenizer {theirs}; {cure}")
    visual = sum(token.startswith(VISUAL) for token in vocabulary_map)
    if visual != codes:
        raise UserError(f"model '{name}' has {visual:,} visual tokens, its image tokenizer {codes:,} codes; {cure}")
