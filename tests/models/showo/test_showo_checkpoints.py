"""`--model FOLDER` and `--model showo:CHECKPOINT?vq=REF&...`: what it means, which files are read, and what is refused."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from models.showo.small_showo import FOLDER_SIZES, small_model, small_tokenizer, write_folder
from models.tiny import edit_json
from safetensors.torch import load_file, save_file
from transformers import CLIPVisionConfig, CLIPVisionModel, PhiForCausalLM
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from suder_bench.cli import main
from suder_bench.errors import UserError
from suder_bench.models.protocols import ImageSampling, TextSampling
from suder_bench.models.reference import choose
from suder_bench.models.showo import reference, sizes, vision
from suder_bench.models.showo.model import ShowoModel
from suder_bench.models.showo.reference import Estimator
from suder_bench.models.showo.sizes import ShowoSizes
from suder_bench.testing import check_model, pictures

WEIGHTS = "pytorch_model.safetensors"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("showo") / "Showo-Small")


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(whole, tmp_path / "ckpt"))


def published(folder: Path) -> Path:
    """config.json as the authors' code writes it, but for the sizes; the tokenizers lie elsewhere."""
    told = json.loads((folder / "config.json").read_text())
    kept = {name: told[name] for name in ("phi", "magvit", "text_length")}
    keys = ("w_clip_vit", "vocab_size", "llm_vocab_size", "codebook_size", "num_vq_tokens", "mask_token_id")
    names = {"_class_name": "Showo", "_version": "0.0.1", "llm_model_path": "microsoft/phi-1_5", "load_from_showo": False}
    (folder / "config.json").write_text(json.dumps(names | {key: told[key] for key in keys} | kept))
    shutil.move(folder / "magvitv2", folder.parent / "vq")
    (folder.parent / "text").mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.move(folder / name, folder.parent / "text" / name)
    return folder


def drawn(model: ShowoModel) -> torch.Tensor:
    return model.draw(["a tree"], seeds=[0], sampling=ImageSampling(steps=2)).tokens


def test_settings_follow_the_reference() -> None:
    asked = reference.read("a/b?vq=./vq&tokenizer=c/d&estimator=elbo&draws=4")
    assert (asked.checkpoint, asked.vq, asked.tokenizer, str(asked.estimator)) == ("a/b", "./vq", "c/d", "elbo (draws 4)")
    assert str(reference.read("a/b").estimator) == "one-step (drop 0.15, fill mask, draws 1)"
    assert reference.read("a/b?drop=.3&fill=hide&draws=2").estimator == Estimator(drop=0.3, fill="hide", draws=2)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a/b?estimater=elbo", "unknown setting of showo 'estimater'; did you mean 'estimator'"),
        ("a/b?estimator=exact", "estimator 'exact' of model 'a/b.*' is neither one-step nor elbo"),
        ("a/b?estimator=elbo&drop=0.3", "drop says nothing to estimator elbo"),
        ("a/b?drop=1.5", "drop '1.5' .* is not a number from 0 to 1"),
        ("a/b?drop=x", "drop 'x' .* is not a number"),
        ("a/b?fill=pad", "fill 'pad' .* is neither mask nor hide"),
        ("a/b?draws=0", "draws '0' .* is not a whole number from 1 on"),
        ("a/b?vq=", "says nothing for vq"),
    ],
)
def test_mistakes_in_a_reference(text: str, told: str) -> None:
    with pytest.raises(UserError, match=told):
        reference.read(text)


