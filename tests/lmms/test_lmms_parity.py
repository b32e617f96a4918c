"""Our numbers under the protocol "lmms-eval" are those that lmms-eval's own code gives, run for real, to the last digit."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lmms_tasks import lmms_eval, results
from lmms_world import write

from suder_bench import registry
from suder_bench.cli import main
from suder_bench.lmms.aggregation import aggregated
from suder_bench.records import Answered, Response, Sample, Verdict
from suder_bench.runs.encoding import text_digest
from suder_bench.runs.store import RunFolder

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("lmms_eval") is None, reason="needs the extra lmms, in an environment of its own"),
]

ANSWERS = 10_000

OURS: Mapping[str, Mapping[str, str]] = {
    "pope": {
        f"lmms-eval/{ours}": f"pope_{theirs}"
        for ours, theirs in [
            ("acc", "accuracy"),
            ("precision", "precision"),
            ("recall", "recall"),
            ("f1", "f1_score"),
            ("yes", "yes_ratio"),
        ]
    },
    "mmbench": {"lmms-eval/circular/overall": "gpt_eval_score"},
    "seedbench": {"lmms-eval/overall": "seed_all"},
    "hallusionbench": {"lmms-eval/aAcc": "aAcc", "lmms-eval/qAcc": "qAcc", "lmms-eval/fAcc": "fAcc"},
}
"""Our metric -> lmms-eval's."""

PERCENT = {"mmbench"}
"""lmms-eval's numbers of these are in percent."""

WORDS = (
    *"ABCDEabcde",
    "A.",
    "(B)",
    "C)",
    "D:",
    "(E).",
    "yes",
    "no",
    "Yes",
    "No",
    "YES",
    "not",
    "the answer is",
    "Answer:",
    "a",
    "the",
    "I choose",
    "option",
    "",
    " ",
    "\n",
    ".",
    ",",
    "'",
    "Yes.",
    "nan",
    "DNA",
    "答案是",
    "é",
    "<b>",
    "**B**",
    "none",
    "unknown",
    "x" * 300,
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("lmms"), *OURS)


def hostile(rng: random.Random, sample: Sample) -> str:
    """Words that readers of answers trip over, among them the question's own options and its answer."""
    own = [*map(str, sample.truth.get("options", {}).values()), str(sample.truth.get("answer", sample.truth.get("label", "1")))]
    picked = [rng.choice(own if rng.random() < 0.3 else WORDS) for _ in range(rng.choice((1, 1, 1, 2, 3, 6)))]
    return rng.choice(("", " ", "\n")).join(picked) if rng.random() < 0.3 else " ".join(picked)


def rounds(benchmark: str, samples: Sequence[Sample]) -> Iterator[list[str]]:
    """Answers to all questions, again and again until there are enough; more and more of them are right."""
    rng, count = random.Random(benchmark), -(-ANSWERS // len(samples))
    for number in range(count):
        yield [right(sample) if rng.random() < number / count else hostile(rng, sample) for sample in samples]


def right(sample: Sample) -> str:
    answer = str(sample.truth.get("answer", sample.truth.get("label")))
    return {"0": "No.", "1": "Yes."}.get(answer, answer)


def judged(benchmark: Any, samples: Sequence[Sample], texts: Sequence[str]) -> list[tuple[Sample, Verdict]]:
    answered = [
        Answered(sample, Response(benchmark.name, sample.id, 0, 0, text_digest(text), text=text))
        for sample, text in zip(samples, texts, strict=True)
    ]
    return list(zip(samples, benchmark.verdicts(answered, {}), strict=True))


@pytest.mark.parametrize("benchmark", OURS)
def test_numbers_on_random_answers_are_lmms_eval_s_own(made: Path, benchmark: str) -> None:
    ours = registry.load("benchmarks", benchmark)(made / "world" / benchmark)
    theirs = registry.load("benchmarks", f"lmms:world_{benchmark}")(made / "tasks")
    mine = [sample for sample in ours.samples() if sample.images]
    asked = theirs.samples()
    assert len(mine) == len(asked)
    functions = theirs.loaded.task.aggregation()
    seen = set()
    for texts in rounds(benchmark, mine):
        told = ours.statistics(judged(ours, mine, texts))
        results = [verdict.details["results"]["none"] for _, verdict in judged(theirs, asked, texts)]
        for our, their in OURS[benchmark].items():
            value = float(told[our].of(np.ones(len(mine))))
            raw = aggregated(functions[their], [one[their] for one in results])
            assert value * (100 if benchmark in PERCENT else 1) == raw, (our, value, raw)
            seen.add(raw)
    assert len(seen) > len(OURS[benchmark]) + 3


def test_a_run_of_tiny_janus_has_the_same_numbers_three_ways(made: Path, tmp_path: Path) -> None:
    """lmms-eval with our model, our run of lmms-eval's tasks, and our own benchmarks with its words and by its rules."""
    tasks = [f"world_{name}" for name in OURS]
    done = lmms_eval(
        *("--model", "suder_bench", "--model_args", "pretrained=tiny-janus,device=cpu,dtype=float32"),
        *(
            "--include_path",
            str(made / "tasks"),
            "--tasks",
            ",".join(tasks),
            "--output_path",
            str(tmp_path / "logs"),
            "--log_samples",
        ),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    machine = ["--device", "cpu", "--dtype", "float32"]
    command = ["run", "--model", "tiny-janus", "--suite", f"lmms:{','.join(tasks)}", "--data", str(made / "tasks"), *machine]
    assert main([*command, "--out", str(tmp_path / "theirs")]) == 0
    command = ["run", "--model", "tiny-janus", "--prompt-style", "lmms-eval", "--data", str(made / "world"), *machine]
    assert main([*command, *(word for name in OURS for word in ("--benchmark", name)), "--out", str(tmp_path / "ours")]) == 0
    real = results(tmp_path / "logs")
    theirs, ours = (json.loads((tmp_path / one / "summary.json").read_text())["benchmarks"] for one in ("theirs", "ours"))
    for name, metrics in OURS.items():
        [log] = (tmp_path / "logs").rglob(f"*_samples_world_{name}.jsonl")
        said = [text for _, text in registry.load("benchmarks", f"lmms:world_{name}")(made / "tasks").read_answers(log)]
        folder = RunFolder(tmp_path / "theirs").responses(f"lmms:world_{name}", repair=False)
        assert [folder[str(number), 0].text for number in range(len(said))] == said
        for our, their in metrics.items():
            own = ours[name]["metrics"][our]["value"] * (100 if name in PERCENT else 1)
            assert real[f"world_{name}"][their] == theirs[f"lmms:world_{name}"]["metrics"][their]["value"] == own
    assert real["world_pope"]["pope_f1_score"] > 0.8
