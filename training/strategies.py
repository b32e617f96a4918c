"""From a recipe to trained checkpoints: one model for both tasks, for one of them, or two models in turns (method section 6)."""

from __future__ import annotations

import gc
import hashlib
import importlib.metadata
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from PIL import Image
from transformers import TrainingArguments

from suder_bench.errors import UserError, unknown
from suder_bench.models import reference
from suder_bench.models.protocols import ChecksSampling, ImageSampling, LimitsCaptions, Task, Trainable, WeighsTokens
from suder_bench.models.reference import ModelReference
from suder_bench.rewards import proposals
from suder_bench.runs.jsonl import document, replace_file
from suder_bench.runs.judges import check_overrides
from suder_bench.runs.respond import check_sampling
from suder_bench.runs.store import RunFolder
from suder_bench.training import credit, shards
from suder_bench.training.arguments import DEFAULTS, arguments, check_trackers
from suder_bench.training.images import Pictures, open_images
from suder_bench.training.items import MicroBatches
from suder_bench.training.metrics import METRICS_FILE
from suder_bench.training.policy import Policy, check_trainable, load_model
from suder_bench.training.prompts import folders, read_prompts
from suder_bench.training.recipe import Recipe, blamed, read_recipe
from suder_bench.training.rewards import RewardSum, asks_model, check_credit, check_rewards, judge_roles
from suder_bench.training.rollout import Sampler
from suder_bench.training.settled import FREE, flat
from suder_bench.training.trainer import StopAfterEpochs, SuderTrainer

RECIPE_FILE = "recipe.yaml"
FINISHED_FILE = "finished.json"
"""Written last: a run folder that has it is complete."""

VERSIONS_FILE = "versions.json"
MODEL_FILE = "model.json"
"""The start model: name, fingerprint and settings, such as how its likelihood of pictures is estimated."""

DATA_FILE = "data.json"
"""How many prompts and pictures are trained on, and a digest of each: of the prompts' texts, of the pictures' names and sizes."""

JUDGES_FILE = "judges.json"
"""Who makes the numbers of rewards behind an address."""

STATE_FILE = "trainer_state.json"
"""What the Trainer writes last into a checkpoint."""

RANDOM_STATES = "rng_state*.pth"
"""What lies beside the optimizer in a checkpoint, which has other names under DeepSpeed and FSDP."""


