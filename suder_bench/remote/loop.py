"""One event loop a process, in a thread of its own: requests of several threads share connections, and a limit of how many are
under way. A caller may stand in a loop of its own."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, TypeVar

Result = TypeVar("Result")

_loops: dict[int, asyncio.AbstractEventLoop] = {}
_under_way: set[Future[Any]] = set()
_lock = threading.Lock()


def run(function: Callable[..., Awaitable[Result]], *arguments: Any) -> Result:
    """What an async function returns, or raises. What interrupts the wait for it ends it too."""

    async def call() -> Result:
        return await function(*arguments)

    loop = _loop()
    with _lock:  # nobody gives up between the two
        future = asyncio.run_coroutine_threadsafe(call(), loop)
        _under_way.add(future)
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise
    finally:
        with _lock:
            _under_way.discard(future)


def give_up() -> None:
    """End what is under way for all threads, which are told by `concurrent.futures.CancelledError`."""
    with _lock:
        left = list(_under_way)
    for future in left:
        future.cancel()


def _loop() -> asyncio.AbstractEventLoop:
    with _lock:
        here = os.getpid()  # a process that was forked has not the thread
        if here not in _loops:
            loop = _loops[here] = asyncio.new_event_loop()
            threading.Thread(target=_turn, args=(loop,), name="requests", daemon=True).start()
        return _loops[here]


def _turn(loop: asyncio.AbstractEventLoop) -> None:
    with suppress(RuntimeError):  # the interpreter ends
        loop.run_forever()
