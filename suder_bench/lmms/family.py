"""Benchmarks called `lmms:TASK`: tasks of lmms-eval, named one by one or by its groups and tags. Needs no lmms-eval to be asked
what kind of benchmark a name stands for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from suder_bench.benchmark import Benchmark, Kind
from suder_bench.errors import UserError
from suder_bench.lmms.catalogue import PREFIX, leaves


@dataclass(frozen=True)
class Factory:
    """What `suder_bench.registry` asks of a benchmark's class."""

    name: str
    kind: Kind = "understanding"
    judge_roles: tuple[str, ...] = ()
    protocols: tuple[str, ...] = ("official",)
    repeats: int = 1

    def __call__(self, data: Path, protocol: str = "official") -> Benchmark:
        from suder_bench.lmms.benchmark import TaskBenchmark

        return TaskBenchmark(self.name.removeprefix(PREFIX), yours(data))


def benchmark(name: str) -> Factory:
    return Factory(name)


def members(suite: str, data: str | None) -> tuple[str, ...]:
    """The benchmarks of `lmms:NAME[,NAME]`, names of tasks, groups and tags, without those of names behind a minus; `data` is the
    value of `--data`.

    Raises `UserError` for an unknown name, and where nothing is left.
    """
    names = suite.removeprefix(PREFIX).split(",")
    if not all(names):
        raise UserError(
            f"suite '{suite}' lacks a name; write {PREFIX}TASK or {PREFIX}TASK,TASK; suder-bench list --lmms shows all"
        )
    folder = None if data is None else yours(Path(data).expanduser().resolve())
    found: dict[str, None] = {}
    for name in names:
        named = [f"{PREFIX}{leaf}" for leaf in leaves(name.removeprefix("-").removeprefix(PREFIX), folder)]
        if name.startswith("-"):
            found = {one: None for one in found if one not in named}
        else:
            found |= dict.fromkeys(named)
    if not found:
        raise UserError(f"suite '{suite}' leaves all its tasks out")
    return tuple(found)


def yours(data: Path) -> Path | None:
    """The folder of data, where it holds YAML files of tasks."""
    return data if next(data.rglob("*.yaml"), None) is not None else None
