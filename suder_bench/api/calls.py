"""What can be called: each function does what the command of its name does, by the same code."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any

from suder_bench.api.options import words
from suder_bench.api.results import Comparison, LoadedRun
from suder_bench.called import called
from suder_bench.cli import run as command
from suder_bench.errors import UserError
from suder_bench.machine import use_large_pages, use_one_thread, wait_passively
from suder_bench.reports import door
from suder_bench.runs.paired import compare as compared
from suder_bench.runs.plan import data_read_once
from suder_bench.runs.screen import Screen

Place = str | PathLike[str]


def run(model: Place, **options: Any) -> LoadedRun:
    """Evaluate a model on a suite, as `suder-bench run` does, and return the run; the same call again goes on where it stopped.

    Keywords are the command's options with `_` for `-`: `suite="gen"`, `limit=20`, `out="runs/a"`. An option without a value
    is `True`. One that may be repeated takes a list or, where it pairs names with values, a dictionary:
    `judge={"detector": "world"}`. Options that only print (`json`, `dry_run`) are the command's alone.

    As the command does, it tells its progress on stderr, and has numerical libraries compute in one thread, unless
    `OMP_NUM_THREADS` says how many; that and `offline=True` hold for the whole process from then on.

    What fails on the way is told on stderr and leaves the run not `complete`. Raises `UserError` for a mistake, before anything
    is done, and `KeyboardInterrupt` when it is interrupted, with what was done kept.

        run = suder_bench.run("tiny-janus", suite="gen", limit=4)
    """
    wait_passively()
    use_large_pages()
    parser = command.parser()
    given = words(parser, {"model": model, **options}, leave_out=("help", "json", "dry_run"))
    with called(["run", *given]), _one_mistake():
        begun = command.prepared(parser.parse_args(given))
        begun.execute(Screen())
    return LoadedRun(begun.out)


def load_run(path: Place) -> LoadedRun:
    """The run in a folder, finished or not, as in `load_run("runs/first")`. Raises `UserError` where there is none."""
    return LoadedRun.open(Path(path))


def compare(
    a: LoadedRun | Place, b: LoadedRun | Place, *, benchmark: str | Sequence[str] = (), verbose: bool = False
) -> Comparison:
    """Two runs compared metric by metric on the prompts that both answered, as `suder-bench compare` does.

    `benchmark` names one or several, by default all that both have. p-values are also adjusted for all metrics that are shown:
    those of the paper's tables, with `verbose` all. Raises `UserError` where the two measured different things.

        print(suder_bench.compare("runs/first", "runs/second"))
    """
    use_one_thread()
    with data_read_once(), _one_mistake():
        left, right = (door.side(one.path if isinstance(one, LoadedRun) else Path(one)) for one in (a, b))
        only = [benchmark] if isinstance(benchmark, str) else benchmark
        return Comparison(compared(left, right, only, verbose=verbose), verbose)


@contextmanager
def _one_mistake() -> Iterator[None]:
    """Several mistakes as one `UserError`."""
    try:
        yield
    except ExceptionGroup as group:
        mistakes, bugs = group.split(UserError)
        if bugs is not None or mistakes is None:
            raise
        raise UserError("; ".join(map(str, mistakes.exceptions))) from None
