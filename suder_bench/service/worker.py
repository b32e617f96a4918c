"""The process that holds the judges: `python -m suder_bench.service.worker`, started by `workers.Worker`.

It reads frames from stdin and writes them to stdout: first the setting, and back what it offers or why it cannot; then batches,
and back their rows. The pictures of a batch are decoded while the one before is judged. It ends with its stdin, so that nothing
is left behind a server that was killed.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import Queue
from typing import IO, Any

from suder_bench.ahead import WORKERS
from suder_bench.errors import UserError
from suder_bench.runs.screen import Screen
from suder_bench.service import frames
from suder_bench.service.asked import Asked
from suder_bench.service.judging import Judging, Prepared
from suder_bench.service.setting import Setting


def main() -> int:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's ctrl-C goes to all of its processes; the server says when
    stdin, stdout = sys.stdin.buffer, os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print must not come between the frames
    first = frames.read(stdin)
    if first is None:
        return 0
    try:
        judgings = _judgings(first[0])
    except (UserError, ExceptionGroup) as error:
        mistakes = _mistakes(error)
        frames.write(stdout, {"mistakes": [[str(one), one.status] for one in mistakes]})
        return 0
    frames.write(stdout, {"offered": [judging.offered for judging in judgings.values()], "process": os.getpid()})
    _judge(judgings, stdin, stdout)
    return 0


def _judgings(message: dict[str, Any]) -> dict[str, Judging]:
    setting, screen = Setting.read(message), Screen()
    screen.live = False  # no bars: there is no end to this work
    return dict(zip(setting.benchmarks, Judging.load(setting, screen), strict=True))


def _mistakes(error: Exception) -> list[UserError]:
    """Raises what is none."""
    if isinstance(error, UserError):
        return [error]
    assert isinstance(error, ExceptionGroup)
    found = [one for one in error.exceptions if isinstance(one, UserError)]
    if len(found) < len(error.exceptions):
        raise error
    return found


def _judge(judgings: dict[str, Judging], stdin: IO[bytes], stdout: IO[bytes]) -> None:
    waiting: Queue[tuple[int, list[Asked], list[Prepared]]] = Queue()
    with ThreadPoolExecutor(WORKERS, thread_name_prefix="decode") as threads:

        def read() -> None:
            try:
                while (frame := frames.read(stdin)) is not None:
                    asked = frames.batch_of(*frame)
                    prepared = [judgings[one.benchmark].prepare(one, place, threads) for place, one in enumerate(asked)]
                    waiting.put((frame[0]["id"], asked, prepared))
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)  # nobody waits for the batch at hand

        threading.Thread(target=read, daemon=True).start()
        while True:
            number, asked, prepared = waiting.get()
            frames.write(stdout, {"id": number, "rows": _rows(judgings, asked, prepared)})


def _rows(judgings: dict[str, Judging], asked: Sequence[Asked], prepared: Sequence[Prepared]) -> list[dict[str, Any]]:
    """In order; each benchmark judges its own in one go."""
    rows: dict[int, dict[str, Any]] = {}
    for name, judging in judgings.items():
        own = [place for place, one in enumerate(asked) if one.benchmark == name]
        rows |= dict(zip(own, judging.rows([prepared[place] for place in own]), strict=True))
    return [rows[place] for place in range(len(asked))]


if __name__ == "__main__":
    sys.exit(main())
