"""What every model adapter has to keep, as checks that its own tests can call: `check_model(adapter)`."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from suder_bench.models.protocols import (
    ChoiceLikelihood,
    DualLikelihood,
    ImageSampling,
    ImageToText,
    Model,
    Task,
    TextLikelihood,
    TextSampling,
    TextToImage,
    Trainable,
)

PROMPTS = ("a red ball", "two small boxes left of a tall tree", "a cup")
QUESTIONS = ("What is in the picture?", "Is there a ball in the picture? Answer yes or no.", "Why?")
TEXTS = ("a red ball", "nothing that anybody would call a picture", "yes")
UNCONTROLLED = "not controlled"
"""What `settings["seed"]` says of a model whose samples no seed decides; it is then not held to one."""


def check_model(
    model: Any,
    *,
    prompts: Sequence[str] = PROMPTS,
    image: ImageSampling | None = None,
    text: TextSampling | None = None,
    tolerance: float = 1e-3,
) -> list[str]:
    """Hold `model` against each protocol that it implements; returns the names of the checks made.

    `tolerance` bounds the difference, in nats a token, between a likelihood alone and in a batch. Raises `AssertionError`
    naming the protocol and what it promises.
    """
    assert isinstance(model, Model), "Model: name, fingerprint and settings are missing"
    assert model.name, "Model: name is empty"
    assert model.fingerprint, "Model: fingerprint is empty"
    assert all(isinstance(value, str) for value in model.settings.values()), "Model: settings are strings, for run.json"
    image, text = image or ImageSampling(), text or TextSampling(max_new_tokens=8)
    seeded = model.settings.get("seed") != UNCONTROLLED
    checks: list[tuple[str, Callable[[], None]]] = []
    if isinstance(model, TextToImage) and seeded:
        checks.append(("TextToImage", lambda: _check_pictures(model, prompts, image)))
    if isinstance(model, ImageToText) and seeded:
        checks.append(("ImageToText", lambda: _check_answers(model, text)))
    if isinstance(model, TextLikelihood):
        checks.append(("TextLikelihood", lambda: _check_texts(model, tolerance)))
    if isinstance(model, ChoiceLikelihood):
        checks.append(("ChoiceLikelihood", lambda: _check_choices(model, tolerance)))
    if isinstance(model, DualLikelihood) and isinstance(model, TextToImage):
        checks.append(("DualLikelihood", lambda: _check_image_tokens(model, prompts, image, tolerance)))
    if isinstance(model, Trainable):
        checks.append(("Trainable", lambda: _check_trainable(model, prompts, replace(image, guidance=1.0), tolerance)))
    for _, check in checks:
        check()
    return [name for name, _ in checks]


def pictures(count: int = 3, *, side: int = 48) -> list[Image.Image]:
    """Pictures of noise that are all different, and not all square."""
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 256, (side, side + 16 * i, 3), dtype=np.uint8)) for i in range(count)]


def _check_pictures(model: TextToImage, prompts: Sequence[str], sampling: ImageSampling) -> None:
    seeds = list(range(1, len(prompts) + 1))

    def draw(chosen: Sequence[int], shift: int = 0) -> list[np.ndarray]:
        made = model.generate([prompts[i] for i in chosen], seeds=[seeds[i] + shift for i in chosen], sampling=sampling)
        assert len(made) == len(chosen), f"TextToImage: {len(chosen)} prompts gave {len(made)} pictures"
        return [np.asarray(one.picture.convert("RGB")) for one in made]

    order = range(len(prompts))
    together = draw(order)
    for i in order:
        assert np.array_equal(draw([i])[0], together[i]), f"TextToImage: '{prompts[i]}' differs alone and in a batch"
    turned = draw(order[::-1])[::-1]
    assert all(map(np.array_equal, turned, together)), "TextToImage: another order of the batch gives other pictures"
    if sampling.temperature > 0:
        others = draw(order, shift=1000)
        assert not all(map(np.array_equal, others, together)), "TextToImage: other seeds give the same pictures"


def _check_answers(model: ImageToText, sampling: TextSampling) -> None:
    seen = pictures()

    def answer(chosen: Sequence[int], shift: int = 0) -> list[str]:
        seeds = [i + 1 + shift for i in chosen]
        given = model.answer([[seen[i]] for i in chosen], [QUESTIONS[i] for i in chosen], seeds=seeds, sampling=sampling)
        assert len(given) == len(chosen), f"ImageToText: {len(chosen)} questions gave {len(given)} answers"
        return given

    order = range(len(QUESTIONS))
    together = answer(order)
    for i in order:
        assert answer([i])[0] == together[i], f"ImageToText: '{QUESTIONS[i]}' is answered otherwise alone and in a batch"
    assert answer(order[::-1])[::-1] == together, "ImageToText: another order of the batch gives other answers"
    if sampling.temperature > 0:
        assert answer(order, shift=1000) != together, "ImageToText: other seeds give the same answers"


@torch.no_grad()
def _check_texts(model: TextLikelihood, tolerance: float) -> None:
    seen = pictures()
    together = model.text_logprobs(seen, TEXTS)
    for i, text in enumerate(TEXTS):
        _check_logprobs(together[i], f"TextLikelihood: of '{text}'")
        alone = model.text_logprobs([seen[i]], [text])[0]
        assert alone.shape == together[i].shape, f"TextLikelihood: '{text}' has other tokens alone and in a batch"
        assert (alone - together[i]).abs().max() <= tolerance, f"TextLikelihood: '{text}' differs alone and in a batch"


@torch.no_grad()
def _check_choices(model: ChoiceLikelihood, tolerance: float) -> None:
    seen, choices = pictures(), ["yes", "no"]
    together = model.choice_logprobs(seen, QUESTIONS, choices)
    assert together.shape == (len(QUESTIONS), len(choices)), f"ChoiceLikelihood: shape {tuple(together.shape)}"
    _check_logprobs(together, "ChoiceLikelihood")
    assert (together.exp().sum(dim=1) <= 1 + 1e-3).all(), "ChoiceLikelihood: the choices' probabilities add up to more than 1"
    for i, question in enumerate(QUESTIONS):
        alone = model.choice_logprobs([seen[i]], [question], choices)[0]
        assert (alone - together[i]).abs().max() <= tolerance, f"ChoiceLikelihood: '{question}' differs alone and in a batch"


@torch.no_grad()
def _check_image_tokens(model: Any, prompts: Sequence[str], sampling: ImageSampling, tolerance: float) -> None:
    """Of the model's own greedy pictures without guidance: no other token may be likelier where one was chosen, if the likelihood
    is exact."""
    greedy = replace(sampling, temperature=0.0, guidance=1.0)
    made = model.generate(prompts, seeds=range(len(prompts)), sampling=greedy)
    assert all(one.tokens is not None for one in made), "DualLikelihood: generate hands on no tokens to score"
    tokens = torch.stack([one.tokens for one in made])
    together = model.image_logprobs(prompts, tokens)
    assert together.shape == tokens.shape, (
        f"DualLikelihood: {tuple(together.shape)} log-probabilities of {tuple(tokens.shape)} tokens"
    )
    _check_logprobs(together, "DualLikelihood: of pictures")
    alone = torch.cat([model.image_logprobs([prompt], row[None]) for prompt, row in zip(prompts, tokens, strict=True)])
    assert (alone - together).abs().max() <= tolerance, "DualLikelihood: pictures score otherwise alone and in a batch"
    exact = not isinstance(model, Trainable) or model.estimator is None
    for place in {0, tokens.shape[1] // 2, tokens.shape[1] - 1} if exact else set():
        changed = tokens.clone()
        changed[:, place] = tokens.roll(1, dims=1)[:, place]
        other = model.image_logprobs(prompts, changed)
        assert (other[:, place] <= together[:, place] + tolerance).all(), (
            f"DualLikelihood: image token {place} was drawn greedily, and another is likelier: sampler and likelihood disagree"
        )
        assert torch.allclose(other[:, :place], together[:, :place], atol=tolerance), (
            f"DualLikelihood: tokens before {place} see a token behind them"
        )
    codes = model.tokenize_images([one.picture for one in made])
    assert codes.shape == tokens.shape, (
        f"DualLikelihood: {tuple(codes.shape)} codes of pictures with {tuple(tokens.shape)} tokens"
    )


def _check_trainable(model: Trainable, prompts: Sequence[str], sampling: ImageSampling, tolerance: float) -> None:
    """Ids that it samples are those that it scores, both sides teach the parts that are theirs, and what is saved loads."""
    for prompt in prompts:
        model.check_prompt(prompt)
    seeds = list(range(len(prompts)))
    with torch.no_grad():
        tokens = model.draw(prompts, seeds=seeds, sampling=sampling).tokens
        pixels = model.decode_tokens(tokens)
        written = model.write([[one] for one in pictures()], QUESTIONS, seeds=seeds, sampling=TextSampling(max_new_tokens=8))
        of_tokens = model.image_scores(prompts, tokens, seeds=seeds)
        _check_written(model, written, tolerance)
        _check_end(model)
    assert pixels.dtype == torch.float32, f"Trainable: decode_tokens gives {pixels.dtype}, not float32"
    assert pixels.shape[:2] == (len(prompts), 3), f"Trainable: decode_tokens gives the shape {tuple(pixels.shape)}"
    assert pixels.shape[2] == pixels.shape[3], f"Trainable: decode_tokens gives the shape {tuple(pixels.shape)}"
    assert pixels.abs().max() <= 1, "Trainable: decode_tokens gives pixels outside [-1, 1]"
    _check_lessons(model, prompts, tokens, [[*ids, model.end_token] for ids in written], seeds)
    with tempfile.TemporaryDirectory() as place:
        folder, weights = Path(place) / "saved", model.network.state_dict()
        model.save(folder, weights)
        back = model.saved(folder)
        assert back.keys() == weights.keys(), "Trainable: saved gives other names than the network has"
        assert all(torch.equal(back[name], weights[name].cpu()) for name in back), "Trainable: saved gives other weights"
        again = type(model).load(str(folder), device="cpu", dtype="float32")  # type: ignore[attr-defined]
        with torch.no_grad():
            scored = again.image_scores(prompts, tokens, seeds=seeds)
        for one, other in zip(scored.logprobs, of_tokens.logprobs, strict=True):
            assert torch.allclose(one.cpu(), other.cpu(), atol=tolerance), "Trainable: what save wrote scores otherwise"


def _check_written(model: Trainable, written: Sequence[Sequence[int]], tolerance: float) -> None:
    """Of greedy answers: no other first token may be likelier."""
    ended = [[*ids, model.end_token] for ids in written]
    together = model.answer_scores(pictures(), QUESTIONS, ended, entropy=True)
    for ids, logprobs, entropy in zip(ended, together.logprobs, together.entropy, strict=True):
        _check_logprobs(logprobs, "Trainable: of written ids")
        assert len(logprobs) == len(entropy) == len(ids), f"Trainable: {len(logprobs)} log-probabilities of {len(ids)} ids"
        assert (entropy >= -tolerance).all(), "Trainable: an entropy below 0"
    for other in {ids[0] for ids in ended}:
        changed = model.answer_scores(pictures(), QUESTIONS, [[other]] * len(QUESTIONS)).logprobs
        for alone, logprobs in zip(changed, together.logprobs, strict=True):
            assert alone[0] <= logprobs[0] + tolerance, (
                "Trainable: an answer was written greedily, and another beginning is likelier"
            )


def _check_end(model: Trainable) -> None:
    """`score_end` counts one token more."""
    asked = model.score_end
    try:
        lengths = []
        for model.score_end in (False, True):
            lengths.append([len(one) for one in model.text_logprobs(pictures(), TEXTS)])
    finally:
        model.score_end = asked
    assert lengths[1] == [count + 1 for count in lengths[0]], "Trainable: with score_end a text must have one token more"


def _check_lessons(
    model: Trainable, prompts: Sequence[str], tokens: torch.Tensor, answers: Sequence[Sequence[int]], seeds: Sequence[int]
) -> None:
    """Each task's log-probabilities reach all parts that usually learn but for the idle ones."""
    anatomy = model.anatomy
    unknown = {*anatomy.usual, *anatomy.idle["gen"], *anatomy.idle["und"]} - anatomy.parts.keys()
    assert not unknown, f"Trainable: anatomy speaks of {', '.join(sorted(unknown))}, which is none of its parts"
    for name in (*anatomy.parts.values(), anatomy.language_model, *anatomy.frozen):
        assert name in dict(model.network.named_modules()), f"Trainable: the network has no '{name}', which anatomy names"
    requests = [model.caption_request] * len(answers)
    tasks: tuple[Task, ...] = ("gen", "und")
    for task in tasks:
        with _learning(model.network):
            if task == "gen":
                found = model.image_scores(prompts, tokens, seeds=seeds)
            else:
                found = model.answer_scores(pictures(), requests, answers)
            total = torch.cat(found.logprobs).sum()
            assert total.requires_grad, f"Trainable: the log-probabilities of task {task} have no gradient"
            total.backward()
            reached = {
                part
                for part in anatomy.usual
                for weight in model.network.get_submodule(anatomy.parts[part]).parameters()
                if weight.grad is not None and bool(weight.grad.any())
            }
        for part in anatomy.usual:
            idle = part in anatomy.idle[task]  # type: ignore[index]
            assert (part in reached) != idle, (
                f"Trainable: the task {task} {'reaches' if idle else 'does not reach'} the part {part}"
            )


@contextmanager
def _learning(network: torch.nn.Module) -> Iterator[None]:
    """All weights take gradients inside, and are as they were behind it."""
    wanted = [weight.requires_grad for weight in network.parameters()]
    network.requires_grad_(True)
    try:
        yield
    finally:
        network.zero_grad(set_to_none=True)
        for weight, own in zip(network.parameters(), wanted, strict=True):
            weight.requires_grad_(own)


def _check_logprobs(values: torch.Tensor, what: str) -> None:
    assert values.dtype == torch.float32, f"{what}: {values.dtype}, not float32"
    assert values.isfinite().all(), f"{what}: not finite"
    assert (values <= 1e-5).all(), f"{what}: a log-probability above 0"
