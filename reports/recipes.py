"""What has to be told of a measured row: how it was made, what was lost, and why it stands apart from published ones."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from suder_bench.limits import Limits
from suder_bench.reports.measured import LOST, Measured, Scores
from suder_bench.runs import table
from suder_bench.runs.table import WORLD
from suder_bench.stats import METHOD


def recipe(row: Measured, benchmarks: Sequence[str]) -> tuple[str, ...]:
    """Lines for the footer: training, then for each run its weights, data, sampling and versions, and each benchmark's judges.

    Of several seeds first what they are together, then those of each.
    """
    if row.members:
        several = f"{len(row.members)} seeds of one recipe, of which each number is the mean"
        each = [line for member in row.members for line in recipe(member, benchmarks)]
        return (several, *_unshared(row, benchmarks), *_spreads(row, benchmarks), *each)
    shown = [row.scores[name] for name in benchmarks if name in row.scores]
    lines = [f"trained: {row.training}", *_unshared(row, benchmarks)] if row.training else []
    for run in dict.fromkeys(one.run for one in shown):
        mine = [one for one in shown if one.run == run]
        lines.append(_made(mine[0]))
        lines += [_judged(one) for one in mine]
    return tuple(lines)


def _spreads(row: Measured, benchmarks: Sequence[str]) -> list[str]:
    """Of each of the paper's metrics its value by seed, and what its standard error is made of."""
    trained = ", ".join(str(one.training.seed) for one in row.members if one.training)
    lines = []
    for scores in (row.scores[name] for name in benchmarks if name in row.scores):
        for name in dict.fromkeys(table.shown_metrics(scores.entry, verbose=False)):
            told = scores.metrics.get(name, {}).get("seeds")
            if told is None:
                continue
            values = ", ".join(table.number(value) for value in told["values"])
            parts = told["components"]
            error = "; no standard error"
            if parts is not None:
                each = ", ".join(f"{part} {_error(variance)}" for part, variance in parts.items())
                error = f"; standard error {_error(sum(parts.values()))}: {each}"
            lines.append(f"{scores.benchmark} {name} by seed {trained}: {values}{error}")
    return lines


def _error(variance: float) -> str:
    return f"{math.sqrt(variance):.2g}"


def _unshared(row: Measured, benchmarks: Sequence[str]) -> list[str]:
    """That the training's prompts are none of the benchmarks' own, or that nobody knows."""
    if row.unseen:
        return [f"its training prompts were not compared with the benchmarks': {row.unseen}"]
    apart = {name: row.seen[name].trained for name in benchmarks if name in row.seen and not row.seen[name].shared}
    return [f"none of its {next(iter(apart.values())):,} training prompts is one of {', '.join(apart)}"] if apart else []


def shared(row: Measured, benchmarks: Sequence[str]) -> tuple[str, ...]:
    """A footnote for each benchmark of which the model was trained on some prompts."""
    return tuple(row.seen[name].told(name) for name in benchmarks if name in row.seen and row.seen[name].shared)


def losses(row: Measured, benchmarks: Sequence[str]) -> tuple[str, ...]:
    """A footnote for each benchmark of which responses are missing or could not be judged."""
    found = []
    for scores in (row.scores[name] for name in benchmarks if name in row.scores):
        lost = table.losses(scores.entry)
        if lost:
            found.append(f"{scores.benchmark}: {', '.join(lost)} of the responses, {scores.entry['n_responses']:,} judged.")
        found += [f"{scores.benchmark} {line}." for line in table.lacking(scores.entry)]
    return tuple(found)


def difference(rows: Sequence[Measured], benchmarks: Sequence[str]) -> str:
    """What sets rows apart from whole official data, protocols and judges, or on the world from its own; '' for nothing."""
    told: dict[str, dict[str, None]] = {}
    for row in rows:
        given = {WORLD, LOST} if row.world else set()
        for name in (name for name in benchmarks if name in row.scores):
            for reason in row.scores[name].reasons():
                if reason not in given:
                    told.setdefault(reason, {})[name] = None
    return "; ".join(f"{', '.join(names)}: {reason}" for reason, names in told.items())


def _made(scores: Scores) -> str:
    summary, recipe = scores.summary, scores.summary["recipe"]
    model, data = recipe["model"], recipe["data"]
    parts = [f"run {scores.run}: model {summary['model']}"]
    if "fingerprint" in model:
        parts[0] += f" (weights {model['fingerprint'][:12]})"
    size = f" ({data['size']})" if data.get("size") else ""
    parts.append(f"data {data.get('folder') or data['source']}{size}")
    if "seed" in recipe:
        parts.append(f"seed {recipe['seed']}")
    for kind, settings in recipe.get("sampling", {}).items():
        parts.append(f"{kind} sampling {_settings(settings)}")
    if limits := Limits.read(recipe):
        parts.append(f"limit {limits}")
    parts += [f"{name} {recipe[name]}" for name in ("device", "dtype") if name in recipe]
    parts.append("versions " + _settings(recipe.get("versions", {})))
    return "; ".join(parts)


def _judged(scores: Scores) -> str:
    entry, planned = scores.entry, scores.planned
    parts = [f"{scores.benchmark}: protocol {entry['protocol']}", f"{entry['n_samples']:,} samples"]
    if "repeats" in planned:
        parts[-1] += f" x {planned['repeats']}"
    parts.append(f"{entry['n_responses']:,} responses judged")
    judges = [f"{role} {_judge(judge)}" for role, judge in scores.judges.items()]
    parts.append("judges " + ", ".join(judges) if judges else "no judge")
    if scores.unbacked:
        parts.append(f"as summary.json has it, which its verdicts cannot confirm: {scores.unbacked}")
        if entry.get("intervals") != METHOD:
            parts.append(f"its intervals are of an earlier version ({entry.get('intervals', 'percentile bootstrap')})")
    return "; ".join(parts)


def _judge(judge: Mapping[str, Any]) -> str:
    weights = {"exact": "the official file", "digest unknown": "official by name, digest unknown"}.get(
        judge.get("weights", ""), ""
    )
    doubts = [weights or ("" if judge["exact"] else "not the benchmark's own")]
    doubts.append("not asked known answers" if judge.get("unchecked") else "")
    return f"{judge['backend']} ({', '.join([judge['fingerprint'][:12], *filter(None, doubts)])})"


def _settings(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in settings.items() if value is not None)
