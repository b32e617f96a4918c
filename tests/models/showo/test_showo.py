"""The adapter: what it draws, answers and scores, in memory and from folders."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from models.showo.small_showo import FOLDER_SIZES, small_model

from suder_bench.errors import UserError
from suder_bench.models.protocols import (
    AnswerLikelihood,
    ChoiceLikelihood,
    CutsPrompts,
    ImageSampling,
    LimitsCaptions,
    LimitsPictures,
    ReadsCodes,
    TellsItsWorld,
    TellsSizes,
    TellsWhyNot,
    TextSampling,
    Trainable,
)
from suder_bench.models.showo import layout, likelihood, pixels, sampler
from suder_bench.models.showo.model import ShowoModel
from suder_bench.models.showo.reference import Estimator
from suder_bench.testing import check_model, pictures

TEXTS = ["a photo of a red ball", "three striped hearts and a small green cup", "a tree"]

LIMITS = (CutsPrompts, LimitsCaptions, LimitsPictures)


def test_it_keeps_what_its_protocols_promise() -> None:
    model = small_model()
    for protocol in (AnswerLikelihood, ChoiceLikelihood, *LIMITS, ReadsCodes, TellsItsWorld, Trainable):
        assert isinstance(model, protocol)
    assert issubclass(type(model), TellsWhyNot)
    assert issubclass(type(model), TellsSizes)
    assert "Trainable" in check_model(model, image=ImageSampling(steps=3))


def codes(rows: int = 3) -> torch.Tensor:
    return torch.randint(FOLDER_SIZES.magvit.codes, (rows, 16), generator=torch.Generator().manual_seed(5))


ESTIMATORS = [Estimator(), Estimator(fill="hide", draws=2), Estimator("elbo", draws=3), Estimator(drop=0)]


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=str)
@torch.no_grad()
def test_what_an_estimate_draws_follows_from_the_row_and_its_seed(estimator: Estimator) -> None:
    model = small_model(estimator=estimator)
    together = model.image_scores(TEXTS, codes(), seeds=[3, 4, 3], entropy=True)
    for i, seed in enumerate([3, 4, 3]):
        alone = model.image_scores([TEXTS[i]], codes()[i : i + 1], seeds=[seed], entropy=True)
        assert torch.allclose(alone.logprobs[0], together.logprobs[i], atol=1e-4)
        assert torch.allclose(alone.entropy[0], together.entropy[i], atol=1e-4)
    others = model.image_scores(TEXTS, codes(), seeds=[13, 14, 13])
    assert torch.allclose(others.logprobs[0], together.logprobs[0]) == (estimator.drop == 0)
    assert model.image_logprobs(TEXTS[:1], codes(1)).equal(model.image_logprobs(TEXTS[:1], codes(1)))


@torch.no_grad()
def test_captions_of_one_picture_are_compared_on_the_same_draws() -> None:
    model, text = small_model(estimator=Estimator(drop=0.5)), TEXTS[1]
    twice = model.image_logprobs([text, text], codes(1).expand(2, -1))
    assert twice[0].equal(twice[1])
    others = model.image_scores([text] * 8, codes(8), entropy=True).entropy  # which tells of the codes nothing: all are masked
    assert len({tuple(row.round(decimals=4).tolist()) for row in others}) > 1


@torch.no_grad()
def test_one_step_without_drops_is_the_whole_sequence_read_with_every_code_masked() -> None:
    model = small_model(estimator=Estimator(drop=0))
    size, ids = model.size, model.ids
    prompts = [model._prompt_ids(text) for text in TEXTS]
    rows = layout.drawing_ids(prompts, torch.full((3, 16), sampler.UNKNOWN), ids, size.text_length)
    logits = model.network(rows, attention_mask=layout.drawing_mask(rows, ids, 16)).logits[:, -17:-1]
    logits = logits[..., size.first_code : size.first_code + size.magvit.codes]
    expected = torch.log_softmax(logits, dim=-1).gather(2, codes()[..., None])[..., 0]
    assert torch.allclose(model.image_logprobs(TEXTS, codes()), expected, atol=1e-4)


@torch.no_grad()
def test_under_guidance_the_empty_prompt_is_compared_with() -> None:
    model = small_model(estimator=Estimator(drop=0))
    c, u = (model.image_scores(texts, codes()).logprobs for texts in (TEXTS, [""] * 3))
    assert torch.allclose(torch.stack(model.image_scores(TEXTS, codes(), guidance=0).logprobs), torch.stack(u), atol=1e-4)
    found = model.image_scores(TEXTS, codes(), guidance=3)
    assert not torch.allclose(found.logprobs[0], c[0], atol=1e-2)


@torch.no_grad()
def test_the_elbo_counts_the_codes_that_were_masked_so_that_a_rows_mean_is_the_estimate() -> None:
    model = small_model(estimator=Estimator("elbo"))
    scores = model.image_scores(TEXTS, codes(), seeds=[1, 2, 3]).logprobs
    for i, row in enumerate(scores):
        generator = torch.Generator().manual_seed(i + 1)
        count = max(1, round(16 * math.cos(math.pi * float(torch.rand(1, generator=generator)) / 2)))
        assert int((row != 0).sum()) == count
        hidden = row != 0
        given = torch.where(hidden, sampler.UNKNOWN, codes()[i])[None]
        logits = likelihood._code_logits(model.network, [model._prompt_ids(TEXTS[i])], given, model.ids, model.size)[0]
        expected = torch.log_softmax(logits, dim=-1).gather(1, codes()[i][:, None])[:, 0][hidden].mean()
        assert row.mean().item() == pytest.approx(expected.item(), abs=1e-4)


@torch.no_grad()
def test_a_text_is_scored_after_codes_as_after_the_picture_that_they_are_read_from() -> None:
    model = small_model()
    found = model.tokenize_images(pictures())
    squares = pixels.pixels(pictures(), model.size.side)
    for given in (found, squares):
        for one, other in zip(model.text_logprobs(given, TEXTS), model.text_logprobs(pictures(), TEXTS), strict=True):
            assert torch.allclose(one, other, atol=1e-4)
    assert not torch.allclose(model.text_logprobs(codes(), TEXTS)[0], model.text_logprobs(found, TEXTS)[0], atol=1e-3)


def test_a_training_in_16_bits_rounds_neither_codes_nor_pixels() -> None:
    model = small_model()
    shown = [one.rotate(angle) for one in pictures() for angle in range(0, 360, 10)]
    codes = model.tokenize_images(shown)
    pixels = model.decode_tokens(codes)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert model.tokenize_images(shown).equal(codes)
        assert model.decode_tokens(codes).equal(pixels)


def test_questions_with_and_without_a_picture_are_answered_in_one_batch_as_alone() -> None:
    model = small_model()
    shown = [[pictures()[0]], [], [pictures()[1]], [pictures()[0]], []]
    asked = ["What is it?", "Why?", "What is it?", "Is it red? Answer yes or no.", "What is the answer to everything else?"]
    sampling = TextSampling(temperature=1.0, max_new_tokens=6)
    together = model.write(shown, asked, seeds=[1, 2, 3, 4, 5], sampling=sampling)
    for i in range(5):
        assert model.write([shown[i]], [asked[i]], seeds=[i + 1], sampling=sampling) == [together[i]]
    scores = model.answer_logprobs(shown, asked, ["yes", "because", "no", "a red ball", "42"])
    alone = model.answer_logprobs([[]], asked[4:], ["42"])
    assert torch.allclose(scores[4], alone[0], atol=1e-4)
    with pytest.raises(UserError, match="one picture at a time"):
        model.answer([pictures()], ["Which?"], seeds=[0], sampling=sampling)


def test_what_would_be_a_special_token_is_left_out_of_texts() -> None:
    model = small_model()
    assert max(model._encode("<|soi|> [PAD] <|t2i|>")) < model.size.text_vocabulary


def test_long_prompts_are_cut_and_told() -> None:
    model = small_model()
    long = "a photo of a red ball left of two blue boxes " * 9
    assert model.cut_prompts([long, TEXTS[0], long]) == {"the prefix of 25 tokens": 1}
    with pytest.raises(UserError, match="22 tokens at most"):
        model.check_prompt(long)
    drawn = model.draw([long], seeds=[0], sampling=ImageSampling(steps=2)).tokens
    cut = model.draw([long + "and more"], seeds=[0], sampling=ImageSampling(steps=2)).tokens
    assert drawn.equal(cut)


@torch.no_grad()
def test_a_caption_as_long_as_it_says_is_read_to_its_end() -> None:
    model = small_model(estimator=Estimator(drop=0))
    longest = "!" * model.caption_tokens
    one, other, longer = model.image_logprobs([longest, longest[:-1] + "?", longest + "?"], codes()[:1].expand(3, -1))
    assert not torch.equal(one, other)
    assert torch.equal(one, longer)


@pytest.mark.parametrize("steps", [1, 4])
def test_greedy_pictures_do_not_depend_on_the_seed(steps: int) -> None:
    model = small_model()
    sampling = ImageSampling(temperature=0, guidance=2, steps=steps)
    found = model.draw([TEXTS[0]] * 2, seeds=[1, 2], sampling=sampling).tokens
    assert found[0].equal(found[1])


def test_steps_are_the_published_ones_of_the_nearest_size() -> None:
    assert small_model().steps == 18
    assert ShowoModel.sizes is not None
    big = replace(FOLDER_SIZES, image_tokens=1024, phi={**FOLDER_SIZES.phi, "max_position_embeddings": 2048})
    assert small_model(sizes=big).steps == 50


@pytest.mark.parametrize(
    ("others", "told"),
    [({"text_vocabulary": 299}, "300 ids"), ({"text_vocabulary": 310}, "llm_vocab_size 310")],
)
def test_a_tokenizer_of_other_ids_is_refused(others: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        small_model(sizes=replace(FOLDER_SIZES, **others))
