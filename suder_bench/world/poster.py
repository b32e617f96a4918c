"""A picture of the world: `python -m suder_bench.world.poster FILE.png` draws a row of scenes for each family of texts."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from suder_bench.world.language import FAMILIES, draw_text
from suder_bench.world.render import picture
from suder_bench.world.scenes import draw
from suder_bench.world.vocabulary import SIZE

TILE, SPACE, LINE, ROWS = 2 * SIZE, 24, 15, 2
"""Pixels of a picture's side, between pictures, and of a text line; pictures of each family."""


def poster(seed: int = 826) -> Image.Image:
    """Seven columns of families, twice; below each scene its text."""
    columns = len(FAMILIES) // 2
    width, height = TILE + SPACE, TILE + 4 * LINE
    sheet = Image.new("RGB", (columns * width + SPACE, 2 * (ROWS * height + 2 * LINE)), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    for i, family in enumerate(FAMILIES):
        x, y = SPACE + i % columns * width, i // columns * (ROWS * height + 2 * LINE)
        pen.text((x, y + 6), family.upper(), "black", font)
        for row in range(ROWS):
            rng = np.random.default_rng([seed, i, row])
            description, text = draw_text(family, rng, "train")
            top = y + 2 * LINE - 6 + row * height
            sheet.paste(picture(draw(description, rng)).resize((TILE, TILE), Image.Resampling.LANCZOS), (x, top))
            for number, line in enumerate(_lines(text, font)):
                pen.text((x, top + TILE + 2 + number * LINE), line, "black", font)
    return sheet


def _lines(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= TILE + SPACE - 4:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def main(argv: Sequence[str]) -> int:
    if len(argv) != 1:
        print("usage: python -m suder_bench.world.poster FILE.png", file=sys.stderr)
        return 2
    colors = poster().quantize(256, dither=Image.Dither.NONE)
    colors.save(Path(argv[0]), optimize=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
