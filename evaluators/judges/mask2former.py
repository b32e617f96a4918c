"""Mask2Former, GenEval's detector, through transformers, with what mmdet 2.x does before and after the network.

Before: the picture is resized into 1333 x 800, padded with grey to a multiple of 32, and only then normalised. After: the
100 best pairs of a query and a class are objects; an object's confidence is the probability of its class times the mean of
its mask, its box the tight one around the mask.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import nn
from torch.nn.functional import interpolate

from suder_bench.benchmark import Match
from suder_bench.errors import JudgeError
from suder_bench.evaluators.judges import manifest as manifests
from suder_bench.evaluators.judges import street
from suder_bench.evaluators.judges.manifest import Manifest
from suder_bench.evaluators.judges.mmdet_weights import (
    CLASSES,
    FETCH,
    Checkpoint,
    Mask2FormerForUniversalSegmentation,
    converted_from,
)
from suder_bench.evaluators.judges.opencv_resize import resize
from suder_bench.evaluators.judges.protocols import Detection, Picture
from suder_bench.evaluators.judges.weights import Place, digest, load_pretrained, prepared
from suder_bench.models.threads import one_thread_each

LONG, SHORT, DIVISOR, GREY = 1333, 800, 32, 128
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
BEST = 100
BATCH = 4
"""Pictures at once on an accelerator. A CPU takes one a thread: in fours, at full size, each lasts a third longer."""

THREADS = 8
"""Pictures at once on a processor, whose maps are large at full size."""

LEAST = 0.05
"""Objects of less confidence are left out, and if their class is less probable their mask is never drawn.

