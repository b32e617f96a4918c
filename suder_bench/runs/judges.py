"""Which back-end judges, and whether it can be trusted: every judge is loaded and asked known answers before any scoring."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from suder_bench import registry
from suder_bench.benchmark import Judge, KnowsItsFile, Match
from suder_bench.errors import JudgeError, Unreachable, UserError, unknown
from suder_bench.remote.books import Books
from suder_bench.runs.roles import needed
from suder_bench.terms import AT_ONCE, NOTHING, USUAL, Arguments, TakesTerms, Terms

if TYPE_CHECKING:
    from suder_bench.runs.plan import Settings, Task


@runtime_checkable
class KnownAnswers(Protocol):
    def check(self) -> None:
        """Judge a few known pictures. Raises `JudgeError` saying what was expected and what came."""
        ...


@runtime_checkable
class KeepsBooks(Protocol):
    """A judge whose replies cost."""

    def enter(self, books: Books) -> None:
        """What it is asked from now on stands there. Raises `UserError` where they need to know more of it."""
        ...


class KnownToPass(Protocol):
    """The roles of judges that need not be asked known answers any more."""

    def __contains__(self, role: str) -> bool: ...

    def add(self, role: str) -> None: ...


@dataclass
class SeatedElsewhere:
    """A judge that workers hold, which have asked it known answers: what it tells of itself; `match` None where it knows of no
    file of its own."""

    backend: str
    exact: bool
    fingerprint: str
    match: Match | None

    @classmethod
    def of(cls, judge: Judge) -> SeatedElsewhere:
        return cls(judge.backend, judge.exact, judge.fingerprint, _match(judge))

    def check(self) -> None:
        pass


@dataclass(frozen=True)
class Panel:
    """The judges at hand by role, and for the other roles the reason why not; `checked` if they are asked known answers. `books`
    are those of the judges that keep some."""

    judges: Mapping[str, Judge]
    missing: Mapping[str, JudgeError]
    checked: bool = True
    books: Books = field(default_factory=Books)

    def identity(self, roles: Iterable[str]) -> dict[str, dict[str, object]]:
        """What the summary says of the judges in these roles."""
        judges = {role: self.judges[role] for role in roles}
        unchecked: dict[str, object] = {} if self.checked else {"unchecked": True}
        return {
            role: {"backend": judge.backend, "exact": judge.exact, "fingerprint": judge.fingerprint}
            | ({"weights": match} if (match := _match(judge)) else {})
            | unchecked
            for role, judge in judges.items()
        }

    def at_once(self, roles: Iterable[str]) -> int:
        """How many responses the paid ones of these judges are asked about together."""
        paid = [judge for role in roles if isinstance(judge := self.judges.get(role), TakesTerms)]
        return min((getattr(judge, "at_once", AT_ONCE) for judge in paid), default=AT_ONCE)

    def all_paid(self, roles: Collection[str]) -> bool:
        """Whether all of these that are here are behind an address, so that threads may ask them."""
        return self.paid(roles) and all(isinstance(self.judges[role], TakesTerms) for role in roles if role in self.judges)

    def paid(self, roles: Iterable[str]) -> bool:
        """Whether one of these judges is behind an address, where each reply costs and is kept by itself."""
        return any(isinstance(self.judges.get(role), TakesTerms) for role in roles)


def check_overrides(roles: Sequence[str], overrides: Mapping[str, str], arguments: Arguments = NOTHING) -> None:
    """Raises `UserError` for an override or arguments of a role nobody knows or none of `roles`, and for a back-end the role
    lacks."""
    known = _backends()
    for role, backend in overrides.items():
        if role not in known:
            raise unknown("judge role", role, known)
        name = backend.partition(":")[0]
        if name not in known[role]:
            raise unknown(f"{role} judge", name, known[role])
    asked = ", ".join(roles) or "no judge"
    for role, backend in overrides.items():
        if role not in roles:
            raise UserError(f"--judge {role}={backend} is not used: the chosen benchmarks ask {asked}; leave it out")
    for role, settings in arguments.items():
        if role not in roles:
            given = ", ".join(f"{role}.{name}" for name in settings)
            raise UserError(f"--judge-args {given} is not used: the chosen benchmarks ask {asked}; leave it out")


def choose(
    roles: Sequence[str],
    overrides: Mapping[str, str],
    *,
    world: bool,
    arguments: Arguments = NOTHING,
    needed: Collection[str] | None = None,
) -> dict[str, str]:
    """The back-end of each role, or of those that are `needed` now: as overridden, else the world's or the official one, else
    the only one there is.

    An override may add where the weights are: "official:FOLDER". Raises `UserError` as `check_overrides` does, and for a
    role without any usual back-end.
    """
    check_overrides(roles, overrides, arguments)
    backends = _backends()
    chosen = {}
    for role in roles if needed is None else [role for role in roles if role in needed]:
        known = backends.get(role, [])
        usual = "world" if world else "official"
        if role not in overrides and usual not in known and len(known) != 1:
            raise UserError(f"no usual judge for '{role}'; give --judge {role}=BACKEND (choices: {', '.join(known) or 'none'})")
        chosen[role] = overrides.get(role, usual if usual in known else known[0])
    return chosen


def chosen_for(tasks: Sequence[Task], settings: Settings) -> dict[str, str]:
    """`choose`, of the roles that the tasks' samples need, as the settings say."""
    roles = list(dict.fromkeys(role for task in tasks for role in task.benchmark.judge_roles))
    used = {role for task in tasks for role in needed(task.benchmark, task.samples)}
    return choose(roles, settings.judges, world=settings.source.world, arguments=settings.terms.arguments, needed=used)


