"""Recipes: the paper's numbers, what is put over what, what is written out, and one line for every mistake."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import fields, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

from suder_bench.errors import UserError
from suder_bench.models.janus import JanusModel
from suder_bench.training.arguments import DEFAULTS, OURS, arguments
from suder_bench.training.images import ImageSource
from suder_bench.training.objectives import GRPO, SimPO
from suder_bench.training.recipe import (
    Data,
    Guard,
    Lora,
    Recipe,
    Rewards,
    Sampling,
    Separate,
    Srum,
    TaskWeights,
    read_recipe,
    shipped,
)

Write = Callable[..., None]

SRUM: dict[str, Any] = {
    "strategy": "only-gen",
    "reward": Rewards(gen={"srum": 1.0}, scorer="frozen"),
    "srum": Srum(scalar="global", credit="boxes"),
}


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Puts `mine.yaml`, or another file, into the working folder."""
    monkeypatch.chdir(tmp_path)

    def put(text: str, file: str = "mine.yaml") -> None:
        Path(file).write_text(text, encoding="utf-8")

    return put


def trainer(recipe: Recipe, *, tasks: int = 2) -> Any:
    return arguments(recipe, Path("run"), device="cpu", tasks=tasks)


# The paper's numbers


def test_every_shipped_recipe_reads() -> None:
    assert shipped() == [
        "clip-reward",
        "grpo",
        "grpo-same-time",
        "guidance-credit",
        "janus-pro-1b",
        "janus-pro-7b",
        "only-gen",
        "only-und",
        "published-settings",
        "separate",
        "show-o",
        "show-o-512",
        "srum",
        "srum-grpo",
        "srum-weighted",
        "suder-srum",
        "tiny",
        "tiny-epochs",
        "tiny-showo",
    ]
    for name in shipped():
        assert isinstance(read_recipe(name), Recipe)


def test_janus_pro_7b_has_the_papers_numbers() -> None:
    recipe = read_recipe("janus-pro-7b")
    assert recipe.model == "deepseek-community/Janus-Pro-7B"
    assert (recipe.strategy, recipe.algorithm, recipe.num_generations) == ("unified", "simpo", 8)
    assert recipe.global_batch_size == 64 * 2
    assert recipe.simpo == SimPO(beta=2.0, simpo_gamma=0.5)
    assert (recipe.grpo.epsilon, recipe.grpo.epsilon_high, recipe.grpo.beta) == (0.2, 0.28, 0.04)
    assert recipe.data.prompts == ("t2i-compbench:official",)
    assert [source.count for source in recipe.data.images] == [2800, 2800]
    assert recipe.reward == Rewards()
    assert (recipe.sampling.guidance, recipe.sampling.temperature) == (5.0, 1.0)
    assert recipe.weights == TaskWeights(1.0, 1.0)
    assert recipe.trainable is None
    assert JanusModel.anatomy.usual == ("language_model", "lm_head", "generation_head")
    assert recipe.lora is None
    assert recipe.trainer["deepspeed"] == "zero2"
    args = trainer(replace(recipe, trainer={**recipe.trainer, "deepspeed": None}))
    assert (args.learning_rate, args.lr_scheduler_type, args.warmup_steps, args.num_train_epochs) == (3e-6, "cosine", 5, 5)
    assert args.optim.startswith("adamw_torch")
    assert (args.weight_decay, args.max_grad_norm) == (0.0, 1.0)
    assert args.gradient_accumulation_steps == 2 * 128 // args.per_device_train_batch_size


def test_the_defaults_are_the_papers() -> None:
    paper, ours = read_recipe("janus-pro-7b"), Recipe()
    for one in fields(Recipe):
        if one.name not in ("data", "sampling", "trainer"):
            assert getattr(ours, one.name) == getattr(paper, one.name), one.name
    assert ours.data.prompts == paper.data.prompts
    assert [source.count for source in ours.data.images] == [source.count for source in paper.data.images]
    assert replace(ours.sampling, guidance=5.0) == paper.sampling
    for name in ("learning_rate", "lr_scheduler_type", "warmup_steps", "num_train_epochs"):
        assert DEFAULTS[name] == paper.trainer[name]


