"""CLIP with tiny random weights: what its two judges compute, through transformers and through open-clip-torch."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_judges import HERE, manifest, noise, randomise
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from suder_bench.errors import JudgeError, UserError
from suder_bench.evaluators.judges import official, open_clip_towers
from suder_bench.evaluators.judges.clip import (
    TEMPLATES,
    VIT_B_32,
    VIT_L_14,
    ClipColors,
    ClipSimilarity,
    Shape,
    TransformersTowers,
    centre_square,
)
from suder_bench.evaluators.judges.manifest import digest
from suder_bench.evaluators.judges.weights import OPENAI_MEAN, OPENAI_STD, pixels


def similarity(folder: Path, **machine) -> ClipSimilarity:
    return ClipSimilarity(TransformersTowers.load("clip", str(folder), **(HERE | machine)))


@pytest.mark.parametrize("size", [(50, 32), (31, 90), (224, 224), (35, 33)])
def test_pictures_are_prepared_as_the_processor_does(size):
    """The one that resizes pictures, as GenEval's script does, and not tensors."""
    picture = noise(*size)
    processor = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    expected = processor(picture, return_tensors="pt")["pixel_values"][0]
    ours = pixels(centre_square(picture, 32), OPENAI_MEAN, OPENAI_STD)
    assert torch.allclose(ours, expected, atol=1e-5)


def test_similarity_is_the_cosine(clip):
    judge = similarity(clip)
    pictures, texts = [noise(40, 32, seed) for seed in range(3)], ["a dog", "a red ball", "cats"]
    model, tokenizer = CLIPModel.from_pretrained(clip).eval(), CLIPTokenizer.from_pretrained(clip)
    found = judge.similarity(pictures, texts)
    for picture, text, cosine in zip(pictures, texts, found, strict=True):
        with torch.no_grad():
            logits = model(
                pixel_values=pixels(centre_square(picture, 32), OPENAI_MEAN, OPENAI_STD)[None],
                **tokenizer(text, return_tensors="pt"),
            )
        assert cosine == pytest.approx(logits.logits_per_image.item() / model.logit_scale.exp().item(), abs=1e-5)
    assert judge.similarity([], []) == []


def test_a_text_that_would_be_cut_is_refused(clip):
    with pytest.raises(UserError, match="at most 77 tokens"):
        TransformersTowers.load("clip", str(clip), **HERE).read(["dog " * 80])


def test_colors_average_three_templates(clip):
    towers = TransformersTowers.load("color", str(clip), **HERE)
    crops, colors = [noise(40, 32, 1), noise(33, 64, 2), noise(32, 32, 3)], ("red", "blue")
    scores = ClipColors(towers).classify(crops, ["ball", "dog", "ball"], colors)
    assert scores.shape == (3, 2)
    for place, noun in enumerate(("ball", "dog", "ball")):
        for column, color in enumerate(colors):
            read = towers.read([template.format(color=color, noun=noun) for template in TEMPLATES])
            mean = read.mean(dim=0)
            cosine = towers.see([crops[place]])[0] @ (mean / mean.norm())
            assert scores[place, column] == pytest.approx(100 * float(cosine), abs=1e-3)
    assert ClipColors(towers).classify([], [], colors).shape == (0, 2)


def test_a_nouns_templates_are_read_once(clip, monkeypatch):
    towers = TransformersTowers.load("color", str(clip), **HERE)
    asked, read = [], towers.read
    monkeypatch.setattr(towers, "read", lambda texts: asked.append(len(texts)) or read(texts))
    judge = ClipColors(towers)
    for _ in range(3):
        judge.classify([noise(32, 32)] * 2, ["ball", "dog"], ("red", "blue"))
    assert asked == [6, 6]


TINY = Shape(patch=16, side=32, width=16, depth=1, heads=2, text_heads=2, dimension=8, quick=True)


