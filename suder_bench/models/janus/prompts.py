"""Janus-Pro's chat strings and their ids, in one place: adapter, pretraining and trainer all read them here. No torch.

Turns are "role: text" joined by a blank line, with an empty system prompt, as in the authors' generation script and
benchmark adapter. What the model writes follows "<|Assistant|>:", so an answer, in a training text or when it is
scored, starts with `ANSWER_PREFIX`. Ids of prompt and answer are made apart and joined: no token spans the seam.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

USER = "<|User|>"
ASSISTANT = "<|Assistant|>"
ANSWER_PREFIX = " "
CAPTION_REQUEST = "Describe the image."
"""The one fixed request for captions: for sampling them, and for scoring a prompt against a picture (R_G)."""

TEMPLATE = f"{USER}: {{text}}\\n\\n{ASSISTANT}:"
"""The template as run.json records it."""


def generation_text(prompt: str, boi: str) -> str:
    """What the model sees before the first image token; `boi` is the tokenizer's begin-of-image token."""
    return f"{USER}: {prompt.strip()}\n\n{ASSISTANT}:{boi}"


def question_text(question: str, image_block: str) -> str:
    """What the model sees before an answer. `image_block` comes from the function of that name, or is "" without picture."""
    content = f"{image_block}\n{question.strip()}" if image_block else question.strip()
    return f"{USER}: {content}\n\n{ASSISTANT}:"


def image_block(boi: str, placeholder: str, eoi: str, *, image_tokens: int, images: int = 1) -> str:
    """Begin-of-image, one placeholder per image token, end-of-image; several pictures are joined by a newline."""
    return "\n".join([f"{boi}{placeholder * image_tokens}{eoi}"] * images)


def prompt_ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Ids of a prompt from `generation_text` or `question_text`, starting with bos where the tokenizer has one."""
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False)
    return ids if tokenizer.bos_token_id is None else [tokenizer.bos_token_id, *ids]


def answer_ids(tokenizer: PreTrainedTokenizerBase, answer: str) -> list[int]:
    """Ids of what the model writes after a prompt, with the leading space and without the end token."""
    ids: list[int] = tokenizer.encode(ANSWER_PREFIX + answer.strip(), add_special_tokens=False)
    return ids
