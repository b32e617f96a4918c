"""The share of clean renders that are read exactly as drawn, in every family: python tests/bench/bench_perception.py [N].

Draws N scenes of each family (600 by default) with the streams of tests/world/test_perception.py; prints one JSON line.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "world"))
from test_perception import is_read, scenes

from suder_bench.world.language import FAMILIES
from suder_bench.world.perception import perceive
from suder_bench.world.render import render


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenes", type=int, nargs="?", default=600)
    n = parser.parse_args(argv).scenes
    read = {family: sum(is_read(scene, perceive(render(scene))) for scene in scenes(family, n)) / n for family in FAMILIES}
    print(json.dumps({"scenes": n, "read": read}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