def test_the_smaller_model_differs_in_size_alone() -> None:
    large, small = read_recipe("janus-pro-7b"), read_recipe("janus-pro-1b")
    assert small.model == "deepseek-community/Janus-Pro-1B"
    assert replace(small, model=large.model, trainer=large.trainer) == large
    assert dict(small.trainer) == {**large.trainer, "per_device_train_batch_size": 4}


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("grpo", {"algorithm": "grpo"}),
        ("only-gen", {"strategy": "only-gen"}),
        ("only-und", {"strategy": "only-und"}),
        ("clip-reward", {"strategy": "only-gen", "reward": Rewards(gen={"clip": 1.0}, scorer="frozen")}),
        ("srum", {**SRUM, "srum": Srum(scalar="global", credit="boxes", centred=True)}),
        ("srum-grpo", {**SRUM, "algorithm": "grpo"}),
        (
            "srum-weighted",
            {**SRUM, "algorithm": "weighted", "srum": Srum(scalar="global", credit="boxes", map="released", spread="off")},
        ),
        ("published-settings", {"reward": Rewards()}),
        ("guidance-credit", {"strategy": "only-gen", "algorithm": "grpo", "srum": Srum(credit="guidance")}),
        (
            "suder-srum",
            {
                "reward": Rewards(gen={"dsr": 0.5, "srum": 0.5}, scorer="frozen"),
                "srum": Srum(scalar="global", credit="boxes", centred=True),
            },
        ),
    ],
)
def test_the_ablations_differ_from_tiny_in_what_they_say(name: str, changed: dict[str, Any]) -> None:
    assert read_recipe(name) == replace(read_recipe("tiny"), **changed)


@pytest.mark.parametrize("name", ["only-gen", "only-und", "grpo", "grpo-same-time", "separate", "clip-reward"])
def test_an_ablation_of_a_large_model_is_that_of_the_small_one(name: str) -> None:
    tiny, large = read_recipe(name), read_recipe(name, ["extends=janus-pro-7b"])
    assert large.model == read_recipe("janus-pro-7b").model
    for part in ("strategy", "algorithm"):
        assert getattr(large, part) == getattr(tiny, part)
    assert (large.reward.gen, large.reward.und) == (tiny.reward.gen, tiny.reward.und)


@pytest.mark.parametrize("name", ["srum", "srum-grpo", "srum-weighted", "guidance-credit", "suder-srum"])
@pytest.mark.parametrize("size", ["janus-pro-7b", "janus-pro-1b"])
def test_credit_goes_over_the_large_models(name: str, size: str) -> None:
    tiny, large = read_recipe(name), read_recipe(name, [f"extends={size}"])
    changed = {one: getattr(tiny, one) for one in ("strategy", "algorithm", "srum")}
    below = read_recipe(size)
    assert large == replace(below, **changed, reward=replace(below.reward, gen=tiny.reward.gen))


@pytest.mark.parametrize(
    ("strategy", "tasks"),
    [("unified", ("gen", "und")), ("only-gen", ("gen",)), ("only-und", ("und",)), ("separate", ("gen", "und"))],
)
def test_the_tasks_of_a_strategy(strategy: str, tasks: tuple[str, ...]) -> None:
    assert read_recipe("tiny", [f"strategy={strategy}"]).tasks == tasks


# What is put over what


def test_recipes_extend_one_another_and_sets_go_over_all(write: Write) -> None:
    write("extends: tiny\nglobal_batch_size: 32\ntrainer: {save_steps: 5, max_steps: 7}\n", "below.yaml")
    write("extends: below.yaml\ntrainer: {max_steps: 9}\nsimpo: {beta: 3}\n")
    recipe = read_recipe("mine.yaml", ["simpo.beta=4", "trainer.seed=1"])
    tiny = read_recipe("tiny")
    assert recipe == replace(
        tiny,
        global_batch_size=32,
        simpo=SimPO(beta=4.0),
        trainer={**tiny.trainer, "save_steps": 5, "max_steps": 9, "seed": 1},
    )


