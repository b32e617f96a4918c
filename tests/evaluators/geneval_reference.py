"""GenEval's evaluation, step by step in the order of its official script, in other words and for one picture at a time.

Nothing of `suder_bench.evaluators.geneval` is used, nor of the judges, but for mmdet's weights in transformers' network.
The detector prepares its own pictures and draws all its masks; the colour classifier makes a new loader for each question.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch.utils.data import DataLoader, Dataset
from transformers import CLIPImageProcessor, CLIPModel, CLIPTokenizer, Mask2FormerConfig

from suder_bench.evaluators.judges.mmdet_weights import build
from suder_bench.evaluators.judges.opencv_resize import resize

COLORS = ["red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white"]
TEMPLATES = ("a photo of a {c} {n}", "a photo of a {c}-colored {n}", "a photo of a {c} object")
Inference = Callable[[str], tuple[list[np.ndarray], list[list[np.ndarray]]]]
"""A picture file to (n, 5) boxes with confidences of each class, and the masks that belong to them."""


def mask2former(folder: Path) -> Inference:
    """The detector of a folder that holds mmdet's checkpoint and the configuration of its network."""
    (file,) = folder.glob("*.pth")
    tensors = torch.load(file, weights_only=False)["state_dict"]
    return through(build(tensors, Mask2FormerConfig.from_pretrained(folder), str(file)))


def through(network: torch.nn.Module) -> Inference:
    """The detector with this network."""

    @torch.no_grad()
    def infer(path: str) -> tuple[list[np.ndarray], list[list[np.ndarray]]]:
        pixels = np.array(ImageOps.exif_transpose(Image.open(path)).convert("RGB"))
        height, width = pixels.shape[:2]
        factor = min(1333 / max(height, width), 800 / min(height, width))
        wide, tall = int(width * factor + 0.5), int(height * factor + 0.5)
        padded = np.full((int(np.ceil(tall / 32)) * 32, int(np.ceil(wide / 32)) * 32, 3), 128.0)
        padded[:tall, :wide] = resize(pixels, wide, tall)
        values = (padded - [123.675, 116.28, 103.53]) / [58.395, 57.12, 57.375]
        out = network(pixel_values=torch.tensor(values.transpose(2, 0, 1)[None], dtype=torch.float32))
        size = padded.shape[:2]
        masks = torch.nn.functional.interpolate(out.masks_queries_logits, size=size, mode="bilinear", align_corners=False)
        masks = masks[:, :, :tall, :wide]
        masks = torch.nn.functional.interpolate(masks, size=(height, width), mode="bilinear", align_corners=False)[0]
        scores = torch.softmax(out.class_queries_logits[0], dim=-1)[:, :80].flatten()
        boxes: list[list[list[float]]] = [[] for _ in range(80)]
        segments: list[list[np.ndarray]] = [[] for _ in range(80)]
        for place in torch.argsort(scores, descending=True)[:100].tolist():
            query, index = divmod(place, 80)
            shown = masks[query] > 0
            mean = float((torch.sigmoid(masks[query]) * shown).sum() / (shown.sum() + 1e-6))
            rows, columns = np.nonzero(shown.numpy())
            box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1] if len(rows) else [0, 0, 0, 0]
            boxes[index].append([*map(float, box), float(scores[place]) * mean])
            segments[index].append(shown.numpy())
        return [np.array(own).reshape(-1, 5) for own in boxes], segments

    return infer


class Crops(Dataset):
    """Objects of one picture, each alone on grey."""

    def __init__(self, image: Image.Image, objects: list[Any], transform: Callable[[Image.Image], torch.Tensor]) -> None:
        self.image, self.blank = image.convert("RGB"), Image.new("RGB", image.size, color="#999")
        self.objects, self.transform = objects, transform

    def __len__(self) -> int:
        return len(self.objects)

    def __getitem__(self, index: int) -> torch.Tensor:
        box, mask = self.objects[index]
        alone = Image.composite(self.image, self.blank, Image.fromarray(mask))
        return self.transform(alone.crop(tuple(box[:4])))


