"""Our models in lmms-eval's own hands. Needs lmms-eval (extra `lmms`); CI has it in an environment of its own."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Iterable
from importlib.metadata import entry_points
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image

pytest.importorskip("lmms_eval", reason='lmms-eval is not installed: pip install -c constraints-lmms.txt ".[lmms]"')

import fakes as fake_models
import lmms_tasks
from lmms_eval.api.instance import Instance
from lmms_eval.caching.response_cache import ResponseCache
from lmms_eval.cli import dispatch
from lmms_tasks import lmms_eval, mean, results, samples, theirs

from suder_bench.lmms.model import SuderBench
from suder_bench.models import reference
from suder_bench.models.protocols import TextSampling

if not any(point.name == "suder_bench" for point in entry_points(group="lmms_eval.models")):
    pytest.skip("suder-bench itself is not installed here, so that lmms-eval cannot find it", allow_module_level=True)

TASKS: dict[str, dict[str, Any]] = {
    "yesno": {},
    "pope_here": theirs("pope/pope.yaml"),
    "sampled": {"generation_kwargs": {"max_new_tokens": 16, "temperature": 1.0, "do_sample": True}, "repeats": 2},
    "drawing": {"doc_to_visual": "!function utils.nothing", "process_results": "!function utils.drawn", **mean("drawn")},
    "chained": {"output_type": "generate_visual_cot", "doc_to_text": "!function utils.chain"},
    "talking": {
        "output_type": "generate_until_multi_round",
        "doc_to_text": "!function utils.rounds",
        "process_results": "!function utils.both",
        **mean("rounds"),
    },
    "choosing": {
        "output_type": "multiple_choice",
        "doc_to_choice": "!function utils.choices",
        "doc_to_target": "!function utils.place",
        "process_results": None,
        "generation_kwargs": None,
        "metric_list": [{"metric": "acc"}],
    },
}
COUNT = 10


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    from suder_bench.evaluators.pope import Pope
    from suder_bench.world import write_pope

    folder = tmp_path_factory.mktemp("pope")
    write_pope.write(folder, "quick")
    return lmms_tasks.documents(Pope(folder).samples()[:COUNT])


@pytest.fixture(scope="module")
def ran(rows: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of all `TASKS`, its cache and its log files."""
    folder = tmp_path_factory.mktemp("lmms")
    lmms_tasks.write(folder, TASKS, rows)
    done = run(folder, ANSWERED, [name for name in TASKS if name != "drawing"])
    assert done.returncode == 0, done.stderr
    assert (folder / "logs" / "tiny-janus").is_dir(), done.stdout + done.stderr  # lmms-eval fails with 0 too
    return folder


PAGE = (Path(__file__).parents[2] / "docs" / "lmms-eval.md").read_text(encoding="utf-8")
ANSWERED, DRAWN = re.findall(r"^lmms-eval (--model suder_bench .*)", PAGE, flags=re.MULTILINE)


def run(folder: Path, command: str, tasks: Iterable[str]) -> Any:
    """A command of the page, with tasks of this disk in place of the hub's."""
    words = shlex.split(command)
    words[words.index("--tasks") + 1] = ",".join(tasks)
    return lmms_eval(*words, "--include_path", str(folder), cwd=folder)


@pytest.fixture(scope="module")
def tiny() -> Any:
    return reference.choose("tiny-janus").load(device="cpu", dtype="float32")


def answers(tiny: Any, rows: list[dict[str, Any]]) -> list[str]:
    asked = [row["question"] + lmms_tasks.WORDING for row in rows]
    return tiny.answer([[row["image"]] for row in rows], asked, seeds=[0] * len(rows), sampling=TextSampling(max_new_tokens=16))


@pytest.mark.slow
def test_answers_are_those_of_the_model_itself(ran, rows, tiny):
    logged = samples(ran / "logs", "yesno")
    said = answers(tiny, rows)
    assert [row["filtered_resps"] for row in logged] == said
    right = [answer.lower() == row["answer"] for answer, row in zip(said, rows, strict=True)]
    assert results(ran / "logs")["yesno"]["right"] == pytest.approx(sum(right) / COUNT)
    assert results(ran / "logs")["pope_here"]["pope_accuracy"] == pytest.approx(sum(right) / COUNT)
    assert sum(right) > COUNT / 2


