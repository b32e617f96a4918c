"""Reading a checkpoint of 1 GB in the layout of Janus' authors against the port's: python tests/bench/bench_reading.py.

The same random weights in both layouts, each read in a process of its own, in turns; the files are in the page cache. Peak memory
counts the mapped files. The last line is one JSON document.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from models.janus import original_layout
from models.tiny import tiny_image_processor, tiny_janus_model, tiny_tokenizer

WAYS = ("port", "original", "original bin")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=24, help="of 42 MB each; 24 make 1 GB in float32")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--read", help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.read:
        print(json.dumps(read(Path(arguments.read))))
        return 0
    with tempfile.TemporaryDirectory() as place:
        folders = written(Path(place), arguments.layers)
        found: dict[str, list[list[float]]] = {way: [] for way in WAYS}
        for _ in range(arguments.rounds):
            for way in WAYS:
                done = subprocess.run(
                    [sys.executable, __file__, "--read", str(folders[way])], stdout=subprocess.PIPE, text=True, check=True
                )
                found[way].append(json.loads(done.stdout.splitlines()[-1]))
    seconds = {way: round(statistics.median(one[0] for one in rows), 2) for way, rows in found.items()}
    megabytes = {way: round(statistics.median(one[1] for one in rows)) for way, rows in found.items()}
    times = {way: round(seconds[way] / seconds["port"], 2) for way in WAYS[1:]}
    memory = {way: round(megabytes[way] / megabytes["port"], 2) for way in WAYS[1:]}
    print(json.dumps({"seconds": seconds, "megabytes": megabytes, "times": times, "memory": memory}))
    return 0


def written(place: Path, layers: int) -> dict[str, Path]:
    """The same weights in each form; the language model makes the size."""
    model = tiny_janus_model(hidden=1024, layers=layers, heads=16, vision_heads=16)
    folders = {way: place / way for way in WAYS}
    model.save_pretrained(folders["port"])
    tiny_tokenizer().save_pretrained(folders["port"])
    tiny_image_processor().save_pretrained(folders["port"])
    original_layout.write(folders["original"], model, tiny_tokenizer(), kind="safetensors")
    original_layout.write(folders["original bin"], model, tiny_tokenizer(), kind="bin")
    return folders


def read(folder: Path) -> tuple[float, float]:
    """Seconds of reading into float32, and megabytes at the peak. Digests of the files are not part of it."""
    from suder_bench.models import checkpoint
    from suder_bench.models.janus import files

    checkpoint.digests = lambda *places: {}
    place = torch.device("cpu")
    start = time.perf_counter()
    files.load(files.find(str(folder)), device=place, dtype=torch.float32)
    return time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    raise SystemExit(main())
