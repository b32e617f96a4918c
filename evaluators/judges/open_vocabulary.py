"""OWLv2 through transformers, the back-end `open-vocabulary` of the roles detector-2d and detector-3d: looks for any noun.

It needs no detectron2 and finds things that UniDet has no class for. Its scores are not UniDet's, so that numbers made with it
compare only with each other; every one carries its name.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from PIL import Image, ImageDraw

from suder_bench.errors import JudgeError
from suder_bench.evaluators.judges.protocols import Box, Detection, Picture
from suder_bench.evaluators.judges.weights import OPENAI_MEAN, OPENAI_STD, Place, chunks, load_pretrained, pixels

if TYPE_CHECKING:
    from transformers import Owlv2ForObjectDetection, PreTrainedTokenizerBase

HUB = "google/owlv2-base-patch16-ensemble"
TEMPLATE = "a photo of a {name}"
GREY = (128, 128, 128)
LEAST_SCORE = 0.05
"""Detections below are left out; the benchmark's own threshold is 0.1."""

SAME, MOST = 0.5, 300
"""As UniDet: a box that overlaps a surer one of its name by more is dropped, and so is what comes after that many."""

BATCH = 8


def load(
    role: str, *, device: str = "auto", dtype: str = "auto", offline: bool = False, source: str | None = None
) -> OpenVocabulary:
    """The detector from `source`, a folder or hub id. Raises `JudgeError` where the weights cannot be had."""
    return OpenVocabulary.load(role, os.path.expanduser(source or HUB), device=device, dtype=dtype, offline=offline)


class OpenVocabulary:
    """Implements `PromptedDetector`. Never exact: the benchmark's detector is UniDet."""

    exact = False

    def __init__(self, name: str, model: Owlv2ForObjectDetection, tokenizer: PreTrainedTokenizerBase, place: Place) -> None:
        self.backend = f"open-vocabulary-{name}"
        self.fingerprint = place.fingerprint(model)
        config: Any = model.config
        self._side: int = config.vision_config.image_size
        self._length: int = config.text_config.max_position_embeddings
        self._model, self._tokenizer, self._place = place.put(model), tokenizer, place

    @classmethod
    def load(cls, role: str, reference: str, *, device: str, dtype: str, offline: bool) -> Self:
        """Read a folder or hub id in transformers' format. Raises `JudgeError` where the weights cannot be had."""
        from transformers import CLIPTokenizer, Owlv2ForObjectDetection

        place = Place.choose(device, dtype, half_on_cuda=False)
        way = f"hf download {reference} where there is a network, and give --judge {role}=open-vocabulary:FOLDER"
        model = load_pretrained(role, Owlv2ForObjectDetection, reference, offline=offline, way=way)
        tokenizer = load_pretrained(role, CLIPTokenizer, reference, offline=offline, way=way)
        if len(tokenizer) != model.config.text_config.vocab_size:
            raise JudgeError(f"judge {role}: {reference} lacks its vocabulary (vocab.json, merges.txt or tokenizer.json)")
        return cls(os.path.basename(os.path.normpath(reference)), model, tokenizer, place)

    def detect_named(self, pictures: Sequence[Picture], names: Sequence[Sequence[str]]) -> list[list[Detection]]:
        found: list[list[Detection]] = [[] for _ in pictures]
        asked = [row for row, (_, own) in enumerate(zip(pictures, names, strict=True)) if own]
        for rows in chunks(asked, BATCH):
            scores, boxes = self._look([pictures[row] for row in rows], [names[row] for row in rows])
            for row, own_scores, own_boxes in zip(rows, scores, boxes, strict=True):
                found[row] = _detections(pictures[row], names[row], own_scores, own_boxes)
        return found

    def check(self) -> None:
        """A drawn disc is found where it is. Raises `JudgeError`."""
        disc: Box = (60, 100, 260, 300)
        shown = Image.new("RGB", (480, 480), "white")
        ImageDraw.Draw(shown).ellipse(disc, fill="red")
        ((*found,),) = self.detect_named([shown], [["circle"]])
        if not found or overlaps(np.array([found[0].box]), np.array(disc))[0] < 0.5:
            came = f"at {tuple(map(round, found[0].box))}" if found else "nowhere"
            raise JudgeError(f"a drawn disc at {disc} was found {came}; wrong weights?")

    @torch.inference_mode()
    def _look(self, pictures: Sequence[Picture], names: Sequence[Sequence[str]]) -> tuple[np.ndarray, np.ndarray]:
        """(pictures, patches, names) scores and (pictures, patches, 4) boxes, as shares of the longer side."""
        most = max(map(len, names))
        texts = [TEMPLATE.format(name=name) for own in names for name in own]
        read = self._tokenizer(texts, padding="max_length", truncation=True, max_length=self._length, return_tensors="pt")
        ids = torch.zeros(len(names), most, self._length, dtype=torch.long)  # a text that begins with 0 is passed over
        mask = torch.ones_like(ids)
        places = [(row, place) for row, own in enumerate(names) for place in range(len(own))]
        for (row, place), own_ids, own_mask in zip(places, read["input_ids"], read["attention_mask"], strict=True):
            ids[row, place], mask[row, place] = own_ids, own_mask
        values = torch.stack([pixels(square(picture, self._side), OPENAI_MEAN, OPENAI_STD) for picture in pictures])
        device = self._place.device
        with self._place.precision():
            seen = self._model(
                input_ids=ids.flatten(0, 1).to(device),
                attention_mask=mask.flatten(0, 1).to(device),
                pixel_values=values.to(device),
            )
        centre, size = seen.pred_boxes.float()[..., :2], seen.pred_boxes.float()[..., 2:]
        boxes = torch.cat([centre - size / 2, centre + size / 2], dim=-1)
        return seen.logits.float().sigmoid().cpu().numpy(), boxes.cpu().numpy()


