"""Teacher-forced scores: equal to a plain forward pass, alone or in a batch, differentiable, pictures or pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from models.tiny import tiny_image_processor, tiny_janus_model, tiny_tokenizer
from PIL import Image

from suder_bench.data.prompts import CAPTION_REQUEST
from suder_bench.models.janus import JanusModel
from suder_bench.models.janus.prompts import answer_ids, generation_text, image_block, question_text
from suder_bench.models.protocols import AnswerLikelihood

TEXTS = ["a red ball", "three striped hearts and a small green cup behind a tall yellow tree", "a star"]


@pytest.fixture(scope="module")
def janus() -> JanusModel:
    return JanusModel(tiny_janus_model(), tiny_tokenizer(), tiny_image_processor())


def pictures(count: int) -> list[Image.Image]:
    return [Image.fromarray(np.random.default_rng(i).integers(0, 256, (32, 32, 3), dtype=np.uint8)) for i in range(count)]


def test_text_scores_are_those_of_the_models_forward(janus: JanusModel) -> None:
    scored = janus.text_logprobs(pictures(3), TEXTS)
    block = image_block("<begin_of_image>", "<image_placeholder>", "<end_of_image>", image_tokens=16)
    prefix = f"<bos>{question_text(CAPTION_REQUEST, block)}"
    for one, text, logprobs in zip(pictures(3), TEXTS, scored, strict=True):
        ids = torch.tensor([janus.tokenizer.encode(f"{prefix} {text}", add_special_tokens=False)])
        n = len(answer_ids(janus.tokenizer, text))
        assert janus.tokenizer.decode(ids[0, -n:]) == f" {text}"
        logits = janus.model(input_ids=ids, pixel_values=janus.squares.values(janus.squares.pixels([one]))).logits
        expected = torch.log_softmax(logits[0, :-1].float(), dim=-1).gather(1, ids[0, 1:, None])[-n:, 0]
        assert logprobs.shape == (n,)
        torch.testing.assert_close(logprobs, expected, atol=1e-5, rtol=0)


def test_answers_are_scored_after_several_pictures_one_and_none(janus: JanusModel) -> None:
    seen = [pictures(2), pictures(1), []]
    questions = ["What is in both?", "What is it?", "What is red?"]
    with torch.no_grad():
        found = janus.answer_logprobs(seen, questions, TEXTS)
        for several, question, text, logprobs in zip(seen, questions, TEXTS, found, strict=True):
            count = {"image_tokens": 16, "images": len(several)}
            block = image_block("<begin_of_image>", "<image_placeholder>", "<end_of_image>", **count) if several else ""
            whole = f"<bos>{question_text(question, block)} {text}"
            ids = torch.tensor([janus.tokenizer.encode(whole, add_special_tokens=False)])
            shown = {"pixel_values": janus.squares.values(janus.squares.pixels(several))} if several else {}
            logits = janus.model(input_ids=ids, **shown).logits[0, :-1].float()
            expected = torch.log_softmax(logits, dim=-1).gather(1, ids[0, 1:, None])[-len(logprobs) :, 0]
            assert len(logprobs) == len(answer_ids(janus.tokenizer, text))
            torch.testing.assert_close(logprobs, expected, atol=1e-5, rtol=0)
    assert isinstance(janus, AnswerLikelihood)
    assert janus.answer_logprobs([], [], []) == []
    with pytest.raises(ValueError, match="2 picture lists, 1 questions, 1 answers"):
        janus.answer_logprobs([[], []], ["?"], ["a"])


def test_choices_are_told_apart_by_the_first_token_that_differs(janus: JanusModel) -> None:
    questions = ["Is there a star?", "Is there a striped heart in the picture?"]
    ids = [answer_ids(janus.tokenizer, choice) for choice in ("Yes", "No")]
    first = next(k for k, pair in enumerate(zip(*ids, strict=False)) if len(set(pair)) == 2)
    found = janus.choice_logprobs(pictures(2), questions, ["Yes", "No"])
    assert (found.shape, found.dtype, found.requires_grad) == ((2, 2), torch.float32, True)
    for i, answer in enumerate(ids):
        alone = janus.answer_scores(pictures(2), questions, [answer, answer]).logprobs
        torch.testing.assert_close(found[:, i], torch.stack([one[first] for one in alone]), atol=1e-5, rtol=0)
    torch.testing.assert_close(janus.choice_logprobs(pictures(1), questions[:1], ["Yes", "No"])[0], found[0], atol=1e-5, rtol=0)
    assert janus.choice_logprobs([], [], ["Yes", "No"]).shape == (0, 2)
    for alike in (["No", "No"], ["No", "Nothing"]):
        with pytest.raises(ValueError, match="no one token tells the choices"):
            janus.choice_logprobs(pictures(1), ["?"], alike)


def test_scores_do_not_depend_on_the_batch(janus: JanusModel) -> None:
    together = janus.text_logprobs(pictures(3), TEXTS)
    tokens = janus.tokenize_images(pictures(3))
    images = janus.image_logprobs(TEXTS, tokens)
    assert images.shape == (3, 16)
    assert images.dtype == torch.float32
    for i, text in enumerate(TEXTS):
        torch.testing.assert_close(janus.text_logprobs([pictures(3)[i]], [text])[0], together[i], atol=1e-5, rtol=0)
        torch.testing.assert_close(janus.image_logprobs([text], tokens[i : i + 1])[0], images[i], atol=1e-5, rtol=0)


def image_logits(janus: JanusModel, ids: list[int], tokens: torch.Tensor) -> torch.Tensor:
    """Of a plain forward pass, (image tokens, codes)."""
    model = janus.model
    prompt = model.get_input_embeddings()(torch.tensor([ids]))
    embeds = torch.cat([prompt, model.prepare_embeddings_for_image_generation(tokens[None])], dim=1)
    hidden = model.model.language_model(inputs_embeds=embeds).last_hidden_state[0, len(ids) - 1 : -1]
    logits: torch.Tensor = model.model.generation_head(hidden)
    return logits


def generation_ids(janus: JanusModel, text: str) -> list[int]:
    ids: list[int] = janus.tokenizer.encode(f"<bos>{generation_text(text, '<begin_of_image>')}", add_special_tokens=False)
    return ids


def test_image_scores_are_those_of_a_plain_forward(janus: JanusModel) -> None:
    tokens = janus.tokenize_images(pictures(1))
    logits = image_logits(janus, generation_ids(janus, "a star"), tokens[0])
    expected = torch.log_softmax(logits, dim=-1).gather(1, tokens.T).T
    torch.testing.assert_close(janus.image_logprobs(["a star"], tokens), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("guidance", [0.0, 2.0, 5.0])
def test_guided_image_scores_are_those_of_two_plain_forwards(janus: JanusModel, guidance: float) -> None:
    tokens = janus.tokenize_images(pictures(3))
    found = janus.image_scores(TEXTS, tokens, guidance=guidance, entropy=True)
    kept = {janus.tokenizer.bos_token_id, janus.tokenizer.convert_tokens_to_ids("<begin_of_image>")}
    for text, codes, logprobs, entropy in zip(TEXTS, tokens, found.logprobs, found.entropy, strict=True):
        ids = generation_ids(janus, text)
        c = image_logits(janus, ids, codes)
        u = image_logits(janus, [one if one in kept else janus.tokenizer.pad_token_id for one in ids], codes)
        guided = u + guidance * (c - u)
        expected = torch.log_softmax(guided, dim=-1).gather(1, codes[:, None])[:, 0]
        torch.testing.assert_close(logprobs, expected, atol=1e-4, rtol=0)
        torch.testing.assert_close(entropy, torch.distributions.Categorical(logits=guided).entropy(), atol=1e-4, rtol=0)


def test_guidance_of_one_is_none(janus: JanusModel) -> None:
    tokens = janus.tokenize_images(pictures(3))
    assert torch.equal(torch.stack(janus.image_scores(TEXTS, tokens, guidance=1.0).logprobs), janus.image_logprobs(TEXTS, tokens))


def test_entropies_are_those_of_the_distributions_and_carry_no_gradient(janus: JanusModel) -> None:
    tokens = janus.tokenize_images(pictures(2))
    images = janus.image_scores(TEXTS[:2], tokens, entropy=True)
    for text, codes, entropy in zip(TEXTS, tokens, images.entropy, strict=False):
        logits = image_logits(janus, generation_ids(janus, text), codes)
        torch.testing.assert_close(entropy, torch.distributions.Categorical(logits=logits).entropy(), atol=1e-5, rtol=0)
    answers = [answer_ids(janus.tokenizer, text) for text in TEXTS[:2]]
    asked = [CAPTION_REQUEST] * 2
    texts = janus.answer_scores(pictures(2), asked, answers, entropy=True)
    block = image_block("<begin_of_image>", "<image_placeholder>", "<end_of_image>", image_tokens=16)
    for one, answer, entropy in zip(pictures(2), answers, texts.entropy, strict=True):
        prompt = janus.tokenizer.encode(f"<bos>{question_text(CAPTION_REQUEST, block)}", add_special_tokens=False)
        values = janus.squares.values(janus.squares.pixels([one]))
        logits = janus.model(input_ids=torch.tensor([prompt + answer]), pixel_values=values).logits[0, len(prompt) - 1 : -1]
        torch.testing.assert_close(entropy, torch.distributions.Categorical(logits=logits).entropy(), atol=1e-5, rtol=0)
    for scores in (images, texts):
        assert all(one.shape == other.shape for one, other in zip(scores.logprobs, scores.entropy, strict=True))
        assert not any(one.requires_grad for one in scores.entropy)
        assert all(one.requires_grad for one in scores.logprobs)
    assert janus.image_scores(TEXTS[:2], tokens).entropy == []
    assert janus.answer_scores(pictures(2), asked, answers).entropy == []


def test_the_end_token_may_be_scored_too(janus: JanusModel) -> None:
    ending = JanusModel(janus.model, janus.tokenizer, tiny_image_processor(), score_end=True)
    end = janus.tokenizer.eos_token_id
    ids = [[*answer_ids(janus.tokenizer, text), end] for text in TEXTS]
    expected = janus.answer_scores(pictures(3), [CAPTION_REQUEST] * 3, ids).logprobs
    found = ending.text_logprobs(pictures(3), TEXTS)
    assert all(map(torch.equal, found, expected))
    for ended, plain in zip(found, janus.text_logprobs(pictures(3), TEXTS), strict=True):
        torch.testing.assert_close(ended[:-1], plain, atol=1e-5, rtol=0)


def test_the_caption_request_is_what_texts_are_scored_after(janus: JanusModel) -> None:
    other = JanusModel(janus.model, janus.tokenizer, tiny_image_processor(), caption_request="What is it?")
    assert other.settings["caption request"] == "What is it?"
    answers = [answer_ids(janus.tokenizer, text) for text in TEXTS]
    expected = janus.answer_scores(pictures(3), ["What is it?"] * 3, answers).logprobs
    assert all(map(torch.equal, other.text_logprobs(pictures(3), TEXTS), expected))


def test_pixels_score_as_the_picture_does_and_carry_gradients(janus: JanusModel) -> None:
    pixels = janus.squares.pixels(pictures(2)).requires_grad_()
    scored = janus.text_logprobs(pixels, TEXTS[:2])
    for got, expected in zip(scored, janus.text_logprobs(pictures(2), TEXTS[:2]), strict=True):
        torch.testing.assert_close(got, expected)
    torch.cat(scored).sum().backward()
    assert pixels.grad.abs().sum() > 0
    with pytest.raises(ValueError, match="not \\(pictures, 3, 32, 32\\)"):
        janus.text_logprobs(torch.zeros(1, 3, 16, 16), ["a star"])


def test_gradients_reach_the_language_model_and_the_right_head(janus: JanusModel) -> None:
    model = janus.model
    model.zero_grad()
    torch.cat(janus.text_logprobs(pictures(2), TEXTS[:2])).mean().backward()
    assert model.lm_head.weight.grad.abs().sum() > 0
    assert model.model.aligner.fc1.weight.grad.abs().sum() > 0
    assert model.model.generation_head.vision_head.weight.grad is None
    model.zero_grad()
    janus.image_logprobs(TEXTS[:2], janus.tokenize_images(pictures(2))).mean().backward()
    assert model.model.generation_head.vision_head.weight.grad.abs().sum() > 0
    assert model.model.language_model.layers[0].self_attn.q_proj.weight.grad.abs().sum() > 0
    assert model.model.generation_embeddings.weight.grad.abs().sum() > 0
    assert model.lm_head.weight.grad is None
    model.zero_grad()


def test_no_graph_under_no_grad(janus: JanusModel) -> None:
    with torch.no_grad():
        assert not janus.text_logprobs(pictures(1), ["a star"])[0].requires_grad
    assert janus.text_logprobs(pictures(1), ["a star"])[0].requires_grad


def test_answers_of_ids_may_include_the_end_token(janus: JanusModel) -> None:
    ids = answer_ids(janus.tokenizer, "yes")
    question = ["Is there a ball?"]
    plain = janus.answer_scores(pictures(1), question, [ids]).logprobs[0]
    ended = janus.answer_scores(pictures(1), question, [[*ids, janus.tokenizer.eos_token_id]]).logprobs[0]
    torch.testing.assert_close(ended[:-1], plain, atol=1e-5, rtol=0)
    assert janus.text_logprobs([], []) == []


def test_works_in_bfloat16() -> None:
    janus = JanusModel(tiny_janus_model().to(torch.bfloat16), tiny_tokenizer(), tiny_image_processor())
    assert janus.settings["dtype"] == "bfloat16"
    tokens = janus.tokenize_images(pictures(2))
    assert janus.image_logprobs(TEXTS[:2], tokens).dtype == torch.float32
    scored = janus.text_logprobs(pictures(2), TEXTS[:2])
    assert all(one.dtype == torch.float32 and bool(one.isfinite().all()) for one in scored)