def test_a_set_exchanges_the_recipe_that_is_extended(write: Write) -> None:
    write("extends: tiny\nglobal_batch_size: 32\n")
    recipe = read_recipe("mine.yaml", ["extends=only-und"])
    assert (recipe.strategy, recipe.global_batch_size) == ("only-und", 32)
    assert read_recipe("janus-pro-7b", ["extends=tiny"]).trainer["save_steps"] == 40  # also where none was


def test_a_file_needs_no_suffix_and_shipped_names_come_first(write: Write) -> None:
    write("strategy: only-gen\n", "plain")
    write("strategy: only-gen\n", "tiny")
    assert read_recipe("plain").strategy == "only-gen"
    assert read_recipe("tiny").strategy == "unified"
    assert read_recipe("./tiny").strategy == "only-gen"


@pytest.mark.parametrize("number", ["3e-6", "3.0e-6", "0.000003"])
def test_numbers_without_a_point_are_numbers(number: str, write: Write) -> None:
    write(f"trainer: {{learning_rate: {number}}}\nsimpo: {{beta: {number}}}\n")
    recipe = read_recipe("mine.yaml")
    assert recipe.simpo.beta == 3e-6
    assert trainer(recipe).learning_rate == 3e-6
    assert trainer(read_recipe("tiny", [f"trainer.learning_rate={number}"])).learning_rate == 3e-6


def test_words_that_old_yaml_takes_for_truth_values(write: Write) -> None:
    write("guard: {action: off}\ntrainer: {save_strategy: no, bf16: true}\n")
    recipe = read_recipe("mine.yaml")
    assert recipe.guard.action == "off"
    assert recipe.trainer == DEFAULTS | {"save_strategy": "no", "bf16": True}
    assert read_recipe("tiny", ["guard.action=off"]).guard.action == "off"


@pytest.mark.parametrize(
    ("sets", "expected"),
    [
        (["reward.gen=clip"], {"clip": 1.0}),
        (["reward.gen={clip: 2}"], {"clip": 2.0}),
        (["reward.gen.clip=1", "reward.gen={clip: 2}"], {"clip": 2.0}),
        (["reward.gen={clip: 2}", "reward.gen.dsr=0.5"], {"clip": 2.0, "dsr": 0.5}),
        (["reward.gen=clip", "reward.gen.dsr=0.5"], {"clip": 1.0, "dsr": 0.5}),
        (["reward.gen.clip=2"], {"dsr": 1.0, "clip": 2.0}),
        (["reward.gen.clip=2", "reward.gen.dsr=0.5"], {"clip": 2.0, "dsr": 0.5}),
        (["reward.gen.clip=2", "reward.gen=evaluator:geneval"], {"evaluator:geneval": 1.0}),
    ],
)
def test_a_word_replaces_rewards_and_keys_are_added(sets: list[str], expected: dict[str, float], write: Write) -> None:
    write("reward: {gen: {dsr: 1.0}}\n")
    assert read_recipe("mine.yaml", sets).reward == Rewards(gen=expected)


def test_the_last_of_two_sets_counts() -> None:
    assert read_recipe("tiny", ["simpo.beta=3", "simpo.beta=4"]).simpo.beta == 4.0
    assert read_recipe("tiny", ["reward.gen.dsr=2", "reward.gen=clip"]).reward.gen == {"clip": 1.0}


