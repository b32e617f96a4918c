"""Runs of real checkpoints on the fake benchmarks: what changes between stop and resume, and what cannot be loaded."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import pytest
import torch
from fakes import REFERENCE, settings
from models.tiny import edit_json, tiny_image_processor, tiny_janus_model, tiny_tokenizer, write_checkpoint
from safetensors.torch import load_file, save_file

from suder_bench.cli import main
from suder_bench.models.janus import JanusModel
from suder_bench.runs.execute import Run
from suder_bench.runs.jsonl import Ledger
from suder_bench.runs.screen import Screen

pytestmark = pytest.mark.usefixtures("fakes")
WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def checkpoint(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return shutil.copytree(whole, tmp_path / "ckpt")


def run(*arguments: str, benchmark: str = "drawing") -> int:
    data = str(Path(__file__).parent)
    machine = ["--model", "ckpt", "--device", "cpu", "--data", data, "--out", "r", "--stage", "respond", "--guidance", "2"]
    return main(["run", *machine, "--benchmark", benchmark, *arguments])


CHANGES = {
    "config": lambda folder: edit_json(folder / "config.json", text_config={"rms_norm_eps": 0.01}),
    "tokenizer": lambda folder: edit_json(folder / "tokenizer_config.json", padding_side="right"),
    "generation config": lambda folder: edit_json(folder / "generation_config.json", eos_token_id=7),
    "chat template": lambda folder: (folder / "chat_template.jinja").write_text("{{ messages }}"),
    "weights": lambda folder: write_checkpoint(folder, seed=1),
}


@pytest.mark.parametrize("part", CHANGES)
def test_a_changed_part_is_named_when_a_stopped_run_goes_on(
    checkpoint: Path, capsys: pytest.CaptureFixture[str], part: str
) -> None:
    assert run("--limit", "2") == 0
    before = Ledger(Path("r/responses/drawing")).rows()
    CHANGES[part](checkpoint)
    capsys.readouterr()
    for others in (("--limit", "4"), ("--limit", "2"), ("--limit", "2", "--dry-run")):  # stopped, finished, asked beforehand
        assert run(*others) == 2
        assert f"r was made with model {part} " in capsys.readouterr().err
    assert Ledger(Path("r/responses/drawing")).rows() == before
    assert run("--limit", "4", "--fresh") == 0


def test_a_run_goes_on_with_a_copy_that_lies_elsewhere(checkpoint: Path) -> None:
    assert run("--limit", "2") == 0
    shutil.move(checkpoint, "elsewhere")
    shutil.copytree("elsewhere", checkpoint)
    assert run("--limit", "4") == 0


@pytest.mark.parametrize("others", [(), ("--fresh",), ("--dry-run",)])
def test_a_checkpoint_that_cannot_be_loaded_leaves_no_run_folder(
    checkpoint: Path, capsys: pytest.CaptureFixture[str], others: tuple[str, ...]
) -> None:
    weights = {name: tensor.clone() for name, tensor in load_file(checkpoint / WEIGHTS).items()}
    weights["lm_head.weight"][0] = torch.nan
    save_file(weights, checkpoint / WEIGHTS, {"format": "pt"})
    assert run(*others) == (1 if "--dry-run" in others else 2)
    assert "numbers of weight lm_head.weight are NaN or infinite" in capsys.readouterr().err
    assert not Path("r").exists()


def test_what_a_fresh_start_cannot_replace_is_kept(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--limit", "2") == 0
    kept = {path: path.read_bytes() for path in Path("r").rglob("*") if path.is_file()}
    (checkpoint / WEIGHTS).write_bytes(b"")
    assert run("--fresh") == 2
    assert f"{WEIGHTS} (0 bytes) is cut short" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in Path("r").rglob("*") if path.is_file()} == kept


def test_the_recipe_names_the_parts(checkpoint: Path) -> None:
    assert run("--limit", "2") == 0
    model = json.loads(Path("r/run.json").read_text())["model"]
    assert model["parts"]["chat template"] == ""
    assert all(len(digest) == 64 for part, digest in model["parts"].items() if part != "chat template")


@pytest.fixture
def janus() -> JanusModel:
    return JanusModel(tiny_janus_model(), tiny_tokenizer(), tiny_image_processor())


def failed(janus: JanusModel, out: Path) -> tuple[set[str], str]:
    """The samples of `drawing` that get no response and no verdict, and what is said of them."""
    said = io.StringIO()
    outcome = Run(out, REFERENCE, settings("drawing", repeats=1)).execute(Screen(said), lambda: janus)
    assert not outcome.complete
    responses, verdicts = ({row["sample"] for row in Ledger(out / part / "drawing").rows()} for part in ("responses", "verdicts"))
    assert responses == verdicts
    lost = {f"{i:03d}" for i in range(12)} - responses
    assert outcome.summary["benchmarks"]["drawing"]["failed"] == len(lost)
    return lost, said.getvalue()


def test_a_response_without_numbers_fails_and_is_never_scored(janus: JanusModel, tmp_path: Path) -> None:
    [six] = janus.tokenizer.encode("6", add_special_tokens=False)
    with torch.no_grad():
        janus.model.get_input_embeddings().weight[six] = torch.nan
    lost, said = failed(janus, tmp_path / "r")
    assert lost == {"003", "008"}  # shades 60 and 160
    assert "failed: drawing 003, repeat 0: the logits of image tokens are NaN or infinite" in said
    assert "Traceback" not in said


def test_a_prompt_that_is_too_long_fails_alone(janus: JanusModel, tmp_path: Path) -> None:
    janus.positions = len(janus._generation_ids("shade 20")) + 16 - 1
    lost, said = failed(janus, tmp_path / "r")
    assert lost == {f"{i:03d}" for i in range(5, 12)}  # shades of three figures
    assert "failed: drawing 005, repeat 0: a prompt and its picture need" in said
    assert "shorten the text 'shade 100'" in said
    assert "Traceback" not in said
