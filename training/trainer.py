"""The trainer: transformers' `Trainer` with sampling, scoring and the objectives inside a step.

A micro-batch holds one task, and all ranks work on the same one: `Trainer` accumulates the batches of both tasks into one
optimizer step, so that the loss of a step is weights.gen L_gen + weights.und L_und, each a mean over the step's items.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch.distributed.tensor import DTensor
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from suder_bench.errors import UserError
from suder_bench.models.protocols import Task, Trainable
from suder_bench.models.sampling import NoNumbersError
from suder_bench.runs.batches import out_of_memory
from suder_bench.training import metrics, shards, sheets
from suder_bench.training.halving import Halving
from suder_bench.training.items import Item, ItemLoader, MicroBatches
from suder_bench.training.metrics import Tally, TrainingFailed, Watch, Work
from suder_bench.training.objectives import (
    Form,
    advantages,
    grpo_losses,
    mean_logprobs,
    pair_weights,
    pairs,
    simpo_losses,
    token_advantages,
    weighted_losses,
)
from suder_bench.training.policy import Policy, scores
from suder_bench.training.recipe import Recipe
from suder_bench.training.rollout import Rollout, Sampler


class SuderTrainer(Trainer):
    """Trains `policy` on `tasks` with candidates from `sampler`. `start` holds the frozen start weights, for the KL of GRPO;
    `acting` the whole copy that samples in place of a policy whose weights lie in shards.

    Raises `TrainingFailed` naming the sample when a loss is not finite, and when the guard sees a collapse.
    """

    def __init__(
        self,
        policy: Policy,
        args: TrainingArguments,
        recipe: Recipe,
        *,
        batches: MicroBatches,
        prompts: Sequence[str],
        pictures: Sequence[Image.Image],
        sampler: Sampler,
        start: Trainable | None,
        acting: Policy | None,
        say: Callable[[str], None],
        callbacks: list[TrainerCallback] | None = None,
    ) -> None:
        super().__init__(model=policy, args=args, callbacks=callbacks)
        for shown in (PrinterCallback, ProgressCallback):
            self.remove_callback(shown)
        self.model_accepts_loss_kwargs = False  # losses are means over items: the Trainer divides by the accumulated batches
        self.policy, self.recipe, self.batches = policy, recipe, batches
        self.prompts, self.pictures, self.sampler, self.start, self.acting = prompts, pictures, sampler, start, acting
        if self.is_fsdp_enabled and not self.accelerator.is_fsdp2:
            raise UserError("FSDP trains in its version 2 only; set fsdp_version: 2 in the launcher's or trainer.fsdp_config")
        self.tasks = tuple(batches.counts)
        self.views = batches.num_iterations if recipe.algorithm == "diffu-grpo" else 1
        self._say = say
        self._tally, self._work = Tally(), Work()
        self._stored: dict[tuple[Task, int], Rollout] = {}
        self._shown: set[Task] = set()
        self._folder = Path(str(args.output_dir))
        self._watch = Watch(recipe.guard)
        self._clock = time.perf_counter()
        self._scoring = Halving("scoring with the start weights", recipe.reward.batch_size, say)

    def train(  # type: ignore[override]
        self, resume_from_checkpoint: str | None = None
    ) -> Any:
        """Go to the end, from a checkpoint's folder where one is given."""
        step = int(Path(str(resume_from_checkpoint)).name.rpartition("-")[2]) if resume_from_checkpoint else 0
        if self.is_world_process_zero():
            metrics.cut_rows(self._folder, step)
        done = [row for row in metrics.read_rows(self._folder) if row["step"] <= step]
        self._watch = Watch(self.recipe.guard, done)  # on all ranks, which see the same means, so that they stop together
        self._clock = time.perf_counter()
        return super().train(resume_from_checkpoint=resume_from_checkpoint)

    def get_train_dataloader(self) -> ItemLoader:
        return ItemLoader(self.batches)

    def _prepare_inputs(self, inputs: Any) -> Rollout:  # type: ignore[override]
        """A batch of items becomes its rollout: sampled at the first update on it, kept for the others.

        A step's batches of a task are sampled together, as many as `sampling.batch_size` allows: the weights stay what they
        are until the step ends, and sampling is slow in small batches.
        """
        items: list[Item] = inputs
        first = items[0]
        key = (first.task, first.place)
        if key not in self._stored:
            at_once = self.recipe.sampling.batch_size // (len(items) * self.recipe.num_generations)
            batches = self.batches.onwards(items, max(1, at_once))
            self.policy.eval()  # candidates and rewards are made without dropout
            if self.acting is not None:
                shards.take_over(self.policy, self.acting)
            with self.accelerator.autocast():
                parts = self._rolled_out([item for batch in batches for item in batch]).parts(len(items))
            self.policy.train()
            self._stored |= {(first.task, part.items[0].place): part for part in parts}
        rollout = self._stored.pop(key)
        rollout.view = first.iteration if self.views > 1 else 0
        if first.iteration + 1 < self.batches.num_iterations:
            self._stored[key] = rollout
        return rollout

    def _rolled_out(self, items: list[Item]) -> Rollout:
        task = items[0].task
        try:
            if task == "gen":
                rollout = self.sampler.pictures(items, [self.prompts[item.index] for item in items])
            else:
                rollout = self.sampler.captions(items, [self.pictures[item.index] for item in items])
        except NoNumbersError as error:
            told = f"{error}; the last checkpoint stays"
            raise TrainingFailed(f"sampling for {task} at step {self.state.global_step + 1}: {told}") from error
        if self.start is not None:
            rollout.reference = [self._reference(rollout, self.start, view) for view in range(self.views)]
        metrics.add_rollout(self._tally, rollout)
        self._work.add(rollout)
        every = self.recipe.samples_steps
        if every and self.state.global_step % every == 0 and task not in self._shown and self.is_world_process_zero():
            self._shown.add(task)
            sheets.save(rollout, self._folder / "samples" / f"step-{self.state.global_step:06d}-{task}.png")
        return rollout

    @torch.no_grad()
    def _reference(self, rollout: Rollout, start: Trainable, view: int) -> list[torch.Tensor]:
        seeds, guidance = self.sampler.view_seeds(rollout.items, view), self.recipe.sampling.likelihood_guidance

        def score(part: slice) -> list[torch.Tensor]:
            contexts, tokens = rollout.contexts[part], rollout.tokens[part]
            return scores(start, rollout.task, contexts, tokens, guidance=guidance, seeds=seeds[part])[0]

        return [one for part in self._scoring.over(len(rollout.tokens), score) for one in part]

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """The Trainer's own; ranks exchange gradients in it, so that none can take smaller parts for itself."""
        try:
            step: torch.Tensor = super().training_step(*args, **kwargs)
        except Exception as error:
            if not out_of_memory(error):
                raise
            size = self.args.per_device_train_batch_size
            raise TrainingFailed(
                f"step {self.state.global_step + 1}: out of memory in the update, of trainer.per_device_train_batch_size {size};"
                " halve it, set trainer.gradient_checkpointing=true, or train lora, into another --out"
            ) from error
        return step

    def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None) -> torch.Tensor:
        """The batch's share of the step's loss. Inputs without a signal count as a loss of 0, but for GRPO's KL to the
        start."""
        rollout: Rollout = inputs
        objective = {"simpo": self._simpo, "weighted": self._weighted}.get(self.recipe.algorithm, self._grpo)
        groups, losses = objective(model, rollout)
        loss = losses.sum() / len(rollout.items)
        if not torch.isfinite(loss):
            step, bad = self.state.global_step + 1, (~torch.isfinite(losses)).nonzero()[0]
            told, lost = _input(rollout, groups[int(bad)]), float(losses[bad].detach())
            raise TrainingFailed(f"the loss became {lost} at step {step} on {told}; the last checkpoint stays")
        self._tally.add(f"{rollout.task}/loss", [float(loss.detach())])
        return getattr(self.recipe.weights, rollout.task) * len(self.tasks) * loss

    def _simpo(self, model: Any, rollout: Rollout) -> tuple[Sequence[int], torch.Tensor]:
        """The groups with a pair, and the loss of each."""
        found = pairs(rollout.rewards, rollout.tokens)
        rows = found.best + found.worst or [0]  # without any pair every rank still has a backward pass, of zeros
        logprobs, entropies = self._logprobs(model, rollout, rows)
        count = len(found.groups)
        task = rollout.task
        self._tally.add(f"{task}/entropy", entropies if count else [])
        self._tally.add(f"{task}/trained", [count / len(rollout.items)])
        if not count:
            self._tally.add(f"{task}/margin", [])
            return [0], 0.0 * logprobs[0].sum()[None]
        best, worst = logprobs[:count], logprobs[count:]
        with torch.no_grad():
            self._tally.add(f"{task}/margin", (mean_logprobs(best) - mean_logprobs(worst)).tolist())
        if not rollout.credits:
            return found.groups, simpo_losses(best, worst, self.recipe.simpo)
        alpha, form = self.recipe.srum.alpha, self._form
        of_best = [pair_weights(credit, alpha, form, best=True) for credit in _credits(rollout, found.best)]
        of_worst = [pair_weights(credit, alpha, form, best=False) for credit in _credits(rollout, found.worst)]
        return found.groups, simpo_losses(best, worst, self.recipe.simpo, (of_best, of_worst))

    def _grpo(self, model: Any, rollout: Rollout) -> tuple[Sequence[int], torch.Tensor]:
        """All groups, and the loss of each."""
        settings = self.recipe.grpo
        rows = range(len(rollout.tokens))
        logprobs, entropies = self._logprobs(model, rollout, rows)
        self._tally.add(f"{rollout.task}/entropy", entropies)
        if not rollout.old:  # the first update on these samples: the weights are still those that sampled
            rollout.old = [[one.detach() for one in logprobs]]
            with torch.no_grad():
                rollout.old += [self._logprobs(model, rollout, rows, view)[0] for view in range(1, self.views)]
        reference = rollout.reference[rollout.view] if rollout.reference else None
        old = reference if settings.anchor == "reference" and reference is not None else rollout.old[rollout.view]
        advantage = advantages(rollout.rewards, settings)
        if rollout.credits:
            srum, credits = self.recipe.srum, _credits(rollout, rows)
            each = token_advantages(advantage, credits, srum.alpha, self._form, clip=srum.clip, losers_gain=srum.losers_gain)
            found = grpo_losses(logprobs, old, reference, advantage, settings, each)
        else:
            found = grpo_losses(logprobs, old, reference, advantage, settings)
        tokens = sum(map(len, logprobs))
        for name, value in (("kl", found.kl), ("clip_fraction", found.clipped), ("ratio", found.ratio)):
            if name != "kl" or reference is not None:
                self._tally.add_mean(f"{rollout.task}/{name}", value, tokens)
        return range(len(rollout.items)), found.loss

    def _weighted(self, model: Any, rollout: Rollout) -> tuple[Sequence[int], torch.Tensor]:
        """All groups, and the loss of each: R_n = g (q_n + 1) / 2, the picture's reward for g. A picture that should teach
        nothing is left out."""
        rows = range(len(rollout.tokens))
        g = rollout.rewards.flatten()
        if bool((g < 0).any()):
            row = int(g.argmin())
            told = f"{float(g[row]):.4g} for {_input(rollout, row // rollout.group)}"
            raise TrainingFailed(
                f"the algorithm weighted needs rewards from 0 on, such as srum and vqa give; reward.gen is {told}"
            )
        left_out = {row for row, credit in enumerate(rollout.credits) if credit is None}
        weights = [None if row in left_out else g[row] * (credit + 1) / 2 for row, credit in enumerate(_credits(rollout, rows))]
        logprobs, entropies = self._logprobs(model, rollout, rows)
        self._tally.add(f"{rollout.task}/entropy", entropies)
        self._tally.add(f"{rollout.task}/trained", [float(one is not None) for one in weights])
        self._tally.add(f"{rollout.task}/weight", [float(one.mean()) for one in weights if one is not None])
        return range(len(rollout.items)), weighted_losses(logprobs, weights, rollout.group, self.recipe.srum.floor)

    @property
    def _form(self) -> Form:
        assert self.sampler.credit is not None
        return self.sampler.credit.form

    def _logprobs(
        self, model: Any, rollout: Rollout, rows: Sequence[int], view: int | None = None
    ) -> tuple[list[torch.Tensor], list[float]]:
        """Log-probabilities of these samples through the wrapped model, and the mean entropy of each sample's tokens."""
        samples = [rollout.tokens[row] for row in rows]
        seeds = self.sampler.view_seeds(rollout.items, rollout.view if view is None else view)
        flat, entropy = model(rollout.task, [rollout.contexts[row] for row in rows], samples, [seeds[row] for row in rows])
        lengths = [len(sample) for sample in samples]
        return list(flat.split(lengths)), torch.stack([part.mean() for part in entropy.split(lengths)]).tolist()

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        norm = super()._get_grad_norm(model, grad_norm=grad_norm)
        norm = norm.full_tensor() if isinstance(norm, DTensor) else norm
        if self.args.fp16:  # the scaler finds its scale by steps that overflow, which it leaves out
            return norm
        if norm is not None and not torch.isfinite(torch.as_tensor(norm)):
            raise TrainingFailed(f"the gradient's norm became {float(norm)} at step {self.state.global_step + 1}")
        return norm

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" not in logs:  # the Trainer's last words on its own speed
            return
        now = time.perf_counter()
        logs |= self._tally.take(lambda table: self.accelerator.reduce(table.to(self.args.device, torch.float32), "sum"))
        logs |= self._work.take(now - self._clock, self.args.world_size)
        self._clock = now
        self._shown.clear()
        super().log(logs, start_time)
        row = {"step": self.state.global_step, **logs}
        if self.is_world_process_zero():
            metrics.append_row(self._folder, row)
            self._say(_line(row, self.state.max_steps))
        trouble = self._watch.look(row)
        if trouble and self.recipe.guard.action == "stop":
            raise TrainingFailed(f"step {self.state.global_step}: {trouble}")
        if trouble:
            self._say(f"warning: {trouble}")

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        if self.args.should_save:
            self.policy.save(Path(output_dir) if output_dir else self._folder, state_dict)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        self.policy.load(Path(resume_from_checkpoint))


