"""`--model emu3:GEN+CHAT?image_area=N`: what it means, what runs with it, and what is refused before anything is drawn."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from models.emu3.tiny_emu3 import write_checkpoint
from models.tiny import edit_json
from safetensors.torch import load_file, save_file

from suder_bench.cli import main
from suder_bench.errors import UserError
from suder_bench.models.emu3 import reference
from suder_bench.models.emu3.adapter import Emu3Model
from suder_bench.models.reference import choose

WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("emu3") / "Emu3-Tiny")


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(whole, tmp_path / "ckpt"))


def test_a_reference_names_one_checkpoint_or_two(tmp_path: Path) -> None:
    (tmp_path / "a+b").mkdir()
    (tmp_path / "c").mkdir()
    assert reference.read("BAAI/Emu3-Gen-hf+BAAI/Emu3-Chat-hf").checkpoints == ("BAAI/Emu3-Gen-hf", "BAAI/Emu3-Chat-hf")
    assert reference.read("BAAI/Emu3-Stage1-hf").checkpoints == ("BAAI/Emu3-Stage1-hf",)
    assert reference.read(f"{tmp_path}/a+b").checkpoints == (f"{tmp_path}/a+b",)
    assert reference.read(f"{tmp_path}/a+b+{tmp_path}/c").checkpoints == (f"{tmp_path}/a+b", f"{tmp_path}/c")


def test_settings_follow_the_reference() -> None:
    asked = reference.read("a/b?image_area=4096&negative_prompt=bad%20%26%20grey")
    assert (asked.checkpoints, asked.image_area, asked.negative_prompt) == (("a/b",), 4096, "bad & grey")
    assert reference.read("a/b").image_area == 518400
    chosen = choose("emu3:a/b?negative_prompt=grey", {"image_area": "64"})
    assert chosen.name == "emu3:a/b?negative_prompt=grey&image_area=64"
    assert reference.read(chosen.reference) == reference.read("a/b?negative_prompt=grey&image_area=64")


@pytest.mark.parametrize(
    ("text", "asked", "told"),
    [
        ("emu3:a/b?image_are=4096", {}, "unknown setting of emu3 'image_are'; did you mean 'image_area'"),
        ("emu3:a/b?image_area=-1", {}, "image_area '-1' of model .* is not a whole number of pixels"),
        ("emu3:a/b?image_area=1&image_area=2", {}, "NAME=VALUE once for each setting"),
        ("emu3:a/b?64", {}, "unknown setting of emu3 '64'|NAME=VALUE"),
        ("emu3:a/b+", {}, r"names one checkpoint and a plus; write emu3:GEN\+CHAT"),
        ("emu3:./nowhere", {}, "'./nowhere' is neither a folder nor a hub id"),
        ("emu3:a/b?image_area=64", {"image_area": "64"}, "both give image_area; leave one out"),
        ("tiny-janus", {"image_area": "64"}, r"--image-area says nothing to a model of adapter 'janus' \(choices: emu3\)"),
    ],
)
def test_mistakes_in_a_reference(text: str, asked: dict[str, str], told: str) -> None:
    with pytest.raises(UserError, match=told):
        choose(text, asked).check()


def test_a_folder_says_by_its_config_that_it_is_an_emu3(whole: Path, tmp_path: Path) -> None:
    chosen = choose(str(whole))
    assert (chosen.adapter, chosen.label, chosen.world, chosen.guidance) == ("emu3", "Emu3-Tiny", False, 3.0)
    asked = choose(f"{whole}?image_area=1024")
    assert (asked.adapter, asked.label) == ("emu3", "Emu3-Tiny-1024")
    both = choose(f"emu3:{whole}+{tmp_path}")
    assert both.label == f"Emu3-Tiny+{tmp_path.name}"
    edit_json(Path(shutil.copytree(whole, tmp_path / "other")) / "generation_config.json", guidance_scale=7.5)
    assert choose(f"emu3:{tmp_path}/other+{whole}").guidance == 7.5


def test_the_stamp_tells_a_change_in_either_checkpoint(whole: Path, folder: Path) -> None:
    both = choose(f"emu3:{whole}+{folder}")
    before = both.stamp()
    assert before == choose(f"emu3:{whole}+{folder}?image_area=64").stamp()
    edit_json(folder / "generation_config.json", guidance_scale=2)
    assert before is not None
    assert both.stamp() != before


def run(out: Path, *argv: str) -> int:
    return main(["run", "--data", "world", "--device", "cpu", "--out", str(out), *argv])


def test_all_benchmarks_run_and_run_json_says_with_what(whole: Path, folder: Path, tmp_path: Path) -> None:
    model = f"emu3:{whole}+{folder}"
    assert run(tmp_path / "run", "--model", model, "--suite", "all", "--limit", "1", "--image-area", "1024") == 0
    recipe = json.loads((tmp_path / "run" / "run.json").read_text())
    assert recipe["model"]["name"] == f"{model}?image_area=1024"
    assert recipe["model"]["settings"]["image area"] == "1024"
    assert recipe["sampling"]["image"]["guidance"] == 3.0
    assert len(json.loads((tmp_path / "run" / "summary.json").read_text())["benchmarks"]) == 7


def test_a_resumed_run_of_another_area_is_refused(whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["--model", f"emu3:{whole}", "--benchmark", "geneval", "--limit", "1", "--stage", "respond"]
    assert run(tmp_path / "run", *argv, "--image-area", "1024") == 0
    assert run(tmp_path / "run", *argv, "--image-area", "4096") == 2
    assert "made with model setting image area '1024', not '4096'" in capsys.readouterr().err.splitlines()[-1]


def test_a_checkpoint_that_cannot_answer_is_refused_before_anything_is_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = f"emu3:{write_checkpoint(tmp_path / 'gen', template=None)}"
    assert run(tmp_path / "run", "--model", model, "--suite", "all", "--limit", "1", "--image-area", "1024") == 2
    assert "answers no questions" in capsys.readouterr().err.splitlines()[-1]
    assert not list((tmp_path / "run").glob("images/*"))


def told(folder: Path) -> str:
    """The one line with which a checkpoint is refused."""
    with pytest.raises(UserError) as mistake:
        Emu3Model.load(str(folder))
    line = str(mistake.value)
    assert "\n" not in line
    assert str(folder) in line
    return line


def change_weights(folder: Path, **changes: torch.Tensor | None) -> None:
    weights = {name: value.clone() for name, value in load_file(folder / WEIGHTS).items()} | changes
    save_file({name: value for name, value in weights.items() if value is not None}, folder / WEIGHTS, {"format": "pt"})


HEAD = "text_model.lm_head.weight"
"""As the file calls it; transformers calls it lm_head.weight."""


def test_weights_that_are_no_numbers_missing_or_left_over_are_refused(folder: Path) -> None:
    head = load_file(folder / WEIGHTS)[HEAD].clone()
    spoilt = head.clone()
    spoilt[3, 5] = torch.nan
    change_weights(folder, **{HEAD: spoilt})
    assert "1 of the" in told(folder)
    assert "weight lm_head.weight are NaN or infinite" in told(folder)
    allowed = choose(str(folder), {"allow_nonfinite": "true", "image_area": "1024"}).load(device="cpu", dtype="float32")
    assert re.fullmatch(
        r"1 NaN or infinite numbers in 1 of \d+ weights, such as lm_head.weight", allowed.settings["weights not finite"]
    )
    change_weights(folder, **{HEAD: None})
    assert "lacks 1 weights, such as lm_head.weight" in told(folder)
    change_weights(folder, **{HEAD: head[:, :-1].contiguous()})
    assert "lm_head.weight of shape" in told(folder)
    change_weights(folder, **{HEAD: head, "other.weight": head.clone()})
    assert "leaves unused, such as other.weight" in told(folder)


def test_an_image_processor_of_another_model_is_refused(folder: Path) -> None:
    edit_json(folder / "processor_config.json", image_processor={"spatial_factor": 16})
    assert "has spatial_factor 16, its image tokenizer makes one code of 8 pixels" in told(folder)


@pytest.mark.parametrize(
    ("template", "line"),
    [
        ("{% for message in messages %}", "cannot be loaded: its chat template:"),
        ("{{ raise_exception('no system turn') }}", "its chat template: no system turn"),
        ("{{ messages[1]['content'][-1]['text'] }}", "makes 0 places for 2 pictures"),
    ],
)
def test_a_chat_template_that_cannot_ask_about_pictures_is_refused(folder: Path, template: str, line: str) -> None:
    (folder / "chat_template.jinja").write_text(template)
    assert line in told(folder)


def test_another_family_is_refused(folder: Path) -> None:
    edit_json(folder / "config.json", model_type="janus")
    assert "has model_type 'janus'; give an Emu3, as BAAI/Emu3-Gen-hf" in told(folder)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "processor_config.json", "chat_template.jinja", WEIGHTS])
def test_the_fingerprint_covers_what_decides_a_response(folder: Path, name: str) -> None:
    asked = f"{folder}?image_area=64"
    before = Emu3Model.load(asked).fingerprint
    assert Emu3Model.load(asked).fingerprint == before
    if name == WEIGHTS:
        change_weights(folder, **{HEAD: load_file(folder / WEIGHTS)[HEAD] + 1})
    else:
        (folder / name).write_text((folder / name).read_text() + "\n")
    assert Emu3Model.load(asked).fingerprint != before
