"""How many random cases a test tries: some, the same each time, or with SUDER_BENCH_THOROUGH=1 all, as CI does every week."""

from __future__ import annotations

import os

THOROUGH = os.environ.get("SUDER_BENCH_THOROUGH", "") not in ("", "0")


def trials(usual: int, *, thorough: int) -> int:
    return thorough if THOROUGH else usual
