"""Sheets of samples with their rewards, as in the paper's figures 9 (pictures of prompts) and 10 (captions of pictures)."""

from __future__ import annotations

import textwrap
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from suder_bench.models.janus_pixels import picture
from suder_bench.training.rollout import Rollout

ROWS = 6
CELL = 112
LINE = 15
MARGIN = 8
BEST, WORST, INK, PAPER = "#009E73", "#D55E00", "#222222", "#FFFFFF"


def save(rollout: Rollout, file: Path) -> None:
    """Write the sheet of the first groups: the best sample is framed green, the worst orange."""
    file.parent.mkdir(parents=True, exist_ok=True)
    sheet = _pictures(rollout) if rollout.task == "gen" else _captions(rollout)
    sheet.save(file)


def _pictures(rollout: Rollout) -> Image.Image:
    """A row a prompt: the prompt, its pictures, and each one's reward below it."""
    assert rollout.pixels is not None
    rows = min(ROWS, len(rollout.items))
    height = LINE + CELL + LINE + MARGIN
    sheet, pen, font = _paper(MARGIN + rollout.group * (CELL + MARGIN), MARGIN + rows * height)
    for row in range(rows):
        top = MARGIN + row * height
        pen.text((MARGIN, top), str(rollout.contexts[row * rollout.group]), INK, font)
        for column, reward in enumerate(rollout.rewards[row].tolist()):
            shown = picture(rollout.pixels[row * rollout.group + column]).resize((CELL, CELL), Image.Resampling.LANCZOS)
            left = MARGIN + column * (CELL + MARGIN)
            colour = _colour(reward, rollout.rewards[row].tolist())
            sheet.paste(shown, (left, top + LINE))
            pen.rectangle((left - 2, top + LINE - 2, left + CELL + 1, top + LINE + CELL + 1), outline=colour, width=2)
            pen.text((left, top + LINE + CELL + 2), f"{reward:.3f}", colour if colour != PAPER else INK, font)
    return sheet


def _captions(rollout: Rollout) -> Image.Image:
    """A row a picture: the picture, and beside it its captions from the best to the worst."""
    rows, width = min(ROWS, len(rollout.items)), 92
    blocks: list[list[tuple[str, str]]] = []
    for row in range(rows):
        rewards = rollout.rewards[row].tolist()
        lines = []
        for column in sorted(range(rollout.group), key=lambda column: -rewards[column]):
            colour = _colour(rewards[column], rewards)
            text = f"{rewards[column]:.4f}  {rollout.captions[row * rollout.group + column] or '(empty)'}"
            lines += [(line, colour) for line in textwrap.wrap(text, width, subsequent_indent="         ", max_lines=3)]
        blocks.append(lines)
    heights = [max(CELL, len(lines) * LINE) + MARGIN for lines in blocks]
    sheet, pen, font = _paper(CELL + 2 * MARGIN + 7 * width, MARGIN + sum(heights))
    top = MARGIN
    for row, (lines, height) in enumerate(zip(blocks, heights, strict=True)):
        shown = rollout.contexts[row * rollout.group]
        if isinstance(shown, Image.Image):
            sheet.paste(shown.convert("RGB").resize((CELL, CELL), Image.Resampling.LANCZOS), (MARGIN, top))
        for i, (line, colour) in enumerate(lines):
            pen.text((CELL + 2 * MARGIN, top + i * LINE), line, colour if colour != PAPER else INK, font)
        top += height
    return sheet


def _paper(width: int, height: int) -> tuple[Image.Image, ImageDraw.ImageDraw, ImageFont.ImageFont | ImageFont.FreeTypeFont]:
    sheet = Image.new("RGB", (width, height), PAPER)
    return sheet, ImageDraw.Draw(sheet), ImageFont.load_default(12)


def _colour(reward: float, rewards: list[float]) -> str:
    if max(rewards) == min(rewards):
        return PAPER
    return BEST if reward == max(rewards) else WORST if reward == min(rewards) else PAPER
