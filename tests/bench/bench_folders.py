"""Large run folders, this build against an older one: python tests/bench/bench_folders.py --old CHECKOUT [--responses 20000];
or the driver of many workers: python tests/bench/bench_folders.py --workers 4.

A fake model responds to GenEval, four pictures a prompt, and fake judges judge them; each build makes the folder in its own
layout, and a copy of it to compare with. Then each command runs in a process of its own, build by build in turns, and twice:
on the large folder and on one of forty responses, whose peak of memory is what the program takes without any. The older build
is a checkout, made with: git worktree add DIR 1d5114e. With --workers so many processes make 20,000 and 200,000 responses (or
those of --responses), and judge them; `mb` is the peak of the driver's memory alone. The last line is one JSON document.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).absolute().parents[2]
REPEATS, FEW = 4, 40
COMMANDS: Mapping[str, Sequence[str]] = {
    "resume": ("run", "--stage", "respond"),
    "score": ("score", "a"),
    "compare": ("compare", "a", "b"),
    "report": ("report", "a", "--out", "report", "--pictures", "1000"),
}
RUN = ("--model", "bench:painter", "--benchmark", "geneval", "--data", "data", "--out", "a", "--repeats", str(REPEATS))
JUDGES = ("--judge", "detector=bench", "--judge", "color=bench")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--old", type=Path, metavar="DIR", help="a checkout of the build to compare with")
    parser.add_argument("--responses", type=int, default=None, metavar="N")
    parser.add_argument("--workers", type=int, metavar="N", help="how its driver fares where so many processes work")
    parser.add_argument("--command", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.command:
        return _command(Path(arguments.command[0]), arguments.command[1:])
    if arguments.workers:
        print(json.dumps(of_workers(arguments.workers, [20_000, arguments.responses or 200_000])))
        return 0
    arguments.responses = arguments.responses or 20_000
    builds = {"new": HERE} | ({"old": arguments.old.absolute()} if arguments.old else {})
    found: dict[str, dict[str, Any]] = {command: {} for command in COMMANDS}
    with tempfile.TemporaryDirectory() as scratch:
        for name, build in builds.items():
            for count in (FEW, arguments.responses):
                make(Path(scratch) / name / str(count), build, count)
        for command in COMMANDS:
            for name, build in builds.items():
                few, many = (
                    run(Path(scratch) / name / str(count), build, _line(command)) for count in (FEW, arguments.responses)
                )
                found[command][name] = many | {
                    "cpu_beyond_start": many["cpu"] - few["cpu"],
                    "kb_a_response": (many["mb"] - few["mb"]) * 1024 / arguments.responses,
                }
                print(command, name, {what: round(value, 2) for what, value in found[command][name].items()}, flush=True)
    if arguments.old:
        for one in found.values():
            one["ratio"] = {what: round(one["new"][what] / one["old"][what], 3) for what in one["new"]}
    print(json.dumps({"responses": arguments.responses, "commands": found}))
    return 0


def of_workers(workers: int, counts: Sequence[int]) -> dict[str, Any]:
    """What a driver of workers takes for so many responses, by stage."""
    found: dict[str, Any] = {"workers": workers}
    for count in counts:
        with tempfile.TemporaryDirectory() as scratch:
            prompts(Path(scratch), count)
            for stage, line in (("respond", ("run", *RUN, "--stage", "respond")), ("score", ("score", "a", *JUDGES))):
                found[f"{stage} {count}"] = measured = run(Path(scratch), HERE, [*line, "--workers", str(workers)])
                print(stage, count, measured, flush=True)
    return found


def make(folder: Path, build: Path, count: int) -> None:
    """A finished run `a` of so many responses and a copy of it, `b`."""
    prompts(folder, count)
    print("make", build.name, run(folder, build, ("run", *RUN, *JUDGES)), flush=True)
    shutil.copytree(folder / "a", folder / "b")


def prompts(folder: Path, count: int) -> None:
    """GenEval's files for so many responses."""
    (folder / "data/geneval").mkdir(parents=True)
    tags = ("single_object", "two_object", "counting", "colors", "position", "color_attr")
    records = [
        {"tag": tags[i % 6], "include": [{"class": "star", "count": 1 + i % 3}, {"class": "cat", "count": 1}], "prompt": f"{i}"}
        for i in range(count // REPEATS)
    ]
    (folder / "data/geneval/evaluation_metadata.jsonl").write_text("".join(json.dumps(one) + "\n" for one in records))
    (folder / "data/geneval/object_names.txt").write_text("star\ncat\n")


def run(folder: Path, build: Path, line: Sequence[str]) -> dict[str, float]:
    """Seconds on the clock and of the processors, and the peak of memory in MB, of a command in a process of its own."""
    command = [sys.executable, __file__, "--command", str(build), *line]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    if done.returncode:
        raise SystemExit(done.stderr)
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return measured


def _line(command: str) -> list[str]:
    return [*COMMANDS[command], *(RUN if command == "resume" else JUDGES if command == "score" else ())]


def _command(build: Path, line: Sequence[str]) -> int:
    """Run a command of the build in the checkout, and print what it took."""
    sys.meta_path[:] = [one for one in sys.meta_path if "Editable" not in getattr(one, "__name__", "")]
    sys.path.insert(0, str(build))
    import suder_bench

    suder_bench.__path__.append(str(build))  # where evaluators, reports and training lie
    from suder_bench import registry

    sys.modules["bench_folders"] = sys.modules["__main__"]
    own = {
        "models": {"bench": "bench_folders:Painter"},
        "judges": {"detector/bench": "bench_folders:Blink", "color/bench": "bench_folders:Blink"},
    }
    registry.TABLE = {group: {**names, **own.get(group, {})} for group, names in registry.TABLE.items()}  # type: ignore[misc]
    from suder_bench.cli import main

    started = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        status = main(list(line))
    taken = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    seconds = time.perf_counter() - started
    print(
        json.dumps(
            {
                "wall": round(seconds, 2),
                "cpu": round(sum(one.ru_utime + one.ru_stime for one in taken), 2),
                "own_cpu": round(taken[0].ru_utime + taken[0].ru_stime, 2),
                "mb": round(taken[0].ru_maxrss / 1024, 1),
            }
        )
    )
    return status


class Painter:
    """Draws a picture of its seed."""

    name = "bench:painter"
    fingerprint = "painter 1"

    def __init__(self) -> None:
        self.settings: dict[str, str] = {}

    @classmethod
    def load(cls, reference: str, *, device: str, dtype: str) -> Painter:
        return cls()

    def generate(self, prompts: Sequence[str], *, seeds: Sequence[int], sampling: object) -> list[Any]:
        from PIL import Image

        from suder_bench.models.protocols import GeneratedImage

        return [GeneratedImage(Image.new("RGB", (32, 32), tuple(seed.to_bytes(8, "big")[-3:]))) for seed in seeds]


class Blink:
    """Finds a cat and up to three stars, by the picture's shade."""

    backend = "bench"
    exact = False
    fingerprint = "blink 1"

    @classmethod
    def load(cls, *, device: str, dtype: str, offline: bool) -> Blink:
        return cls()

    def check(self) -> None:
        pass

    def detect(self, pictures: Sequence[Any]) -> list[list[Any]]:
        from suder_bench.evaluators.judges.protocols import Detection

        shades = [picture.getpixel((0, 0))[0] for picture in pictures]
        return [
            [Detection(name, 0.95 - i / 10, (i, 2, i + 9.25, 20.5)) for i, name in enumerate(["cat", *["star"] * (shade % 4)])]
            for shade in shades
        ]


if __name__ == "__main__":
    raise SystemExit(main())
