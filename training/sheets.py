"""Sheets of samples with their rewards, as in the paper's figures 9 (pictures of prompts) and 10 (captions of pictures)."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from suder_bench.models.pictures import picture
from suder_bench.training.rollout import Rollout

ROWS = 6
CELL = 112
LINE = 17
MARGIN = 8
FRAME = 3
NUMBER = 56
TEXT = 560
BEST, WORST, INK, PAPER = "#009E73", "#D55E00", "#222222", "#FFFFFF"

Font = ImageFont.ImageFont | ImageFont.FreeTypeFont


def save(rollout: Rollout, file: Path) -> None:
    """Write the sheet of the first groups: the best sample's frame and reward are green, the worst one's orange."""
    file.parent.mkdir(parents=True, exist_ok=True)
    sheet = _pictures(rollout) if rollout.task == "gen" else _captions(rollout)
    sheet.save(file)


def _pictures(rollout: Rollout) -> Image.Image:
    """A row a prompt: the prompt, its pictures, and each one's reward below it."""
    assert rollout.pixels is not None
    rows = min(ROWS, len(rollout.items))
    width, height = MARGIN + rollout.group * (CELL + MARGIN), LINE + CELL + 2 * FRAME + LINE + MARGIN
    sheet, pen, font = _paper(width, MARGIN + rows * height)
    for row in range(rows):
        top = MARGIN + row * height
        prompt = str(rollout.contexts[row * rollout.group])
        pen.text((MARGIN, top), _lines(prompt, width - 2 * MARGIN, 1, font)[0], INK, font)
        top += LINE + FRAME
        rewards = rollout.rewards[row].tolist()
        for column, reward in enumerate(rewards):
            shown = picture(rollout.pixels[row * rollout.group + column]).resize((CELL, CELL), Image.Resampling.LANCZOS)
            left, colour = MARGIN + column * (CELL + MARGIN), _colour(reward, rewards)
            if colour != INK:
                pen.rectangle((left - FRAME, top - FRAME, left + CELL + FRAME - 1, top + CELL + FRAME - 1), colour)
            sheet.paste(shown, (left, top))
            pen.text((left, top + CELL + FRAME), f"{reward:z.3f}", colour, font)
    return sheet


def _captions(rollout: Rollout) -> Image.Image:
    """A row a picture: the picture, and beside it its captions from the best to the worst."""
    rows, left = min(ROWS, len(rollout.items)), CELL + 2 * MARGIN
    _, _, font = _paper(1, 1)
    blocks: list[list[tuple[str, str, str]]] = []  # lines of (reward, text, colour)
    for row in range(rows):
        rewards = rollout.rewards[row].tolist()
        block = []
        for column in sorted(range(rollout.group), key=lambda column: -rewards[column]):
            first, *others = _lines(rollout.captions[row * rollout.group + column] or "(empty)", TEXT, 3, font)
            colour = _colour(rewards[column], rewards)
            block += [(f"{rewards[column]:z.4f}", first, colour), *(("", line, colour) for line in others)]
        blocks.append(block)
    heights = [max(CELL, len(block) * LINE) + 2 * MARGIN for block in blocks]
    sheet, pen, font = _paper(left + NUMBER + TEXT + MARGIN, MARGIN + sum(heights))
    top = MARGIN
    for row, (block, height) in enumerate(zip(blocks, heights, strict=True)):
        shown = rollout.contexts[row * rollout.group]
        if isinstance(shown, Image.Image):
            sheet.paste(shown.convert("RGB").resize((CELL, CELL), Image.Resampling.LANCZOS), (MARGIN, top))
        for i, (reward, line, colour) in enumerate(block):
            pen.text((left, top + i * LINE), reward, colour, font)
            pen.text((left + NUMBER, top + i * LINE), line, colour, font)
        top += height
    return sheet


def _paper(width: int, height: int) -> tuple[Image.Image, ImageDraw.ImageDraw, Font]:
    sheet = Image.new("RGB", (width, height), PAPER)
    return sheet, ImageDraw.Draw(sheet), ImageFont.load_default(12)


def _lines(text: str, width: int, most: int, font: Font) -> list[str]:
    """The text in at least one and at most so many lines of the width in pixels; dots stand for what does not fit."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word[:200]}".lstrip()
        if lines[-1] and font.getlength(longer) > width:
            if len(lines) == most:
                lines[-1] += "..."
                break
            longer = word[:200]
            lines.append("")
        lines[-1] = longer
    return [_cut(line, width, font) for line in lines]


def _cut(line: str, width: int, font: Font) -> str:
    while font.getlength(line) > width:
        line = f"{line.removesuffix('...')[:-1]}..."
    return line


def _colour(reward: float, rewards: list[float]) -> str:
    if max(rewards) == min(rewards):
        return INK
    return BEST if reward == max(rewards) else WORST if reward == min(rewards) else INK
