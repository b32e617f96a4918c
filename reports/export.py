"""A run's numbers as the Hugging Face hub shows them: `.eval_results`, a table for a model card, and the card's `model-index`.

The hub's forms are described in its documentation, "Evaluation Results" (hub-docs, docs/hub/eval-results.md), and in
`huggingface_hub.EvalResultEntry` and `EvalResult`, which write and check them here. Both have room for a number alone, so that
only what may stand beside published numbers goes there; the table has every number with what sets it apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import EvalResult, EvalResultEntry, ModelCardData, eval_result_entries_to_yaml

from suder_bench import registry
from suder_bench.data.hub import hub_sets
from suder_bench.errors import UserError
from suder_bench.reports import door, measured
from suder_bench.reports.measured import Measured, Scores
from suder_bench.reports.tables.markdown import escape
from suder_bench.runs.table import DOUBTS, doubt_of, interval_of, losses, number, remarks, shown_metrics

FOLDER = ".eval_results"
CARD, INDEX = "model-card.md", "model-index.yaml"
TASKS = {"generation": "text-to-image", "understanding": "image-text-to-text"}
"""What the hub calls what a benchmark asks for."""

SIGNS = {"": "", "another": "†", "digest unknown": "‡"}
"""Of `DOUBTS`, in the card's table."""

DIGITS = 6


@dataclass(frozen=True)
class Dataset:
    """Where the hub keeps a benchmark's leaderboard: a set, and a task that its eval.yaml names."""

    name: str
    task: str
    revision: str | None = None

    @classmethod
    def read(cls, text: str) -> Dataset:
        """Of "ORG/NAME#TASK". Raises `UserError` for anything else."""
        name, _, task = text.partition("#")
        if name.count("/") != 1 or not all(name.split("/")) or not task:
            raise UserError(f"--dataset '{text}' is not BENCHMARK=ORG/NAME#TASK, with a task of the set's eval.yaml")
        return cls(name, task)


@dataclass(frozen=True)
class Source:
    """What the hub is to link beside the numbers, such as a set that holds the run folder."""

    url: str
    name: str | None = None


@dataclass(frozen=True)
class Export:
    """Contents by file name, and why numbers are not in all of them."""

    files: Mapping[str, str]
    left_out: Sequence[str]


def export(
    path: Path, datasets: Mapping[str, Dataset], *, source: Source | None = None, model: str | None = None, verbose: bool = False
) -> Export:
    """The files of a run folder. `datasets` by benchmark go before those that suder-bench knows; `model` is the name on the hub,
    and with `verbose` the table has every metric.

    Raises `UserError` for a run that is not finished, says otherwise than its verdicts, or has numbers that they cannot tell.
    """
    if (path / door.RECIPE).is_file():
        raise UserError(f"{path} is a training run; give one of its evaluations, {path}/evaluations/step-N/SUITE")
    [run] = measured.read([path])
    for name in datasets:
        if name not in run.scores:
            raise UserError(f"--dataset is for {name}, which {path} has not scored (choices: {', '.join(run.scores)})")
    for name, scores in run.scores.items():
        if scores.unbacked:
            raise UserError(f"{path}: {name} cannot be exported, its verdicts cannot tell: {scores.unbacked}")
    ended = [str(row["ended"]) for row in door.commands(path) if "ended" in row]
    files, left_out, results = {}, [], []
    for name, scores in run.scores.items():
        headline = _of(scores, scores.entry["headline"])
        if not headline.comparable:
            left_out.append(f"{name} is in {CARD} alone: {'; '.join([*headline.reasons(), *losses(scores.entry)])}")
            continue
        value = headline.metric(scores.entry["headline"])
        if value is None:
            left_out.append(f"{name} is in {CARD} alone: {scores.entry['headline']} has no value")
            continue
        found = datasets.get(name) or _known(name, scores.entry["protocol"])
        if found is None:
            left_out.append(f"{name} is in no {FOLDER}: it has no set on the hub that is known; --dataset {name}=ORG/NAME#TASK")
        else:
            files[f"{FOLDER}/{name}.yaml"] = _entry(headline, value, found, source, ended[-1] if ended else None)
        results.append(_result(headline, value, found, source))
    files[CARD] = card(run, verbose=verbose)
    if results:
        told = ModelCardData(model_name=model or run.model, eval_results=results)
        files[INDEX] = told.to_yaml() + "\n"
    return Export(files, left_out)