def test_a_folder_says_by_its_config_that_it_is_a_showo(whole: Path, folder: Path) -> None:
    chosen = choose(str(whole))
    assert (chosen.adapter, chosen.label, chosen.world) == ("showo", "Showo-Small", False)
    assert (chosen.guidance, chosen.steps) == (6.0, 18)
    (folder / "generation_config.json").write_text('{"guidance_scale": 2.5, "generation_timesteps": 7}')
    edit_json(folder / "config.json", suder_bench_world=True)
    own = choose(f"{folder}?estimator=elbo")
    assert (own.adapter, own.guidance, own.steps, own.world) == ("showo", 2.5, 7, True)
    model = own.load(device="cpu", dtype="float32")
    assert isinstance(model, ShowoModel)
    assert (model.steps, model.world, model.estimator) == (7, True, "elbo (draws 1)")
    assert model.settings["image likelihood"] == "estimated: elbo (draws 1), among the codes"
    published(folder)
    assert choose(str(folder)).adapter == "showo"


@pytest.mark.parametrize(("name", "steps"), [("showlab/show-o", 18), ("showlab/show-o-512x512", 50)])
def test_published_ones_are_known_by_heart(name: str, steps: int) -> None:
    chosen = choose(f"showo:{name}")
    assert (chosen.guidance, chosen.steps) == (6.0, steps)
    known = ShowoModel.sizes(chosen)
    assert known is not None
    assert (known.width, known.layers, known.vocabulary, known.codes) == (2048, 24, 58498, 8192)
    assert (known.side, known.parallel, known.keys) == (512 if steps == 50 else 256, True, 2048)
    assert sum(weight.numel() for weight in known.network.parameters()) == 1_448_176_770
    assert ShowoModel.cannot_learn(name) is None
    assert ShowoModel.cannot_learn("showlab/show-o-w-clip-vit") == "it understands with a frozen other model (CLIP-ViT)"


@pytest.mark.parametrize("name", ["showlab/show-o", "showlab/show-o-512x512?estimator=elbo"])
def test_published_ones_need_no_prefix_before_they_are_fetched(name: str) -> None:
    assert choose(name, fetch=False).adapter == "showo"


def test_the_published_names_and_shapes_are_those_of_the_network() -> None:
    with torch.device("meta"):
        network = PhiForCausalLM(ShowoSizes().phi_config())
    expected: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (58498, 2048),
        "lm_head.weight": (58498, 2048),
        "lm_head.bias": (58498,),
    }
    for norm in ["final_layernorm", *(f"layers.{layer}.input_layernorm" for layer in range(24))]:
        expected |= {f"model.{norm}.{part}": (2048,) for part in ("weight", "bias")}
    shapes = {"q_proj": (2048, 2048), "k_proj": (2048, 2048), "v_proj": (2048, 2048), "dense": (2048, 2048)}
    for layer in range(24):
        linear = {f"self_attn.{name}": shape for name, shape in shapes.items()}
        for name, shape in (linear | {"mlp.fc1": (8192, 2048), "mlp.fc2": (2048, 8192)}).items():
            expected |= {f"model.layers.{layer}.{name}.weight": shape, f"model.layers.{layer}.{name}.bias": shape[:1]}
        for name in ("q_layernorm", "k_layernorm"):
            expected |= {f"model.layers.{layer}.self_attn.{name}.{part}": (64,) for part in ("weight", "bias")}
    assert {name: tuple(weight.shape) for name, weight in network.state_dict().items()} == expected
    config: Any = network.config
    assert (config.layer_norm_eps, config.hidden_act, config.max_position_embeddings) == (1e-5, "gelu_new", 2048)
    assert (config.rope_parameters["rope_theta"], config.rope_parameters["partial_rotary_factor"]) == (10000.0, 0.5)


def test_parts_may_lie_elsewhere_and_the_fingerprint_covers_them(whole: Path, folder: Path) -> None:
    before = ShowoModel.load(str(whole), dtype="float32")
    published(folder)
    text = f"showo:{folder}?vq={folder.parent}/vq&tokenizer={folder.parent}/text"
    chosen = choose(text)
    chosen.check()
    stamp = chosen.stamp()
    apart = chosen.load(device="cpu", dtype="float32")
    assert isinstance(apart, ShowoModel)
    assert drawn(apart).equal(drawn(before))
    assert {name for name in apart.parts if apart.parts[name] != before.parts[name]} == {"config"}
    weights = {name: value.clone() for name, value in load_file(folder.parent / "vq" / WEIGHTS).items()}
    weights["encoder.conv_in.bias"] += 1
    save_file(weights, folder.parent / "vq" / WEIGHTS)
    other = choose(text).load(device="cpu", dtype="float32")
    assert isinstance(other, ShowoModel)
    assert {name for name in apart.parts if apart.parts[name] != other.parts[name]} == {"image tokenizer"}
    assert chosen.stamp() != stamp