def square(picture: Picture, side: int) -> Picture:
    """The picture in the upper left corner of a grey square, resized."""
    canvas = Image.new("RGB", (max(picture.size), max(picture.size)), GREY)
    canvas.paste(picture.convert("RGB"), (0, 0))
    return canvas.resize((side, side), Image.Resampling.BILINEAR)


def apart(boxes: np.ndarray, scores: np.ndarray) -> list[int]:
    """The places of the boxes (n, 4) to keep, surest first: greedy, without those that overlap a kept one by more than half."""
    kept: list[int] = []
    left = np.argsort(-scores, kind="stable")
    while len(left) and len(kept) < MOST:
        best, left = left[0], left[1:]
        kept.append(int(best))
        left = left[overlaps(boxes[left], boxes[best]) <= SAME]
    return kept


def overlaps(boxes: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Intersection over union of each box (n, 4) with the other one (4,); 0 where both are empty."""
    sides = np.minimum(boxes[:, 2:], other[2:]) - np.maximum(boxes[:, :2], other[:2])
    shared = np.prod(np.maximum(sides, 0), axis=1)
    union = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) + np.prod(other[2:] - other[:2]) - shared
    return np.divide(shared, union, out=np.zeros(len(boxes)), where=union > 0)


def _detections(picture: Picture, names: Sequence[str], scores: np.ndarray, boxes: np.ndarray) -> list[Detection]:
    """`scores` is (patches, at least names), `boxes` (patches, 4)."""
    limits = np.array([picture.width, picture.height] * 2, dtype=np.float64)
    inside = np.clip(boxes.astype(np.float64) * max(picture.size), 0, limits)
    found = []
    for name, own in zip(names, scores.T, strict=False):
        enough = np.flatnonzero(own > LEAST_SCORE)
        for place in (enough[kept] for kept in apart(inside[enough], own[enough])):
            x0, y0, x1, y1 = inside[place].tolist()
            found.append(Detection(name, float(own[place]), (x0, y0, x1, y1)))
    return sorted(found, key=lambda detection: -detection.score)
