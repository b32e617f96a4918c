"""Checkpoints that lack something, disagree with themselves, or hold no numbers: one line each, wherever they are loaded."""

from __future__ import annotations

import json
import logging
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from models.tiny import edit_json, tiny_janus_model, write_checkpoint
from safetensors.torch import load_file, save_file

from suder_bench.errors import UserError
from suder_bench.models import checkpoint as files
from suder_bench.models import reference
from suder_bench.models.janus import JanusModel
from suder_bench.models.protocols import ImageSampling

WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    shutil.copytree(whole, tmp_path / "ckpt")
    return tmp_path / "ckpt"


@pytest.fixture
def sharded(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path / "sharded", shards="100KB")


def told(folder: Path) -> str:
    """The one line with which a checkpoint is refused."""
    with pytest.raises(UserError) as mistake:
        JanusModel.load(str(folder))
    line = str(mistake.value)
    assert "\n" not in line
    assert str(folder) in line
    return line


def change_weight(folder: Path, name: str, change: Callable[[torch.Tensor], None]) -> None:
    weights = load_file(folder / WEIGHTS)
    weights = {key: value.clone() for key, value in weights.items()}
    change(weights[name])
    save_file(weights, folder / WEIGHTS, {"format": "pt"})


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize(
    "name", ["model.language_model.embed_tokens.weight", "lm_head.weight", "model.vqmodel.quantize.embedding.weight"]
)
def test_weights_that_are_not_finite_are_refused_by_name(folder: Path, name: str, value: float) -> None:
    change_weight(folder, name, lambda weight: weight[7].fill_(value))
    row = load_file(folder / WEIGHTS)[name].shape[1]
    assert f"{row} of the" in told(folder)
    assert f"weight {name} are NaN or infinite" in told(folder)


def test_finite_weights_of_any_size_are_taken(folder: Path) -> None:
    """A sum that overflows is no proof: the numbers are looked at."""
    change_weight(folder, "lm_head.weight", lambda weight: weight.fill_(3e38))
    JanusModel.load(str(folder))


@pytest.mark.parametrize("bytes_kept", [0, 5, 100, 20_000, -1])
def test_a_truncated_or_empty_weights_file(folder: Path, bytes_kept: int) -> None:
    content = (folder / WEIGHTS).read_bytes()[:bytes_kept]
    (folder / WEIGHTS).write_bytes(content)
    assert f"{WEIGHTS} ({len(content):,} bytes) is cut short, or no safetensors file" in told(folder)


def test_a_git_lfs_pointer(folder: Path) -> None:
    (folder / WEIGHTS).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    assert "is a Git LFS pointer, not the weights; fetch them with git lfs pull" in told(folder)


def test_shards_are_read_and_a_missing_one_is_named(sharded: Path, whole: Path) -> None:
    shards = sorted(path.name for path in sharded.glob("model-*.safetensors"))
    assert len(shards) > 2
    drawn, same = (JanusModel.load(str(one)).draw(["a star"], seeds=[1], sampling=ImageSampling()) for one in (sharded, whole))
    assert torch.equal(drawn.tokens, same.tokens)
    (sharded / shards[1]).unlink()
    assert f"lacks 1 of the {len(shards)} files that model.safetensors.index.json names, such as {shards[1]}" in told(sharded)
    for name in (shards[0], *shards[2:]):
        (sharded / name).unlink()
    assert f"lacks {len(shards)} of the {len(shards)} files" in told(sharded)


def test_shards_without_their_index(sharded: Path) -> None:
    (sharded / "model.safetensors.index.json").unlink()
    assert f"but neither {WEIGHTS} nor model.safetensors.index.json" in told(sharded)


@pytest.mark.parametrize(
    "content", ["{}", "[]", '{"weight_map": 3}', '{"weight_map": {"a": "../a.safetensors"}}', '{"weight_map": {}}', "{"]
)
def test_an_index_that_is_none(sharded: Path, content: str) -> None:
    (sharded / "model.safetensors.index.json").write_text(content)
    assert "model.safetensors.index.json: " in told(sharded)


