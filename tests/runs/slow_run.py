"""A small run of the fakes as a process of its own, for a test that kills it: slow_run.py OUT DATA [WORKERS JUDGES]."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from fakes import ENTRIES, REFERENCE, FakeModel, settings

from suder_bench import registry
from suder_bench.runs.execute import Run
from suder_bench.runs.screen import Screen
from suder_bench.runs.staff import Staffing

registry.TABLE = {group: {**names, **ENTRIES[group]} for group, names in registry.TABLE.items()}
out, data = map(Path, sys.argv[1:3])
staffing = Staffing(*map(int, sys.argv[3:5]))
run = Run(out, REFERENCE, settings(data=data), batch_size=3, staffing=staffing)
print("started", flush=True)
sys.exit(0 if run.execute(Screen(), partial(FakeModel, seconds=0.004)).complete else 1)
