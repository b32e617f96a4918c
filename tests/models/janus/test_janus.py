"""Loading a checkpoint: what it is called, what it is made of, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from models.tiny import tiny_image_processor, tiny_janus_model, tiny_tokenizer

from suder_bench.errors import UserError
from suder_bench.models.janus import JanusModel
from suder_bench.models.janus.prompts import ANSWER_PREFIX, answer_ids, generation_text, image_block, prompt_ids, question_text
from suder_bench.models.protocols import DualLikelihood, ImageSampling, ImageToText, Model, TextToImage


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint stored in 16 bits, as the shipped one is."""
    folder = tmp_path_factory.mktemp("tiny")
    tiny_janus_model().to(torch.bfloat16).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    tiny_image_processor().save_pretrained(folder)
    return folder


def test_a_folder_loads_and_says_what_it_is(checkpoint: Path) -> None:
    janus = JanusModel.load(str(checkpoint))
    for protocol in (Model, TextToImage, ImageToText, DualLikelihood):
        assert isinstance(janus, protocol)
    assert janus.name == str(checkpoint)
    assert janus.settings["dtype"] == "float32"
    assert all(isinstance(value, str) for value in janus.settings.values())
    assert janus.settings["preprocessing"].startswith("longest side to 32")
    assert not janus.model.training
    kept = JanusModel(tiny_janus_model().to(torch.bfloat16).float(), tiny_tokenizer(), tiny_image_processor())
    sampling = ImageSampling()
    assert torch.equal(
        janus.draw(["a star"], seeds=[1], sampling=sampling).tokens, kept.draw(["a star"], seeds=[1], sampling=sampling).tokens
    )


def test_the_fingerprint_is_of_the_weights(checkpoint: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(checkpoint, copy)
    first = JanusModel.load(str(checkpoint)).fingerprint
    assert len(first) == 64
    assert JanusModel.load(str(copy)).fingerprint == first
    tiny_janus_model(seed=1).save_pretrained(copy)
    assert JanusModel.load(str(copy)).fingerprint != first


def test_dtype_is_chosen(checkpoint: Path) -> None:
    janus = JanusModel.load(str(checkpoint), dtype="bfloat16")
    assert janus.settings["dtype"] == "bfloat16"
    made = janus.generate(["a red ball"], seeds=[0], sampling=ImageSampling())[0]
    assert made.picture.size == (32, 32)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dtype": "float23"}, "unknown dtype 'float23'; did you mean 'float32'"),
        ({"device": "gpu"}, r"unknown device 'gpu' \(choices: auto, cpu, cuda"),
    ],
)
def test_wrong_settings_are_told(checkpoint: Path, arguments: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        JanusModel.load(str(checkpoint), **arguments)


def test_a_folder_that_is_no_checkpoint(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no config\.json"):
        JanusModel.load(str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    with pytest.raises(UserError, match="has model_type 'llama'"):
        JanusModel.load(str(tmp_path))
    shutil.copy(checkpoint / "config.json", tmp_path)
    with pytest.raises(UserError, match="holds no weights"):
        JanusModel.load(str(tmp_path))


def test_a_checkpoint_that_lacks_weights(checkpoint: Path, tmp_path: Path) -> None:
    model = tiny_janus_model()
    weights = {key: value for key, value in model.state_dict().items() if "generation_head" not in key}
    shutil.copytree(checkpoint, tmp_path, dirs_exist_ok=True)
    model.save_pretrained(tmp_path, state_dict=weights)
    with pytest.raises(UserError, match=r"lacks 4 weights, such as model\.generation_head"):
        JanusModel.load(str(tmp_path))


def test_another_models_tokenizer_is_refused() -> None:
    tokenizer = tiny_tokenizer()
    model = tiny_janus_model()
    model.config.image_token_id = 9
    with pytest.raises(UserError, match="has image token 9, its tokenizer 3"):
        JanusModel(model, tokenizer, tiny_image_processor())


def test_prompts_are_the_authors() -> None:
    assert generation_text(" a red ball ", "<b>") == "<|User|>: a red ball\n\n<|Assistant|>:<b>"
    block = image_block("<b>", "<i>", "<e>", image_tokens=2)
    assert question_text("Why?", block) == "<|User|>: <b><i><i><e>\nWhy?\n\n<|Assistant|>:"
    assert question_text("Why?", "") == "<|User|>: Why?\n\n<|Assistant|>:"
    assert image_block("<b>", "<i>", "<e>", image_tokens=1, images=2) == "<b><i><e>\n<b><i><e>"


def test_prompt_and_answer_ids_join_as_one_text_would() -> None:
    tokenizer = tiny_tokenizer()
    text = question_text("Is there a ball?", "")
    joined = tokenizer.encode(f"<bos>{text}{ANSWER_PREFIX}a red ball", add_special_tokens=False)
    assert prompt_ids(tokenizer, text) + answer_ids(tokenizer, "a red ball") == joined
