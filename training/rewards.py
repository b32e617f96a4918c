"""The reward of a task: a weighted sum of rewards by name, each a number for every sample."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

import torch
from PIL import Image

from suder_bench import registry
from suder_bench.errors import UserError, unknown
from suder_bench.models.pictures import picture
from suder_bench.models.protocols import Model, ReadsCodes, Task, TellsItsWorld
from suder_bench.rewards.clip import Clip
from suder_bench.rewards.dsr import Dsr
from suder_bench.rewards.evaluator import PREFIX, EvaluatorReward, check_name, generation_benchmarks
from suder_bench.rewards.protocols import CaptionReward, ChecksPrompts, CreditsRegions, TellsItsJudges, failures_of
from suder_bench.rewards.remote import PREFIX as REMOTE
from suder_bench.rewards.remote import RemoteReward
from suder_bench.rewards.srum import Judging, Srum
from suder_bench.rewards.vqa import Vqa

USUAL: Mapping[str, str] = MappingProxyType({})
NO_FOLDERS: Mapping[str, Path] = MappingProxyType({})
USUALLY = Judging()
SELF = (Dsr, Vqa, Srum)
"""The rewards that ask a unified model about its own samples."""


class RewardError(UserError):
    """A reward gave what is no number: the reward's or the model's fault, not the user's mistake."""

    status = 1


@dataclass(frozen=True)
class Scores:
    """`total` and each reward of `parts`, before its weight, as float64 (samples,) on the CPU."""

    total: torch.Tensor
    parts: Mapping[str, torch.Tensor]


def joined(parts: Sequence[Scores]) -> Scores:
    """The scores of consecutive parts of the samples as those of all."""
    names = parts[0].parts
    return Scores(
        torch.cat([part.total for part in parts]), {name: torch.cat([part.parts[name] for part in parts]) for name in names}
    )


class RewardSum:
    """sum_i w_i R_i of one task. A reward with weight 0 is computed and told among the parts, and counts nothing."""

    def __init__(self, rewards: Mapping[str, Any], weights: Mapping[str, float]):
        """Both by name; a reward implements `Reward`, or `CaptionReward` where captions are scored."""
        self._rewards, self._weights = rewards, weights

    @classmethod
    def load(
        cls,
        weights: Mapping[str, float],
        *,
        model: Model,
        scorer: Model,
        task: Task,
        data: Mapping[str, Path] = NO_FOLDERS,
        batch_size: int,
        judges: Mapping[str, str] = USUAL,
        judging: Judging = USUALLY,
        device: str = "auto",
        offline: bool = False,
        say: Callable[[str], None] = lambda line: None,
        prompts: Collection[str] | None = None,
    ) -> Self:
        """The named rewards, for pictures (`task` gen) or captions (und).

        A name is one of the registry's, `evaluator:BENCHMARK` for a generation benchmark's verdict, over its files in `data` or
        its training split, or `remote:URL` for that of judges behind an address. The self-rewards ask `scorer`: the model
        itself, a frozen copy or its partner; srum judges as `judging` says. `judges` are back-ends by role for the evaluators,
        which load those that the `prompts` need, and CLIP; they compute on `device`. Raises `UserError` for names, weights and
        files, `JudgeError` for a missing judge.
        """
        check_rewards(weights, task)
        world = isinstance(model, TellsItsWorld) and model.world
        rewards: dict[str, Any] = {}
        for name in weights:
            if name.startswith(REMOTE):
                rewards[name] = RemoteReward(name.removeprefix(REMOTE), say=say)
            elif name.startswith(PREFIX) and task == "gen":
                rewards[name] = EvaluatorReward.load(
                    name.removeprefix(PREFIX),
                    world=world,
                    data=data.get(name.removeprefix(PREFIX)),
                    backends=judges,
                    device=device,
                    batch_size=batch_size,
                    offline=offline,
                    say=say,
                    prompts=prompts,
                )
            elif (kind := _class_of(name, task)) is Srum:
                rewards[name] = Srum.load(scorer, judging=judging, batch_size=batch_size)
            elif kind in SELF:
                rewards[name] = kind.load(scorer, batch_size=batch_size)
            elif kind is Clip:
                rewards[name] = Clip.load(model, backend=judges.get("clip"), device=device)
            else:
                rewards[name] = kind.load(model)
        return cls(rewards, weights)

    def told(self) -> dict[str, Any]:
        """By name who makes the numbers of rewards that others make. Raises `UserError` where nobody answers."""
        return {name: dict(reward.told()) for name, reward in self._rewards.items() if isinstance(reward, TellsItsJudges)}

    @property
    def crediting(self) -> CreditsRegions | None:
        """The first of them that knows what parts of a picture are worth."""
        return next((reward for reward in self._rewards.values() if isinstance(reward, CreditsRegions)), None)

    def failures(self) -> dict[str, dict[str, int]]:
        """By name what rewards that read what somebody writes could not read so far."""
        return failures_of(self._rewards)

    def check(self, prompts: Sequence[str]) -> None:
        """Raises `UserError` for a prompt that a reward cannot score, before anything is drawn for it."""
        for reward in self._rewards.values():
            if isinstance(reward, ChecksPrompts):
                reward.check(list(dict.fromkeys(prompts)))

    def images(self, prompts: Sequence[str], pixels: torch.Tensor, codes: torch.Tensor | None = None) -> Scores:
        """Of a picture for each prompt; `pixels` (pictures, 3, size, size) in [-1, 1], on any device, and the image tokens that
        they were drawn by.

        `dsr` takes the codes where its model reads those, else the pixels as they are, and the other rewards pictures of 8 bits.
        Raises `RewardError` naming reward, prompt
        and value for one that is not finite.
        """
        pictures: list[Image.Image] = []
        if any(not isinstance(reward, Dsr) for reward in self._rewards.values()):
            pictures = [picture(one) for one in pixels.detach().float().cpu()]

        def shown(reward: Any) -> Any:
            if not isinstance(reward, Dsr):
                return pictures
            reads = isinstance(reward.model, ReadsCodes) and reward.model.reads_codes
            return codes if reads and codes is not None else pixels

        return self._sum(
            lambda reward: reward.score_images(prompts, shown(reward)),
            [f"a picture for '{prompt}'" for prompt in prompts],
        )

    def captions(self, pictures: Sequence[Image.Image], captions: Sequence[str]) -> Scores:
        """Of a caption for each picture. Raises `RewardError` naming reward, caption and value for one that is not finite."""
        return self._sum(
            lambda reward: reward.score_captions(pictures, captions),
            [f"caption '{caption}' of picture {i} of the batch" for i, caption in enumerate(captions)],
        )

    def _sum(self, score: Callable[[Any], Sequence[float]], told: Sequence[str]) -> Scores:
        total = torch.zeros(len(told), dtype=torch.float64)
        parts: dict[str, torch.Tensor] = {}
        for name, reward in self._rewards.items():
            values = torch.tensor(score(reward), dtype=torch.float64)
            if values.shape != total.shape:
                raise RuntimeError(f"reward '{name}' gave {tuple(values.shape)} numbers for {len(told)} samples")
            for i in (~values.isfinite()).nonzero().flatten().tolist()[:1]:
                raise RewardError(
                    f"reward '{name}' is {float(values[i])} for {_one_line(told[i])}; training cannot go on from it"
                )
            parts[name] = values
            total += self._weights[name] * values
        return Scores(total, parts)


