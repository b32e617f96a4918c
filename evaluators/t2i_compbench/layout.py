"""T2I-CompBench's file layout: the prompt is in the picture's name, `color/samples/a green bench_000012.png`.

The number runs over a category: prompt i, picture n has 10 i + n, whatever number of pictures a run makes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from suder_bench.endings import is_picture
from suder_bench.records import Sample, Stranger

PER_PROMPT = 10
MAX_BYTES = 240
"""File systems allow 255 bytes to a name; "_000012.png" needs eleven of them."""

UNIDETS = ("png", "jpg", "jpeg")
"""The endings that the detector's script looks for; the scripts of BLIP and CLIP open whatever is there."""

DETECTED = frozenset({"spatial", "3d_spatial", "numeracy", "complex"})
"""The categories that a detector looks at."""

_UNSAFE = re.compile(r"[_/\\\x00-\x1f\x7f]")
_PICTURE = re.compile(r"([^_]*)_(?:.*_)?(\d+)")


def stem(prompt: str) -> str:
    """The prompt as a file name carries it: official prompts unchanged, others without "_", "/" or excessive length."""
    safe = _UNSAFE.sub("-", prompt).encode()
    return safe.decode() if len(safe) <= MAX_BYTES else safe[:MAX_BYTES].decode(errors="ignore").rstrip()


def image_path(category: str, prompt: str, index: int, repeat: int) -> str:
    """Where picture `repeat` of prompt `index` of a category lies."""
    return f"{category}/samples/{stem(prompt)}_{PER_PROMPT * index + repeat:06d}.png"


def find_pictures(
    folder: Path, category: str, samples: Sequence[Sample]
) -> tuple[list[tuple[Sample, int, Path]], list[Stranger]]:
    """The pictures of one category in `samples`' order; those of a prompt are numbered from 0 in order.

    The prompt is the name before its first underscore. Where prompts share a name, a picture is of the last one whose first
    number is not above its own. The second list holds the pictures of no known prompt, and those with an ending that the
    category's scripts do not read.
    """
    by_stem: dict[str, list[int]] = {}
    for index, sample in enumerate(samples):
        by_stem.setdefault(stem(sample.prompt), []).append(index)
    found: dict[int, list[tuple[int, Path]]] = {}
    strange: list[Stranger] = []
    for file in sorted(folder.glob(f"{category}/samples/*")):
        match = _PICTURE.fullmatch(file.stem)
        if not is_picture(file):
            continue
        if match is None:
            strange.append(Stranger(file, "its name is not <prompt>_<number>.png"))
            continue
        number, named = int(match[2]), by_stem.get(match[1].strip(), [])
        choices = named if len(named) < 2 else [index for index in named if PER_PROMPT * index <= number][-1:]
        if len(choices) == 1 and category in DETECTED and file.suffix[1:] not in UNIDETS:
            strange.append(Stranger(file, f"the detector's script reads .{', .'.join(UNIDETS)} only", samples[choices[0]]))
        elif len(choices) == 1:
            found.setdefault(choices[0], []).append((number, file))
        elif named:
            strange.append(Stranger(file, f"'{match[1]}' stands in several lines of {category}_val.txt, all with higher numbers"))
        else:
            strange.append(Stranger(file, f"no prompt of {category}_val.txt is '{match[1]}'"))
    return [(samples[i], repeat, file) for i in sorted(found) for repeat, (_, file) in enumerate(sorted(found[i]))], strange
