"""Which judges have passed their known answers for a run folder, so that none is asked, and paid, twice."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from suder_bench.runs.jsonl import ALONE, Ledger
from suder_bench.runs.judges import Panel
from suder_bench.runs.recipe import versions
from suder_bench.runs.store import RunFolder


@dataclass
class Passed:
    """The roles whose judges have passed; `add` notes another in the run folder, beside the verdicts.

    A judge with other weights, at another address, on another device, or under another version of the code has not passed.
    """

    ledger: Ledger
    judges: Mapping[str, Mapping[str, Any]]
    roles: set[str] = field(default_factory=set)

    def __contains__(self, role: str) -> bool:
        return role in self.roles

    def add(self, role: str) -> None:
        self.roles.add(role)
        self.ledger.append([{"role": role, **self.judges[role]}])


def passed(run: RunFolder, panel: Panel, *, device: str, dtype: str) -> Passed:
    """What a run folder tells of the judges of `panel`; needs its lock to be added to."""
    name = "known_answers" if run.writer == ALONE else f"known_answers.{run.writer}"
    ledger = Ledger(run.path / "verdicts", writer=name)
    environment = {"device": device, "dtype": dtype, "versions": versions()}
    judges = {}
    for role, judge in panel.judges.items():
        identity = {**panel.identity([role])[role], **environment, "code": _code(judge)}
        key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
        judges[role] = {"backend": judge.backend, "key": key}
    seen = {(str(row.get("role")), str(row.get("key"))) for row in ledger.rows()}
    return Passed(ledger, judges, {role for role, judge in judges.items() if (role, judge["key"]) in seen})


def _code(judge: object) -> str:
    """A digest of a judge's module and those beside it, where it has a file."""
    try:
        file = inspect.getsourcefile(type(judge))
    except TypeError:
        file = None
    modules = sorted(Path(file).parent.glob("*.py")) if file is not None else []
    return hashlib.sha256(b"".join(module.read_bytes() for module in modules)).hexdigest()[:16]
