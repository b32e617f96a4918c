"""A drawn street with three of COCO's things, which a detector of COCO's classes must find in their places."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PIL import Image, ImageDraw

from suder_bench.errors import JudgeError
from suder_bench.evaluators.judges.protocols import Detection

THINGS = {"traffic light": (9, (40, 90, 110, 270)), "stop sign": (11, (210, 60, 390, 240)), "clock": (74, (450, 80, 610, 240))}
"""Each thing's place in COCO's list of 80 classes, and where it is drawn: (x0, y0, x1, y1) in pixels."""

ENOUGH = 0.3
"""GenEval's threshold, which at least one of the drawings must pass; detectors that lose their confidence fall below."""

LETTERS: dict[str, list[tuple[float, float]]] = {
    "S": [(1, 0.1), (0.5, 0), (0, 0.2), (0.5, 0.5), (1, 0.8), (0.5, 1), (0, 0.9)],
    "T": [(0, 0), (1, 0), (0.5, 0), (0.5, 1)],
    "O": [(0.5, 0), (1, 0.2), (1, 0.8), (0.5, 1), (0, 0.8), (0, 0.2), (0.5, 0)],
    "P": [(0, 1), (0, 0), (0.8, 0), (1, 0.25), (0.8, 0.5), (0, 0.5)],
}
"""Strokes in a unit square; a font may not be there."""


def picture() -> Image.Image:
    """640 x 480 pixels."""
    drawn = Image.new("RGB", (640, 480), (135, 190, 235))
    pen = ImageDraw.Draw(drawn)
    pen.rectangle((0, 400, 640, 480), fill=(95, 95, 95))
    for x in (75, 300, 530):
        pen.rectangle((x - 5, 150, x + 5, 405), fill=(120, 120, 120))
    _traffic_light(pen, THINGS["traffic light"][1])
    _stop_sign(pen, THINGS["stop sign"][1])
    _clock(pen, THINGS["clock"][1])
    return drawn


def check(found: Sequence[Detection], names: Sequence[str]) -> None:
    """Raise `JudgeError` unless the surest detection of each thing lies on it, and one is above GenEval's threshold."""
    surest = []
    for thing, (place, (x0, y0, x1, y1)) in THINGS.items():
        best = max((one for one in found if one.label == names[place]), key=lambda one: one.score, default=None)
        if best is None:
            raise JudgeError(f"a drawn {thing}: expected it among the {len(found)} detections, it is not; wrong weights?")
        x, y = (best.box[0] + best.box[2]) / 2, (best.box[1] + best.box[3]) / 2
        if not (x0 < x < x1 and y0 < y < y1):
            raise JudgeError(f"a drawn {thing} at {(x0, y0, x1, y1)}: found at {best.box}; wrong weights or class names?")
        surest.append(best.score)
    if max(surest) <= ENOUGH:
        raise JudgeError(f"three drawn things: expected one above {ENOUGH}, the surest is {max(surest):.3f}; wrong weights?")


def _traffic_light(pen: ImageDraw.ImageDraw, box: tuple[int, int, int, int]) -> None:
    x0, y0, x1, y1 = box
    pen.rounded_rectangle(box, radius=10, fill=(25, 25, 25), outline=(220, 190, 40), width=4)
    lamp, middle = (y1 - y0) / 3, (x0 + x1) / 2
    for row, color in enumerate(((240, 30, 30), (70, 60, 20), (20, 60, 30))):
        y = y0 + lamp * (row + 0.5)
        pen.ellipse((middle - 22, y - 22, middle + 22, y + 22), fill=color)


def _stop_sign(pen: ImageDraw.ImageDraw, box: tuple[int, int, int, int]) -> None:
    x, y, radius = _round(box)
    for scale, color in ((1.08, "white"), (1.0, "#be0f19")):
        turns = [math.pi * (corner + 0.5) / 4 for corner in range(8)]
        pen.polygon([(x + scale * radius * math.cos(turn), y + scale * radius * math.sin(turn)) for turn in turns], fill=color)
    for place, letter in enumerate("STOP"):
        left, top = x + (place - 2) * 35 + 5, y - 26
        stroke = [(left + 25 * across, top + 52 * down) for across, down in LETTERS[letter]]
        if letter == "T":  # its two strokes do not follow each other
            pen.line(stroke[:2], fill=(255, 255, 255), width=8)
            stroke = stroke[2:]
        pen.line(stroke, fill=(255, 255, 255), width=8, joint="curve")


def _clock(pen: ImageDraw.ImageDraw, box: tuple[int, int, int, int]) -> None:
    x, y, radius = _round(box)
    pen.ellipse(box, fill=(250, 250, 245), outline=(30, 30, 30), width=8)
    marks = [(math.pi * hour / 6, 0.74, 0.88, 6 if hour % 3 == 0 else 3) for hour in range(12)]
    hands = [(-2.6, 0.0, 0.45, 7), (-0.5, 0.0, 0.66, 5)]
    for turn, start, end, width in marks + hands:
        across, down = radius * math.cos(turn), radius * math.sin(turn)
        pen.line((x + start * across, y + start * down, x + end * across, y + end * down), fill=(0, 0, 0), width=width)


def _round(box: tuple[int, int, int, int]) -> tuple[float, float, float]:
    """Centre and radius."""
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2, (box[2] - box[0]) / 2
