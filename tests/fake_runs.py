"""Run folders as `report` finds them, written by hand: real or of the world, with any judge, protocol or value."""

from __future__ import annotations

import json
from collections.abc import Container, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from suder_bench.evaluators.geneval import GenEval
from suder_bench.models.protocols import ImageSampling, TextSampling
from suder_bench.records import Response, Verdict
from suder_bench.reports.tables.layout import EXTENSIONS, LAYOUTS
from suder_bench.runs.plan import plan, samples_digest, seed_of
from suder_bench.runs.recipe import settings_of
from suder_bench.runs.recomputed import Recomputed, recomputed
from suder_bench.runs.score import filed_under
from suder_bench.runs.store import RunFolder

METRICS: dict[str, list[str]] = {}
for _layout in (*LAYOUTS.values(), *EXTENSIONS.values()):
    for _column in _layout.columns:
        if not _column.of:
            METRICS.setdefault(_column.benchmark, []).append(_column.metric)
GEN = ("geneval", "t2i-compbench")
UND = ("pope", "hallusionbench", "llavabench", "mmbench", "seedbench")
OWN = {"backend": "official", "exact": True, "fingerprint": "0123456789abcdef"}
FOREIGN = {"backend": "open-clip", "exact": False, "fingerprint": "fedcba9876543210"}


def summary(
    *benchmarks: str,
    model: str = "my-model",
    value: float = 0.5,
    world: bool = False,
    protocol: str = "official",
    judge: Mapping[str, Any] = OWN,
    failed: int = 0,
    skipped: int = 0,
    deviations: Sequence[str] = (),
    **recipe: Any,
) -> dict[str, Any]:
    """Every metric of the paper's tables and our extensions is `value`, within 0.01 of it."""
    names = benchmarks or GEN + UND
    prefix = "" if protocol == "official" else f"{protocol}/"
    entries = {
        name: {
            "headline": METRICS[name][0],
            "paper_metrics": METRICS[name],
            "protocol": protocol,
            "judges": {"judge": dict(judge)},
            "n_samples": 100,
            "n_responses": 400 - failed - skipped,
            "skipped": skipped,
            "failed": failed,
            **({"deviations": list(deviations)} if deviations else {}),
            "metrics": {
                f"{prefix}{metric}": {"value": value, "low": value - 0.01, "high": value + 0.01, "n": 400}
                for metric in METRICS[name]
            },
        }
        for name in names
    }
    data = {"source": "world", "size": "quick", "folder": None} if world else {"source": "official", "size": None, "folder": None}
    return {
        "schema": 1,
        "run": "run",
        "model": model,
        "suite": "+".join(names),
        "world": world,
        "recipe": {
            "model": {"name": model, "adapter": "fake", "fingerprint": f"weights of {model}", "settings": {}, "files": None},
            "data": data,
            "benchmarks": {
                name: {"protocol": protocol, "samples": 100, "repeats": 4, "data": f"{name} {world}"} for name in names
            },
            "seed": 0,
            "limit": None,
            "repeats": None,
            "sampling": {"image": {"temperature": 1.0, "guidance": 5.0}, "text": {}},
            "device": "cpu",
            "dtype": "float32",
            "protocol": protocol,
            "judges": {name: entry["judges"] for name, entry in entries.items()},
            "versions": {"torch": "2.13"},
            **recipe,
        },
        "benchmarks": entries,
    }


def count_as_confirmed(patch: pytest.MonkeyPatch) -> None:
    """Let summaries without verdicts count as if these confirmed them."""

    def confirmed(path: Path, *asked: object) -> tuple[Recomputed, set[str]]:
        written = RunFolder(path).read("summary.json")
        assert written is not None
        return Recomputed(written), set()

    patch.setattr("suder_bench.runs.recomputed._recomputed", confirmed)


def write_run(folder: Path, content: Mapping[str, Any], *, finished: bool = True) -> Path:
    """The run folder of a summary; without one where it is not `finished`."""
    folder.mkdir(parents=True)
    outside = {name: content[name] for name in ("run", "suite", "world")}
    (folder / "run.json").write_text(json.dumps({**content["recipe"], **outside}))
    if finished:
        (folder / "summary.json").write_text(json.dumps(content))
    return folder


def write_training(folder: Path, recipe: str, *values: float, start: str = "my-model", benchmarks: tuple[str, ...] = ()) -> Path:
    """A training run whose start model and checkpoints at steps 10, 20, ... have these values."""
    folder.mkdir(parents=True)
    (folder / "recipe.yaml").write_text(f"model: {start}\n{recipe}")
    for i, value in enumerate(values):
        model = start if i == 0 else f"{folder}/checkpoint-{10 * i}"
        write_run(folder / "evaluations" / f"step-{10 * i}" / "all", summary(*benchmarks, model=model, value=value))
    return folder


def write_geneval(data: Path, prompts: Mapping[str, str]) -> Path:
    """GenEval's official files with these prompts, each with its tag; every prompt asks for a star."""
    folder = data / "geneval"
    folder.mkdir(parents=True)
    rows = [{"tag": tag, "include": [{"class": "star", "count": 1}], "prompt": prompt} for prompt, tag in prompts.items()]
    (folder / "evaluation_metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (folder / "object_names.txt").write_text("star\n", encoding="utf-8")
    return data


def write_drawn(
    folder: Path, data: Path, *, model: str = "my-model", repeats: int = 1, wrong: Container[int] = (), world: bool = False
) -> Path:
    """A finished run on the GenEval of `write_geneval`, its pictures plain; the samples numbered in `wrong` have none of a star.

    The pictures of one sample are alike, and so are those of samples that leave the same remainder by 200.
    """
    samples = GenEval(data).samples()
    asked = {"protocol": "official", "samples": len(samples), "repeats": repeats, "data": samples_digest(samples)}
    content = summary(
        "geneval",
        model=model,
        world=world,
        data={"source": "folder", "size": None, "folder": str(data)},
        benchmarks={"geneval": asked},
        repeats=repeats,
        sampling={"image": asdict(ImageSampling()), "text": asdict(TextSampling())},
    )
    content["benchmarks"]["geneval"]["judges"] = content["recipe"]["judges"]["geneval"] = {"detector": OWN}  # no colour is asked
    write_run(folder, content)
    pictures = [Image.new("RGB", (8, 8), (i, 90, 250 - i)) for i in range(min(200, len(samples)))]
    kept = [RunFolder(folder).save_picture(picture, f"images/geneval/{i:05d}.png") for i, picture in enumerate(pictures)]
    responses, verdicts = [], []
    for i, sample in enumerate(samples):
        for repeat in range(repeats):
            place = i % len(kept)
            seed = seed_of(0, "geneval", sample.id, repeat)
            responses.append(Response("geneval", sample.id, repeat, seed, kept[place], image=f"images/geneval/{place:05d}.png"))
            right = i not in wrong
            reason = "everything asked for is there" if right else f'expected 1 star, found none in <i>{i}</i> & "more"'
            scores = {"correct": float(right)}
            verdicts.append(Verdict("geneval", sample.id, repeat, kept[place], scores, right, reason))
    RunFolder(folder).add_responses("geneval", responses)
    [task] = plan(settings_of(content["recipe"] | {"suite": "geneval"}, judges={}, offline=True), print)
    RunFolder(folder).add_verdicts("geneval", filed_under(task, {"detector": OWN}), verdicts)
    found = recomputed(folder, lambda remark: None)
    assert found is not None
    RunFolder(folder).write("summary.json", found.summary)
    return folder
