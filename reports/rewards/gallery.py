"""A sheet of prompts whose favourites have different verdicts: what each reward would have picked, side by side."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from suder_bench.reports import door
from suder_bench.reports.credit import overlay
from suder_bench.rewards.compare import disagreements
from suder_bench.rewards.sampled import Sampled
from suder_bench.runs.jsonl import replace_file
from suder_bench.training.sheets import BEST, CELL, INK, LINE, MARGIN, PAPER, WORST

WIDTH = 480
"""At least: a prompt stands above its pictures."""


def gallery(drawn: Sampled, file: Path, *, given: Sequence[Path], cases: int) -> bool:
    """Write the sheet, favourites framed green where the verdict is the best of them, orange elsewhere, above their maps by each
    reward that knows regions; without a case remove an earlier sheet, and return false. Raises `OutsideError` for a picture that
    does not lie in the folders given."""
    found = disagreements(drawn.samples, cases)
    verdict = drawn.samples.verdict
    if not found or verdict is None:
        file.unlink(missing_ok=True)
        return False
    height = LINE + CELL + 2 * LINE + MARGIN + len(drawn.regions) * (CELL + LINE)
    columns = len(drawn.samples.rewards)
    sheet = Image.new("RGB", (max(WIDTH, MARGIN + columns * (CELL + MARGIN)), MARGIN + len(found) * height), PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    for place, (row, picks) in enumerate(found):
        top = MARGIN + place * height
        pen.text((MARGIN, top), str(drawn.given[row]), INK, font)
        best = max(verdict[row, pick] for pick in picks.values())
        for column, (name, pick) in enumerate(picks.items()):
            left, upper = MARGIN + column * (CELL + MARGIN), top + LINE + 2
            colour = BEST if verdict[row, pick] == best else WORST
            whole = door.picture(Path(drawn.made[row][pick]), *given)
            sheet.paste(_small(whole), (left, upper))
            pen.rectangle((left - 2, upper - 2, left + CELL + 1, upper + CELL + 1), outline=colour, width=2)
            number = f"{name} {drawn.samples.rewards[name][row, pick]:z.3f}"
            pen.text((left, upper + CELL + 2), number, INK, font)
            pen.text((left, upper + CELL + LINE), f"verdict {verdict[row, pick]:g}", colour, font)
            below = upper + CELL + 2 * LINE
            for crediting, regions in drawn.regions.items():
                sheet.paste(_small(overlay(whole, regions[row][pick])), (left, below))
                pen.text((left, below + CELL), f"credit by {crediting}", INK, font)
                below += CELL + LINE
    content = io.BytesIO()
    sheet.save(content, "PNG")
    replace_file(file, content.getvalue())
    return True


def _small(picture: Image.Image) -> Image.Image:
    return picture.resize((CELL, CELL), Image.Resampling.LANCZOS)