@dataclass(frozen=True)
class Training:
    """One training in one folder. `say` is told every step, on the first process; `place` says where a key was written."""

    recipe: Recipe
    out: Path
    device: str
    dtype: str
    offline: bool
    say: Callable[[str], None]
    place: Callable[[str], str]

    def run(self, *, resume: bool) -> int:
        """Train to the end and return the number of optimizer steps. Raises `UserError` for a folder that holds another
        training, and where data, model or rewards do not fit; `TrainingFailed` for what stops it on the way."""
        first = _first_process()
        with RunFolder(self.out).locked() if first else nullcontext():
            if first:
                _claim(self.out, self.recipe, resume=resume)
            done = self.out / FINISHED_FILE
            if resume and done.is_file():
                steps = int(json.loads(done.read_text(encoding="utf-8"))["steps"])
                self.say(f"{self.out} is finished ({steps} steps); nothing to do")
                return steps
            steps = self._train()
            if first:
                replace_file(done, document({"steps": steps}).encode())
            return steps

    def _train(self) -> int:
        recipe = self.recipe
        start = check(recipe, self.place)
        if start.stamp() is None:  # what a hub id is, its own files say
            with blamed(self.place, "model"):
                start = reference.choose(recipe.model)
        if recipe.strategy != "separate" and _all_steps_done(self.out):
            return _steps_done(self.out)
        prompts, pictures = self._data()
        if _first_process():
            self._record_data(prompts, pictures)
        counts: dict[Task, int] = {"gen": len(prompts), "und": len(pictures)}
        if recipe.strategy != "separate":
            trainer = self._trainer(self.out, {task: counts[task] for task in recipe.tasks}, prompts, pictures, start)
            return _go(trainer, self.out)
        # An epoch of one model, scored by the other as it stands, then the other way round; checkpoints carry each over.
        turns = turns_of(recipe)
        for i, task in enumerate(turns):
            other: Task = "und" if task == "gen" else "gen"
            folder, last = self.out / task, last_checkpoint(self.out / other)
            partner = start if last is None else start.at(last)
            epoch, epochs = turns[: i + 1].count(task), turns.count(task)
            if epoch <= _epochs_done(folder):
                continue
            self.say(f"{task}: epoch {epoch} of {epochs}, scored by {partner.name}")
            mine = {task: counts[task]}
            _go(self._trainer(folder, mine, prompts, pictures, start, partner=partner, epoch=epoch, epochs=epochs), folder)
            gc.collect()  # a trainer is full of cycles, and the next turn needs its memory
        return sum(_steps_done(self.out / task) for task in ("gen", "und"))

    def _record_data(self, prompts: Sequence[str], pictures: Pictures) -> None:
        """Write down what is trained on. Raises `UserError` where a training that goes on saw something else."""
        was = _recorded(self.out / DATA_FILE)
        told = {"prompts": _summed_up(prompts), "images": _summed_up(pictures.names())}
        for name, now in told.items():
            before = was.get(name, now)
            if before != now:
                with blamed(self.place, f"data.{name}"):
                    raise UserError(
                        f"{self.out} was trained on {before['count']} {name} with the digest {before['digest']}, not on these"
                        f" {now['count']} with {now['digest']}; resume with the same data, or choose another --out"
                    )
        replace_file(self.out / DATA_FILE, document(told).encode())

    def _data(self) -> tuple[Sequence[str], Pictures]:
        """Prompts and pictures of the tasks that are trained; nothing is opened for the other one."""
        recipe = self.recipe
        with blamed(self.place, "data.prompts"):
            prompts = read_prompts(recipe.data.prompts, self.say, offline=self.offline) if "gen" in recipe.tasks else []
        with blamed(self.place, "data.images"):
            pictures = open_images(recipe.data.images) if "und" in recipe.tasks else Pictures([])
        return prompts, pictures

    def _trainer(
        self,
        folder: Path,
        counts: Mapping[Task, int],
        prompts: Sequence[str],
        pictures: Sequence[Image.Image],
        start: ModelReference,
        *,
        partner: ModelReference | None = None,
        epoch: float = math.inf,
        epochs: int | None = None,
    ) -> SuderTrainer:
        """The trainer of one model, until the end of its `epoch`-th epoch; `partner` scores in its place."""
        recipe = self.recipe
        if epochs is not None:
            recipe = replace(recipe, trainer={**recipe.trainer, "num_train_epochs": epochs})
        args = arguments(recipe, folder, device=self.device, tasks=len(counts))
        batches = MicroBatches(
            counts=counts,
            batch_size=args.per_device_train_batch_size,
            global_batch_size=recipe.global_batch_size,
            rank=args.process_index,
            world=args.world_size,
            seed=args.seed,
            num_iterations=recipe.updates,
        )
        device = "cpu" if args.device.type == "cpu" else str(args.device)  # processes on the CPU are said to be on cpu:0

        # DeepSpeed casts the weights that learn, and no others; a copy in another precision would differ from them at the start.
        copies = "bfloat16" if args.deepspeed_plugin is not None and args.bf16 else self.dtype

        def copy_of(which: ModelReference) -> Trainable:
            return load_model(which, recipe, device=device, dtype=copies)

        with shards.whole_weights(args):
            with blamed(self.place, "model"):
                model = load_model(start, recipe, device=device, dtype=self.dtype)
            with blamed(self.place, "algorithm"):
                _check_estimated(recipe, model)
            with blamed(self.place, "sampling"):
                chosen = recipe.sampling
                check_sampling(model, ImageSampling(chosen.temperature, chosen.guidance, chosen.steps))
            with blamed(self.place, "sampling.max_completion_length"):
                _check_captions(recipe, model)
            if _first_process():
                with blamed(self.place, "model"):
                    _record_start(self.out, start, model)
            if model.estimator is not None:
                self.say(f"the likelihood of pictures is estimated: {model.estimator}")
            with blamed(self.place, "data.prompts"):
                for prompt in prompts if "gen" in counts else []:
                    model.check_prompt(prompt)
            acting = copy_of(start) if shards.are_used(args) else model
            frozen = copy_of(start) if recipe.needs_start or recipe.draws_from_start or self._frozen(partner) else None
            scorer = frozen if frozen is not None and self._frozen(partner) else acting
            scorer = scorer if partner is None else copy_of(partner)
        policy, copy = Policy.of(recipe, model), None if acting is model else Policy.of(recipe, acting)
        for judge in {id(one): one for one in (frozen, scorer, acting) if one is not None and one is not model}.values():
            judge.network.requires_grad_(False).eval()
        rewards = {task: self._reward(task, acting, scorer, prompts, device) for task in counts}
        drawing = frozen if recipe.draws_from_start and frozen is not None else acting
        sampler = Sampler(
            model=drawing,
            rewards=rewards,
            settings=recipe.sampling,
            guidance=ImageSampling(
                guidance=start.guidance if recipe.sampling.guidance is None else recipe.sampling.guidance
            ).weight,
            group=recipe.num_generations,
            seed=args.seed,
            say=self.say,
            credit=credit.load(recipe, rewards["gen"], drawing, self.say) if "gen" in rewards else None,
            pairs_only=recipe.algorithm == "simpo",
        )
        return SuderTrainer(
            policy,
            args,
            recipe,
            batches=batches,
            prompts=prompts,
            pictures=pictures,
            sampler=sampler,
            start=frozen if recipe.needs_start else None,
            acting=copy,
            say=self.say,
            callbacks=[StopAfterEpochs(epoch)],
        )

    def _frozen(self, partner: ModelReference | None) -> bool:
        """Whether a frozen copy of the start model is asked for rewards."""
        reward = self.recipe.reward
        asked = any(asks_model(getattr(reward, task)) for task in self.recipe.tasks)
        return partner is None and reward.scorer == "frozen" and asked

    def _reward(self, task: Task, model: Trainable, scorer: Trainable, prompts: Sequence[str], device: str) -> RewardSum:
        settings = self.recipe.reward
        with blamed(self.place, f"reward.{task}"):
            reward = RewardSum.load(
                getattr(settings, task),
                model=model,
                scorer=scorer,
                task=task,
                data=folders(self.recipe.data.prompts),
                batch_size=settings.batch_size,
                judges=settings.judges,
                judging=self.recipe.srum,
                device=device,
                offline=self.offline,
                say=self.say,
                prompts=prompts if task == "gen" else None,
            )
            if task == "gen":
                reward.check(prompts)
            if _first_process():
                _record(self.out, reward.told())
        return reward


