"""Answers a second of `run` on the world's questions, against an older build and lmms-eval: python tests/bench/bench_answers.py.

Each side answers the same questions with tiny-janus, in turns, from its start to its end in a process and a folder of its own;
the median round counts: the clock with the start and without, and the processors' time with it, which tells more beside other
jobs. `--old CHECKOUT` (made with: git worktree add DIR 34e58f5) is an older build;
`--lmms` drives tiny-janus by lmms-eval, which this Python must have, one question at a time through transformers' generate;
`--plugin` also through this package's own model inside lmms-eval. The last line is one JSON document.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from bench_suite import HERE, START, children

from suder_bench.data.source import Source
from suder_bench.models.reference import choose
from suder_bench.records import open_image
from suder_bench.runs.plan import Settings, Task, plan

BENCHMARKS = ("pope", "seedbench", "mmbench", "llavabench")
LIMIT = 1024
"""Tokens of an answer at most, as `run` has it."""

TASK = """
task: asked
dataset_path: {folder}/data
dataset_kwargs: {{load_from_disk: True}}
test_split: test
output_type: generate_until
doc_to_visual: !function asked.pictures
doc_to_text: !function asked.question
doc_to_target: ""
generation_kwargs: {{max_new_tokens: {limit}, temperature: 0, do_sample: false}}
process_results: !function asked.results
metric_list:
  - metric: answered
    aggregation: mean
    higher_is_better: true
"""
FUNCTIONS = """
def pictures(doc):
    return [doc["picture"].convert("RGB")]

def question(doc):
    return doc["question"]

def results(doc, made):
    return {"answered": float(bool(made[0]))}
"""


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--old", type=Path, metavar="DIR", help="a checkout of the build to compare with")
    parser.add_argument("--lmms", action="store_true", help="compare with lmms-eval, with which this is run")
    parser.add_argument("--plugin", action="store_true", help="and with this package's model inside lmms-eval")
    parser.add_argument("--benchmark", action="append", choices=BENCHMARKS, help="only this one (can be given again)")
    parser.add_argument("--limit", type=int, metavar="N", help="questions of each")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args(argv)
    names = tuple(given.benchmark or BENCHMARKS)
    tasks = plan(Settings("answers", names, Source("world"), limit=given.limit), lambda line: None)
    found = {task.name: measure(task, given) for task in tasks}
    print(json.dumps({"cores": os.cpu_count(), "rounds": given.rounds, "benchmarks": found}))
    return 0


def measure(task: Task, given: argparse.Namespace) -> dict[str, object]:
    """Answers a second of each side: on the clock with its start and without, and of the processors with its start."""
    sides: dict[str, Callable[[Path], float]] = {"new": lambda folder: ours(HERE, task, given.limit, folder)}
    if given.old:
        sides["old"] = lambda folder: ours(given.old.absolute(), task, given.limit, folder)
    if given.lmms:
        weights = choose("tiny-janus").reference
        sides["lmms-eval"] = lambda folder: theirs(task, folder, ["--args", f"pretrained={weights}"])
    if given.plugin:
        sides["plug-in"] = lambda folder: theirs(task, folder, ["--model", "suder_bench", "--args", "pretrained=tiny-janus"])
    clock: dict[str, list[tuple[float, float, float]]] = {name: [] for name in sides}
    for turn in range(given.rounds):
        for name, run in sides.items():
            with tempfile.TemporaryDirectory() as folder:
                before, started = children(), time.perf_counter()
                own = run(Path(folder))
                whole, processors = time.perf_counter() - started, children() - before
                clock[name].append((whole, own, processors))
            took = f"{whole:.1f} s, {own:.2f} s of them answering; {processors:.1f} s of the processors"
            print(f"{task.name}, round {turn}: {name} {took}", flush=True)
    medians = {name: [statistics.median(each) for each in zip(*log, strict=True)] for name, log in clock.items()}
    rates = {name: [round(len(task.items) / seconds, 1) for seconds in each] for name, each in medians.items()}
    ratios = {name: [round(b / a, 2) for a, b in zip(medians["new"], each, strict=True)] for name, each in medians.items()}
    for name, (whole, own, processors) in rates.items():
        print(f"{task.name}: {name} {whole} answers/s with its start, {own} without, {processors} of the processors")
    return {"questions": len(task.items), "per_second": rates, "ratio": ratios}


def ours(build: Path, task: Task, limit: int | None, folder: Path) -> float:
    """Seconds that a build's `run` says it took for the responses."""
    asked = ["run", "--model", "tiny-janus", "--benchmark", task.name, "--stage", "respond", "--out", "run"]
    cut = [] if limit is None else ["--limit", str(limit)]
    _run([sys.executable, "-c", START, str(build), *asked, *cut], folder, build)
    return float(json.loads((folder / "run/speed.json").read_text())["respond"]["seconds"])


def theirs(task: Task, folder: Path, options: Sequence[str]) -> float:
    """Seconds that a model took inside lmms-eval. What it is given is made first, and counts for nothing beside its start."""
    from datasets import Dataset, DatasetDict

    rows = [{"question": item.sample.prompt, "picture": open_image(item.sample.images[0])} for item in task.items]
    DatasetDict({"test": Dataset.from_list(rows)}).save_to_disk(folder / "data")
    (folder / "asked.yaml").write_text(TASK.format(folder=folder, limit=LIMIT))
    (folder / "asked.py").write_text(FUNCTIONS)
    script = Path(__file__).with_name("lmms_driven.py")
    _run([sys.executable, str(script), "--folder", str(folder), *options], folder, HERE)
    told = json.loads((folder / "answers.json").read_text())
    if len(told["answers"]) != len(task.items):
        raise SystemExit(f"{len(told['answers'])} answers to {len(task.items)} questions")
    return float(told["seconds"])


def _run(command: Sequence[str], folder: Path, build: Path) -> None:
    place = {**os.environ, "PYTHONPATH": str(build), "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=place)
    if done.returncode:
        raise SystemExit(done.stdout[-2000:] + done.stderr[-4000:])


if __name__ == "__main__":
    raise SystemExit(main())