def seat(
    chosen: Mapping[str, str],
    *,
    device: str,
    dtype: str,
    offline: bool,
    known_answers: bool = True,
    terms: Terms = USUAL,
    say: Callable[[str], None] = lambda line: None,
    books: Books | None = None,
) -> Panel:
    """Load a back-end for each role and ask it known answers, unless told not to, which every number then carries."""
    given = {"device": device, "dtype": dtype, "offline": offline, "known_answers": known_answers}
    panel = load(chosen, **given, terms=terms, say=say, books=books)  # type: ignore[arg-type]
    return ask(panel, chosen, chosen)


def load(
    chosen: Mapping[str, str],
    *,
    device: str,
    dtype: str,
    offline: bool,
    known_answers: bool = True,
    terms: Terms = USUAL,
    say: Callable[[str], None] = lambda line: None,
    books: Books | None = None,
) -> Panel:
    """A back-end for each role, not yet asked anything. One that cannot be loaded is missing, and what does not need it can
    still be scored. `books` are kept of those whose replies cost. Raises `UserError` for arguments of a judge that takes none."""
    books = books or Books(budget=terms.budget, prices=terms.prices)
    judges: dict[str, Judge] = {}
    missing: dict[str, JudgeError] = {}
    for role, backend in chosen.items():
        try:
            judge = _load(role, backend, device=device, dtype=dtype, offline=offline)
        except JudgeError as error:
            missing[role] = error
            continue
        if isinstance(judge, TakesTerms):
            judge = judge.under(terms, say)
            if isinstance(judge, KeepsBooks):
                judge.enter(books)
        elif terms.arguments.get(role):
            first = next(iter(terms.arguments[role]))
            raise UserError(f"judge {role}={backend} takes no settings; leave out --judge-args {role}.{first}")
        judges[role] = judge
    return Panel(judges, missing, checked=known_answers, books=books)


def ask(panel: Panel, chosen: Mapping[str, str], roles: Iterable[str], passed: KnownToPass | None = None) -> Panel:
    """The panel once the judges in `roles` know their known answers; those that have `passed` before are not asked again.

    A judge that cannot be asked is missing. One that gets known answers wrong would poison every number, so that its
    `JudgeError` is raised at once. A panel that is not to be checked is handed back as it is.
    """
    judges, missing = dict(panel.judges), dict(panel.missing)
    for role in dict.fromkeys(roles) if panel.checked else ():
        judge = judges.get(role)
        if not isinstance(judge, KnownAnswers) or (passed is not None and role in passed):
            continue
        try:
            judge.check()
        except UserError as error:
            if isinstance(error, JudgeError) and not isinstance(error, Unreachable):
                raise JudgeError(f"judge {role}={chosen[role]} fails its known answers, nothing was scored: {error}") from None
            missing[role] = Unreachable(f"judge {role}={chosen[role]} cannot be asked: {error}")
            del judges[role]
        else:
            if passed is not None:
                passed.add(role)
    return Panel(judges, missing, checked=panel.checked, books=panel.books)


def key_of(identity: Mapping[str, object], scorer: Sequence[str]) -> str:
    """What a stored verdict is filed under: the judges that made it and the code and data that asked them."""
    return hashlib.sha256(json.dumps([identity, *scorer], sort_keys=True).encode()).hexdigest()[:16]


def _match(judge: Judge) -> Match | None:
    return judge.match if isinstance(judge, KnowsItsFile) else None


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
