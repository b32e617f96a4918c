"""The files of the benchmarks that need reasoning, and GenEval 2's: official forms, and a picture of what is meant is right."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from suder_bench import registry
from suder_bench.records import Answered, Response, Sample, Verdict
from suder_bench.world import riddles, tasks, write_geneval2
from suder_bench.world.language import FAMILIES, draw_text
from suder_bench.world.reading import conjunction
from suder_bench.world.render import picture
from suder_bench.world.riddles import Riddle
from suder_bench.world.scenes import Description, draw
from suder_bench.world.write_geneval2 import FORMS
from suder_bench.world.write_t2i_reasonbench import NAMES

MADE = {
    "hues": riddles.hues,
    "mixtures": riddles.mixtures,
    "remainders": riddles.remainders,
    "offspring": riddles.offspring,
    "mirrors": riddles.mirrors,
    "buoyancies": riddles.buoyancies,
    "idioms": riddles.idioms,
    "designs": riddles.designs,
}
BY_PROMPT: Mapping[str, Riddle] = {riddle.prompt: riddle for made in MADE.values() for riddle in made()}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("riddles")
    tasks.write(folder, size="quick", benchmarks=["geneval2", "t2i-reasonbench", "wise-verified", "wise-legacy"])
    return folder


@pytest.mark.parametrize("name", MADE)
def test_what_is_meant_is_true_of_what_is_drawn_and_not_of_another_riddle(name: str) -> None:
    """By the scenes themselves; the prompts of a kind are different, and none says what is meant."""
    made = list(MADE[name]())
    assert len({riddle.prompt for riddle in made}) == len(made)
    rng = np.random.default_rng(18)
    for place in rng.permutation(len(made))[:40]:
        riddle, other = made[place], made[(place + 1) % len(made)]
        scene = draw(riddle.description, rng)
        assert riddle.meant not in riddle.prompt
        assert conjunction(riddle.meant, scene) > 0.9, riddle
        assert conjunction(riddle.partly, scene) == 1, riddle
        if other.meant == riddle.meant or name == "designs" or "next to" in other.meant:
            continue  # what points at a thing, or lies below it, may be left of it, or next to it
        assert conjunction(other.meant, scene) < 0.5, (riddle, other)


def test_no_prompt_is_one_that_models_of_the_world_are_trained_on() -> None:
    rng = np.random.default_rng(0)
    trained = {draw_text(family, rng, "train")[1].lower() for family in FAMILIES for _ in range(50)}
    assert trained.isdisjoint(prompt.lower() for prompt in BY_PROMPT)


def answers(samples: list[Sample], shown: list[Image.Image]) -> Iterator[Answered]:
    for sample, one in zip(samples, shown, strict=True):
        encoded = io.BytesIO()
        one.save(encoded, "PNG")
        yield Answered(sample, Response("b", sample.id, 0, 0, sample.id, image="a"), encoded.getvalue())


def judged(name: str, data: Path, drawn: Mapping[str, Description]) -> tuple[dict[str, float], list[tuple[Sample, Verdict]]]:
    """A benchmark's metrics of drawings of what each of its prompts means, and its rows."""
    bench = registry.load("benchmarks", name)(data)
    judges = {role: registry.load("judges", f"{role}/world").load() for role in bench.judge_roles}
    rng = np.random.default_rng(7)
    samples = bench.samples()
    shown = [picture(draw(drawn[sample.prompt], rng)) for sample in samples]
    rows = list(zip(samples, bench.verdicts(list(answers(samples, shown)), judges), strict=True))
    return {metric: float(one.of(np.ones(len(rows)))) for metric, one in bench.statistics(rows).items()}, rows


MEANT = {prompt: riddle.description for prompt, riddle in BY_PROMPT.items()}


def turned(drawn: Mapping[str, Description], name: str, data: Path) -> dict[str, Description]:
    """To each prompt what the next one but three means."""
    prompts = [sample.prompt for sample in registry.load("benchmarks", name)(data).samples()]
    return {prompt: drawn[prompts[(i + 3) % len(prompts)]] for i, prompt in enumerate(prompts)}


@pytest.mark.parametrize("name", ["wise-verified", "wise-legacy"])
def test_wise_of_right_and_of_wrong_pictures(name: str, data: Path) -> None:
    right, rows = judged(name, data, MEANT)
    assert right["overall"] >= 0.95
    assert right["unparsed"] == 0
    assert {sample.truth["category"] for sample, _ in rows} == set(riddles.KNOWLEDGE)
    wrong, _ = judged(name, data, turned(MEANT, name, data))
    assert wrong["overall"] < 0.45 * right["overall"]


def test_t2i_reasonbench_of_right_and_of_wrong_pictures(data: Path) -> None:
    right, rows = judged("t2i-reasonbench", data, MEANT)
    assert min(right[name] for name in ("entity", "idiom", "scientific", "textual")) >= 90
    assert (right["unparsed"], right["odd"]) == (0, 0)
    assert right["quality/average"] > 90
    assert len(rows) == 48
    wrong, _ = judged("t2i-reasonbench", data, turned(MEANT, "t2i-reasonbench", data))
    assert wrong["average"] < 40


def test_geneval2_of_right_and_of_wrong_pictures(data: Path) -> None:
    drawn = {}
    for atoms, forms in FORMS.items():
        rng, known = write_geneval2.stream("geneval2", atoms), len(drawn)
        while len(drawn) - known < write_geneval2.PROMPTS["quick"]:
            description, words = write_geneval2.draw(forms[(len(drawn) - known) % len(forms)], rng)
            drawn.setdefault(write_geneval2.row(description, words)["prompt"], description)
    right, _ = judged("geneval2", data, drawn)
    assert right["gm"] >= 85
    assert min(right[skill] for skill in ("object", "attribute", "count", "position", "verb")) >= 85
    wrong, _ = judged("geneval2", data, turned(drawn, "geneval2", data))
    assert wrong["gm"] < 10


def test_geneval2_rows_are_of_the_official_form(data: Path) -> None:
    rows = [json.loads(line) for line in (data / "geneval2" / "geneval2_data.jsonl").read_text().splitlines()]
    assert [row["atom_count"] for row in rows] == [atoms for atoms in range(3, 8) for _ in range(10)]
    for row in rows:
        skills = row["skills"]
        assert len(skills) == len(row["vqa_list"])
        ones = sum(question.startswith("How many") and answer == "one" for question, answer in row["vqa_list"])
        assert row["atom_count"] == len(skills) - ones  # "a" is asked about, and is no atom
        assert {answer for question, answer in row["vqa_list"] if not question.startswith("How many")} == {"Yes"}


def test_t2i_reasonbench_rows_are_of_the_official_form(data: Path) -> None:
    folder = data / "t2i_reasonbench"
    for dimension, stem in NAMES.items():
        prompts = json.loads((folder / "prompts" / f"{dimension}.json").read_text())
        asked = json.loads((folder / "deepseek_evaluation_qs" / f"evaluation_{stem}.json").read_text())
        assert [row["id"] for row in prompts] == [row["id"] for row in asked] == list(range(1, 13))
        fields: set[str] = {"idiom", "idiom_meaning"} if stem == "idiom" else set()
        fields |= {"explicit_meaning"} if stem in ("entity", "scientific") else set()
        assert all(set(row) == {"id", "prompt", "tag", *fields} for row in prompts)
        keys = [next(iter(group)) for row in asked for group in _groups(row)]
        assert set(keys) == {"q1", "aq1"}


def _groups(row: Mapping[str, Any]) -> list[Mapping[str, str]]:
    return [group for name, group in row.items() if name.endswith("_evaluation")]
