"""Answers and likelihoods of every family, against the protocols and against transformers used by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from models.vlm import plain

from suder_bench.data.prompts import CAPTION_REQUEST
from suder_bench.errors import UserError
from suder_bench.models.protocols import ChoiceLikelihood, DualLikelihood, ImageToText, StoredPictures, TextSampling, TextToImage
from suder_bench.models.vlm.model import VlmModel
from suder_bench.testing import QUESTIONS, TEXTS, check_model, pictures

SAMPLED = TextSampling(temperature=1.0, max_new_tokens=8)


def test_it_keeps_its_protocols(vlm: VlmModel) -> None:
    assert check_model(vlm) == ["ImageToText", "TextLikelihood", "ChoiceLikelihood"]
    assert isinstance(vlm, ImageToText)
    assert isinstance(vlm, ChoiceLikelihood)
    assert not isinstance(vlm, TextToImage)
    assert not isinstance(vlm, DualLikelihood)
    assert not isinstance(vlm, StoredPictures)


def test_a_sampled_answer_depends_on_its_own_seed(vlm: VlmModel) -> None:
    check_model(vlm, text=SAMPLED)
    asked = {"images": [[pictures()[0]]] * 6, "questions": [QUESTIONS[0]] * 6, "sampling": SAMPLED}
    first = vlm.answer(**asked, seeds=[1, 2, 3, 1, 2, 3])
    assert first[:3] == first[3:]
    assert len(set(first)) == 3


def test_a_greedy_answer_is_the_likeliest_of_a_plain_computation(vlm: VlmModel, family: str, folder: Path) -> None:
    seen = pictures()
    given = vlm.answer([[one] for one in seen], QUESTIONS, seeds=[0, 0, 0], sampling=TextSampling(max_new_tokens=6))
    for image, question, answer in zip(seen, QUESTIONS, given, strict=True):
        ids = plain.greedy(family, folder, image, question, 6)
        assert answer == vlm.prompts.tokenizer.decode(ids, skip_special_tokens=True).strip()


def test_texts_are_as_likely_as_in_a_plain_computation(vlm: VlmModel, family: str, folder: Path) -> None:
    seen = pictures()
    with torch.no_grad():
        found = vlm.text_logprobs(seen, TEXTS)
    for image, text, logprobs in zip(seen, TEXTS, found, strict=True):
        ids = answer_ids(vlm, family, text)
        expected = plain.logprobs(family, folder, image, CAPTION_REQUEST, ids)
        torch.testing.assert_close(logprobs, expected, atol=1e-4, rtol=1e-4)


def answer_ids(vlm: VlmModel, family: str, text: str) -> list[int]:
    """After ' ASSISTANT:' and after a bare question a word begins with a space; a decoder of its own begins with the word."""
    gap = " " if family in ("llava", "instructblip") else ""
    return vlm.prompts.tokenizer.encode(gap + text, add_special_tokens=False)  # type: ignore[no-any-return]


def test_choices_are_as_likely_as_their_first_own_token(vlm: VlmModel, family: str, folder: Path) -> None:
    seen = pictures()
    with torch.no_grad():
        found = vlm.choice_logprobs(seen, QUESTIONS, ["yes", "no"])
        shared = vlm.choice_logprobs(seen[:1], QUESTIONS[:1], ["yes it is", "yes no"])
    for row, image, question in zip(found, seen, QUESTIONS, strict=True):
        for value, choice in zip(row, ("yes", "no"), strict=True):
            first = answer_ids(vlm, family, choice)[:1]
            torch.testing.assert_close(value, plain.logprobs(family, folder, image, question, first)[0], atol=1e-4, rtol=1e-4)
    begun = [answer_ids(vlm, family, text) for text in ("yes it is", "yes no")]
    split = next(i for i, (a, b) in enumerate(zip(*begun, strict=False)) if a != b)
    for value, ids in zip(shared[0], begun, strict=True):
        expected = plain.logprobs(family, folder, seen[0], QUESTIONS[0], ids[: split + 1])[-1]
        torch.testing.assert_close(value, expected, atol=1e-4, rtol=1e-4)


def test_choices_that_no_token_tells_apart_are_refused(vlm: VlmModel) -> None:
    with pytest.raises(ValueError, match="no one token tells the choices yes, yes apart"):
        vlm.choice_logprobs(pictures()[:1], QUESTIONS[:1], ["yes", "yes"])


def test_likelihoods_are_differentiable(vlm: VlmModel) -> None:
    vlm.model.zero_grad()
    torch.cat(vlm.text_logprobs(pictures()[:2], TEXTS[:2])).sum().backward()
    gradients = [parameter.grad for parameter in vlm.model.get_input_embeddings().parameters()]
    assert all(gradient is not None and bool(gradient.isfinite().all()) and bool(gradient.any()) for gradient in gradients)
    vlm.model.zero_grad()


def test_a_picture_makes_a_difference(vlm: VlmModel) -> None:
    first, second, _ = pictures()
    with torch.no_grad():
        one, other = vlm.text_logprobs([first, second], [TEXTS[0]] * 2)
    assert (one - other).abs().max() > 1e-3


def test_several_pictures_and_none_stand_beside_each_other_in_a_batch(vlm: VlmModel, family: str) -> None:
    seen = pictures()
    asked = [seen[:2], [seen[2]], [], seen]
    sampling = TextSampling(max_new_tokens=6)
    if family.startswith("instructblip"):
        with pytest.raises(UserError, match="reads one picture a question, but 'Why' has 2"):
            vlm.answer(asked, ["Why"] * 4, seeds=[0] * 4, sampling=sampling)
        return
    together = vlm.answer(asked, ["Why"] * 4, seeds=[0] * 4, sampling=sampling)
    alone = [vlm.answer([few], ["Why"], seeds=[0], sampling=sampling)[0] for few in asked]
    assert together == alone
    assert len(set(together)) > 1
    with torch.no_grad():
        scored = vlm.answer_logprobs(asked, ["Why"] * 4, ["a red ball"] * 4)
        for few, logprobs in zip(asked, scored, strict=True):
            torch.testing.assert_close(vlm.answer_logprobs([few], ["Why"], ["a red ball"])[0], logprobs, atol=1e-4, rtol=1e-4)
    assert len({round(float(each.sum()), 4) for each in scored}) > 1


def test_no_questions_have_no_answers(vlm: VlmModel) -> None:
    assert vlm.answer([], [], seeds=[], sampling=TextSampling()) == []
    assert vlm.text_logprobs([], []) == []
    assert vlm.choice_logprobs([], [], ["yes", "no"]).shape == (0, 2)


def test_pixels_are_taken_as_the_pictures_they_show(vlm: VlmModel) -> None:
    image = pictures()[0]
    levels = torch.tensor(list(image.tobytes()), dtype=torch.float32).view(1, image.height, image.width, 3).permute(0, 3, 1, 2)
    with torch.no_grad():
        drawn, shown = vlm.text_logprobs(levels / 127.5 - 1, TEXTS[:1]), vlm.text_logprobs([image], TEXTS[:1])
    assert torch.equal(drawn[0], shown[0])
