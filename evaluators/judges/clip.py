"""CLIP as a judge: T2I-CompBench's picture-text similarity (ViT-B/32) and GenEval's colour classifier (ViT-L/14).

Both are OpenAI's weights, with its quick GELU. The towers come through transformers (here) or open-clip-torch
(`open_clip_towers`); on the same weights both give the same vectors. On CUDA the towers run in float16 under autocast, as
GenEval's script does; T2I-CompBench's, which also stores the weights in float16, differs from that by rounding. The product of
the vectors is float32 here and float16 in GenEval's script, where near ties become ties and go to the earlier colour.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np
import torch
from PIL import Image

from suder_bench.benchmark import Match
from suder_bench.errors import JudgeError, UserError
from suder_bench.evaluators.judges import known_answers
from suder_bench.evaluators.judges import manifest as manifests
from suder_bench.evaluators.judges.manifest import Manifest
from suder_bench.evaluators.judges.protocols import Picture
from suder_bench.evaluators.judges.weights import (
    OPENAI_MEAN,
    OPENAI_STD,
    Place,
    chunks,
    load_pretrained,
    pixels,
    prepared,
    weights_file,
)
from suder_bench.world import checkpoints

if TYPE_CHECKING:
    from transformers import CLIPModel, PreTrainedTokenizerBase

TEMPLATES = ("a photo of a {color} {noun}", "a photo of a {color}-colored {noun}", "a photo of a {color} object")
BATCH = 64


@dataclass(frozen=True)
class Shape:
    """What a CLIP's configuration says of its network: the sides of patches and pictures in pixels, the picture tower's width,
    depth and attention heads, the text tower's heads, the length of its vectors, and whether it has OpenAI's quick GELU."""

    patch: int
    side: int
    width: int
    depth: int
    heads: int
    text_heads: int
    dimension: int
    quick: bool


VIT_L_14 = Shape(patch=14, side=224, width=1024, depth=24, heads=16, text_heads=12, dimension=768, quick=True)
VIT_B_32 = Shape(patch=32, side=224, width=768, depth=12, heads=12, text_heads=8, dimension=512, quick=True)


class Towers(Protocol):
    """A CLIP with its two towers, whichever package runs them. `match` is what the file of its weights is."""

    library: str
    shape: Shape
    match: Match
    fingerprint: str

    def see(self, pictures: Sequence[Picture]) -> torch.Tensor:
        """Unit vectors (pictures, dimension), float32, on the CPU."""
        ...

    def read(self, texts: Sequence[str], *, cut: bool = False) -> torch.Tensor:
        """Unit vectors (texts, dimension), float32, on the CPU. A text longer than CLIP can read is cut, or else raises
        `UserError`."""
        ...

    def refuse_long(self, texts: Sequence[str]) -> None:
        """Raises `UserError` naming a text that is longer than CLIP can read."""
        ...


class TransformersTowers:
    """Implements `Towers` through transformers."""

    library = "transformers"

    def __init__(self, model: CLIPModel, tokenizer: PreTrainedTokenizerBase, place: Place, match: Match = "another file") -> None:
        self.match = match
        config: Any = model.config
        vision = config.vision_config
        quick = {vision.hidden_act, config.text_config.hidden_act} == {"quick_gelu"}
        sizes = (vision.patch_size, vision.image_size, vision.hidden_size, vision.num_hidden_layers, vision.num_attention_heads)
        self.shape = Shape(*sizes, config.text_config.num_attention_heads, config.projection_dim, quick)
        self._limit: int = config.text_config.max_position_embeddings
        self.fingerprint = place.fingerprint(model, tokenizer)
        self._model, self._tokenizer, self._place = place.put(model), tokenizer, place

    @classmethod
    def load(cls, role: str, reference: str, *, device: str, dtype: str, offline: bool, manifest: Manifest | None = None) -> Self:
        """Read a folder or hub id in transformers' format. Raises `JudgeError` where the weights cannot be had."""
        from transformers import CLIPModel, CLIPTokenizer

        place = Place.choose(device, dtype, half_on_cuda=True)
        model = load_pretrained(role, CLIPModel, reference, offline=offline)
        tokenizer = load_pretrained(role, CLIPTokenizer, reference, offline=offline)
        if len(tokenizer) != model.config.text_config.vocab_size:
            raise JudgeError(f"judge {role}: {reference} lacks its vocabulary (vocab.json, merges.txt or tokenizer.json)")
        return cls(model, tokenizer, place, manifests.match(role, weights_file(reference), manifest))

    @torch.inference_mode()
    def see(self, pictures: Sequence[Picture]) -> torch.Tensor:
        found = []
        for _, squares in prepared(pictures, self._prepare, BATCH):
            with self._place.precision():
                states = self._model.vision_model(squares.to(self._place.device)).pooler_output
                found.append(self._model.visual_projection(states))
        return unit(torch.cat(found))

    def _prepare(self, picture: Picture) -> torch.Tensor:
        return pixels(centre_square(picture, self.shape.side), OPENAI_MEAN, OPENAI_STD)

    def refuse_long(self, texts: Sequence[str]) -> None:
        for text in texts:
            if len(self._tokenizer(text)["input_ids"]) > self._limit:
                raise too_long(text, self._limit)

    @torch.inference_mode()
    def read(self, texts: Sequence[str], *, cut: bool = False) -> torch.Tensor:
        found = []
        for chunk in chunks(texts, BATCH):
            tokens = self._tokenizer(
                list(chunk), padding=True, truncation=cut, max_length=self._limit if cut else None, return_tensors="pt"
            ).to(self._place.device)
            if tokens["input_ids"].shape[1] > self._limit:
                self.refuse_long(chunk)
            with self._place.precision():
                read = self._model.text_model(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"])
                found.append(self._model.text_projection(read.pooler_output))
        return unit(torch.cat(found))


class ClipSimilarity:
    """Implements `ImageTextScorer`: the raw cosine, no factor, no prefix. `exact` is true for OpenAI's file of ViT-B/32."""

    def __init__(self, towers: Towers, shape: Shape = VIT_B_32) -> None:
        self.match = _match(towers, shape)
        self.exact = self.match == "exact"
        self.backend = backend_name("another-clip" if self.match == "another file" else "clip-vit-b-32", towers)
        self.fingerprint = towers.fingerprint
        self._towers = towers

    def similarity(self, pictures: Sequence[Picture], texts: Sequence[str]) -> list[float]:
        return (self._towers.see(pictures) * self._towers.read(texts)).sum(dim=-1).tolist() if pictures else []

    def similarity_to_beginnings(self, pictures: Sequence[Picture], texts: Sequence[str]) -> list[float]:
        """The same, with as much of each text as CLIP can read: for what a model wrote, which may be of any length."""
        return (self._towers.see(pictures) * self._towers.read(texts, cut=True)).sum(dim=-1).tolist() if pictures else []

    def refuse_long(self, texts: Sequence[str]) -> None:
        """Raises `UserError` naming a text that is longer than CLIP can read."""
        self._towers.refuse_long(texts)

    def check(self) -> None:
        """A plain picture is nearer to the name of its colour than to another's. Raises `JudgeError`."""
        for color, other in (("red", "blue"), ("blue", "red")):
            near, far = self.similarity([Image.new("RGB", (224, 224), color)] * 2, [f"the color {color}", f"the color {other}"])
            if not near > far:
                raise JudgeError(
                    f"a {color} picture is nearer to '{other}' ({far:.3f}) than to '{color}' ({near:.3f}); wrong weights?"
                )


class TinyClip(ClipSimilarity):
    """tiny-clip, trained on the world's pictures and shipped: the same cosine by a network that must look, unlike the world's
    own judges. Its known answers are the world's, but for a thing that covers another."""

    def __init__(self, towers: Towers) -> None:
        super().__init__(towers)
        self.backend = "tiny-clip"

    @classmethod
    def load(cls, *, device: str = "cpu", dtype: str = "auto", offline: bool = False) -> Self:
        """Raises `JudgeError` in a source tree without the weights."""
        return cls(TransformersTowers.load("clip", str(checkpoints.path("tiny-clip")), device=device, dtype=dtype, offline=True))

    def check(self) -> None:
        known_answers.check_clip(self, covered=False)


class ClipColors:
    """Implements `ColorClassifier`: 100 times the cosine with the mean of three templates per colour.

    `exact` is true for OpenAI's file of ViT-L/14.
    """

    def __init__(self, towers: Towers, shape: Shape = VIT_L_14) -> None:
        self.match = _match(towers, shape)
        self.exact = self.match == "exact"
        self.backend = backend_name("another-clip" if self.match == "another file" else "clip-vit-l-14", towers)
        self.fingerprint = towers.fingerprint
        self._towers = towers
        self._known: dict[tuple[str, tuple[str, ...]], torch.Tensor] = {}

    def classify(self, crops: Sequence[Picture], nouns: Sequence[str], colors: Sequence[str]) -> np.ndarray:
        if not crops:
            return np.zeros((0, len(colors)))
        templates = [self._templates(noun, tuple(colors)) for noun in nouns]
        return np.stack([(100 * own @ crop).numpy() for own, crop in zip(templates, self._towers.see(crops), strict=True)])

    def check(self) -> None:
        """Plain crops of strong colours get their names. Raises `JudgeError`."""
        colors = ("red", "yellow", "green", "blue")
        crops = [Image.new("RGB", (224, 224), color) for color in colors]
        named = [colors[best] for best in self.classify(crops, ["object"] * len(colors), colors).argmax(axis=1)]
        if named != list(colors):
            raise JudgeError(f"crops that are {', '.join(colors)} were called {', '.join(named)}; wrong weights?")

    def _templates(self, noun: str, colors: tuple[str, ...]) -> torch.Tensor:
        """(colors, dimension), read once a noun: there are 80 of them, and thousands of crops."""
        if (noun, colors) not in self._known:
            texts = [template.format(color=color, noun=noun) for color in colors for template in TEMPLATES]
            read = self._towers.read(texts).view(len(colors), len(TEMPLATES), -1)
            self._known[noun, colors] = unit(read.mean(dim=1))
        return self._known[noun, colors]


def _match(towers: Towers, shape: Shape) -> Match:
    """What the file is, unless a configuration beside it makes another network of it."""
    return towers.match if towers.shape == shape else "another file"


def backend_name(clip: str, towers: Towers) -> str:
    return clip if towers.library == "transformers" else f"{clip}-through-{towers.library}"


def centre_square(picture: Picture, side: int) -> Picture:
    """The short side resized to `side` (bicubic), and the middle of the long one."""
    short, (width, height) = min(picture.size), picture.size
    wide, high = (side, int(side * height / short)) if width <= height else (int(side * width / short), side)
    left, top = round((wide - side) / 2), round((high - side) / 2)
    return picture.resize((wide, high), Image.Resampling.BICUBIC).crop((left, top, left + side, top + side))


def too_long(text: str, limit: int) -> UserError:
    return UserError(f"CLIP reads at most {limit} tokens; this text is longer: '{text}'")


def unit(vectors: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.normalize(vectors.float().cpu(), dim=-1)
