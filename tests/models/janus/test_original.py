"""Janus in every layout that people have: the same weights give the same tokens, pictures, answers and log-probabilities."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from models.janus import original_layout
from models.tiny import tiny_image_processor, tiny_janus_model, tiny_tokenizer
from PIL import Image
from transformers import JanusForConditionalGeneration

from suder_bench.cli import main
from suder_bench.errors import UserError
from suder_bench.models.janus import JanusModel
from suder_bench.models.protocols import ImageSampling, TextSampling

PROMPTS = ["a photo of a red ball", "three striped hearts and a small green cup"]
FORMS = ("original.bin", "original.safetensors", "original shards", "original bin shards", "pytorch_model.bin", "shards", "half")


def sixteen_heads() -> JanusForConditionalGeneration:
    """A tiny Janus whose vision tower has as many heads as the one that the layout's config.json names."""
    return tiny_janus_model(vision_heads=16)


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint in transformers' layout, one file."""
    folder = tmp_path_factory.mktemp("port")
    sixteen_heads().save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    tiny_image_processor().save_pretrained(folder)
    return folder


def written(form: str, port: Path, folder: Path) -> Path:
    """The same checkpoint in another form."""
    if form == "pytorch_model.bin":
        shutil.copytree(port, folder)
        (folder / "model.safetensors").unlink()
        torch.save(sixteen_heads().state_dict(), folder / "pytorch_model.bin")
        return folder
    if form == "shards":
        shutil.copytree(port, folder)
        (folder / "model.safetensors").unlink()
        sixteen_heads().save_pretrained(folder, max_shard_size="100KB")
        return folder
    model = sixteen_heads().half() if form == "half" else sixteen_heads()
    kind = "safetensors" if "safetensors" in form or form == "original shards" else "bin"
    return original_layout.write(folder, model, tiny_tokenizer(), kind=kind, shards=3 if "shards" in form else 1)


def responses(janus: JanusModel) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    picture = Image.fromarray(rng.integers(0, 256, (40, 56, 3), dtype=np.uint8))
    drawn = janus.generate(PROMPTS, seeds=[1, 2], sampling=ImageSampling())
    tokens = torch.stack([one.tokens for one in drawn])
    return {
        "prompt ids": janus._generation_ids(PROMPTS[0]),
        "tokens": tokens.tolist(),
        "pictures": [one.picture.tobytes() for one in drawn],
        "answers": janus.answer([[picture]], ["Is there a star?"], seeds=[3], sampling=TextSampling(max_new_tokens=12)),
        "log p(picture)": janus.image_logprobs(PROMPTS, tokens).tolist(),
        "log p(text)": [row.tolist() for row in janus.text_logprobs([picture, picture], ["a red ball", "yes"])],
        "codes": janus.tokenize_images([picture]).tolist(),
        "template": janus.settings["template"],
    }


@pytest.mark.parametrize("form", FORMS[:-1])
def test_every_form_gives_the_same_responses(form: str, port: Path, tmp_path: Path) -> None:
    other = responses(JanusModel.load(str(written(form, port, tmp_path / "other"))))
    assert other == responses(JanusModel.load(str(port)))


def test_half_precision_is_read_as_stored(port: Path, tmp_path: Path) -> None:
    half = responses(JanusModel.load(str(written("half", port, tmp_path / "half"))))
    sixteen_heads().half().save_pretrained(tmp_path / "port")
    tiny_tokenizer().save_pretrained(tmp_path / "port")
    tiny_image_processor().save_pretrained(tmp_path / "port")
    assert half == responses(JanusModel.load(str(tmp_path / "port")))


def test_the_first_janus_has_roles_of_its_own(tmp_path: Path) -> None:
    """Janus-1.3B's vocabulary has no tokens for the roles, and its authors' script says User and Assistant."""
    folder = original_layout.write(tmp_path / "first", sixteen_heads(), tiny_tokenizer())
    text = (folder / "tokenizer.json").read_text(encoding="utf-8")
    (folder / "tokenizer.json").write_text(text.replace("<|User|>", "<|one|>").replace("<|Assistant|>", "<|two|>"))
    janus = JanusModel.load(str(folder))
    assert janus.settings["template"] == "User: {text}\\n\\nAssistant:"
    ids = janus.tokenizer.encode("<bos>User: a star\n\nAssistant:<begin_of_image>", add_special_tokens=False)
    assert janus._generation_ids("a star") == ids


