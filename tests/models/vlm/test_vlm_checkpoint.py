"""Folders of vision-language checkpoints: recognised, held together by a fingerprint, and refused in one line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from models.vlm import plain
from safetensors.torch import load_file, save_file

from suder_bench.errors import UserError
from suder_bench.models import reference
from suder_bench.models.protocols import TextSampling
from suder_bench.models.vlm.model import VlmModel
from suder_bench.testing import TEXTS, pictures

WEIGHTS = "model.safetensors"


@pytest.fixture
def spoiled(checkpoints: dict[str, Path], tmp_path: Path) -> Callable[[str], Path]:
    def copy(family: str) -> Path:
        return Path(shutil.copytree(checkpoints[family], tmp_path / family))

    return copy


def told(folder: Path) -> str:
    """The one line with which a checkpoint is refused."""
    with pytest.raises(UserError) as mistake:
        VlmModel.load(str(folder))
    line = str(mistake.value)
    assert "\n" not in line
    assert str(folder) in line
    return line


def change(folder: Path, edit: Callable[[dict[str, torch.Tensor]], object]) -> None:
    weights = {name: value.clone() for name, value in load_file(folder / WEIGHTS).items()}
    edit(weights)
    save_file(weights, folder / WEIGHTS, {"format": "pt"})


def edit(file: Path, **changes: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_a_folder_is_recognised_by_its_config(folder: Path) -> None:
    chosen = reference.choose(str(folder))
    assert (chosen.adapter, chosen.world) == ("vlm", False)
    assert reference.choose(f"vlm:{folder}").adapter == "vlm"
    chosen.check()
    assert chosen.stamp() is not None


def test_a_folder_says_what_it_is(vlm: VlmModel, folder: Path) -> None:
    assert vlm.name == str(folder)
    assert all(isinstance(value, str) for value in vlm.settings.values())
    assert vlm.settings["dtype"] == "float32"
    assert "{question}" in vlm.settings["template"]
    assert not vlm.model.training
    assert len(vlm.fingerprint) == 64
    assert ("qformer_tokenizer" in vlm.parts) == folder.joinpath("qformer_tokenizer").is_dir()


def test_loading_draws_no_bars_into_a_pipe(checkpoints: dict[str, Path], capfd: pytest.CaptureFixture[str]) -> None:
    VlmModel.load(str(checkpoints["llava"]))
    assert "Loading weights" not in capfd.readouterr().err


def test_the_fingerprint_covers_what_decides_a_response(spoiled: Callable[[str], Path]) -> None:
    folder = spoiled("qwen2_5_vl")
    changes: list[Callable[[], object]] = [
        lambda: change(folder, lambda weights: weights["lm_head.weight"][0].add_(1)),
        lambda: edit(folder / "preprocessor_config.json", image_mean=[0.1, 0.1, 0.1]),
        lambda: (folder / "chat_template.jinja").write_text("Other: " + (folder / "chat_template.jinja").read_text()),
        lambda: edit(folder / "generation_config.json", eos_token_id=[1, 4]),
        lambda: edit(folder / "tokenizer_config.json", model_max_length=77),
        lambda: edit(folder / "config.json", note="another"),
    ]
    seen = {VlmModel.load(str(folder)).fingerprint}
    for make in changes:
        make()
        seen.add(VlmModel.load(str(folder)).fingerprint)
    assert len(seen) == 1 + len(changes)


def test_the_fingerprint_covers_the_q_formers_tokenizer(spoiled: Callable[[str], Path]) -> None:
    folder = spoiled("instructblip")
    before = VlmModel.load(str(folder)).parts
    edit(folder / "qformer_tokenizer/tokenizer_config.json", model_max_length=77)
    after = VlmModel.load(str(folder)).parts
    assert {name for name in before if before[name] != after[name]} == {"qformer_tokenizer"}


def test_a_generation_config_has_no_say_but_for_its_end_tokens(
    spoiled: Callable[[str], Path], loaded: dict[str, VlmModel]
) -> None:
    folder = spoiled("qwen2_5_vl")
    edit(
        folder / "generation_config.json",
        repetition_penalty=9.0,
        no_repeat_ngram_size=1,
        do_sample=True,
        temperature=1e-6,
        top_k=1,
        num_beams=3,
        min_new_tokens=4,
    )
    for sampling in (TextSampling(max_new_tokens=12), TextSampling(temperature=1.0, max_new_tokens=12)):
        asked = ([[one] for one in pictures()], TEXTS)
        changed = VlmModel.load(str(folder)).answer(*asked, seeds=[1, 2, 3], sampling=sampling)
        assert changed == loaded["qwen2_5_vl"].answer(*asked, seeds=[1, 2, 3], sampling=sampling)


def test_an_answer_ends_at_any_end_token_of_the_generation_config(
    checkpoints: dict[str, Path], spoiled: Callable[[str], Path]
) -> None:
    folder, asked = spoiled("qwen2_5_vl"), (pictures()[0], "Why?")
    ids = plain.greedy("qwen2_5_vl", checkpoints["qwen2_5_vl"], *asked, 6)
    edit(folder / "generation_config.json", eos_token_id=[1, ids[2]])
    vlm = VlmModel.load(str(folder))
    short = vlm.answer([[asked[0]]], [asked[1]], seeds=[0], sampling=TextSampling(max_new_tokens=6))
    assert short == [vlm.prompts.tokenizer.decode(ids[: ids.index(ids[2])]).strip()]


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_weights_that_are_not_finite_are_refused_by_name(spoiled: Callable[[str], Path], value: float) -> None:
    folder = spoiled("llava")
    name = "model.vision_tower.encoder.layers.0.mlp.fc1.weight"
    names = load_file(folder / WEIGHTS)
    held = next(key for key in names if key.endswith("layers.0.mlp.fc1.weight"))
    change(folder, lambda weights: weights[held][3].fill_(value))
    assert f"32 of the 2,048 numbers of weight {name} are NaN or infinite" in told(folder)
    note = VlmModel.load(f"{folder}?allow_nonfinite=true").settings["weights not finite"]
    assert note.startswith("32 NaN or infinite numbers in 1 of ")
    assert note.endswith(f" weights, such as {name}")


def test_weights_that_are_missing_left_over_or_of_another_size(spoiled: Callable[[str], Path]) -> None:
    folder = spoiled("qwen2_5_vl")
    whole = (folder / WEIGHTS).read_bytes()
    change(folder, lambda weights: weights.pop("lm_head.weight"))
    assert "lacks 1 weights, such as lm_head.weight; the checkpoint is incomplete" in told(folder)
    (folder / WEIGHTS).write_bytes(whole)
    change(folder, lambda weights: weights.update(extra=torch.zeros(3)))
    assert "holds 1 weights that its config.json leaves unused, such as extra" in told(folder)
    (folder / WEIGHTS).write_bytes(whole)
    change(folder, lambda weights: weights.update({"lm_head.weight": torch.zeros(9, 32)}))
    assert "has lm_head.weight of shape (9, 32), its config.json asks for" in told(folder)


def test_a_configuration_of_another_size_is_refused_before_memory_is_taken(spoiled: Callable[[str], Path]) -> None:
    folder = spoiled("llava")
    content = json.loads((folder / "config.json").read_text())
    edit(folder / "config.json", text_config=content["text_config"] | {"num_hidden_layers": 10_000})
    assert "weights for its layers, its config.json asks for 10,000" in told(folder)
    edit(folder / "config.json", text_config=content["text_config"] | {"intermediate_size": 50_000})
    assert "numbers in its weights, its config.json asks for" in told(folder)


def test_a_missing_tokenizer_of_the_q_former(spoiled: Callable[[str], Path]) -> None:
    folder = spoiled("instructblip")
    shutil.rmtree(folder / "qformer_tokenizer")
    assert "lacks the folder qformer_tokenizer of its InstructBlipProcessor" in told(folder)


def test_a_processor_that_cannot_prepare_a_picture(spoiled: Callable[[str], Path]) -> None:
    """As the first revision of llava-1.5-7b-hf, whose processor did not say the size of a patch."""
    folder = spoiled("llava")
    edit(folder / "processor_config.json", patch_size=None)
    assert "cannot be loaded: its chat template, tokenizer or image processor: " in told(folder)


def test_a_chat_template_that_is_none(spoiled: Callable[[str], Path]) -> None:
    folder = spoiled("internvl")
    (folder / "chat_template.jinja").write_text("{% for message in messages %}")
    assert "cannot be loaded: its chat template" in told(folder)


@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json", "tokenizer.json", "tokenizer_config.json"])
@pytest.mark.parametrize("content", ["", "{", "[]", "NaN"])
def test_files_of_anything_else_are_one_line(spoiled: Callable[[str], Path], name: str, content: str) -> None:
    folder = spoiled("qwen2_5_vl")
    (folder / name).write_text(content)
    assert name in told(folder)


@pytest.mark.parametrize("kind", [3, None, "nonsense", ["llava"]])
def test_a_model_type_that_transformers_does_not_know(spoiled: Callable[[str], Path], kind: object) -> None:
    folder = spoiled("qwen2_5_vl")
    edit(folder / "config.json", model_type=kind)
    told(folder)


def test_models_of_other_kinds_are_refused(spoiled: Callable[[str], Path]) -> None:
    folder = spoiled("llava")
    edit(folder / "config.json", model_type="llama")
    assert "has model_type 'llama', which is no image-text-to-text model" in told(folder)
    edit(folder / "config.json", model_type="janus")
    assert f"has model_type 'janus', which has its own adapter; write janus:{folder}" in told(folder)


def test_a_tokenizer_of_another_model_is_refused(spoiled: Callable[[str], Path]) -> None:
    folder = spoiled("qwen2_5_vl")
    content = json.loads((folder / "tokenizer.json").read_text())
    content["added_tokens"].append(content["added_tokens"][0] | {"id": 999, "content": "<far>"})
    (folder / "tokenizer.json").write_text(json.dumps(content))
    assert "its tokenizer ids up to" in told(folder)


def test_code_in_a_checkpoint_is_not_run(spoiled: Callable[[str], Path], tmp_path: Path) -> None:
    folder = spoiled("llava")
    witness = tmp_path / "ran"
    (folder / "modeling_own.py").write_text(f"open({str(witness)!r}, 'w').close()\nclass Own: pass\n")
    auto = {
        "AutoConfig": "modeling_own.Own",
        "AutoModelForImageTextToText": "modeling_own.Own",
        "AutoProcessor": "modeling_own.Own",
    }
    edit(folder / "config.json", auto_map=auto)
    edit(folder / "processor_config.json", auto_map=auto)
    VlmModel.load(str(folder))
    assert not witness.exists()


def test_the_older_layout_of_llavas_keys_is_read(spoiled: Callable[[str], Path], loaded: dict[str, VlmModel]) -> None:
    """As in the published llava-1.5-7b-hf: the language model with its head, tower and projector side by side."""
    folder = spoiled("llava")

    def older(weights: dict[str, torch.Tensor]) -> None:
        for name in list(weights):
            new = name
            if name.startswith("model.language_model."):
                new = "language_model.model." + name.removeprefix("model.language_model.")
            elif name.startswith("lm_head."):
                new = "language_model." + name
            elif name.startswith("model."):
                new = name.removeprefix("model.")
            weights[new] = weights.pop(name)

    change(folder, older)
    with torch.no_grad():
        old, new = VlmModel.load(str(folder)).text_logprobs(pictures(), TEXTS), loaded["llava"].text_logprobs(pictures(), TEXTS)
    assert all(torch.equal(a, b) for a, b in zip(old, new, strict=True))


def test_weights_in_a_pytorch_file_are_read(spoiled: Callable[[str], Path], loaded: dict[str, VlmModel]) -> None:
    folder = spoiled("llava")
    torch.save(load_file(folder / WEIGHTS), folder / "pytorch_model.bin")
    (folder / WEIGHTS).unlink()
    with torch.no_grad():
        read, new = VlmModel.load(str(folder)).text_logprobs(pictures(), TEXTS), loaded["llava"].text_logprobs(pictures(), TEXTS)
    assert all(torch.equal(a, b) for a, b in zip(read, new, strict=True))


def test_sixteen_bits_answer_and_score_in_float32(folder: Path) -> None:
    vlm = VlmModel.load(str(folder), dtype="bfloat16")
    assert vlm.settings["dtype"] == "bfloat16"
    assert vlm.text_logprobs(pictures(), TEXTS)[0].dtype == torch.float32
    assert len(vlm.answer([[one] for one in pictures()], TEXTS, seeds=[0, 1, 2], sampling=TextSampling(max_new_tokens=3))) == 3
