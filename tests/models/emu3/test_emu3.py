"""Emu3: token for token what transformers' own generate makes, likelihoods of a plain forward, one checkpoint or two."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from models.emu3.tiny_emu3 import CODES, VISUAL, tiny_model, tiny_processor, tiny_tokenizer, write_checkpoint
from PIL import Image

from suder_bench.errors import UserError
from suder_bench.models.emu3.adapter import Emu3Model
from suder_bench.models.emu3.files import Part
from suder_bench.models.emu3.painter import Emu3Painter
from suder_bench.models.emu3.pixels import encode
from suder_bench.models.protocols import ImageSampling, ImageToText, TextSampling, TextToImage
from suder_bench.testing import check_model, pictures

PROMPTS = ["a red ball", "three striped hearts and a small green cup", "a star"]
NEGATIVE = "blurry, worst quality"
AREA, SIDE = 32 * 32, 4
VISUAL_IDS = [tiny_tokenizer().get_vocab()[token] for token in VISUAL]


def part(**changes: int) -> Part:
    processor = tiny_processor()
    return Part.of(tiny_model(**changes), processor.tokenizer, processor.image_processor, template=processor.chat_template)


@pytest.fixture(scope="module")
def emu3() -> Emu3Model:
    one = part()
    return Emu3Model(one, one, image_area=AREA, negative_prompt=NEGATIVE)


@pytest.mark.parametrize("two", [False, True])
def test_it_keeps_every_protocol(two: bool) -> None:
    painter = part()
    model = Emu3Model(painter, part(seed=1) if two else painter, image_area=AREA)
    assert check_model(model) == ["TextToImage", "ImageToText", "TextLikelihood", "ChoiceLikelihood", "DualLikelihood"]


def generated(emu3: Emu3Model, prompt: str, guidance: float) -> list[int]:
    """What transformers' generate draws greedily behind a prompt, the picture's grammar imposed as its documentation does."""
    processor, model = tiny_processor(), emu3.painter.model
    asked = {"return_for_image_generation": True, "ratio": "1:1", "image_area": AREA, "return_tensors": "pt"}
    inputs = dict(processor(text=[prompt], **asked))
    [[height, width]] = torch.as_tensor(inputs.pop("image_sizes")).tolist()
    assert (height, width) == (SIDE, SIDE)
    named = tiny_tokenizer().get_vocab()
    ending = [named["<|extra_201|>"], named["<|image end|>"], named["<|extra_204|>"]]

    def allowed(batch: int, ids: torch.Tensor) -> list[int]:
        offset = len(ids) - ids.tolist().index(named["<|image token|>"])
        if offset % (width + 1) == 0:
            return [named["<|extra_200|>"]]
        beyond = offset - height * (width + 1) - 1
        return VISUAL_IDS if beyond < 0 else [ending[min(beyond, 2)]]

    negative = processor(text=[NEGATIVE], **asked)
    found = model.generate(
        **inputs,
        do_sample=False,
        max_new_tokens=height * (width + 1) + 3,
        guidance_scale=guidance,
        negative_prompt_ids=negative["input_ids"],
        negative_prompt_attention_mask=negative["attention_mask"],
        prefix_allowed_tokens_fn=allowed,
    )
    ids: list[int] = found[0, inputs["input_ids"].shape[1] :].tolist()
    return ids


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_greedy_pictures_are_those_of_transformers_generate(emu3: Emu3Model, guidance: float) -> None:
    drawn = emu3.generate(PROMPTS, seeds=[0, 1, 2], sampling=ImageSampling(temperature=0, guidance=guidance))
    for prompt, one in zip(PROMPTS, drawn, strict=True):
        ids = generated(emu3, prompt, guidance)
        assert one.tokens is not None
        assert [VISUAL_IDS.index(token) for token in ids if token in VISUAL_IDS] == one.tokens.tolist()
        pixels = emu3.painter.model.decode_image_tokens(image_tokens=torch.tensor([ids]), height=SIDE, width=SIDE)
        [expected] = tiny_processor().postprocess(list(pixels.float()), return_tensors="PIL.Image.Image")["pixel_values"]
        assert np.array_equal(np.asarray(one.picture), np.asarray(expected))
    assert len({tuple(one.tokens.tolist()) for one in drawn if one.tokens is not None}) > 1


def test_greedy_answers_are_those_of_transformers_generate(emu3: Emu3Model) -> None:
    seen, questions = pictures(), ["Is there a ball?", "Describe the image.", "Why?"]
    answers = emu3.answer([[one] for one in seen], questions, seeds=[0, 1, 2], sampling=TextSampling(max_new_tokens=12))
    for one, question, answer in zip(seen, questions, answers, strict=True):
        inputs = asked(question, one)
        ids = emu3.reader.model.generate(**inputs, do_sample=False, max_new_tokens=12)[0, inputs["input_ids"].shape[1] :]
        assert tiny_tokenizer().decode(ids, skip_special_tokens=True).strip() == answer
    assert len(set(answers)) > 1


def asked(question: str, picture: Image.Image, answer: str = "") -> dict[str, torch.Tensor]:
    """The model's inputs by the documented calls of the processor."""
    processor = tiny_processor()
    turns = [
        {"role": "system", "content": [{"type": "text", "text": "You are a helpful assistant."}]},
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question}]},
    ]
    text = processor.apply_chat_template(turns, add_generation_prompt=True)
    return dict(processor(images=[picture], text=[text + answer], return_tensors="pt"))


