"""Recipes: what a training is, read from YAML and `--set`, checked key by key, and written out whole into the run.

The defaults are the paper's, and where it is silent those of the method's section that is named beside the field; `trainer`
takes any field of transformers' `TrainingArguments`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import yaml

from suder_bench.errors import UserError, unknown
from suder_bench.models.protocols import Task
from suder_bench.rewards.regions import Map, Spread
from suder_bench.rewards.srum import Judging
from suder_bench.training.images import ImageSource
from suder_bench.training.objectives import GRPO, SimPO
from suder_bench.training.placed_yaml import Tree, build, parse

Strategy = Literal["unified", "only-gen", "only-und", "separate"]

SUMS = ("reward.gen", "reward.und")
"""Keys whose mapping is one value: a later one replaces an earlier one."""

TASKS: Mapping[str, tuple[Task, ...]] = {
    "unified": ("gen", "und"),
    "only-gen": ("gen",),
    "only-und": ("und",),
    "separate": ("gen", "und"),
}


@dataclass(frozen=True)
class Data:
    """Prompts and unrelated pictures (method section 7); a step's items are (one prompt, one picture) each."""

    prompts: tuple[str, ...] = ("t2i-compbench:official",)
    images: tuple[ImageSource, ...] = (ImageSource("journeydb", 2800), ImageSource("coco118k", 2800))


@dataclass(frozen=True)
class Rewards:
    """Weights of rewards by name, for each task. `scorer` is who computes `dsr`: the weights that learn, or a frozen copy of
    the start weights; the separate strategy always asks the partner. `score_end` scores the prompt's end token too. `judges`
    are back-ends by role for `evaluator:...`, as `--judge` of `run` has them."""

    gen: Mapping[str, float] = field(default_factory=lambda: {"dsr": 1.0})
    und: Mapping[str, float] = field(default_factory=lambda: {"dsr": 1.0})
    scorer: Literal["current", "frozen"] = "current"
    score_end: bool = False
    judges: Mapping[str, str] = field(default_factory=dict)
    batch_size: int = 32


@dataclass(frozen=True)
class Sampling:
    """How candidates are made (method section 3). `guidance`, `steps` and `caption_request` None are the checkpoint's own, as in
    `run`; `steps` are those of models that draw in steps. `likelihood_guidance` other than 1 trains on the guided
    distribution."""

    temperature: float = 1.0
    guidance: float | None = None
    steps: int | None = None
    likelihood_guidance: float = 1.0
    max_completion_length: int = 256
    caption_request: str | None = None
    batch_size: int = 32


@dataclass(frozen=True)
class TaskWeights:
    """L = gen L_gen + und L_und."""

    gen: float = 1.0
    und: float = 1.0


@dataclass(frozen=True)
class Separate:
    """Which model's epoch comes first, and whether `num_train_epochs` is for each model or for both together."""

    first: Task = "gen"
    epochs: Literal["each", "total"] = "each"


@dataclass(frozen=True)
class Srum(Judging):
    """The reward `srum` and how training credits a picture's codes one by one (method notes on SRUM, sections 4 and 8).

    `credit`: off; boxes, by the regions of a reward in `reward.gen` such as srum, of weight 0 where only they are wanted; or
    guidance, by what the prompt adds to the log-probability of each code, which needs no boxes. `map` is what boxes say of a
    code: signed, or as released, where a bad box says nothing. It is carried back to the codes drawn before it by `spread`: to
    those of its column with the weight `rho`, or to all (to-go). `centred` takes a picture's mean from it, for a model that says
    no to most regions whatever they show. `alpha` is how far credit moves a code's advantage (grpo) or weight (simpo); advantages
    stay within `clip`. Unless `losers_gain`, good parts of a picture that loses are not rewarded.

    Of the algorithm weighted: `floor` is lambda, which stands for the reference; `samples` are drawn by the start weights, or by
    those that learn (current).
    """

    credit: Literal["off", "boxes", "guidance"] = "off"
    map: Map = "signed"
    spread: Spread = "columns"
    rho: float = 0.2
    centred: bool = False
    alpha: float = 0.5
    clip: float = 3.0
    losers_gain: bool = True
    floor: float = 0.5
    samples: Literal["start", "current"] = "start"


@dataclass(frozen=True)
class Lora:
    """peft's field names; the adapters sit in the language model's linear layers, in all or in those of `target_modules`.
    Checkpoints hold the merged weights."""

    r: int = 16
    lora_alpha: int = 32
    lora_dropout: float = 0.0
    target_modules: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Guard:
    """Against collapse. Over the last `window` steps: `entropy` is the least share of the start's entropy, `reward` the
    largest fall of the mean reward below its best, in within-group standard deviations of the start. R_U drifts by two to four
    of them in trainings that go well, because its judge learns too."""

    action: Literal["stop", "warn", "off"] = "stop"
    window: int = 10
    entropy: float = 0.2
    reward: float = 5.0