def check(recipe: Recipe, place: Callable[[str], str]) -> ModelReference:
    """Raises `UserError` for all that is wrong whatever the data and the weights hold; returns the start model, not loaded."""
    _check_saving(recipe)
    if recipe.strategy == "separate":
        turns_of(recipe)
    with blamed(place, "trainer.report_to"):
        check_trackers(recipe)
    for task in recipe.tasks:
        with blamed(place, f"reward.{task}"):
            check_rewards(getattr(recipe.reward, task), task)
    if recipe.srum.credit == "boxes":
        with blamed(place, "srum.credit"):
            check_credit(recipe.reward.gen)
    with blamed(place, "srum.boxes"):
        proposals.check(recipe.srum.boxes)
    with blamed(place, "reward.judges"):
        roles = [role for task in recipe.tasks for role in judge_roles(getattr(recipe.reward, task))]
        check_overrides(list(dict.fromkeys(roles)), recipe.reward.judges)
    with blamed(place, "model"):
        start = reference.choose(recipe.model, fetch=False)
        kind = check_trainable(start)
        start.check()
    with blamed(place, "sampling.steps"):
        if recipe.sampling.steps is not None and not issubclass(kind, ChecksSampling):
            raise UserError(f"model '{start.name}' draws in no steps; leave sampling.steps out")
    with blamed(place, "trainable"):
        for name in recipe.trainable or ():
            if name not in kind.anatomy.parts:
                raise unknown("trainable part", name, kind.anatomy.parts)
    return start