def check_rewards(weights: Mapping[str, float], task: Task) -> None:
    """Raises `UserError` for names and weights that no sum of rewards of this task can have; nothing is loaded for it."""
    if not any(weights.values()) or not all(math.isfinite(weight) for weight in weights.values()):
        told = ", ".join(f"{name}: {weight}" for name, weight in weights.items()) or "nothing"
        raise UserError(f"reward.{task} is {told}; give a reward a finite weight other than 0, for example dsr: 1")
    for name in weights:
        if task == "gen" and name.startswith(REMOTE):
            RemoteReward(name.removeprefix(REMOTE))
        elif task == "gen" and name.startswith(PREFIX):
            check_name(name.removeprefix(PREFIX))
        else:
            _class_of(name, task)


def check_credit(weights: Mapping[str, float]) -> None:
    """Raises `UserError` where no named reward knows what parts of a picture are worth."""
    table = registry.table("rewards")
    if not any(name in table and issubclass(registry.load("rewards", name), CreditsRegions) for name in weights):
        raise UserError(
            f"boxes are nothing that reward.gen ({', '.join(weights)}) looks at; add srum, with weight 0 where only its map"
            " is wanted"
        )


def asks_model(weights: Mapping[str, float]) -> bool:
    """Whether one of the named rewards asks a unified model."""
    table = registry.table("rewards")
    return any(name in table and registry.load("rewards", name) in SELF for name in weights)


def judge_roles(weights: Mapping[str, float]) -> list[str]:
    """The roles of the judges that the named rewards ask."""
    roles: list[str] = []
    for name in weights:
        if name.startswith(PREFIX) and name.removeprefix(PREFIX) in generation_benchmarks():
            roles += registry.load("benchmarks", name.removeprefix(PREFIX)).judge_roles
        elif name in registry.table("rewards") and registry.load("rewards", name) is Clip:
            roles.append("clip")
    return roles


def _class_of(name: str, task: Task) -> Any:
    """The registry's class of a reward. Raises `UserError` with the choices for an unknown one, and one unfit for the task."""
    table = registry.table("rewards")
    if name in table and (task == "gen" or _captions(name)):
        return registry.load("rewards", name)
    captioning = sorted(filter(_captions, table))
    if name in table or name.startswith((PREFIX, REMOTE)):
        raise UserError(f"reward '{name}' cannot score captions; choose reward.und from {', '.join(captioning)}")
    raise unknown(
        "reward", name, captioning if task == "und" else [*table, *(PREFIX + b for b in generation_benchmarks()), f"{REMOTE}URL"]
    )


def _captions(name: str) -> bool:
    return isinstance(registry.load("rewards", name), CaptionReward)


def _one_line(text: str, length: int = 160) -> str:
    text = " ".join(text.split())
    return text if len(text) <= length else f"{text[: length - 3]}..."