@dataclass(frozen=True)
class Recipe:
    """`algorithm` diffu-grpo is grpo for models whose likelihood of pictures is estimated: what the estimate draws at random is
    drawn anew in every update on the same samples. weighted is SRUM's: the likelihood of pictures, weighted by what they and
    their parts are worth. `global_batch_size` counts items of one optimizer step over all ranks; how
    many batches are accumulated follows from it. `trainable` names parts of the model, None those that usually learn.
    `samples_steps`: every so many steps a sheet of pictures and one of captions with their rewards.
    """

    model: str = "deepseek-community/Janus-Pro-7B"
    strategy: Strategy = "unified"
    algorithm: Literal["simpo", "grpo", "diffu-grpo", "weighted"] = "simpo"
    num_generations: int = 8
    global_batch_size: int = 128
    trainable: tuple[str, ...] | None = None
    data: Data = field(default_factory=Data)
    reward: Rewards = field(default_factory=Rewards)
    sampling: Sampling = field(default_factory=Sampling)
    simpo: SimPO = field(default_factory=SimPO)
    grpo: GRPO = field(default_factory=GRPO)
    srum: Srum = field(default_factory=Srum)
    weights: TaskWeights = field(default_factory=TaskWeights)
    separate: Separate = field(default_factory=Separate)
    lora: Lora | None = None
    guard: Guard = field(default_factory=Guard)
    samples_steps: int = 10
    trainer: Mapping[str, Any] = field(default_factory=dict)

    @property
    def tasks(self) -> tuple[Task, ...]:
        return TASKS[self.strategy]

    @property
    def updates(self) -> int:
        """On each batch of samples."""
        return self.grpo.num_iterations if self._is_grpo else 1

    @property
    def needs_start(self) -> bool:
        """Whether the start weights are asked for log-probabilities."""
        return self._is_grpo and (self.grpo.beta != 0 or self.grpo.anchor == "reference")

    @property
    def draws_from_start(self) -> bool:
        """Whether the samples are those of the start weights."""
        return self.algorithm == "weighted" and self.srum.samples == "start"

    @property
    def _is_grpo(self) -> bool:
        return self.algorithm in ("grpo", "diffu-grpo")

    def as_yaml(self) -> str:
        """Every setting, the defaults included, as a recipe that reads back the same."""
        return yaml.safe_dump(_plain(asdict(self)), sort_keys=False, allow_unicode=True)


def shipped() -> list[str]:
    """The names of the recipes that come with the package."""
    return sorted(file.name.removesuffix(".yaml") for file in _recipes().iterdir() if file.name.endswith(".yaml"))


def read_recipe(config: str, sets: Sequence[str] = ()) -> Recipe:
    """The recipe of a shipped name or a file, with `KEY=VALUE` pairs put over it; a dotted KEY goes into a group.

    A recipe may extend another: `extends: NAME`, which `--set extends=NAME` exchanges. Raises `UserError` with file, line and
    key for an unknown key or a value of a wrong type.
    """
    return read_placed(config, sets)[0]


def read_placed(config: str, sets: Sequence[str] = ()) -> tuple[Recipe, Callable[[str], str]]:
    """The recipe as `read_recipe` gives it, and a function of a dotted key: where its value, or the group's, was written."""
    tree = Tree.of_sets(sets, SUMS)
    base = tree.children.pop("extends", None)
    top = _read(config, None)
    if base is not None:
        if not isinstance(base.value, str):
            raise UserError(f"{base.place}: extends must be the name of a recipe, not {base.value!r}")
        top.children["extends"] = base
    merged = _unsaid()
    merged.put_over(_extended(top, seen=(config,)), SUMS)
    merged.put_over(tree, SUMS)
    recipe = build(Recipe, merged, "")

    def place(key: str) -> str:
        here, found = merged, "recipe"
        for name in key.split("."):
            if name in here.children:
                here = here.children[name]
                found = here.place
        return found

    return _checked(recipe, place), place


@contextmanager
def blamed(place: Callable[[str], str], key: str) -> Iterator[None]:
    """A mistake that comes to light inside is the key's: tell its place in the recipe too."""
    try:
        yield
    except UserError as mistake:
        mistake.args = (f"{place(key)}: {key}: {mistake}",)
        raise


def _unsaid() -> Tree:
    """The default rewards, to which a dotted key adds as to written ones."""
    tasks = {task: Tree("recipe", "dsr") for task in ("gen", "und")}
    return Tree("recipe", is_mapping=True, children={"reward": Tree("recipe", is_mapping=True, children=tasks)})


def _recipes() -> Any:
    return files("suder_bench.training").joinpath("recipes")


