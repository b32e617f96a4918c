"""Grids of pictures, captions and sheets, drawn. To be called inside `rc_context(STYLE)`."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from suder_bench.errors import PictureError
from suder_bench.plots import COLUMN, GREY, LETTERS, OKABE_ITO, PAGE, unlaid
from suder_bench.records import open_image
from suder_bench.reports.credit import overlay
from suder_bench.reports.figures.figure import Captions, Figure, Picture, Pictures, Sheet
from suder_bench.rewards.regions import Regions

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

PIXELS = 256
"""A picture's longer side in a figure: 200 dots per inch and more."""

CELL = 1.05
"""A picture's side at most, in inches."""

GAP, LINE, MARGIN = 0.07, 0.115, 0.06
SIDE = 1.3
"""Of the prompts to the left of a grid."""

FRAMES = {"best": OKABE_ITO[2], "worst": OKABE_ITO[1]}
INK = "#222222"
SMALL = 6.5


@dataclass(frozen=True)
class Page:
    """A drawing in inches from its upper left corner."""

    drawing: Drawing

    @classmethod
    def blank(cls, figure: Figure, height: float, width: float = PAGE) -> tuple[Page, float]:
        """A page with the figure's title, room for `height` and the notes below it; and where that room begins."""
        title = textwrap.wrap(figure.subject, int(width * LETTERS * 0.75))
        notes = textwrap.wrap(figure.below, int(width * LETTERS))
        top, total = MARGIN + 0.16 * len(title) + GAP, MARGIN + 0.16 * len(title) + 2 * GAP + height + LINE * len(notes) + MARGIN
        page = cls(unlaid(width, total))
        for i, line in enumerate(title):
            page.text(MARGIN, MARGIN + 0.16 * i, line, size=9, weight="bold")
        for i, line in enumerate(notes):
            page.text(MARGIN, top + height + GAP + LINE * i, line, size=7, color=GREY)
        return page, top

    def text(
        self, left: float, top: float, text: str, *, size: float = 7, color: str = INK, weight: str = "normal", ha: str = "left"
    ) -> None:
        width, height = self.drawing.get_size_inches()
        self.drawing.text(
            left / width,
            1 - top / height,
            text,
            fontsize=size,
            color=color,
            fontweight=weight,
            ha=ha,
            va="top",
        )

    def picture(
        self,
        file: Path,
        left: float,
        top: float,
        wide: float,
        high: float,
        color: str = "",
        *,
        mapped: bool = False,
        regions: Regions = None,
    ) -> None:
        """The picture in a box, or what is wrong with it; framed where there is a `color`, under the map of its `regions` with
        `mapped`."""
        width, height = self.drawing.get_size_inches()
        ax = self.drawing.add_axes((left / width, 1 - (top + high) / height, wide / width, high / height))
        ax.set_xticks([])
        ax.set_yticks([])
        ax.grid(visible=False)
        for spine in ax.spines.values():
            spine.set(visible=bool(color), color=color or None, linewidth=1.8)
        try:
            ax.imshow(pixels(file, mapped=mapped, regions=regions), interpolation="none")
            ax.set_anchor("NW")
        except PictureError:
            ax.text(0.5, 0.5, "not readable", ha="center", va="center", fontsize=SMALL, transform=ax.transAxes)


def pixels(file: Path, *, mapped: bool = False, regions: Regions = None) -> np.ndarray:
    """Of a picture in the size that figures show it, (height, width, 3), or with `mapped` of its map. Raises `PictureError`."""
    picture = open_image(file)
    if mapped:
        picture = overlay(picture, regions)
    scale = PIXELS / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return np.asarray(picture.resize(size, Image.Resampling.LANCZOS))


