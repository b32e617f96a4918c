"""Which judges the samples of a benchmark need, whose judgement is in a metric, and what stays open without a judge."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import cast

from suder_bench.benchmark import AsksBySample, Benchmark
from suder_bench.records import Sample


@cache
def _asks_by_sample(kind: type) -> bool:
    """To look whether a protocol is implemented takes longer than to ask."""
    return issubclass(kind, AsksBySample)


def _by_sample(benchmark: Benchmark) -> AsksBySample | None:
    return cast(AsksBySample, benchmark) if _asks_by_sample(type(benchmark)) else None


def roles_of(benchmark: Benchmark, sample: Sample) -> tuple[str, ...]:
    """The judges that a verdict on the sample asks: all of the benchmark's where it does not say."""
    asks = _by_sample(benchmark)
    return asks.roles_of(sample) if asks else tuple(benchmark.judge_roles)


def _distinct(samples: Iterable[Sample]) -> Iterable[Sample]:
    """Each once, however many responses there are to it."""
    return {sample.id: sample for sample in samples}.values()


def needed(benchmark: Benchmark, samples: Iterable[Sample]) -> list[str]:
    """The judges that these samples need together, in the benchmark's order."""
    if not _by_sample(benchmark):
        return list(benchmark.judge_roles) if any(True for _ in samples) else []
    found = {role for sample in _distinct(samples) for role in roles_of(benchmark, sample)}
    return [role for role in benchmark.judge_roles if role in found]


def can_judge(benchmark: Benchmark, sample: Sample, at_hand: Container[str]) -> bool:
    """Whether the judges at hand are all that the sample needs."""
    return all(role in at_hand for role in roles_of(benchmark, sample))


def by_metric(benchmark: Benchmark, samples: Iterable[Sample]) -> dict[str, list[str]]:
    """The judges whose word is in each metric of these samples; nothing where the benchmark does not tell samples apart."""
    asks = _by_sample(benchmark)
    if asks is None:
        return {}
    found: dict[str, set[str]] = {}
    for metrics, roles in {(asks.metrics_of(sample), asks.roles_of(sample)) for sample in _distinct(samples)}:
        for metric in metrics:
            found.setdefault(metric, set()).update(roles)
    return {metric: [role for role in benchmark.judge_roles if role in roles] for metric, roles in found.items()}


def absent(benchmark: Benchmark, planned: Iterable[Sample], judged: Iterable[Sample]) -> dict[str, list[str]]:
    """Of each metric that averages others, those of them that no response is in: an average of one category is another number."""
    asks = _by_sample(benchmark)
    if asks is None:
        return {}
    there = {metric for sample in _distinct(judged) for metric in asks.metrics_of(sample)}
    found: dict[str, dict[str, None]] = {}
    for metrics in dict.fromkeys(asks.metrics_of(sample) for sample in planned):
        for metric in metrics:
            found.setdefault(metric, {}).update(dict.fromkeys(other for other in metrics if other not in there))
    return {metric: list(others) for metric, others in found.items() if others and metric in there}


@dataclass(frozen=True)
class Unjudged:
    """So many responses that lack judges in these `roles`, and the metrics that are not to be had without them."""

    responses: int
    roles: tuple[str, ...]
    metrics: tuple[str, ...]

    def __str__(self) -> str:
        lacking = f"not judged: {self.responses:,} responses, for want of {', '.join(self.roles)}"
        return lacking + (f"; no {', '.join(self.metrics)}" if self.metrics else "")

    @classmethod
    def among(cls, benchmark: Benchmark, responded: Sequence[Sample], at_hand: Container[str]) -> Unjudged | None:
        """Of the samples of responses (one each) those without a judge, if there are any."""
        open_ = [sample for sample in responded if not can_judge(benchmark, sample, at_hand)]
        if not open_:
            return None
        roles = tuple(role for role in needed(benchmark, open_) if role not in at_hand)
        asks = _by_sample(benchmark)
        counted = dict.fromkeys(metric for sample in open_ for metric in asks.metrics_of(sample)) if asks else {}
        return cls(len(open_), roles, tuple(counted))
