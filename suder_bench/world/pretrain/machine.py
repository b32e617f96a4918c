"""What a long training asks of the machine that it runs on."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch


def quick_halves() -> bool:
    """Whether this CPU multiplies in bfloat16: without, autocast takes fifty times as long as float32."""
    known: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(known.get("avx512_bf16") or known.get("amx_bf16"))


@contextmanager
def signals() -> Iterator[Callable[[], bool]]:
    """Whether an interrupt or a request to end has come: the step under way is finished and its state saved first."""
    came: list[int] = []
    before = {kind: signal.signal(kind, lambda number, _: came.append(number)) for kind in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(came)
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)