class StopAfterEpochs(TrainerCallback):
    """Ends a training after so many epochs with a checkpoint, and one that reaches its last step likewise."""

    def __init__(self, epochs: float) -> None:
        self.epochs = epochs
        self._saved = 0

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> TrainerControl:
        if state.global_step >= state.max_steps:
            control.should_save = True
        return control

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> TrainerControl:
        self._saved = state.global_step
        return control

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        if state.epoch is not None and state.epoch >= self.epochs - 1e-6 and state.global_step < state.max_steps:
            control.should_save = control.should_training_stop = True
        if self._saved == state.global_step:  # the step's end has saved it: a whole checkpoint is never written over
            control.should_save = False
        return control


def _credits(rollout: Rollout, rows: Sequence[int]) -> list[torch.Tensor]:
    """Those of samples, 0 for each token of one without."""
    found = [rollout.credits[row] if rollout.credits else None for row in rows]
    nothing = (torch.zeros(len(rollout.tokens[row]), dtype=torch.float64) for row in rows)
    return [zeros if one is None else one for one, zeros in zip(found, nothing, strict=True)]


def _input(rollout: Rollout, group: int) -> str:
    """The prompt or picture of a group."""
    item, context = rollout.items[group], rollout.contexts[group * rollout.group]
    return f"prompt {context!r}" if isinstance(context, str) else f"picture {item.index} of the training pictures"


def _line(row: dict[str, Any], steps: int) -> str:
    """One step in one line."""
    parts = [f"step {row['step']}/{steps}", f"loss {row['loss']:z.4f}"]
    for task in ("gen", "und"):
        if f"{task}/reward" in row:
            parts.append(f"{task} reward {row[f'{task}/reward']:z.3f} (best {row[f'{task}/reward_best']:z.3f})")
        if f"{task}/entropy" in row:  # SimPO reads it off the pairs, of which there may be none
            parts.append(f"{task} entropy {row[f'{task}/entropy']:.2f}")
    return "  ".join([*parts, f"{row['seconds/step']:.1f} s"])
