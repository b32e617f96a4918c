"""BLIP VQA with small random weights: it computes what BLIP's own code computes, from either format of its weights."""

from __future__ import annotations

from pathlib import Path

import blip_reference
import pytest
import torch
from PIL import Image
from tiny_judges import HERE, WORDS, manifest, noise
from transformers import BertTokenizer, BlipForQuestionAnswering

from suder_bench.errors import JudgeError
from suder_bench.evaluators.judges import official
from suder_bench.evaluators.judges.blip_vqa import BlipVqa
from suder_bench.evaluators.judges.weights import OPENAI_MEAN, OPENAI_STD, pixels

SIZES = {"width": 48, "layers": 2, "words": len(WORDS) + 2, "patch": 80, "patches": 36, "positions": 40}
QUESTIONS = [
    ["a red ball?", "the blue dog?", "is the picture red?", "a?", "a red dog is a blue ball?", "dog " * 60],
    [],
    ["a dog?"],
    ["the picture?", "the picture?"],
]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    """A file as BLIP publishes it, with its vocabulary beside it."""
    folder = tmp_path_factory.mktemp("checkpoint")
    weights = blip_reference.random_weights(blip_reference.shapes(**SIZES), std=0.15)
    buffers = {f"{text}.embeddings.position_ids": torch.arange(40)[None] for text in ("text_encoder", "text_decoder.bert")}
    torch.save({"model": weights | buffers, "epoch": 9}, folder / "model.pth")
    folder.joinpath("vocab.txt").write_text("\n".join(WORDS))
    return folder / "model.pth"


def prepared(picture: Image.Image) -> torch.Tensor:
    return pixels(picture.resize((480, 480), Image.Resampling.BICUBIC), OPENAI_MEAN, OPENAI_STD)


def test_it_agrees_with_a_plain_loop_over_questions(checkpoint):
    judge = BlipVqa.load(str(checkpoint), **HERE)
    pictures = [noise(64 + 40 * i, 64, i) for i in range(len(QUESTIONS))]
    found = judge.p_yes(pictures, QUESTIONS)
    weights, tokenizer = torch.load(checkpoint)["model"], BertTokenizer(str(checkpoint.parent / "vocab.txt"))
    answers = (WORDS.index("yes"), WORDS.index("no"))
    for picture, asked, ours in zip(pictures, QUESTIONS, found, strict=True):
        ids = [tokenizer(question)["input_ids"] for question in asked]
        ids = [own if len(own) <= 35 else [*own[:34], own[-1]] for own in ids]
        theirs = [blip_reference.p_yes(weights, prepared(picture), own, heads=12, answers=answers) for own in ids]
        assert ours == pytest.approx(theirs, abs=5e-6)
    spread = [p for own in found for p in own]
    assert max(spread) - min(spread) > 0.02  # else agreement would say little


def test_both_formats_of_the_weights_agree(checkpoint, tmp_path):
    judge = BlipVqa.load(str(checkpoint), **HERE)
    judge._model.save_pretrained(tmp_path)
    BertTokenizer(str(checkpoint.parent / "vocab.txt")).save_pretrained(tmp_path)
    other = official.load("vqa", device="cpu", offline=True, source=str(tmp_path))
    assert other.fingerprint == judge.fingerprint
    pictures = [noise(64, 64, i) for i in range(len(QUESTIONS))]
    for ours, theirs in zip(judge.p_yes(pictures, QUESTIONS), other.p_yes(pictures, QUESTIONS), strict=True):
        assert ours == pytest.approx(theirs, abs=1e-6)


def test_one_decoder_step_after_enc(blip):
    """transformers' own generation takes the same step, when it is given [ENC]."""
    judge = BlipVqa.load(str(blip), **HERE)
    picture, question = noise(100, 60), "is the ball red?"
    ((p,),) = judge.p_yes([picture], [[question]])
    model, tokenizer = BlipForQuestionAnswering.from_pretrained(blip).eval(), BertTokenizer.from_pretrained(blip)
    ids = tokenizer(question, return_tensors="pt")["input_ids"]
    assert ids[0, 0] == WORDS.index("[CLS]")
    ids[0, 0] = len(WORDS) + 1
    step = model.generate(
        input_ids=ids,
        pixel_values=prepared(picture)[None],
        interpolate_pos_encoding=True,
        max_new_tokens=1,
        output_logits=True,
        return_dict_in_generate=True,
    )
    whole = torch.softmax(step.logits[0][0], dim=-1)
    yes, no = whole[WORDS.index("yes")], whole[WORDS.index("no")]
    assert p == pytest.approx(float(yes / (yes + no)), abs=1e-5)


