"""Tasks of lmms-eval as benchmarks of a run, offline, over local data."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import fakes
import pytest
from lmms_world import config
from PIL import Image

from suder_bench.cli import main
from suder_bench.models.protocols import GeneratedImage, TextSampling
from suder_bench.reports.site.documents import build
from suder_bench.runs.store import RunFolder

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("fakes"),
    pytest.mark.skipif(find_spec("lmms_eval") is None, reason="needs the extra lmms, in an environment of its own"),
]

UTILS = """
def look(doc):
    return [doc["image"].convert("RGB")]

def crop(doc):
    return [doc["image"].convert("RGB").crop((0, 0, 4, 4))]

def film(doc):
    return [doc["set"] + ".mp4"]

def ask(doc, lmms_eval_specific_kwargs=None):
    return f"Which shade has {doc['set']}?"

def chain(doc, lmms_eval_specific_kwargs=None):
    return f"[GEN_PROMPT]a shade of {doc['shade']}[/GEN_PROMPT][QUESTION]{ask(doc)} Look again.[/QUESTION]"

def turns(doc, lmms_eval_specific_kwargs=None):
    return ask(doc)

def judge(doc, results):
    score = float(results[0] == doc["shade"])
    half = "dark" if int(doc["shade"]) < 128 else "light"
    return {"right": score, half: {"score": score, "pred": results[0]}, "kept": results[0]}

def field(results):
    return sum(one["score"] for one in results) / len(results)

def submission(results, args):
    with open(args.output_path + "/submission.json", "w") as stream:
        stream.write(str(results))
    with open("here.json", "w") as stream:
        stream.write(str(results))
    print("stored")

def choices(doc):
    return ["0", "17"]
