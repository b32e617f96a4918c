"""UniDet on a processor: OMP_NUM_THREADS=2 python tests/bench/bench_unidet.py [--network rs200] [--rounds 3] [--pictures 8].

Pictures side by side, one to a thread, against one after the other, each by one thread, in turns on the same weights; and the
peak memory of 20 and of 200 smaller pictures, each number in a process of its own. With `--original DETECTRON2 UNIDET_EVAL`
(see `unidet_original.py`; its environment and huggingface_hub) it is instead the processor's time for the network against
the authors' code, one thread, in turns. The last line is one JSON document.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
import unidet_weights

from suder_bench.evaluators.judges.unidet.network import CONFIGURATIONS, Network
from suder_bench.evaluators.judges.unidet.preprocess import prepare

SMALL, COUNTS = (64, 48), (20, 200)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", choices=CONFIGURATIONS, default="r50")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pictures", type=int, default=8)
    parser.add_argument("--original", nargs=2, metavar=("DETECTRON2", "UNIDET_EVAL"))
    parser.add_argument("--memory", nargs=2, metavar=("FILE", "N"), help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.memory:
        print(peak(*arguments.memory))
        return 0
    if arguments.original:
        row = against(arguments.network, arguments.rounds, *arguments.original)
    else:
        row = side_by_side(arguments.network, arguments.rounds, arguments.pictures)
    print(json.dumps({"network": arguments.network, "torch": torch.__version__, "threads": torch.get_num_threads(), **row}))
    return 0


def side_by_side(name: str, rounds: int, count: int) -> dict[str, Any]:
    from suder_bench.evaluators.judges.unidet import UniDet

    with torch.device("meta"):
        shapes = {key: tuple(own.shape) for key, own in Network(CONFIGURATIONS[name]).state_dict().items()}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "some.pth"
        torch.save({key: torch.from_numpy(unidet_weights.values(key, shape)) for key, shape in shapes.items()}, file)
        unidet = UniDet.read(file, device="cpu")
        pictures = [unidet_weights.scene(512, 512, seed) for seed in range(count)]
        alone, together = in_turns(
            lambda: [unidet.find([picture]) for picture in pictures], lambda: unidet.find(pictures), rounds, time.perf_counter
        )
        command = [sys.executable, __file__, "--memory", str(file)]
        peaks = [int(subprocess.run([*command, str(n)], check=True, capture_output=True).stdout) for n in COUNTS]
    return {
        "seconds_alone": round(alone / count, 2),
        "seconds_together": round(together / count, 2),
        "times_as_fast": round(alone / together, 2),
        "peak_mib": dict(zip(map(str, COUNTS), peaks, strict=True)),
        "load": os.getloadavg()[0],
    }


def peak(file: str, count: str) -> int:
    """MiB of this process after looking at that many pictures."""
    from suder_bench.evaluators.judges.unidet import UniDet

    unidet = UniDet.read(file, device="cpu")
    unidet.detect([unidet_weights.scene(*SMALL, seed) for seed in range(int(count))])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def against(name: str, rounds: int, detectron: str, unidet: str) -> dict[str, Any]:
    import unidet_original

    torch.set_num_threads(1)
    sys.path[:0] = [str(Path(detectron).resolve()), str(Path(unidet).resolve())]
    os.chdir(unidet)
    theirs, ours = unidet_original.build(name), Network(CONFIGURATIONS[name]).eval()
    ours.load_state_dict({key: own for key, own in theirs.state_dict().items() if not key.endswith("num_batches_tracked")})
    picture = unidet_weights.scene(479, 479, 0)

    @torch.no_grad()
    def look() -> None:
        ours(prepare(picture, CONFIGURATIONS[name])[None], [(picture.height, picture.width)])

    slow, quick = in_turns(lambda: unidet_original.detect(theirs, picture), look, rounds, time.process_time)
    return {"seconds_original": round(slow, 2), "seconds": round(quick, 2), "share": round(quick / slow, 2)}


def in_turns(one: Callable[[], Any], other: Callable[[], Any], rounds: int, clock: Callable[[], float]) -> tuple[float, float]:
    """The median time of each, after a round that does not count."""
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds + 1):
        for run, own in zip((one, other), times, strict=True):
            start = clock()
            run()
            if number:
                own.append(clock() - start)
    return statistics.median(times[0]), statistics.median(times[1])


if __name__ == "__main__":
    raise SystemExit(main())
