"""Checking a run folder against a bare loop over its pictures: python tests/bench/bench_verify.py.

A fake model draws and a fake judge judges. The loop decodes each picture and digests it, and does nothing else; `verify` also
reads every line, makes every number anew and reads every file. Both by the processor's own time, in turns. `manifest` is what
writing the manifest adds to a run, as a share of what `verify` takes. The last line is one JSON document.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
import fakes

from suder_bench import registry
from suder_bench.ahead import WORKERS
from suder_bench.records import open_image
from suder_bench.runs import manifest
from suder_bench.runs.execute import Run
from suder_bench.runs.plan import data_read_once
from suder_bench.runs.screen import Screen
from suder_bench.runs.seen import picture_digest
from suder_bench.runs.store import RunFolder
from suder_bench.runs.verify import OK, Checked, check


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompts", type=int, default=500, help="two pictures each")
    parser.add_argument("--side", type=int, default=256, help="of a picture, in pixels")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args(argv)
    fakes.SIDE = given.side
    registry.TABLE = {group: {**names, **fakes.ENTRIES[group]} for group, names in registry.TABLE.items()}  # type: ignore[misc]
    found: dict[str, list[float]] = {"verify": [], "loop": [], "manifest": []}
    with tempfile.TemporaryDirectory() as place:
        folder = made(Path(place), given.prompts)
        for _ in range(given.rounds):
            found["verify"].append(seconds(lambda: verified(folder.path)))
            found["loop"].append(seconds(lambda: looped(folder)))
            found["manifest"].append(seconds(lambda: manifest.write(folder)))
    took = {name: statistics.median(one) for name, one in found.items()}
    ratios = {name: round(took[name] / took[other], 3) for name, other in (("verify", "loop"), ("manifest", "verify"))}
    print(json.dumps({"pictures": 2 * given.prompts, "seconds": {name: round(one, 3) for name, one in took.items()}, **ratios}))
    return 0


def made(place: Path, prompts: int) -> RunFolder:
    (place / "data").mkdir()
    (place / "data" / fakes.MARKER).write_text(" ".join(str(number % 250) for number in range(prompts)))
    settings = fakes.settings("drawing", data=place / "data")
    Run(place / "r", fakes.REFERENCE, settings).execute(Screen(io.StringIO()), fakes.FakeModel)
    return RunFolder(place / "r")


def verified(path: Path) -> None:
    checked = Checked()
    with data_read_once():
        check(path, checked, source=None, say=print)
    assert checked.verdict == OK, checked.document()


def looped(folder: RunFolder) -> None:
    def same(name: tuple[str, str]) -> bool:
        return picture_digest(open_image(folder.path / name[0])) == name[1]

    stored = [(str(one.image), one.digest) for one in folder.responses("drawing", repair=False, pictures=False).values()]
    with ThreadPoolExecutor(WORKERS) as pool:
        assert all(pool.map(same, stored))


def seconds(do: Callable[[], None]) -> float:
    began = time.process_time()
    do()
    return time.process_time() - began


if __name__ == "__main__":
    sys.exit(main())