class Colors:
    """CLIP as a classifier of colours: the templates of a class are read once, the pictures in a loader of their own."""

    def __init__(self, model: CLIPModel, tokenizer: CLIPTokenizer) -> None:
        self.model, self.tokenizer = model.eval(), tokenizer
        side = self.model.config.vision_config.image_size
        processor = CLIPImageProcessor(size={"shortest_edge": side}, crop_size={"height": side, "width": side})
        self.transform = lambda image: processor(image, return_tensors="pt")["pixel_values"][0]
        self.classifiers: dict[str, torch.Tensor] = {}

    @staticmethod
    def read(folder: Path) -> Colors:
        return Colors(CLIPModel.from_pretrained(folder), CLIPTokenizer.from_pretrained(folder))

    @torch.no_grad()
    def __call__(self, image: Image.Image, objects: list[Any], noun: str) -> list[str]:
        if noun not in self.classifiers:
            columns = []
            for color in COLORS:
                vectors = torch.cat([self._read(template.format(c=color, n=noun)) for template in TEMPLATES])
                vectors = vectors / vectors.norm(dim=-1, keepdim=True)
                mean = vectors.mean(dim=0)
                columns.append(mean / mean.norm())
            self.classifiers[noun] = torch.stack(columns, dim=1)
        named = []
        for batch in DataLoader(Crops(image, objects, self.transform), batch_size=16, num_workers=0):
            seen = self.model.visual_projection(self.model.vision_model(batch).pooler_output)
            seen = seen / seen.norm(dim=-1, keepdim=True)
            named += (100.0 * seen @ self.classifiers[noun]).argmax(dim=1).tolist()
        return [COLORS[place] for place in named]

    def _read(self, text: str) -> torch.Tensor:
        tokens = self.tokenizer(text, return_tensors="pt")
        return self.model.text_projection(self.model.text_model(**tokens).pooler_output)


def found_in(path: Path, tag: str, infer: Inference, names: list[str]) -> dict[str, list[Any]]:
    """The objects of a picture that count: (box with confidence, mask) by class, the surest first."""
    boxes, segments = infer(str(path))
    threshold = 0.9 if tag == "counting" else 0.3
    detected: dict[str, list[Any]] = {}
    for index, name in enumerate(names):
        order = np.argsort(boxes[index][:, 4], kind="stable")[::-1]  # as numpy 1.23, the script's, sorts up to 16
        order = order[boxes[index][order, 4] > threshold][:16]
        if len(order):
            detected[name] = [(boxes[index][place], segments[index][place]) for place in order]
    return detected


def relations(one: Any, other: Any) -> set[str]:
    """Where the first object lies, seen from the second."""
    first, second = (np.array(own[0])[:4].reshape(2, 2) for own in (one, other))
    offset = first.mean(axis=0) - second.mean(axis=0)
    extent = np.abs(np.diff(first, axis=0))[0] + np.abs(np.diff(second, axis=0))[0]
    revised = np.maximum(np.abs(offset) - 0.1 * extent, 0) * np.sign(offset)
    if np.all(np.abs(revised) < 1e-3):
        return set()
    dx, dy = revised / np.linalg.norm(offset)
    named = {"left of": dx < -0.5, "right of": dx > 0.5, "above": dy < -0.5, "below": dy > 0.5}
    return {relation for relation, holds in named.items() if holds}


def judge(image: Image.Image, objects: dict[str, list[Any]], metadata: dict[str, Any], colors: Colors) -> tuple[bool, Any]:
    """Right or wrong, and the colour of each object that was asked for one: {(class, place): colour}."""
    correct, asked = True, {}
    matched_groups: list[Any] = []
    for want in metadata.get("include", []):
        name, matched = want["class"], True
        found = objects.get(name, [])[: want["count"]]
        if len(found) < want["count"]:
            correct = matched = False
        else:
            if "color" in want:
                named = colors(image, found, name)
                asked |= {(name, place): color for place, color in enumerate(named)}
                if named.count(want["color"]) < want["count"]:
                    correct = matched = False
            if "position" in want and matched:
                relation, target = want["position"]
                if matched_groups[target] is None:
                    correct = matched = False
                else:
                    pairs = [(one, other) for one in found for other in matched_groups[target]]
                    if any(relation not in relations(one, other) for one, other in pairs):
                        correct = matched = False
        matched_groups.append(found if matched else None)
    for want in metadata.get("exclude", []):
        if len(objects.get(want["class"], [])) >= want["count"]:
            correct = False
    return correct, asked


def evaluate(images: Path, infer: Inference, colors: Colors, names: list[str]) -> dict[str, dict[str, Any]]:
    """Each picture's answer by its name under the folder, as the script writes them line by line."""
    rows = {}
    for folder in sorted(images.iterdir()):
        if not folder.is_dir() or not folder.name.isdigit():
            continue
        metadata = json.loads((folder / "metadata.jsonl").read_text())
        for file in sorted((folder / "samples").iterdir()):
            if not re.match(r"\d+\.png", file.name):
                continue
            objects = found_in(file, metadata["tag"], infer, names)
            correct, asked = judge(ImageOps.exif_transpose(Image.open(file)), objects, metadata, colors)
            row = {"tag": metadata["tag"], "correct": correct, "objects": objects, "colors": asked}
            rows[str(file.relative_to(images))] = row
    return rows


def summarise(rows: dict[str, dict[str, Any]]) -> dict[str, float]:
    """The share of right pictures of each tag, and `overall`, the mean of these."""
    tags = {row["tag"] for row in rows.values()}
    scores = {tag: float(np.mean([row["correct"] for row in rows.values() if row["tag"] == tag])) for tag in sorted(tags)}
    return {**scores, "overall": float(np.mean(list(scores.values())))}
