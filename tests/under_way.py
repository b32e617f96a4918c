"""How many requests a server has under way at once."""

from __future__ import annotations

import threading
from types import TracebackType


class UnderWay:
    """Entered by each request; `most` is how many were inside at once."""

    def __init__(self) -> None:
        self.most = 0
        self._now = 0
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with self._lock:
            self._now -= 1