@pytest.mark.slow
def test_choices_are_ranked_by_the_model_s_likelihoods(ran, rows, tiny):
    both = ["Yes", "No"]
    with torch.no_grad():
        scored = [tiny.answer_logprobs([[row["image"]]] * 2, [row["question"] + lmms_tasks.WORDING] * 2, both) for row in rows]
    losses = [[-float(each.mean()) for each in pair] for pair in scored]
    logged = samples(ran / "logs", "choosing")
    told = [[float(number) for number, _ in row["filtered_resps"]] for row in logged]
    assert told == [pytest.approx(pair, abs=1e-3) for pair in losses]
    chosen = [both[pair.index(min(pair))].lower() == row["answer"] for pair, row in zip(losses, rows, strict=True)]
    assert results(ran / "logs")["choosing"]["acc"] == pytest.approx(sum(chosen) / COUNT)
    greedy = [[same for _, same in row["filtered_resps"]] for row in logged]
    assert greedy == [[str(answer == word) for word in both] for answer in answers(tiny, rows)]


@pytest.mark.slow
def test_a_chain_of_thought_draws_and_answers_and_a_talk_has_its_rounds(ran):
    assert results(ran / "logs")["talking"]["rounds"] == 2
    assert {row["filtered_resps"] for row in samples(ran / "logs", "chained")} == {"Yes", "No"}
    drawn = sorted((ran / "logs" / "suder_bench" / "tiny-janus" / "chained").glob("*.png"))
    assert len(drawn) == COUNT
    assert len({file.read_bytes() for file in drawn}) == COUNT  # a seed for each document


@pytest.mark.slow
def test_the_page_s_other_command_draws(ran):
    done = run(ran, DRAWN, ["drawing"])
    assert done.returncode == 0, done.stderr
    assert results(ran / "logs")["drawing"]["drawn"] == 1
    files = [json.loads(row["filtered_resps"])["images"][0] for row in samples(ran / "logs", "drawing")]
    assert len({Path(file).read_bytes() for file in files}) == COUNT


@pytest.mark.slow
def test_a_mistake_ends_lmms_eval_with_one_line(ran, monkeypatch, capsys):
    words = shlex.split(ANSWERED.replace("tiny-janus", "tiny-jnaus").replace("pope,mmbench_en_dev,seedbench_ppl", "yesno"))
    monkeypatch.chdir(ran)
    monkeypatch.setattr(sys, "argv", ["lmms-eval", *words, "--include_path", str(ran)])
    with pytest.raises(SystemExit) as end:
        dispatch.main()
    assert end.value.code == 2
    told = capsys.readouterr().err
    assert told.splitlines()[-1].startswith("suder_bench: unknown model 'tiny-jnaus'; did you mean 'tiny-janus'?")
    assert "Traceback" not in told


def asked(*shades: int, task: str = "shades", **settings: Any) -> list[Any]:
    """Requests for the shade of a picture each."""
    return [
        SimpleNamespace(args=(f"shade {shade}", settings, lambda doc: [fake_models.flat(doc)], number, task, "test"))
        for number, shade in enumerate(shades)
    ]


def fake(*shades: int, model: str = "fake:right", task: str = "shades", **given: Any) -> SuderBench:
    """A fake model that knows the documents, which are shades."""
    words = ",".join(f"{name}={value}" for name, value in {"pretrained": model, **given}.items())
    made = SuderBench.create_from_arg_string(words, {"batch_size": 1, "device": None, "max_batch_size": None})
    made.task_dict = {task: {"test": list(shades)}}
    return made


@pytest.mark.usefixtures("fakes")
def test_answers_come_as_they_are_made():
    model = fake(10, 20, 30, 40, 50, batch_size=2)
    stream = iter(model.generate_until(asked(10, 20, 30, 40, 50)))
    assert next(stream) == "10"
    assert len(model._model.batches) == 1
    assert list(stream) == ["20", "30", "40", "50"]
    assert [len(batch) for batch in model._model.batches] == [2, 2, 1]


@pytest.mark.usefixtures("fakes")
def test_a_run_that_broke_off_goes_on_from_lmms_eval_s_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LMMS_CACHE_RUN_ID", "one")
    shades = (10, 20, 30, 40, 50)
    requests = [
        Instance("generate_until", request.args, 0, {"task": "shades", "doc_id": number, "repeats": 1})
        for number, request in enumerate(asked(*shades))
    ]

    def answers(model: SuderBench) -> list[str]:
        cache = ResponseCache.create(str(tmp_path), model="suder_bench", model_args="pretrained=fake")
        try:
            return cache.execute(model, "generate_until", requests)
        finally:
            cache.finalize(success=False)

    first = fake(*shades, batch_size=2)
    first._model.interrupt_after = 1
    with pytest.raises(KeyboardInterrupt):
        answers(first)
    second = fake(*shades, batch_size=2)
    assert answers(second) == ["10", "20", "30", "40", "50"]
    assert second._model.batches == [["shade 30", "shade 40"], ["shade 50"]]