@pytest.mark.parametrize("name", ["a" * 300, "a\0b", ".."])
def test_an_index_that_names_what_no_file_can_be_called(sharded: Path, name: str) -> None:
    (sharded / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"weight": name}}))
    assert "model.safetensors.index.json" in told(sharded)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("tokenizer.json", "tokenizer_config.json"), r"holds no tokenizer (tokenizer.json or"),
        (("tokenizer.json",), r"holds no tokenizer (tokenizer.json or"),
        (("preprocessor_config.json", "processor_config.json"), "holds no image processor (preprocessor_config.json or"),
        (("config.json",), "holds no config.json"),
        ((WEIGHTS,), "holds no weights (model.safetensors or pytorch_model.bin)"),
    ],
)
def test_a_missing_file_is_named(folder: Path, names: tuple[str, ...], message: str) -> None:
    for name in names:
        (folder / name).unlink(missing_ok=True)
    assert message in told(folder)


def test_a_processor_without_its_image_processor(folder: Path) -> None:
    (folder / "preprocessor_config.json").unlink(missing_ok=True)
    (folder / "processor_config.json").write_text('{"num_image_tokens": 16}')
    assert "holds no image processor" in told(folder)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "preprocessor_config.json", "generation_config.json"])
@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"a": NaN}', '{"a": 1e999}', "\ufeff{}"])
def test_a_broken_json_file_is_named(folder: Path, name: str, content: str) -> None:
    file = folder / name
    if not file.is_file():  # transformers moved the image processor's numbers
        file = folder / "processor_config.json"
    file.write_text(content)
    assert file.name in told(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"text_config": {"num_hidden_layers": 1}}, "holds 9 weights that its config.json leaves unused, such as model"),
        ({"text_config": {"num_hidden_layers": 3}}, "lacks 9 weights, such as model.language_model.layers.2"),
        ({"text_config": {"num_hidden_layers": 10**9}}, "its config.json asks for 1,000,000,000; "),
        ({"text_config": {"intermediate_size": 10**9}}, "numbers in its weights, its config.json asks for "),
        ({"text_config": {"hidden_size": 64}}, "its config.json asks for"),
        ({"text_config": {"vocab_size": 999}}, "has lm_head.weight of shape"),
        ({"vision_config": {"num_image_tokens": 9}}, "says 9 image tokens, 16 patches of the vision tower and 16 codes"),
        ({"text_config": {"num_attention_heads": 0}}, "cannot be loaded: its "),
        ({"vq_config": "none"}, "cannot be loaded: its configuration"),
    ],
)
def test_a_configuration_that_disagrees_with_the_weights(folder: Path, changes: dict[str, Any], message: str) -> None:
    edit_json(folder / "config.json", **changes)
    assert message in told(folder)


def test_an_image_processor_of_another_model(folder: Path) -> None:
    file = next(path for name in files.PARTS["processor"] if (path := folder / name).is_file())
    content = json.loads(file.read_text())
    inner = content.get("image_processor", content)
    inner["size"] = {"height": 64, "width": 64}
    file.write_text(json.dumps(content))
    assert "its image processor makes pictures of 64 pixels, its config.json wants 32" in told(folder)
    inner["size"], inner["image_std"] = {"height": 32, "width": 32}, [0, 0, 0]
    file.write_text(json.dumps(content))
    assert "cannot be loaded: its image processor: image_mean" in told(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"eos_token": ""}, "has eos_token '', which its vocabulary lacks"),
        ({"bos_token": ""}, "has bos_token '', which its vocabulary lacks"),
        ({"model_max_length": []}, "cannot be loaded: its tokenizer"),
    ],
)
def test_a_tokenizer_that_names_no_tokens(folder: Path, changes: dict[str, Any], message: str) -> None:
    edit_json(folder / "tokenizer_config.json", **changes)
    assert message in told(folder)


@pytest.mark.parametrize("changes", [{"image_mean": [2**63, 0, 0]}, {"min_size": 1e300}, {"image_std": [0.5, 0.5]}])
def test_an_image_processor_that_makes_no_picture(folder: Path, changes: dict[str, Any]) -> None:
    edit_json(folder / "preprocessor_config.json", **changes)
    assert "cannot be loaded: its image processor" in told(folder)


def test_a_tokenizer_of_another_model(folder: Path) -> None:
    content = json.loads((folder / "tokenizer.json").read_text())
    content["model"]["vocab"]["zebra"] = 4000
    (folder / "tokenizer.json").write_text(json.dumps(content))
    assert "tokenizer ids up to 4,000; use the tokenizer it was trained with" in told(folder)


def test_a_loaded_model_does_not_change_with_its_file(folder: Path) -> None:
    for dtype in ("bfloat16", "float32"):
        model = JanusModel.load(str(folder), dtype=dtype).model
        before = model.lm_head.weight.clone()
        content = (folder / WEIGHTS).read_bytes()
        with (folder / WEIGHTS).open("r+b") as file:
            file.write(bytes(len(content)))
        assert torch.equal(model.lm_head.weight, before)
        (folder / WEIGHTS).write_bytes(content)