@pytest.mark.parametrize("form", ["model.safetensors", "pytorch_model.bin", "shards", "pickled shards"])
def test_weights_in_every_form_are_the_same(whole: Path, folder: Path, form: str) -> None:
    for place in (folder, folder / "magvitv2"):
        weights = {name: value.clone() for name, value in load_file(place / WEIGHTS).items()}
        (place / WEIGHTS).unlink()
        if "shards" not in form:
            (torch.save if form.endswith(".bin") else save_file)(weights, place / form)
            continue
        stem, ending, write = (
            (WEIGHTS, "safetensors", save_file) if form == "shards" else ("pytorch_model.bin", "bin", torch.save)
        )
        index = {name: f"pytorch_model-0000{i % 2 + 1}-of-00002.{ending}" for i, name in enumerate(sorted(weights))}
        for file in set(index.values()):
            write({name: value for name, value in weights.items() if index[name] == file}, place / file)
        (place / f"{stem}.index.json").write_text(json.dumps({"weight_map": index}))
    assert drawn(ShowoModel.load(str(folder), dtype="float32")).equal(drawn(ShowoModel.load(str(whole), dtype="float32")))


def test_bfloat16_is_of_the_language_model_alone(whole: Path) -> None:
    model = ShowoModel.load(str(whole), dtype="bfloat16")
    assert model.network.dtype == torch.bfloat16
    assert {weight.dtype for weight in model.magvit.parameters()} == {torch.float32}
    assert model.tokenize_images(pictures()).equal(ShowoModel.load(str(whole), dtype="float32").tokenize_images(pictures()))
    assert model.generate(["a tree"], seeds=[0], sampling=ImageSampling(steps=2))[0].picture.size == (16, 16)
    assert model.text_logprobs(pictures()[:1], ["a tree"])[0].dtype == torch.float32


def run(out: Path, *argv: str) -> int:
    return main(["run", "--data", "world", "--device", "cpu", "--out", str(out), *argv])


def test_all_benchmarks_run_and_run_json_says_with_what(whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert run(out, "--model", f"{whole}?draws=2", "--suite", "all", "--limit", "1", "--steps", "2") == 0
    recipe = json.loads((out / "run.json").read_text())
    assert recipe["model"]["adapter"] == "showo"
    assert recipe["model"]["settings"]["image likelihood"].startswith("estimated: one-step (drop 0.15, fill mask, draws 2)")
    assert (recipe["sampling"]["image"]["guidance"], recipe["sampling"]["image"]["steps"]) == (6.0, 2)
    assert len(json.loads((out / "summary.json").read_text())["benchmarks"]) == 7


def told(folder: Path) -> str:
    """The one line with which a checkpoint is refused."""
    with pytest.raises(UserError) as mistake:
        ShowoModel.load(str(folder))
    line = str(mistake.value)
    assert "\n" not in line
    assert str(folder) in line
    return line


def change(file: Path, **changes: torch.Tensor | None) -> None:
    weights = {name: value.clone() for name, value in load_file(file).items()} | changes
    save_file({name: value for name, value in weights.items() if value is not None}, file)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"num_vq_tokens": 17}, "num_vq_tokens 17 is no square number"),
        ({"vocab_size": 58498}, "vocab_size is 58,498, but text, 10 special tokens, 64 codes and a mask token make it 375"),
        ({"codebook_size": None}, "codebook_size is null, not a whole number"),
        ({"magvit": {"bits": 6, "color": 3}}, "unknown size of magvit in .* 'color'"),
        ({"magvit": {"bits": "six"}}, "magvit makes no image tokenizer"),
        ({"magvit": {"bits": 6, "groups": 7}}, "8 channels are not so many groups of as many: 7"),
        ({"phi": {"hidden_size": 60}}, "cannot be loaded: its configuration|of shape"),
        ({"phi": 3}, "phi and magvit are not objects"),
        ({"text_length": 0}, "text_length is 0"),
        ({"w_clip_vit": True}, "has no CLIP-ViT of its own, and takes it from openai/clip-vit-large-patch14-336"),
        ({"model_type": "phi"}, "has model_type 'phi'; give a Show-o"),
    ],
)
def test_a_config_that_contradicts_itself_or_the_files_is_refused(folder: Path, changes: dict[str, Any], line: str) -> None:
    edit_json(folder / "config.json", **changes)
    with pytest.raises(UserError, match=line):
        ShowoModel.load(str(folder))


