"""What the world's judges give true renders and such with one thing wrong: python tests/bench/bench_true_renders.py [N].

Draws N prompts of each family (100 by default) as tests/world/test_true_renders.py does, and prints one JSON document. With
--through CHECKPOINT the pictures go through its image tokenizer and back first: the most that what it draws can get.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "world"))
from test_true_renders import judged, renders, scores

from suder_bench import registry
from suder_bench.models.reference import choose
from suder_bench.world.language import FAMILIES

Change = Callable[[Sequence[Image.Image]], list[Image.Image]]


def through(checkpoint: str) -> Change:
    """Pictures as a model's image tokenizer keeps them."""
    chosen = choose(checkpoint)
    model = registry.load("models", chosen.adapter).load(chosen.reference)

    def redrawn(pictures: Sequence[Image.Image]) -> list[Image.Image]:
        pixels = model.decode_tokens(model.tokenize_images(pictures))
        values = ((pixels + 1) / 2 * 255).clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()
        return [Image.fromarray(each) for each in values]

    return redrawn


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("prompts", type=int, nargs="?", default=100)
    parser.add_argument("--through", metavar="CHECKPOINT")
    parser.add_argument("--families", nargs="+", default=list(FAMILIES), choices=FAMILIES)
    asked = parser.parse_args(argv)
    changed: Change = through(asked.through) if asked.through else list
    table: dict[str, dict[str, dict[str, float]]] = {}
    for family in asked.families:
        table[family] = {}
        for what, cases in renders(family, asked.prompts).items():
            descriptions, prompts, pictures = zip(*cases, strict=True)
            verdicts = judged(family, list(zip(descriptions, prompts, changed(pictures), strict=True)))
            found = scores(verdicts)
            row = {"n": len(found), "mean": np.mean(found), "least": np.min(found), "most": np.max(found)}
            for part in ("attribute", "spatial", "clip"):
                values = [verdict.scores[part] for verdict in verdicts if part in verdict.scores]
                row |= {part: np.mean(values)} if values else {}
            table[family][what] = {name: round(float(value), 3) for name, value in row.items()}
    print(json.dumps(table, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
