"""`check_model`, which adapters are held to: it passes the one that ships, and names what a faulty one does not keep."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from models.tiny import tiny_image_processor, tiny_janus_model, tiny_tokenizer
from PIL import Image

from suder_bench.models.janus import JanusModel
from suder_bench.models.protocols import GeneratedImage, ImageSampling, TextSampling
from suder_bench.testing import check_model


@pytest.fixture(scope="module")
def janus() -> JanusModel:
    return JanusModel(tiny_janus_model(), tiny_tokenizer(), tiny_image_processor())


def test_janus_keeps_every_protocol(janus: JanusModel) -> None:
    assert check_model(janus) == [
        "TextToImage",
        "ImageToText",
        "TextLikelihood",
        "ChoiceLikelihood",
        "DualLikelihood",
        "Trainable",
    ]


class Painter:
    """Draws one colour for each prompt and seed."""

    name, fingerprint = "painter", "1"

    def __init__(self, settings: dict[str, Any] | None = None) -> None:
        self.settings = settings or {}

    def generate(self, prompts: Sequence[str], *, seeds: Sequence[int], sampling: ImageSampling) -> list[GeneratedImage]:
        return [self.one(prompt, seed, place) for place, (prompt, seed) in enumerate(zip(prompts, seeds, strict=True))]

    def one(self, prompt: str, seed: int, place: int) -> GeneratedImage:
        return GeneratedImage(Image.new("RGB", (4, 4), ((7 * len(prompt)) % 256, seed % 256, 0)))


def test_only_what_a_model_can_do_is_checked() -> None:
    assert check_model(Painter()) == ["TextToImage"]
    assert check_model(Painter({"seed": "not controlled"})) == []


def test_a_picture_that_depends_on_the_batch_is_named() -> None:
    class ByPlace(Painter):
        def one(self, prompt: str, seed: int, place: int) -> GeneratedImage:
            return GeneratedImage(Image.new("RGB", (4, 4), (place, seed % 256, 0)))

    with pytest.raises(AssertionError, match="differs alone and in a batch"):
        check_model(ByPlace())


def test_seeds_that_do_not_matter_are_named() -> None:
    class Deaf(Painter):
        def one(self, prompt: str, seed: int, place: int) -> GeneratedImage:
            return super().one(prompt, 0, place)

    with pytest.raises(AssertionError, match="other seeds give the same pictures"):
        check_model(Deaf())


def test_settings_that_run_json_cannot_hold_are_named() -> None:
    with pytest.raises(AssertionError, match="settings are strings"):
        check_model(Painter({"steps": 50}))


def test_answers_that_depend_on_the_order_are_named() -> None:
    class Forgetful(Painter):
        asked = 0

        def answer(self, images: Any, questions: Sequence[str], *, seeds: Sequence[int], sampling: TextSampling) -> list[str]:
            self.asked += len(questions)
            return [str(self.asked)] * len(questions)

    with pytest.raises(AssertionError, match="ImageToText"):
        check_model(Forgetful())


def test_a_likelihood_that_disagrees_with_the_sampler_is_named(janus: JanusModel, monkeypatch: pytest.MonkeyPatch) -> None:
    own = janus.image_logprobs
    turned = lambda texts, tokens: own(texts, tokens.flip(0))  # noqa: E731
    monkeypatch.setattr(janus, "image_logprobs", turned)
    with pytest.raises(AssertionError, match="DualLikelihood"):
        check_model(janus)


def test_a_likelihood_that_is_no_number_is_named(janus: JanusModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(janus, "text_logprobs", lambda images, texts: [torch.full((2,), float("nan")) for _ in texts])
    with pytest.raises(AssertionError, match=r"TextLikelihood: of .* not finite"):
        check_model(janus)


def test_sampled_answers_that_heed_no_seed_are_named() -> None:
    class Fixed:
        name, fingerprint = "fixed", "0"
        settings: dict[str, str] = {}  # noqa: RUF012

        def answer(self, images: Any, questions: Sequence[str], *, seeds: Sequence[int], sampling: TextSampling) -> list[str]:
            return [question[::-1] for question in questions]

    assert check_model(Fixed()) == ["ImageToText"]
    with pytest.raises(AssertionError, match="ImageToText: other seeds give the same answers"):
        check_model(Fixed(), text=TextSampling(temperature=1.0, max_new_tokens=8))
