"""`suder-bench track` as a user meets it."""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path

import pytest
from fake_training import FakeRun, Painter
from models.tiny import tiny_image_processor, tiny_janus_model, tiny_tokenizer

from suder_bench.cli import main
from suder_bench.training import curves

DRAW = curves.draw


@pytest.fixture
def run(tmp_path: Path, fakes: None, monkeypatch: pytest.MonkeyPatch) -> FakeRun:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    monkeypatch.setattr("fakes.FakeModel.load", classmethod(lambda cls, reference, **_: Painter.load(reference)))
    monkeypatch.setattr("suder_bench.training.track.POLL", 0.01)
    monkeypatch.setattr(curves, "draw", lambda points, rewards, file, title: file.write_bytes(b"a picture"))
    return FakeRun(Path("r"))


def track(*arguments: str, benchmarks: tuple[str, ...] = ("drawing",)) -> int:
    chosen = [word for name in benchmarks for word in ("--benchmark", name)]
    return main(["track", "r", "--device", "cpu", "--data", "data", *chosen, *arguments])


def test_it_ends_with_a_table_of_headlines_and_paired_differences(run: FakeRun, capsys: pytest.CaptureFixture[str]) -> None:
    run.begin().checkpoint(20, 1.0)
    assert track() == 0
    shown = capsys.readouterr()
    header, columns, line, start, last, *_, pictures = shown.out.splitlines()
    assert header == "drawing overall"
    assert columns.split() == ["step", "value", "95", "%", "interval", "-", "step", "0", "95", "%", "interval", "n"]
    assert set(line) == {"-"}
    assert start.split()[:2] == ["0", "0.250"]
    assert last.split()[:2] == ["20", "1.000"]
    assert "+0.750" in last
    assert max(map(len, shown.out.splitlines())) <= 80
    assert pictures == "curves  r/evaluations/curves.png"
    assert shown.err.splitlines() == [
        "step 0, drawing: evaluating fake:start, 1 more to do",
        "step 20, drawing: evaluating r/checkpoint-20, 0 more to do",
    ]


def test_json_holds_the_same_numbers(run: FakeRun, capsys: pytest.CaptureFixture[str]) -> None:
    run.begin().checkpoint(20, 1.0)
    assert track("--json", benchmarks=("drawing", "reading")) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["run"], found["model"], found["strategy"], found["state"]) == ("r", "fake:start", "unified", "stopped")
    assert (found["world"], found["failures"]) == (False, {})
    assert found["curves"] == {"csv": "r/evaluations/curves.csv", "png": "r/evaluations/curves.png"}
    drawing = found["benchmarks"]["drawing"]
    assert (drawing["suite"], drawing["headline"]) == ("drawing+reading", "overall")
    start, last = drawing["steps"]
    assert (start["step"], start["value"], start["n"], start["to_start"]) == (0, 0.25, 24, None)
    assert last["run"] == "r/evaluations/step-20/drawing+reading"
    assert last["to_start"]["difference"] == 0.75
    assert 0.4 < last["to_start"]["low"] < 0.75 < last["to_start"]["high"] <= 1
    assert found["benchmarks"]["reading"]["steps"][1]["to_start"]["difference"] == 1.0


def test_the_last_checkpoint_alone_is_evaluated(run: FakeRun, capsys: pytest.CaptureFixture[str]) -> None:
    run.begin().checkpoint(20, 0.5)
    run.checkpoint(40, 1.0)
    assert track("--last") == 0
    assert run.skills("drawing", "drawing") == {40: 1.0}
    assert capsys.readouterr().err == "step 40, drawing: evaluating r/checkpoint-40, 0 more to do\n"


def test_each_model_of_the_separate_strategy_has_a_last_checkpoint(run: FakeRun) -> None:
    run.begin(strategy="separate").checkpoint(20, 0.5, "gen")
    run.checkpoint(40, 1.0, "gen")
    run.checkpoint(30, 1.0, "und")
    assert track("--last", benchmarks=("drawing", "reading")) == 0
    assert (run.skills("drawing", "drawing"), run.skills("reading", "reading")) == ({40: 1.0}, {30: 1.0})