def draw_pictures(figure: Figure, content: Pictures) -> Drawing:
    """Prompts to the left under the names of the models; or above their pictures, where there are no models to name."""
    most = max(len(pictures) for _, pictures in content.prompts)
    side = SIDE if content.columns else 0.0
    cell = min(CELL, (PAGE - 2 * MARGIN - side) / most - GAP)
    below = LINE * max(len(picture.lines) for _, pictures in content.prompts for picture in pictures)
    letters = max(1, int(cell * LETTERS))
    heads = [textwrap.wrap(name, letters, break_long_words=True)[:3] for name in content.columns]
    head = LINE * max(map(len, heads), default=0)
    above = 0.0 if content.columns else LINE + 0.03
    maps = any(picture.mapped for _, pictures in content.prompts for picture in pictures)
    row = above + (2 if maps else 1) * (cell + 0.03) + below + GAP
    wide = max(COLUMN, 2 * MARGIN + side + most * (cell + GAP) - GAP)
    page, top = Page.blank(figure, head + 0.03 + row * len(content.prompts), wide)
    for i, lines in enumerate(heads):
        for k, line in enumerate(lines):
            page.text(MARGIN + side + i * (cell + GAP), top + k * LINE, line, weight="bold")
    top += head + 0.03
    for prompt, pictures in content.prompts:
        said = textwrap.wrap(prompt, int((side or wide - 2 * MARGIN) * LETTERS) - 1, break_long_words=True)
        for k, line in enumerate(_cut(said, int(cell / LINE) if side else 1)):
            page.text(MARGIN, top + k * LINE, line)
        for i, picture in enumerate(pictures):
            _cell(page, picture, MARGIN + side + i * (cell + GAP), top + above, cell)
        top += row
    return page.drawing


def _cell(page: Page, picture: Picture, left: float, top: float, cell: float) -> None:
    color = FRAMES.get(picture.frame, "")
    page.picture(picture.file, left, top, cell, cell, color)
    if picture.mapped:
        top += cell + 0.03
        page.picture(picture.file, left, top, cell, cell, mapped=True, regions=picture.regions)
    letters = int(cell * LETTERS * 7 / SMALL)
    for k, line in enumerate(_ended(line, letters) for line in picture.lines):
        page.text(left, top + cell + 0.04 + k * LINE, line, size=SMALL, color=color if color and k == 0 else INK)


def draw_captions(figure: Figure, content: Captions) -> Drawing:
    """A picture to the left, its captions beside it, each with its numbers."""
    number = 0.55
    left = MARGIN + CELL + 2 * GAP
    text = left + number * len(content.names)
    letters = int((PAGE - MARGIN - text) * LETTERS)
    blocks = [
        [(caption, _cut(textwrap.wrap(caption.text, letters) or ["(nothing)"], 3)) for caption in captions]
        for _, captions in content.pictures
    ]
    heights = [max(CELL, LINE * sum(len(lines) for _, lines in block)) + 2 * GAP for block in blocks]
    page, top = Page.blank(figure, LINE + 0.03 + sum(heights))
    for i, name in enumerate(content.names):
        page.text(left + i * number, top, _ended(name, int(number * LETTERS)), weight="bold")
    top += LINE + 0.03
    for (file, _), block, height in zip(content.pictures, blocks, heights, strict=True):
        page.picture(file, MARGIN, top, CELL, CELL)
        line = 0
        for caption, lines in block:
            color = FRAMES.get(caption.frame, INK)
            for i, value in enumerate(caption.numbers):
                page.text(left + i * number, top + line * LINE, value, color=color if i == 0 else INK)
            for one in lines:
                page.text(text, top + line * LINE, one, color=color)
                line += 1
        top += height
    return page.drawing


def draw_sheet(figure: Figure, content: Sheet) -> Drawing:
    """The sheet as wide as the page, in its own pixels."""
    sheet = open_image(content.file)
    wide = PAGE - 2 * MARGIN
    high = wide * sheet.height / sheet.width
    page, top = Page.blank(figure, high)
    width, height = page.drawing.get_size_inches()
    ax = page.drawing.add_axes((MARGIN / width, 1 - (top + high) / height, wide / width, high / height))
    ax.imshow(np.asarray(sheet), interpolation="none", aspect="auto")
    ax.set_axis_off()
    return page.drawing


def _ended(line: str, letters: int) -> str:
    """The line in so many letters; of one that is longer the name in front is cut, and the number behind it stays."""
    name, space, number = line.rpartition(" ") if " " in line else (line, "", "")
    return line if len(line) <= letters else f"{name[: max(1, letters - len(space + number) - 2)]}..{space}{number}"


def _cut(lines: Sequence[str], most: int) -> list[str]:
    """At most so many lines; dots stand for what does not fit."""
    return list(lines) if len(lines) <= most else [*lines[: most - 1], f"{lines[most - 1][:-3]}..."]