def test_a_picture_is_seen_once_and_not_without_a_question(checkpoint, monkeypatch):
    judge = BlipVqa.load(str(checkpoint), **HERE)
    seen, see = [], judge._see
    monkeypatch.setattr(judge, "_see", lambda pictures: seen.append(len(pictures)) or see(pictures))
    judge.p_yes([noise(64, 64, i) for i in range(12)], [["a dog?"] * (i % 4) for i in range(12)])
    assert seen == [8, 1]


def test_answers_do_not_depend_on_the_batch(checkpoint):
    judge = BlipVqa.load(str(checkpoint), **HERE)
    pictures = [noise(64, 64, seed) for seed in range(len(QUESTIONS))]
    whole = judge.p_yes(pictures, QUESTIONS)
    assert [len(own) for own in whole] == [len(own) for own in QUESTIONS]
    for picture, own, found in zip(pictures, QUESTIONS, whole, strict=True):
        assert [judge.p_yes([picture], [[question]])[0][0] for question in own] == pytest.approx(found, abs=1e-6)


def test_it_reads_35_tokens(blip):
    judge = BlipVqa.load(str(blip), **HERE)
    ((p, q),) = judge.p_yes([noise(64, 64)], [["dog " * 60, "dog " * 50]])
    assert p == q


def test_another_file_of_the_same_architecture_is_not_the_benchmarks(checkpoint, tmp_path):
    stored = torch.load(checkpoint)
    stored["model"]["text_decoder.cls.predictions.bias"] += 1
    torch.save(stored, tmp_path / "another.pth")
    tmp_path.joinpath("vocab.txt").write_text("\n".join(WORDS))
    own = manifest("vqa", checkpoint)
    judges = [official.load("vqa", source=str(file), manifest=own, **HERE) for file in (checkpoint, tmp_path / "another.pth")]
    assert [(judge.exact, judge.match, judge.backend) for judge in judges] == [
        (True, "exact", "blip-vqa-capfilt-large"),
        (False, "another file", "blip:another.pth"),
    ]


def test_the_hubs_copy_is_not_the_benchmarks_file(blip):
    assert BlipVqa.load(str(blip), **HERE).match == "another file"


def test_the_published_file_in_the_cache_comes_first(checkpoint, own_cache):
    with pytest.raises(JudgeError, match=r"capfilt-large is not in .*; suder-bench judges fetch vqa brings the official weights"):
        official.load("vqa", device="cpu", offline=True)
    folder = own_cache / "weights"
    folder.mkdir()
    folder.joinpath("model_base_vqa_capfilt_large.pth").write_bytes(checkpoint.read_bytes())
    with pytest.raises(JudgeError, match=r"neither a vocab\.txt beside"):
        official.load("vqa", device="cpu", offline=True)
    folder.joinpath("vocab.txt").write_text("\n".join(WORDS))
    found = official.load("vqa", device="cpu", offline=True)
    assert found.fingerprint == BlipVqa.load(str(checkpoint), **HERE).fingerprint


def test_a_file_that_is_another_networks_is_refused(checkpoint, tmp_path):
    stored = torch.load(checkpoint)["model"]
    lacking = {name: tensor for name, tensor in stored.items() if name != "text_encoder.encoder.layer.1.output.dense.bias"}
    misshapen = stored | {"visual_encoder.norm.bias": torch.zeros(3)}
    for content, said in (
        ({"model": lacking}, r"lacks 1 weights \(text_encoder\.encoder\.layer\.1\.output\.dense\.bias"),
        ({"model": misshapen}, r"vision_model\.post_layernorm\.bias is \(3,\) and not \(48,\)"),
        ({"state_dict": stored}, "is not BLIP's VQA checkpoint"),
    ):
        torch.save(content, tmp_path / "model.pth")
        with pytest.raises(JudgeError, match=said):
            official.load("vqa", device="cpu", offline=True, source=str(tmp_path / "model.pth"))
    tmp_path.joinpath("model.pth").write_bytes(b"PK\x03\x04 torn")
    with pytest.raises(JudgeError, match="no checkpoint that torch can read"):
        official.load("vqa", device="cpu", offline=True, source=str(tmp_path / "model.pth"))