GenEval looks at confidences above 0.3 only.
"""

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Sizes:
    """(height, width) of a picture, of what it is resized to, and of what that is padded to."""

    original: tuple[int, int]
    resized: tuple[int, int]
    padded: tuple[int, int]

    @staticmethod
    def of(picture: Picture) -> Sizes:
        height, width = picture.height, picture.width
        scale = min(LONG / max(height, width), SHORT / min(height, width))
        tall, wide = int(height * scale + 0.5), int(width * scale + 0.5)
        return Sizes((height, width), (tall, wide), (-(-tall // DIVISOR) * DIVISOR, -(-wide // DIVISOR) * DIVISOR))


class Mask2Former:
    """Implements `Detector` and `NumberedClasses`. `exact` is whether the weights are the file that GenEval downloads."""

    def __init__(self, model: nn.Module, place: Place, *, match: Match, name: str) -> None:
        self.match, self.exact = match, match == "exact"
        self.backend = f"mask2former:{name}" if match == "another file" else "mask2former-swin-s"
        self.fingerprint = place.fingerprint(model)
        self._model, self._place = place.put(model), place
        self._names = tuple(map(str, range(CLASSES)))

    @classmethod
    def load(cls, source: str | None, *, device: str, dtype: str, offline: bool, manifest: Manifest | None = None) -> Self:
        """Read GenEval's .pth file or a folder that holds it, a folder in transformers' format, or a hub id.

        Without a source the file that was fetched is looked for. Raises `JudgeError` where the weights cannot be had.
        """
        place = Place.choose(device, dtype, half_on_cuda=False)
        checkpoint, reference = locate(source, manifest)
        if checkpoint is not None:
            return cls(checkpoint.network(), place, match=checkpoint.match(manifest), name=checkpoint.file.name)
        model = load_pretrained("detector", Mask2FormerForUniversalSegmentation, reference, offline=offline)
        if model.config.num_labels != CLASSES:
            raise JudgeError(f"judge detector: {reference} knows {model.config.num_labels} classes, COCO has {CLASSES}")
        name = Path(reference).name if os.path.isdir(reference) else reference
        return cls(model, place, match=converted_from(model, digest(model), manifest), name=name)

    def named(self, names: Sequence[str]) -> Self:
        """The same detector with its class i called `names[i]`. Raises `JudgeError` for a list of another length."""
        if len(names) != len(self._names):
            raise JudgeError(
                f"the detector knows {len(self._names)} classes, object_names.txt names {len(names)};"
                " official judges need the official data (--data), the world's data its own judges"
            )
        renamed = copy.copy(self)
        renamed._names = tuple(names)
        return renamed

    def detect(self, pictures: Sequence[Picture]) -> list[list[Detection]]:
        return self._detect(pictures, LEAST)

    def check(self) -> None:
        """The things of a drawn street are found where they are. Raises `JudgeError`."""
        street.check(self._detect([street.picture()], least=0.0)[0], self._names)

    def _detect(self, pictures: Sequence[Picture], least: float) -> list[list[Detection]]:
        sizes = [Sizes.of(picture) for picture in pictures]

        def prepared_row(row: int) -> torch.Tensor:
            return prepare(pictures[row], sizes[row])

        def look(rows: Sequence[int], values: torch.Tensor) -> list[list[Detection]]:
            return self._pass(values, [sizes[row] for row in rows], least)

        if self._place.device.type == "cpu":
            with one_thread_each(THREADS) as map_each:
                return [one for [one] in map_each(lambda row: look([row], prepared_row(row)[None]), range(len(pictures)))]
        found: dict[int, list[Detection]] = {}
        for padded in dict.fromkeys(size.padded for size in sizes):  # together, so that none is padded for another's sake
            alike = [row for row, size in enumerate(sizes) if size.padded == padded]
            for batch, values in prepared(alike, prepared_row, BATCH):
                rows = [alike[index] for index in batch]
                found |= zip(rows, look(rows, values), strict=True)
        return [found[row] for row in range(len(pictures))]

    @torch.inference_mode()
    def _pass(self, values: torch.Tensor, sizes: Sequence[Sizes], least: float) -> list[list[Detection]]:
        with self._place.precision():
            out = self._model(pixel_values=values.to(self._place.device))
        return [
            objects(logits.float(), masks.float(), size, self._names, least)
            for logits, masks, size in zip(out.class_queries_logits, out.masks_queries_logits, sizes, strict=True)
        ]


def locate(source: str | None, manifest: Manifest | None = None) -> tuple[Checkpoint | None, str]:
    """The mmdet checkpoint that a source names, if it is one, and the source. Raises `JudgeError` where nothing is."""
    fetched = manifests.of("detector", manifest)[0].place(manifests.folder())
    path = Path(source).expanduser() if source is not None else fetched
    if path.exists():
        return Checkpoint.find(path), str(path)
    if source is None:
        raise JudgeError(
            f"judge detector: GenEval's Mask2Former is not at {path}; run: {FETCH}, or give --judge detector=official:FILE"
        )
    if source.startswith(("/", ".", "~")) or source.endswith(".pth"):
        raise JudgeError(f"judge detector: there is no {source}; GenEval's comes with: {FETCH}")
    return None, source


def prepare(picture: Picture, sizes: Sizes) -> torch.Tensor:
    """(3, H, W) float32 of the padded size, to the last bit what mmcv makes of the picture."""
    tall, wide = sizes.resized
    pixels = np.full((*sizes.padded, 3), GREY, np.uint8)
    pixels[:tall, :wide] = resize(np.asarray(picture.convert("RGB")), wide, tall)
    # mmcv multiplies with the inverse of the deviation, in float32
    values = (pixels.astype(np.float32) - np.array(MEAN, np.float32)) * (1 / np.array(STD)).astype(np.float32)
    return torch.from_numpy(values).permute(2, 0, 1).contiguous()


def objects(
    logits: torch.Tensor, masks: torch.Tensor, sizes: Sizes, names: Sequence[str], least: float = LEAST
) -> list[Detection]:
    """What one picture's (queries, classes + 1) logits and (queries, h, w) mask logits say, most confident first.

    Only objects whose confidence is not under `least`. A query can be there under two classes. An object with an empty
    mask has a box of zeros and the confidence 0.
    """
    probabilities = logits.softmax(dim=-1)[:, :-1]
    classes = probabilities.shape[1]
    best, pairs = probabilities.flatten().topk(min(BEST, probabilities.numel()))
    best, pairs = best[best >= least].cpu(), pairs[best >= least].cpu()
    queries = (pairs // classes).tolist()
    drawn = {query: _mask(masks[query], sizes) for query in dict.fromkeys(queries)}
    found = []
    for probability, pair, query in zip(best, pairs.tolist(), queries, strict=True):
        mask, certainty = drawn[query]
        confidence = float(probability * certainty)
        if confidence >= least:
            found.append(Detection(names[pair % classes], confidence, tight_box(mask), mask))
    return sorted(found, key=lambda detection: -detection.score)


def tight_box(mask: np.ndarray) -> Box:
    """(x0, y0, x1, y1) around what is true, x1 and y1 exclusive; zeros where nothing is."""
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    if not len(rows):
        return 0.0, 0.0, 0.0, 0.0
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def _mask(logits: torch.Tensor, sizes: Sizes) -> tuple[np.ndarray, torch.Tensor]:
    """The mask of a query in the picture's size, and its mean probability inside, after two steps of enlarging as mmdet's."""
    tall, wide = sizes.resized
    shown = _enlarge(logits, sizes.padded)[:tall, :wide]
    if sizes.resized != sizes.original:
        shown = _enlarge(shown, sizes.original)
    inside = shown > 0
    certainty = (shown.sigmoid() * inside).sum() / (inside.sum() + 1e-6)
    return inside.cpu().numpy(), certainty.cpu()


def _enlarge(logits: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    return interpolate(logits[None, None], size=size, mode="bilinear", align_corners=False)[0, 0]
