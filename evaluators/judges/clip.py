"""CLIP as a judge: T2I-CompBench's picture-text similarity (ViT-B/32) and GenEval's colour classifier (ViT-L/14).

Both are OpenAI's weights, with its quick GELU.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

import numpy as np
import torch
from PIL import Image

from suder_bench.errors import JudgeError, UserError
from suder_bench.evaluators.judges.protocols import Picture
from suder_bench.evaluators.judges.weights import OPENAI_MEAN, OPENAI_STD, Place, chunks, digest, load_pretrained, pixels

if TYPE_CHECKING:
    from transformers import CLIPModel, PreTrainedTokenizerBase

TEMPLATES = ("a photo of a {color} {noun}", "a photo of a {color}-colored {noun}", "a photo of a {color} object")
BATCH = 64


class Clip:
    """A CLIP with its two towers as unit vectors."""

    exact = True

    def __init__(self, model: CLIPModel, tokenizer: PreTrainedTokenizerBase, place: Place) -> None:
        self.fingerprint = digest(model)
        self._model, self._tokenizer, self._place = place.put(model), tokenizer, place

    @classmethod
    def load_as(cls, role: str, reference: str, *, device: str, dtype: str, offline: bool) -> Self:
        """Read a folder or hub id in transformers' format. Raises `JudgeError` where the weights cannot be had."""
        from transformers import CLIPModel, CLIPTokenizer

        place = Place.choose(device, dtype, half_on_cuda=True)
        model = load_pretrained(role, CLIPModel, reference, offline=offline)
        tokenizer = load_pretrained(role, CLIPTokenizer, reference, offline=offline)
        if len(tokenizer) != model.config.text_config.vocab_size:
            raise JudgeError(f"judge {role}: {reference} lacks its vocabulary (vocab.json, merges.txt or tokenizer.json)")
        return cls(model, tokenizer, place)

    @torch.inference_mode()
    def see(self, pictures: Sequence[Picture]) -> torch.Tensor:
        """(pictures, dimension), float32, on the CPU."""
        side = self._model.config.vision_config.image_size
        found = []
        for chunk in chunks(pictures, BATCH):
            squares = [pixels(centre_square(picture, side), OPENAI_MEAN, OPENAI_STD) for picture in chunk]
            values = torch.stack(squares).to(self._place.device)
            with self._place.precision():
                found.append(self._model.visual_projection(self._model.vision_model(values).pooler_output))
        return _unit(torch.cat(found))

    @torch.inference_mode()
    def read(self, texts: Sequence[str]) -> torch.Tensor:
        """(texts, dimension), float32, on the CPU. Raises `UserError` for a text longer than CLIP can read."""
        limit = self._model.config.text_config.max_position_embeddings
        found = []
        for chunk in chunks(texts, BATCH):
            tokens = self._tokenizer(list(chunk), padding=True, return_tensors="pt").to(self._place.device)
            if tokens["input_ids"].shape[1] > limit:
                longest = max(chunk, key=len)
                raise UserError(f"CLIP reads at most {limit} tokens; this text is longer: '{longest}'")
            with self._place.precision():
                read = self._model.text_model(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"])
                found.append(self._model.text_projection(read.pooler_output))
        return _unit(torch.cat(found))


class ClipSimilarity(Clip):
    """Implements `ImageTextScorer`: the raw cosine, no factor, no prefix."""

    backend = "clip-vit-b-32"

    def similarity(self, pictures: Sequence[Picture], texts: Sequence[str]) -> list[float]:
        return (self.see(pictures) * self.read(texts)).sum(dim=-1).tolist() if pictures else []

    def check(self) -> None:
        """A plain picture is nearer to the name of its colour than to another's. Raises `JudgeError`."""
        for color, other in (("red", "blue"), ("blue", "red")):
            near, far = self.similarity([Image.new("RGB", (224, 224), color)] * 2, [f"the color {color}", f"the color {other}"])
            if not near > far:
                raise JudgeError(
                    f"a {color} picture is nearer to '{other}' ({far:.3f}) than to '{color}' ({near:.3f}); wrong weights?"
                )


class ClipColors(Clip):
    """Implements `ColorClassifier`: 100 times the cosine with the mean of three templates per colour."""

    backend = "clip-vit-l-14"

    def classify(self, crops: Sequence[Picture], nouns: Sequence[str], colors: Sequence[str]) -> np.ndarray:
        if not crops:
            return np.zeros((0, len(colors)))
        templates = {noun: self._templates(noun, colors) for noun in dict.fromkeys(nouns)}
        seen = self.see(crops)
        return np.stack([(100 * templates[noun] @ crop).numpy() for noun, crop in zip(nouns, seen, strict=True)])

    def check(self) -> None:
        """Plain crops of strong colours get their names. Raises `JudgeError`."""
        colors = ("red", "yellow", "green", "blue")
        crops = [Image.new("RGB", (224, 224), color) for color in colors]
        named = [colors[best] for best in self.classify(crops, ["object"] * len(colors), colors).argmax(axis=1)]
        if named != list(colors):
            raise JudgeError(f"crops that are {', '.join(colors)} were called {', '.join(named)}; wrong weights?")

    def _templates(self, noun: str, colors: Sequence[str]) -> torch.Tensor:
        texts = [template.format(color=color, noun=noun) for color in colors for template in TEMPLATES]
        return _unit(self.read(texts).view(len(colors), len(TEMPLATES), -1).mean(dim=1))


def centre_square(picture: Picture, side: int) -> Picture:
    """The short side resized to `side` (bicubic), and the middle of the long one."""
    short, (width, height) = min(picture.size), picture.size
    wide, high = (side, int(side * height / short)) if width <= height else (int(side * width / short), side)
    left, top = round((wide - side) / 2), round((high - side) / 2)
    return picture.resize((wide, high), Image.Resampling.BICUBIC).crop((left, top, left + side, top + side))


def _unit(vectors: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.normalize(vectors.float().cpu(), dim=-1)
