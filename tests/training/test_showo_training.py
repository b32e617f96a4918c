"""A Show-o in training: both algorithms on the estimated likelihood of its pictures, from a folder to a folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from models.showo.small_showo import write_folder
from safetensors.torch import load_file
from small_trainings import Killed, Train, die_at, rows, timeless

from suder_bench.models.protocols import ImageSampling
from suder_bench.models.reference import choose
from suder_bench.models.showo.model import ShowoModel

WEIGHTS = "pytorch_model.safetensors"


@pytest.fixture(scope="module")
def showo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("showo") / "small")


@pytest.mark.parametrize("algorithm", ["diffu-grpo", "simpo"])
def test_it_learns_both_ways_and_saves_what_loads_by_itself(algorithm: str, showo: Path, train: Train, tmp_path: Path) -> None:
    asked = (f"model={showo}?draws=2", f"algorithm={algorithm}", "sampling.steps=2", "trainer.max_steps=2", "reward.gen=dsr")
    assert train("run", *asked) == 0
    assert len(rows("run")) == 2
    assert all(
        torch.tensor([value for value in row.values() if isinstance(value, float)]).isfinite().all() for row in rows("run")
    )
    folder = tmp_path / "run" / "checkpoint-2"
    before, after = load_file(showo / WEIGHTS), load_file(folder / WEIGHTS)
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert {"showo.lm_head.weight", "showo.model.embed_tokens.weight", "showo.model.layers.0.mlp.fc1.weight"} <= changed
    for name in ("magvitv2/pytorch_model.safetensors", "tokenizer.json"):
        assert (folder / name).is_file()
    chosen = choose(str(folder))
    chosen.check()
    model = chosen.load(device="cpu", dtype="float32")
    assert isinstance(model, ShowoModel)
    assert model.generate(["a red ball"], seeds=[0], sampling=ImageSampling(steps=2))[0].picture.size == (16, 16)
    assert "one-step (drop 0.15, fill mask, draws 2)" in (tmp_path / "run" / "model.json").read_text()
    assert json.loads((folder / "config.json").read_text())["model_type"] == "showo"


def test_a_training_resumes_with_the_same_numbers(showo: Path, train: Train) -> None:
    asked = (f"model={showo}", "algorithm=diffu-grpo", "sampling.steps=2", "strategy=only-gen")
    assert train("whole", *asked) == 0
    with die_at(2), pytest.raises(Killed):
        train("parts", *asked)
    assert train("parts", *asked, resume=True) == 0
    assert timeless("parts") == timeless("whole")


def test_one_that_clip_sees_for_is_not_trained(
    showo: Path, train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_folder(tmp_path / "clip")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"w_clip_vit": True}))
    assert train("run", f"model={folder}") == 2
    assert "it understands with a frozen other model (CLIP-ViT) (adapter 'showo')" in capsys.readouterr().err