@pytest.mark.parametrize("scale", ["tiny", "janus-pro-1b", "janus-pro-7b"])
@pytest.mark.parametrize(
    ("name", "strategy", "algorithm", "reward"),
    [
        ("only-und", "only-und", "simpo", {"dsr": 1.0}),
        ("only-gen", "only-gen", "simpo", {"dsr": 1.0}),
        ("clip-reward", "only-gen", "simpo", {"clip": 1.0}),
        ("separate", "separate", "simpo", {"dsr": 1.0}),
        ("grpo", "unified", "grpo", {"dsr": 1.0}),
    ],
)
def test_an_ablation_differs_from_its_scale_in_one_thing(
    scale: str, name: str, strategy: str, algorithm: str, reward: dict[str, float]
) -> None:
    recipe, base = read_recipe(name, [f"extends={scale}"]), read_recipe(scale)
    assert recipe == replace(base, strategy=strategy, algorithm=algorithm, reward=replace(base.reward, gen=reward))


def test_a_sum_of_rewards_replaces_one_of_another_scale_alike() -> None:
    for scale in ("tiny", "janus-pro-7b"):
        assert read_recipe(scale, ["reward.gen={clip: 0.5}"]).reward.gen == {"clip": 0.5}
        assert read_recipe(scale, ["reward.gen.clip=0.5"]).reward.gen == {"dsr": 1.0, "clip": 0.5}


def test_trainer_settings_have_their_own_types() -> None:
    sets = ["trainer.num_train_epochs=2e0", "trainer.save_steps=4e1", "trainer.learning_rate=3e-6"]
    chosen = read_recipe("separate", sets).trainer
    assert (chosen["num_train_epochs"], chosen["save_steps"], chosen["learning_rate"]) == (2.0, 40.0, 3e-6)


def test_the_separate_strategy_needs_its_optimizers() -> None:
    with pytest.raises(UserError, match=r"--set .*: trainer.save_only_model keeps no optimizer"):
        read_recipe("separate", ["trainer.save_only_model=true"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("world", (ImageSource("world"),)),
        ("[world, ./mine]", (ImageSource("world"), ImageSource("./mine"))),
        ("{source: world, count: 5}", (ImageSource("world", 5),)),
        ("[world, {source: hub:a/b, split: val}]", (ImageSource("world"), ImageSource("hub:a/b", split="val"))),
    ],
)
def test_short_forms_of_pictures(text: str, expected: tuple[ImageSource, ...], write: Write) -> None:
    write(f"data: {{images: {text}, prompts: geneval:world}}\n")
    assert read_recipe("mine.yaml").data == Data(("geneval:world",), expected)
    assert read_recipe("tiny", [f"data.images={text}"]).data.images == expected


def test_groups_that_may_be_missing() -> None:
    assert read_recipe("tiny", ["lora.r=4"]).lora == Lora(r=4)
    assert read_recipe("tiny", ["lora={}"]).lora == Lora()
    assert read_recipe("tiny", ["lora.r=4", "lora=null"]).lora is None
    assert read_recipe("tiny", ["lora="]).lora is None


def test_trainer_fields_may_be_mappings_and_lists() -> None:
    recipe = read_recipe("tiny", ["trainer.lr_scheduler_kwargs={num_cycles: 2}", "trainer.report_to=[none]"])
    assert recipe.trainer["lr_scheduler_kwargs"] == {"num_cycles": 2}
    assert trainer(recipe).lr_scheduler_kwargs == {"num_cycles": 2}
    own = read_recipe("tiny", ["trainer.deepspeed={zero_optimization: {stage: 1}}"])
    assert own.trainer["deepspeed"] == {"zero_optimization": {"stage": 1}}


@pytest.mark.parametrize("name", ["zero2", "zero3"])
def test_deepspeed_files_come_with_the_package(name: str) -> None:
    assert read_recipe("tiny", [f"trainer.deepspeed={name}"]).trainer["deepspeed"] == name
    text = files("suder_bench.training").joinpath("recipes", f"{name}.json").read_text(encoding="utf-8")
    assert json.loads(text)["zero_optimization"]["stage"] == int(name[-1])


def test_the_accumulation_follows_from_the_global_batch() -> None:
    recipe = read_recipe("tiny", ["global_batch_size=128", "trainer.per_device_train_batch_size=4"])
    assert trainer(recipe, tasks=1).gradient_accumulation_steps == 32
    assert trainer(recipe, tasks=2).gradient_accumulation_steps == 64


