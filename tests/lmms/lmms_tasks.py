"""Tasks of lmms-eval over data on this disk: a folder for `--include_path`, and a real `lmms-eval` in a process of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from suder_bench.records import Sample, open_image

WORDING = "\nAnswer the question using a single word or phrase."
"""What lmms-eval's POPE puts behind a question."""

UTILS = (
    f"WORDING = {WORDING!r}\n"
    + """
import json

def look(doc):
    return [doc["image"].convert("RGB")]

def nothing(doc):
    return []

def read(doc, lmms_eval_specific_kwargs=None):
    return doc["question"] + WORDING

def judge(doc, results):
    return {"right": float(results[0].strip().lower() == doc["answer"])}

def drawn(doc, results):
    return {"drawn": float(len(json.loads(results[0])["images"]))}

def chain(doc, lmms_eval_specific_kwargs=None):
    return "[GEN_PROMPT]a red square[/GEN_PROMPT][QUESTION]" + read(doc) + "[/QUESTION]"

def rounds(doc, lmms_eval_specific_kwargs=None, previous_output=None, round_idx=None, previous_round_info=None):
    if round_idx is None:
        return read(doc)
    info = (previous_round_info or 0) + 1
    return look(doc), read(doc), round_idx == 2, previous_output, info

def both(doc, results):
    return {"rounds": float(len(results[0]))}

def choices(doc):
    return ["Yes", "No"]

def place(doc):
    return choices(doc).index(doc["answer"].capitalize())
"""
)

ANSWER = {
    "output_type": "generate_until",
    "doc_to_visual": "!function utils.look",
    "doc_to_text": "!function utils.read",
    "doc_to_target": "answer",
    "process_results": "!function utils.judge",
    "metric_list": [{"metric": "right", "aggregation": "mean", "higher_is_better": True}],
    "generation_kwargs": {"max_new_tokens": 16, "temperature": 0, "do_sample": False},
}
"""A task of yes and no."""


def theirs(file: str) -> dict[str, str]:
    """The settings of a task of lmms-eval's own, by its file among its tasks."""
    package = find_spec("lmms_eval")
    assert package is not None
    assert package.origin is not None
    return {"include": str(Path(package.origin).parent / "tasks" / file)}


def mean(metric: str) -> dict[str, Any]:
    """The settings of a task of one metric, which `utils` has under the same name as a judge of results."""
    return {"metric_list": [{"metric": metric, "aggregation": "mean", "higher_is_better": True}]}


def documents(samples: Sequence[Sample]) -> list[dict[str, Any]]:
    """POPE's samples as `write` takes them and lmms-eval's POPE reads them: without what it puts behind a question itself."""
    bare = [one.prompt.strip().removesuffix(WORDING) for one in samples]
    return [
        {"image": open_image(one.images[0]), "question": question, "answer": one.truth["label"], "question_id": one.id}
        for one, question in zip(samples, bare, strict=True)
    ]


def write(folder: Path, tasks: Mapping[str, Mapping[str, Any]], rows: Sequence[Mapping[str, Any]]) -> Path:
    """The folder of tasks by name, each `ANSWER` with other settings, None for none, or one of lmms-eval's own that it includes.
    `rows` are documents: image, question, answer and what else a task reads."""
    from datasets import Dataset, DatasetDict

    DatasetDict({"test": Dataset.from_list([dict(row) for row in rows])}).save_to_disk(folder / "data")
    (folder / "utils.py").write_text(UTILS)
    for name, others in tasks.items():
        own = {} if "include" in others else ANSWER
        kept = {key: value for key, value in {**own, **others}.items() if value is not None}
        known = {"task": name, "dataset_path": str(folder / "data"), "dataset_kwargs": {"load_from_disk": True}}
        lines = [f"{key}: {json.dumps(value)}\n" for key, value in {**known, "test_split": "test", **kept}.items()]
        (folder / f"{name}.yaml").write_text(re.sub(r'"(!function [\w.]+)"', r"\1", "".join(lines)))
    return folder


def lmms_eval(*argv: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """A finished `lmms-eval`, offline."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(cwd / "hf"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "lmms_eval", *argv]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=600)


def results(folder: Path) -> dict[str, dict[str, Any]]:
    """{task: {metric: value}} of the last file of results in what was given as `--output_path`."""
    *_, file = sorted(folder.rglob("*results.json"))
    found = json.loads(file.read_text(encoding="utf-8"))["results"]
    return {task: {name.partition(",")[0]: value for name, value in numbers.items()} for task, numbers in found.items()}


def samples(folder: Path, task: str) -> list[dict[str, Any]]:
    """What `--log_samples` wrote of a task, in the documents' order."""
    *_, file = sorted(folder.rglob(f"*samples_{task}.jsonl"))
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return sorted(rows, key=lambda row: row["doc_id"])
