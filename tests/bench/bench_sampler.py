"""Pictures a second of the own sampler against transformers' generate: python tests/bench/bench_sampler.py [--batch 32].

Both draw image tokens with guidance 5 and the whole softmax, in turns, from the same random model of tiny-janus' size;
the median round counts. `distinct` are different prompts, `repeated` four prompts repeated; decoding to pixels is left out on
both sides. The last line is one JSON document.
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
from models.tiny import tiny_image_processor, tiny_janus_model, tiny_tokenizer

from suder_bench.models.janus import JanusModel
from suder_bench.models.janus.prompts import generation_text
from suder_bench.models.protocols import ImageSampling


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--hidden", type=int, default=192)
    parser.add_argument("--layers", type=int, default=6)
    arguments = parser.parse_args(argv)
    model = tiny_janus_model(hidden=arguments.hidden, layers=arguments.layers, heads=6, image_size=64, codes=1024)
    janus = JanusModel(model, tiny_tokenizer(), tiny_image_processor(64))
    prompts = [f"a photo of {i} red balls left of {'one more ' * (i % 4)}blue box" for i in range(arguments.batch)]
    result = {"batch": arguments.batch, "threads": torch.get_num_threads(), "torch": torch.__version__}
    for name, batch in (("distinct", prompts), ("repeated", sorted(prompts[:4] * (arguments.batch // 4)))):
        ours, theirs = in_turns(lambda b=batch: draw(janus, b), lambda b=batch: generate(janus, b), arguments.rounds)
        result[name] = {
            "images_per_second": round(len(batch) / ours, 1),
            "transformers": round(len(batch) / theirs, 1),
            "ratio": round(theirs / ours, 2),
        }
        print(f"{name}: {len(batch) / ours:.1f} images/s, transformers {len(batch) / theirs:.1f}, ratio {theirs / ours:.2f}")
    print(json.dumps(result))
    return 0


def in_turns(first: Callable[[], object], second: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Median seconds of each, measured alternately after one unmeasured call, so that other load hits both."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for turn in range(rounds + 1):
        for call, log in zip((first, second), seconds, strict=True):
            start = time.perf_counter()
            call()
            if turn:
                log.append(time.perf_counter() - start)
    return statistics.median(seconds[0]), statistics.median(seconds[1])


def draw(janus: JanusModel, prompts: list[str]) -> torch.Tensor:
    return janus.draw(prompts, seeds=range(len(prompts)), sampling=ImageSampling()).tokens


def generate(janus: JanusModel, prompts: list[str]) -> torch.Tensor:
    texts = [f"<bos>{generation_text(prompt, '<begin_of_image>')}" for prompt in prompts]
    batch = janus.tokenizer(texts, add_special_tokens=False, padding=True, return_tensors="pt").to(janus.model.device)
    made: torch.Tensor = janus.model.generate(
        batch.input_ids, batch.attention_mask, generation_mode="image", do_sample=True, guidance_scale=5, top_k=0
    )
    return made


if __name__ == "__main__":
    raise SystemExit(main())