# What is written out

# PyYAML cannot write U+0085, a line end of mainframes, so that it reads back.
words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x85"), min_size=1, max_size=12).filter(str.strip)
numbers = st.floats(1e-9, 1e9)
weights_by_name = st.dictionaries(words.map(lambda word: f"r{word}"), numbers, min_size=1, max_size=3)
recipes = st.builds(
    Recipe,
    model=words,
    strategy=st.sampled_from(["unified", "only-gen", "only-und", "separate"]),
    num_generations=st.integers(2, 99),
    trainable=st.lists(st.sampled_from(["lm_head", "aligner", "language_model"]), min_size=1, max_size=3).map(tuple),
    data=st.builds(
        Data,
        prompts=st.lists(words, min_size=1, max_size=2).map(tuple),
        images=st.lists(st.builds(ImageSource, words, st.none() | st.integers(1, 9999), split=words), min_size=1, max_size=2).map(
            tuple
        ),
    ),
    reward=st.builds(Rewards, gen=weights_by_name, und=weights_by_name, score_end=st.booleans()),
    sampling=st.builds(Sampling, temperature=numbers, guidance=st.none() | numbers, caption_request=words),
    srum=st.builds(Srum, score=st.sampled_from(["yes-no", "text"]), boxes=words, spread=st.sampled_from(["off", "to-go"])),
    grpo=st.builds(GRPO, beta=numbers, anchor=st.sampled_from(["old", "reference"]), population_std=st.booleans()),
    weights=st.builds(TaskWeights, gen=st.floats(0, 2)),
    separate=st.builds(Separate, first=st.sampled_from(["gen", "und"])),
    lora=st.none() | st.builds(Lora, r=st.integers(1, 64), target_modules=st.lists(words, min_size=1).map(tuple)),
    guard=st.builds(Guard, action=st.sampled_from(["stop", "warn", "off"])),
    trainer=st.fixed_dictionaries(
        {},
        optional={
            "learning_rate": numbers,
            "seed": st.integers(0, 2**31),
            "bf16": st.booleans(),
            "save_strategy": st.sampled_from(["no", "steps", "epoch"]),
            "lr_scheduler_kwargs": st.dictionaries(words, st.integers() | words, max_size=2),
            "report_to": st.lists(words, max_size=2),
        },
    ),
).map(lambda recipe: recipe if recipe.lora is None else replace(recipe, trainable=Recipe.trainable))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("recipes")


@limits(max_examples=30, deadline=None, derandomize=True)
@given(recipe=recipes)
def test_what_is_written_out_reads_back_the_same(recipe: Recipe, folder: Path) -> None:
    (folder / "recipe.yaml").write_text(recipe.as_yaml(), encoding="utf-8")
    assert read_recipe(str(folder / "recipe.yaml")) == replace(recipe, trainer=DEFAULTS | recipe.trainer)


def test_what_took_effect_by_default_is_written_out() -> None:
    written = yaml.safe_load(read_recipe("tiny").as_yaml())["trainer"]
    assert written["warmup_steps"] == 5
    assert written.keys() >= DEFAULTS.keys()


def test_adapters_learn_in_place_of_parts() -> None:
    with pytest.raises(UserError, match=r"--set trainable=\[lm_head\]: trainable names what learns without lora"):
        read_recipe("tiny", ["lora.r=2", "trainable=[lm_head]"])


def test_all_settings_are_written_out(folder: Path) -> None:
    for name in shipped():
        recipe = read_recipe(name)
        text = recipe.as_yaml()
        (folder / "recipe.yaml").write_text(text, encoding="utf-8")
        assert read_recipe(str(folder / "recipe.yaml")) == recipe
        for one in fields(Recipe):
            assert re.search(rf"^{one.name}:", text, re.MULTILINE)
        assert "simpo_gamma: 0.5" in text


# Mistakes


