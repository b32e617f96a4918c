"""Each recipe that ships, two steps of it on a tiny Janus of the world, and the folders and mistakes of a training."""

from __future__ import annotations

import json
import shutil
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from models.janus import original_layout
from models.tiny import tiny_image_processor, tiny_janus_model, tiny_tokenizer
from PIL import Image
from safetensors.torch import load_file, save_file
from small_trainings import Killed, Train, die_at, rows, same, timeless, weights
from transformers import TrainingArguments

from suder_bench.cli import main
from suder_bench.data.source import write_world
from suder_bench.errors import UserError
from suder_bench.models.janus import JanusModel
from suder_bench.models.reference import choose
from suder_bench.runs.store import RunFolder
from suder_bench.training import strategies
from suder_bench.training.arguments import arguments
from suder_bench.training.recipe import Recipe, read_recipe
from suder_bench.training.rewards import RewardSum

SMALL = (
    "num_generations=2",
    "global_batch_size=2",
    "data.prompts=geneval:world",
    "data.images={source: world, count: 4}",
    "sampling.guidance=1",
    "sampling.max_completion_length=6",
    "trainer.per_device_train_batch_size=2",
    "trainer.warmup_steps=0",
)


@pytest.fixture(scope="session")
def geneval(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The world's GenEval, written once."""
    folder = tmp_path_factory.mktemp("geneval")
    write_world(folder, size="quick", benchmarks=["geneval"])
    return folder


@pytest.mark.parametrize(
    ("config", "changes", "expected"),
    [
        ("tiny", (), {"strategy": "unified", "algorithm": "simpo"}),
        ("grpo", (), {"strategy": "unified", "algorithm": "grpo"}),
        ("only-gen", (), {"strategy": "only-gen"}),
        ("only-und", (), {"strategy": "only-und"}),
        ("clip-reward", (), {"strategy": "only-gen", "reward": {"clip": 1.0}}),
        ("separate", ("trainer.num_train_epochs=1", "separate.epochs=each"), {"strategy": "separate"}),
    ],
)
def test_a_shipped_recipe_trains_and_its_checkpoint_evaluates(
    config: str, changes: tuple[str, ...], expected: dict[str, Any], train: Train, tiny_folder: Path, geneval: Path
) -> None:
    separate = config == "separate"
    steps = () if separate else ("trainer.max_steps=2", "trainer.save_steps=2")
    prompts = ("data.prompts=prompts.txt",) if separate else ()  # four, so that an epoch has two steps
    assert train("run", f"model={tiny_folder}", *SMALL, *prompts, *steps, *changes, config=config) == 0
    recipe = yaml.safe_load(Path("run/recipe.yaml").read_text())
    assert recipe["model"] == str(tiny_folder)
    assert recipe["strategy"] == expected["strategy"]
    assert recipe["algorithm"] == expected.get("algorithm", "simpo")
    assert recipe["reward"]["gen"] == expected.get("reward", {"dsr": 1.0})
    assert json.loads(Path("run/finished.json").read_text()) == {"steps": 4 if separate else 2}
    assert json.loads(Path("run/versions.json").read_text())["suder-bench"]
    folder = Path("run/gen" if separate else "run")
    trained = {task for task in ("gen", "und") if f"{task}/reward" in rows(folder)[0]}
    assert trained == {"unified": {"gen", "und"}, "only-und": {"und"}}.get(expected["strategy"], {"gen"})
    evaluate = ["--benchmark", "geneval", "--data", str(geneval), "--limit", "2", "--repeats", "1", "--device", "cpu"]
    assert main(["run", "--model", str(folder / "checkpoint-2"), "--out", "evaluated", *evaluate]) == 0
    assert json.loads(Path("evaluated/summary.json").read_text())["benchmarks"]["geneval"]["metrics"]["overall"]["n"] == 2


def test_a_checkpoint_is_an_ordinary_folder(train: Train, tiny_folder: Path) -> None:
    assert train("run", "trainer.max_steps=1") == 0
    there = {file.name for file in Path("run/checkpoint-1").iterdir()}
    assert {file.name for file in tiny_folder.iterdir()} <= there
    assert {"optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json"} <= there
    assert JanusModel.load("run/checkpoint-1").world


class TestSeparate:
    """Two models in turns."""

    EPOCHS = ("strategy=separate", "trainer.max_steps=-1", "trainer.num_train_epochs=2")  # of two steps each

    def test_each_turn_is_scored_by_the_partner_as_it_stands(
        self, train: Train, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        scorers: list[tuple[str, str, bool]] = []
        models: list[weakref.ref[torch.nn.Module]] = []
        load = RewardSum.load.__func__  # type: ignore[attr-defined]

        def watched(cls: type[RewardSum], *args: Any, scorer: JanusModel, model: JanusModel, task: str, **kwargs: Any) -> Any:
            frozen = not any(parameter.requires_grad for parameter in scorer.model.parameters())
            scorers.append((task, scorer.name, frozen and scorer is not model))
            assert not any(one() for one in models), "the turn before is still in memory"
            models.append(weakref.ref(model.model))
            return load(cls, *args, scorer=scorer, model=model, task=task, **kwargs)

        monkeypatch.setattr(RewardSum, "load", classmethod(watched))
        assert train("run", *self.EPOCHS, "trainer.lr_scheduler_type=linear") == 0
        assert scorers == [
            ("gen", str(tiny_folder), True),
            ("und", "run/gen/checkpoint-2", True),
            ("gen", "run/und/checkpoint-2", True),
            ("und", "run/gen/checkpoint-4", True),
        ]
        for task, other in (("gen", "und"), ("und", "gen")):
            logged = rows(f"run/{task}")
            assert [row["step"] for row in logged] == [1, 2, 3, 4]
            assert [row["epoch"] for row in logged] == [0.5, 1, 1.5, 2]
            # one schedule spans all turns of a model
            assert [row["learning_rate"] for row in logged] == pytest.approx([1e-3, 0.75e-3, 0.5e-3, 0.25e-3])
            assert not any(name.startswith(other) for row in logged for name in row)

    def test_killed_between_and_within_turns_it_goes_on_exactly(self, train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
        epochs = (*self.EPOCHS[:2], "trainer.num_train_epochs=1", "trainer.save_strategy=epoch")
        assert train("whole", *epochs) == 0
        turns: list[Path] = []

        def killed(trainer: Any, folder: Path) -> int:
            if turns:
                raise Killed
            turns.append(folder)
            return run(trainer, folder)

        run = strategies._go
        monkeypatch.setattr(strategies, "_go", killed)
        with pytest.raises(Killed):
            train("run", *epochs)
        monkeypatch.setattr(strategies, "_go", run)
        assert turns == [Path("run/gen")]
        with die_at(1), pytest.raises(Killed):
            train("run", *epochs, resume=True)
        assert (len(rows("run/gen")), len(rows("run/und"))) == (2, 1)
        assert train("run", *epochs, resume=True) == 0
        for task in ("gen", "und"):
            assert timeless(f"run/{task}") == timeless(f"whole/{task}")
            assert same(weights(f"run/{task}/checkpoint-2"), weights(f"whole/{task}/checkpoint-2"))

    def test_the_other_may_come_first_and_epochs_be_counted_together(self, train: Train) -> None:
        steps = ("strategy=separate", "trainer.max_steps=-1", "trainer.num_train_epochs=3")
        assert train("run", *steps, "separate.first=und", "separate.epochs=total") == 0
        assert (len(rows("run/und")), len(rows("run/gen"))) == (4, 2)
        assert json.loads(Path("run/finished.json").read_text()) == {"steps": 6}


def test_weights_of_the_tasks(train: Train) -> None:
    """A task that weighs nothing leaves no trace in the weights."""
    assert train("gen", "strategy=only-gen", "trainer.max_steps=1", "trainer.max_grad_norm=0") == 0
    assert train("both", "weights.und=0", "trainer.max_steps=1", "trainer.max_grad_norm=0") == 0
    alone, both = weights("gen/checkpoint-1"), weights("both/checkpoint-1")
    assert alone.keys() == both.keys()
    assert all(torch.allclose(alone[name], both[name], atol=1e-6) for name in alone)


def test_a_finished_training_has_nothing_to_do(train: Train, capsys: pytest.CaptureFixture[str]) -> None:
    assert train("run") == 0
    before = timeless("run")
    capsys.readouterr()
    assert train("run", resume=True) == 0
    assert "run is finished (3 steps); nothing to do" in capsys.readouterr().err.splitlines()[0]
    assert main(["train", "--out", "run", "--resume", "--device", "cpu"]) == 0  # the recipe is the run's own
    assert timeless("run") == before


def _another_training(train: Train) -> None:
    Path("run").mkdir()
    Path("run/recipe.yaml").write_text(read_recipe("tiny").as_yaml())
    Path("run/metrics.jsonl").write_text('{"step": 1}\n')


def _other_things(train: Train) -> None:
    Path("run").mkdir()
    Path("run/thesis.tex").write_text("")


def _nothing(train: Train) -> None:
    pass


def _empty_prompts(train: Train) -> None:
    Path("empty.txt").write_text("\n \n")


def _long_prompt(train: Train) -> None:
    Path("long.txt").write_text("a ball\n" * 3 + "a ball beside " * 40 + "a box\n")


def _diverged(train: Train) -> None:
    """What a training that went wrong leaves behind."""
    model = tiny_janus_model()
    with torch.no_grad():
        model.lm_head.weight[3] = torch.nan
    model.save_pretrained("diverged")
    tiny_tokenizer().save_pretrained("diverged")
    tiny_image_processor().save_pretrained("diverged")


def _longest_prompt(train: Train) -> None:
    Path("long.txt").write_text("a ball\n" * 3 + "a ball beside " * 400 + "a box\n")


@pytest.mark.parametrize("sets", [(), ("lora.r=2",)], ids=["full", "lora"])
def test_a_torn_checkpoint_is_told_when_a_training_goes_on(
    train: Train, capsys: pytest.CaptureFixture[str], sets: tuple[str, ...]
) -> None:
    assert train("run", "trainer.max_steps=1", *sets) == 0
    Path("run/finished.json").unlink()
    file = Path("run/checkpoint-1", "adapter.safetensors" if sets else "model.safetensors")
    file.write_bytes(file.read_bytes()[:900])
    state = json.loads(Path("run/checkpoint-1/trainer_state.json").read_text())
    Path("run/checkpoint-1/trainer_state.json").write_text(json.dumps({**state, "max_steps": 9}))
    capsys.readouterr()
    assert train("run", "trainer.max_steps=1", *sets, resume=True) == 2
    assert f"suder-bench: {file} (900 bytes) is cut short" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("before", "sets", "resume", "said"),
    [
        (_diverged, ("model=diverged",), False, "numbers of weight lm_head.weight are NaN or infinite"),
        (
            _longest_prompt,
            ("data.prompts=long.txt",),
            False,
            "long.txt: data.prompts: a prompt and its picture need 3,226 positions",
        ),
        (_another_training, (), False, "run holds a training; go on with --resume, or choose another --out"),
        (_other_things, (), False, "run holds other things than a training (thesis.tex); choose another --out"),
        (_other_things, (), True, "run holds other things than a training (thesis.tex); choose another --out"),
        (_another_training, (), True, "run was trained with model='tiny-janus', not "),
        (_nothing, ("model=folder:.",), False, "cannot be trained: it draws no pictures (adapter 'folder')"),
        (_nothing, ("model=tiny-jnaus",), False, "unknown model 'tiny-jnaus'; did you mean 'tiny-janus'?"),
        (_empty_prompts, ("data.prompts=empty.txt",), False, ": data.prompts: prompt file empty.txt holds no prompt; write"),
        (_nothing, ("data.prompts=none.txt",), False, "prompt file none.txt does not exist"),
        (_nothing, ("reward.gen=dsrr",), False, "--set reward.gen=dsrr: reward.gen: unknown reward 'dsrr'; did you mean"),
        (_nothing, ("reward.und=red",), False, "reward 'red' cannot score captions"),
        (
            _nothing,
            ("global_batch_size=3",),
            False,
            "global_batch_size 3 is no multiple of trainer.per_device_train_batch_size 2",
        ),
        (_nothing, ("global_batch_size=6",), False, "global_batch_size 6 is more than there is (4 prompts, 4 pictures)"),
        (_nothing, ("reward.judges={detektor: world}",), False, "reward.judges: unknown judge role 'detektor'; did you mean"),
        (_nothing, ("reward.judges={detector: world}",), False, "reward.judges: --judge detector=world is not used"),
        (_long_prompt, ("reward.gen=clip", "data.prompts=long.txt"), False, "reward.gen: CLIP reads at most"),
        (_nothing, ("trainable=vision_model",), False, "trainable: unknown trainable part 'vision_model'; "),
        (
            _nothing,
            ("sampling.max_completion_length=1024",),
            False,
            "sampling.max_completion_length: model ",  # whose positions end before
        ),
        (_nothing, ("strategy=separate",), False, "strategy separate counts in whole epochs"),
        (_nothing, ("trainer.load_best_model_at_end=true",), False, "trainer"),
    ],
)
def test_mistakes_are_told_in_one_line(
    before: Callable[[Train], None],
    sets: tuple[str, ...],
    resume: bool,
    said: str,
    train: Train,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before(train)
    assert train("run", *sets, resume=resume) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("suder-bench: ")
    assert said in line
    assert not list(Path("run").glob("checkpoint-*"))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("model: folder:.", "model: model 'folder:.' cannot be trained"),
        ("data: {prompts: [empty.txt]}", "data.prompts: prompt file empty.txt holds no prompt"),
        ("data: {images: [{source: nowhere}]}", "data.images: "),
        ("reward: {gen: dsrr}", "reward.gen: unknown reward 'dsrr'"),
        ("reward: {und: vqa}", "reward.und: "),
    ],
)
def test_a_mistake_names_file_line_and_key(
    line: str, said: str, train: Train, settings: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    _empty_prompts(train)
    Path("usual.yaml").write_text(yaml.safe_dump(settings))
    Path("mine.yaml").write_text(f"extends: ./usual.yaml\n{line}\n")
    assert train("run", config="mine.yaml") == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"suder-bench: mine.yaml, line 2: {said}")


def test_a_process_has_one_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(TrainingArguments, "n_gpu", property(lambda self: 8))
    assert arguments(Recipe(), tmp_path, device="cpu", tasks=2)._n_gpu == 1
    with pytest.raises(UserError, match="not 'cuda:3'; set CUDA_VISIBLE_DEVICES=3"):
        arguments(Recipe(), tmp_path, device="cuda:3", tasks=2)


def test_a_mistake_does_not_take_the_folder(train: Train) -> None:
    """The same command, put right, works."""
    assert train("run", "reward.gen=dsrr") == 2
    assert train("run", "trainer.max_steps=1") == 0


def test_a_setting_that_is_left_out_is_a_change_too(train: Train, capsys: pytest.CaptureFixture[str]) -> None:
    assert train("run", "trainer.max_steps=1", "trainer.max_grad_norm=0.1", "reward.gen.red=0.5") == 0
    grad, red = "trainer.max_grad_norm=0.1", "reward.gen.red=0.5"
    for left, key, now in ((red, grad, 1.0), (grad, red, None)):
        capsys.readouterr()
        assert train("run", "trainer.max_steps=1", left, resume=True) == 2
        assert f"run was trained with {key}, not {now}; resume with the same recipe" in capsys.readouterr().err


@pytest.mark.parametrize("now", ["true", "false"])
def test_without_an_optimizer_nothing_goes_on(now: str, train: Train, capsys: pytest.CaptureFixture[str]) -> None:
    with die_at(2), pytest.raises(Killed):
        train("run", "trainer.save_only_model=true")
    capsys.readouterr()
    assert train("run", f"trainer.save_only_model={now}", resume=True) == 2
    assert "run/checkpoint-1 has no optimizer to go on with (trainer.save_only_model)" in capsys.readouterr().err


def test_with_an_optimizer_a_training_goes_on_whatever_it_saves_now(train: Train) -> None:
    assert train("whole") == 0
    with die_at(2), pytest.raises(Killed):
        train("run")
    assert train("run", "trainer.save_only_model=true", resume=True) == 0
    assert timeless("run") == timeless("whole")


def test_a_changed_recipe_is_refused_with_the_key(train: Train, capsys: pytest.CaptureFixture[str]) -> None:
    assert train("run", "trainer.max_steps=1") == 0
    capsys.readouterr()
    assert train("run", "trainer.max_steps=1", "simpo.beta=3", resume=True) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("run was trained with simpo.beta=2.0, not 3.0; resume with the same recipe, or choose another --out")


def _other_prompts(settings: dict[str, Any]) -> None:
    Path("prompts.txt").write_text("two cups\n" * 4)


def _other_pictures(settings: dict[str, Any]) -> None:
    Image.new("RGB", (9, 9)).save("mine/0.png")


def _other_weights(settings: dict[str, Any]) -> None:
    file = Path("start/model.safetensors")
    tensors = load_file(file)
    save_file({**tensors, "lm_head.weight": tensors["lm_head.weight"] * 2}, file, metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_other_prompts, "data.prompts: run was trained on 4 prompts with the digest "),
        (_other_pictures, "data.images: run was trained on 4 images with the digest "),
        (_other_weights, "model: run began with the fingerprint "),
    ],
)
def test_a_training_goes_on_with_what_it_began_with(
    change: Callable[[dict[str, Any]], None],
    said: str,
    train: Train,
    settings: dict[str, Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(settings["model"], tmp_path / "start")
    shutil.copytree(settings["data"]["images"][0], tmp_path / "mine")
    settings |= {"model": "start", "data": {**settings["data"], "images": ["./mine"]}}
    with die_at(1), pytest.raises(Killed):
        train("run")
    change(settings)
    capsys.readouterr()
    assert train("run", resume=True) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert line.endswith("or choose another --out")


def test_a_training_from_before_its_data_were_written_down_goes_on(train: Train) -> None:
    with die_at(1), pytest.raises(Killed):
        train("run")
    Path("run/data.json").unlink()
    assert train("run", resume=True) == 0
    assert json.loads(Path("run/data.json").read_text())["prompts"]["count"] == 4


def test_what_changes_no_number_may_change(train: Train) -> None:
    """After the guard stopped a training, or its memory was full."""
    assert train("run", "trainer.max_steps=1") == 0
    Path("run/finished.json").unlink()
    assert train("run", "trainer.max_steps=1", "guard.action=warn", "sampling.batch_size=2", resume=True) == 0
    recipe = yaml.safe_load(Path("run/recipe.yaml").read_text())
    assert (recipe["guard"]["action"], recipe["sampling"]["batch_size"]) == ("warn", 2)


def test_an_external_reward_needs_no_frozen_copy(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[object] = []
    load = strategies.load_model
    monkeypatch.setattr(strategies, "load_model", lambda *args, **kwargs: loaded.append(args) or load(*args, **kwargs))
    for reward, models in (("red", 1), ("dsr", 2)):
        loaded.clear()
        chosen = ("strategy=only-gen", f"reward.gen={reward}", "reward.scorer=frozen", "trainer.max_steps=1")
        assert train(reward, *chosen) == 0
        assert len(loaded) == models


def test_two_trainings_do_not_share_a_folder(train: Train, capsys: pytest.CaptureFixture[str]) -> None:
    with RunFolder(Path("run")).locked():
        assert train("run") == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("suder-bench: run is in use by another process")


def test_a_training_starts_from_any_layout(train: Train, tmp_path: Path) -> None:
    """tiny-janus in the layout of Janus' authors trains with the losses of the shipped one, and is saved in transformers'."""
    shipped = Path(choose("tiny-janus").reference)
    original = original_layout.copy(shipped, tmp_path / "original")
    steps = ("global_batch_size=2", "num_generations=2", "data.images={source: world, count: 4}", "trainer.warmup_steps=0")
    steps += (
        "sampling.max_completion_length=8",
        "trainer.per_device_train_batch_size=2",
        "trainer.max_steps=2",
        "trainer.save_steps=2",
    )
    for out, model in (("from original", str(original)), ("from port", "tiny-janus")):
        assert train(out, f"model={model}", *steps, config="tiny") == 0
    losses, port = ([row["loss"] for row in rows(f"from {form}") if "loss" in row] for form in ("original", "port"))
    assert losses == port
    assert len(set(losses)) == 2
    assert same(weights("from original/checkpoint-2"), weights("from port/checkpoint-2"))
    assert not same(weights("from original/checkpoint-2"), weights(shipped))
    trained = JanusModel.load("from original/checkpoint-2")
    assert trained.model.config.model_type == "janus"
    assert trained.world
