"""`suder-bench reproduce` as a user meets it: the plan for each scale, its estimate, resuming, failing and ending early."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import sys
import threading
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from suder_bench.cli import main
from suder_bench.cli.reproduce import SCALES
from suder_bench.limits import Limits
from suder_bench.reports.reproduction import SECOND, YES_NO, Choices, plan, training_seconds
from suder_bench.steps import Step
from suder_bench.training.recipe import read_recipe

ABLATIONS = ["only-und", "only-gen", "clip-reward", "separate", "grpo"]
EXTENSION = ["srum", "suder-srum"]
VARIANTS = ["published-settings", "grpo-same-time"]
TRAININGS = ["unified", *ABLATIONS, *EXTENSION, *VARIANTS, "tiny-showo"]
MAKE = "import sys, pathlib; p = pathlib.Path(sys.argv[1]); p.parent.mkdir(parents=True, exist_ok=True); p.write_text('made')"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SUDER_BENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture
def commands(here: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """What steps run in place of their commands; each makes its file unless it is told otherwise here."""
    chosen: dict[str, list[str]] = {}
    make = [sys.executable, "-S", "-c", MAKE]
    monkeypatch.setattr(Step, "command", lambda step, lacking=(): chosen.get(step.name, [*make, str(step.makes)]))
    return chosen


def test_the_plan_trains_evaluates_compares_and_reports():
    names = [step.name for step in plan(Choices("tiny", Path("o")))]
    assert names == [*(f"{what} {name}" for name in TRAININGS for what in ("train", "evaluate")), "compare rewards", "report"]


@pytest.mark.parametrize("scale", SECOND)
def test_the_second_backbone_is_trained_once_for_its_table(scale):
    steps = plan(Choices(scale, Path("o"), processes=8))
    assert [step.name for step in steps] == ["train unified", "evaluate unified", "report"]
    recipe = read_recipe(scale)
    assert steps[0].argv[:3] == ("train", "--config", scale)
    assert steps[1].argv == ("track", "o/unified", "--suite", "gen")
    assert (recipe.algorithm, recipe.trainer["learning_rate"], recipe.global_batch_size) == ("diffu-grpo", 3e-6, 128)
    assert recipe.model.startswith("showo:showlab/show-o")


def test_the_second_backbone_of_the_world_goes_along_as_it_is_and_draws_only():
    sets = ("model=other", "algorithm=grpo", "num_generations=4")
    steps = {step.name: step for step in plan(Choices("tiny", Path("o"), sets=sets))}
    assert steps["train tiny-showo"].argv[2:5] == ("tiny-showo", "--set", "num_generations=4")
    assert steps["train tiny-showo"].argv.count("--set") == 1
    assert steps["evaluate tiny-showo"].argv[:6] == ("track", "o/tiny-showo", "--suite", "gen", "--size", "full")
    assert "--last" not in steps["evaluate tiny-showo"].argv


def test_workers_evaluate_and_compare_and_train_nothing():
    steps = plan(Choices("tiny", Path("o"), workers="auto"))
    asked = [step.name for step in steps if "--workers auto" in step.shown()]
    assert asked == [*(f"evaluate {name}" for name in TRAININGS), "compare rewards"]


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("scale", SCALES)
def test_every_command_is_one_that_its_command_takes(scale, quick, capsys):
    judged = {
        "judges": ("detector-2d=file:f",),
        "judge_args": ("llm.temperature=null",),
        "judge_timeout": 60.0,
        "judge_concurrency": 2,
    }
    for step in plan(Choices(scale, Path("o"), quick=quick, limit=Limits(5), offline=True, workers="2", **judged)):
        assert (
            "--judge-args llm.temperature=null --judge-timeout 60 --judge-concurrency 2" in step.shown()
        ) == step.name.startswith("evaluate")
        command, *arguments = step.argv
        if command == "train":
            assert main([*step.argv, "--dry-run"]) == 0
        elif command == "report":
            assert main(list(step.argv)) == 2
            assert capsys.readouterr().err.startswith("suder-bench: o/unified does not exist")
        else:
            import_module(f"suder_bench.cli.{command}")._parser().parse_args(arguments[command == "reward" :])


@pytest.mark.parametrize("scale", [scale for scale in SCALES if scale.startswith("janus")])
def test_the_ablations_of_a_large_model_are_those_of_its_own_recipe(scale):
    whole = read_recipe(scale)
    for step in plan(Choices(scale, Path("o"), processes=8))[:16:2]:
        config, sets = step.argv[2], [after for word, after in zip(step.argv, step.argv[1:], strict=False) if word == "--set"]
        recipe = read_recipe(config, sets)
        assert (recipe.model, recipe.data, recipe.reward.scorer) == (whole.model, whole.data, "current")
        assert recipe.trainer["num_train_epochs"] == 5
        assert step.shown().startswith("accelerate launch --num_processes 8 -m suder_bench train --config ")


def test_only_the_unified_run_is_followed_from_its_start_model_on():
    steps = {step.name: step for step in plan(Choices("tiny", Path("o")))}
    assert "--last" not in steps["evaluate unified"].argv
    assert all("--last" in steps[f"evaluate {name}"].argv for name in [*ABLATIONS, *EXTENSION, *VARIANTS])
    assert list(steps["report"].takes.values()) == [*(f"o/{name}" for name in TRAININGS), "o/rewards"]


def test_seeds_repeat_what_can_be_repeated_and_are_evaluated_at_their_end():
    steps = plan(Choices("tiny", Path("o"), seeds=3, sets=("trainer.seed=7",)))
    again = ["unified", "srum", "only-gen", "clip-reward", "only-und", "grpo"]
    names = [*TRAININGS, *(f"{name}-seed-{seed}" for name in again for seed in (8, 9))]
    assert [step.name for step in steps][::2][: len(names)] == [f"train {name}" for name in names]
    by_name = {step.name: step for step in steps}
    for name in names[len(TRAININGS) :]:
        trained = by_name[f"train {name}"]
        sets = [after for word, after in zip(trained.argv, trained.argv[1:], strict=False) if word == "--set"]
        assert f"{name.rpartition('-seed-')[0]}-seed-{read_recipe(trained.argv[2], sets).trainer['seed']}" == name
        assert "--last" in by_name[f"evaluate {name}"].argv
        assert f"o/{name}" in by_name["report"].argv


def test_the_user_s_settings_go_over_all_recipes():
    sets = ("trainer.max_steps=3", "num_generations=4", "weights.und=0.3")
    for step in plan(Choices("tiny", Path("o"), quick=True, sets=sets))[:16:2]:
        given = [after for word, after in zip(step.argv, step.argv[1:], strict=False) if word == "--set"]
        recipe = read_recipe(step.argv[2], given)
        assert (recipe.num_generations, recipe.weights.und) == (4, 0.3)
        assert recipe.trainer["max_steps"] == (-1 if step.name == "train separate" else 3)


def test_the_estimate_is_that_of_the_measured_step():
    def steps(n: int, *sets: str) -> float:
        return training_seconds(read_recipe("tiny", [f"trainer.max_steps={n}", *sets]))

    assert steps(100) == pytest.approx(100 * 0.71 * 6.5, rel=0.05)
    assert steps(100, "algorithm=grpo") == pytest.approx(100 * 0.71 * 14, rel=0.05)
    assert 100 * 2.3 < steps(100, "num_generations=4") < 100 * 4.6
    judged = training_seconds(read_recipe("srum")) - training_seconds(read_recipe("only-gen"))
    assert judged == pytest.approx(160 * 16 * (8 + 2 * 9) * YES_NO)  # the pair alone in parts
    assert training_seconds(read_recipe("srum")) < 25 * 60
    assert training_seconds(read_recipe("separate")) == pytest.approx(180 / 160 * training_seconds(read_recipe("tiny")), rel=0.05)


def test_a_dry_run_prints_and_starts_nothing(here, commands, capsys):
    assert main(["reproduce", "--scale", "tiny", "--out", "my out", "--jobs", "2", "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(" 1  train unified, about ")
    assert lines[1] == "    suder-bench train --config tiny --out 'my out/unified' --resume"
    assert re.fullmatch(r"24 commands, about 2:1\d:\d\d on two cores, 2 at a time", lines[-1])
    assert "time unknown" not in "".join(lines)
    assert list(here.iterdir()) == []


def test_the_quick_plan_is_short(here, capsys):
    assert main(["reproduce", "--scale", "tiny", "--quick", "--dry-run", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["seconds"] < 20 * 60
    assert [shlex.split(step["command"])[0] for step in found["steps"]] == ["suder-bench"] * 24


def test_what_a_large_scale_lacks_is_told_before_anything_starts(here, commands, capsys):
    assert main(["reproduce", "--scale", "janus-pro-1b", "--device", "cpu", "--out", "o"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert all(line.startswith("suder-bench: ") for line in lines)
    told = "\n".join(lines)
    assert "training pictures './journeydb' are not here; put the pictures there" in told
    assert "suder-bench data fetch geneval" in told
    assert "judge detector-2d: weights not found: Unified_learned_OCIM_RS200_6x+2x.pth; " in told
    assert not Path("o").exists()
    assert main(["reproduce", "--scale", "janus-pro-1b", "--device", "cpu", "--out", "o", "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert "18 commands, time unknown: nobody has measured these commands" in shown
    assert "missing: training pictures './coco118k'" in shown


def test_the_same_command_goes_on_after_a_failure(here, commands, capsys):
    commands["train grpo"] = [sys.executable, "-S", "-c", "import sys; sys.exit('suder-bench: collapsed')"]
    command = ["reproduce", "--scale", "tiny", "--out", "o"]
    assert main(command) == 1
    shown = capsys.readouterr()
    assert re.search(r"\[11/24\] train grpo: failed after 0:\d\d: collapsed \(o/logs/11-train-grpo\.log\)\n", shown.err)
    assert "[12/24] evaluate grpo: skipped, it needs train grpo" in shown.err
    assert "[24/24] report: done in" in shown.err
    report = json.loads(Path("o/reproduce.json").read_text())["steps"][-1]
    assert "o/grpo" not in shlex.split(report["command"])
    del commands["train grpo"]
    assert main(command) == 0
    assert "resuming: 22 of 24 steps done" in capsys.readouterr().err
    record = json.loads(Path("o/reproduce.json").read_text())
    assert (record["status"], record["command"]) == ("complete", "suder-bench reproduce --scale tiny --out o")
    assert "o/grpo" in shlex.split(record["steps"][-1]["command"])
    assert "cores" in record["hardware"]
    told = Path("o/report/reproduction.md").read_text()
    assert "\nsuder-bench reproduce --scale tiny --out o\n" in told
    assert "| done, 2 attempts |" in told


def test_other_settings_in_the_same_folder_are_refused(here, commands, capsys):
    assert main(["reproduce", "--scale", "tiny", "--out", "o"]) == 0
    assert main(["reproduce", "--scale", "tiny", "--quick", "--out", "o"]) == 2
    assert "o holds suder-bench reproduce --scale tiny --out o; repeat that command" in capsys.readouterr().err


@pytest.fixture(params=[signal.default_int_handler, signal.SIG_IGN], ids=["in front", "in a script's background"])
def keyboard(request) -> Iterator[None]:
    """What an interrupt from the keyboard does to the process."""
    before = signal.signal(signal.SIGINT, request.param)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("keyboard")
def test_a_request_to_end_ends_the_step_at_work(here, commands, capsys):
    commands["evaluate unified"] = [sys.executable, "-S", "-c", "import time; print('begun', flush=True); time.sleep(600)"]

    def end() -> None:
        log = Path("o/logs/02-evaluate-unified.log")
        while not (log.is_file() and "begun" in log.read_text()):
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=end, daemon=True).start()
    assert main(["reproduce", "--scale", "tiny", "--out", "o"]) == 130
    assert "interrupted; the same command goes on from here (o)" in capsys.readouterr().err
    record = json.loads(Path("o/reproduce.json").read_text())
    assert (record["status"], record["steps"][1]["attempts"][0]["status"]) == ("interrupted", "interrupted")
    del commands["evaluate unified"]
    assert main(["reproduce", "--scale", "tiny", "--out", "o"]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: --scale"),
        (["--scale", "huge"], "argument --scale: invalid choice: 'huge'"),
        (["--scale", "tiny", "--set", "trainer.max_step=3"], "--set trainer.max_step=3: unknown key 'trainer.max_step'"),
        (
            ["--scale", "show-o", "--jobs", "2"],
            "--jobs 2 is for --scale tiny: at show-o each training takes all GPUs; leave it out",
        ),
        (["--scale", "tiny", "--judge", "detector"], "--judge 'detector' is not ROLE=BACKEND"),
        (["--scale", "tiny", "--judge-args", "seed=1"], "--judge-args 'seed=1' is not ROLE.SETTING=VALUE"),
    ],
)
def test_mistakes_are_one_line(here, commands, capsys, arguments, message):
    assert main(["reproduce", *arguments]) == 2
    shown = capsys.readouterr()
    assert shown.err.startswith(f"suder-bench: {message}")
    assert shown.err.count("\n") == 1
    assert list(here.iterdir()) == []


@pytest.mark.slow
def test_the_whole_paper_in_miniature(here, capsys):
    """All twenty-four commands for real: about four minutes of one core, most of it starting processes."""
    Path("prompts.txt").write_text("a red cube\na blue ball\ntwo green cones\na yellow ring\n")
    small = ["global_batch_size=2", "trainer.per_device_train_batch_size=2", "num_generations=2"]
    sets = [*small, "trainer.max_steps=2", "trainer.save_steps=2", f"data.prompts=[{here}/prompts.txt]"]
    command = ["reproduce", "--scale", "tiny", "--quick", "--limit", "2", "--device", "cpu", "--out", "o"]
    command += [word for one in sets for word in ("--set", one)]
    assert main(command) == 0, capsys.readouterr().err
    report = Path("o/report")
    assert all((report / "tables" / f"table-{number}-world.md").is_file() for number in range(1, 7))
    starts = {path.parts[1] for path in Path("o").glob("*/evaluations/step-0")}
    assert starts == {"unified", "tiny-showo"}  # each start model is evaluated once
    assert (report / "tables/extension-a-world.md").is_file()
    assert (report / "figures/extension-a-world.png").is_file()
    about_showo = (report / "tables/table-6-world.csv").read_text()
    assert "tiny-showo" in about_showo
    assert "tiny-janus" not in about_showo
    found = json.loads((report / "findings.json").read_text())["findings"]
    assert {one["claim"]["other"] for one in found if one["difference"] is not None} >= {
        "base",
        "only-gen",
        "clip-reward",
        "grpo",
    }
    assert (report / "reproduction.md").is_file()
    capsys.readouterr()
    assert main(command) == 0
    assert "resuming: 24 of 24 steps done" in capsys.readouterr().err


def test_what_is_asked_of_the_start_model_goes_along(here, commands, capsys):
    for name in ("base", "lora"):
        (here / name).mkdir()
    (here / "lora/adapter_config.json").write_text("{}")
    asked = "janus:base+lora?allow_nonfinite=true"
    command = ["reproduce", "--scale", "janus-pro-1b", "--device", "cpu", "--out", "o", "--dry-run", "--set", f"model={asked}"]
    assert main(command) == 0
    shown = capsys.readouterr().out
    assert "weights of" not in shown
    lines = [shlex.split(line) for line in shown.splitlines() if line.startswith("    suder-bench")]
    trainings = [line for line in lines if line[1] == "train"]
    assert trainings
    assert all(f"model={asked}" in line for line in trainings)
    assert [line[line.index("--model") + 1] for line in lines if "--model" in line] == [asked]
    (here / "base").rmdir()
    assert main(command) == 0
    assert "missing: weights of base are not here" in capsys.readouterr().out