MISTAKES = [
    ("model: a\nlerning: 3", r"mine.yaml, line 2: unknown key 'lerning'; \(choices: algorithm, data, "),
    ("model: a\nsimpo:\n  betta: 3", r"mine.yaml, line 3: unknown key 'simpo.betta'; did you mean 'simpo.beta'\? "),
    ("strategy: separat", r"mine.yaml, line 1: unknown strategy 'separat'; did you mean 'separate'\? \(choices: only-gen, "),
    ("strategy: [unified]", r"mine.yaml, line 1: unknown strategy '\['unified'\]'; "),
    ("strategy: {a: b}", r"mine.yaml, line 1: 'strategy' takes one value, not a mapping"),
    ("reward:\n  scorer: me", r"mine.yaml, line 2: unknown reward.scorer 'me'; \(choices: current, frozen\)"),
    ("num_generations: 8.0", r"mine.yaml, line 1: 'num_generations' must be a whole number, not 8.0"),
    ("num_generations: true", r"mine.yaml, line 1: 'num_generations' must be a whole number, not True"),
    ("num_generations:", r"mine.yaml, line 1: 'num_generations' must be a whole number, not None"),
    ("num_generations: 1", r"mine.yaml, line 1: num_generations must be at least 2, not 1: samples are compared in groups"),
    ("model: 3", r"mine.yaml, line 1: 'model' must be a text, not 3"),
    ("model: [a]", r"mine.yaml, line 1: 'model' must be a text, not \['a'\]"),
    ("simpo: {beta: high}", r"mine.yaml, line 1: 'simpo.beta' must be a number, not 'high'"),
    ("simpo: {beta: true}", r"mine.yaml, line 1: 'simpo.beta' must be a number, not True"),
    ("simpo: {beta: .nan}", r"mine.yaml, line 1: simpo.beta must be above 0, not nan"),
    ("simpo: 3", r"mine.yaml, line 1: 'simpo' is a group of settings, not 3"),
    ("data:", r"mine.yaml, line 1: 'data' is a group of settings, not None"),
    ("reward: {score_end: 1}", r"mine.yaml, line 1: 'reward.score_end' must be true or false, not 1"),
    ("reward: {gen: 3}", r"mine.yaml, line 1: 'reward.gen' is a mapping of names to values, not 3"),
    ("reward:\n  gen: {}", r"mine.yaml, line 2: reward.gen names no reward"),
    ("reward: {gen: {dsr: much}}", r"mine.yaml, line 1: 'reward.gen.dsr' must be a number, not 'much'"),
    ("sampling:\n\n  temperature: 0", r"mine.yaml, line 3: sampling.temperature must be above 0, not 0.0"),
    ("sampling: {guidance: -1}", r"mine.yaml, line 1: sampling.guidance must be a number from 0 on, not -1.0"),
    ("sampling: {guidance: .nan}", r"mine.yaml, line 1: sampling.guidance must be a number from 0 on, not nan"),
    ("sampling: {likelihood_guidance: .inf}", r"mine.yaml, line 1: sampling.likelihood_guidance must be a number from 0 on"),
    ("sampling: {temperature: .inf}", r"mine.yaml, line 1: sampling.temperature must be a number from 0 on, not inf"),
    ("sampling: {caption_request: ' '}", r"mine.yaml, line 1: sampling.caption_request is empty"),
    ("lora: {r: 0}", r"mine.yaml, line 1: lora.r must be above 0, not 0"),
    ("lora: {lora_dropout: 1.5}", r"mine.yaml, line 1: lora.lora_dropout must be a number from 0 to 1, not 1.5"),
    ("grpo: {epsilon: -3}", r"mine.yaml, line 1: grpo.epsilon must be a number from 0 on, not -3.0"),
    ("grpo: {epsilon_high: -1}", r"mine.yaml, line 1: grpo.epsilon_high must be a number from 0 on, not -1.0"),
    ("grpo: {beta: -1}", r"mine.yaml, line 1: grpo.beta must be a number from 0 on, not -1.0"),
    ("weights: {und: -1}", r"mine.yaml, line 1: weights.und must be a number from 0 on, not -1.0"),
    ("guard: {reward: -1}", r"mine.yaml, line 1: guard.reward must be a number from 0 on, not -1.0"),
    ("samples_steps: -2", r"mine.yaml, line 1: samples_steps must be a number from 0 on, not -2"),
    ("trainer: {seed: -1}", r"mine.yaml, line 1: trainer.seed must be from 0 to 4294967295, not -1"),
    ("lora: 8", r"mine.yaml, line 1: 'lora' is a group of settings, not 8"),
    ("data: {prompts: []}", r"mine.yaml, line 1: 'data.prompts' is empty; give one value or a list"),
    ("data: {images: }", r"mine.yaml, line 1: 'data.images' is empty; give one value or a list"),
    ("trainable: []", r"mine.yaml, line 1: 'trainable' is empty; give one value or a list"),
    ("data:\n  images:\n  - world\n  - {source: a,\n     cuont: 3}", r"mine.yaml, line 5: unknown key 'data.images.cuont'; "),
    ("data:\n  images:\n  - world\n  - {count: 3}", r"mine.yaml, line 4: 'data.images' lacks the key 'source'"),
    ("data: {prompts: [a, [b]]}", r"mine.yaml, line 1: 'data.prompts' must be a text, not \['b'\]"),
    ("model: a\nstrategy: unified\nmodel: b", r"mine.yaml, line 3: the key 'model' comes twice; keep one"),
    ("data: {images: [{source: a,\n source: b}]}", r"mine.yaml, line 2: the key 'source' comes twice; keep one"),
    ("? [a, b]\n: 3", r"mine.yaml, line 1: a key is a word, not a list or a mapping"),
    ("model: a\nsimpo: {beta: 1", r"mine.yaml, line \d: not YAML \(expected ',' or '}', but got '<stream end>'\)"),
    ("model: 2024-13-45", r"mine.yaml: not YAML \(month must be in 1..12"),
    ("model: &a {b: *a}", r"mine.yaml: not YAML \(a value in it holds itself"),
    ("model: \x07", r"mine.yaml: not YAML \(unacceptable character"),
    ("", r"mine.yaml: a recipe is a mapping of keys to values"),
    ("- model", r"mine.yaml, line 1: a recipe is a mapping of keys to values"),
    ("model: a\nextends: tniy", r"mine.yaml, line 2: unknown recipe 'tniy'; did you mean 'tiny'\? "),
    ("extends: no.yaml", r"mine.yaml, line 1: no recipe file 'no.yaml'; shipped recipes are clip-reward, grpo, "),
    ("extends: [tiny]", r"mine.yaml, line 1: 'extends: \['tiny'\]' is no other recipe \(choices: clip-reward, "),
    ("extends: mine.yaml", r"mine.yaml, line 1: 'extends: mine.yaml' is no other recipe "),
    ("extends: other.yaml", r"other.yaml, line 1: 'extends: mine.yaml' is no other recipe "),
    ("trainer: 3", r"mine.yaml, line 1: 'trainer' is a mapping of names to values, not 3"),
    (
        "trainer:\n  bf16: true\n  lerning_rate: 3",
        r"mine.yaml, line 3: unknown key 'trainer.lerning_rate'; did you mean 'trainer.learning_rate'\? ",
    ),
    ("trainer: {learning_rate: fast}", r"mine.yaml, line 1: trainer.learning_rate must be of type float, not 'fast'"),
    ("trainer: {learning_rate: [1]}", r"mine.yaml, line 1: trainer.learning_rate must be of type float, not \[1\]"),
    ("trainer: {bf16: 1}", r"mine.yaml, line 1: trainer.bf16 must be of type bool, not 1"),
    ("trainer: {max_steps: 1.5}", r"mine.yaml, line 1: trainer.max_steps must be of type int, not 1.5"),
    ("trainer: {max_steps: true}", r"mine.yaml, line 1: trainer.max_steps must be of type int, not True"),
    ("trainer: {seed: null}", r"mine.yaml, line 1: trainer.seed must be of type int, not None"),
    (
        "trainer: {lr_scheduler_type: cosin}",
        r"mine.yaml, line 1: unknown trainer.lr_scheduler_type 'cosin'; did you mean 'cosine'\? ",
    ),
    ("trainer: {per_device_train_batch_size: 0}", r"mine.yaml, line 1: trainer.per_device_train_batch_size must be above 0, "),
    ("trainer: {deepspeed: zero4}", r"mine.yaml, line 1: trainer.deepspeed: no file 'zero4'; give zero2, zero3 or "),
]


