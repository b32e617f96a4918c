"""Folders that trainers leave: whole weights are read where they are, and parts are told with the command that joins them."""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed.checkpoint as dcp
from accelerate import Accelerator
from models.janus import original_layout
from models.tiny import tiny_janus_model, tiny_tokenizer, write_checkpoint
from safetensors.torch import load_file, save_file

from suder_bench.cli import main
from suder_bench.errors import UserError
from suder_bench.models.janus import JanusModel
from suder_bench.models.reference import choose

WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What was trained from: seed 0. The trainings below hold seed 5."""
    return write_checkpoint(tmp_path_factory.mktemp("base"))


@pytest.fixture
def trained() -> Any:
    return tiny_janus_model(seed=5)


def told(text: str) -> str:
    """The one line with which a model is refused before anything is read."""
    with pytest.raises(UserError) as mistake:
        choose(text).check()
    assert "\n" not in str(mistake.value)
    return str(mistake.value)


def loaded(text: str) -> JanusModel:
    chosen = choose(text)
    chosen.check()
    return JanusModel.load(chosen.reference)


def assert_holds(model: JanusModel, weights: dict[str, torch.Tensor]) -> None:
    found = model.model.state_dict()
    assert found.keys() == weights.keys()
    assert all(torch.equal(found[name], weight) for name, weight in weights.items())


def command_in(line: str) -> list[str]:
    """The words of the command that a line says, to be started with this Python."""
    words = shlex.split(line.partition(" with: ")[2].partition("; give")[0])
    start = {"python": [sys.executable], "accelerate": [sys.executable, "-m", "accelerate.commands.accelerate_cli"]}
    return [*start[words[0]], *words[1:]]


@pytest.fixture
def save_state(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """save_state(model, **how): the folder that accelerate's save_state writes of a model with its optimizer."""

    def save(model: torch.nn.Module, **how: Any) -> Path:
        accelerator = Accelerator(cpu=True)
        accelerator.prepare(model, torch.optim.SGD(model.parameters(), lr=0.1))
        accelerator.save_state(str(tmp_path / "state"), **how)
        return tmp_path / "state"

    yield save
    Accelerator(cpu=True).free_memory()


@pytest.mark.parametrize("safe", [True, False], ids=["safetensors", "pickled"])
def test_what_save_state_writes_is_read_with_its_base(safe: bool, save_state, base: Path, trained: Any) -> None:
    folder = save_state(trained, safe_serialization=safe)
    assert sorted(file.name for file in folder.iterdir()) == sorted(
        [WEIGHTS if safe else "pytorch_model.bin", "optimizer.bin", "random_states_0.pkl"]
    )
    assert_holds(loaded(f"janus:{base}+{folder}"), trained.state_dict())


def test_the_names_that_a_compiled_model_has_are_its_own(save_state, base: Path, trained: Any) -> None:
    folder = save_state(torch.compile(trained))
    assert all(name.startswith("_orig_mod.") for name in load_file(folder / WEIGHTS))
    assert_holds(loaded(f"janus:{base}+{folder}"), trained.state_dict())


def test_without_its_base_it_says_what_is_lacking(save_state, trained: Any) -> None:
    folder = save_state(trained)
    expected = (
        f"model folder '{folder}' holds no config.json, but weights; give the model that they were trained from too, where it "
        f"is a Janus, as --model {folder} --base BASE, or copy that model's config.json, tokenizer and image processor into it"
    )
    assert told(str(folder)) == expected
    assert told(f"janus:{folder}") == expected.replace("model folder", "model")


def test_with_the_base_s_files_beside_them_the_weights_are_the_same_model(save_state, base: Path, trained: Any) -> None:
    """The fingerprint is of the weights and what surrounds them, not of the places where they lie."""
    folder = save_state(trained)
    apart = loaded(f"janus:{base}+{folder}").fingerprint
    for file in base.iterdir():
        if file.name != WEIGHTS:
            shutil.copy(file, folder)
    assert loaded(str(folder)).fingerprint == apart
    assert loaded(str(base)).fingerprint != apart


