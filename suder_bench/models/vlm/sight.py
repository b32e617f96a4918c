"""Looking at a picture once for all questions about it: the vision encoder is given one of equal pictures, and what it made of
that is taken for all of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from PIL import Image
from transformers.utils import ModelOutput

TOGETHER = 16
"""Questions about one picture that are read together at most."""


def runs(pictures: Sequence[Image.Image], most: int = TOGETHER) -> Iterator[list[int]]:
    """Places of equal pictures that follow each other, at most so many together."""
    places: list[int] = []
    for place, picture in enumerate(pictures):
        if places and (len(places) == most or not _equal(pictures[places[-1]], picture)):
            yield places
            places = []
        places.append(place)
    if places:
        yield places


@contextmanager
def looking_once(model: Any, copies: int) -> Iterator[None]:
    """Within, a batch of so many copies of a picture is encoded as one. A model that has no encoder of its own for pictures, as
    Chameleon, which turns them into codes, looks at all."""
    encoder = model.get_encoder(modality="image")
    if copies == 1 or encoder is model or encoder is model.base_model:
        yield
        return
    look, own = encoder.forward, encoder.__dict__.get("forward")

    def look_once(*given: Any, **named: Any) -> Any:
        tensors = [value for value in (*given, *named.values()) if isinstance(value, torch.Tensor)]
        if not all(_copied(value, copies) for value in tensors):
            return look(*given, **named)
        first = [_first(value, copies) for value in given]
        return _repeated(look(*first, **{name: _first(value, copies) for name, value in named.items()}), copies)

    encoder.forward = look_once
    try:
        yield
    finally:
        if own is None:
            del encoder.forward
        else:
            encoder.forward = own


def _equal(one: Image.Image, other: Image.Image) -> bool:
    return one is other or (one.size == other.size and one.mode == other.mode and one.tobytes() == other.tobytes())


def _copied(value: torch.Tensor, copies: int) -> bool:
    if not value.dim() or len(value) % copies:
        return False
    parts = value.reshape(copies, -1)
    return bool((parts == parts[:1]).all())


def _first(value: Any, copies: int) -> Any:
    return value[: len(value) // copies] if isinstance(value, torch.Tensor) else value


def _repeated(made: Any, copies: int) -> Any:
    """Every tensor of an encoder's output, whose first dimension are pictures or patches of all pictures, so many times."""
    if isinstance(made, torch.Tensor):
        return torch.cat([made] * copies)
    if isinstance(made, ModelOutput):
        return type(made)(**{name: _repeated(value, copies) for name, value in made.items()})
    if isinstance(made, tuple | list):
        return type(made)(_repeated(value, copies) for value in made)
    return made
