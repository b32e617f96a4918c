"""Trainings of a tiny random Janus from end to end: that they go the right way, stop where they must, and go on exactly."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from fake_rewards import Letters, Red
from models.tiny import tiny_tokenizer
from PIL import Image
from small_trainings import PROMPTS, Killed, Train, die_at, rows, same, timeless, weights

from suder_bench.models.janus import JanusModel
from suder_bench.models.protocols import ImageSampling, TextSampling
from suder_bench.training import trainer
from suder_bench.training.items import Item
from suder_bench.training.policy import Policy
from suder_bench.training.recipe import Sampling, Task
from suder_bench.training.rewards import RewardSum
from suder_bench.training.rollout import Rollout, Sampler
from suder_bench.training.trainer import SuderTrainer

ALGORITHMS = ("simpo", "grpo")
LOGGED = ("loss", "no_signal", "entropy", "reward", "reward_best", "reward_worst", "reward_std")
SPEEDS = ("seconds/step", "seconds/sampling", "seconds/scoring", "seconds/update", "images_per_second", "tokens_per_second")


def redness(checkpoint: Path) -> float:
    """Of 32 pictures that a checkpoint draws."""
    model = JanusModel.load(str(checkpoint))
    prompts = [PROMPTS[i % 4] for i in range(32)]
    drawn = model.generate(prompts, seeds=range(32), sampling=ImageSampling(guidance=1))
    return float(np.mean(Red().score_images(prompts, [one.picture for one in drawn])))


def letters(checkpoint: Path) -> float:
    """The share of letters in 64 captions."""
    model = JanusModel.load(str(checkpoint))
    shown = [Image.new("RGB", (32, 32), (40 * (i % 4), 90, 0)) for i in range(64)]
    sampling = TextSampling(temperature=1, max_new_tokens=6)
    written = model.answer([[one] for one in shown], [model.caption_request] * 64, seeds=range(64), sampling=sampling)
    return float(np.mean(Letters().score_captions(shown, written)))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize(
    ("task", "reward", "measure", "steps"), [("gen", "red", redness, 8), ("und", "letters", letters, 14)], ids=["gen", "und"]
)
def test_samples_go_where_the_reward_points(
    task: str, reward: str, measure: Callable[[Path], float], steps: int, algorithm: str, train: Train, tiny_folder: Path
) -> None:
    found = {}
    for sign in (1, -1):
        chosen = [f"strategy=only-{task}", f"algorithm={algorithm}", f"reward.{task}={{{reward}: {sign}}}", "num_generations=8"]
        length = [f"trainer.max_steps={steps}", f"trainer.save_steps={steps}", "trainer.learning_rate=1e-2"]
        assert train(f"run{sign}", *chosen, *length) == 0
        found[sign] = measure(Path(f"run{sign}/checkpoint-{steps}"))
    assert found[-1] + 0.05 < measure(tiny_folder) < found[1] - 0.05


def test_the_first_update_has_a_ratio_of_one_and_the_second_none_and_no_new_samples(
    train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Sequence[int]] = []
    draw, grpo_losses = JanusModel.draw, trainer.grpo_losses
    seen: list[tuple[list[torch.Tensor], list[torch.Tensor]]] = []

    def counted(self: JanusModel, *args: Any, seeds: Sequence[int], **kwargs: Any) -> Any:
        drawn.append(seeds)
        return draw(self, *args, seeds=seeds, **kwargs)

    def watched(new: list[torch.Tensor], old: list[torch.Tensor], *others: Any) -> Any:
        seen.append(([one.detach() for one in new], old))
        return grpo_losses(new, old, *others)

    monkeypatch.setattr(JanusModel, "draw", counted)
    monkeypatch.setattr(trainer, "grpo_losses", watched)
    steps = ("strategy=only-gen", "algorithm=grpo", "trainer.max_steps=4", "trainer.save_steps=2")
    assert train("run", *steps, "grpo.num_iterations=2", "trainer.per_device_train_batch_size=1") == 0
    ratios = [row["gen/ratio"] for row in rows("run")]
    assert (ratios[0], ratios[2]) == (1.0, 1.0)
    assert 1.0 not in (ratios[1], ratios[3])
    assert len(drawn) == 2  # the two items of a step together, in two steps
    assert len(set(chain(*drawn))) == len(list(chain(*drawn)))
    for first, second in ((0, 2), (1, 3), (4, 6), (5, 7)):  # each of the two items at its first and second update
        for now, old, still in zip(*seen[first], seen[second][1], strict=True):
            assert torch.equal(now, old)
            assert torch.equal(old, still)
        assert not torch.equal(seen[second][0][0], seen[second][1][0])
    with_rollout = [row["seconds/sampling"] > 0 for row in rows("run")]
    assert with_rollout == [True, False, True, False]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_how_many_are_sampled_at_once_changes_nothing(algorithm: str, train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []
    draw = JanusModel.draw

    def counted(self: JanusModel, *args: Any, seeds: Sequence[int], **kwargs: Any) -> Any:
        drawn.append(len(seeds))
        return draw(self, *args, seeds=seeds, **kwargs)

    monkeypatch.setattr(JanusModel, "draw", counted)
    chosen = (f"algorithm={algorithm}", "trainer.per_device_train_batch_size=1", "num_generations=2", "trainer.max_steps=2")
    for name, most, calls in (("one", 2, [2] * 4), ("step", 4, [4] * 2)):
        drawn.clear()
        assert train(name, *chosen, "trainer.save_steps=2", f"sampling.batch_size={most}") == 0
        assert drawn == calls
    for one, step in zip(timeless("one"), timeless("step"), strict=True):  # sums of floats in another order
        assert one == pytest.approx(step, rel=1e-3, abs=1e-6)


def test_the_reference_can_be_the_anchor_of_the_ratio(train: Train) -> None:
    assert train("run", "strategy=only-gen", "algorithm=grpo", "grpo.anchor=reference") == 0
    ratios = [row["gen/ratio"] for row in rows("run")]
    assert ratios[0] == pytest.approx(1.0, abs=1e-6)
    assert ratios[2] != pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_image_token_learns_however_short_captions_must_be(
    algorithm: str, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An image always has its full length, which a limit for completions would take for truncated."""
    gradients: list[torch.Tensor] = []
    policy_scores = SuderTrainer._logprobs

    def watched(self: SuderTrainer, model: Any, rollout: Rollout, rows: Sequence[int]) -> Any:
        found, entropies = policy_scores(self, model, rollout, rows)
        for one in found:
            one.register_hook(gradients.append)
        return found, entropies

    monkeypatch.setattr(SuderTrainer, "_logprobs", watched)
    steps = ("strategy=only-gen", "reward.gen=red", "trainer.max_steps=1", f"algorithm={algorithm}")
    assert train("run", *steps, "sampling.max_completion_length=1") == 0
    learning = rows("run")[0]["gen/no_signal"]
    assert learning < 1
    assert len(gradients) == 4
    assert all(len(gradient) == 16 for gradient in gradients)
    assert sum(bool(gradient.all()) for gradient in gradients) == 4 * (1 - learning)