def _read(config: str, place: str | None) -> Tree:
    """The tree of a shipped name or of a file; `place` is what asked for it."""
    where = f"{place}: " if place else ""
    shipped_file = _recipes().joinpath(f"{config}.yaml")
    if "/" not in config and shipped_file.is_file():
        return parse(shipped_file.read_text(encoding="utf-8"), f"{config}.yaml")
    path = Path(config).expanduser()
    if not path.is_file():
        if path.suffix in (".yaml", ".yml") or "/" in config:
            raise UserError(f"{where}no recipe file '{config}'; shipped recipes are {', '.join(shipped())}")
        raise UserError(where + str(unknown("recipe", config, shipped())))
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{where}recipe '{config}' cannot be read ({error})") from None
    return parse(text, str(path))


def _extended(tree: Tree, seen: tuple[str, ...]) -> Tree:
    if not tree.is_mapping:
        raise UserError(f"{tree.place}: a recipe is a mapping of keys to values")
    base = tree.children.pop("extends", None)
    if base is None:
        return tree
    if not isinstance(base.value, str) or base.value in seen:
        raise UserError(f"{base.place}: 'extends: {base.value}' is no other recipe (choices: {', '.join(shipped())})")
    below = _extended(_read(base.value, base.place), (*seen, base.value))
    below.put_over(tree, SUMS)
    return below


def _checked(recipe: Recipe, place: Callable[[str], str]) -> Recipe:
    """The recipe with the `trainer` settings in their own types. Raises `UserError` naming place, key, value and choices."""
    from suder_bench.training.arguments import DEFAULTS, check_field  # which need a `Recipe`

    def wrong(key: str, says: str) -> UserError:
        return UserError(f"{place(key)}: {key} {says}")

    positive = {
        "global_batch_size": recipe.global_batch_size,
        "sampling.batch_size": recipe.sampling.batch_size,
        "sampling.max_completion_length": recipe.sampling.max_completion_length,
        "reward.batch_size": recipe.reward.batch_size,
        "grpo.num_iterations": recipe.grpo.num_iterations,
        "guard.window": recipe.guard.window,
        "simpo.beta": recipe.simpo.beta,
        "sampling.temperature": recipe.sampling.temperature,
        "lora.r": 1 if recipe.lora is None else recipe.lora.r,
        "sampling.steps": 1 if recipe.sampling.steps is None else recipe.sampling.steps,
        "srum.cells": recipe.srum.cells,
        "srum.most": recipe.srum.most,
        "srum.clip": recipe.srum.clip,
    }
    for key, value in positive.items():
        if not value > 0:
            raise wrong(key, f"must be above 0, not {value}")
    from_0 = {
        "sampling.guidance": recipe.sampling.guidance or 0.0,
        "sampling.likelihood_guidance": recipe.sampling.likelihood_guidance,
        "srum.alpha": recipe.srum.alpha,
        "srum.rho": recipe.srum.rho,
        "srum.floor": recipe.srum.floor,
        "grpo.beta": recipe.grpo.beta,
        "grpo.epsilon": recipe.grpo.epsilon,
        "grpo.epsilon_high": recipe.grpo.epsilon_high,
        "grpo.advantage_epsilon": recipe.grpo.advantage_epsilon,
        "weights.gen": recipe.weights.gen,
        "weights.und": recipe.weights.und,
        "guard.entropy": recipe.guard.entropy,
        "guard.reward": recipe.guard.reward,
        "samples_steps": recipe.samples_steps,
    }
    for key, value in (from_0 | positive).items():
        if not 0 <= value < math.inf:
            raise wrong(key, f"must be a number from 0 on, not {value}")
    if recipe.lora is not None and not 0 <= recipe.lora.lora_dropout <= 1:
        raise wrong("lora.lora_dropout", f"must be a number from 0 to 1, not {recipe.lora.lora_dropout}")
    if recipe.algorithm == "weighted" and recipe.strategy != "only-gen":
        raise wrong(
            "algorithm", f"weighted has no map of captions, which strategy {recipe.strategy} trains; set strategy=only-gen"
        )
    if recipe.srum.credit != "off" and "gen" not in recipe.tasks:
        raise wrong("srum.credit", f"{recipe.srum.credit} is of pictures, which strategy {recipe.strategy} does not train")
    if recipe.num_generations < 2:
        raise wrong("num_generations", f"must be at least 2, not {recipe.num_generations}: samples are compared in groups")
    for task in recipe.tasks:
        if not getattr(recipe.reward, task):
            raise wrong(f"reward.{task}", "names no reward")
    if recipe.sampling.caption_request is not None and not recipe.sampling.caption_request.strip():
        raise wrong("sampling.caption_request", "is empty")
    trainer = {}
    for name, value in recipe.trainer.items():
        try:
            trainer[name] = check_field(name, value)
        except UserError as mistake:
            raise UserError(f"{place(f'trainer.{name}')}: {mistake}") from None
    if trainer.get("save_only_model") and recipe.strategy == "separate":
        raise wrong("trainer.save_only_model", "keeps no optimizer, and each model needs its own when its turn comes again")
    if recipe.lora is not None and recipe.trainable is not None:
        raise wrong("trainable", "names what learns without lora, whose adapters learn in its place; leave one of them out")
    return replace(recipe, trainer=DEFAULTS | trainer)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value
