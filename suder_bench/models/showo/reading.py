"""What prompts, questions and pictures are to the language model of a Show-o: ids, and embeddings with what may look at what."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from PIL import Image
from transformers import PhiForCausalLM, PreTrainedTokenizerBase

from suder_bench.errors import UserError
from suder_bench.models.answering import texts
from suder_bench.models.pictures import picture
from suder_bench.models.showo import files, layout, pixels
from suder_bench.models.showo.likelihood import Pictured
from suder_bench.models.showo.magvit import Magvit
from suder_bench.models.showo.sizes import ShowoSizes
from suder_bench.models.showo.vision import Eyes

SHOWN = 60
"""Characters of a text that an error line quotes."""


class ShowoReader:
    """Reads for the adapter, which draws, answers and scores."""

    def __init__(
        self,
        network: PhiForCausalLM,
        magvit: Magvit,
        tokenizer: PreTrainedTokenizerBase,
        sizes: ShowoSizes,
        *,
        eyes: Eyes | None,
        name: str,
    ):
        """Raises `UserError` for a tokenizer that does not fit the sizes."""
        files.check_tokenizer(tokenizer, sizes, name)
        self.network, self.magvit, self.tokenizer, self.size, self.eyes = network, magvit, tokenizer, sizes, eyes
        self.name = name
        self.end_token = int(tokenizer.eos_token_id)
        self.ids = layout.Ids.of(sizes, self.end_token)
        self.positions = int(network.config.max_position_embeddings)
        self.reads_codes = eyes is None
        self._system = self._encode(layout.SYSTEM) if eyes is not None else []

    def text_of(self, ids: Sequence[int]) -> str:
        """The text of ids such as `write` returns, without special tokens, codes and outer blanks."""
        return texts(self.tokenizer, [[one for one in ids if one < self.size.text_vocabulary]])[0]

    def tokenize_images(self, images: Sequence[Image.Image]) -> torch.Tensor:
        """Codes (pictures, image tokens), on the CPU, of the middle of each picture at the size that is drawn."""
        if not images:
            return torch.empty(0, self.size.image_tokens, dtype=torch.long)
        return self.magvit.encode(pixels.pixels(images, self.size.side)).cpu()

    @property
    def _nothing(self) -> Pictured:
        return Pictured(self.network.model.embed_tokens.weight.new_empty(0, self.network.config.hidden_size))

    @property
    def _picture_tokens(self) -> int:
        """Of a picture and what frames it, before a question."""
        return self.size.image_tokens + 3 if self.eyes is None else len(self._system) + self.eyes.patches + 3

    @property
    def _prompt_tokens(self) -> int:
        """Of the longest prompt that is read to its end."""
        return self.size.text_length - 2

    def _encode(self, text: str) -> list[int]:
        """Ids of a text; what would be special tokens is left out."""
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False)  # type: ignore[assignment]
        return [one for one in ids if one < self.size.text_vocabulary]

    def _embed(self, ids: Sequence[int]) -> torch.Tensor:
        embedded: torch.Tensor = self.network.model.embed_tokens(torch.tensor(ids, dtype=torch.long, device=self.network.device))
        return embedded

    def _prompt_ids(self, prompt: str) -> list[int]:
        return layout.prompt_ids(self._encode(prompt.strip()), self.ids, self.size.text_length)

    def _too_long(self, prompt: str) -> bool:
        return len(self._encode(prompt.strip())) > self._prompt_tokens

    def _question_ids(self, question: str, *, pictured: bool) -> list[int]:
        """What stands between a picture, or nothing, and the answer."""
        text = self._encode(layout.question_text(question, clip=self.eyes is not None))
        before = [self.end_token] if self.eyes is None else [] if pictured else [self.ids.mmu, *self._system]
        ids = [*before, *text]
        self._check_room(len(ids) + pictured * self._picture_tokens, "a question and its picture", question)
        return ids

    def _answer_ids(self, answer: str) -> list[int]:
        return self._encode(f" {answer.strip()}")

    def _check_answers(
        self, before: Sequence[Pictured], prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[int]]
    ) -> None:
        for shown, prompt, answer in zip(before, prompts, answers, strict=True):
            needed = len(shown.embedded) + len(prompt) + len(answer) - 1
            self._check_room(needed, "a picture, a question and its answer", self.text_of(answer))

    def _check_room(self, tokens: int, what: str, text: str) -> None:
        """Raises `UserError` where a sequence is longer than what the model was made for: it would answer, but nonsense."""
        if tokens > self.positions:
            raise UserError(f"{what} need {tokens:,} positions, but the model has {self.positions:,}; shorten {quoted(text)}")

    def _groups(self, images: Sequence[Sequence[Image.Image]]) -> list[tuple[list[int], list[int], list[Pictured] | None]]:
        """Questions with a picture and those without: their places, which of the distinct pictures each is about, and what is
        read of these; None without pictures. Raises `UserError` for more than one picture a question."""
        if any(len(several) > 1 for several in images):
            raise UserError(f"model '{self.name}' answers about one picture at a time, or none; give one a question")
        found: list[tuple[list[int], list[int], list[Pictured] | None]] = []
        with_one = [i for i, several in enumerate(images) if several]
        if with_one:
            shown, which = self._pictured([images[i][0] for i in with_one])
            found.append((with_one, which, shown))
        without = [i for i, several in enumerate(images) if not several]
        if without:
            found.append((without, [0] * len(without), None))
        return found

    def _pictured(self, images: Sequence[Image.Image] | torch.Tensor) -> tuple[list[Pictured], list[int]]:
        """What is read of each distinct picture, and which of them each is."""
        if isinstance(images, torch.Tensor):
            return self._read(images), list(range(len(images)))
        first: dict[tuple[str, tuple[int, int], bytes], int] = {}
        which = [first.setdefault((one.mode, one.size, one.tobytes()), len(first)) for one in images]
        different = [images[which.index(place)] for place in range(len(first))]
        if self.eyes is not None:
            return self._seen(different), which
        return self._read(self.tokenize_images(different)), which

    def _read(self, images: torch.Tensor) -> list[Pictured]:
        """Of codes (pictures, image tokens), or of pixels (pictures, 3, side, side)."""
        side = self.size.side
        if images.is_floating_point() and images.shape[1:] == (3, side, side):
            if self.eyes is not None:
                return self._seen([picture(one) for one in images])
            images = self.magvit.encode(images)
        if images.is_floating_point() or images.shape[1:] != (self.size.image_tokens,) or self.eyes is not None:
            codes = f"(pictures, {self.size.image_tokens}) of codes, nor " if self.eyes is None else ""
            raise ValueError(f"a tensor of shape {tuple(images.shape)} is not {codes}(pictures, 3, {side}, {side}) of pixels")
        rows = [self._embed(layout.picture_ids(codes, self.ids)) for codes in images]
        mask = torch.ones(len(rows[0]), len(rows[0]), dtype=torch.bool, device=self.network.device)
        return [Pictured(row, mask) for row in rows]

    def _seen(self, pictures: Sequence[Image.Image]) -> list[Pictured]:
        """Of pictures, as CLIP sees them."""
        assert self.eyes is not None
        begin, end = self._embed([self.ids.mmu, *self._system, self.ids.soi]), self._embed([self.ids.eoi])
        rows = [torch.cat([begin, one.to(begin.dtype), end]) for one in self.eyes(pictures)]
        mask = layout.reading_mask(len(rows[0]), slice(len(begin), len(rows[0]) - 1), self.network.device)
        return [Pictured(row, mask) for row in rows]


def quoted(text: str) -> str:
    """A text as an error line quotes it."""
    return repr(text if len(text) <= SHOWN else f"{text[:SHOWN]}...")
