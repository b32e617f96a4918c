"""A model that always says yes, one that says nothing, one that writes prose and one that never stops: what each should score.

Every expected number is counted here from what is true of the world's questions, by run and by file of answers alike.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from answerers import SAID
from answering import jsonl

from suder_bench import registry
from suder_bench.cli import main
from suder_bench.data.source import write_world
from suder_bench.evaluators.hallusionbench import KEY, HallusionBench
from suder_bench.evaluators.llavabench import LlavaBench
from suder_bench.evaluators.mmbench import MMBench
from suder_bench.evaluators.pope import TRACKS, Pope
from suder_bench.evaluators.seedbench import SeedBench
from suder_bench.records import Sample
from suder_bench.world.grading import grade

KINDS: dict[str, Any] = {
    "pope": Pope,
    "hallusionbench": HallusionBench,
    "llavabench": LlavaBench,
    "mmbench": MMBench,
    "seedbench": SeedBench,
}
Scores = Mapping[str, float]


@pytest.fixture
def says(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The adapter `says` has its name."""
    models = {**registry.TABLE["models"], "says": "answerers:Says"}
    monkeypatch.setattr(registry, "TABLE", {**registry.TABLE, "models": models})
    registry.table.cache_clear()
    yield
    registry.table.cache_clear()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("constant")
    write_world(folder, size="quick", benchmarks=list(KINDS))
    return folder


def share(flags: Sequence[bool]) -> float:
    return sum(flags) / len(flags)


def pope(samples: Sequence[Sample], name: str) -> Scores:
    """The official rule takes all four for a yes; the others see a yes in the first alone, and a no in none."""
    found: dict[str, float] = {}
    for track in TRACKS:
        labels = [one.truth["label"] == "yes" for one in samples if one.truth["track"] == track]
        yes = sum(labels)
        found |= {f"f1_{track}": 2 * yes / (yes + len(labels)), f"acc_{track}": share(labels), f"yes_{track}": 1.0}
        found |= {f"recall_{track}": 1.0, f"precision_{track}": share(labels), f"tn_{track}": 0.0, f"fn_{track}": 0.0}
    found["mean_f1"] = sum(found[f"f1_{track}"] for track in TRACKS) / len(TRACKS)
    everything = [one.truth["label"] == "yes" for one in samples]
    for harness in ("vlmevalkit", "vlmevalkit-2024", "lmms-eval"):
        read = name == "yes"
        found[f"{harness}/unextracted"] = 0.0 if read else float(len(samples))
        found[f"{harness}/acc"] = share(everything) if read else 0.0
        found[f"{harness}/f1"] = 2 * sum(everything) / (sum(everything) + len(samples)) if read else 0.0
    return found


def hallusionbench(samples: Sequence[Sample], name: str) -> Scores:
    """A yes, else unreadable; by lmms-eval's string match prose about eyes is a yes too, and anything else a no."""
    found: dict[str, float] = {"unextracted": 0.0 if name == "yes" else float(len(samples))}
    for prefix, said in (("", "yes" if name == "yes" else ""), ("lmms-eval/", "yes" if name in ("yes", "prose") else "no")):
        right = {one.id: one.truth["answer"] == said for one in samples}
        found[f"{prefix}aAcc"] = share(list(right.values()))
        for metric, left_out in (("fAcc", "question_id"), ("qAcc", "figure_id")):
            groups: dict[tuple[str, ...], list[bool]] = {}
            for one in samples:
                key = tuple(one.truth[field] for field in KEY if field != left_out)
                if metric == "qAcc" or (one.truth["category"], one.truth["figure_id"]) != ("VS", "0"):
                    groups.setdefault(key, []).append(right[one.id])
            found[f"{prefix}{metric}"] = share([all(group) for group in groups.values()])
        found[f"{prefix}average"] = sum(found[f"{prefix}{metric}"] for metric in ("aAcc", "fAcc", "qAcc")) / 3
    return found