def test_text_scores_are_those_of_the_models_forward(emu3: Emu3Model) -> None:
    scored = emu3.text_logprobs(pictures(), PROMPTS)
    for one, text, found in zip(pictures(), PROMPTS, scored, strict=True):
        inputs = asked("Please describe the image.", one, f" {text}")
        n = len(tiny_tokenizer().encode(f" {text}", add_special_tokens=False))
        logits = emu3.reader.model(**inputs).logits[0, :-1]
        expected = torch.log_softmax(logits.float(), dim=-1).gather(1, inputs["input_ids"][0, 1:, None])[-n:, 0]
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_answers_to_any_question_are_scored_as_the_models_forward_does(emu3: Emu3Model) -> None:
    seen, questions = pictures(), ["Is there a ball?", "How many?", "Why?"]
    found = emu3.answer_logprobs([[one] for one in seen], questions, PROMPTS)
    for one, question, text, logprobs in zip(seen, questions, PROMPTS, found, strict=True):
        inputs = asked(question, one, f" {text}")
        logits = emu3.reader.model(**inputs).logits[0, :-1]
        expected = torch.log_softmax(logits.float(), dim=-1).gather(1, inputs["input_ids"][0, 1:, None])[-len(logprobs) :, 0]
        torch.testing.assert_close(logprobs, expected, atol=1e-5, rtol=0)
    assert emu3.answer_logprobs([], [], []) == []


def test_image_scores_are_those_of_the_models_forward_among_the_visual_ids(emu3: Emu3Model) -> None:
    codes = torch.randint(CODES, (3, SIDE * SIDE), generator=torch.Generator().manual_seed(0))
    scored = emu3.image_logprobs(PROMPTS, codes)
    end_of_line = tiny_tokenizer().get_vocab()["<|extra_200|>"]
    for prompt, row, found in zip(PROMPTS, codes.tolist(), scored, strict=True):
        ids = tiny_processor()(text=[prompt], return_for_image_generation=True, image_area=AREA)["input_ids"][0]
        expected = []
        for k, code in enumerate(row):
            if k and k % SIDE == 0:
                ids.append(end_of_line)
            logits = emu3.painter.model(input_ids=torch.tensor([ids])).logits[0, -1].float()
            expected.append(torch.log_softmax(logits[VISUAL_IDS], dim=0)[code])
            ids.append(VISUAL_IDS[code])
        torch.testing.assert_close(found, torch.stack(expected), atol=1e-5, rtol=0)
    assert scored.requires_grad
    scored.sum().backward()
    gradient = emu3.painter.model.lm_head.weight.grad
    assert gradient is not None
    assert gradient[VISUAL_IDS].abs().sum() > 0


def test_pictures_are_drawn_as_often_as_their_likelihood_says() -> None:
    one = part()
    emu3 = Emu3Model(one, one, image_area=64)  # of one code, so that all pictures can be counted
    drawn = emu3.draw(["a cup"] * 2000, seeds=range(2000), sampling=ImageSampling(guidance=1))
    counts = torch.bincount(drawn.flatten(), minlength=CODES)
    with torch.no_grad():
        p = emu3.image_logprobs(["a cup"] * CODES, torch.arange(CODES)[:, None]).exp()[:, 0]
    assert p.sum() == pytest.approx(1, abs=1e-5)
    assert (counts / 2000 - p).abs().max() < 4 * (0.25 / 2000) ** 0.5


def test_a_picture_of_the_size_that_is_drawn_is_scored_as_it_is(emu3: Emu3Model) -> None:
    [picture] = [Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8))]
    inputs = tiny_processor().image_processor([picture], return_tensors="pt")
    found = emu3.painter.model.model.get_image_tokens(inputs["pixel_values"], inputs["image_sizes"])
    codes = [VISUAL_IDS.index(token) for token in found.tolist() if token in VISUAL_IDS]
    assert emu3.tokenize_images([picture, picture.resize((64, 32))])[0].tolist() == codes
    assert emu3.tokenize_images([]).shape == (0, SIDE * SIDE)