@pytest.mark.parametrize(("text", "says"), MISTAKES)
def test_a_mistake_is_one_line_with_file_line_and_key(text: str, says: str, write: Write) -> None:
    write("extends: mine.yaml\n", "other.yaml")
    write(text + "\n")
    with pytest.raises(UserError) as told:
        read_recipe("mine.yaml")
    assert re.match(says, str(told.value)), told.value
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("field", OURS)
def test_trainer_fields_that_other_settings_decide(field: str, write: Write) -> None:
    write(f"trainer:\n  {field}: 1\n")
    with pytest.raises(UserError, match=rf"^mine.yaml, line 2: trainer.{field} is not set here; \S"):
        read_recipe("mine.yaml")


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ("tniy", r"unknown recipe 'tniy'; did you mean 'tiny'\? \(choices: clip-reward, "),
        ("no.yaml", "no recipe file 'no.yaml'; shipped recipes are clip-reward, "),
        ("some/recipe", "no recipe file 'some/recipe'; shipped recipes are "),
        ("binary", r"recipe 'binary' cannot be read \('utf-8' codec can't decode byte 0x89 "),
    ],
)
def test_recipes_that_are_not_there(config: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("binary").write_bytes(b"\x89PNG\r\n")
    with pytest.raises(UserError, match=f"^{says}"):
        read_recipe(config)


@pytest.mark.parametrize(
    ("sets", "says"),
    [
        ("simpo.beta", "--set 'simpo.beta' is not KEY=VALUE; for example --set trainer.learning_rate=3e-6"),
        ("=3", "--set '=3' is not KEY=VALUE; "),
        ("simpo.betta=3", "--set simpo.betta=3: unknown key 'simpo.betta'; did you mean 'simpo.beta'"),
        ("simpo.beta.x=3", "--set simpo.beta.x=3: 'simpo.beta' takes one value, not a mapping"),
        ("num_generations=1", "--set num_generations=1: num_generations must be at least 2"),
        ("simpo={beta: 1", "--set simpo={beta: 1, line 1: not YAML"),
        ("extends=tiny", "--set extends=tiny: 'extends: tiny' is no other recipe"),
        ("extends.a=tiny", "--set extends.a=tiny: extends must be the name of a recipe, not None"),
        ("trainer.bf17=true", "--set trainer.bf17=true: unknown key 'trainer.bf17'; did you mean 'trainer.bf16'"),
    ],
)
def test_mistakes_in_sets_name_the_set(sets: str, says: str) -> None:
    with pytest.raises(UserError, match=f"^{re.escape(says)}"):
        read_recipe("tiny", [sets])


def test_what_training_arguments_refuse_is_one_line() -> None:
    recipe = read_recipe("tiny", ["trainer.load_best_model_at_end=true"])
    with pytest.raises(UserError, match=r"^trainer: ") as told:
        trainer(recipe)
    assert "\n" not in str(told.value)


def test_half_precision_with_a_scaler_is_for_gpus() -> None:
    with pytest.raises(UserError, match=r"^trainer.fp16 is for GPUs; leave it out, or set trainer.bf16=true"):
        trainer(read_recipe("tiny", ["trainer.fp16=true"]))


def test_an_unknown_reward_is_one_line_of_the_command(train: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert train("run", "reward.gen=clop") == 2
    told = capsys.readouterr().err.strip().splitlines()
    assert re.search(r"unknown reward 'clop'; .*\(choices: .*dsr", told[-1])
