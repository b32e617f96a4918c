"""What every model adapter has to keep, as checks that its own tests can call: `check_model(adapter)`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
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
    TextLikelihood,
    TextSampling,
    TextToImage,
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
    """Of the model's own greedy pictures without guidance: no other token may be likelier where one was chosen."""
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
    for place in {0, tokens.shape[1] // 2, tokens.shape[1] - 1}:
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


def _check_logprobs(values: torch.Tensor, what: str) -> None:
    assert values.dtype == torch.float32, f"{what}: {values.dtype}, not float32"
    assert values.isfinite().all(), f"{what}: not finite"
    assert (values <= 1e-5).all(), f"{what}: a log-probability above 0"
