"""LoRA adapters as a model: base and adapters are merged in memory, as peft merges them, whether or not peft is installed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from models.janus import original_layout
from models.tiny import tiny_image_processor, tiny_janus_model, tiny_tokenizer
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import JanusForConditionalGeneration

from suder_bench.errors import UserError
from suder_bench.models import lora
from suder_bench.models.janus import JanusModel
from suder_bench.models.protocols import ImageSampling
from suder_bench.models.reference import choose

TARGETS = r"model\.language_model\..*\.(q_proj|v_proj|down_proj)"


def sixteen_heads() -> JanusForConditionalGeneration:
    return tiny_janus_model(vision_heads=16)


def saved(model: JanusForConditionalGeneration, folder: Path) -> Path:
    model.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    tiny_image_processor().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(sixteen_heads(), tmp_path_factory.mktemp("base"))


def adapters(folder: Path, base: Path, **settings: object) -> tuple[Path, dict[str, torch.Tensor]]:
    """Random adapters as peft saves them, and the weights into which peft merges them."""
    torch.manual_seed(1)
    config = LoraConfig(**{"r": 4, "lora_alpha": 6, "target_modules": TARGETS, "init_lora_weights": False, **settings})
    made = get_peft_model(sixteen_heads(), config)
    made.save_pretrained(folder)
    told = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps({**told, "base_model_name_or_path": str(base)}))
    return folder, made.merge_and_unload().state_dict()


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"use_rslora": True},
        {"rank_pattern": {"v_proj": 2}, "alpha_pattern": {"q_proj": 3}},
        {"modules_to_save": ["generation_head"]},
    ],
    ids=["plain", "rank-stabilised", "patterns", "whole modules"],
)
def test_adapters_are_merged_as_peft_merges_them(tmp_path: Path, base: Path, settings: dict[str, object]) -> None:
    folder, merged = adapters(tmp_path / "adapters", base, **settings)
    found = JanusModel.load(choose(str(folder)).reference).model.state_dict()
    assert found.keys() == merged.keys()
    for name, weight in merged.items():
        torch.testing.assert_close(found[name], weight, rtol=0, atol=1e-6, msg=name)
    changed = [name for name, weight in sixteen_heads().state_dict().items() if not torch.equal(weight, found[name])]
    assert len(changed) >= 6


def test_adapters_in_a_pickle_are_the_same_model(tmp_path: Path, base: Path) -> None:
    folder, _ = adapters(tmp_path / "adapters", base)
    expected = JanusModel.load(choose(str(folder)).reference)
    weights = load_file(folder / lora.WEIGHTS)
    (folder / lora.WEIGHTS).unlink()
    torch.save(weights, folder / lora.PICKLED)
    chosen = choose(str(folder))
    chosen.check()
    found = JanusModel.load(chosen.reference)
    for name, weight in expected.model.state_dict().items():
        assert torch.equal(weight, found.model.state_dict()[name])
    torch.save({name: weight + 1 for name, weight in weights.items()}, folder / lora.PICKLED)
    assert JanusModel.load(chosen.reference).fingerprint != found.fingerprint
    torch.save({**weights, "optimizer": [1]}, folder / lora.PICKLED)
    with pytest.raises(UserError, match=rf"{folder / lora.PICKLED} holds 'optimizer', which is no weight"):
        JanusModel.load(chosen.reference)


def test_other_adapters_are_another_model(tmp_path: Path, base: Path) -> None:
    folder, _ = adapters(tmp_path / "adapters", base)
    before = JanusModel.load(choose(str(folder)).reference).fingerprint
    weights = load_file(folder / lora.WEIGHTS)
    save_file({name: weight + 1 for name, weight in weights.items()}, folder / lora.WEIGHTS)
    assert JanusModel.load(choose(str(folder)).reference).fingerprint not in (before, JanusModel.load(str(base)).fingerprint)


def test_adapters_of_the_authors_layout_fit_both(tmp_path: Path, base: Path) -> None:
    folder, _ = adapters(tmp_path / "adapters", base)
    original = original_layout.write(tmp_path / "original", sixteen_heads(), tiny_tokenizer())
    theirs = tmp_path / "theirs"
    shutil.copytree(folder, theirs)
    weights = load_file(folder / lora.WEIGHTS)
    names = {name: name.replace("model.model.language_model.", "model.language_model.model.") for name in weights}
    save_file({names[name]: weight for name, weight in weights.items()}, theirs / lora.WEIGHTS)
    drawn = [
        JanusModel.load(f"{one}+{other}").draw(["a star"], seeds=[1], sampling=ImageSampling()).tokens.tolist()
        for one, other in ((base, folder), (base, theirs), (original, folder), (original, theirs))
    ]
    assert drawn.count(drawn[0]) == 4


def test_the_base_may_be_given(tmp_path: Path, base: Path) -> None:
    folder, _ = adapters(tmp_path / "adapters", Path("no/where"))
    reference = choose(f"janus:{base}+{folder}")
    reference.check()
    assert reference.checkpoints == (str(base), str(folder))
    JanusModel.load(reference.reference)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"use_dora": True}, "use_dora is more than low-rank matrices; merge it with peft first"),
        ({"peft_type": "IA3"}, "peft_type 'IA3' is not LORA"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights 'pissa' takes something from the base before it adds to it"),
        ({"init_lora_weights": "olora"}, "init_lora_weights 'olora' takes something from the base before it adds to it"),
        ({"r": 0}, "r 0 and lora_alpha 6 are not a rank and a number"),
        ({"base_model_name_or_path": None}, "names no base model; give it with --base"),
        ({"base_model_name_or_path": "./nowhere"}, "neither a folder nor a hub id"),
    ],
)
def test_adapters_that_cannot_be_merged_are_told(tmp_path: Path, base: Path, changes: dict[str, object], says: str) -> None:
    folder, _ = adapters(tmp_path / "adapters", base)
    file = folder / lora.CONFIG
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))
    with pytest.raises(UserError, match=says):
        choose(str(folder)).check()


def test_adapters_of_another_model_are_told(tmp_path: Path, base: Path) -> None:
    folder, _ = adapters(tmp_path / "adapters", base)
    weights = load_file(folder / lora.WEIGHTS)
    first = next(iter(weights))
    strange = {name.replace("layers.0", "layers.7"): weight for name, weight in weights.items()}
    for held, says in (
        (strange, "layers.7.*which the base does not have|layers.7.*is no weight"),
        ({**weights, first: weights[first][:, :5].contiguous()}, "here"),
        ({name: weight for name, weight in weights.items() if "lora_B" not in name}, "is no low-rank matrix of a linear layer"),
    ):
        save_file(held, folder / lora.WEIGHTS)
        with pytest.raises(UserError, match=says):
            JanusModel.load(f"{base}+{folder}")


@pytest.mark.parametrize("damage", ["truncated", "pointer", "absent", "under way", "no numbers"])
def test_damaged_adapters_are_told_in_a_line(tmp_path: Path, base: Path, damage: str) -> None:
    folder, _ = adapters(tmp_path / "adapters", base)
    file = folder / lora.WEIGHTS
    if damage == "truncated":
        file.write_bytes(file.read_bytes()[:-1])
    elif damage == "pointer":
        file.write_text("version https://git-lfs.github.com/spec/v1\n")
    elif damage == "absent":
        file.unlink()
    elif damage == "under way":
        (folder / f"{lora.WEIGHTS}.incomplete").write_bytes(b"")
    else:
        save_file({name: torch.full_like(weight, torch.nan) for name, weight in load_file(file).items()}, file)
    told = {
        "truncated": f"{file} .* is cut short",
        "pointer": f"{file} is a Git LFS pointer",
        "absent": rf"{file} \(gone\)",
        "under way": f"{file}.incomplete: the checkpoint is still being written",
        "no numbers": f"model '{folder}': .*lora_A.weight are NaN or infinite",
    }
    with pytest.raises(UserError, match=told[damage]) as mistake:
        JanusModel.load(choose(str(folder)).reference)
    assert "\n" not in str(mistake.value)
