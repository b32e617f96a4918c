"""One Janus in the five forms that people have on their disks: the command gives the same numbers and pictures from each."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from models.janus import original_layout
from models.tiny import edit_json, tiny_image_processor, tiny_janus_model, tiny_tokenizer
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from transformers import JanusForConditionalGeneration

from suder_bench.cli import main

RANK, ALPHA = 4, 8


def base() -> JanusForConditionalGeneration:
    """With as many heads in its vision tower as the one that the authors' config.json names."""
    return tiny_janus_model(vision_heads=16)


def write_adapters(folder: Path, base_folder: Path) -> None:
    """Random LoRA of every part that is trained, as peft saves it."""
    torch.manual_seed(1)
    targets = r"model\.(language_model|aligner|generation_aligner)\..*(q_proj|v_proj|down_proj|fc1)"
    config = LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=targets, init_lora_weights=False)
    get_peft_model(base(), config).save_pretrained(folder)
    edit_json(folder / "adapter_config.json", base_model_name_or_path=str(base_folder))


def merged_by_hand(adapters: Path) -> JanusForConditionalGeneration:
    """The base with W + alpha / r B A for every weight that the adapters name."""
    model, found = base(), load_file(adapters / "adapter_model.safetensors")
    weights = dict(model.named_parameters())
    with torch.no_grad():
        for name in found:
            if name.endswith(".lora_A.weight"):
                module = name.removesuffix(".lora_A.weight")
                change = ALPHA / RANK * (found[f"{module}.lora_B.weight"] @ found[name])
                weights[f"{module.removeprefix('base_model.model.')}.weight"] += change
    return model


def write_port(folder: Path, model: JanusForConditionalGeneration, **limit: str) -> None:
    model.save_pretrained(folder, **limit)
    tiny_tokenizer().save_pretrained(folder)
    tiny_image_processor().save_pretrained(folder)


def write_original(kind: str) -> Callable[[Path, JanusForConditionalGeneration], object]:
    return lambda folder, model: original_layout.write(folder, model, tiny_tokenizer(), kind=kind)


FORMS: dict[str, tuple[Callable[[Path, JanusForConditionalGeneration], object], str]] = {
    "one file": (write_port, "model.safetensors"),
    "shards": (lambda folder, model: write_port(folder, model, max_shard_size="200KB"), "model-00002-of-*.safetensors"),
    "original safetensors": (write_original("safetensors"), "model.safetensors"),
    "original bin": (write_original("bin"), "pytorch_model.bin"),
}
"""How the merged weights are written, and the file that says that it was done."""


@pytest.fixture(scope="module")
def forms(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("forms")
    write_port(place / "base", base())
    write_adapters(place / "adapters", place / "base")
    for name, (write, _) in FORMS.items():
        write(place / name, merged_by_hand(place / "adapters"))
    return {name: place / name for name in (*FORMS, "adapters")}


def evaluated(model: Path, out: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """run.json of a drawing and an answering benchmark, and what must be equal: settings, metrics, answers and pictures."""
    benchmarks = ["--benchmark", "geneval", "--benchmark", "pope", "--data", "world", "--limit", "2", "--repeats", "1"]
    assert main(["run", "--model", str(model), "--out", str(out), *benchmarks]) == 0
    run = json.loads((out / "run.json").read_text(encoding="utf-8"))
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    same = {
        "settings": {name: value for name, value in run.items() if name not in ("run", "model")} | run["model"]["settings"],
        "metrics": {name: found["metrics"] for name, found in summary["benchmarks"].items()},
        "answers": [json.loads(line)["text"] for line in (out / "responses/pope/0.jsonl").read_text().splitlines()],
        "pictures": {str(file.relative_to(out)): file.read_bytes() for file in sorted(out.rglob("*.png"))},
    }
    return run, same


def test_five_forms_of_one_janus_are_one_model(forms: dict[str, Path], tmp_path: Path) -> None:
    for name, (_, file) in FORMS.items():
        assert len(list(forms[name].glob(file))) == 1, name
        kind = json.loads((forms[name] / "config.json").read_text(encoding="utf-8"))["model_type"]
        assert kind == ("multi_modality" if name.startswith("original") else "janus")
    found = {name: evaluated(folder, tmp_path / f"run of {name}") for name, folder in forms.items()}
    _, first = found["one file"]
    assert set(first["metrics"]) == {"geneval", "pope"}
    assert len(set(first["pictures"].values())) > 1
    assert len(set(first["answers"])) > 1
    for name, (run, same) in found.items():
        assert same == first, name
        assert ("adapters" in run["model"]["parts"]) == (name == "adapters")
    assert len({run["model"]["fingerprint"] for run, _ in found.values()}) == len(forms)


def test_the_adapters_matter(forms: dict[str, Path], tmp_path: Path) -> None:
    """Else the test above would pass without them."""
    _, adapted = evaluated(forms["adapters"], tmp_path / "with")
    _, bare = evaluated(forms["adapters"].parent / "base", tmp_path / "without")
    assert adapted["pictures"].keys() == bare["pictures"].keys()
    assert all(adapted["pictures"][name] != picture for name, picture in bare["pictures"].items())