def test_a_config_that_asks_for_eager_attention_hides_the_same(whole: Path, folder: Path) -> None:
    edit_json(folder / "config.json", phi={"attn_implementation": "eager"})
    asked, plain = (ShowoModel.load(str(one), device="cpu", dtype="float32") for one in (folder, whole))
    texts, codes = ["a tree"] * 2, asked.tokenize_images(pictures())[:2]
    assert torch.equal(asked.image_logprobs(texts, codes), plain.image_logprobs(texts, codes))


def test_steps_of_a_checkpoints_own_are_a_number(folder: Path) -> None:
    (folder / "generation_config.json").write_text('{"generation_timesteps": "many"}')
    assert 'generation_timesteps is "many", not a whole number' in told(folder)


def test_a_damaged_image_tokenizer_is_refused(folder: Path) -> None:
    file = folder / "magvitv2" / WEIGHTS
    head = load_file(file)["encoder.conv_in.weight"].clone()
    change(file, **{"encoder.conv_in.weight": None})
    assert "lacks 1 weights, such as encoder.conv_in.weight" in told(folder)
    change(file, **{"encoder.conv_in.weight": head[:, :1].clone()})
    assert "encoder.conv_in.weight of shape (8, 1, 3, 3), its config.json asks for (8, 3, 3, 3)" in told(folder)
    change(file, **{"encoder.conv_in.weight": head * torch.nan})
    assert "numbers of weight encoder.conv_in.weight are NaN or infinite" in told(folder)
    assert "weights not finite" in ShowoModel.load(f"{folder}?allow_nonfinite=true").settings
    change(file, **{"encoder.conv_in.weight": head, "quantize.embedding": -load_file(file)["quantize.embedding"]})
    assert "its codes are not the signs of their bits" in told(folder)
    file.write_bytes(file.read_bytes()[:-9])
    assert "is cut short" in told(folder)


def test_a_missing_weight_is_told_by_its_name(folder: Path) -> None:
    change(folder / WEIGHTS, **{"showo.model.final_layernorm.bias": None})
    assert "lacks 1 weights, such as model.final_layernorm.bias" in told(folder)


def test_weights_of_a_projector_without_clip_are_refused(folder: Path) -> None:
    change(folder / WEIGHTS, **{"mm_projector.0.weight": torch.zeros(2, 2)})
    assert "holds weights of mm_projector, but its config.json says no w_clip_vit" in told(folder)


