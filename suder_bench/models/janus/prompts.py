"""Janus' chat strings and their ids, in one place: adapter, pretraining and trainer all read them here. No torch.

Turns are "role: text" joined by a blank line, with an empty system prompt, as in the authors' generation script and
benchmark adapter. What the model writes follows the colon, so an answer, in a training text or when it is
scored, starts with `ANSWER_PREFIX`. Ids of prompt and answer are made apart and joined: no token spans the seam.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Roles:
    """How the two who speak are called."""

    user: str
    assistant: str

    @property
    def template(self) -> str:
        """As run.json records it."""
        return f"{self.user}: {{text}}\\n\\n{self.assistant}:"

    @property
    def tokens(self) -> tuple[str, ...]:
        """Those that are tokens of the vocabulary, and never said by the model."""
        return (self.user, self.assistant) if self == PRO else ()


PRO = Roles("<|User|>", "<|Assistant|>")
FIRST = Roles("User", "Assistant")
"""Of Janus-1.3B, whose vocabulary has no tokens for them."""

ANSWER_PREFIX = " "


def roles_of(tokenizer: PreTrainedTokenizerBase) -> Roles:
    """Those of Janus-Pro where they are tokens of the vocabulary, else those of Janus-1.3B."""
    return PRO if PRO.user in tokenizer.get_vocab() else FIRST


def generation_text(prompt: str, boi: str, roles: Roles = PRO) -> str:
    """What the model sees before the first image token; `boi` is the tokenizer's begin-of-image token."""
    return f"{roles.user}: {prompt.strip()}\n\n{roles.assistant}:{boi}"


def question_text(question: str, image_block: str, roles: Roles = PRO) -> str:
    """What the model sees before an answer. `image_block` comes from the function of that name, or is "" without picture."""
    content = f"{image_block}\n{question.strip()}" if image_block else question.strip()
    return f"{roles.user}: {content}\n\n{roles.assistant}:"


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
