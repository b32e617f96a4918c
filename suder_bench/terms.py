"""In which terms a judge behind an address is asked: how long, with which settings, and whether it is given the user's key."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, NoReturn, Protocol, Self, runtime_checkable

from suder_bench.errors import UserError

TIMEOUT = 300.0
"""Seconds for one whole reply unless `--judge-timeout` says otherwise."""

AT_ONCE = 4
"""Requests to a judge behind an address that are under way at once, and responses that it is asked about together, unless
`--judge-concurrency` says otherwise."""

Arguments = Mapping[str, Mapping[str, Any]]
"""By role, what a request holds besides model and messages; None leaves out what it would hold otherwise."""

FIXED = ("messages", "model", "stream")
"""What makes a request that of its benchmark, or its reply readable."""


NOTHING: Arguments = MappingProxyType({})

TOKENS = "tokens"
MILLION = 1_000_000


@dataclass(frozen=True)
class Price:
    """Of a million tokens, in the user's currency."""

    input: float
    output: float

    def of(self, tokens: tuple[int, int]) -> float:
        """What so many tokens of input and output cost."""
        return (tokens[0] * self.input + tokens[1] * self.output) / MILLION


@dataclass(frozen=True)
class Budget:
    """What judges behind an address may take at most, all of a run together: tokens, or else money in the prices' currency."""

    amount: float
    money: bool

    def __str__(self) -> str:
        return f"{self.amount:,.4g}" if self.money else f"{self.amount:,.0f} {TOKENS}"


@dataclass(frozen=True)
class Terms:
    """`named` are the roles whose judge the user named in this very command: whatever stands in a file is no leave to send
    a key there. `timeout` is in seconds, for one whole reply; `at_once` are so many requests. `prices` are by role."""

    named: frozenset[str] = frozenset()
    arguments: Arguments = field(default_factory=dict)
    timeout: float = TIMEOUT
    at_once: int = AT_ONCE
    budget: Budget | None = None
    prices: Mapping[str, Price] = field(default_factory=dict)

    def only(self, roles: Collection[str]) -> Terms:
        """Without the settings of other roles."""
        return replace(self, arguments={role: given for role, given in self.arguments.items() if role in roles})


USUAL = Terms()


@runtime_checkable
class TakesTerms(Protocol):
    """A judge behind an address. Each reply costs, so that it is asked about as many responses at a time as it has requests under
    way (`at_once`, where it says so): about each by a thread of its own where all of a benchmark's judges are such, else about a
    batch, and it keeps the replies of one that failed, whose parts it is asked about again."""

    def under(self, terms: Terms, say: Callable[[str], None]) -> Self:
        """The same judge, asked in these terms; `say` is told what the user should know of that."""
        ...


def arguments(pairs: Sequence[str]) -> dict[str, dict[str, Any]]:
    """{role: {setting: value}} of the values of `--judge-args`, "ROLE.SETTING=VALUE"; a value is JSON, else text.

    Raises `UserError` for another form, and for a setting that is not the user's to choose.
    """
    found: dict[str, dict[str, Any]] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        role, dot, setting = name.partition(".")
        if not (equals and dot and role and setting):
            raise UserError(
                f"--judge-args '{pair}' is not ROLE.SETTING=VALUE; for example --judge-args llm.temperature=null,"
                " which leaves the temperature to the server"
            )
        found.setdefault(role, {})[setting] = _value(text)
    return checked(found, "--judge-args")


def budget(text: str) -> Budget:
    """Of the value of `--judge-budget`: "200000tokens", or "2.50", which is money. Raises `UserError` for another form."""
    amount = text.removesuffix(TOKENS)
    number = _amount(amount)
    if number is None:
        raise UserError(f"--judge-budget '{text}' is neither tokens, as in 200000tokens, nor money, as in 2.50")
    return Budget(number, money=amount == text)


def prices(pairs: Sequence[str]) -> dict[str, Price]:
    """By role, of the values of `--judge-price`, "ROLE=INPUT/OUTPUT". Raises `UserError` for another form."""
    found: dict[str, Price] = {}
    for pair in pairs:
        role, _, text = pair.partition("=")
        numbers = [_amount(part) for part in text.split("/")]
        if not role or len(numbers) != 2 or numbers[0] is None or numbers[1] is None:
            raise UserError(
                f"--judge-price '{pair}' is not ROLE=INPUT/OUTPUT, prices of a million tokens; for example"
                " --judge-price llm=2.50/10"
            )
        found[role] = Price(*(number for number in numbers if number is not None))
    return found


def _amount(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value < float("inf") else None


def checked(value: Any, place: str) -> dict[str, dict[str, Any]]:
    """`value`, if it can be `Arguments`. Raises `UserError` that begins with `place`."""
    if not isinstance(value, Mapping) or not all(isinstance(settings, Mapping) for settings in value.values()):
        raise UserError(f"{place}: expected the settings of each role, found {value!r}")
    for role, settings in value.items():
        for setting in settings:
            if setting in FIXED:
                raise UserError(f"{place}: {role}.{setting} cannot be set; {', '.join(FIXED)} are the benchmark's")
    return {role: dict(settings) for role, settings in value.items()}


def joined(first: Arguments, second: Arguments) -> dict[str, dict[str, Any]]:
    """The settings of both; where both have one, the second's."""
    return {role: {**first.get(role, {}), **second.get(role, {})} for role in dict.fromkeys((*first, *second))}


def words(given: Arguments) -> list[str]:
    """The command-line words that `arguments` reads back."""
    pairs = [f"{role}.{name}={_text(value)}" for role, settings in given.items() for name, value in settings.items()]
    return [word for pair in pairs for word in ("--judge-args", pair)]


def _value(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_no_number)
    except ValueError:
        return text


def _text(value: Any) -> str:
    return value if isinstance(value, str) and _value(value) == value else json.dumps(value)


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