@pytest.fixture
def adapters(whole: Path, tmp_path: Path) -> Path:
    """What peft writes for a LoRA that changes every answer."""
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(r=2, target_modules=r"model\.language_model\..*\.q_proj", init_lora_weights=False)
    peft.get_peft_model(tiny_janus_model(), config).save_pretrained(tmp_path / "adapters")
    return tmp_path / "adapters"


def test_merged_weights_beside_their_adapters_are_loaded_once(
    folder: Path, adapters: Path, caplog: pytest.LogCaptureFixture
) -> None:
    drawn = JanusModel.load(str(folder)).draw(["a star"], seeds=[1], sampling=ImageSampling()).tokens
    assert not caplog.records
    for name in files.ADAPTERS[:2]:
        shutil.copy(adapters / name, folder)
    with caplog.at_level(logging.WARNING):
        again = JanusModel.load(str(folder))
    assert torch.equal(again.draw(["a star"], seeds=[1], sampling=ImageSampling()).tokens, drawn)
    [record] = caplog.records
    line = record.getMessage()
    assert line.startswith(f"suder-bench: {folder}: adapter_config.json and adapter_model.safetensors beside whole weights")
    assert "\n" not in line


def test_a_file_that_is_half_zeros_is_told(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """As a download leaves it that made room for the whole file first."""
    content = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(content[: len(content) // 2] + bytes(len(content) - len(content) // 2))
    with caplog.at_level(logging.WARNING):
        loaded = JanusModel.load(str(folder))
    [record] = caplog.records
    line = record.getMessage()
    assert re.match(
        rf"suder-bench: {folder}: \d+ of \d+ weights hold nothing but zeros, such as model\.\S+ \(the weight is in ", line
    )
    assert "compare its sha256" in line
    assert loaded.settings["weights of zeros"] in line


def test_an_empty_description_of_the_image_processor_is_none(folder: Path) -> None:
    (folder / "preprocessor_config.json").write_text("{}")
    assert "holds no image processor (preprocessor_config.json or processor_config.json)" in told(folder)


def test_adapters_with_a_config_copied_in_are_no_checkpoint(whole: Path, adapters: Path) -> None:
    for file in whole.glob("*.json"):
        shutil.copy(file, adapters)
    assert "holds LoRA adapters (adapter_model.safetensors) but no weights of the model; merge them" in told(adapters)


def test_the_fingerprint_covers_what_decides_a_response(whole: Path, tmp_path: Path) -> None:
    """And nothing else: a readme, the state of a training, adapters that are not applied."""
    first = JanusModel.load(str(whole))
    assert set(first.parts) == {"weights", "config", "tokenizer", "processor", "chat template", "generation config"}
    seen = {first.fingerprint}
    for number, (name, part) in enumerate(
        [
            ("config.json", "config"),
            ("tokenizer.json", "tokenizer"),
            ("tokenizer_config.json", "tokenizer"),
            ("chat_template.jinja", "chat template"),
            ("generation_config.json", "generation config"),
            (next(name for name in files.PARTS["processor"] if (whole / name).is_file()), "processor"),
        ]
    ):
        copy = shutil.copytree(whole, tmp_path / str(number))
        with (copy / name).open("a") as file:
            file.write("\n")
        parts = JanusModel.load(str(copy)).parts
        assert [key for key in parts if parts[key] != first.parts[key]] == [part]
        seen.add(files.fingerprint(parts))
    assert len(seen) == 7
    copy = shutil.copytree(whole, tmp_path / "same")
    for name in ("README.md", "trainer_state.json", "adapter.safetensors"):
        (copy / name).write_text("{}")
    assert JanusModel.load(str(copy)).fingerprint == first.fingerprint


@pytest.mark.parametrize("name", ["guidance_scale", "temperature"])
@pytest.mark.parametrize("value", ["NaN", "Infinity", "-1", "1e999", '"5"', "true", "[2]"])
def test_sampling_settings_that_are_no_number_are_refused(folder: Path, name: str, value: str) -> None:
    (folder / "generation_config.json").write_text(f'{{"{name}": {value}}}')
    with pytest.raises(UserError, match=r"generation_config\.json: "):
        reference.choose(str(folder)).guidance  # noqa: B018
    assert "generation_config.json: " in told(folder)
