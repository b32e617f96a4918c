"""Rewards by name, as `reward compare` takes them: the registry's, third parties' too, `evaluator:BENCHMARK`, `remote:URL`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from suder_bench import registry
from suder_bench.errors import UserError, unknown
from suder_bench.models.protocols import Model
from suder_bench.rewards.evaluator import PREFIX, EvaluatorReward, generation_benchmarks
from suder_bench.rewards.protocols import ChecksPrompts, PictureReward
from suder_bench.rewards.remote import PREFIX as REMOTE
from suder_bench.rewards.remote import RemoteReward
from suder_bench.rewards.srum import Judging, Srum
from suder_bench.runs.plan import Settings

USUALLY = Judging()


def names(text: str, *, asked: str | None) -> list[str]:
    """The names of a list with commas, once each; `asked` is the benchmark whose prompts are rewarded, None for others.

    Raises `UserError` for an unknown one, for what is no address, and for a benchmark's verdict on prompts of another.
    """
    found = list(dict.fromkeys(name.strip() for name in text.split(",")))
    judging = [f"{PREFIX}{name}" for name in generation_benchmarks()]
    known = [*registry.table("rewards"), *judging]
    for name in found:
        if name.startswith(REMOTE):
            RemoteReward(name.removeprefix(REMOTE))
        elif name not in known:
            raise unknown("reward", name, [*known, f"{REMOTE}URL"])
        if name in judging and asked is not None and name != f"{PREFIX}{asked}":
            benchmark = name.removeprefix(PREFIX)
            raise UserError(f"reward '{name}' judges only its own prompts, not {asked}'s; give --prompts {benchmark}")
    return found


def load(
    name: str,
    model: Model,
    settings: Settings,
    say: Callable[[str], None],
    prompts: Sequence[str] | None = None,
    judging: Judging = USUALLY,
) -> PictureReward:
    """A self-reward asks the model, srum as `judging` says; a benchmark's verdict has the files of the settings and those of its
    judges that the `prompts` need. Raises `UserError`, also for a server that cannot be asked."""
    if name.startswith(REMOTE):
        remote = RemoteReward(name.removeprefix(REMOTE), say=say)
        remote.told()
        return remote
    if name.startswith(PREFIX):
        benchmark = name.removeprefix(PREFIX)
        return EvaluatorReward.of_tests(
            benchmark,
            settings.source,
            backends=settings.judges,
            offline=settings.offline,
            terms=settings.terms.only(settings.judges),
            say=say,
            prompts=prompts,
        )
    kind = registry.load("rewards", name)
    reward: PictureReward = Srum.load(model, judging=judging) if kind is Srum else kind.load(model)
    return reward


def check(rewards: Sequence[object], prompts: Sequence[str]) -> None:
    """Raises `UserError` for a prompt that one of the rewards cannot score, before anything is drawn for it."""
    for reward in rewards:
        if isinstance(reward, ChecksPrompts):
            reward.check(prompts)