@pytest.mark.parametrize(
    ("role", "judge", "backend"), [("clip", ClipSimilarity, "clip-vit-b-32"), ("color", ClipColors, "clip-vit-l-14")]
)
def test_only_the_benchmarks_own_file_is_exact(role, judge, backend, clip, tmp_path):
    """Another file of the same shapes is not, nor is the file under a configuration that makes another network of it."""
    known = manifest(role, clip / "model.safetensors")
    own = TransformersTowers.load(role, str(clip), **HERE, manifest=known)
    assert own.shape == TINY
    assert (judge(own, TINY).exact, judge(own, TINY).backend) == (True, backend)
    for another in (VIT_B_32, VIT_L_14, replace(TINY, heads=1), replace(TINY, text_heads=1), replace(TINY, quick=False)):
        assert (judge(own, another).exact, judge(own, another).backend) == (False, "another-clip")
    randomise(CLIPModel.from_pretrained(clip), seed=1).save_pretrained(tmp_path)
    CLIPTokenizer.from_pretrained(clip).save_pretrained(tmp_path)
    other = TransformersTowers.load(role, str(tmp_path), **HERE, manifest=known)
    assert (other.shape, other.match, judge(other, TINY).exact) == (TINY, "another file", False)
    assert judge(TransformersTowers.load(role, str(clip), **HERE), TINY).exact is False


def test_the_same_weights_in_another_file_are_exact(clip):
    file = clip / "model.safetensors"
    known = manifest("clip", file, sha256="0" * 64, same=f"{'1' * 64} {digest(file)}")
    assert official.load("clip", source=str(clip), manifest=known, **HERE)._towers.match == "exact"


def test_the_fingerprint_follows_the_weights(clip, tmp_path):
    assert similarity(clip).fingerprint == similarity(clip).fingerprint
    model = CLIPModel.from_pretrained(clip)
    model.logit_scale.data += 1
    model.save_pretrained(tmp_path)
    CLIPTokenizer.from_pretrained(clip).save_pretrained(tmp_path)
    assert similarity(clip).fingerprint != similarity(tmp_path).fingerprint


def test_half_precision_on_request(clip):
    pictures, texts = [noise(40, 32)], ["a dog"]
    exact, half = similarity(clip), similarity(clip, dtype="bfloat16")
    assert half.similarity(pictures, texts) == pytest.approx(exact.similarity(pictures, texts), abs=0.05)
    assert half.fingerprint == f"{exact.fingerprint}-bfloat16"
    with pytest.raises(UserError, match="unknown dtype 'int8'"):
        similarity(clip, dtype="int8")


def test_open_clip_that_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(JudgeError, match=r'pip install -c constraints\.txt "\.\[clip\]"'):
        open_clip_towers.load("color")


@pytest.fixture(scope="module")
def both(tmp_path_factory) -> tuple[Path, Path]:
    """The same random CLIP in open-clip-torch's format and in transformers'."""
    reason = "open-clip-torch needs a torchvision, and PyPI's is for CUDA; .ci/run has a step of its own for it"
    open_clip = pytest.importorskip("open_clip", reason=reason)
    ours, theirs = tmp_path_factory.mktemp("open_clip"), tmp_path_factory.mktemp("transformers")
    tokenizer = open_clip.get_tokenizer("ViT-B-32")
    config = {
        "embed_dim": 24,
        "quick_gelu": True,
        "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "patch_size": 8},
        "text_cfg": {"context_length": 77, "vocab_size": tokenizer.vocab_size, "width": 32, "heads": 2, "layers": 2},
    }
    model = randomise(open_clip.CLIP(**config), std=0.1)
    ours.joinpath("open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": {}}))
    torch.save(model.state_dict(), ours / "open_clip_pytorch_model.bin")
    theirs_config = CLIPConfig(
        vision_config={"hidden_size": 64, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 1}
        | {"image_size": 32, "patch_size": 8},
        text_config={"hidden_size": 32, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}
        | {"vocab_size": tokenizer.vocab_size, "bos_token_id": tokenizer.sot_token_id, "eos_token_id": tokenizer.eot_token_id},
        projection_dim=24,
    )
    twin = CLIPModel(theirs_config)
    twin.load_state_dict(as_transformers(model.state_dict()), strict=True)
    twin.save_pretrained(theirs)
    ends = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}
    theirs.joinpath("vocab.json").write_text(json.dumps({ends.get(word, word): i for word, i in tokenizer.encoder.items()}))
    theirs.joinpath("merges.txt").write_text("\n".join(["#version: 0.2", *map(" ".join, tokenizer.bpe_ranks)]) + "\n")
    CLIPTokenizer(str(theirs / "vocab.json"), str(theirs / "merges.txt")).save_pretrained(theirs)
    return ours, theirs