def test_captions_that_hit_the_limit_have_no_end_token(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, end = JanusModel.load(str(tiny_folder)), tiny_tokenizer().eos_token_id
    monkeypatch.setattr(model, "write", lambda *args, **kwargs: [[30, 31, 32], [30, 31], [], [33, 34, 35]])
    rewards = {"und": RewardSum({"letters": Letters()}, {"letters": 1.0})}
    sampler = Sampler(model, rewards, Sampling(max_completion_length=3), guidance=1, group=4, seed=0, say=print)  # type: ignore[arg-type]
    rollout = sampler.captions([Item("und", 0, 0, 0)], [Image.new("RGB", (32, 32))])
    assert rollout.tokens == [[30, 31, 32], [30, 31, end], [end], [33, 34, 35]]


def test_a_reward_without_a_number_stops_with_its_sample(train: Train, capsys: pytest.CaptureFixture[str]) -> None:
    Path("prompts.txt").write_text("\n".join(["a hole in a wall", *PROMPTS]))
    chosen = ("strategy=only-gen", "reward.gen=hole", "global_batch_size=1", "trainer.per_device_train_batch_size=1")
    assert train("run", *chosen, "trainer.max_steps=5") == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == "suder-bench: reward 'hole' is nan for a picture for 'a hole in a wall'; training cannot go on from it"
    assert len(rows("run")) == 4  # the first prompt happens to come last
    JanusModel.load("run/checkpoint-4")
    assert not Path("run/finished.json").exists()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_loss_without_a_number_stops_with_its_input(
    algorithm: str, train: Train, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    forward = Policy.forward

    def broken(self: Policy, task: Task, contexts: Sequence[str], *others: Any) -> tuple[torch.Tensor, ...]:
        logprobs, entropy = forward(self, task, contexts, *others)
        bad = torch.tensor([context == PROMPTS[3] for context in contexts]).repeat_interleave(16)
        return logprobs.masked_fill(bad, torch.inf), entropy

    monkeypatch.setattr(Policy, "forward", broken)
    chosen = ("strategy=only-gen", f"algorithm={algorithm}", "reward.gen=red", "global_batch_size=4")
    assert train("run", *chosen, "trainer.per_device_train_batch_size=4") == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == f"suder-bench: the loss became nan at step 1 on prompt '{PROMPTS[3]}'; the last checkpoint stays"


@pytest.mark.parametrize("chosen", [(), ("algorithm=grpo", "grpo.num_iterations=2", "trainer.save_steps=2")])
def test_a_killed_training_goes_on_exactly(chosen: tuple[str, ...], train: Train, capsys: pytest.CaptureFixture[str]) -> None:
    chosen = (*chosen, "trainer.max_steps=6", "trainer.lr_scheduler_type=cosine", "trainer.warmup_steps=2", "samples_steps=2")
    assert train("whole", *chosen) == 0
    with die_at(5), pytest.raises(Killed):  # in the second epoch
        train("run", *chosen)
    assert len(rows("run")) == 5
    Path("run/checkpoint-5").mkdir(exist_ok=True)  # the one it did not finish
    assert train("run", *chosen) == 2
    assert capsys.readouterr().err.splitlines()[-1].endswith("run holds a training; go on with --resume, or choose another --out")
    assert train("run", *chosen, resume=True) == 0
    assert timeless("run") == timeless("whole")
    assert same(weights("run/checkpoint-6"), weights("whole/checkpoint-6"))
    Path("run/finished.json").unlink()  # stopped at the very end
    assert train("run", *chosen, resume=True) == 0
    assert timeless("run") == timeless("whole")
    assert json.loads(Path("run/finished.json").read_text()) == {"steps": 6}


def test_half_a_checkpoint_is_none(train: Train) -> None:
    assert train("run") == 0
    whole = timeless("run"), weights("run/checkpoint-3")
    Path("run/finished.json").unlink()
    Path("run/checkpoint-3/trainer_state.json").write_text('{"global_step": ')
    Path("run/checkpoint-2/trainer_state.json").unlink()
    assert train("run", resume=True) == 0
    assert timeless("run") == whole[0]
    assert same(weights("run/checkpoint-3"), whole[1])


def test_no_checkpoint_between_updates_on_the_same_samples(train: Train, capsys: pytest.CaptureFixture[str]) -> None:
    chosen = ("algorithm=grpo", "grpo.num_iterations=2", "trainer.save_steps=5")
    assert train("run", *chosen) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert "trainer.save_steps 5 is no multiple of grpo.num_iterations 2" in said
    assert said.endswith("use 4")


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_kill_9(algorithm: str, train: Train, settings: dict[str, Any], tmp_path: Path) -> None:
    steps = ("trainer.max_steps=12", f"algorithm={algorithm}")
    assert train("whole", *steps) == 0
    recipe = {**settings, "algorithm": algorithm, "trainer": {**settings["trainer"], "max_steps": 12}}
    Path("recipe.yaml").write_text(yaml.safe_dump(recipe))
    script = Path(__file__).with_name("launched.py")
    command = [sys.executable, str(script), "train", "--config", "recipe.yaml", "--out", "run", "--device", "cpu", "--offline"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        while len(list(Path("run").glob("checkpoint-*/trainer_state.json"))) < 4:
            assert process.poll() is None
            time.sleep(0.01)
        process.kill()
    assert not Path("run/finished.json").exists()
    assert train("run", *steps, resume=True) == 0
    assert timeless("run") == timeless("whole")
    assert same(weights("run/checkpoint-12"), weights("whole/checkpoint-12"))


def test_a_frozen_scorer_is_the_start(train: Train, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scorers: list[JanusModel] = []
    load = RewardSum.load.__func__  # type: ignore[attr-defined]

    def watched(cls: type[RewardSum], *args: Any, scorer: JanusModel, **kwargs: Any) -> RewardSum:
        scorers.append(scorer)
        return load(cls, *args, scorer=scorer, **kwargs)  # type: ignore[no-any-return]

    monkeypatch.setattr(RewardSum, "load", classmethod(watched))
    assert train("current") == 0
    assert train("frozen", "reward.scorer=frozen") == 0
    first, second = rows("current"), rows("frozen")
    for task in ("gen", "und"):
        assert first[0][f"{task}/reward"] == second[0][f"{task}/reward"]
        assert first[1][f"{task}/reward"] != second[1][f"{task}/reward"]
    current, frozen = scorers[0].model.state_dict(), scorers[-1].model.state_dict()
    assert same(frozen, weights(tiny_folder))
    assert same(current, weights("current/checkpoint-3"))
    assert not any(parameter.requires_grad for parameter in scorers[-1].model.parameters())


def test_only_what_is_trainable_changes(train: Train, tiny_folder: Path) -> None:
    assert train("run") == 0
    start, end = weights(tiny_folder), weights("run/checkpoint-3")
    changed = {name for name in start if not torch.equal(start[name], end[name])}
    parts = ("model.language_model.", "lm_head.", "model.generation_head.")
    assert all(name.startswith(parts) for name in changed)
    assert {part for part in parts if any(name.startswith(part) for name in changed)} == set(parts)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_field_is_logged_at_every_step(algorithm: str, train: Train) -> None:
    assert train("run", f"algorithm={algorithm}", "reward.gen={dsr: 1, red: 0.5}") == 0
    own = ("margin", "trained") if algorithm == "simpo" else ("kl", "clip_fraction", "ratio")
    expected = {"step", "epoch", "loss", "grad_norm", "learning_rate", "und/length", "gen/reward/dsr", "gen/reward/red", *SPEEDS}
    expected |= {f"{task}/{name}" for task in ("gen", "und") for name in (*LOGGED, *own)}
    for step, row in enumerate(rows("run"), 1):
        assert row["step"] == step
        assert set(row) == expected
        assert all(isinstance(value, int | float) for value in row.values())
        assert row["gen/reward"] == pytest.approx(row["gen/reward/dsr"] + 0.5 * row["gen/reward/red"], abs=1e-5)
        assert row["und/reward_worst"] <= row["und/reward"] <= row["und/reward_best"] <= 0
        assert row["loss"] == pytest.approx(row["gen/loss"] + row["und/loss"], abs=1e-5)
        assert 1 <= row["und/length"] <= 7
        parts = row["seconds/sampling"] + row["seconds/scoring"] + row["seconds/update"]
        assert parts == pytest.approx(row["seconds/step"])


def test_sheets_of_samples(train: Train) -> None:
    assert train("run", "samples_steps=2") == 0
    sheets = sorted(file.name for file in Path("run/samples").iterdir())
    assert sheets == [f"step-00000{step}-{task}.png" for step in (0, 2) for task in ("gen", "und")]
    for name in sheets:
        with Image.open(f"run/samples/{name}") as sheet:
            assert min(sheet.size) > 100
            assert len(sheet.convert("RGB").getcolors(1 << 20)) > 3


def test_a_collapse_stops_the_training(train: Train, capsys: pytest.CaptureFixture[str]) -> None:
    chosen = ("strategy=only-gen", "reward.gen=falling", "guard.window=1", "trainer.max_steps=3")
    assert train("run", *chosen) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("suder-bench: step 2: collapse: the mean reward of gen fell from ")
    assert len(rows("run")) == 2
    JanusModel.load("run/checkpoint-1")
    assert train("warned", *chosen, "guard.action=warn") == 0
    warnings = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    assert len(warnings) == 1
    assert train("off", *chosen, "guard.action=off") == 0
    assert "collapse" not in capsys.readouterr().err


def test_tensorboard_gets_the_same_numbers(train: Train, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert train("run", "trainer.report_to=tensorboard", "trainer.max_steps=2") == 0
    (events,) = Path("run").rglob("events.out.tfevents.*")
    found = EventAccumulator(str(events)).Reload()
    logged = next(tag for tag in found.Tags()["scalars"] if tag.endswith("gen/reward"))
    assert [one.value for one in found.Scalars(logged)] == pytest.approx([row["gen/reward"] for row in rows("run")])
