"""What the tests of whole trainings share: how they are called, killed, and looked at."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from suder_bench.training import metrics

PROMPTS = ("a red ball", "two blue boxes left of a star", "a green cup", "three striped hearts and a tree")
CLOCKS = ("seconds/", "_per_second")
"""What differs between equal trainings."""

Train = Callable[..., int]
"""The fixture `train`."""


class Killed(BaseException):
    """As if the process had ended."""


@contextmanager
def die_at(step: int) -> Iterator[None]:
    """The training ends when this step has been logged, and before its checkpoint."""
    append_row = metrics.append_row

    def die(folder: Path, row: dict[str, Any]) -> None:
        append_row(folder, row)
        if row["step"] == step:
            raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metrics, "append_row", die)
        yield


def rows(run: Path | str) -> list[dict[str, Any]]:
    """What was logged."""
    return [json.loads(line) for line in (Path(run) / "metrics.jsonl").read_text().splitlines()]


def timeless(run: Path | str) -> list[dict[str, Any]]:
    """What was logged and must be the same in an equal training."""
    return [{name: value for name, value in row.items() if not any(clock in name for clock in CLOCKS)} for row in rows(run)]


def weights(checkpoint: Path | str) -> dict[str, torch.Tensor]:
    return load_file(Path(checkpoint) / "model.safetensors")


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    """Bit for bit."""
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
