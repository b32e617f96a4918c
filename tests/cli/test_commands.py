"""The command line as a user meets it: exit statuses, one-line mistakes, what goes to stdout."""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from suder_bench import registry
from suder_bench.about import ABOUT
from suder_bench.cli import dispatch, main, options
from suder_bench.errors import JudgeError, UserError
from suder_bench.runs.execute import Run
from suder_bench.suites import SUITES

MACHINE = ("--device", "cpu", "--data", str(Path(__file__).parent))


@pytest.fixture
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fakes: None) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> int:
    return main(["run", "--model", "fake:right", *MACHINE, *arguments])


def test_a_run_prints_its_table_and_leaves_its_folder(in_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--benchmark", "drawing", "--benchmark", "reading") == 0
    shown = capsys.readouterr()
    assert "drawing" in shown.out
    assert "overall" in shown.out
    assert shown.err == f"summary: {Path('runs/right-drawing+reading/summary.json')}\n"
    assert (in_folder / "runs/right-drawing+reading/summary.json").is_file()


def test_json_is_the_summary_alone_on_stdout(in_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--benchmark", "drawing", "--json", "--out", "r") == 0
    assert capsys.readouterr().out == (in_folder / "r/summary.json").read_text()
    assert run("--benchmark", "drawing", "--json", "--out", "r", "--stage", "respond") == 0
    assert json.loads(capsys.readouterr().out)["benchmarks"]["drawing"]["metrics"] == {}


def test_settings_reach_the_recipe(in_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wanted = ["--seed", "7", "--limit", "3", "--repeats", "1", "--guidance", "2", "--temperature", "0", "--batch-size", "2"]
    assert run("--benchmark", "drawing", "--out", "r", "--json", "--judge", "shade=black", *wanted) == 0
    summary = json.loads(capsys.readouterr().out)
    recipe = summary["recipe"]
    assert (recipe["seed"], recipe["limit"], recipe["repeats"], recipe["dtype"]) == (7, 3, 1, "float32")
    assert recipe["sampling"]["image"] == {"temperature": 0.0, "guidance": 2.0}
    assert (summary["model"], summary["suite"], summary["world"]) == ("fake:right", "drawing", False)
    assert summary["benchmarks"]["drawing"]["judges"]["shade"]["backend"] == "black"
    assert recipe["versions"]["suder-bench"]


def test_benchmarks_have_limits_of_their_own(in_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    both = ["--benchmark", "drawing", "--benchmark", "reading", "--out", "r", "--json"]
    assert run(*both, "--limit", "3,reading=2") == 0
    summary = json.loads(capsys.readouterr().out)
    assert {name: one["n_samples"] for name, one in summary["benchmarks"].items()} == {"drawing": 3, "reading": 2}
    assert (summary["recipe"]["limit"], summary["recipe"]["limits"]) == (3, {"reading": 2})
    capsys.readouterr()
    assert run(*both, "--limit", "reading=4") == 0
    assert json.loads(capsys.readouterr().out)["recipe"]["limits"] == {"reading": 4}
    assert run(*both, "--limit", "raeding=4") == 2
    assert "unknown benchmark of --limit 'raeding'; did you mean 'reading'? (choices: " in capsys.readouterr().err


def test_judges_have_a_device_and_a_precision_of_their_own(in_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def load(cls: type, *, device: str, dtype: str, offline: bool) -> object:
        asked.append((device, dtype))
        return cls()

    monkeypatch.setattr("fakes.ShadeJudge.load", classmethod(load))
    assert run("--benchmark", "drawing", "--out", "r", "--judge-dtype", "float16") == 0
    assert main(["score", "r", "--judge-device", "cpu"]) == 0
    assert main(["score", "r", "--device", "cpu", "--judge-dtype", "auto"]) == 0
    pictures = ["--benchmark", "drawing", "--images", "r/images/drawing", "--data", "."]
    assert main(["score", *pictures, "--judge-device", "cpu", "--judge-dtype", "bfloat16"]) == 0
    assert asked == [("cpu", "float16"), ("cpu", "float16"), ("cpu", "auto"), ("cpu", "bfloat16")]
    recipe = json.loads((in_folder / "r/run.json").read_text())
    assert (recipe["judge_device"], recipe["judge_dtype"], recipe["dtype"]) == ("cpu", "auto", "float32")
    assert run("--benchmark", "drawing", "--out", "r", "--judge-device", "cuda:99") == 2


def test_a_changed_seed_is_the_users_mistake(in_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--benchmark", "drawing", "--out", "r") == 0
    capsys.readouterr()
    assert run("--benchmark", "drawing", "--out", "r", "--seed", "1") == 2
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == (
        "",
        "suder-bench: r was made with seed 0, not 1; start over with --fresh, or choose another --out\n",
    )


def test_a_missing_judge_is_a_failure_with_the_responses_kept(in_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--benchmark", "drawing", "--out", "r", "--judge", "shade=missing") == 1
    shown = capsys.readouterr()
    assert shown.err.splitlines()[0] == "suder-bench: judge shade=missing has no weights; get them from nowhere"
    assert len((in_folder / "r/responses/drawing/0.jsonl").read_text().splitlines()) == 24
    assert run("--benchmark", "drawing", "--out", "r", "--judge", "shade=wrong") == 1
    assert "nothing was scored" in capsys.readouterr().err
    assert run("--benchmark", "drawing", "--out", "r", "--judge", "shade=wrong", "--no-known-answers") == 0
    judge = json.loads((in_folder / "r/summary.json").read_text())["benchmarks"]["drawing"]["judges"]["shade"]
    assert (judge["backend"], judge["unchecked"]) == ("wrong", True)


def test_ctrl_c_ends_with_130_and_says_how_to_go_on(
    in_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fakes.FakeModel.interrupt_after", 1)
    monkeypatch.setattr("fakes.FakeModel.load", classmethod(lambda cls, *_, **__: cls(interrupt_after=1)))
    assert run("--benchmark", "drawing", "--out", "r", "--batch-size", "8") == 130
    assert "suder-bench: interrupted; the same command goes on from here (r)" in capsys.readouterr().err
    monkeypatch.setattr("fakes.FakeModel.load", classmethod(lambda cls, *_, **__: cls()))
    assert run("--benchmark", "drawing", "--out", "r") == 0
    assert "resuming: 8 of 24 done" in capsys.readouterr().err


def test_a_dry_run_does_nothing(in_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--benchmark", "drawing", "--limit", "6", "--dry-run") == 0
    shown = capsys.readouterr().out
    part = r"about 0:00 \(0:00 to 0:00, by [0-9]+ timed\)"
    assert re.search(f"  drawing: 6 samples, 12 responses, 0 done; to make: {part}; to judge: {part}\n", shown)
    assert "  in all, besides loading: about 0:00 (0:00 to 0:00)\n" in shown
    assert main(["run", "--model", "folder:nowhere", *MACHINE, "--benchmark", "drawing", "--dry-run"]) == 1
    assert capsys.readouterr().err == "suder-bench: model 'folder:nowhere': no such folder\n"
    assert run("--benchmark", "drawing", "--dry-run", "--judge", "shade=nonsense") == 2
    assert "unknown shade judge 'nonsense'" in capsys.readouterr().err
    assert list(in_folder.iterdir()) == []
    assert run("--benchmark", "drawing", "--out", "r") == 0
    capsys.readouterr()
    assert run("--benchmark", "drawing", "--out", "r", "--dry-run", "--json") == 0
    assert json.loads(capsys.readouterr().out)["benchmarks"]["drawing"]["done"] == 24


def test_a_dry_run_with_a_model_that_cannot_be_loaded_is_no_success(
    in_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(*_: object, **__: object) -> None:
        raise UserError("model 'fake:right' has no weights")

    monkeypatch.setattr("fakes.FakeModel.load", load)
    assert run("--benchmark", "drawing", "--dry-run") == 1
    told = capsys.readouterr()
    assert "to make: unknown; to judge: unknown" in told.out
    assert told.err == "suder-bench: model 'fake:right' has no weights\n"
    assert run("--benchmark", "drawing", "--dry-run", "--json") == 1
    assert json.loads(capsys.readouterr().out)["error"] == "model 'fake:right' has no weights"
    assert run("--benchmark", "drawing", "--out", "r") == 2
    assert list(in_folder.iterdir()) == []


def test_a_run_folder_is_scored_again(in_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--benchmark", "drawing", "--out", "r", "--json", "--limit", "4") == 0
    whole = json.loads(capsys.readouterr().out)
    assert main(["score", "r", "--device", "cpu", "--json", "--out", "again.json"]) == 0
    assert json.loads(capsys.readouterr().out) == whole == json.loads((in_folder / "again.json").read_text())
    assert main(["score", "r", "--device", "cpu", "--judge", "shade=black"]) == 0
    capsys.readouterr()
    (in_folder / "scores").mkdir()
    assert main(["score", "r", "--device", "cpu", "--out", "scores"]) == 2
    assert "--out scores cannot be written; name a file" in capsys.readouterr().err
    assert main(["score", "nowhere"]) == 2
    assert "'nowhere' is not a run folder" in capsys.readouterr().err


def test_scoring_again_asks_the_runs_own_judges(in_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--benchmark", "drawing", "--out", "r", "--judge", "shade=black") == 0
    capsys.readouterr()
    for arguments, backend in (([], "black"), (["--judge", "shade=official"], "fake"), ([], "fake")):
        assert main(["score", "r", "--device", "cpu", "--json", *arguments]) == 0
        assert json.loads(capsys.readouterr().out)["benchmarks"]["drawing"]["judges"]["shade"]["backend"] == backend


def test_every_metric_is_shown_on_request(in_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--benchmark", "drawing", "--out", "r") == 0
    assert "3 more metrics in summary.json" in capsys.readouterr().out
    assert run("--benchmark", "drawing", "--out", "r", "--verbose") == 0
    assert main(["score", "r", "--device", "cpu", "--verbose"]) == 0
    assert "more metrics" not in capsys.readouterr().out


CLOSED = """
import os, sys
from suder_bench.cli import dispatch
reader, writer = os.pipe()
os.dup2(writer, 1)
os.close(reader)
def work(arguments):
    print("something", flush=arguments[-1] == "unfinished")
    return 1
dispatch._dispatch = work
sys.exit(dispatch.main(sys.argv[1:]))
"""


@pytest.mark.parametrize(("arguments", "expected"), [("list unfinished", 0), ("run unfinished", 141), ("run finished", 1)])
def test_a_closed_pipe_never_makes_an_unfinished_run_a_success(arguments: str, expected: int) -> None:
    buffered = {**os.environ, "PYTHONUNBUFFERED": ""}
    done = subprocess.run([sys.executable, "-c", CLOSED, *arguments.split()], capture_output=True, text=True, env=buffered)
    assert (done.returncode, done.stderr) == (expected, "")


def test_pictures_and_answers_made_elsewhere_are_scored(in_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--benchmark", "drawing", "--out", "r") == 0
    capsys.readouterr()
    assert main(["score", "--benchmark", "drawing", "--images", "r/images/drawing", "--json", *MACHINE]) == 0
    assert json.loads(capsys.readouterr().out)["benchmarks"]["drawing"]["n_responses"] == 24
    (in_folder / "answers").write_text("q0 0\n")
    assert main(["score", "--benchmark", "reading", "--answers", "answers", *MACHINE]) == 0
    assert "accuracy" in capsys.readouterr().out


def test_the_other_metrics_are_where_the_table_says(in_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--benchmark", "drawing", "--out", "r") == 0
    elsewhere = ["score", "--benchmark", "drawing", "--images", "r/images/drawing", *MACHINE]
    for command, where in (
        (["score", "r", "--device", "cpu"], "in summary.json"),
        (elsewhere, "with --verbose"),
        ([*elsewhere, "--out", "mine.json"], "in mine.json"),
    ):
        capsys.readouterr()
        assert main(command) == 0
        assert f"(3 more metrics {where})" in capsys.readouterr().out
    assert len(json.loads((in_folder / "mine.json").read_text())["benchmarks"]["drawing"]["metrics"]) == 4


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["score"], "give a run folder, or --benchmark NAME with --images DIR or --answers FILE"),
        (["score", "--benchmark", "drawing"], "give a run folder, or"),
        (["score", "r", "--benchmark", "drawing"], "give either RUN, or --benchmark"),
        (["score", "--benchmark", "drawing", "--answers", "x"], "drawing is a benchmark of generation; give --images DIR"),
        (["score", "--benchmark", "drwing", "--answers", "x"], "unknown benchmark 'drwing'; did you mean 'drawing'"),
        (["run", "--suite", "gen"], "the following arguments are required: --model (see suder-bench run --help)"),
        (["run", "--model", "fake:x", "--suite", "gen", "--limit", "0"], "--limit: '0' is not a positive whole number"),
        (["run", "--model", "fake:x", "--suite", "gen", "--batch-size", "x"], "'x' is not a positive whole number"),
        (["run", "--model", "fake:x", "--suite", "gen", "--guidance", "nan"], "'nan' is not a number from 0 on"),
        (["run", "--model", "fake:x", "--suite", "gen", "--seed", "-1"], "'-1' is not a whole number from 0 on"),
        (["run", "--model", "fake:x", "--suite", "gen", "--judge", "x"], "--judge 'x' is not ROLE=BACKEND"),
        (["run", "--model", "fake:x", "--suite", "gen", "--device", "gpu"], "unknown device 'gpu' (choices: auto, cpu"),
        (["run", "--model", "fake:x"], "nothing to run; give --suite"),
        (["run", "--model", "fake:x", "--suit", "gen"], "unrecognized arguments: --suit gen"),
        (["lits"], "unknown command 'lits'; did you mean 'list'?"),
        (["list", "jugdes"], "invalid choice: 'jugdes'"),
        (["list", "models", "--data", "nothere"], "--data nothere is for --lmms; leave it out, or give --lmms"),
        (["list", "models", "--card", "pope"], "--card pope is one benchmark's page; leave models out"),
        (["data", "world", "."], "'.' is not empty; choose a new folder"),
    ],
)
def test_a_mistake_is_one_line(in_folder: Path, arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    (in_folder / "something").write_text("")
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("suder-bench: ")
    assert shown.err.count("\n") == 1
    assert told in shown.err


def test_a_wrong_model_and_a_wrong_suite_are_told_together(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--model", "tiny-jnaus", "--suite", "gne"]) == 2
    model, suite = capsys.readouterr().err.splitlines()
    assert model.startswith("suder-bench: unknown model 'tiny-jnaus'; did you mean 'tiny-janus'?")
    assert suite.startswith("suder-bench: unknown suite 'gne'; did you mean 'gen'?")


def test_missing_official_files_are_told_for_each_benchmark(in_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--model", "fake:x", "--suite", "gen", "--device", "cpu", "--offline"]) == 2
    lines = capsys.readouterr().err.splitlines()
    ends = [line.rpartition(": ")[2] for line in lines]
    assert ends == ["suder-bench data fetch geneval", "suder-bench data fetch t2i-compbench"]


def status(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> int:
    def fail(arguments: list[str]) -> int:
        raise error

    monkeypatch.setattr(dispatch, "_dispatch", fail)
    return main([])


def test_exit_statuses(monkeypatch: pytest.MonkeyPatch) -> None:
    assert status(UserError("x"), monkeypatch) == 2
    assert status(JudgeError("x"), monkeypatch) == 1
    assert status(ExceptionGroup("", [UserError("x"), UserError("y")]), monkeypatch) == 2
    assert status(KeyboardInterrupt(), monkeypatch) == 130
    assert status(SystemExit(0), monkeypatch) == 0
    for bug in (RuntimeError("x"), ExceptionGroup("", [UserError("x"), RuntimeError("y")])):
        with pytest.raises(type(bug)):
            status(bug, monkeypatch)


def test_lists_hold_every_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--json"]) == 0
    names = json.loads(capsys.readouterr().out)
    assert list(names) == ["benchmarks", "models", "judges", "recipes", "rewards", "suites"]
    assert names["suites"]["gen"] == ["geneval", "t2i-compbench"]
    assert "tiny-janus" in names["models"]
    assert names["recipes"]["grpo"] == "GRPO in place of SimPO."
    assert names["judges"]["detector"] == ["world", "official", "mmdet"]
    assert main(["list", "suites"]) == 0
    shown = capsys.readouterr().out
    assert f"  gen{' ' * 19}the benchmarks that have pictures drawn\n{' ' * 24}geneval, t2i-compbench\n" in shown
    assert "the same as all" in " ".join(shown.split())


def test_lists_say_what_each_name_is(capsys: pytest.CaptureFixture[str]) -> None:
    """No class paths of what ships here; other packages' names come with where they are."""
    assert main(["list"]) == 0
    shown = capsys.readouterr().out
    assert "suder_bench." not in shown
    assert "are the objects there" in shown
    assert all(len(line) <= 80 for line in shown.splitlines())
    for kind in ("benchmarks", "rewards"):
        assert set(registry.TABLE[kind]) <= set(ABOUT[kind])
    assert {f"{name}:REFERENCE" for name in registry.TABLE["models"]} | set(registry.CHECKPOINTS) == set(ABOUT["models"])
    assert {name.partition("/")[0] for name in registry.TABLE["judges"]} == set(ABOUT["judges"])
    assert set(SUITES) == set(ABOUT["suites"])


def test_help_names_every_command_and_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(command in shown for command in dispatch.COMMANDS)
    assert main([]) == 2
    assert main(["run", "--help"]) == 0
    assert "--batch-size" in capsys.readouterr().out
    assert main(["--version"]) == 0


def test_help_stands_in_groups_and_says_something_of_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--help"]) == 0
    shown = capsys.readouterr().out
    headings = re.findall(r"^([a-z ]+):$", shown, re.MULTILINE)
    assert headings == ["options", "model", "benchmarks and data", "sampling", "judges", "machine", "processes"]
    for command in dispatch.COMMANDS:
        if command not in ("data", "judges"):  # whose actions have a page each
            main([*({"reward": ["reward", "compare"]}.get(command, [command])), "--help"])
            told = capsys.readouterr().out.partition("\noptions:")[2]
            bare = re.findall(r"^  (--[a-z-]+(?: \S+)?)\n(?!  +[^ -])", told, re.MULTILINE)
            assert not bare, command


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["score", "--help"], ["run", "--model"], ["list"]])
def test_help_and_mistakes_import_nothing_heavy(arguments: list[str]) -> None:
    code = f"""
import sys
from suder_bench.cli import main
main({arguments})
print(sorted({{"torch", "transformers", "numpy", "PIL"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_help_is_quick() -> None:
    def cpu() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    seconds = []
    for _ in range(3):
        before = cpu()
        subprocess.run([sys.executable, "-m", "suder_bench", "--help"], check=True, capture_output=True)
        seconds.append(cpu() - before)
    assert min(seconds) < 0.3


def test_offline_forbids_the_network(in_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setenv("TRANSFORMERS_OFFLINE", "0")
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "0")
    seen: dict[str, str] = {}

    def execute(self: Run, screen: object) -> None:
        seen.update(os.environ)
        assert self.settings.offline
        raise UserError("enough")

    monkeypatch.setattr(Run, "execute", execute)
    assert run("--benchmark", "drawing", "--offline") == 2
    assert (seen["HF_HUB_OFFLINE"], seen["TRANSFORMERS_OFFLINE"]) == ("1", "1")


def test_auto_stands_for_what_is_here() -> None:
    import torch

    device, dtype = options.machine("auto", "auto")
    if not torch.cuda.is_available():
        assert (device, dtype) == ("cpu", "float32")
        with pytest.raises(UserError, match="device 'cuda' is not available on this machine; use --device cpu"):
            options.machine("cuda", "auto")
    assert options.machine("cpu", "bfloat16") == ("cpu", "bfloat16")
    with pytest.raises(UserError, match="unknown dtype 'float16'"):
        options.machine("cpu", "float16")


def test_auto_never_chooses_mps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: True)
    assert options.machine("auto", "auto") == ("cpu", "float32")


def test_every_dtype_offered_is_one_that_models_take() -> None:
    from suder_bench.models.janus.files import DTYPES

    assert tuple(DTYPES) == options.DTYPES


def test_a_mistake_is_one_line_whatever_its_value_holds(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--model", "a\nb\x1b[2J\u2028", "--suite", "gen"]) == 2
    assert capsys.readouterr().err.startswith("suder-bench: unknown model 'a\\nb\\x1b[2J\\u2028'; (choices: ")


@pytest.mark.parametrize(("judges", "model"), [(2, 1), (0, None)])
def test_auto_on_one_device_is_one_worker_where_others_judge(
    judges: int, model: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(options, "count_devices", lambda device: 1)
    given = argparse.Namespace(
        workers="auto", judge_workers=judges, worker_timeout=None, ray=None, gpus_per_worker=None, judge_gpus=None, verbose=False
    )
    staffing = options.staffing(given, "cuda")
    assert (staffing.workers, staffing.judges or 0) == (model, judges)
