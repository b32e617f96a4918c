"""Several processes train as one does: the same weights on all of them, and those of one process with the same global batch."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from filelock import FileLock
from safetensors.torch import load_file
from small_trainings import Train, rows, same, timeless, weights

from suder_bench.models.janus import JanusModel

SCRIPT = Path(__file__).with_name("launched.py")
SMOOTH = ("trainer.adam_epsilon=1.0", "trainer.learning_rate=0.1", "trainer.max_grad_norm=0.5")
"""Adam divides by the size of a gradient: where it is all rounding, so would be the step."""

deepspeed = pytest.mark.skipif(importlib.util.find_spec("deepspeed") is None, reason="needs deepspeed")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def one_at_a_time(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Processes that wait for one another keep their core meanwhile: two such trainings side by side would wait for cores."""
    with FileLock(tmp_path_factory.getbasetemp().parent / "processes.lock"):
        yield


def launch(*commands: Sequence[str], ranks: int = 2) -> None:
    """The commands one after the other, on as many processes, as a launcher starts them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [word for command in commands for word in ("+", *command)][1:]
    shared = {"WORLD_SIZE": str(ranks), "LOCAL_WORLD_SIZE": str(ranks), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    environment = {**os.environ, **shared, "OMP_NUM_THREADS": "1", "DS_ACCELERATOR": "cpu"}
    started = [
        subprocess.Popen(
            [sys.executable, str(SCRIPT), *words],
            env={**environment, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        for rank in range(ranks)
    ]
    said = [process.communicate(timeout=600)[1] for process in started]
    assert [process.returncode for process in started] == [0] * ranks, "\n".join(said)


def command(settings: dict[str, Any], out: str, *sets: str, resume: bool = False) -> list[str]:
    Path("recipe.yaml").write_text(yaml.safe_dump(settings))
    chosen = [word for one in sets for word in ("--set", one)]
    last = ["--resume"] if resume else []
    return ["train", "--config", "recipe.yaml", "--out", out, "--device", "cpu", "--offline", *chosen, *last]


def assert_equal(run: str, alone: str, *, tolerance: float = 1e-5, whole: bool = True) -> None:
    """Both ranks of `run` hold the same, which is what it saved, and what one process alone has learned."""
    step = len(rows(alone))
    saved, expected = weights(f"{run}/checkpoint-{step}"), weights(f"{alone}/checkpoint-{step}")
    assert saved.keys() == expected.keys()
    if whole:
        first, second = (load_file(f"{run}/rank-{rank}.safetensors") for rank in range(2))
        assert same(first, second)
        assert same({name.removeprefix("network."): tensor for name, tensor in first.items()}, saved)
    for name, tensor in expected.items():
        torch.testing.assert_close(
            saved[name].float(), tensor, rtol=tolerance, atol=tolerance, msg=lambda text, name=name: name + text
        )
    for row, other in zip(timeless(run), timeless(alone), strict=True):
        assert row == pytest.approx(other, rel=1e-3, abs=1e-4)
    JanusModel.load(f"{run}/checkpoint-{step}")


@pytest.mark.slow
def test_two_processes_train_as_one(train: Train, settings: dict[str, Any]) -> None:
    """One of the two may have no pair to learn from, which must neither hang nor weigh."""
    runs = {
        "simpo": (*SMOOTH, "reward.gen=starless"),
        "grpo": (*SMOOTH, "algorithm=grpo", "grpo.num_iterations=2", "trainer.max_steps=4", "trainer.save_steps=4"),
    }
    each = "trainer.per_device_train_batch_size=1"
    launch(*(command(settings, f"two-{name}", *sets, each) for name, sets in runs.items()))
    for name, sets in runs.items():
        assert train(name, *sets) == 0
        assert_equal(f"two-{name}", name)
    assert 0 < min(row["gen/trained"] for row in rows("simpo")) < max(row["gen/trained"] for row in rows("simpo"))


@pytest.mark.slow
def test_two_processes_go_on_exactly_and_take_turns(settings: dict[str, Any]) -> None:
    each = "trainer.per_device_train_batch_size=1"
    turns = ("strategy=separate", "trainer.max_steps=-1", "trainer.num_train_epochs=1")
    launch(command(settings, "whole", each), command(settings, "separate", each, *turns))
    launch(command(settings, "run", each, "trainer.max_steps=2"))
    Path("run/finished.json").unlink()
    recipe = Path("run/recipe.yaml")
    recipe.write_text(recipe.read_text().replace("max_steps: 2", "max_steps: 3"))
    state = Path("run/checkpoint-2/trainer_state.json")
    state.write_text(state.read_text().replace('"max_steps": 2', '"max_steps": 3'))
    launch(command(settings, "run", each, resume=True))
    assert timeless("run") == timeless("whole")
    assert same(weights("run/checkpoint-3"), weights("whole/checkpoint-3"))
    assert len(rows("separate/gen")) == len(rows("separate/und")) == 2


@pytest.mark.slow
@deepspeed
@pytest.mark.parametrize("algorithm", ["simpo", "grpo"])
@pytest.mark.parametrize("stage", ["zero2", "zero3"])
def test_deepspeed(stage: str, algorithm: str, train: Train, settings: dict[str, Any]) -> None:
    sets = (*SMOOTH, f"algorithm={algorithm}")
    zero = (*sets, f"trainer.deepspeed={stage}", "trainer.per_device_train_batch_size=1")
    launch(command(settings, "two", *zero))
    assert train("one", *sets) == 0
    assert_equal("two", "one", whole=stage == "zero2")
    assert Path("two/checkpoint-3/global_step3").is_dir()  # DeepSpeed's own


@pytest.mark.slow
@deepspeed
def test_deepspeed_goes_on_exactly(settings: dict[str, Any]) -> None:
    zero = ("trainer.deepspeed=zero2", "trainer.per_device_train_batch_size=1")
    launch(command(settings, "run", *zero))
    whole = timeless("run"), weights("run/checkpoint-3")
    Path("run/finished.json").unlink()
    Path("run/checkpoint-3/trainer_state.json").unlink()
    launch(command(settings, "run", *zero, resume=True))
    assert timeless("run") == whole[0]
    assert same(weights("run/checkpoint-3"), whole[1])


@pytest.mark.slow
@deepspeed
def test_accelerate_launches_the_recipe(settings: dict[str, Any]) -> None:
    """As the documentation says it, on the CPU."""
    words = command(settings, "run", "trainer.deepspeed=zero2", "trainer.per_device_train_batch_size=1")
    start = [
        sys.executable,
        "-m",
        "accelerate.commands.launch",
        "--multi_gpu",
        "--num_processes",
        "2",
        "--main_process_port",
        "0",
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "DS_ACCELERATOR": "cpu"}
    done = subprocess.run([*start, "-m", "suder_bench", *words], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [row["step"] for row in rows("run")] == [1, 2, 3]
    assert sum("step 1/3" in line for line in done.stderr.splitlines()) == 1  # only the first process speaks


@pytest.mark.slow
@deepspeed
def test_deepspeed_needs_no_launcher_for_one_process(settings: dict[str, Any]) -> None:
    words = command(settings, "run", "trainer.deepspeed=zero2", "trainer.max_steps=1")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "DS_ACCELERATOR": "cpu"}
    done = subprocess.run(
        [sys.executable, "-m", "suder_bench", *words], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert [row["step"] for row in rows("run")] == [1]


@pytest.mark.slow
@deepspeed
def test_copies_have_the_precision_that_deepspeed_gives_to_what_learns(settings: dict[str, Any]) -> None:
    """The start model and a policy that has not learned yet say the same."""
    sixteen = ("trainer.deepspeed=zero2", "trainer.bf16=true", "trainer.per_device_train_batch_size=1")
    launch(command(settings, "run", *sixteen, "algorithm=grpo", "trainer.max_steps=1"))
    [row] = rows("run")
    assert (row["gen/kl"], row["und/kl"]) == (0, 0)


@pytest.mark.slow
def test_fsdp(train: Train, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AS_ON_GPUS", "1")
    sets = (*SMOOTH, "algorithm=grpo")
    sharded = (*sets, "trainer.fsdp=true", "trainer.per_device_train_batch_size=1")
    launch(command(settings, "two", *sharded))
    assert train("one", *sets) == 0
    assert_equal("two", "one")
    Path("two/finished.json").unlink()
    Path("two/checkpoint-3/trainer_state.json").unlink()
    launch(command(settings, "two", *sharded, resume=True))
    assert_equal("two", "one")


def test_low_rank_adapters(train: Train, tiny_folder: Path) -> None:
    adapters = ("lora={r: 2, lora_alpha: 4, lora_dropout: 0.1}", "trainer.learning_rate=1e-2")
    assert train("run", *adapters) == 0
    start, end = weights(tiny_folder), weights("run/checkpoint-3")
    assert start.keys() == end.keys()
    changed = {name for name in start if not torch.equal(start[name], end[name])}
    assert len(changed) == 2 * 7
    assert all(name.startswith("model.language_model.layers.") for name in changed)
    whole = timeless("run"), end
    Path("run/finished.json").unlink()
    Path("run/checkpoint-3/trainer_state.json").unlink()
    assert train("run", *adapters, resume=True) == 0
    assert timeless("run") == whole[0]
    assert same(weights("run/checkpoint-3"), whole[1])


@pytest.mark.parametrize("algorithm", ["simpo", "grpo"])
def test_half_precision_and_checkpointing_of_activations(algorithm: str, train: Train) -> None:
    """The weights stay in float32; the first ratio is exactly one in half precision too."""
    chosen = ("trainer.max_steps=1", f"algorithm={algorithm}")
    assert train("half", *chosen, "trainer.bf16=true", "trainer.gradient_checkpointing=true") == 0
    assert train("whole", *chosen) == 0
    assert {tensor.dtype for tensor in weights("half/checkpoint-1").values()} == {torch.float32}
    (half,), (whole,) = rows("half"), rows("whole")
    assert half["grad_norm"] == pytest.approx(whole["grad_norm"], rel=0.5)
    assert half["gen/reward"] == pytest.approx(whole["gen/reward"], abs=0.5)
    if algorithm == "grpo":
        assert half["gen/ratio"] == half["und/ratio"] == 1.0
