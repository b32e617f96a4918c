"""Damaged files of questions and answers, thousands of them: a score or one line that says what is wrong, never a traceback."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from answering import judge
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from trials import trials

from suder_bench.errors import UserError
from suder_bench.evaluators.pope import TRACKS
from suder_bench.runs.plan import build, samples_digest

QUICK, SLOW = 200, trials(2_000, thorough=20_000)
"""Over all files together, in the quick tests and in the slow one."""


class Fair:
    """Gives each answer the same scores and marks."""

    def review(self, system: str, prompts: list[str]) -> list[str]:
        return ["8 6\nWell."] * len(prompts)

    def mark(self, prompts: list[str]) -> list[str]:
        return ["correct"] * len(prompts)


def lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def pope() -> dict[str, str]:
    files, own = {}, []
    for track in TRACKS:
        asked = [(f"Is there a {thing} in the image?", label) for thing, label in (("dog", "yes"), (f"{track} cat", "no"))]
        rows = [{"question_id": i, "image": "0.png", "text": text, "label": label} for i, (text, label) in enumerate(asked)]
        files[f"coco_pope_{track}.json"] = lines(rows)
        files["llava_pope_test.jsonl"] = lines([row | {"category": track} for row in rows])
        own += [{"question": text, "answer": "No."} for text, _ in asked]
    ids = [{"question_id": f"{track}/{i}", "text": "Yes"} for track in TRACKS for i in range(2)]
    llava = [{"question_id": i, "text": "Yes"} for i in range(2)]
    return files | {"own.jsonl": lines(own), "ids.json": json.dumps(ids), "answers.jsonl": lines(llava)}


def hallusionbench() -> dict[str, str]:
    keys = ("category", "subcategory", "set_id", "figure_id", "question_id")
    rows = [
        dict(zip(keys, ("VD", "ocr", "0", "1", str(i)), strict=True))
        | {"visual_input": "1", "question": "Is it?", "gt_answer": str(i), "gt_answer_details": "It is.", "filename": "a.png"}
        for i in range(2)
    ]
    script = "def evaluate_by_chatgpt(data, entry):\n    for sample in data:\n        prompt = 'Mark.'\n" + "".join(
        f"        prompt += sample[{field}]\n" for field in ("'question'", "'gt_answer_details'", "entry")
    )
    answers = [row | {"model_prediction": "Yes, it is."} for row in rows]
    return {"HallusionBench.json": json.dumps(rows, indent=1), "utils.py": script, "answers.json": json.dumps(answers)}


def llavabench() -> dict[str, str]:
    rows = [{"question_id": i, "image": "0.jpg", "category": "conv", "text": "What?"} for i in range(2)]
    return {
        "questions.jsonl": lines(rows),
        "context.jsonl": lines([{"image": "0.jpg", "caption": ["A dog.", "It runs."]}]),
        "answers_gpt4.jsonl": lines([{"question_id": i, "text": "A dog."} for i in range(2)]),
        "rule.json": json.dumps({"llava_bench_conv": {"role": "Assistant", "prompt": "Rate."}}),
        "eval_gpt_review_bench.py": "messages = [{'role': 'system', 'content': 'Be fair.'}]\n",
        "answers.jsonl": lines([{"question_id": i, "text": "So."} for i in range(2)]),
        "reviews.jsonl": lines(
            [{"question_id": i, "category": "llava_bench_conv", "content": "8 4\nSo.", "tuple": [8, 4]} for i in range(2)]
        ),
    }


def mmbench() -> dict[str, str]:
    stream = io.BytesIO()
    Image.new("RGB", (8, 8)).save(stream, "PNG")
    columns = ("index", "question", "hint", "A", "B", "C", "answer", "l2-category", "image")
    rows = [
        ("1", "What is it?", "", "cat", "dog", "", "A", "coarse_perception", base64.b64encode(stream.getvalue()).decode()),
        ("1000001", "What is it?", "", "dog", "cat", "", "B", "coarse_perception", "1"),
    ]
    predictions = [("index", "prediction"), ("1", "A"), ("1000001", "B")]
    return {
        "mmbench_dev.tsv": "\n".join("\t".join(row) for row in (columns, *rows)) + "\n",
        "answers.csv": "".join(",".join(row) + "\n" for row in predictions),
        "answers.jsonl": lines([{"question_id": int(name), "text": text} for name, text in predictions[1:]]),
    }


def seedbench() -> dict[str, str]:
    choices = {f"choice_{letter}": letter * 3 for letter in "abcd"}
    rows = [
        {
            "question_id": str(i),
            "question": "What?",
            **choices,
            "answer": "B",
            "data_id": "a",
            "data_type": "image",
            "question_type_id": 1,
        }
        for i in range(2)
    ]
    document = {"questions": rows, "question_type": {"Scene Understanding": 1}}
    answers = [{"question_id": 0, "text": "B"}, {"question_id": "1", "losses": [1, 2.5, 3, 4]}]
    return {"SEED-Bench.json": json.dumps(document), "answers.jsonl": lines(answers)}


FILES = {one.__name__: one() for one in (pope, hallusionbench, llavabench, mmbench, seedbench)}
PROTOCOLS = {
    "pope": ("official",),
    "hallusionbench": ("official", "official-llm"),
    "llavabench": ("official", "reviews"),
    "mmbench": ("official",),
    "seedbench": ("official",),
}
TARGETS = [(benchmark, name) for benchmark, files in FILES.items() for name in files]

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["yes", "A", "0", "1.0", "nan"])
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3), max_leaves=5
)


def replaced(value: Any, data: st.DataObject) -> Any:
    """`value` with one of its parts exchanged, left out or doubled."""
    if isinstance(value, dict) and value and data.draw(st.integers(0, 3)):
        key = data.draw(st.sampled_from(sorted(value)))
        if data.draw(st.booleans()):
            return {name: part for name, part in value.items() if name != key}
        return value | {key: replaced(value[key], data)}
    if isinstance(value, list) and value and data.draw(st.integers(0, 3)):
        place = data.draw(st.integers(0, len(value) - 1))
        if data.draw(st.booleans()):
            return [*value, value[place]]
        return [*value[:place], replaced(value[place], data), *value[place + 1 :]]
    return data.draw(VALUES)


def damaged(content: str, name: str, data: st.DataObject) -> bytes:
    """The file with a part of its JSON exchanged, or with some of its bytes exchanged, left out or put in."""
    if "json" in name and data.draw(st.integers(0, 4)):
        if name.endswith(".jsonl") or "\n{" in content:
            rows = [json.loads(line) for line in content.splitlines()]
            place = data.draw(st.integers(0, len(rows) - 1))
            changed = [*rows[:place], replaced(rows[place], data), *rows[place + 1 :]]
            return "".join(json.dumps(row) + "\n" for row in changed).encode()
        return json.dumps(replaced(json.loads(content), data)).encode()
    raw = content.encode()
    start = data.draw(st.integers(0, len(raw)))
    end = data.draw(st.sampled_from([start, start + 1, start + 8, len(raw)]))
    return (
        raw[:start]
        + data.draw(st.binary(max_size=6) | st.sampled_from([b"", b"\t", b"\n", b'"', b"\x00", b"[" * 3000]))
        + raw[end:]
    )


def use(benchmark: str, protocol: str, folder: Path, answers: Path) -> None:
    """All that a score does with the files."""
    bench = build(benchmark, folder, protocol)
    samples_digest(bench.questions)  # type: ignore[attr-defined]
    pairs = bench.read_answers(answers)  # type: ignore[attr-defined]
    statistics = bench.statistics(judge(bench, pairs, {"llm": Fair()}))
    assert all(statistic.of(np.ones(len(pairs))).shape == () for statistic in statistics.values())
    if hasattr(bench, "remarks"):
        bench.remarks(answers)


def told(benchmark: str, protocol: str, folder: Path, answers: Path) -> str:
    """What a user is told of the files."""
    try:
        use(benchmark, protocol, folder, answers)
    except UserError as mistake:
        return str(mistake)
    return "scored"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A folder of whole files for each benchmark."""
    root = tmp_path_factory.mktemp("fuzz")
    for benchmark, files in FILES.items():
        (root / benchmark).mkdir()
        for name, content in files.items():
            (root / benchmark / name).write_text(content)
    return lambda benchmark: root / benchmark


