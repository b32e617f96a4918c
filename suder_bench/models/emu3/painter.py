"""Emu3 as a model that draws, and scores pictures: what one checkpoint can do that has no chat template.

Conventions are those of BAAI/Emu3 as transformers documents them; what `settings` holds goes into run.json.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from PIL import Image

from suder_bench.errors import UserError
from suder_bench.models import checkpoint
from suder_bench.models.emu3 import files, likelihood, pixels, reference, sampler
from suder_bench.models.protocols import GeneratedImage, ImageSampling
from suder_bench.models.sampling import check_numbers

SHOWN = 60
"""Characters of a text that an error line quotes."""


class Emu3Painter:
    """Draws square pictures of about `image_area` pixels, and scores them by their codes."""

    def __init__(
        self,
        painter: files.Part,
        *,
        name: str = "emu3",
        image_area: int = reference.IMAGE_AREA,
        negative_prompt: str = reference.NEGATIVE_PROMPT,
    ):
        """Guidance compares with `negative_prompt`. Raises `UserError` for an area without pixels, or of more than the model can
        draw."""
        self.painter = painter
        self.name = name
        self.parts = dict(painter.digests)
        factor = painter.processor.spatial_factor
        self.side = round(image_area**0.5 / factor)
        self.pixels = self.side * factor
        self._check_side(image_area)
        self.negative = painter.vocabulary.generation_ids(negative_prompt, self.side, self.side)
        check_room(painter, len(self.negative) + self._columns, "the negative prompt and a picture", negative_prompt)
        self.settings = {
            "adapter": "emu3",
            "generation checkpoint": painter.name,
            "dtype": str(painter.model.dtype).removeprefix("torch."),
            "image area": str(image_area),
            "image tokens": f"{self.side} x {self.side}",
            "generation prompt": "the prompt alone, nothing added",
            "negative prompt": negative_prompt,
            "guidance": "u + w (c - u); u is of the negative prompt",
            "image sampling": "whole softmax over the visual ids in float32, one uniform a token from the sample's seed",
            "image likelihood": "visual ids only, among the visual ids; end-of-line is given",
            "scored pictures": f"the middle, resized to {self.pixels} x {self.pixels} unless they are of that size",
            **painter.notes,
        }

    @property
    def fingerprint(self) -> str:
        return checkpoint.fingerprint(self.parts) if self.parts else "in memory"

    def generate(self, prompts: Sequence[str], *, seeds: Sequence[int], sampling: ImageSampling) -> list[GeneratedImage]:
        """One picture per prompt, with its codes; see `TextToImage`."""
        return [GeneratedImage(self.picture(row), row) for row in self.draw(prompts, seeds=seeds, sampling=sampling)]

    def draw(self, prompts: Sequence[str], *, seeds: Sequence[int], sampling: ImageSampling) -> torch.Tensor:
        """Codes (prompts, image tokens), on the CPU, without decoding them."""
        if len(prompts) != len(seeds):
            raise ValueError(f"{len(prompts)} prompts, but {len(seeds)} seeds")
        if not prompts:
            return torch.empty(0, self.side**2, dtype=torch.long)
        return sampler.draw_codes(
            self.painter.model,
            [self._generation_ids(prompt) for prompt in prompts],
            self.negative,
            height=self.side,
            width=self.side,
            visual=self.painter.vocabulary.visual,
            end_of_line=self.painter.vocabulary.end_of_line,
            seeds=seeds,
            sampling=sampling,
        )

    def picture(self, codes: torch.Tensor) -> Image.Image:
        """The picture of codes (image tokens,). Raises `NoNumbersError` when its pixels are not finite."""
        values = pixels.decode(self.painter.model.model.vqmodel, codes.view(self.side, self.side))
        check_numbers(values.isfinite().flatten()[None].all(dim=1), "the pixels of a picture")
        return pixels.picture(self.painter.processor, values)

    def image_logprobs(self, texts: Sequence[str], image_tokens: torch.Tensor) -> torch.Tensor:
        """log p(codes | text), (texts, image tokens), among the visual ids and without guidance; see `DualLikelihood`."""
        if image_tokens.shape != (len(texts), self.side**2):
            raise ValueError(f"codes of shape {tuple(image_tokens.shape)} for {len(texts)} texts, {self.side**2} a picture")
        if not texts:
            return torch.empty(image_tokens.shape)
        vocabulary = self.painter.vocabulary
        return likelihood.image_scores(
            self.painter.model,
            [self._generation_ids(text) for text in texts],
            [vocabulary.picture_ids(row.view(self.side, self.side)) for row in image_tokens],
            image_tokens,
            width=self.side,
            visual=vocabulary.visual,
        )

    def tokenize_images(self, images: Sequence[Image.Image]) -> torch.Tensor:
        """Codes (pictures, image tokens), on the CPU, of the middle of each picture at the size that is drawn."""
        vq, processor = self.painter.model.model.vqmodel, self.painter.processor
        squares = [pixels.fitted(one, self.pixels, self.pixels) for one in images]
        found = [pixels.encode(vq, processor, one, resize=False).flatten() for one in squares]
        return torch.stack(found) if found else torch.empty(0, self.side**2, dtype=torch.long)

    @property
    def _columns(self) -> int:
        """Positions of a picture behind the image wrapper, up to its last code, which nothing follows."""
        return self.side * (self.side + 1) - 2

    def _generation_ids(self, prompt: str) -> list[int]:
        ids = self.painter.vocabulary.generation_ids(prompt, self.side, self.side)
        check_room(self.painter, len(ids) + self._columns, "a prompt and its picture", prompt)
        return ids

    def _check_side(self, image_area: int) -> None:
        if self.side < 1:
            least = self.painter.processor.spatial_factor**2
            raise UserError(f"image_area {image_area} of model '{self.name}' is less than one image token; give {least} or more")
        if self._columns >= self.painter.positions:
            raise UserError(
                f"image_area {image_area} of model '{self.name}' makes {self.side} x {self.side} image tokens, "
                f"but the model has {self.painter.positions:,} positions; give a smaller one (--image-area)"
            )


def check_room(part: files.Part, tokens: int, what: str, text: str) -> None:
    """Raises `UserError` where a sequence is longer than what the model was made for: it would answer, but nonsense."""
    if tokens > part.positions:
        shown = text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
        raise UserError(
            f"{what} need {tokens:,} positions, but model '{part.name}' has {part.positions:,}; shorten the text {shown!r}, "
            "or draw smaller pictures (--image-area)"
        )
