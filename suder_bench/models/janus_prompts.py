"""Janus-Pro's chat strings, in one place: adapter, pretraining and reports all read them here. No torch.

Turns are "role: text" joined by a blank line, with an empty system prompt, as in the authors' generation script and
benchmark adapter. What the model writes follows "<|Assistant|>:", so an answer in a training text, or one that is
scored, starts with `ANSWER_PREFIX`; ids of prompt and answer are made apart and joined, never merged over the seam.
"""

from __future__ import annotations

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
    """What the model sees before an answer. `image_block` is `image_block(...)`, or "" for a question without picture."""
    content = f"{image_block}\n{question.strip()}" if image_block else question.strip()
    return f"{USER}: {content}\n\n{ASSISTANT}:"


def image_block(boi: str, placeholder: str, eoi: str, *, image_tokens: int, images: int = 1) -> str:
    """Begin-of-image, one placeholder per image token, end-of-image; several pictures are joined by a newline."""
    return "\n".join([f"{boi}{placeholder * image_tokens}{eoi}"] * images)
