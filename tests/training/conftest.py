"""A tiny random Janus in a folder, and trainings of it by the command line with rewards that need no network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from fake_rewards import REWARDS
from models.tiny import tiny_image_processor, tiny_janus_model, tiny_tokenizer
from PIL import Image
from small_trainings import PROMPTS, Train
from transformers.utils.logging import disable_progress_bar

from suder_bench import registry
from suder_bench.cli import main


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of 16 image tokens, said to be of the embedded world."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    model = tiny_janus_model()
    model.config.suder_bench_world = True
    _paint(model.model.vqmodel)
    model.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    tiny_image_processor().save_pretrained(folder)
    return folder


@torch.no_grad()
def _paint(quantizer: Any) -> None:
    """Every code becomes a square, red for the even ones and black for the others: a random decoder draws one grey."""
    codes = quantizer.quantize.embedding.weight
    codes /= codes[:, 1:].norm(dim=1, keepdim=True)
    codes[:, 0] = 1.0
    codes[1::2, 0] = -1.0
    decoder = quantizer.decoder
    for name, module in decoder.named_modules():
        if name.endswith(("conv2", "proj_out")):  # nothing is added to what passes through
            torch.nn.init.zeros_(module.weight)
            torch.nn.init.zeros_(module.bias)
        elif name.endswith(("conv_in", "upsample.conv")):
            torch.nn.init.dirac_(module.weight)
            torch.nn.init.zeros_(module.bias)
    torch.nn.init.dirac_(quantizer.post_quant_conv.weight)
    torch.nn.init.zeros_(quantizer.post_quant_conv.bias)
    torch.nn.init.zeros_(decoder.conv_out.weight)
    decoder.conv_out.weight[0, 0, 1, 1] = 100.0
    decoder.conv_out.bias[:] = torch.tensor([0.0, -1.0, -1.0])


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four pictures of noise."""
    folder = tmp_path_factory.mktemp("pictures")
    noise = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    for i, pixels in enumerate(noise):
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return folder


@pytest.fixture
def settings(tmp_path: Path, tiny_folder: Path, pictures: Path) -> dict[str, Any]:
    """A unified training of three steps with a checkpoint at each, two items a step and two samples an item."""
    (tmp_path / "prompts.txt").write_text("\n".join(PROMPTS))
    return {
        "model": str(tiny_folder),
        "num_generations": 2,
        "global_batch_size": 2,
        "data": {"prompts": [str(tmp_path / "prompts.txt")], "images": [str(pictures)]},
        "sampling": {"max_completion_length": 6, "guidance": 1},
        "samples_steps": 0,
        "trainer": {
            "learning_rate": 1e-3,
            "lr_scheduler_type": "constant",
            "warmup_steps": 0,
            "max_steps": 3,
            "per_device_train_batch_size": 2,
            "save_strategy": "steps",
            "save_steps": 1,
        },
    }


@pytest.fixture
def train(tmp_path: Path, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[Train]:
    """`train("run", "algorithm=grpo", ..., resume=True)`: the command, by default on `settings`; returns its status."""
    rewards = {**registry.TABLE["rewards"], **REWARDS}
    monkeypatch.setattr(registry, "TABLE", {**registry.TABLE, "rewards": rewards})
    monkeypatch.chdir(tmp_path)
    registry.table.cache_clear()
    disable_progress_bar()  # as the command does it before transformers is imported

    def run(out: str, *sets: str, config: str | None = None, resume: bool = False) -> int:
        if config is None:
            config = "recipe.yaml"
            Path(config).write_text(yaml.safe_dump(settings))
        chosen = [word for one in sets for word in ("--set", one)]
        last = ["--resume"] if resume else []
        return main(["train", "--config", config, "--out", out, "--device", "cpu", "--offline", *chosen, *last])

    yield run
    registry.table.cache_clear()