def card(run: Measured, *, verbose: bool = False) -> str:
    """A section for a model card: every number with its interval, n, protocol and judges, and what sets it apart."""
    rows = ["| benchmark | metric | value | 95 % interval | n | protocol | judges |", "|---|---|---:|---:|---:|---|---|"]
    shown: list[Mapping[str, Any]] = []
    notes: dict[str, None] = {}
    for name, scores in run.scores.items():
        for metric in shown_metrics(scores.entry, verbose):
            own, found = _of(scores, metric), scores.entry["metrics"][metric]
            shown.append(found)
            notes |= dict.fromkeys(f"{name}: {one}" for one in own.reasons(judges=False))
            judged = ", ".join(f"{role} {judge['backend']}{SIGNS[doubt_of(judge)]}" for role, judge in own.judges.items())
            value = number(found["value"]) + ("" if own.comparable else " \\*")
            words = [escape(one) for one in (name, metric, own.entry["protocol"], judged or "rules")]
            rows.append("| " + " | ".join([*words[:2], value, interval_of(found), f"{found['n']:,}", *words[2:]]) + " |")
        notes |= dict.fromkeys(f"{name}: {one}" for one in losses(scores.entry))
    text = "\n".join(rows)
    signs = {"\\*": "not comparable with published numbers", **{SIGNS[doubt]: told for doubt, told in DOUBTS.items()}}
    legend = [f"- {sign} {told}" for sign, told in signs.items() if sign in text]
    legend += [f"- `{sign}` {told}" for sign, told in remarks(shown)]
    lines = ["## Evaluation results", "", text, "", _made(run), ""]
    return "\n".join([*lines, *legend, *(f"- {escape(note)}" for note in notes)]).rstrip() + "\n"


def _made(run: Measured) -> str:
    recipe = next(iter(run.scores.values())).summary["recipe"]
    sampling = ", ".join(f"{name} {value}" for name, value in recipe["sampling"]["image"].items() if value is not None)
    told = f"Made with {_program(recipe)}, seed {recipe['seed']}, {sampling}."
    return escape(told) + " Intervals resample whole prompts, pictures or question groups."


def _program(recipe: Mapping[str, Any]) -> str:
    return f"suder-bench {recipe['versions'].get('suder-bench', version('suder-bench'))}"


def _entry(scores: Scores, value: Mapping[str, Any], dataset: Dataset, source: Source | None, ended: str | None) -> str:
    entry = EvalResultEntry(
        dataset_id=dataset.name,
        task_id=dataset.task,
        value=round(value["value"], DIGITS),
        dataset_revision=dataset.revision,
        date=ended,
        source_url=source.url if source else None,
        source_name=source.name if source else None,
        notes="; ".join(_notes(scores, value)),
    )
    return yaml.safe_dump(eval_result_entries_to_yaml([entry]), sort_keys=False, allow_unicode=True, width=1000)


def _result(scores: Scores, value: Mapping[str, Any], dataset: Dataset | None, source: Source | None) -> EvalResult:
    kind = registry.load("benchmarks", scores.benchmark).kind
    interval = {"interval_95": [round(value[end], DIGITS) for end in ("low", "high")]} if value["low"] is not None else {}
    return EvalResult(
        task_type=TASKS[kind],
        dataset_type=dataset.name if dataset else scores.benchmark,
        dataset_name=scores.benchmark,
        dataset_revision=dataset.revision if dataset else None,
        metric_type=scores.entry["headline"],
        metric_name=scores.entry["headline"],
        metric_value=round(value["value"], DIGITS),
        metric_args={"n": value["n"], **interval, "notes": "; ".join(_notes(scores, value))},
        source_name=(source.name or "suder-bench") if source else None,
        source_url=source.url if source else None,
    )


def _notes(scores: Scores, value: Mapping[str, Any]) -> Iterator[str]:
    """What a number rests on."""
    yield _program(scores.summary["recipe"])
    yield f"{scores.entry['headline']}, n {value['n']:,}" + (
        "" if value["low"] is None else f", 95 % interval {number(value['low'])} to {number(value['high'])}"
    )
    yield f"protocol {scores.entry['protocol']}"
    yield "judges " + (", ".join(f"{role} {_judge(judge)}" for role, judge in scores.judges.items()) or "rules")


def _judge(judge: Mapping[str, Any]) -> str:
    doubt = doubt_of(judge)
    return f"{judge['backend']}" + (f" ({DOUBTS[doubt]})" if doubt else "")


def _of(scores: Scores, metric: str) -> Scores:
    return replace(scores, only=frozenset([metric]))


def _known(benchmark: str, protocol: str) -> Dataset | None:
    """The set of the hub that suder-bench reads the benchmark's questions from, if it reads any."""
    found = hub_sets([benchmark], protocol)
    return Dataset(found[0].repository, found[0].config, found[0].revision or None) if found else None