def answers_of(benchmark: str, protocol: str, name: str) -> list[str]:
    """The files of answers that are read with the damaged file: itself, if it is one."""
    if protocol == "reviews":
        return ["reviews.jsonl"]
    every = [file for file in FILES[benchmark] if file.startswith(("answers.", "own", "ids"))]
    return [name] if name in every else every


def check(home: Callable[[str], Path], benchmark: str, name: str, data: st.DataObject) -> None:
    folder, whole = home(benchmark), FILES[benchmark][name]
    (folder / name).write_bytes(damaged(whole, name, data))
    try:
        for protocol in PROTOCOLS[benchmark]:
            for answers in answers_of(benchmark, protocol, name):
                said = told(benchmark, protocol, folder, folder / answers)
                assert "\n" not in said
                assert said.encode(), "a line that says nothing"
    finally:
        (folder / name).write_text(whole)


@pytest.mark.parametrize(("benchmark", "name"), [(benchmark, name) for benchmark, name in TARGETS])
def test_whole_files_are_scored(home: Callable[[str], Path], benchmark: str, name: str) -> None:
    for protocol in PROTOCOLS[benchmark]:
        for answers in answers_of(benchmark, protocol, name):
            use(benchmark, protocol, home(benchmark), home(benchmark) / answers)


@pytest.mark.parametrize(("benchmark", "name"), TARGETS)
@given(data=st.data())
@settings(max_examples=QUICK // len(TARGETS), deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_damaged_file_is_scored_or_told(home: Callable[[str], Path], benchmark: str, name: str, data: st.DataObject) -> None:
    check(home, benchmark, name, data)


@pytest.mark.slow
@pytest.mark.parametrize(("benchmark", "name"), TARGETS)
@given(data=st.data())
@settings(max_examples=-(-SLOW // len(TARGETS)), deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_many_damaged_files_are_scored_or_told(
    home: Callable[[str], Path], benchmark: str, name: str, data: st.DataObject
) -> None:
    check(home, benchmark, name, data)
