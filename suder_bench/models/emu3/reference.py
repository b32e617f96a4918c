"""What an `emu3:` reference says: `GEN+CHAT?image_area=N&negative_prompt=TEXT`. Imports no torch.

Emu3 is published as two checkpoints, one that draws and one that answers; a checkpoint that does both is named once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from suder_bench.errors import UserError
from suder_bench.models import arguments
from suder_bench.models.hub import HUB_ID, is_folder

KIND = "emu3"
"""The model_type of config.json, and the name of the adapter."""

IMAGE_AREA = 720 * 720
"""Pixels of a picture unless it is said: those of the authors' script, and of transformers' processor."""

NEGATIVE_PROMPT = (
    "lowres, bad anatomy, bad hands, text, error, missing fingers, extra digit, fewer digits, cropped, worst quality, "
    "low quality, normal quality, jpeg artifacts, signature, watermark, username, blurry."
)
"""The authors' own, that guidance compares with."""

GUIDANCE = 3.0
"""The authors' own."""


@dataclass(frozen=True)
class Emu3Reference:
    """`generation` and `understanding` are folders or hub ids, and may be the same; `image_area` is in pixels."""

    generation: str
    understanding: str
    image_area: int = IMAGE_AREA
    negative_prompt: str = NEGATIVE_PROMPT
    allow_nonfinite: bool = False

    @property
    def checkpoints(self) -> tuple[str, ...]:
        """The one that both are, or the two."""
        return tuple(dict.fromkeys((self.generation, self.understanding)))


def read(reference: str) -> Emu3Reference:
    """Raises `UserError` for what is no such reference."""
    alone, asked = arguments.split(KIND, reference)
    generation, understanding = _pair(alone)
    area = asked.get("image_area", str(IMAGE_AREA))
    if not re.fullmatch(r"[1-9]\d{0,8}", area):
        raise UserError(f"image_area '{area}' of model '{reference}' is not a whole number of pixels from 1 on")
    negative = asked.get("negative_prompt", NEGATIVE_PROMPT)
    return Emu3Reference(generation, understanding, int(area), negative, arguments.NONFINITE in asked)


def _pair(text: str) -> tuple[str, str]:
    """At the plus between two checkpoints; a folder's name may hold one too."""
    if _exists(text):
        return text, text
    places = [i for i, sign in enumerate(text) if sign == "+"]
    pairs = [(text[:i], text[i + 1 :]) for i in places]
    found = next((pair for pair in pairs if all(map(_exists, pair))), pairs[0] if pairs else (text, text))
    if not all(found):
        raise UserError(f"model 'emu3:{text}' names one checkpoint and a plus; write emu3:GEN+CHAT, or one for both: emu3:DIR")
    return found


def _exists(name: str) -> bool:
    return is_folder(name) or HUB_ID.fullmatch(name) is not None