def llavabench(samples: Sequence[Sample], name: str) -> Scores:
    """An answer without a fact has the worst mark, 1, from the world's judge; the reference has what it deserves."""
    marks = [grade(one.truth["reference"], one.truth["reference"], one.truth["context"]).score for one in samples]
    reference = sum(marks) / len(marks)
    return {"all": round(100 / round(reference, 3), 1), "all/model": 10.0, "all/reference": 10 * reference, "failed_parses": 0.0}


def mmbench(samples: Sequence[Sample], name: str) -> Scores:
    """Nobody reads a letter, but lmms-eval: its last rule finds the C of "Certainly"."""
    main = [one for one in samples if one.truth["pass"] == 0]
    c = share([one.truth["answer"] == "C" for one in main]) if name == "prose" else 0.0
    return {
        **{f"{prefix}{way}/overall": 0.0 for way in ("vanilla", "circular") for prefix in ("", "vlmevalkit-2024/")},
        "vlmevalkit-2025-08/vanilla/overall": 0.0,
        "lmms-eval/vanilla/overall": c,
        "lmms-eval/circular/overall": 0.0,  # no question has its right option at C in every rotation
        "unextracted": float(len(samples)),
    }


def seedbench(samples: Sequence[Sample], name: str) -> Scores:
    """The same, and the first character of "Certainly" is a C to lmms-eval."""
    c = share([one.truth["answer"] == "C" for one in samples]) if name == "prose" else 0.0
    return {"overall": 0.0, "llava/overall": 0.0, "lmms-eval/overall": c, "unextracted": float(len(samples))}


EXPECTED = {"pope": pope, "hallusionbench": hallusionbench, "llavabench": llavabench, "mmbench": mmbench, "seedbench": seedbench}
FILES: dict[str, Any] = {
    "pope": lambda sample, text: {"question_id": sample.id, "text": text},
    "hallusionbench": lambda sample, text: {**{key: sample.truth[key] for key in KEY}, "model_prediction": text},
    "llavabench": lambda sample, text: {"question_id": sample.id, "text": text},
    "mmbench": lambda sample, text: {"question_id": sample.id, "text": text},
    "seedbench": lambda sample, text: {"question_id": sample.id, "text": text},
}


def values(summary: Mapping[str, Any], benchmark: str) -> dict[str, float]:
    return {name: metric["value"] for name, metric in summary["benchmarks"][benchmark]["metrics"].items()}


@pytest.mark.usefixtures("says")
@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] if name == "long" else []) for name in SAID])
def test_what_a_constant_model_scores(world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    out = tmp_path / "run"
    command = ["run", "--model", f"says:{name}", "--suite", "und", "--data", "world", "--size", "quick", "--out", str(out)]
    assert main(command) == 0
    table = capsys.readouterr().out
    summary = json.loads((out / "summary.json").read_text())
    for benchmark, kind in KINDS.items():
        questions = kind(world).questions
        entry = summary["benchmarks"][benchmark]
        assert (entry["n_responses"], entry["skipped"], entry["failed"]) == (len(questions), 0, 0)
        expected = EXPECTED[benchmark](questions, name)
        found = values(summary, benchmark)
        assert {metric: found[metric] for metric in expected} == pytest.approx(expected), benchmark
        rows = [FILES[benchmark](one, SAID[name]) for one in questions]
        file = jsonl(tmp_path / f"{benchmark}.jsonl", rows)
        assert (
            main(["score", "--benchmark", benchmark, "--answers", str(file), "--data", "world", "--size", "quick", "--json"]) == 0
        )
        assert values(json.loads(capsys.readouterr().out), benchmark) == found, benchmark
    unread = {
        metric: value
        for benchmark in KINDS
        for metric, value in values(summary, benchmark).items()
        if metric.endswith("unextracted") and value
    }
    assert unread
    assert all(f"{value:,.0f} {metric}" in table for metric, value in unread.items())
