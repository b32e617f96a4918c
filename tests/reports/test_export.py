"""What `export` writes is what the hub reads: its own client's classes take every file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from fake_runs import FOREIGN, summary, write_run
from huggingface_hub import ModelCard, ModelCardData, parse_eval_result_entries
from huggingface_hub.repocard_data import model_index_to_eval_results

from suder_bench.cli import main
from suder_bench.errors import UserError
from suder_bench.reports.export import export
from suder_bench.runs import commands
from suder_bench.runs.recomputed import Recomputed
from suder_bench.runs.store import RunFolder


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = write_run(tmp_path / "r", summary(value=0.512345678, model="org/my-model"))
    commands.begin(RunFolder(folder))
    commands.end(RunFolder(folder), complete=True)
    return folder


def exported(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert main(["export", *words, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_the_hub_s_own_classes_read_what_is_written(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = run.parent / "out"
    words = ["--dataset", "geneval=org/geneval#overall", "--source-url", "https://x.example/runs", "--source-name", "the run"]
    found = exported(capsys, str(run), "--out", str(out), *words)
    assert all(Path(file).is_file() for file in found["files"])
    entries = {}
    for file in (out / ".eval_results").iterdir():
        [entries[file.stem]] = parse_eval_result_entries(yaml.safe_load(file.read_text()))
    assert sorted(entries) == ["geneval", "hallusionbench", "llavabench", "mmbench", "pope", "seedbench"]
    geneval, pope = entries["geneval"], entries["pope"]
    assert (geneval.dataset_id, geneval.task_id, geneval.value) == ("org/geneval", "overall", 0.512346)
    assert (geneval.source_url, geneval.source_name) == ("https://x.example/runs", "the run")
    assert (pope.dataset_id, pope.task_id) == ("lmms-lab/POPE", "default")
    assert len(str(pope.dataset_revision)) == 40
    assert geneval.date == commands.read(run)[-1]["ended"]
    assert "n 400, 95 % interval 0.502 to 0.522; protocol official; judges judge official" in str(geneval.notes)
    assert [line for line in found["left_out"] if "t2i-compbench is in no .eval_results" in line] == found["left_out"]


def test_the_card_s_metadata_and_table(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = run.parent / "out"
    exported(capsys, str(run), "--out", str(out), "--model", "my-model")
    index, table = (out / "model-index.yaml").read_text(), (out / "model-card.md").read_text()
    read = ModelCard(f"---\n{index}---\n{table}")
    assert isinstance(read.data, ModelCardData)
    name, results = model_index_to_eval_results(read.data.to_dict()["model-index"])
    assert name == "my-model"
    assert {(one.dataset_name, one.task_type) for one in results} >= {
        ("geneval", "text-to-image"),
        ("pope", "image-text-to-text"),
    }
    [geneval] = [one for one in results if one.dataset_name == "geneval"]
    assert geneval.metric_value == 0.512346
    assert geneval.metric_args is not None
    assert geneval.metric_args["n"] == 400
    assert geneval.metric_args["interval_95"] == [0.502346, 0.522346]
    rows = [line for line in table.splitlines() if line.startswith("| geneval ")]
    assert "| 0.512 | 0.502 to 0.522 | 400 | official | judge official |" in rows[0]
    assert len(rows) > 5
    assert "\\*" not in table


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"world": True}, "scored on the embedded world"),
        ({"judge": FOREIGN}, "judge judge is open-clip, not the benchmark's own"),
        ({"limit": 100}, "only some of the samples (--limit 100)"),
        ({"deviations": ["prompts were rewritten"]}, "prompts were rewritten"),
        ({"protocol": "strict"}, "protocol strict"),
        ({"failed": 3}, "not all responses are there and judged; 3 failed"),
        ({"skipped": 300}, "not all responses are there and judged; 300 skipped"),
    ],
)
def test_what_is_not_comparable_is_in_the_table_alone_and_marked(tmp_path: Path, changes: dict[str, Any], why: str) -> None:
    found = export(write_run(tmp_path / "r", summary("geneval", **changes)), {})
    assert list(found.files) == ["model-card.md"]
    assert found.left_out[0].startswith("geneval is in model-card.md alone: ")
    assert why in found.left_out[0]
    assert "0.500 \\*" in found.files["model-card.md"]
    assert "not comparable with published numbers" in found.files["model-card.md"]


def test_names_break_no_table(tmp_path: Path) -> None:
    judge = {"backend": "a|b\n# c", "exact": True, "fingerprint": "1"}
    table = export(write_run(tmp_path / "r", summary("geneval", judge=judge)), {}).files["model-card.md"]
    assert "a\\|b # c" in table
    assert len({line.replace("\\|", "").count("|") for line in table.splitlines() if line.startswith("|")}) == 1


def test_mistakes_are_told_in_a_line(run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for words, message in (
        (["--dataset", "geneval"], "is not BENCHMARK=ORG/NAME#TASK"),
        (["--dataset", "geneval=geneval#x"], "is not BENCHMARK=ORG/NAME#TASK"),
        (["--dataset", "wise=a/b#c"], "which"),
        (["--source-name", "x"], "give --source-url URL too"),
    ):
        assert main(["export", str(run), *words]) == 2
        assert message in capsys.readouterr().err
    (run / "recipe.yaml").write_text("model: x\n")
    assert main(["export", str(run)]) == 2
    assert "is a training run" in capsys.readouterr().err
    (run / "recipe.yaml").unlink()
    written = json.loads((run / "summary.json").read_text())
    untold = Recomputed(written, {"geneval": "its data are not here"}), set[str]()
    monkeypatch.setattr("suder_bench.runs.recomputed._recomputed", lambda *asked: untold)
    with pytest.raises(UserError, match="geneval cannot be exported, its verdicts cannot tell: its data are not here"):
        export(run, {})