def _check_estimated(recipe: Recipe, model: Trainable) -> None:
    if recipe.algorithm == "diffu-grpo" and model.estimator is None:
        raise UserError(f"diffu-grpo is for an estimated likelihood, but that of model '{model.name}' is exact; use grpo")
    if recipe.algorithm in ("grpo", "diffu-grpo") and isinstance(model, WeighsTokens) and model.weighs_tokens:
        raise UserError(
            f"{recipe.algorithm} takes ratios of single tokens, which the estimate '{model.estimator}' of model '{model.name}'"
            " has not: it counts some for others; choose another in model, such as estimator=one-step, or algorithm=simpo"
        )


def _check_captions(recipe: Recipe, model: Trainable) -> None:
    longest = recipe.sampling.max_completion_length
    if "und" in recipe.tasks and isinstance(model, LimitsCaptions) and longest > model.caption_tokens:
        raise UserError(
            f"model '{model.name}' scores no caption of {longest} tokens to its end, but of {model.caption_tokens} at most; set"
            f" sampling.max_completion_length={model.caption_tokens}"
        )


def last_checkpoint(folder: Path) -> Path | None:
    """The complete checkpoint with the most steps."""
    found = [path.parent for path in folder.glob(f"checkpoint-*/{STATE_FILE}") if _state(path.parent)]
    return max(found, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


def _state(checkpoint: Path) -> dict[str, Any]:
    """What the Trainer says of a checkpoint; nothing where it was stopped in the middle of saying it."""
    try:
        state: dict[str, Any] = json.loads((checkpoint / STATE_FILE).read_text(encoding="utf-8"))
    except ValueError:
        return {}
    return state


def _go(trainer: SuderTrainer, folder: Path) -> int:
    last = last_checkpoint(folder)
    if last is not None and not any(last.glob(RANDOM_STATES)):
        raise UserError(
            f"{last} has no optimizer to go on with (trainer.save_only_model); train from the start into another --out"
        )
    trainer.train(resume_from_checkpoint=None if last is None else str(last))
    trainer.accelerator.wait_for_everyone()  # the first process may still be writing what the next turn reads
    return int(trainer.state.global_step)


def _check_saving(recipe: Recipe) -> None:
    """Raises `UserError` where a checkpoint would lie between updates on the same samples, which it does not hold."""
    updates = recipe.updates
    chosen = DEFAULTS | dict(recipe.trainer)
    every = chosen.get("save_steps", TrainingArguments.save_steps)
    if updates > 1 and str(chosen["save_strategy"]) == "steps" and (every < 1 or every % updates):
        fits = max(1, round(every / updates)) * updates
        raise UserError(
            f"trainer.save_steps {every} is no multiple of grpo.num_iterations {updates}: a checkpoint between updates on the"
            f" same samples could not go on exactly; use {fits}"
        )


def turns_of(recipe: Recipe) -> list[Task]:
    """Which model trains in each epoch of the separate strategy."""
    epochs = recipe.trainer.get("num_train_epochs", DEFAULTS["num_train_epochs"])
    if recipe.trainer.get("max_steps", -1) > 0 or epochs != int(epochs):
        raise UserError("strategy separate counts in whole epochs; set trainer.max_steps=-1 and trainer.num_train_epochs")
    first = recipe.separate.first
    order: list[Task] = [first, "und" if first == "gen" else "gen"]
    return order * int(epochs) if recipe.separate.epochs == "each" else (order * int(epochs))[: int(epochs)]


def _epochs_done(folder: Path) -> float:
    last = last_checkpoint(folder)
    return 0.0 if last is None else float(_state(last)["epoch"]) + 1e-6


def _all_steps_done(folder: Path) -> bool:
    """Whether a training was stopped after its last checkpoint, before it said that it has finished."""
    last = last_checkpoint(folder)
    return last is not None and bool(_state(last)["global_step"] >= _state(last)["max_steps"])


def _steps_done(folder: Path) -> int:
    last = last_checkpoint(folder)
    return 0 if last is None else int(last.name.rpartition("-")[2])


def _first_process() -> bool:
    return os.environ.get("RANK", "0") == "0"


def _recorded(file: Path) -> dict[str, Any]:
    """What is written down in the folder; nothing where a training was made before it was."""
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return found


def _summed_up(lines: Sequence[str]) -> dict[str, Any]:
    digest = hashlib.sha256("\n".join(lines).encode("utf-8", "surrogatepass"))
    return {"count": len(lines), "digest": digest.hexdigest()[:16]}


def _record_start(out: Path, start: ModelReference, model: Trainable) -> None:
    """Write down what learns. Raises `UserError` where a training that goes on began with something else."""
    was = _recorded(out / MODEL_FILE).get("fingerprint", model.fingerprint)
    if was != model.fingerprint:
        raise UserError(
            f"{out} began with the fingerprint {was} of '{start.name}', which is {model.fingerprint} now; bring the same weights,"
            " or choose another --out"
        )
    told = {"name": start.name, "fingerprint": model.fingerprint, "settings": model.settings}
    replace_file(out / MODEL_FILE, document(told).encode())


def _record(out: Path, told: Mapping[str, Any]) -> None:
    """Write down who rewards from afar. Raises `UserError` where a training that goes on was rewarded by others."""
    if not told:
        return
    file = out / JUDGES_FILE
    old = _recorded(file)
    for name, judges in told.items():
        if (was := old.get(name, judges)["fingerprint"]) != judges["fingerprint"]:
            raise UserError(
                f"{out} was rewarded by {name} with the fingerprint {was}, which is {judges['fingerprint']} now;"
                " serve the same judges and data, or choose another --out"
            )
    replace_file(file, document({**old, **told}).encode())


def _claim(out: Path, recipe: Recipe, *, resume: bool) -> None:
    """Make the folder this training's. Raises `UserError` when it holds another one, or one that was not meant to go on."""
    file, text = out / RECIPE_FILE, recipe.as_yaml()
    others = sorted(entry.name for entry in out.iterdir() if not entry.name.startswith("."))
    if others and not file.is_file():
        raise UserError(f"{out} holds other things than a training ({others[0]}); choose another --out")
    if not _begun(out):  # also where a mistake in the recipe stopped it before its first step
        replace_file(file, text.encode())
        replace_file(out / VERSIONS_FILE, document(_versions()).encode())
        for name in (MODEL_FILE, DATA_FILE, JUDGES_FILE):
            (out / name).unlink(missing_ok=True)
        return
    if not resume:
        raise UserError(f"{out} holds a training; go on with --resume, or choose another --out")
    old, new = (flat(yaml.safe_load(one)) for one in (read_recipe(str(file)).as_yaml(), text))
    for key in old | new:
        if old.get(key) != new.get(key) and not key.startswith(FREE):
            raise UserError(
                f"{out} was trained with {key}={old.get(key)!r}, not {new.get(key)!r};"
                " resume with the same recipe, or choose another --out"
            )
    replace_file(file, text.encode())


def _begun(out: Path) -> bool:
    return any(file.is_file() for folder in (out, out / "gen", out / "und") for file in folder.glob(METRICS_FILE))


def _versions() -> dict[str, str]:
    names = ("suder-bench", "torch", "transformers", "accelerate", "peft", "deepspeed")
    found = {}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
