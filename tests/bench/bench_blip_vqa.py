"""Pictures a second of BLIP-VQA against the official shape: python tests/bench/bench_blip_vqa.py [--slots 8].

T2I-CompBench's script goes over all pictures once a question slot: each pass sends every picture through the picture tower again,
with one question, an empty one where the prompt has no more noun phrases. Both sides run in turns on the same random BLIP
(`--full` is its real size) and the same decoded pictures; the median round counts. The last line is one JSON document.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))
from tiny_judges import HERE, blip, noise

from suder_bench.evaluators.judges.blip_vqa import BlipVqa
from suder_bench.evaluators.judges.weights import OPENAI_MEAN, OPENAI_STD, pixels

NOUNS = ("a red ball", "the blue dog", "a dog", "the picture", "a blue ball", "a red dog", "the ball", "a red picture")
BATCH = 32
"""Of the official configuration."""


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=4)
    parser.add_argument("--slots", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--width", type=int, default=192)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--full", action="store_true", help="width 768 and 12 layers")
    arguments = parser.parse_args(argv)
    width, layers = (768, 12) if arguments.full else (arguments.width, arguments.layers)
    with tempfile.TemporaryDirectory() as folder:
        blip(Path(folder), width=width, layers=layers, heads=width // 64, side=480, patch=16)
        judge = BlipVqa.load(folder, **HERE)
    pictures = [noise(512, 512, seed) for seed in range(arguments.pictures)]
    asked = [[f"{noun}?" for noun in NOUNS[: arguments.slots]]] * len(pictures)
    sides = (lambda: judge.p_yes(pictures, asked), lambda: slot_by_slot(judge, pictures, asked, arguments.slots))
    largest = max(
        abs(a - b) for ours, theirs in zip(*(side() for side in sides), strict=True) for a, b in zip(ours, theirs, strict=True)
    )
    ours, theirs = in_turns(*sides, arguments.rounds)
    result = {
        "pictures": len(pictures),
        "slots": arguments.slots,
        "width": width,
        "layers": layers,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "pictures_per_second": round(len(pictures) / ours, 2),
        "official_shape": round(len(pictures) / theirs, 2),
        "ratio": round(theirs / ours, 2),
        "largest_difference": largest,
    }
    print(f"{len(pictures) / ours:.2f} pictures/s, official shape {len(pictures) / theirs:.2f}, ratio {theirs / ours:.2f}")
    print(json.dumps(result))
    return 0


@torch.inference_mode()
def slot_by_slot(
    judge: BlipVqa, pictures: Sequence[Image.Image], asked: Sequence[Sequence[str]], slots: int
) -> list[list[float]]:
    """p(yes) as the official script gets it, with the same network; padded questions are masked in its encoder.

    Its decoder masks them too, which transformers cannot, so that questions of one length go through the decoder together.
    """
    answers: list[list[float]] = [[] for _ in pictures]
    for slot in range(slots):
        for start in range(0, len(pictures), BATCH):
            rows = range(start, min(start + BATCH, len(pictures)))
            squeezed = [pictures[row].resize((480, 480), Image.Resampling.BICUBIC) for row in rows]
            seen = judge._model.vision_model(torch.stack([pixels(one, OPENAI_MEAN, OPENAI_STD) for one in squeezed]))
            texts = [asked[row][slot] if slot < len(asked[row]) else "" for row in rows]
            questions = judge._tokenizer(texts, padding=True, truncation=True, max_length=35, return_tensors="pt")
            questions["input_ids"][:, 0] = judge._enc
            read = judge._model.text_encoder(
                input_ids=questions["input_ids"],
                attention_mask=questions["attention_mask"],
                encoder_hidden_states=seen.last_hidden_state,
            ).last_hidden_state
            states = [own[: int(mask.sum())] for own, mask in zip(read, questions["attention_mask"], strict=True)]
            for row, p in zip(rows, judge._decode(states), strict=True):
                answers[row] += [p] * (slot < len(asked[row]))
    return answers


def in_turns(first: Callable[[], object], second: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Median seconds of each, measured alternately, so that other load hits both; both were called before."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for call, log in zip((first, second), seconds, strict=True):
            start = time.perf_counter()
            call()
            log.append(time.perf_counter() - start)
    return statistics.median(seconds[0]), statistics.median(seconds[1])


if __name__ == "__main__":
    raise SystemExit(main())
