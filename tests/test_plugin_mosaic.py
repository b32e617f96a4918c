"""The plug-in's second model, `mosaic`: a family that suder-bench has never heard of keeps the protocols of models that
learn, from its entry point alone."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from suder_bench import registry
from suder_bench.models.protocols import ImageSampling
from suder_bench.testing import check_model

PROMPTS = ("a red wall", "a black night sky", "a white field", "a blue sheet of paper")


@pytest.fixture
def plugin(installed: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The installed plug-in's entry points are seen in this process."""
    monkeypatch.syspath_prepend(installed)
    registry.table.cache_clear()
    yield
    registry.table.cache_clear()


@pytest.fixture(scope="session")
def mosaic(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint, made as the module says."""
    folder = tmp_path_factory.mktemp("mosaic") / "start"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(installed), os.environ.get("PYTHONPATH", "")])}
    subprocess.run([sys.executable, "-m", "suder_bench_example.mosaic", folder], check=True, cwd=folder.parent, env=environment)
    return folder


@pytest.fixture
def model(plugin: None, mosaic: Path) -> Any:
    return registry.load("models", "mosaic").load(str(mosaic), device="cpu", dtype="float32")


def test_it_keeps_every_protocol(model: Any) -> None:
    assert check_model(model) == ["TextToImage", "ImageToText", "TextLikelihood", "DualLikelihood", "Trainable"]


def test_its_own_reward_picks_the_purer_mosaics(model: Any) -> None:
    asked = [prompt for prompt in PROMPTS for _ in range(16)]
    tokens = model.draw(asked, seeds=range(64), sampling=ImageSampling(guidance=1)).tokens
    right = (tokens == torch.tensor([2, 1, 0, 4]).repeat_interleave(16)[:, None]).double().mean(dim=1).view(4, 16)
    reward = registry.load("rewards", "dsr").load(model).score_images(asked, model.decode_tokens(tokens))
    best = torch.tensor(reward).view(4, 16).argmax(dim=1, keepdim=True)
    assert right.gather(1, best).mean() > right.mean() + 0.05


FAULTS: dict[str, tuple[str, Callable[[Any], Any], str]] = {
    "forgets a weight": (
        "saved",
        lambda saved: lambda folder: {name: one for name, one in saved(folder).items() if name != "tile_head.bias"},
        "saved gives other names",
    ),
    "saves other weights": (
        "save",
        lambda save: lambda folder, weights: save(folder, {name: one + 1 for name, one in weights.items()}),
        "saved gives other weights",
    ),
    "decodes to bytes": ("decode_tokens", lambda decode: lambda tokens: 255 * decode(tokens), r"outside \[-1, 1\]"),
    "cannot learn": ("image_scores", lambda scores: torch.no_grad()(scores), "of task gen have no gradient"),
    "touches what is idle": (
        "anatomy",
        lambda own: replace(own, idle={"gen": (), "und": ()}),
        "not reach the part word",
    ),
    "has no such part": ("anatomy", lambda own: replace(own, usual=("head",)), "speaks of head, which is none of its parts"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_it_might_do_wrong_is_named(fault: str, model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    name, wrapped, told = FAULTS[fault]
    monkeypatch.setattr(model, name, wrapped(getattr(model, name)))
    with pytest.raises(AssertionError, match=told):
        check_model(model)