def test_convert_writes_the_port(tmp_path: Path, port: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = written("original bin shards", port, tmp_path / "original")
    assert main(["convert", str(source), str(tmp_path / "converted")]) == 0
    assert "in transformers' layout" in capsys.readouterr().out
    config = json.loads((tmp_path / "converted" / "config.json").read_text())
    assert config["model_type"] == "janus"
    assert responses(JanusModel.load(str(tmp_path / "converted"))) == responses(JanusModel.load(str(port)))
    assert main(["convert", str(source), str(tmp_path / "converted")]) == 2
    assert "is there already" in capsys.readouterr().err


def damaged(tmp_path: Path, **changes: torch.Tensor | None) -> Path:
    folder = original_layout.write(tmp_path / "damaged", sixteen_heads(), tiny_tokenizer())
    weights = torch.load(folder / "pytorch_model.bin", weights_only=True)
    for name, value in changes.items():
        if value is None:
            del weights[name.replace("__", ".")]
        else:
            weights[name.replace("__", ".")] = value
    torch.save(weights, folder / "pytorch_model.bin")
    return folder


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"gen_embed__weight": None}, "lacks 1 weights, such as model.generation_embeddings.weight"),
        (
            {"gen_embed__weight": torch.zeros(65, 8)},
            r"has gen_embed.weight of shape \(65, 8\), its config.json asks for \(64, 8\)",
        ),
        ({"language_model__lora__weight": torch.zeros(1)}, "'language_model.lora.weight' is no weight of Janus in the layout"),
        ({"language_model__model__more__weight": torch.zeros(1)}, "leaves unused, such as language_model.model.more.weight"),
        (
            {"gen_embed__weight": torch.full((64, 8), torch.nan)},
            "512 of the 512 numbers of weight model.generation_embeddings.weight",
        ),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, changes: dict[str, torch.Tensor | None], says: str) -> None:
    with pytest.raises(UserError, match=says):
        JanusModel.load(str(damaged(tmp_path, **changes)))


def test_nothing_but_weights_is_read_out_of_a_pickle(tmp_path: Path) -> None:
    folder = original_layout.write(tmp_path / "pickle", sixteen_heads(), tiny_tokenizer())
    torch.save({"optimizer": [1, 2]}, folder / "pytorch_model.bin")
    with pytest.raises(UserError, match="holds 'optimizer', which is no weight"):
        JanusModel.load(str(folder))


def test_a_conversion_says_where_it_loses_precision(tmp_path: Path, port: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for dtype, same in (("float32", True), ("stored", True), ("bfloat16", False)):
        assert main(["convert", str(port), str(tmp_path / dtype), "--dtype", dtype]) == 0
        shown = capsys.readouterr().out
        assert ("gives the same responses" in shown, "rounded to bfloat16" in shown) == (same, not same)


@pytest.mark.slow
def test_nothing_but_its_result_is_on_stdout(tmp_path: Path, port: Path) -> None:
    pytest.importorskip("deepspeed")  # which logs there when it is imported
    command = [sys.executable, "-m", "suder_bench", "convert", str(port), str(tmp_path / "converted")]
    [line] = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
    assert line.startswith(f"{port} is in ")


def test_a_checkpoint_without_weights_is_not_converted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = original_layout.write(tmp_path / "empty", sixteen_heads(), tiny_tokenizer())
    torch.save({}, folder / "pytorch_model.bin")
    assert main(["convert", str(folder), str(tmp_path / "converted")]) == 2
    assert "holds no weights" in capsys.readouterr().err
    assert not (tmp_path / "converted").exists()


@pytest.mark.parametrize("heads", ["", ', "heads": 0', ', "heads": "16"', ', "heads": true'])
def test_a_vision_tower_that_is_not_known_is_told_with_the_choices(tmp_path: Path, heads: str) -> None:
    folder = original_layout.write(tmp_path / "other", sixteen_heads(), tiny_tokenizer())
    config = (folder / "config.json").read_text(encoding="utf-8")
    (folder / "config.json").write_text(config.replace('siglip_large_patch16_384"', f'siglip_large_patch16_385"{heads}'))
    with pytest.raises(UserError, match="did you mean 'siglip_large_patch16_384'"):
        JanusModel.load(str(folder))


def test_a_tower_of_another_name_says_its_heads_itself(tmp_path: Path, port: Path) -> None:
    """A tower that the authors' code knows has its heads from there, whatever else stands beside its name, as in that code."""
    expected = responses(JanusModel.load(str(port)))
    for name, heads in (("siglip_of_its_own", 16), ("siglip_large_patch16_384", 2)):
        folder = original_layout.write(tmp_path / name, sixteen_heads(), tiny_tokenizer())
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        config["vision_config"]["params"] |= {"model_name": name, "heads": heads}
        (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
        assert responses(JanusModel.load(str(folder))) == expected
