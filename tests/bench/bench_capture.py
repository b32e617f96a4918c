"""Pictures a second of Janus' captured step (a CUDA graph) against the same sampler with eager steps and against transformers'
generate: python tests/bench/bench_capture.py [--size 1b 7b] [--batch 1 16 64].

Janus-Pro's shapes with random weights in 16 bits, guidance 5, temperature 1, the whole softmax, different prompts; one unmeasured
turn, then the median of `--rounds` in turns. Decoding to pixels is left out on all sides. Tokens of the captured steps must equal
those of the eager ones: `differing` counts pictures with another token.
Needs CUDA; --device cpu with small sizes shows that the file runs. The last line is one JSON document.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))
from bench_sampler import draw, generate
from models.tiny import tiny_image_processor, tiny_janus_model, tiny_tokenizer

from suder_bench.models.janus import JanusModel

SHAPES = {
    "tiny": {"hidden": 64, "layers": 2, "heads": 4, "intermediate": 128, "image_size": 32, "codes": 64},
    "1b": {"hidden": 2048, "layers": 24, "heads": 16, "intermediate": 5632, "image_size": 192, "codes": 16384},
    "7b": {"hidden": 4096, "layers": 30, "heads": 32, "intermediate": 11008, "image_size": 192, "codes": 16384},
}
"""config.json of deepseek-community/Janus-Pro-1B and -7B. The image size stands for 576 tokens: patches are of 8 here."""


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", nargs="+", choices=SHAPES, default=["1b", "7b"])
    parser.add_argument("--batch", nargs="+", type=int, default=[1, 16, 64])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cuda")
    arguments = parser.parse_args(argv)
    if arguments.device == "cuda" and not torch.cuda.is_available():
        print("no CUDA device here: nothing measured", file=sys.stderr)
        return 1
    device = torch.cuda.get_device_name() if arguments.device == "cuda" else "cpu"
    found = {"device": device, "torch": torch.__version__, "results": []}
    for size in arguments.size:
        janus = model(size, arguments.device)
        for batch in arguments.batch:
            row = {"size": size, "batch": batch, **compared(janus, batch, arguments.rounds)}
            print(row, flush=True)
            found["results"].append(row)
        del janus
    print(json.dumps(found))
    return 0


def model(size: str, device: str) -> JanusModel:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16 if device == "cuda" else before)
    try:
        with torch.device(device):
            network = tiny_janus_model(**SHAPES[size])
    finally:
        torch.set_default_dtype(before)
    return JanusModel(network.to(device), tiny_tokenizer(), tiny_image_processor(SHAPES[size]["image_size"]))


def compared(janus: JanusModel, batch: int, rounds: int) -> dict[str, float]:
    prompts = [f"a photo of {i} red balls left of {'one more ' * (i % 4)}blue box" for i in range(batch)]
    drawn: dict[str, torch.Tensor] = {}

    def ours(capture: bool) -> None:
        janus.capture = capture
        drawn["captured" if capture else "eager"] = draw(janus, prompts)

    sides: dict[str, Callable[[], object]] = {
        "captured": lambda: ours(True),
        "eager": lambda: ours(False),
        "transformers": lambda: generate(janus, prompts),
    }
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(rounds + 1):
        for name, side in sides.items():
            start = time.perf_counter()
            side()
            if janus.model.device.type == "cuda":
                torch.cuda.synchronize()
            if turn:
                seconds[name].append(time.perf_counter() - start)
    rate = {name: round(batch / statistics.median(taken), 3) for name, taken in seconds.items()}
    differing = int((drawn["captured"] != drawn["eager"]).any(dim=1).sum())
    ratio = {f"to {name}": round(rate["captured"] / rate[name], 2) for name in ("eager", "transformers")}
    return {**rate, **ratio, "differing": differing}


if __name__ == "__main__":
    raise SystemExit(main())
