"""What a judge asks of a vision-language model: conversations, and how likely it begins with a word, by one look at a picture."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from models.vlm import plain
from PIL import Image
from torch import nn

from suder_bench.errors import UserError
from suder_bench.models.protocols import TextSampling
from suder_bench.models.vlm.model import VlmModel
from suder_bench.testing import QUESTIONS, pictures

SPELLINGS = ("Yes", "yes", " yes", "two", "2")
ASKED = ("Is there a ball? Answer in one word.", "How many boxes are there? Answer in one word.", "Why?", "Is it red?")


@contextmanager
def looked_at(vlm: VlmModel) -> Iterator[list[int]]:
    """How much the first layer of the vision encoder reads within, a number a call."""
    encoder = vlm.model.get_encoder(modality="image")
    layer = next(part for part in encoder.modules() if isinstance(part, nn.Conv2d | nn.Conv3d))
    seen: list[int] = []
    handle = layer.register_forward_pre_hook(lambda module, given: seen.append(len(given[0])))
    try:
        yield seen
    finally:
        handle.remove()


def test_the_first_token_is_as_likely_as_in_a_plain_computation(vlm: VlmModel, family: str, folder: Path) -> None:
    image = pictures(1)[0]
    [found] = vlm.first_tokens([image], [QUESTIONS[1]], [SPELLINGS])
    with torch.no_grad():
        expected = torch.softmax(plain.PLAIN[family](folder, image, QUESTIONS[1], [])[-1].float(), dim=-1)
    for spelling, likely in zip(SPELLINGS, found, strict=True):
        first = vlm.prompts.tokenizer.encode(spelling, add_special_tokens=False)[0]
        assert likely == pytest.approx(float(expected[first]), abs=1e-5)


def test_questions_about_one_picture_look_at_it_once(vlm: VlmModel, family: str) -> None:
    first, second = pictures(2)
    images = [first] * len(ASKED) + [second, first.copy(), first]
    questions = [*ASKED, *ASKED[:3]]
    spellings = [SPELLINGS] * len(images)
    with looked_at(vlm) as alone:
        apart = [vlm.first_tokens([image], [question], [SPELLINGS])[0] for image, question in zip(images, questions, strict=True)]
    with looked_at(vlm) as at_once:
        together = vlm.first_tokens(images, questions, spellings)
    torch.testing.assert_close(torch.tensor(together), torch.tensor(apart), atol=1e-5, rtol=1e-4)
    if family != "chameleon":  # which has codes
        assert len(at_once) == 3
        with looked_at(vlm) as only:
            vlm.first_tokens(images[:4], list(ASKED), spellings[:4])
        assert 4 * sum(only) == sum(alone[:4])
    with looked_at(vlm) as after:
        vlm.first_tokens([first], [ASKED[0]], [SPELLINGS])
    assert after == alone[:1]  # nothing is left changed


def test_an_item_lacks_nothing(vlm: VlmModel) -> None:
    assert vlm.first_tokens([], [], []) == []
    with pytest.raises(ValueError, match="1 pictures, 1 questions, 0 lists of spellings"):
        vlm.first_tokens(pictures(1), ["Why?"], [])
    with pytest.raises(ValueError, match="'' has no token"):
        vlm.first_tokens(pictures(1), ["Why?"], [[""]])


def test_a_conversation_of_one_turn_is_a_question(vlm: VlmModel) -> None:
    seen, sampling = pictures(), TextSampling(max_new_tokens=6)
    asked = vlm.answer([[one] for one in seen], QUESTIONS, seeds=[0] * 3, sampling=sampling)
    talks = [(question,) for question in QUESTIONS]
    plainly = {"systems": [""] * 3, "pictures_last": [False] * 3}
    assert vlm.talk([[one] for one in seen], talks, **plainly, sampling=sampling) == asked


def test_a_conversation_is_written_by_the_checkpoints_template(loaded: dict[str, VlmModel]) -> None:
    turns = ("Describe it.", "A ball.", "What color is it?")
    assert loaded["qwen2_5_vl"].prompts.talk(turns, 1, system="You judge.", pictures_last=True) == (
        "<|im_start|>system\nYou judge.<|im_end|>\n"
        "<|im_start|>user\nDescribe it.<|vision_start|><|image_pad|><|vision_end|><|im_end|>\n"
        "<|im_start|>assistant\nA ball.<|im_end|>\n"
        "<|im_start|>user\nWhat color is it?<|im_end|>\n<|im_start|>assistant\n"
    )
    image = Image.new("RGB", (42, 42), "red")
    asked = {"systems": [""] * 2, "pictures_last": [False, True], "sampling": TextSampling(max_new_tokens=4)}
    together = loaded["qwen2_5_vl"].talk([[image]] * 2, [turns, turns[:1]], **asked)
    assert together == [
        loaded["qwen2_5_vl"].talk([[image]], [said], systems=[""], pictures_last=[last], sampling=TextSampling(max_new_tokens=4))[
            0
        ]
        for said, last in ((turns, False), (turns[:1], True))
    ]
    with pytest.raises(UserError, match=r"has no chat template, and its family's is for one turn with the picture first"):
        loaded["llava"].prompts.talk(turns, 1)
    assert loaded["llava"].prompts.talk(turns[:1], 1, system="You judge.") == loaded["llava"].prompts.text(
        "You judge.\n\nDescribe it.", 1
    )