def test_a_run_and_a_conversion_take_the_two(save_state, base: Path, trained: Any, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = save_state(trained)
    assert main(["convert", f"janus:{base}+{folder}", "converted"]) == 0
    assert_holds(loaded("converted"), trained.state_dict())
    small = ["--benchmark", "geneval", "--data", "world", "--limit", "1", "--repeats", "1", "--device", "cpu"]
    assert main(["run", "--model", f"janus:{base}+{folder}", "--out", "run", *small]) == 0
    assert json.loads(Path("run/run.json").read_text())["model"]["fingerprint"] == loaded(f"janus:{base}+{folder}").fingerprint


def test_weights_of_another_model_are_refused(save_state, base: Path) -> None:
    folder = save_state(tiny_janus_model(hidden=64))
    with pytest.raises(UserError, match=f"model '{folder}' has .* of shape .* its config.json asks for"):
        loaded(f"janus:{base}+{folder}")


def test_weights_with_the_names_of_the_authors_go_into_their_layout(tmp_path: Path) -> None:
    model = tiny_janus_model(vision_heads=16, seed=5)
    base, state = tmp_path / "base", tmp_path / "state"
    original_layout.write(base, tiny_janus_model(vision_heads=16), tiny_tokenizer())
    state.mkdir()
    save_file(original_layout.weights(model), state / WEIGHTS, {"format": "pt"})
    assert_holds(loaded(f"janus:{base}+{state}"), model.state_dict())


def test_the_parts_of_fsdp_are_joined_by_the_command_that_is_told(tmp_path: Path, base: Path, trained: Any) -> None:
    folder = tmp_path / "a state"
    dcp.save({"model": trained.state_dict()}, checkpoint_id=folder / "pytorch_model_fsdp_0", no_dist=True)
    line = told(str(folder))
    assert line.startswith(f"model folder '{folder}' holds its weights in the parts of FSDP (pytorch_model_fsdp_0); put them")
    subprocess.run(command_in(line), check=True, capture_output=True)
    assert_holds(loaded(f"janus:{base}+{folder}"), trained.state_dict())


def test_the_parts_themselves_are_told_alike(tmp_path: Path, trained: Any) -> None:
    folder = tmp_path / "pytorch_model_fsdp_0"
    dcp.save({"model": trained.state_dict()}, checkpoint_id=folder, no_dist=True)
    assert f"accelerate merge-weights {folder} {folder}; give the model" in told(str(folder))


def test_the_whole_state_dict_of_fsdp_is_weights(tmp_path: Path, base: Path, trained: Any) -> None:
    (tmp_path / "state").mkdir()
    torch.save(trained.state_dict(), tmp_path / "state" / "pytorch_model_fsdp.bin")
    assert_holds(loaded(f"janus:{base}+{tmp_path / 'state'}"), trained.state_dict())


def without_weights(base: Path, folder: Path) -> Path:
    """A Trainer's checkpoint under ZeRO-3, which holds everything but the weights."""
    shutil.copytree(base, folder, ignore=shutil.ignore_patterns(WEIGHTS))
    (folder / "training_args.bin").touch()
    return folder


def zero(folder: Path, tag: str = "global_step10", script: str | None = 'parser.add_argument("output_dir",') -> Path:
    for name in ("zero_pp_rank_0_mp_rank_00_model_states.pt", "bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt"):
        (folder / tag).mkdir(parents=True, exist_ok=True)
        (folder / tag / name).touch()
    (folder / "latest").write_text(tag)
    if script is not None:
        (folder / "zero_to_fp32.py").write_text(script)
    return folder


@pytest.mark.parametrize(
    ("script", "command"),
    [
        ('parser.add_argument("output_dir",', "python {0}/zero_to_fp32.py {0} {0}"),
        ('parser.add_argument(\n        "output_file",', "python {0}/zero_to_fp32.py {0} {0}/pytorch_model.bin"),
        (None, "python -m deepspeed.utils.zero_to_fp32 {0} {0}"),
    ],
    ids=["folder", "file, as older scripts want", "script was not copied"],
)
@pytest.mark.parametrize("tag", ["global_step10", "pytorch_model"], ids=["Trainer", "accelerate"])
def test_the_parts_of_deepspeed_are_told_with_their_command(
    script: str | None, command: str, tag: str, base: Path, tmp_path: Path
) -> None:
    folder = zero(without_weights(base, tmp_path / "checkpoint-10"), tag, script)
    expected = f"model '{folder}' holds its weights in the parts of DeepSpeed ({tag}); put them together with: "
    assert told(str(folder)) == expected + command.format(folder)


def test_of_several_steps_the_one_named_latest_is_taken(base: Path, tmp_path: Path) -> None:
    folder = zero(zero(without_weights(base, tmp_path / "a"), "global_step9"), "global_step10")
    assert told(str(folder)).endswith(f"{folder} {folder}")
    (folder / "latest").unlink()
    assert told(str(folder)).endswith(f"{folder} {folder} -t global_step10")


def test_the_folder_of_the_step_itself(base: Path, tmp_path: Path) -> None:
    folder = zero(without_weights(base, tmp_path / "a"))
    assert f"python {folder}/zero_to_fp32.py {folder} {folder}; give the model" in told(str(folder / "global_step10"))


def test_deepspeed_without_zero_has_whole_weights_in_a_pickle_of_its_own(base: Path, tmp_path: Path, trained: Any) -> None:
    folder = without_weights(base, tmp_path / "a")
    (folder / "global_step1").mkdir()
    torch.save({"module": trained.state_dict()}, folder / "global_step1" / "mp_rank_00_model_states.pt")
    (folder / "latest").write_text("global_step1")
    line = told(str(folder)).replace("take the weights out, if the file is your own: ", "put with: ")
    subprocess.run(command_in(line), check=True)
    assert_holds(loaded(str(folder)), trained.state_dict())


@pytest.mark.parametrize("large", [0, 200], ids=["all", "large ones"])
def test_weights_that_zero_3_left_empty_are_told_with_the_command(large: int, base: Path, tmp_path: Path) -> None:
    folder = zero(tmp_path / "checkpoint-10")
    shutil.copytree(base, folder, dirs_exist_ok=True)
    kept = {name: weight[:0] if weight.numel() > large else weight for name, weight in load_file(base / WEIGHTS).items()}
    save_file(kept, folder / WEIGHTS, {"format": "pt"})
    with pytest.raises(UserError, match=rf"weights without content, such as .*; put them together with: python {folder}/zero_to"):
        loaded(str(folder))


SAVE_ZERO = """
import sys, deepspeed, torch
from transformers import JanusForConditionalGeneration
model = JanusForConditionalGeneration.from_pretrained(sys.argv[1])
settings = {"train_micro_batch_size_per_gpu": 1, "zero_optimization": {"stage": int(sys.argv[3])}}
settings["zero_allow_untested_optimizer"] = True
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
engine = deepspeed.initialize(model=model, config=settings, optimizer=optimizer)[0]
engine.save_checkpoint(sys.argv[2], *sys.argv[4:])
"""


FOUND = [  # (files of the folder, what --model is told of it)
    # Trainer (T2I-R1 and others on open-r1), accelerate with ProjectConfiguration, suder-bench, verl: the run's folder
    (["checkpoint-500/config.json", "checkpoint-1000/config.json"], "such as {0}/checkpoint-1000"),
    (["checkpoints/checkpoint_2/model.safetensors", "checkpoints/checkpoint_10/model.safetensors"],
     "such as {0}/checkpoints/checkpoint_10"),
    (["checkpoints/step-5/config.json", "checkpoints/step-20/config.json", "recipe.yaml"], "such as {0}/checkpoints/step-20"),
    (["global_step_60/actor/model_world_size_2_rank_0.pt"], "such as {0}/global_step_60"),
    # ms-swift and LLaMA-Factory with LoRA
    (["checkpoint-9/adapter_config.json", "args.json"], "such as {0}/checkpoint-9"),
    (["checkpoint-9/adapter_config.json", "trainer_state.json", "all_results.json"], "such as {0}/checkpoint-9"),
    # Trainer and accelerate with FSDP
    (["pytorch_model_fsdp_0/.metadata", "pytorch_model_fsdp_0/__0_0.distcp", "optimizer_0/.metadata"],
     "accelerate merge-weights {0}/py"),
    (["pytorch_model_fsdp_0_rank0.bin", "pytorch_model_fsdp_0_rank1.bin"], "as many processes in accelerate"),
    (["pytorch_model_fsdp_rank0.bin", "optimizer_rank0.bin"], "as many processes in accelerate"),
    # Trainer, LLaMA-Factory, ms-swift with ZeRO-3, accelerate with DeepSpeed
    (["global_step9/zero_pp_rank_0_mp_rank_00_model_states.pt", "global_step9/bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt",
      "zero_to_fp32.py", "latest", "trainer_state.json"], "python {0}/zero_to_fp32.py {0} {0}"),
    (["pytorch_model/mp_rank_00_model_states.pt", "pytorch_model/zero_pp_rank_0_mp_rank_00_optim_states.pt",
      "zero_to_fp32.py", "latest", "random_states_0.pkl"], "python {0}/zero_to_fp32.py {0} {0}"),
    # verl
    (["model_world_size_2_rank_0.pt", "huggingface/config.json"],
     "python -m verl.model_merger merge --backend fsdp --local_dir {0} "),
    # accelerate without config
    (["model.safetensors", "optimizer.bin"], "as --model {0} --base BASE"),
    (["pytorch_model-00001-of-00002.bin", "pytorch_model.bin.index.json"], "as --model {0} --base BASE"),
    # nothing of a training
    (["optimizer.bin", "scheduler.bin", "random_states_0.pkl"], "holds no config.json; name the adapter: ADAPTER:{0}"),
]  # fmt: skip


@pytest.mark.parametrize(("files", "line"), FOUND, ids=[f"{files[0]}, {len(files)} files" for files, _ in FOUND])
def test_every_trainer_s_folder_is_known_by_its_files(files: list[str], line: str, tmp_path: Path) -> None:
    for name in files:
        (tmp_path / "run" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "run" / name).write_text("{}" if name.endswith(".json") else "")
    assert line.format(tmp_path / "run") in told(str(tmp_path / "run"))


def test_files_beside_weights_are_not_taken_for_weights(base: Path, tmp_path: Path) -> None:
    assert "holds no weights (model.safetensors or" in told(str(without_weights(base, tmp_path / "a")))


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("deepspeed") is None, reason="needs deepspeed")
@pytest.mark.parametrize("tag", [(), ("pytorch_model",)], ids=["Trainer", "accelerate"])
@pytest.mark.parametrize("stage", ["2", "3"])
def test_what_deepspeed_writes_is_joined_by_the_command_that_is_told(
    stage: str, tag: tuple[str, ...], base: Path, tmp_path: Path, trained: Any
) -> None:
    trained.save_pretrained(tmp_path / "start")
    folder = without_weights(base, tmp_path / "checkpoint-1")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    alone = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    command = [sys.executable, "-c", SAVE_ZERO, str(tmp_path / "start"), str(folder), stage, *tag]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, **alone, "DS_ACCELERATOR": "cpu"})
    subprocess.run(command_in(told(str(folder))), check=True, capture_output=True)
    assert_holds(loaded(str(folder)), trained.state_dict())
