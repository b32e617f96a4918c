"""What a `showo:` reference says: `CHECKPOINT?vq=REF&tokenizer=REF&vision=REF&estimator=NAME&...`. Imports no torch.

Show-o is published without its image tokenizer and without the text tokenizer, which are the same for all. Where a checkpoint's
folder holds them, as that of a training does, they are taken from there.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from suder_bench.errors import UserError
from suder_bench.models import arguments, checkpoint
from suder_bench.models.showo import sizes
from suder_bench.models.showo.sizes import ShowoSizes

VQ, TOKENIZER, VISION = "showlab/magvitv2", "microsoft/phi-1_5", "openai/clip-vit-large-patch14-336"
"""Where the authors' code takes the image tokenizer, the text tokenizer and CLIP from."""

PARTS = {"vq": "image tokenizer", "tokenizer": "text tokenizer", "vision": "CLIP-ViT"}
"""What a reference's settings of these names give."""

OWN_VQ, OWN_VISION = "magvitv2", "clip-vit"
"""Folders inside a checkpoint's that hold the same."""

GUIDANCE = 6.0
"""The authors' 5, which they count from 0: their (1 + s) c - s u is u + w (c - u) with w = 1 + s."""

STEPS = {256: 18, 1024: 50}
"""By image tokens: the default of the authors' function, and what they draw pictures of 512 pixels with."""

TIMESTEPS = "generation_timesteps"
"""Key of generation_config.json for steps of a checkpoint's own; that of guidance is `guidance_scale`."""

PUBLISHED: Mapping[str, ShowoSizes] = {
    "showlab/show-o": ShowoSizes(),
    "showlab/show-o-w-clip-vit": ShowoSizes(clip=True),
    "showlab/show-o-512x512": ShowoSizes(image_tokens=1024),
    "showlab/show-o-w-clip-vit-512x512": ShowoSizes(image_tokens=1024, clip=True),
    "showlab/show-o-512x512-wo-llava-tuning": ShowoSizes(image_tokens=1024),
}
"""Hub ids whose sizes are known without their files."""

CLIP = "it understands with a frozen other model (CLIP-ViT)"
"""Why those variants cannot be trained."""

ONE_STEP, ELBO = "one-step", "elbo"
FILLS = ("mask", "hide")


@dataclass(frozen=True)
class Estimator:
    """How the likelihood of pictures is estimated, which a model of masked codes has no exact value of.

    `one-step`: all codes are masked and each token of the prompt is dropped with probability `drop`, that is, replaced by the
    mask token (`fill` mask) or by padding that nothing looks at (hide). `elbo`: so many codes are masked as a step of training
    masks. Either is a mean over `draws`.
    """

    kind: str = ONE_STEP
    drop: float = 0.15
    fill: str = FILLS[0]
    draws: int = 1

    def __str__(self) -> str:
        if self.kind == ELBO:
            return f"{ELBO} (draws {self.draws})"
        return f"{ONE_STEP} (drop {self.drop:g}, fill {self.fill}, draws {self.draws})"


@dataclass(frozen=True)
class ShowoReference:
    """`checkpoint` is a folder or hub id, and so are the parts that it says; None leaves one to the checkpoint's folder, or to
    the published one."""

    checkpoint: str
    vq: str | None = None
    tokenizer: str | None = None
    vision: str | None = None
    estimator: Estimator = Estimator()
    allow_nonfinite: bool = False

    def outside(self, folder: Path, *, clip: bool) -> dict[str, str]:
        """Folder or hub id of each part, image tokenizer (vq), text tokenizer and CLIP (vision), that does not lie inside the
        checkpoint's `folder`; what the reference says goes before what lies there."""
        there = {
            "vq": (folder / OWN_VQ).is_dir(),
            "tokenizer": any((folder / name).is_file() for name in checkpoint.VOCABULARIES),
            "vision": (folder / OWN_VISION).is_dir() or not clip,
        }
        published = {"vq": VQ, "tokenizer": TOKENIZER, "vision": VISION}
        said = {"vq": self.vq, "tokenizer": self.tokenizer, "vision": self.vision if clip else None}
        return {name: said[name] or published[name] for name in there if said[name] or not there[name]}


def read(reference: str) -> ShowoReference:
    """Raises `UserError` for what is no such reference."""
    alone, asked = arguments.split(sizes.KIND, reference)
    empty = [name for name, value in asked.items() if not value]
    if empty:
        raise UserError(f"model '{reference}' says nothing for {empty[0]}; give a value, or leave it out")
    return ShowoReference(
        alone,
        asked.get("vq"),
        asked.get("tokenizer"),
        asked.get("vision"),
        _estimator(reference, asked),
        arguments.NONFINITE in asked,
    )


def _estimator(reference: str, asked: Mapping[str, str]) -> Estimator:
    kind = asked.get("estimator", ONE_STEP)
    if kind not in (ONE_STEP, ELBO):
        raise UserError(f"estimator '{kind}' of model '{reference}' is neither {ONE_STEP} nor {ELBO}")
    idle = [name for name in ("drop", "fill") if name in asked]
    if kind == ELBO and idle:
        raise UserError(f"model '{reference}': {idle[0]} says nothing to estimator {ELBO}, which drops no tokens; leave it out")
    fill, draws, drop = asked.get("fill", FILLS[0]), asked.get("draws", "1"), asked.get("drop", "0.15")
    if fill not in FILLS:
        raise UserError(f"fill '{fill}' of model '{reference}' is neither {' nor '.join(FILLS)}")
    if not re.fullmatch(r"[1-9]\d{0,5}", draws):
        raise UserError(f"draws '{draws}' of model '{reference}' is not a whole number from 1 on")
    if not re.fullmatch(r"\d*\.?\d+", drop) or not 0 <= float(drop) <= 1:
        raise UserError(f"drop '{drop}' of model '{reference}' is not a number from 0 to 1")
    return Estimator(kind, float(drop), fill, int(draws))


def check(folder: Path) -> None:
    """Raises `UserError` for a folder that holds no whole Show-o, naming what is missing or not whole. Reads no tensor."""
    checkpoint.check_described(folder)
    sizes.read(folder)
    checkpoint.check_readable(folder)
    own_steps(folder)
    if (folder / OWN_VQ).is_dir():
        checkpoint.check_weights(folder / OWN_VQ)


def own_steps(folder: Path) -> int | None:
    """The steps that a checkpoint's generation_config.json asks for. Raises `UserError` for what is no number of steps."""
    file = folder / checkpoint.GENERATION
    found: Any = checkpoint.read_json(file).get(TIMESTEPS) if file.is_file() else None
    if found is not None and (type(found) is not int or found < 1):
        raise UserError(f"{file}: {TIMESTEPS} is {json.dumps(found)}, not a whole number from 1 on")
    return found


def default_steps(image_tokens: int) -> int:
    """Those of the nearest published size."""
    return STEPS[min(STEPS, key=lambda known: abs(math.log(known / image_tokens)))]


def sizes_of(reference: str, folder: Path | None) -> ShowoSizes | None:
    """Of a checkpoint, by the config.json in `folder`, or by heart; None where nobody knows."""
    if folder is not None:
        return sizes.read(folder)
    return PUBLISHED.get(read(reference).checkpoint)


def steps_of(reference: str, folder: Path | None) -> int | None:
    """How many steps a picture takes by itself."""
    found = sizes_of(reference, folder)
    own = None if folder is None else own_steps(folder)
    return own if own is not None or found is None else default_steps(found.image_tokens)