"""

TASK: dict[str, Any] = {
    "test_split": "test",
    "output_type": "generate_until",
    "doc_to_visual": "!function utils.look",
    "doc_to_text": "!function utils.ask",
    "doc_to_target": "shade",
    "process_results": "!function utils.judge",
    "generation_kwargs": {"max_new_tokens": 16, "temperature": 0, "until": ["STOP"]},
    "metric_list": [
        {"metric": "kept", "aggregation": "!function utils.submission"},
        {"metric": "right", "aggregation": "mean"},
        {"metric": "dark", "aggregation": "!function utils.field"},
        {"metric": "light", "aggregation": "!function utils.field"},
    ],
}

TASKS: dict[str, dict[str, Any]] = {
    "shade": {"cluster_key": "set"},
    "shade_crop": {"doc_to_visual": "!function utils.crop"},
    "shade_cot": {
        "output_type": "generate_visual_cot",
        "doc_to_text": "!function utils.chain",
        "generation_kwargs": {"visual_cot": True},
    },
    "shade_turns": {"output_type": "generate_visual_cot", "generation_kwargs": {"visual_cot": True}},
    "shade_film": {"doc_to_visual": "!function utils.film"},
    "shade_choice": {
        "output_type": "multiple_choice",
        "doc_to_choice": "!function utils.choices",
        "generation_kwargs": None,
        "process_results": None,
        "metric_list": [{"metric": "acc"}],
    },
    "shade_twice": {"repeats": 2},
    "shade_gone": {"dataset_path": "nowhere/at-all", "dataset_kwargs": {"load_from_disk": True}},
    "gedit_bench_shade": {},
}


class Reads:
    """A model without hands."""

    name, fingerprint = "reads", "1"

    def __init__(self) -> None:
        self.settings: dict[str, str] = {}

    def answer(self, images: Sequence[Any], questions: Sequence[str], **_: Any) -> list[str]:
        return [""] * len(questions)


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from datasets import Dataset, DatasetDict, Image

    folder = tmp_path_factory.mktemp("tasks")
    rows = [
        {
            "set": f"set {number // 2}",
            "shade": str(17 * number % 256),
            "image": {"bytes": fakes.encoded(17 * number % 256), "path": None},
        }
        for number in range(40)
    ]
    DatasetDict({"test": Dataset.from_list(rows).cast_column("image", Image())}).save_to_disk(folder / "data")
    (folder / "utils.py").write_text("from PIL import Image\n" + UTILS)
    for name, changed in TASKS.items():
        known = {"task": name, "dataset_path": str(folder / "data"), "dataset_kwargs": {"load_from_disk": True}}
        config(folder / f"{name}.yaml", {key: value for key, value in {**known, **TASK, **changed}.items() if value is not None})
    config(folder / "shades.yaml", {"group": "shades", "task": ["shade", {"group": "cut", "task": ["shade_crop"]}]})
    return folder


def run(tasks: Path, out: Path, suite: str, *more: str, model: str = "fake:right") -> int:
    return main(["run", "--model", model, "--suite", suite, "--data", str(tasks), "--out", str(out), "--device", "cpu", *more])


def summary(out: Path) -> Any:
    return json.loads((out / "summary.json").read_text())["benchmarks"]


def test_a_group_is_run_scored_and_resumed(
    tasks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "run"
    bad = ("Which shade has set 3?",)
    monkeypatch.setattr("fakes.FakeModel.load", classmethod(lambda cls, *_, **__: cls(bad=bad)))
    assert run(tasks, out, "lmms:shades") == 1
    assert {name: (entry["n_responses"], entry["failed"]) for name, entry in summary(out).items()} == {
        "lmms:shade": (38, 2),
        "lmms:shade_crop": (38, 2),
    }
    monkeypatch.setattr("fakes.FakeModel.load", classmethod(lambda cls, *_, **__: cls()))
    assert run(tasks, out, "lmms:shades") == 0
    told = capsys.readouterr()
    assert "resuming: 76 of 80 done" in told.err
    assert "stored" not in told.out
    found = summary(out)["lmms:shade"]
    assert (found["headline"], list(found["metrics"])) == ("right", ["right", "dark", "light"])
    assert [found["metrics"][name]["value"] for name in found["metrics"]] == [1.0] * 3
    assert [found["metrics"][name]["n"] for name in found["metrics"]] == [40, 22, 18]
    entry = RunFolder(out).read()["benchmarks"]["lmms:shade"]
    assert entry["text"] == {"temperature": 0.0, "max_new_tokens": 16}
    assert entry["rules"].startswith("lmms-eval 0.")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["run"]


def test_intervals_go_by_the_clusters_that_the_task_names(tasks: Path, tmp_path: Path) -> None:
    from suder_bench import registry, stats

    assert run(tasks, tmp_path / "run", "lmms:shade", model="fake:wrong") == 0
    benchmark = registry.load("benchmarks", "lmms:shade")(tasks)
    samples = benchmark.samples()
    assert [sample.cluster for sample in samples[:3]] == ["set 0", "set 0", "set 1"]
    by_picture = [sample.cluster for sample in registry.load("benchmarks", "lmms:shade_crop")(tasks).samples()]
    assert len(set(by_picture)) == 40
    assert summary(tmp_path / "run")["lmms:shade"]["metrics"]["right"] == stats.Metric(0.0, 0.0, 0.0, 40).document()


def test_two_runs_compare_and_have_pages(tasks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for model in ("right", "wrong"):
        assert run(tasks, tmp_path / model, "lmms:shade", model=f"fake:{model}") == 0
    capsys.readouterr()
    assert main(["compare", str(tmp_path / "wrong"), str(tmp_path / "right"), "--json"]) == 0
    [(name, found)] = json.loads(capsys.readouterr().out)["benchmarks"].items()
    assert name == "lmms:shade"
    assert found["metrics"]["right"]["difference"] == 1.0
    assert main(["score", str(tmp_path / "right")]) == 0
    site = build([tmp_path / "wrong", tmp_path / "right"], [], [], print)
    assert b"lmms:shade" in site.scripts["index"]
    assert b"Which shade has set 0?" in b"".join(site.scripts.values())


def test_a_model_draws_before_it_answers(tasks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def answer(self: Any, images: Sequence[Sequence[Image.Image]], questions: Sequence[str], **_: Any) -> list[str]:
        seen.extend(zip(map(len, images), questions, strict=True))
        return [str(pictures[-1].getpixel((0, 0))[0]) for pictures in images]

    monkeypatch.setattr("fakes.FakeModel.answer", answer)
    assert run(tasks, tmp_path / "run", "lmms:shade_cot") == 0
    assert seen[0] == (2, "Which shade has set 0? Look again.")
    assert summary(tmp_path / "run")["lmms:shade_cot"]["metrics"]["right"]["value"] == 1.0


def test_unig2u_s_own_tasks_ask_with_and_without_drawing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from datasets import Dataset, DatasetDict, Image
    from lmms_eval import tasks as own

    picture = {"bytes": fakes.encoded(7), "path": None}
    rows = [
        {
            "image": picture,
            "question": f"How high is bar {number}?",
            "answer": "7",
            "type": ("human_test", "augmented_test")[number % 3 > 0],
        }
        for number in range(12)
    ]
    found = Dataset.from_list(rows).cast_column("image", Image())
    DatasetDict({"train": found}).save_to_disk(tmp_path / "data")
    for name in ("chartqa100", "chartqa100_visual_cot"):
        include = str(Path(own.__file__).parent / "unig2u" / "chartqa100" / f"{name}.yaml")
        known = {"include": include, "task": f"here_{name}", "dataset_path": str(tmp_path / "data")}
        config(tmp_path / f"{name}.yaml", {**known, "dataset_kwargs": {"load_from_disk": True}})
    drawn: list[str] = []
    seen: list[tuple[int, str]] = []

    def generate(self: Any, prompts: Sequence[str], **_: Any) -> list[GeneratedImage]:
        drawn.extend(prompts)
        return [GeneratedImage(fakes.flat(0)) for _ in prompts]

    def answer(self: Any, images: Sequence[Sequence[Any]], questions: Sequence[str], **_: Any) -> list[str]:
        seen.extend(zip(map(len, images), questions, strict=True))
        return ["7.2" if "bar 0" in question else "5" for question in questions]

    monkeypatch.setattr("fakes.FakeModel.generate", generate)
    monkeypatch.setattr("fakes.FakeModel.answer", answer)
    assert run(tmp_path, tmp_path / "run", "lmms:here_chartqa100,here_chartqa100_visual_cot") == 0
    assert {count for count, _ in seen[:12]} == {1}
    assert {count for count, _ in seen[12:]} == {2}
    assert "In addition to the original chart" in seen[12][1]
    assert len(drawn) == 12
    assert drawn[0].startswith("Based on this chart")
    for entry in summary(tmp_path / "run").values():
        values = {name: (metric["value"], metric["n"]) for name, metric in entry["metrics"].items()}
        assert values == {"relaxed_overall": (1 / 12, 12), "relaxed_human_split": (1 / 4, 4), "relaxed_augmented_split": (0.0, 8)}


def test_a_model_that_cannot_draw_is_refused_by_the_task_s_name(
    tasks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("fakes.FakeModel.load", classmethod(lambda cls, *_, **__: Reads()))
    assert run(tasks, tmp_path / "run", "lmms:shade_cot") == 2
    assert "'reads' draws no pictures, which lmms:shade_cot wants before its answers" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("suite", "told"),
    [
        ("lmms:shade_film", "lmms:shade_film: question 0 shows a str, and models here see pictures"),
        ("lmms:shade_choice", "lmms:shade_choice asks for likelihoods, not for answers"),
        ("lmms:shade_twice", "lmms:shade_twice asks each question 2 times"),
        ("lmms:shade_turns", "lmms:shade_turns: asks for pictures and words in turns"),
        ("lmms:shade_gone", "lmms:shade_gone cannot be loaded (FileNotFoundError"),
        ("lmms:gedit_bench_shade", "gedit_bench_shade: what is asked for is the question's own picture, edited"),
        ("lmms:shad", "lmms-eval has no task or group 'shad'"),
        ("lmms:shades,-shade,-shade_crop", "suite 'lmms:shades,-shade,-shade_crop' leaves all its tasks out"),
        ("lmms:", "suite 'lmms:' lacks a name"),
        ("lmms:shade,", "suite 'lmms:shade,' lacks a name"),
    ],
)
def test_what_cannot_be_run_is_told_in_one_line(
    tasks: Path, tmp_path: Path, suite: str, told: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # lmms-eval tries again and again
    assert run(tasks, tmp_path / "run", suite) == 2
    [line] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("suder-bench: ")]
    assert told in line


def test_answers_of_lmms_eval_s_log_are_scored(tasks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "samples.jsonl"
    rows = [
        {"doc_id": number, "resps": [f" {17 * number % 256} STOP and more"], "filtered_resps": ""}
        for number in reversed(range(40))
    ]
    log.write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = ["score", "--benchmark", "lmms:shade", "--answers", str(log), "--data", str(tasks), "--json"]
    assert main(command) == 0
    assert json.loads(capsys.readouterr().out)["benchmarks"]["lmms:shade"]["metrics"]["right"]["value"] == 1.0
    log.write_text("".join(json.dumps(row) + "\n" for row in rows[1:]))
    assert main(command) == 2
    assert "39 answers to 40 questions of lmms:shade" in capsys.readouterr().err


def test_pictures_are_the_task_s_own_and_are_not_decoded_to_be_counted(tasks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from suder_bench import registry
    from suder_bench.lmms.benchmark import Loaded
    from suder_bench.records import open_image

    decoded: list[int] = []
    pictures = Loaded.pictures
    monkeypatch.setattr(Loaded, "pictures", lambda self, number: (decoded.append(number), pictures(self, number))[1])
    benchmark = registry.load("benchmarks", "lmms:shade")(tasks)
    samples = benchmark.samples()
    assert decoded == []
    assert open_image(samples[3].images[0]).getpixel((0, 0)) == (51, 51, 51)
    assert decoded == [3]
    assert benchmark.text_sampling == TextSampling(0.0, 16)


def test_listing_shows_tasks_groups_and_yours(tasks: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--lmms", "*shade*", "--data", str(tasks), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["lmms"]
    assert found["lmms:shades"] == ["shade", "cut"]
    assert found["lmms:shade_cot"].startswith("draws, then answers; ")
    assert main(["list", "--lmms", "unig2u*"]) == 0
    told = capsys.readouterr().out
    assert "lmms:unig2u_GtA" in told
    assert "lmms:unig2u_chartqa100_visual_cot" in told


def test_groups_of_unig2u_hold_tasks_that_answer_and_tasks_that_draw_first() -> None:
    from suder_bench import suites
    from suder_bench.lmms.catalogue import listed

    known = listed("unig2u*", None)
    _, answers = suites.choose("lmms:unig2u")
    _, draws = suites.choose("lmms:unig2u_GtA")
    assert (len(answers), len(draws)) == (31, 31)
    assert {known[name].partition(";")[0] for name in answers} == {"answers"}
    assert {known[name].partition(";")[0] for name in draws} == {"draws, then answers"}
