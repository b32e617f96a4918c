"""T2I-CompBench's `<category>_{train,val}.txt`, the complex category's sub-lists, and `new_objects.txt`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from suder_bench.world.examples import Size, stream, texts, write_lines
from suder_bench.world.language import COMPLEX, split_of
from suder_bench.world.vocabulary import NOUNS, plural

CATEGORIES = ("color", "shape", "texture", "spatial", "non_spatial", "3d_spatial", "numeracy")
PROMPTS = {"full": {"train": 700, "val": 300}, "quick": {"train": 70, "val": 10}}
"""The official numbers; families with fewer distinct texts give all they have."""

SHARES = {"action": 0.7, "spatial": 0.2, "spatialaction": 0.1}
"""Of the complex prompts, about as in the official files (212, 58 and 30 of 300)."""


def write(folder: Path, size: Size) -> None:
    for i, split in enumerate(("train", "val")):
        n = PROMPTS[size][split]
        for j, category in enumerate(CATEGORIES):
            found = texts(category, split, n, stream("t2i-compbench", 10 * i + j))
            write_lines(folder / f"{category}_{split}.txt", [text for _, text in found])
        rng = stream("t2i-compbench", 10 * i + 9)
        parts = {part: _complex(part, split, round(share * n), rng) for part, share in SHARES.items()}
        for part, lines in parts.items():
            write_lines(folder / f"complex_{split}_{part}.txt", lines)
        together = [line for lines in parts.values() for line in lines]
        write_lines(folder / f"complex_{split}.txt", [together[k] for k in rng.permutation(len(together))])
    write_lines(folder / "new_objects.txt", [f"{noun} - {plural(noun)}" for noun in NOUNS])


def _complex(part: str, split: str, n: int, rng: np.random.Generator) -> list[str]:
    found: dict[str, None] = {}
    while len(found) < n:
        _, text = COMPLEX[part](rng)
        if split_of("complex", text) == split:
            found[text] = None
    return list(found)