def test_a_tokenizer_that_has_showos_tokens_already_is_the_same(whole: Path, folder: Path) -> None:
    tokenizer = ShowoModel.load(str(folder)).tokenizer
    tokenizer.add_special_tokens({"pad_token": sizes.PAD})
    tokenizer.add_tokens(list(sizes.SPECIAL))
    tokenizer.save_pretrained(folder)
    assert drawn(ShowoModel.load(str(folder), dtype="float32")).equal(drawn(ShowoModel.load(str(whole), dtype="float32")))
    tokenizer.add_tokens(["<|more|>"])
    tokenizer.save_pretrained(folder)
    assert "311 ids, but config.json says llm_vocab_size 300" in told(folder)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Show-o that CLIP sees for, of 4 patches."""
    torch.manual_seed(3)
    config = CLIPVisionConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=3, num_attention_heads=2, image_size=28, patch_size=14
    )
    processor = CLIPImageProcessorPil(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28})
    project = vision.projector(16, 64)
    made = small_model(
        sizes=replace(FOLDER_SIZES, clip=True), eyes=vision.Eyes(CLIPVisionModel(config).eval(), processor, project)
    )
    folder = tmp_path_factory.mktemp("clip") / "Showo-CLIP"
    made.save(folder, made.network.state_dict())
    return folder


def test_clip_sees_for_those_that_do_not_read_their_codes(clip: Path) -> None:
    model = choose(str(clip)).load(device="cpu", dtype="float32")
    assert isinstance(model, ShowoModel)
    assert (model.reads_codes, ShowoModel.cannot_learn(str(clip))) == (
        False,
        "it understands with a frozen other model (CLIP-ViT)",
    )
    assert {"CLIP weights", "CLIP processor"} <= model.parts.keys()
    assert "DualLikelihood" in check_model(model, image=ImageSampling(steps=2))
    with pytest.raises(ValueError, match="of pixels"):
        model.text_logprobs(torch.zeros(1, 16, dtype=torch.long), ["a tree"])


@torch.no_grad()
def test_clip_reads_the_sequence_of_the_authors(clip: Path) -> None:
    model = ShowoModel.load(str(clip), dtype="float32")
    assert model.eyes is not None
    shown = pictures()[0]
    values = model.eyes.processor(images=[shown], return_tensors="pt")["pixel_values"]
    features = model.eyes.tower(values, output_hidden_states=True).hidden_states[-2][:, 1:]
    encode = small_tokenizer().encode
    system = encode(
        "A chat between a curious user and an artificial intelligence assistant. "
        "The assistant gives helpful, detailed, and polite answers to the user's questions."
    )
    embed = model.network.model.embed_tokens
    begin, answer = embed(torch.tensor([[306, *system, 301]])), encode(" a tree")
    after = embed(torch.tensor([[302, *encode("USER: What is it? ASSISTANT:"), *answer]]))
    x = torch.cat([begin, model.eyes.project(features), after], dim=1)
    mask = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).tril()
    mask[:, len(system) + 2 : len(system) + 6] = True
    logits = model.network(inputs_embeds=x, attention_mask=mask[None, None]).logits[0]
    expected = torch.log_softmax(logits[-len(answer) - 1 : -1], dim=-1).gather(1, torch.tensor(answer)[:, None])[:, 0]
    [found] = model.answer_logprobs([[shown]], ["What is it?"], ["a tree"])
    assert torch.allclose(found, expected, atol=1e-4)
    written = model.write([[shown]], ["What is it?"], seeds=[0], sampling=TextSampling(max_new_tokens=1))[0]
    first = torch.log_softmax(logits[-len(answer) - 1], dim=-1).argmax()
    assert written == [int(first)]


def test_a_tower_in_a_whole_clip_is_read_by_its_names_there(clip: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(clip, tmp_path / "checkpoint"))
    place = folder / "clip-vit" / "model.safetensors"
    weights = load_file(place)
    named = {f"vision_model.{name.removeprefix('vision_model.')}": value.clone() for name, value in weights.items()}
    named["text_model.final_layer_norm.bias"] = torch.zeros(4)
    named["vision_model.embeddings.position_ids"] = torch.arange(5)[None]
    save_file(named, place)
    scores = [ShowoModel.load(str(one), dtype="float32").text_logprobs(pictures()[:1], ["a tree"])[0] for one in (clip, folder)]
    assert torch.equal(scores[0], scores[1])