def as_transformers(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """open-clip-torch's weights under transformers' names."""
    parts = {"ln_1": "layer_norm1", "ln_2": "layer_norm2", "mlp.c_fc": "mlp.fc1", "mlp.c_proj": "mlp.fc2"}
    parts |= {"attn.out_proj": "self_attn.out_proj"}
    renamed = {
        "visual.class_embedding": "vision_model.embeddings.class_embedding",
        "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
        "visual.conv1.weight": "vision_model.embeddings.patch_embedding.weight",
        "positional_embedding": "text_model.embeddings.position_embedding.weight",
        "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
        "logit_scale": "logit_scale",
    }
    for old, new in (("visual.ln_pre", "vision_model.pre_layrnorm"), ("visual.ln_post", "vision_model.post_layernorm")):
        renamed |= {f"{old}.{kind}": f"{new}.{kind}" for kind in ("weight", "bias")}
    renamed |= {f"ln_final.{kind}": f"text_model.final_layer_norm.{kind}" for kind in ("weight", "bias")}
    found = {}
    for name, tensor in state.items():
        if name in ("visual.proj", "text_projection"):
            found["visual_projection.weight" if name == "visual.proj" else "text_projection.weight"] = tensor.T.contiguous()
        elif ".resblocks." in name or name.startswith("transformer"):
            tower = "vision_model" if name.startswith("visual") else "text_model"
            layer, _, rest = name.partition(".resblocks.")[2].partition(".")
            part, _, kind = rest.rpartition(".") if "in_proj" not in rest else ("attn.in_proj", "", rest.rpartition("_")[2])
            if part == "attn.in_proj":
                for letter, third in zip("qkv", tensor.chunk(3), strict=True):
                    found[f"{tower}.encoder.layers.{layer}.self_attn.{letter}_proj.{kind}"] = third.contiguous()
            else:
                found[f"{tower}.encoder.layers.{layer}.{parts[part]}.{kind}"] = tensor
        else:
            found[renamed[name]] = tensor
    return found


def test_both_packages_agree(both):
    ours, theirs = both
    first = open_clip_towers.OpenClipTowers.load("color", str(ours), **HERE)
    second = TransformersTowers.load("color", str(theirs), **HERE)
    assert (
        first.shape == second.shape == Shape(patch=8, side=32, width=64, depth=2, heads=1, text_heads=2, dimension=24, quick=True)
    )
    pictures = [noise(*size, seed) for seed, size in enumerate([(32, 32), (50, 32), (31, 90), (224, 200)])]
    assert torch.allclose(first.see(pictures), second.see(pictures), rtol=0, atol=1e-5)
    texts = ["a photo of a red bench", "A person is looking at a rainbow.", "an oval-colored, plastic 7up; isn't it?"]
    assert torch.allclose(first.read(texts), second.read(texts), rtol=0, atol=1e-5)
    colors = ("red", "orange", "black")
    scores = [ClipColors(towers).classify(pictures, ["bench", "dog", "bench", "tv"], colors) for towers in (first, second)]
    assert scores[0] == pytest.approx(scores[1], abs=1e-3)  # of logits, 100 times a cosine


def test_open_clip_says_which_weights_it_lacks(both, tmp_path):
    ours, _ = both
    judge = open_clip_towers.load("clip", device="cpu", offline=True, source=str(ours))
    assert (judge.exact, judge.backend) == (False, "another-clip-through-open-clip")
    known = manifest("clip", ours / "open_clip_pytorch_model.bin")
    towers = open_clip_towers.OpenClipTowers.load("clip", str(ours), **HERE, manifest=known)
    assert (ClipSimilarity(towers, towers.shape).exact, towers.match) == (True, "exact")
    with pytest.raises(UserError, match="at most 77 tokens"):
        judge.similarity([noise(32, 32)], ["dog " * 80])
    with pytest.raises(JudgeError, match="wrong weights"):
        judge.check()
    for source, said in ((tmp_path / "none", "no file or folder"), (tmp_path, "not a folder in open-clip-torch's format")):
        with pytest.raises(JudgeError, match=said):
            open_clip_towers.load("clip", device="cpu", offline=True, source=str(source))
    with pytest.raises(JudgeError, match=r"judge clip: .*open-clip:FILE"):
        open_clip_towers.load("clip", device="cpu", offline=True, source=str(ours / "open_clip_pytorch_model.bin"))


def test_the_official_back_end_is_transformers(clip):
    judge = official.load("clip", device="cpu", offline=True, source=str(clip))
    assert judge.fingerprint == similarity(clip).fingerprint
