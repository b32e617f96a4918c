"""Questions whose response is how likely a model finds each of several answers, rather than an answer of its own."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from itertools import islice

from PIL import Image

from suder_bench.errors import UserError
from suder_bench.models.protocols import TextLikelihood
from suder_bench.records import ImageSource, open_image
from suder_bench.runs.plan import Item

LOSSES = "losses"
"""The key of a response: {"losses": [one for each choice]}."""


def rank(model: TextLikelihood, items: Sequence[Item]) -> list[str]:
    """A response to each item, a JSON object with the summed loss (in nats) of "PROMPT CHOICE" for each of its choices.

    The prompt's own loss is the same for every choice, so that they are ranked by -log p(choice | picture, prompt), however
    many tokens they have. All choices of a batch are scored together, and a picture is opened once. Raises `UserError` for
    losses that are no numbers.
    """
    import torch

    opened: dict[ImageSource, Image.Image] = {}
    for item in items:
        [source] = item.sample.images
        if source not in opened:
            opened[source] = open_image(source)
    pictures = [opened[item.sample.images[0]] for item in items for _ in item.sample.choices]
    texts = [f"{item.sample.prompt} {choice}" for item in items for choice in item.sample.choices]
    with torch.no_grad():
        losses = (-float(scores.double().sum()) for scores in model.text_logprobs(pictures, texts))
    return [_response(item, list(islice(losses, len(item.sample.choices)))) for item in items]


def _response(item: Item, losses: Sequence[float]) -> str:
    if not all(map(math.isfinite, losses)):
        raise UserError(f"the losses of its choices are {', '.join(f'{loss:g}' for loss in losses)}; not all are finite")
    return json.dumps({LOSSES: losses})
