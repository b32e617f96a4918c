"""The shipped Show-o: useful, whole in itself, and the same in every batch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from suder_bench.cli import main
from suder_bench.models.pictures import picture as pixels_picture
from suder_bench.models.protocols import ImageSampling
from suder_bench.models.showo.model import ShowoModel
from suder_bench.world import checkpoints
from suder_bench.world.language import FAMILIES, draw_text
from suder_bench.world.perception import perceive
from suder_bench.world.pretrain.measure import measure
from suder_bench.world.render import picture
from suder_bench.world.scenes import draw

PROMPTS = ["a photo of a red ball", "The blue box on the left of the white mushroom holds it.", "four stars"]


@pytest.fixture(scope="module")
def showo() -> ShowoModel:
    return ShowoModel.load(str(checkpoints.path("tiny-showo")))


def test_it_is_small_enough_to_ship(showo: ShowoModel) -> None:
    folder = checkpoints.path("tiny-showo")
    assert sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) < 12e6


def test_its_tokenizer_writes_any_text(showo: ShowoModel) -> None:
    text = "Zwölf Boxkämpfer jagen Viktor — 犬が好き, 3.14 € <b>\n\t'quoted'"
    assert showo.tokenizer.decode(showo.tokenizer.encode(text, add_special_tokens=False)) == text


def test_no_prompt_of_the_world_is_cut(showo: ShowoModel) -> None:
    rng = np.random.default_rng(0)
    texts = [draw_text(family, rng, "val")[1] for family in FAMILIES for _ in range(20)]
    assert showo.cut_prompts(texts) == {}


def test_its_tokenizer_keeps_most_things(showo: ShowoModel) -> None:
    """What is to be seen in a picture is to be seen after it was named in codes and drawn from them."""
    rng = np.random.default_rng(77)
    kept = []
    for i in range(42):
        scene = draw(draw_text(list(FAMILIES)[i % len(FAMILIES)], rng, "train")[0], rng)
        shown = pixels_picture(showo.decode_tokens(showo.tokenize_images([picture(scene)]))[0])
        seen = perceive(np.asarray(shown)).objects
        kept += [
            any(one.noun == thing.noun and np.allclose(one.box, thing.box, atol=4) for one in seen) for thing in scene.things
        ]
    assert np.mean(kept) > 0.8


def test_texts_are_as_likely_in_any_company(showo: ShowoModel) -> None:
    """Padding of longer neighbours changes nothing."""
    tokens = showo.draw(PROMPTS, seeds=[1, 2, 3], sampling=ImageSampling(steps=4)).tokens
    shown = [pixels_picture(one) for one in showo.decode_tokens(tokens)]
    together = showo.text_logprobs(shown, PROMPTS)
    alone = [showo.text_logprobs([one], [text])[0] for one, text in zip(shown, PROMPTS, strict=True)]
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=0)


@pytest.fixture(scope="module")
def figures() -> Mapping[str, float]:
    return measure("tiny-showo", ("geneval", "captions"))


@pytest.mark.slow
def test_it_draws_and_its_reward_knows_its_best(figures: Mapping[str, float]) -> None:
    assert 0.3 <= figures["geneval_overall"] <= 0.65
    assert figures["best_of_8"] >= figures["mean_of_8"] + 0.12
    assert figures["worst_of_8"] <= figures["mean_of_8"] <= figures["best_of_8"] <= figures["oracle_of_8"]


@pytest.mark.slow
def test_it_says_what_it_sees(figures: Mapping[str, float]) -> None:
    assert figures["caption_faithfulness"] > 0.7


def test_it_is_run_by_its_name(tmp_path: Path) -> None:
    """All seven benchmarks to a table, and the settings of its estimate in the run's record."""
    command = ["run", "--model", "tiny-showo", "--suite", "all", "--limit", "2", "--repeats", "1", "--out", str(tmp_path)]
    assert main(command) == 0
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert len(summary["benchmarks"]) == 7
    assert summary["world"]
    assert all(entry["n_responses"] > 0 for entry in summary["benchmarks"].values())
