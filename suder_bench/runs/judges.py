"""Which back-end judges, and whether it can be trusted: every judge is loaded and asked known answers before any scoring."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from suder_bench import registry
from suder_bench.benchmark import Judge
from suder_bench.errors import JudgeError, Unreachable, UserError, unknown


@runtime_checkable
class KnownAnswers(Protocol):
    def check(self) -> None:
        """Judge a few known pictures. Raises `JudgeError` saying what was expected and what came."""
        ...


@dataclass(frozen=True)
class Panel:
    """The judges at hand by role, and for the other roles the reason why not; `checked` if they were asked known answers."""

    judges: Mapping[str, Judge]
    missing: Mapping[str, JudgeError]
    checked: bool = True

    def identity(self, roles: Iterable[str]) -> dict[str, dict[str, object]]:
        """What the summary says of the judges in these roles."""
        judges = {role: self.judges[role] for role in roles}
        unchecked = {} if self.checked else {"unchecked": True}
        return {
            role: {"backend": judge.backend, "exact": judge.exact, "fingerprint": judge.fingerprint, **unchecked}
            for role, judge in judges.items()
        }


def check_overrides(roles: Sequence[str], overrides: Mapping[str, str]) -> None:
    """Raises `UserError` for an override of a role nobody knows or none of `roles`, and for a back-end the role lacks."""
    known = _backends()
    for role, backend in overrides.items():
        if role not in known:
            raise unknown("judge role", role, known)
        name = backend.partition(":")[0]
        if name not in known[role]:
            raise unknown(f"{role} judge", name, known[role])
        if role not in roles:
            asked = ", ".join(roles) or "no judge"
            raise UserError(f"--judge {role}={backend} is not used: the chosen benchmarks ask {asked}; leave it out")


def choose(roles: Sequence[str], overrides: Mapping[str, str], *, world: bool) -> dict[str, str]:
    """The back-end of each role: as overridden, else the world's or the official one, else the only one there is.

    An override may add where the weights are: "official:FOLDER". Raises `UserError` as `check_overrides` does, and for a
    role without any usual back-end.
    """
    check_overrides(roles, overrides)
    backends = _backends()
    chosen = {}
    for role in roles:
        known = backends.get(role, [])
        usual = "world" if world else "official"
        if role not in overrides and usual not in known and len(known) != 1:
            raise UserError(f"no usual judge for '{role}'; give --judge {role}=BACKEND (choices: {', '.join(known) or 'none'})")
        chosen[role] = overrides.get(role, usual if usual in known else known[0])
    return chosen


def seat(chosen: Mapping[str, str], *, device: str, dtype: str, offline: bool, known_answers: bool = True) -> Panel:
    """Load a back-end for each role and ask it known answers, unless told not to, which every number then carries.

    A judge that cannot be loaded or asked is missing, and what does not need it can still be scored. A judge that gets
    known answers wrong would poison every number, so that its `JudgeError` is raised at once.
    """
    judges: dict[str, Judge] = {}
    missing: dict[str, JudgeError] = {}
    for role, backend in chosen.items():
        try:
            judges[role] = _load(role, backend, device=device, dtype=dtype, offline=offline)
        except JudgeError as error:
            missing[role] = error
    for role, judge in list(judges.items()) if known_answers else ():
        if isinstance(judge, KnownAnswers):
            try:
                judge.check()
            except UserError as error:
                if isinstance(error, JudgeError) and not isinstance(error, Unreachable):
                    raise JudgeError(
                        f"judge {role}={chosen[role]} fails its known answers, nothing was scored: {error}"
                    ) from None
                missing[role] = Unreachable(f"judge {role}={chosen[role]} cannot be asked: {error}")
                del judges[role]
    return Panel(judges, missing, checked=known_answers)


def key_of(identity: Mapping[str, object], scorer: Sequence[str]) -> str:
    """What a stored verdict is filed under: the judges that made it and the code and data that asked them."""
    return hashlib.sha256(json.dumps([identity, *scorer], sort_keys=True).encode()).hexdigest()[:16]


def _backends() -> dict[str, list[str]]:
    """The back-ends of each role."""
    backends: dict[str, list[str]] = {}
    for name in registry.table("judges"):
        role, _, backend = name.partition("/")
        backends.setdefault(role, []).append(backend)
    return backends


def _load(role: str, backend: str, *, device: str, dtype: str, offline: bool) -> Judge:
    name, _, source = backend.partition(":")
    target = registry.load("judges", f"{role}/{name}")
    judge: Judge
    if not isinstance(target, type):
        judge = target(role, device=device, dtype=dtype, offline=offline, source=source or None)
    elif source:
        raise UserError(f"judge {role}={name} takes no weights; leave out ':{source}'")
    else:
        judge = target.load(device=device, dtype=dtype, offline=offline)  # type: ignore[attr-defined]
    return judge
