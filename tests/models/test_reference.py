"""What `--model` means."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from suder_bench import registry
from suder_bench.errors import UserError
from suder_bench.models.reference import ModelReference, choose


def checkpoint(folder: Path, **config: object) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_a_shipped_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "weights", model_type="janus", suder_bench_world=True)
    monkeypatch.setattr(registry, "resolve", lambda target: lambda name: folder)
    assert choose("tiny-janus") == ModelReference("tiny-janus", "janus", str(folder))
    assert choose("tiny-janus").world
    assert choose("tiny-janus").label == "tiny-janus"


def test_a_checkpoint_folder(tmp_path: Path) -> None:
    folder = str(checkpoint(tmp_path / "my run" / "step 100", model_type="janus"))
    assert choose(folder) == ModelReference(folder, "janus", folder)
    assert choose(folder).label == "step-100"
    assert not choose(folder).world
    assert choose(str(checkpoint(tmp_path / "trained", model_type="janus", suder_bench_world=True))).world


def test_a_hub_id_and_an_adapter() -> None:
    hub = "deepseek-community/Janus-Pro-1B"
    found = choose(hub, fetch=False)
    assert found == ModelReference(hub, "janus", hub)
    assert found.label == "Janus-Pro-1B"
    assert choose("folder:some/where/pictures") == ModelReference("folder:some/where/pictures", "folder", "some/where/pictures")
    assert choose("folder:some/where/pictures").label == "pictures"
    assert choose("folder:.").label == Path.cwd().name
    assert choose("folder:some/../pictures/").label == "pictures"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("tiny-jnaus", r"unknown model 'tiny-jnaus'; did you mean 'tiny-janus'\?"),
        ("jnaus:x", r"unknown model adapter 'jnaus'; did you mean 'janus'\?"),
        ("janus:", "names no checkpoint; write janus:REFERENCE"),
        ("./nowhere", r"'\./nowhere' is not a folder"),
        ("a/b/c", "'a/b/c' is not a folder"),
        ("", "unknown model ''"),
    ],
)
def test_mistakes(text: str, told: str) -> None:
    with pytest.raises(UserError, match=told):
        choose(text)


def test_a_folders_name_may_hold_the_sign_of_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    checkpoint(tmp_path / "what?a=b+c", model_type="janus")
    checkpoint(tmp_path / "em?u", model_type="emu3")
    (tmp_path / "lo?ra").mkdir()
    (tmp_path / "lo?ra/adapter_config.json").write_text(
        json.dumps({"peft_type": "LORA", "r": 1, "lora_alpha": 1, "base_model_name_or_path": "what?a=b+c"})
    )
    found = choose("what?a=b+c")
    assert (found.checkpoints, found.asked) == (("what?a=b+c",), {})
    found = choose("what?a=b+c", {"allow_nonfinite": "true"})
    assert (found.checkpoints, found.asked) == (("what?a=b+c",), {"allow_nonfinite": "true"})
    assert choose("what?a=b+c?allow_nonfinite=true") == found
    for pair in (choose("lo?ra"), choose("lo?ra", base="what?a=b+c"), choose("janus:what?a=b+c+lo?ra")):
        assert (pair.checkpoints, pair.asked) == (("what?a=b+c", "lo?ra"), {})
    marked = choose("lo?ra", {"allow_nonfinite": "true"}, base="org/name")
    assert (marked.checkpoints, marked.asked) == (("org/name", "lo?ra"), {"allow_nonfinite": "true"})
    assert choose("emu3:em?u+em?u?image_area=64").checkpoints == ("em?u",)
    with pytest.raises(UserError, match="unknown setting of janus 'b'"):
        choose("what?a=b+c?b=1")


def test_a_long_setting_is_no_name_of_a_file() -> None:
    assert choose(f"emu3:org/name?negative_prompt={'x' * 5000}").checkpoints == ("org/name",)
    assert choose(f"openai:m@http://localhost/v1#chat.stop={'x' * 5000}").adapter == "openai"


def test_a_pipeline_is_no_single_model(tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text("{}")
    checkpoint(tmp_path / "unet")
    with pytest.raises(UserError, match=rf"is a pipeline of diffusers .*; give it as --model diffusers:{tmp_path}$"):
        choose(f"vlm:{tmp_path}").check()


def test_folders_that_are_no_checkpoints(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no config.json; name the adapter: ADAPTER:"):
        choose(str(tmp_path))
    with pytest.raises(UserError, match=r"model_type 'llama' has no adapter \(janus, "):
        choose(str(checkpoint(tmp_path / "a", model_type="llama")))
    (tmp_path / "a/config.json").write_text("{")
    with pytest.raises(UserError, match="not a readable JSON file"):
        choose(str(tmp_path / "a"))
    (tmp_path / "a/config.json").write_text("[]")
    with pytest.raises(UserError, match="not a JSON object"):
        choose(str(tmp_path / "a"))


def test_a_fetched_hub_id_is_what_its_config_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    cache = tmp_path / "models--org--name"
    (cache / "refs").mkdir(parents=True)
    (cache / "refs/main").write_text("c0ffee")
    checkpoint(cache / "snapshots/c0ffee", model_type="llava")
    assert choose("org/name") == ModelReference("org/name", "vlm", "org/name")
    assert choose("vlm:org/name").adapter == "vlm"


def test_the_stamp_changes_with_the_files(tmp_path: Path) -> None:
    reference = choose(str(checkpoint(tmp_path / "a", model_type="janus")))
    stamp = reference.stamp()
    assert stamp == reference.stamp()
    (tmp_path / "a/more").write_text("x")
    assert reference.stamp() != stamp
    assert choose("janus:org/name").stamp() is None


def test_a_checkpoint_may_ask_for_its_own_guidance(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "a", model_type="janus")
    assert choose(str(folder)).guidance == 5
    (folder / "generation_config.json").write_text('{"pad_token_id": 0}')
    assert choose(str(folder)).guidance == 5
    (folder / "generation_config.json").write_text('{"guidance_scale": 2}')
    assert choose(str(folder)).guidance == 2
    assert choose("janus:org/name").guidance == 5
