"""How fast `serve` is beside `score`: python tests/bench/bench_serve.py [--pictures 200] [--clients 8] [--each 5] [--side 64].

The same pictures by the same judges, those of the world, which cost least, so that all else weighs most. `score` is its own
loop in a process that has its judges already, from the first file to the last verdict; `serve` is timed from the first request of
the clients (threads of this process, which encode the files) to the last answer. Both start fresh, so that no judge
remembers a picture, and take turns; the medians count. `cpu_score` and `cpu_serve` are seconds of processor time, of the loop
and of server with worker (Linux), which other work on the machine changes less. The last line is one JSON document.
"""

from __future__ import annotations

import argparse
import base64
import http.client
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).parents[1]))
from service.serving import serving

from suder_bench.data.source import Source
from suder_bench.runs.plan import build
from suder_bench.world.train_split import picture


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--each", type=int, default=5, help="pictures in a request")
    parser.add_argument("--side", type=int, default=64, help="pixels")
    parser.add_argument("--benchmark", default="geneval")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--score", type=Path, metavar="DIR", help=argparse.SUPPRESS)
    given = parser.parse_args(argv)
    if given.score:
        print(json.dumps(score(given.benchmark, given.score)))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        for i in range(given.pictures):
            picture(i).resize((given.side, given.side)).save(Path(folder) / f"{i:05d}.png")
        rounds = [turn(given, Path(folder)) for _ in range(given.rounds)]
    result = {name: getattr(given, name) for name in ("benchmark", "pictures", "clients", "each", "side", "rounds")} | {
        name: round(statistics.median(one[name] for one in rounds), 3) for name in rounds[0]
    }
    told = "score {score:.1f} pictures/s, serve {serve:.1f}, ratio {ratio:.2f}; p50 {p50:.3f} s, p95 {p95:.3f} s a request"
    print(told.format(**result))
    print(json.dumps(result))
    return 0


def turn(given: argparse.Namespace, folder: Path) -> dict[str, float]:
    command = [sys.executable, __file__, "--score", str(folder), "--benchmark", given.benchmark]
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}  # as `serving` has it
    scored = json.loads(
        subprocess.run(command, env=one_thread, capture_output=True, text=True, check=True).stdout.splitlines()[-1]
    )
    with serving("--data", "world", "--benchmark", given.benchmark) as served:
        processes = [served.process.pid, served.ask("GET", "/health")[1]["workers"][0]["process"]]
        busy = sum(map(processor, processes))
        seconds, rows, waited = serve(urlsplit(served.url).netloc, given, folder)
        busy = sum(map(processor, processes)) - busy
    assert rows == scored["rows"], "serve and score differ"
    waited.sort()
    return {
        "score": given.pictures / scored["seconds"],
        "serve": given.pictures / seconds,
        "ratio": scored["seconds"] / seconds,
        "p50": waited[len(waited) // 2],
        "p95": waited[min(len(waited) - 1, int(0.95 * len(waited)))],
        "cpu_score": scored["cpu"],
        "cpu_serve": busy,
    }


def processor(process: int) -> float:
    """Seconds that a process has used of the processor."""
    times = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11:13]
    return sum(map(int, times)) / os.sysconf("SC_CLK_TCK")


def score(name: str, folder: Path) -> dict[str, Any]:
    """The loop of `score` over the folder's pictures, the i-th for the i-th sample, and so on from the start."""
    from suder_bench.records import Answered, Response
    from suder_bench.runs import judges
    from suder_bench.runs.batches import BatchSize
    from suder_bench.runs.score import judge
    from suder_bench.runs.screen import Screen

    benchmark = build(name, Source("world", size="quick").folder(name, lambda line: None, offline=True), "official")
    samples = benchmark.samples()
    answered = [
        Answered(samples[i % len(samples)], Response(name, samples[i % len(samples)].id, i, seed=0, digest=""), file)
        for i, file in enumerate(sorted(folder.glob("*.png")))
    ]
    chosen = judges.choose(benchmark.judge_roles, {}, world=True)
    panel = judges.seat(chosen, device="cpu", dtype="auto", offline=True)
    verdicts: list[Any] = []
    begun, busy = time.perf_counter(), time.process_time()
    judge(benchmark, answered, panel, keep=verdicts.extend, size=BatchSize(), screen=Screen(io.StringIO()))
    seconds, busy = time.perf_counter() - begun, time.process_time() - busy
    return {"seconds": seconds, "cpu": busy, "rows": [[one.sample, dict(one.scores), one.reason] for one in verdicts]}


def serve(place: str, given: argparse.Namespace, folder: Path) -> tuple[float, list[Any], list[float]]:
    """Seconds for all, the rows in the order of the pictures, and how long each request took."""
    samples = build(
        given.benchmark, Source("world", size="quick").folder(given.benchmark, print, offline=True), "official"
    ).samples()
    files = [(samples[i % len(samples)].id, file) for i, file in enumerate(sorted(folder.glob("*.png")))]
    requests = [files[i : i + given.each] for i in range(0, len(files), given.each)]
    rows: dict[int, list[Any]] = {}
    waited: list[float] = []

    def client(first: int) -> None:
        connection = http.client.HTTPConnection(place, timeout=600)
        for i in range(first, len(requests), given.clients):
            begun = time.perf_counter()
            rows[i] = ask(connection, given.benchmark, requests[i])
            waited.append(time.perf_counter() - begun)
        connection.close()

    with ThreadPoolExecutor(given.clients) as clients:
        begun = time.perf_counter()
        list(clients.map(client, range(given.clients)))
        seconds = time.perf_counter() - begun
    return seconds, [row for i in range(len(requests)) for row in rows[i]], waited


def ask(connection: http.client.HTTPConnection, benchmark: str, files: Sequence[tuple[str, Path]]) -> list[Any]:
    items = [{"sample": sample, "picture": base64.b64encode(file.read_bytes()).decode()} for sample, file in files]
    body = json.dumps({"benchmark": benchmark, "items": items})
    connection.request("POST", "/v1/score", body, {"Content-Type": "application/json"})
    found = json.loads(connection.getresponse().read())["results"]
    return [[row["sample"], row["scores"], row["reason"]] for row in found]


if __name__ == "__main__":
    raise SystemExit(main())
