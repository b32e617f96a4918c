"""Folders of pipelines: what is recognised, what is refused in one line, and what the fingerprint covers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("diffusers")

from models.tiny_pipelines import save_tiny_pipeline, tiny_pipeline
from safetensors.torch import load_file, save_file

from suder_bench.errors import UserError
from suder_bench.models.diffusion.model import DiffusersModel
from suder_bench.models.protocols import ImageSampling
from suder_bench.models.reference import choose

TWO = ImageSampling(guidance=4.0, steps=2)
UNET = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_pipeline(tmp_path_factory.mktemp("pipelines") / "sd", "sd")


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    return shutil.copytree(saved, tmp_path / "sd")


def change(file: Path, **values: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def reweigh(file: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    weights = load_file(file)
    change(weights)
    save_file(weights, file)


def test_a_folder_is_known_by_its_model_index(saved: Path) -> None:
    chosen = choose(str(saved))
    assert (chosen.adapter, chosen.guidance, chosen.steps) == ("diffusers", 7.5, 50)
    assert choose(f"diffusers:{saved}").guidance == 7.5
    assert chosen.stamp() == choose(f"diffusers:{saved}").stamp()
    chosen.check()


@pytest.mark.parametrize("kind", ["sd", "sdxl", "sd3", "pixart"])
def test_a_saved_pipeline_draws_as_it_did_in_memory(kind: str, tmp_path: Path) -> None:
    saved = save_tiny_pipeline(tmp_path / kind, kind)
    [here] = DiffusersModel(tiny_pipeline(kind)).generate(["a cup"], seeds=[3], sampling=TWO)
    loaded = choose(str(saved)).load(device="cpu", dtype="float32")
    assert isinstance(loaded, DiffusersModel)
    [there] = loaded.generate(["a cup"], seeds=[3], sampling=TWO)
    assert np.array_equal(np.asarray(here.picture), np.asarray(there.picture))


def test_weights_are_computed_in_the_dtype_asked_for(saved: Path) -> None:
    assert DiffusersModel.load(str(saved), dtype="bfloat16").settings["dtype"] == "bfloat16"


def test_a_safety_checker_is_not_loaded_and_named(folder: Path) -> None:
    change(folder / "model_index.json", safety_checker=["stable_diffusion", "StableDiffusionSafetyChecker"])
    change(folder / "model_index.json", feature_extractor=["transformers", "CLIPImageProcessor"], requires_safety_checker=True)
    model = DiffusersModel.load(str(folder))
    assert model.pipeline.safety_checker is None
    assert model.settings["switched off"] == "safety_checker, feature_extractor"


def test_sdxl_draws_no_watermark_whatever_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = "diffusers.pipelines.stable_diffusion_xl.pipeline_stable_diffusion_xl"
    monkeypatch.setattr(f"{module}.is_invisible_watermark_available", lambda: True)
    model = DiffusersModel.load(str(save_tiny_pipeline(tmp_path / "sdxl", "sdxl")))
    assert model.pipeline.watermark is None


def test_pickled_weights_and_those_of_a_variant_are_read(folder: Path, saved: Path) -> None:
    whole = DiffusersModel.load(str(saved))
    weights = load_file(folder / UNET)
    (folder / UNET).unlink()
    torch.save(weights, folder / "unet" / "diffusion_pytorch_model.bin")
    vae = folder / "vae"
    (vae / "diffusion_pytorch_model.safetensors").rename(vae / "diffusion_pytorch_model.fp16.safetensors")
    text = folder / "text_encoder"
    (text / "model.safetensors").rename(text / "model.fp16.safetensors")
    model = DiffusersModel.load(str(folder))
    assert model.settings["variant"] == "fp16"
    drawn = [np.asarray(one.generate(["a cup"], seeds=[1], sampling=TWO)[0].picture) for one in (whole, model)]
    assert np.array_equal(*drawn)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused_by_name(folder: Path, bad: float) -> None:
    reweigh(folder / UNET, lambda weights: weights["conv_in.weight"][0, 0].fill_(bad))
    with pytest.raises(UserError, match=r"9 of the 576 numbers of weight unet\.conv_in\.weight are NaN or infinite"):
        DiffusersModel.load(str(folder))
    chosen = choose(str(folder), {"allow_nonfinite": "true"})
    assert (chosen.steps, chosen.guidance) == (choose(str(folder)).steps, choose(str(folder)).guidance)
    chosen.check()
    note = chosen.load(device="cpu", dtype="float32").settings["weights not finite"]
    assert note.startswith("9 NaN or infinite numbers in 1 of ")
    assert note.endswith(" weights, such as unet.conv_in.weight")


BROKEN: list[tuple[str, Callable[[Path], object], str]] = [
    ("no index", lambda f: (f / "model_index.json").unlink(), r"holds no model_index.json"),
    ("torn index", lambda f: (f / "model_index.json").write_text("{"), r"model_index.json: not a readable JSON file"),
    ("no class", lambda f: change(f / "model_index.json", _class_name=None), "names no pipeline"),
    ("own code", lambda f: change(f / "model_index.json", _class_name=["pipeline", "Mine"]), r"code of its own \(pipeline.py\)"),
    ("another task", lambda f: change(f / "model_index.json", _class_name="WanPipeline"), "names WanPipeline, which diffusers"),
    ("no component", lambda f: shutil.rmtree(f / "vae"), "lacks the folder vae"),
    ("component's code", lambda f: (f / "unet" / "diffusers.py").write_text(""), r"code of its own \(unet/diffusers.py\)"),
    (
        "another library",
        lambda f: change(f / "model_index.json", vae=["mine", "Mine"]),
        "component vae is of mine.Mine, which nothing",
    ),
    ("no config", lambda f: (f / "unet" / "config.json").unlink(), "has no configuration in its folder unet"),
    ("torn config", lambda f: (f / "vae" / "config.json").write_text('{"a": '), "vae/config.json: not a readable JSON file"),
    (
        "torn scheduler",
        lambda f: (f / "scheduler/scheduler_config.json").write_text("{"),
        "scheduler_config.json: not a readable",
    ),
    ("no vocabulary", lambda f: (f / "tokenizer" / "tokenizer.json").unlink(), "has no vocabulary in its folder tokenizer"),
    ("no weights", lambda f: (f / UNET).unlink(), "holds no weights in its folder unet"),
    ("cut short", lambda f: (f / UNET).write_bytes((f / UNET).read_bytes()[:-9]), "is cut short, or no safetensors file"),
    ("pointer", lambda f: (f / UNET).write_text("version https://git-lfs.github.com/spec/v1\n"), "is a Git LFS pointer"),
    (
        "missing key",
        lambda f: reweigh(f / UNET, lambda w: w.pop("conv_in.weight")),
        "lacks 1 weights of its unet, such as conv_in",
    ),
    (
        "missing key of a text encoder",
        lambda f: reweigh(f / "text_encoder/model.safetensors", lambda w: w.pop(sorted(w)[0])),
        "lacks 1 weights of its text_encoder",
    ),
    (
        "key left over",
        lambda f: reweigh(f / UNET, lambda w: w.update(extra=torch.ones(2))),
        "holds 1 weights that .* unet leaves",
    ),
    ("shape", lambda f: change(f / "unet" / "config.json", in_channels=5), "conv_in.weight"),
    ("shape of a text encoder", lambda f: change(f / "text_encoder/config.json", intermediate_size=40), r"text_encoder\..*shape"),
]


@pytest.mark.parametrize(("damage", "told"), [row[1:] for row in BROKEN], ids=[row[0] for row in BROKEN])
def test_a_damaged_folder_is_refused_in_a_line(folder: Path, damage: Callable[[Path], object], told: str) -> None:
    damage(folder)
    with pytest.raises(UserError, match=told) as caught:
        DiffusersModel.load(str(folder))
    assert "\n" not in str(caught.value)


def test_a_loaded_pipeline_stays_what_it_is_when_its_files_are_written_over(folder: Path) -> None:
    model = DiffusersModel.load(str(folder))
    [before] = model.generate(["a cup"], seeds=[1], sampling=TWO)
    for file in folder.rglob("*.safetensors"):
        with file.open("r+b") as stream:
            stream.seek(file.stat().st_size // 2)
            stream.write(bytes(file.stat().st_size // 4))
    [after] = model.generate(["a cup"], seeds=[1], sampling=TWO)
    assert np.array_equal(np.asarray(before.picture), np.asarray(after.picture))


def test_a_missing_shard_is_named(folder: Path) -> None:
    (folder / UNET).unlink()
    index = {"weight_map": {"conv_in.weight": "diffusion_pytorch_model-00001-of-00002.safetensors"}}
    (folder / f"{UNET}.index.json").write_text(json.dumps(index))
    with pytest.raises(UserError, match=r"lacks 1 of the 1 files that diffusion_pytorch_model.safetensors.index.json names"):
        choose(str(folder)).check()


def test_shards_are_read(folder: Path, saved: Path) -> None:
    shutil.rmtree(folder / "unet")
    tiny_pipeline("sd").unet.save_pretrained(folder / "unet", max_shard_size="200KB")
    assert len(list((folder / "unet").glob("*.safetensors"))) > 1
    drawn = [DiffusersModel.load(str(f)).generate(["a cup"], seeds=[1], sampling=TWO)[0].picture for f in (folder, saved)]
    assert np.array_equal(*map(np.asarray, drawn))


@pytest.mark.parametrize(
    ("part", "damage"),
    [
        ("pipeline", lambda f: change(f / "model_index.json", force_zeros_for_empty_prompt=False)),
        ("scheduler", lambda f: change(f / "scheduler/scheduler_config.json", beta_end=0.013)),
        ("tokenizer", lambda f: change(f / "tokenizer/tokenizer_config.json", model_max_length=64)),
        ("unet", lambda f: reweigh(f / UNET, lambda w: w["conv_in.weight"].add_(1))),
        ("vae", lambda f: change(f / "vae/config.json", scaling_factor=0.2)),
    ],
)
def test_the_fingerprint_covers_each_part_that_decides_a_picture(
    folder: Path, saved: Path, part: str, damage: Callable[[Path], object]
) -> None:
    damage(folder)
    before, after = DiffusersModel.load(str(saved)), DiffusersModel.load(str(folder))
    assert {name for name in before.parts if before.parts[name] != after.parts[name]} == {part}
    assert before.fingerprint != after.fingerprint


def test_the_fingerprint_leaves_out_what_is_not_read(folder: Path, saved: Path) -> None:
    (folder / "README.md").write_text("a card")
    shutil.copy(folder / UNET, folder / "unet" / "diffusion_pytorch_model.non_ema.safetensors")
    assert DiffusersModel.load(str(folder)).fingerprint == DiffusersModel.load(str(saved)).fingerprint