def test_last_and_follow_exclude_each_other(run: FakeRun, capsys: pytest.CaptureFixture[str]) -> None:
    run.begin().checkpoint(20, 1.0)
    assert track("--last", "--follow") == 2
    assert capsys.readouterr().err.startswith("suder-bench: --last and --follow exclude each other")


def test_the_same_command_again_does_nothing_and_says_so(run: FakeRun, capsys: pytest.CaptureFixture[str]) -> None:
    run.begin().checkpoint(20, 1.0)
    track()
    first = capsys.readouterr().out
    assert track() == 0
    shown = capsys.readouterr()
    assert shown.out == first
    assert shown.err == "evaluated before: drawing at steps 0, 20\n"


def test_the_csv_grows_with_every_evaluation(run: FakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    run.begin().checkpoint(20, 1.0)
    steps = []
    write = curves.write_csv
    monkeypatch.setattr(curves, "write_csv", lambda points, file: (steps.append({p.step for p in points}), write(points, file)))
    assert track() == 0
    assert steps[:2] == [{0}, {0, 20}]
    lines = Path("r/evaluations/curves.csv").read_text().splitlines()
    assert lines[0] == "step,suite,benchmark,metric,value,low,high,n"
    assert len(lines) == 1 + 2 * 4
    assert lines[1].startswith("0,drawing,drawing,overall,0.25,")


def test_all_models_get_the_same_settings(run: FakeRun) -> None:
    run.begin().checkpoint(20, 1.0)
    wanted = ["--seed", "7", "--limit", "6", "--repeats", "1", "--guidance", "2", "--judge", "shade=black", "--out", "e"]
    assert track(*wanted) == 0
    for step in (0, 20):
        recipe = json.loads(Path(f"e/step-{step}/drawing/run.json").read_text())
        assert (recipe["seed"], recipe["limit"], recipe["repeats"]) == (7, 6, 1)
        assert recipe["sampling"]["image"] == {"temperature": 1.0, "guidance": 2.0}
        assert recipe["judges"]["drawing"]["shade"]["backend"] == "black"


def test_following_waits_for_checkpoints_and_the_end(run: FakeRun, capsys: pytest.CaptureFixture[str]) -> None:
    run.begin()

    def train() -> None:
        while not Path("r/evaluations/step-0/drawing/summary.json").is_file():
            time.sleep(0.01)
        run.checkpoint(20, 1.0)
        run.finish(20)

    thread = threading.Thread(target=train)
    with run.training():
        thread.start()
        assert track("--follow") == 0
        thread.join()
    assert run.skills("drawing", "drawing") == {0: 0.25, 20: 1.0}


def test_training_that_stopped_is_told_after_what_is_there(run: FakeRun, capsys: pytest.CaptureFixture[str]) -> None:
    run.begin().checkpoint(20, 1.0)
    assert track("--follow") == 1
    shown = capsys.readouterr()
    assert shown.err.splitlines()[-1] == (
        "suder-bench: training stopped before its end; go on with: suder-bench train --out r --resume"
    )
    assert "drawing overall" in shown.out
    run.finish(20)
    assert track("--follow") == 0


def test_a_damaged_checkpoint_is_told_and_ends_with_1(run: FakeRun, capsys: pytest.CaptureFixture[str]) -> None:
    run.begin().checkpoint(20, "torn")
    run.checkpoint(40, 1.0)
    assert track("--json") == 1
    shown = capsys.readouterr()
    found = json.loads(shown.out)
    assert [row["step"] for row in found["benchmarks"]["drawing"]["steps"]] == [0, 40]
    assert list(found["failures"]) == ["step 20, drawing"]
    assert "suder-bench: step 20, drawing: r/checkpoint-20 cannot be loaded (header too large); it is left out\n" in shown.err


def test_without_matplotlib_the_csv_is_there_and_one_line_tells(
    run: FakeRun, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(curves, "draw", DRAW)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    run.begin().checkpoint(20, 1.0)
    assert track() == 1
    shown = capsys.readouterr()
    told = [line for line in shown.err.splitlines() if "matplotlib" in line]
    assert told == ['suder-bench: r/evaluations/curves.png needs matplotlib; pip install -c constraints.txt ".[train]"']
    assert shown.out.endswith("curves  r/evaluations/curves.csv\n")
    assert len(Path("r/evaluations/curves.csv").read_text().splitlines()) == 9


def test_ctrl_c_says_that_the_same_command_goes_on(
    run: FakeRun, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run.begin().checkpoint(20, 1.0)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(curves, "write_csv", interrupt)
        assert track() == 130
    assert "suder-bench: interrupted; the same command goes on from here (r/evaluations)" in capsys.readouterr().err
    assert track() == 0


def mistakes(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["track", *arguments]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.count("\n") == 1
    return shown.err


def test_mistakes_are_told_in_one_line(run: FakeRun, capsys: pytest.CaptureFixture[str]) -> None:
    assert "'r' is not a training run (it does not exist)" in mistakes(capsys, "r", "--suite", "gen")
    Path("r").mkdir()
    assert "'r' is not a training run (no recipe.yaml)" in mistakes(capsys, "r", "--suite", "gen")
    Path("r").rmdir()
    run.begin()
    assert "unknown suite 'gn'; did you mean 'gen'?" in mistakes(capsys, "r", "--suite", "gn")
    assert "nothing to run" in mistakes(capsys, "r")
    stopped = "r has no checkpoint, and nothing is training there; go on with: suder-bench train --out r --resume"
    assert stopped in mistakes(capsys, "r", "--benchmark", "drawing", "--follow")
    with run.training():
        assert "r has no checkpoint yet; --follow waits for it" in mistakes(capsys, "r", "--benchmark", "drawing")
    run.finish(0)
    assert "r has no checkpoint\n" in mistakes(capsys, "r", "--benchmark", "drawing")
    run.checkpoint(10, 0.5)
    place = ["--device", "cpu", "--data", "data"]
    assert "unknown judge role 'shad'" in mistakes(capsys, "r", "--benchmark", "drawing", "--judge", "shad=black", *place)


def test_a_changed_seed_is_refused_before_any_checkpoint_is_evaluated(run: FakeRun, capsys: pytest.CaptureFixture[str]) -> None:
    run.begin().checkpoint(20, 1.0)
    track()
    run.checkpoint(40, 1.0)
    capsys.readouterr()
    assert track("--seed", "1") == 2
    shown = capsys.readouterr()
    assert shown.err == (
        "suder-bench: r/evaluations/step-0/drawing was made with seed 0, not 1;"
        " start over with --fresh, or choose another --out\n"
    )
    assert not Path("r/evaluations/step-40").exists()
    assert track("--seed", "1", "--fresh") == 0
    assert track("--seed", "1") == 0


def test_checkpoints_of_a_world_model_are_measured_on_the_world(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for seed, folder in enumerate((Path("start"), Path("r/checkpoint-5"))):
        model = tiny_janus_model(seed=seed)
        model.config.suder_bench_world = True
        model.generation_config.guidance_scale = 2.0
        model.save_pretrained(folder)
        tiny_tokenizer().save_pretrained(folder)
        tiny_image_processor().save_pretrained(folder)
    Path("r/checkpoint-5/trainer_state.json").write_text("{}")
    Path("r/recipe.yaml").write_text("model: start\nstrategy: unified\n")
    capsys.readouterr()  # what other packages say while the weights are saved
    assert main(["track", "r", "--benchmark", "geneval", "--limit", "2", "--repeats", "1", "--device", "cpu", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["world"]
    assert [row["step"] for row in found["benchmarks"]["geneval"]["steps"]] == [0, 5]
    for step in (0, 5):
        recipe = json.loads(Path(f"r/evaluations/step-{step}/geneval/run.json").read_text())
        assert (recipe["world"], recipe["sampling"]["image"]["guidance"]) == (True, 2.0)
    assert Path("r/evaluations/curves.png").read_bytes()[:4] == b"\x89PNG"
