"""A bare hub id is whatever its own files say, as a folder is: every family is fetched from a hub on this machine."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hub_server import COMMIT, hub_of
from models.emu3 import tiny_emu3
from models.janus import original_layout
from models.showo import small_showo
from models.tiny import edit_json, tiny_janus_model, tiny_tokenizer, write_checkpoint
from models.vlm.tiny_vlm import write_llava
from peft import LoraConfig, get_peft_model

from suder_bench.cli import main
from suder_bench.errors import UserError
from suder_bench.models.reference import choose


def adapters(folder: Path) -> None:
    """LoRA of the repository org/janus."""
    config = LoraConfig(r=2, target_modules=r"model\.language_model\..*\.q_proj", init_lora_weights=False)
    get_peft_model(tiny_janus_model(), config).save_pretrained(folder)
    edit_json(folder / "adapter_config.json", base_model_name_or_path="org/janus")


def pipeline(folder: Path) -> None:
    pytest.importorskip("diffusers")
    from models.tiny_pipelines import save_tiny_pipeline

    save_tiny_pipeline(folder, "sd")


FAMILIES: dict[str, tuple[Callable[[Path], object], str]] = {
    "janus": (write_checkpoint, "janus"),
    "original-janus": (
        lambda folder: original_layout.write(folder, tiny_janus_model(vision_heads=16), tiny_tokenizer()),
        "janus",
    ),
    "adapters": (adapters, "janus"),
    "emu3": (tiny_emu3.write_checkpoint, "emu3"),
    "showo": (small_showo.write_folder, "showo"),
    "llava": (write_llava, "vlm"),
    "pipeline": (pipeline, "diffusers"),
    "text-only": (lambda folder: (folder / "config.json").write_text('{"model_type": "llama"}'), ""),
    "dataset": (lambda folder: (folder / "README.md").write_text("pictures"), ""),
}

SMALLER = {"emu3": ["--image-area", "4096"], "diffusers": ["--steps", "1"], "showo": ["--steps", "2"]}


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[list[str]]:
    """What the hub was asked for that holds what the test is about; its cache is empty."""
    needed = dict.fromkeys(["janus", getattr(request, "param", "janus")])
    for name in needed:
        (tmp_path / name).mkdir()
        FAMILIES[name][0](tmp_path / name)
    with hub_of({f"org/{name}": tmp_path / name for name in needed}) as paths:
        address = paths.pop()
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
        monkeypatch.setattr("huggingface_hub.hf_api.api.endpoint", address)
        template = f"{address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
        yield paths


@pytest.mark.parametrize(
    ("asked", "name", "adapter"),
    [(name, name, adapter) for name, (_, adapter) in FAMILIES.items() if adapter],
    indirect=["asked"],
    ids=[name for name, (_, adapter) in FAMILIES.items() if adapter],
)
def test_every_family_is_known_and_read_by_its_bare_hub_id(name: str, adapter: str, asked: list[str], tmp_path: Path) -> None:
    found = choose(f"org/{name}")
    assert found.adapter == adapter
    assert found.label == ("janus+adapters" if name == "adapters" else name)
    assert name == "adapters" or not [path for path in asked if "safetensors" in path or path.endswith(".bin")]
    benchmark = "pope" if adapter == "vlm" else "geneval"
    small = ["--limit", "1", "--repeats", "1", "--data", "world", *SMALLER.get(adapter, [])]
    assert main(["run", "--model", f"org/{name}", "--benchmark", benchmark, "--out", str(tmp_path / "run"), *small]) == 0
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    assert run["model"]["adapter"] == adapter
    asked.clear()
    assert choose(f"org/{name}") == found
    assert not asked or name == "adapters"


def test_settings_follow_a_hub_id_as_they_follow_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    (tmp_path / "models--org--emu3/refs").mkdir(parents=True)
    (tmp_path / "models--org--emu3/refs/main").write_text(COMMIT)
    (tmp_path / f"models--org--emu3/snapshots/{COMMIT}").mkdir(parents=True)
    (tmp_path / f"models--org--emu3/snapshots/{COMMIT}/config.json").write_text('{"model_type": "emu3"}')
    found = choose("org/emu3", {"image_area": "4096"})
    assert (found.adapter, found.name) == ("emu3", "org/emu3?image_area=4096")
    assert choose(found.name) == found
    assert found.stamp() is None, "the weights are not here yet"


def test_a_hub_id_asks_for_its_own_guidance_and_data(asked: list[str], tmp_path: Path) -> None:
    edit_json(tmp_path / "janus/config.json", suder_bench_world=True)
    edit_json(tmp_path / "janus/generation_config.json", guidance_scale=2)
    found = choose("org/janus")
    assert (found.guidance, found.world) == (2, True)


@pytest.mark.parametrize(
    ("asked", "name", "told"),
    [
        ("text-only", "text-only", "model_type 'llama' has no adapter .*; name one: ADAPTER:org/text-only"),
        (
            "dataset",
            "dataset",
            "of the hub holds no model_index.json or config.json or .*; name the adapter: ADAPTER:",
        ),
        ("janus", "jnaus", "model 'org/jnaus' is neither a folder nor a hub id that could be fetched: .*404"),
    ],
    indirect=["asked"],
)
def test_a_hub_id_of_no_model_is_told_in_a_line(asked: list[str], name: str, told: str) -> None:
    with pytest.raises(UserError, match=told) as mistake:
        choose(f"org/{name}")
    assert "\n" not in str(mistake.value)


def test_offline_a_hub_id_that_is_not_in_the_cache_says_what_to_do(
    asked: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert main(["run", "--model", "org/janus", "--suite", "gen"]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("suder-bench: model 'org/janus' is neither a folder nor a hub id that could be fetched: ")
    assert line.endswith("; give its folder, or fetch it with a network first: hf download org/janus")
    assert not asked


def test_a_training_takes_an_id_that_is_not_in_the_cache_for_a_janus(asked: list[str]) -> None:
    """Nothing else can be trained, and looking ahead fetches nothing."""
    assert choose("org/janus", fetch=False).adapter == "janus"
    assert not asked
