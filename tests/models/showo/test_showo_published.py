"""The published weights, where somebody has them: `SUDER_BENCH_SHOWO=showlab/show-o SUDER_BENCH_SHOWO_PHOTO=photo.jpg pytest`.

They take some gigabytes from the hub, so that nothing runs this by itself; specs of Show-o, section 10, test 9.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import pytest
import torch
from PIL import Image

from suder_bench.models.protocols import ImageSampling, TextSampling
from suder_bench.models.reference import choose
from suder_bench.models.showo import pixels
from suder_bench.models.showo.model import ShowoModel

REFERENCE = os.environ.get("SUDER_BENCH_SHOWO", "")
PHOTO = os.environ.get("SUDER_BENCH_SHOWO_PHOTO", "")
pytestmark = pytest.mark.skipif(not REFERENCE, reason="needs the published weights: SUDER_BENCH_SHOWO=REF")

PROMPTS = [
    *(f"a photo of a {one}" for one in ("bench", "cow", "bicycle", "clock", "carrot", "suitcase")),
    *(f"a photo of a {one}" for one in ("bus and a bird", "fork and a knife", "chair and a dog", "pizza and a vase")),
    *(f"a photo of {one}" for one in ("two clocks", "three apples", "four giraffes", "two umbrellas")),
    *(f"a photo of a {one}" for one in ("blue fire hydrant", "red cake", "green bus", "black donut", "yellow car", "pink tv")),
]
"""Twenty of GenEval's kinds."""


@cache
def model() -> ShowoModel:
    made = choose(REFERENCE).load(device="auto", dtype="auto")
    assert isinstance(made, ShowoModel)
    return made


@pytest.mark.skipif(not PHOTO, reason="needs a photo: SUDER_BENCH_SHOWO_PHOTO=FILE")
def test_a_photo_is_known_again_from_its_codes() -> None:
    with Image.open(Path(PHOTO)) as photo:
        before = pixels.pixels([photo], model().size.side)
    after = model().decode_tokens(model().magvit.encode(before)).cpu()
    error = ((before - after) / 2).square().mean()
    assert -10 * error.log10().item() > 20


@pytest.mark.skipif(not PHOTO, reason="needs a photo: SUDER_BENCH_SHOWO_PHOTO=FILE")
def test_a_photo_is_described_in_words() -> None:
    with Image.open(Path(PHOTO)) as photo:
        [answer] = model().answer([[photo]], ["What is in the picture?"], seeds=[0], sampling=TextSampling(max_new_tokens=60))
    print(answer)
    words = answer.split()
    assert len(words) >= 3
    assert len(set(words)) > len(words) / 3


def test_pictures_show_their_own_prompts(tmp_path: Path) -> None:
    """By the model's own reading: most pictures make their own prompt the likeliest of the twenty, and it beats the mean in all
    but a few. The pictures are left for somebody to look at."""
    made = []
    for start in range(0, len(PROMPTS), 4):
        part = PROMPTS[start : start + 4]
        made += model().generate(part, seeds=range(len(part)), sampling=ImageSampling(guidance=6, steps=50))
    for prompt, one in zip(PROMPTS, made, strict=True):
        one.picture.save(tmp_path / f"{prompt}.png")
    print(f"the pictures are in {tmp_path}")
    with torch.no_grad():
        scores = torch.stack(
            [
                torch.stack([one.mean() for one in model().text_logprobs([shown.picture] * len(PROMPTS), PROMPTS)])
                for shown in made
            ]
        )
    own = scores.diagonal()
    assert int((own > scores.mean(dim=1)).sum()) >= 18
    assert int((scores.argmax(dim=1) == torch.arange(len(PROMPTS), device=scores.device)).sum()) >= 12
