"""The networks behind the official judges, with tiny random weights: they compute what the benchmarks' scripts compute."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import (
    BertTokenizer,
    BlipConfig,
    BlipForQuestionAnswering,
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPTokenizer,
    DPTConfig,
    DPTForDepthEstimation,
)

from suder_bench.errors import JudgeError, UserError
from suder_bench.evaluators.judges import official
from suder_bench.evaluators.judges.blip_vqa import BlipVqa
from suder_bench.evaluators.judges.clip import TEMPLATES, ClipColors, ClipSimilarity, centre_square
from suder_bench.evaluators.judges.dpt import DptDepth
from suder_bench.evaluators.judges.weights import OPENAI_MEAN, OPENAI_STD, pixels

HERE = {"device": "cpu", "dtype": "auto", "offline": True}
WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "yes",
    "no",
    "a",
    "red",
    "blue",
    "ball",
    "?",
    "is",
    "the",
    "picture",
    "dog",
]
LETTERS = [chr(code) for code in range(97, 123)] + ["-", "?"]


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    values = np.random.default_rng(seed).integers(0, 256, (height // 4 + 1, width // 4 + 1, 3), dtype=np.uint8)
    return Image.fromarray(values).resize((width, height), Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def blip(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("blip")
    torch.manual_seed(0)
    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = small | {
        "vocab_size": len(WORDS) + 2,
        "bos_token_id": len(WORDS),
        "sep_token_id": 3,
        "pad_token_id": 0,
        "encoder_hidden_size": 16,
        "max_position_embeddings": 40,
    }
    config = BlipConfig(text_config=text, vision_config=small | {"image_size": 64, "patch_size": 32}, projection_dim=8)
    model = BlipForQuestionAnswering(config)
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    model.save_pretrained(folder)
    folder.joinpath("vocab.txt").write_text("\n".join(WORDS))
    BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("clip")
    torch.manual_seed(0)
    vocabulary = [*LETTERS, *(letter + "</w>" for letter in LETTERS), "<|startoftext|>", "<|endoftext|>"]
    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    ends = {"bos_token_id": len(vocabulary) - 2, "eos_token_id": len(vocabulary) - 1, "pad_token_id": len(vocabulary) - 1}
    config = CLIPConfig(
        text_config=small | {"vocab_size": len(vocabulary), "max_position_embeddings": 77} | ends,
        vision_config=small | {"image_size": 32, "patch_size": 16},
        projection_dim=8,
    )
    model = CLIPModel(config)
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    model.save_pretrained(folder)
    folder.joinpath("vocab.json").write_text(json.dumps({word: place for place, word in enumerate(vocabulary)}))
    folder.joinpath("merges.txt").write_text("#version: 0.2\n")
    CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt")).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def dpt(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("dpt")
    torch.manual_seed(0)
    backbone = {
        "model_type": "bit",
        "embedding_size": 16,
        "hidden_sizes": [8, 16, 16],
        "depths": [1, 1, 1],
        "num_groups": 4,
        "layer_type": "bottleneck",
        "global_padding": "same",
        "embedding_dynamic_padding": True,
        "out_features": ["stage1", "stage2", "stage3"],
    }
    config = DPTConfig(
        is_hybrid=True,
        backbone_config=backbone,
        backbone_featmap_shape=[1, 16, 4, 4],
        image_size=64,
        patch_size=16,
        hidden_size=16,
        num_hidden_layers=4,
        num_attention_heads=2,
        intermediate_size=16,
        backbone_out_indices=[0, 1, 2, 3],
        neck_ignore_stages=[0, 1],
        reassemble_factors=[1, 1, 1, 0.5],
        neck_hidden_sizes=[8, 16, 16, 16],
        fusion_hidden_size=8,
        readout_type="project",
        hidden_act="gelu",
    )
    model = DPTForDepthEstimation(config)
    torch.nn.init.constant_(model.head.head[-2].bias, 5.0)
    model.save_pretrained(folder)
    return folder


def test_blip_takes_one_decoder_step_after_enc(blip):
    judge = BlipVqa.load(str(blip), **HERE)
    picture, question = noise(100, 60), "is the ball red?"
    ((p,),) = judge.p_yes([picture], [[question]])
    model, tokenizer = BlipForQuestionAnswering.from_pretrained(blip).eval(), BertTokenizer.from_pretrained(blip)
    ids = tokenizer(question, return_tensors="pt")["input_ids"]
    assert ids[0, 0] == WORDS.index("[CLS]")
    ids[0, 0] = len(WORDS) + 1
    step = model.generate(
        input_ids=ids,
        pixel_values=pixels(picture.resize((480, 480), Image.Resampling.BICUBIC), OPENAI_MEAN, OPENAI_STD)[None],
        interpolate_pos_encoding=True,
        max_new_tokens=1,
        output_logits=True,
        return_dict_in_generate=True,
    )
    whole = torch.softmax(step.logits[0][0], dim=-1)
    yes, no = whole[WORDS.index("yes")], whole[WORDS.index("no")]
    assert p == pytest.approx(float(yes / (yes + no)), abs=1e-6)


def test_blip_does_not_depend_on_the_batch(blip):
    judge = BlipVqa.load(str(blip), **HERE)
    pictures, questions = [noise(64, 64, seed) for seed in range(3)], [["a red ball?", "a dog?"], [], ["is the picture blue?"]]
    whole = judge.p_yes(pictures, questions)
    assert [len(own) for own in whole] == [2, 0, 1]
    for picture, own, found in zip(pictures, questions, whole, strict=True):
        assert [judge.p_yes([picture], [[question]])[0][0] for question in own] == pytest.approx(found, abs=1e-6)


def test_blip_reads_35_tokens(blip):
    judge = BlipVqa.load(str(blip), **HERE)
    ((p, q),) = judge.p_yes([noise(64, 64)], [["dog " * 60, "dog " * 50]])
    assert p == q


def test_blip_of_another_size_says_so(blip):
    assert BlipVqa.load(str(blip), **HERE).exact is False


@pytest.mark.parametrize("size", [(50, 32), (31, 90), (224, 224)])
def test_clip_prepares_pictures_as_its_processor(size):
    picture = noise(*size)
    processor = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    expected = processor(picture, return_tensors="pt")["pixel_values"][0]
    ours = pixels(centre_square(picture, 32), OPENAI_MEAN, OPENAI_STD)
    assert torch.allclose(ours, expected, atol=1e-5)


def test_clip_similarity_is_the_cosine(clip):
    judge = ClipSimilarity.load_as("clip", str(clip), **HERE)
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


def test_clip_refuses_a_text_it_would_cut(clip):
    with pytest.raises(UserError, match="at most 77 tokens"):
        ClipSimilarity.load_as("clip", str(clip), **HERE).read(["dog " * 80])


def test_colors_average_three_templates(clip):
    judge = ClipColors.load_as("color", str(clip), **HERE)
    crops, colors = [noise(40, 32, 1), noise(33, 64, 2), noise(32, 32, 3)], ("red", "blue")
    scores = judge.classify(crops, ["ball", "dog", "ball"], colors)
    assert scores.shape == (3, 2)
    for place, noun in enumerate(("ball", "dog", "ball")):
        for column, color in enumerate(colors):
            read = judge.read([template.format(color=color, noun=noun) for template in TEMPLATES])
            mean = read.mean(dim=0)
            cosine = judge.see([crops[place]])[0] @ (mean / mean.norm())
            assert scores[place, column] == pytest.approx(100 * float(cosine), abs=1e-3)
    assert judge.classify([], [], colors).shape == (0, 2)


def test_dpt_sees_480_pixels_whatever_it_was_trained_on(dpt):
    judge = DptDepth.load(str(dpt), **HERE)
    pictures = [noise(64, 64), noise(120, 40, 1)]
    maps = judge.depth(pictures)
    assert [depth.shape for depth in maps] == [(480, 480)] * 2
    assert all(np.isfinite(depth).all() and depth.std() > 0 for depth in maps)
    assert np.allclose(judge.depth(pictures[1:])[0], maps[1], atol=1e-4)


def test_dpt_must_give_a_depth_that_varies(dpt, monkeypatch):
    judge = DptDepth.load(str(dpt), **HERE)
    judge.check()
    for broken in (np.ones((480, 480)), np.full((480, 480), np.nan)):
        monkeypatch.setattr(judge, "depth", lambda pictures, found=broken: [found])
        with pytest.raises(JudgeError, match="finite depth that varies"):
            judge.check()


@pytest.mark.parametrize(("role", "fixture"), [("vqa", "blip"), ("clip", "clip"), ("color", "clip")])
def test_random_weights_fail_the_known_answers(role, fixture, request):
    folder = str(request.getfixturevalue(fixture))
    judge = official.load(role, device="cpu", offline=True, source=folder)
    with pytest.raises(JudgeError, match="wrong weights"):
        judge.check()


def test_the_fingerprint_follows_the_weights(clip, tmp_path):
    first = ClipSimilarity.load_as("clip", str(clip), **HERE)
    assert first.fingerprint == ClipSimilarity.load_as("clip", str(clip), **HERE).fingerprint
    model = CLIPModel.from_pretrained(clip)
    model.logit_scale.data += 1
    model.save_pretrained(tmp_path)
    CLIPTokenizer.from_pretrained(clip).save_pretrained(tmp_path)
    assert first.fingerprint != ClipSimilarity.load_as("clip", str(tmp_path), **HERE).fingerprint


@pytest.mark.parametrize("role", ["clip", "vqa"])
def test_a_folder_without_its_vocabulary_is_refused(role, clip, blip, tmp_path):
    kind, folder = (CLIPModel, clip) if role == "clip" else (BlipForQuestionAnswering, blip)
    kind.from_pretrained(folder).save_pretrained(tmp_path)
    with pytest.raises(JudgeError, match="vocabulary"):
        official.load(role, device="cpu", offline=True, source=str(tmp_path))


def test_weights_of_another_network_are_refused(clip, dpt, tmp_path):
    model = CLIPModel.from_pretrained(clip)
    model.vision_model.save_pretrained(tmp_path)
    tmp_path.joinpath("config.json").write_text(clip.joinpath("config.json").read_text())
    with pytest.raises(JudgeError, match="lacks or misshapes"):
        official.load("clip", device="cpu", offline=True, source=str(tmp_path))
    with pytest.raises(JudgeError, match="judge depth"):
        official.load("depth", device="cpu", offline=True, source=str(tmp_path / "empty"))


def test_half_precision_on_request(clip):
    pictures, texts = [noise(40, 32)], ["a dog"]
    exact = ClipSimilarity.load_as("clip", str(clip), **HERE).similarity(pictures, texts)
    half = ClipSimilarity.load_as("clip", str(clip), device="cpu", dtype="bfloat16", offline=True).similarity(pictures, texts)
    assert half == pytest.approx(exact, abs=0.05)
    with pytest.raises(UserError, match="unknown dtype 'int8'"):
        ClipSimilarity.load_as("clip", str(clip), device="cpu", dtype="int8", offline=True)
