"""SEED-Bench as its authors score it: the choice that the model finds likeliest, by run and by file."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from answerers import Likes, Says
from answering import jsonl, picture
from fakes import REFERENCE, FakeModel

from suder_bench.cli import main
from suder_bench.data.source import Source
from suder_bench.errors import UserError
from suder_bench.evaluators.seedbench import SeedBench
from suder_bench.models.protocols import TextLikelihood
from suder_bench.runs.execute import Outcome, Run
from suder_bench.runs.plan import Settings
from suder_bench.runs.screen import Screen

TYPES = {"Scene Understanding": 1, "Instances Counting": 5}
ANSWERS = "BBCD"
"""The right choices of the four questions; the first two are about one picture."""


def write(folder: Path) -> Path:
    rows = [
        {"question_id": i, "question": f"What {i}?", "answer": answer, "data_id": f"{i // 2}.png", "data_type": "image"}
        | {"question_type_id": 1 if i < 3 else 5}
        | {f"choice_{letter}": word for letter, word in zip("abcd", ("cat", "dog", "cow", "pig"), strict=True)}
        for i, answer in enumerate(ANSWERS)
    ]
    (folder / "seedbench").mkdir()
    (folder / "seedbench/SEED-Bench.json").write_text(json.dumps({"questions": rows, "question_type": TYPES}))
    for i in range(2):
        picture(folder / f"seedbench/images/{i}.png")
    return folder


def run(out: Path, data: Path, model: Any, **changes: Any) -> Outcome:
    settings = Settings("seedbench", ("seedbench",), Source("folder", path=data), protocol="likelihood", **changes)
    return Run(out, REFERENCE, settings).execute(Screen(io.StringIO()), lambda: model)


def values(summary: Any) -> dict[str, float]:
    return {name: metric["value"] for name, metric in summary["benchmarks"]["seedbench"]["metrics"].items()}


EXPECTED = {
    "likelihood/overall": 0.5,
    "likelihood/scene_understanding": 2 / 3,
    "likelihood/instances_counting": 0.0,
    "likelihood/category_mean": 1 / 3,
    "likelihood/unextracted": 0.0,
}


def test_the_likeliest_choice_counts(tmp_path: Path) -> None:
    model = Likes(["dog", "cat", "cow", "pig"])
    outcome = run(tmp_path / "run", write(tmp_path), model)
    assert values(outcome.summary) == pytest.approx(EXPECTED)
    assert outcome.summary["benchmarks"]["seedbench"]["headline"] == "likelihood/overall"
    [texts] = model.asked
    assert texts[:4] == [f"Question: What 0?\nAnswer: {choice}" for choice in ("cat", "dog", "cow", "pig")]
    assert model.shown == [2]  # all choices of all questions in one call, each picture opened once
    [line, *_] = next((tmp_path / "run/responses/seedbench").glob("*.jsonl")).read_text().splitlines()
    assert json.loads(json.loads(line)["text"]) == {"losses": [8.0, 7.0, 9.0, 10.0]}


def test_it_goes_on_where_it_stopped(tmp_path: Path) -> None:
    data = write(tmp_path)
    run(tmp_path / "run", data, Likes(["dog", "cat", "cow", "pig"]), limit=2)
    later = Likes(["dog", "cat", "cow", "pig"])
    assert values(run(tmp_path / "run", data, later).summary) == pytest.approx(EXPECTED)
    assert sum(map(len, later.asked)) < 16
    again = Likes()
    assert values(run(tmp_path / "run", data, again).summary) == pytest.approx(EXPECTED)
    assert not again.asked


def test_equally_likely_choices_are_the_first(tmp_path: Path) -> None:
    class Alike(Likes):
        def text_logprobs(self, images: Any, texts: Any) -> Any:
            return [each * 0 for each in super().text_logprobs(images, texts)]

    assert values(run(tmp_path / "run", write(tmp_path), Alike(["dog", "cat", "cow", "pig"])).summary)["likelihood/overall"] == 0


def test_losses_that_are_no_numbers_fail(tmp_path: Path) -> None:
    class Broken(Likes):
        def text_logprobs(self, images: Any, texts: Any) -> Any:
            return [each / 0 for each in super().text_logprobs(images, texts)]

    outcome = run(tmp_path / "run", write(tmp_path), Broken(["dog", "cat", "cow", "pig"]))
    assert (outcome.complete, outcome.summary["benchmarks"]["seedbench"]["failed"]) == (False, 4)


@pytest.mark.parametrize("model", [FakeModel(), Says("yes", "says", "1")])
def test_a_model_without_likelihoods_is_refused_in_a_line(tmp_path: Path, model: Any) -> None:
    assert not isinstance(model, TextLikelihood)
    told = f"model '{model.name}' has no text_logprobs, by which seedbench ranks its choices; leave out --protocol likelihood"
    with pytest.raises(UserError) as error:
        run(tmp_path / "run", write(tmp_path), model)
    assert str(error.value) == told
    assert not (tmp_path / "run").exists()


def test_files_of_losses_score_alike(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path)
    rows: list[dict[str, Any]] = [{"question_id": i, "losses": [8.0, 7.0, 9.0, 10.0]} for i in range(4)]
    command = ["score", "--benchmark", "seedbench", "--protocol", "likelihood", "--data", str(tmp_path), "--json", "--answers"]
    assert main([*command, str(jsonl(tmp_path / "a.jsonl", rows))]) == 0
    assert values(json.loads(capsys.readouterr().out)) == pytest.approx(EXPECTED)
    assert main([*command, str(jsonl(tmp_path / "a.jsonl", rows[:3]))]) == 0
    told = capsys.readouterr()
    assert values(json.loads(told.out))["likelihood/unextracted"] == 1
    assert "no answer to 1 of 4 questions, which counts as wrong" in told.err
    assert main([*command, str(jsonl(tmp_path / "a.jsonl", [{"question_id": 1, "text": "B"}]))]) == 2
    assert "a.jsonl:1: no 'losses'; found 'question_id', 'text'" in capsys.readouterr().err


def test_its_wording_is_its_own(tmp_path: Path) -> None:
    benchmark = SeedBench(write(tmp_path), "likelihood")
    assert (benchmark.prompt_styles, benchmark.prompt_style) == (("official",), "official")
    with pytest.raises(UserError, match="unknown seedbench prompt style 'janus'"):
        run(tmp_path / "run", tmp_path, Likes(), prompt_style="janus")


def test_the_tiny_model_ranks_choices_better_than_chance(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """docs/protocols.md has the number of all of the world's questions."""
    command = ["run", "--model", "tiny-janus", "--benchmark", "seedbench", "--protocol", "likelihood", "--data", "world"]
    assert main([*command, "--size", "quick", "--out", str(tmp_path / "run"), "--json"]) == 0
    overall = json.loads(capsys.readouterr().out)["benchmarks"]["seedbench"]["metrics"]["likelihood/overall"]
    assert overall["low"] > 0.3
