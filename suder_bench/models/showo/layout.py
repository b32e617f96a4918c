"""How prompts, pictures and questions become ids, and who may look at whom. Pure functions of ids.

A picture to be drawn stands behind a prefix of fixed length: padding on the left, then the prompt. Ids that end a text and those
that begin one are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from suder_bench.models.showo.sizes import PAD, SPECIAL, ShowoSizes

SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions."
)
"""What stands before the picture that CLIP reads."""

QUESTION, CLIP_QUESTION = "USER: \n{} ASSISTANT:", "USER: {} ASSISTANT:"
"""The authors' own templates; without a picture too."""


@dataclass(frozen=True)
class Ids:
    """The ids that are no text. `end` ends a text, and begins one."""

    pad: int
    soi: int
    eoi: int
    t2i: int
    mmu: int
    end: int
    first_code: int
    mask: int

    @classmethod
    def of(cls, sizes: ShowoSizes, end: int) -> Ids:
        place = {token: sizes.text_vocabulary + i for i, token in enumerate((PAD, *SPECIAL))}
        named = {name: place[f"<|{name}|>"] for name in ("soi", "eoi", "t2i", "mmu")}
        return cls(pad=place[PAD], end=end, first_code=sizes.first_code, mask=sizes.mask, **named)


def prompt_ids(text: Sequence[int], ids: Ids, length: int) -> list[int]:
    """What stands before begin-of-image, without the padding: of a text's ids, and at most `length` + 1 of them."""
    begun = list(text) if text and text[0] == ids.end else [ids.end, *text]
    row = [ids.t2i, *begun, ids.end]
    return row if len(row) <= length + 1 else [*row[:length], ids.end]


def padded(prompt: Sequence[int], ids: Ids, length: int) -> list[int]:
    """The whole prefix, `length` + 1 ids."""
    return [ids.pad] * (length + 1 - len(prompt)) + list(prompt)


def drawing_ids(prompts: Sequence[Sequence[int]], codes: torch.Tensor, ids: Ids, length: int) -> torch.Tensor:
    """Sequences (prompts, length + 1 + image tokens + 2), int64, of prompts of `prompt_ids` and `codes` (prompts, image tokens),
    of which those below 0 are not drawn yet."""
    prefix = torch.tensor([padded(prompt, ids, length) for prompt in prompts], dtype=torch.long, device=codes.device)
    ends = [prefix.new_full((len(prefix), 1), one) for one in (ids.soi, ids.eoi)]
    return torch.cat([prefix, ends[0], code_ids(codes, ids), ends[1]], dim=1)


def code_ids(codes: torch.Tensor, ids: Ids) -> torch.Tensor:
    """Codes (...,) as ids; those below 0 are not drawn yet."""
    return torch.where(codes < 0, ids.mask, codes + ids.first_code)


def drawing_mask(sequences: torch.Tensor, ids: Ids, image_tokens: int) -> torch.Tensor:
    """What may look at what where a picture is drawn, (rows, 1, tokens, tokens), bool: texts at what is before them, everything
    from begin-of-image on at everything, and neither at padding; padding at the padding before it."""
    tokens = sequences.shape[1]
    place = torch.arange(tokens, device=sequences.device)
    drawn = place >= tokens - image_tokens - 2
    pads = sequences == ids.pad
    seen = (place <= place[:, None]) | drawn[:, None]
    return (seen & (~pads[:, None, :] | pads[:, :, None]))[:, None]


def question_text(question: str, *, clip: bool) -> str:
    """A question as it is put to the model, which answers behind the colon."""
    return (CLIP_QUESTION if clip else QUESTION).format(question.strip())


def picture_ids(codes: torch.Tensor, ids: Ids) -> list[int]:
    """What stands before a question about a picture of codes (image tokens,)."""
    return [ids.mmu, ids.soi, *code_ids(codes, ids).tolist(), ids.eoi]


def reading_mask(tokens: int, picture: slice, device: torch.device | None = None) -> torch.Tensor:
    """What may look at what where a picture is read, (tokens, tokens), bool: everything at what is before it, and at the
    `picture`: with its frame where it stands in codes, alone where CLIP reads it."""
    place = torch.arange(tokens, device=device)
    shown = (place >= picture.start) & (place < picture.stop)
    return (place <= place[:, None]) | shown