@pytest.mark.usefixtures("fakes")
def test_batches_hold_one_way_of_writing_and_shrink_where_memory_is_full():
    model = fake(10, 20, 30)
    model._model.largest = 1
    mixed = [*asked(10, 20), *asked(10, 20, 30, max_new_tokens=3)[2:]]
    assert list(model.generate_until(mixed)) == ["10", "20", "30"]
    assert [len(batch) for batch in model._model.batches] == [2, 1, 1, 1]


@pytest.mark.usefixtures("fakes")
def test_questions_that_fail_are_told_and_end_it_before_any_number(capsys):
    model = fake(10, 20, 30)
    model._model.bad = ("shade 20",)
    taken = []
    with pytest.raises(SystemExit) as end:
        taken.extend(model.generate_until(asked(10, 20, 30)))
    assert end.value.code == 1
    assert taken == ["10", ""]
    told = capsys.readouterr().err
    assert "failed: shades test-1: RuntimeError('a bad prompt')" in told
    assert "1 of 3 requests have no answer, which lmms-eval counts as a wrong one; allow_missing=1 in --model_args" in told


@pytest.mark.usefixtures("fakes")
def test_so_many_may_fail_as_the_user_says(capsys):
    model = fake(10, 20, 30, allow_missing=1)
    model._model.bad = ("shade 20",)
    assert list(model.generate_until(asked(10, 20, 30))) == ["10", "", "30"]
    assert "1 of 3 requests have no answer" in capsys.readouterr().err


@pytest.mark.usefixtures("fakes")
def test_pictures_are_files_named_by_what_they_show(tmp_path):
    model = fake(10, 20, mode="generation", pictures=tmp_path)
    made = [json.loads(one) for one in model.generate_until(asked(10, 20))]
    assert [one["text"] for one in made] == ["", ""]
    files = [Path(file) for one in made for file in one["images"]]
    assert [Image.open(file).getpixel((0, 0)) for file in files] == [(10, 10, 10), (20, 20, 20)]
    assert {file.parent for file in files} == {tmp_path / "right" / "shades"}


@pytest.mark.usefixtures("fakes")
def test_a_task_that_is_known_to_want_pictures_gets_them(tmp_path):
    model = fake(10, task="ueval", pictures=tmp_path)
    [made] = model.generate_until(asked(10, task="ueval"))
    assert json.loads(made)["text"] == "10"
    assert len(json.loads(made)["images"]) == 1
    model = fake(10, task="ueval", mode="understanding")
    assert model.generate_until(asked(10, task="ueval")) == ["10"]


@pytest.mark.usefixtures("fakes")
@pytest.mark.parametrize(
    ("task", "call", "says"),
    [
        ("imgedit", "generate_until", "imgedit: what is asked for is the question's own picture, edited"),
        ("shades", "generate_visual_cot", "shades: asks for pictures and words in turns"),
        ("shades", "loglikelihood", "model 'fake:right' tells no likelihoods of answers, which shades asks for"),
    ],
)
def test_what_a_model_cannot_do_is_refused_before_anything_is_asked(capsys, task, call, says):
    model = fake(10, task=task)
    requests = asked(10, task=task)
    if call == "loglikelihood":
        requests = [SimpleNamespace(args=("shade", "10", *request.args[2:])) for request in requests]
    with pytest.raises(SystemExit) as end:
        list(getattr(model, call)(requests))
    assert end.value.code == 2
    assert capsys.readouterr().err.startswith(f"suder_bench: {says}")
    assert model._model.batches == []


@pytest.mark.usefixtures("fakes")
def test_a_task_of_videos_is_refused_at_its_first_question(capsys):
    requests = [SimpleNamespace(args=("What happens?", {}, lambda doc: ["clip.mp4"], 0, "videos", "test"))]
    with pytest.raises(SystemExit):
        fake(10, task="videos").generate_until(requests)
    assert "videos shows str 'clip.mp4'" in capsys.readouterr().err