def test_a_picture_has_the_same_codes_beside_a_larger_one(emu3: Emu3Model) -> None:
    """transformers' own, of a batch filled up to its largest picture, are others: the norms of its encoder see the filling."""
    seen, quantizer = pictures(2, side=40), emu3.reader.model.model.vqmodel
    alone = [encode(quantizer, emu3.reader.processor, one) for one in seen]
    batch = emu3.reader.processor(images=seen, return_tensors="pt")
    with torch.no_grad():
        together = quantizer.encode(batch["pixel_values"], batch["image_sizes"], return_dict=True).image_tokens
    assert alone[0].shape == together[0].shape
    assert not torch.equal(alone[0], together[0])
    prompts = [emu3._questions([several], ["?"])[0] for several in ([seen[0]], seen)]
    assert [one for one in prompts[1] if one in VISUAL_IDS][: alone[0].numel()] == [
        one for one in prompts[0] if one in VISUAL_IDS
    ]


def test_several_pictures_and_none_can_be_asked_about(emu3: Emu3Model) -> None:
    sampling = TextSampling(max_new_tokens=4)
    seen = pictures()
    images = [seen[:2], [], [seen[0]]]
    together = emu3.answer(images, ["Which <image> one?", "Why?", "What?"], seeds=[1, 2, 3], sampling=sampling)
    assert together[1:] == emu3.answer(images[1:], ["Why?", "What?"], seeds=[2, 3], sampling=sampling)
    assert emu3.answer([], [], seeds=[], sampling=sampling) == []


def test_two_checkpoints_draw_with_the_first_and_answer_with_the_second(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "gen", template=None)
    write_checkpoint(tmp_path / "chat", seed=1)
    both = Emu3Model.load(f"{tmp_path}/gen+{tmp_path}/chat?image_area={AREA}&negative_prompt=grey")
    alone = [Emu3Model.load(f"{tmp_path}/{name}?image_area={AREA}&negative_prompt=grey") for name in ("gen", "chat")]
    drawn = [one.generate(PROMPTS[:1], seeds=[5], sampling=ImageSampling())[0].tokens for one in (both, *alone)]
    assert (drawn[0].tolist() == drawn[1].tolist(), drawn[0].tolist() == drawn[2].tolist()) == (True, False)
    with torch.no_grad():
        scores = [one.text_logprobs(pictures(1), ["a cup"])[0] for one in (both, alone[1])]
    assert torch.equal(*scores)
    assert both.settings["negative prompt"] == "grey"
    assert both.settings["image tokens"] == "4 x 4"
    assert both.parts["generation weights"] == alone[0].parts["weights"]
    assert both.parts["understanding chat template"] == alone[1].parts["chat template"]
    assert len({one.fingerprint for one in (both, *alone)}) == 3


def test_a_checkpoint_without_chat_template_only_draws(tmp_path: Path) -> None:
    model = Emu3Model.load(f"{write_checkpoint(tmp_path, template=None)}?image_area={AREA}")
    assert isinstance(model, Emu3Painter)
    assert (isinstance(model, TextToImage), isinstance(model, ImageToText)) == (True, False)
    write_checkpoint(tmp_path / "gen")
    with pytest.raises(UserError, match="has no chat template to ask with"):
        Emu3Model.load(f"{tmp_path}/gen+{tmp_path}?image_area={AREA}")


@pytest.mark.parametrize(
    ("area", "told"), [(9, "less than one image token; give 64 or more"), (10**6, "makes 125 x 125 image tokens")]
)
def test_an_area_that_cannot_be_drawn_is_refused(area: int, told: str) -> None:
    one = part()
    with pytest.raises(UserError, match=told):
        Emu3Model(one, one, image_area=area)


def test_what_outgrows_the_positions_is_refused() -> None:
    one = part(positions=160)
    model = Emu3Model(one, one, image_area=AREA, negative_prompt="")
    with pytest.raises(UserError, match=r"a prompt and its picture need .* has 160; shorten the text 'ball ball"):
        model.generate(["ball " * 100], seeds=[0], sampling=ImageSampling())
    with pytest.raises(UserError, match="a question and its pictures need"):
        model.answer([pictures(1)], ["ball " * 100], seeds=[0], sampling=TextSampling(max_new_tokens=2))


def test_a_tokenizer_of_another_model_is_refused(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["vocabulary_map"]["<|extra_200|>"] += 1
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=r"for <\|extra_200\|> in its config.json, its tokenizer"):
        Emu3Model.load(str(tmp_path))
    del config["vocabulary_map"]["<|visual token 000007|>"]
    config["vocabulary_map"]["<|extra_200|>"] -= 1
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=r"id None for <\|visual token 000007\|>"):
        Emu3Model.load(str(tmp_path))
