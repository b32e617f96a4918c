"""Questions per second through lmms-eval and `suder-bench run`: python tests/bench/bench_lmms.py, where the extra `lmms` is.

POPE's questions about the world, the same for all: `plugin` is tiny-janus as lmms-eval's model suder_bench, `huggingface` is
lmms-eval's own model of that name at its batch size of 1, on the same weights in the same precision, with what it lacks for Janus
(it loads every checkpoint without its head, and asks for a chat template); `run` is our own harness. All in one process, in
turns, without imports and loading, from the documents to the metrics; the median of the rounds counts. The last line is one JSON
document.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lmms_eval.evaluator import simple_evaluate
from lmms_eval.models import get_model
from lmms_eval.tasks import TaskManager
from transformers import JanusForConditionalGeneration

from suder_bench.data.source import Source
from suder_bench.evaluators.pope import Pope
from suder_bench.machine import use_one_thread
from suder_bench.models import reference
from suder_bench.runs.execute import Run
from suder_bench.runs.plan import Settings, evenly
from suder_bench.runs.screen import Screen
from suder_bench.world import checkpoints, write_pope

sys.path.insert(0, str(Path(__file__).absolute().parents[1] / "lmms"))
import lmms_tasks

TASK = "yesno"
IMAGE = "{% if part.type == 'image' %}<image_placeholder>\n{% else %}{{ part.text }}{% endif %}"
TURN = f"<|User|>: {{% for part in message.content %}}{IMAGE}{{% endfor %}}\n\n"
TEMPLATE = f"{{% for message in messages %}}{TURN}{{% endfor %}}<|Assistant|>:"
"""Janus' own, which the adapter writes too."""


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--questions", type=int, default=200, metavar="N")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args(argv)
    use_one_thread()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_pope.write(folder / "pope", "quick")
        rows = lmms_tasks.documents(evenly(Pope(folder / "pope").samples(), given.questions))
        lmms_tasks.write(folder, {TASK: {"generation_kwargs": {"max_new_tokens": 1024, "temperature": 0}}}, rows)
        ways = {
            "plugin": through(plugin(), folder),
            "huggingface": through(huggingface(), folder),
            "run": ran(folder, given.questions),
        }
        clock: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
        right: dict[str, float] = {}
        for turn in range(given.rounds + 1):  # the first one warms up
            for way, do in ways.items():
                started, worked = time.perf_counter(), time.process_time()
                right[way] = do()
                if turn:
                    clock[way].append((time.perf_counter() - started, time.process_time() - worked))
                    wall, processor = clock[way][-1]
                    print(
                        f"round {turn}: {way} {wall:.2f} s, {processor:.2f} of the processor, {right[way]:.3f} right", flush=True
                    )
    rates = {
        unit: {way: round(len(rows) / statistics.median(pair[place] for pair in pairs), 1) for way, pairs in clock.items()}
        for place, unit in enumerate(("second", "second of the processor"))
    }
    ratios = {
        f"{way}/huggingface by the {unit}": round(rate[way] / rate["huggingface"], 2)
        for unit, rate in rates.items()
        for way in ("plugin", "run")
    }
    print(json.dumps({"questions": len(rows), "cores": os.cpu_count(), "per": rates, "right": right, **ratios}))
    return 0


def plugin() -> Any:
    return get_model("suder_bench").create_from_arg_string("pretrained=tiny-janus,device=cpu")


def huggingface() -> Any:
    made = get_model("huggingface")(pretrained=str(checkpoints.path("tiny-janus")), device="cpu", device_map="cpu", batch_size=1)
    made._model = JanusForConditionalGeneration.from_pretrained(checkpoints.path("tiny-janus")).eval()
    made.processor.chat_template = TEMPLATE
    return made


def through(model: Any, folder: Path) -> Callable[[], float]:
    """An evaluation of a loaded model by lmms-eval; returns the share of right answers."""
    model.clean = lambda: None  # which would let the model go

    def evaluate() -> float:
        manager = TaskManager("WARNING", include_path=str(folder), include_defaults=False)
        found = simple_evaluate(model=model, tasks=[TASK], task_manager=manager, batch_size=1, bootstrap_iters=0)
        share: float = found["results"][TASK]["right,none"]
        return share

    return evaluate


def ran(folder: Path, limit: int) -> Callable[[], float]:
    """A whole run, its records and intervals included, on as many of POPE's questions, evenly spread."""
    model = reference.choose("tiny-janus")
    loaded = model.load(device="cpu", dtype="float32")
    settings = Settings("pope", ("pope",), Source("folder", path=folder), limit=limit)

    def evaluate() -> float:
        with tempfile.TemporaryDirectory() as out:
            outcome = Run(Path(out) / "run", model, settings).execute(Screen(io.StringIO()), lambda: loaded)
        share: float = outcome.summary["benchmarks"]["pope"]["metrics"]["pooled_acc"]["value"]
        return share

    return evaluate


if __name__ == "__main__":
    raise SystemExit(main())
