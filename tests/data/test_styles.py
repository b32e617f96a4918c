"""How a question is put, harness by harness, and what a run tells of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from suder_bench.cli import main
from suder_bench.data.styles import STYLES, worded

DOG = "Is there a dog in the image?"
SHORT = "Answer the question using a single word or phrase."
LETTER = "Answer with the option's letter from the given choices directly."
LINES = "A. red\nB. blue\n"


@pytest.mark.parametrize(
    ("style", "prompt"),
    [
        ("official", DOG),
        ("janus", f"\n{DOG}\n{SHORT}"),
        ("llava", f"{DOG}\n{SHORT}"),
        ("vlmevalkit", f"{DOG} Please answer yes or no."),
        ("lmms-eval", f"{DOG}\n{SHORT}"),
    ],
)
def test_pope(style: str, prompt: str) -> None:
    assert worded("pope", style, DOG) == worded("pope", style, f"{DOG} Please answer yes or no.") == prompt


@pytest.mark.parametrize(
    ("style", "with_hint", "without"),
    [
        ("janus", f"\nHint: Look.\nWhat?\n{LINES}\n{LETTER}", f"\nWhat?\n{LINES}\n{LETTER}"),
        ("llava", f"Look.\nWhat?\n{LINES}{LETTER}", f"What?\n{LINES}{LETTER}"),
        (
            "vlmevalkit",
            f"Hint: Look.\nQuestion: What?\nOptions:\n{LINES}Please select the correct answer from the options above. \n",
            f"Question: What?\nOptions:\n{LINES}Please select the correct answer from the options above. \n",
        ),
        (
            "lmms-eval",
            f"Look. What? There are several options:\n{LINES}\n{LETTER}",
            f"What? There are several options:\n{LINES}\n{LETTER}",
        ),
    ],
)
def test_mmbench(style: str, with_hint: str, without: str) -> None:
    assert worded("mmbench", style, "What?", ["red", "blue"], "Look.") == with_hint
    assert worded("mmbench", style, "What?", ["red", "blue"]) == without


def test_the_others() -> None:
    assert worded("seedbench", "lmms-eval", "What?", ["red", "blue"]) == f"What?\n{LINES}{LETTER}"
    assert worded("hallusionbench", "janus", "Is it?") == f"\nIs it?\n{SHORT}"
    assert {worded("llavabench", style, "What?") for style in STYLES["llavabench"]} == {"What?"}
    assert "official" not in STYLES["seedbench"]
    assert "llava" not in STYLES["hallusionbench"]


def run(out: Path, *more: str) -> int:
    return main(["run", "--model", "tiny-janus", "--limit", "3", "--stage", "respond", "--out", str(out), *more])


def test_a_run_keeps_its_style_and_refuses_another(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    assert run(out, "--benchmark", "pope", "--prompt-style", "llava") == 0
    recipe = json.loads((out / "run.json").read_text())
    assert recipe["prompt_style"] == "llava"
    assert {name: recipe["benchmarks"]["pope"][name] for name in ("prompt_style", "worded")} == dict.fromkeys(
        ("prompt_style", "worded"), "llava"
    )
    capsys.readouterr()
    assert run(out, "--benchmark", "pope") == 2
    assert "was made with pope prompt style 'llava', not 'janus'" in capsys.readouterr().err
    assert main(["score", str(out), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["benchmarks"]["pope"]["deviations"]
    assert "questions worded as by llava (--prompt-style)" in told


@pytest.mark.parametrize(
    ("benchmark", "style", "told"),
    [
        ("pope", "lava", "unknown pope prompt style 'lava'; did you mean 'llava'? (choices: janus, llava, lmms-eval, "),
        ("seedbench", "official", "unknown seedbench prompt style 'official'; (choices: janus, llava, lmms-eval, vlmevalkit)"),
        ("geneval", "llava", "--prompt-style llava is for questions, and geneval asks none; leave it out"),
    ],
)
def test_a_style_that_a_benchmark_lacks_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], benchmark: str, style: str, told: str
) -> None:
    assert run(tmp_path / "run", "--benchmark", benchmark, "--prompt-style", style) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert told in error
