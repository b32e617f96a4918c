"""Two workers against one, and one process against a bare loop: python tests/bench/bench_workers.py [--ray auto].

`workers` are pictures a second of `suder-bench run --stage respond` on GenEval's prompts by one process and by two, in turns, as
speed.json tells them, from the first chunk to the last picture on disk; the processor's time of all workers beside them tells
more where other work runs too. `overhead` is the processor's time that the in-process run takes beyond a loop that calls
`generate` on the same batches and saves the PNG files. One thread a process. The last line is one JSON document.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import resource
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from suder_bench.data import source
from suder_bench.models import reference
from suder_bench.models.protocols import TextToImage
from suder_bench.runs.batches import BatchSize
from suder_bench.runs.encoding import encoded
from suder_bench.runs.execute import Run
from suder_bench.runs.plan import Settings, plan
from suder_bench.runs.respond import respond
from suder_bench.runs.screen import Screen
from suder_bench.runs.staff import Staffing
from suder_bench.runs.store import RunFolder
from suder_bench.runs.workers.ray_crew import Cluster

MODEL = "tiny-janus"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=400)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ray", metavar="auto|HOST:PORT", help="workers are in a Ray cluster; the overhead is not measured")
    given = parser.parse_args(argv)
    torch.set_num_threads(1)
    model = reference.choose(MODEL)
    settings = Settings("geneval", ("geneval",), source.choose("world", "full", world_model=True), limit=given.pictures // 4)
    result: dict[str, Any] = {"pictures": given.pictures, "batch": given.batch, "cores": os.cpu_count()}
    with tempfile.TemporaryDirectory() as scratch:
        cluster = None if given.ray is None else Cluster(given.ray)
        result["workers"] = of_workers(Path(scratch), model, settings, given.batch, given.rounds, cluster)
        if cluster is None:
            result["overhead"] = of_overhead(Path(scratch), model, settings, given.batch, given.rounds)
    print(json.dumps(result))
    return 0


def of_workers(
    scratch: Path, model: reference.ModelReference, settings: Settings, batch: int, rounds: int, cluster: Cluster | None
) -> dict[str, Any]:
    rates: dict[int, list[float]] = {1: [], 2: []}
    processor: dict[int, list[float]] = {1: [], 2: []}
    for turn in range(rounds):
        for count, log in rates.items():
            before = _children()
            out = scratch / f"workers-{count}-{turn}"
            run = Run(out, model, settings, stage="respond", batch_size=batch, staffing=Staffing(count, ray=cluster))
            assert run.execute(Screen(io.StringIO())).complete
            processor[count].append(_children() - before)
            log.append(json.loads((out / "speed.json").read_text())["respond"]["per_second"])
            print(f"round {turn}: {count} worker{'s' * (count > 1)}: {log[-1]:.1f} pictures/s", flush=True)
    one, two = statistics.median(rates[1]), statistics.median(rates[2])
    found = {"one": one, "two": two, "ratio": round(two / one, 2)}
    if cluster is not None:  # actors are no children
        return found
    return {**found, "processor": {count: round(statistics.median(log), 1) for count, log in processor.items()}}


def _children() -> float:
    """Seconds of the processor that ended children took, their start included."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def of_overhead(scratch: Path, model: reference.ModelReference, settings: Settings, batch: int, rounds: int) -> dict[str, Any]:
    loaded = model.load(device="cpu", dtype="float32")
    assert isinstance(loaded, TextToImage)
    [task] = plan(settings, print)
    task = replace(task, items=task.items[: 8 * batch])
    bare: list[float] = []
    harness: list[float] = []
    for turn in range(rounds + 1):
        started = time.process_time()
        folder = scratch / f"bare-{turn}"
        folder.mkdir()
        for start in range(0, len(task.items), batch):
            items = task.items[start : start + batch]
            made = loaded.generate(
                [item.sample.prompt for item in items], seeds=[item.seed for item in items], sampling=settings.image
            )
            for number, one in enumerate(made, start):
                (folder / f"{number}.png").write_bytes(encoded(one.picture)[0])
        middle = time.process_time()
        out = RunFolder(scratch / f"harness-{turn}")
        out.path.mkdir()
        assert not respond(task, {}, loaded, out, settings, BatchSize(batch), Screen(io.StringIO()))
        if turn:  # the first warms up
            bare.append(middle - started)
            harness.append(time.process_time() - middle)
    share = statistics.median(b / a for a, b in zip(bare, harness, strict=True)) - 1
    print(f"bare loop {statistics.median(bare):.2f} s, harness {statistics.median(harness):.2f} s of the processor", flush=True)
    return {"bare": round(statistics.median(bare), 2), "harness": round(statistics.median(harness), 2), "share": round(share, 4)}


if __name__ == "__main__":
    raise SystemExit(main())
