"""The books of judges behind an address: what was asked and came, so that no reply is paid for twice, what it took, and an end
before a budget is overrun."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio

from suder_bench.errors import DiskError, Unreachable, UserError
from suder_bench.remote import chat, words
from suder_bench.remote.client import REFUSALS, Request, Settle
from suder_bench.remote.exchange import Reply
from suder_bench.runs import signed
from suder_bench.runs.jsonl import Ledger, Row, number, plain
from suder_bench.terms import Budget, Price

Tokens = tuple[int, int]
"""Of input and output."""

SOUND, REFUSED, WITHOUT_TEXT, LATE, UNREAD = "", "refused", "without_text", "late", "unread"
"""What a reply was: one with a text, or why not; the last has one that the benchmark cannot read."""

COUNTED = (REFUSED, WITHOUT_TEXT, LATE, UNREAD)


class BudgetError(Unreachable):
    """The budget allows no further request."""


@dataclass
class Entry:
    """One sending of a request by the judge of a `role`, about a response or "" (known answers): what it took, and what came."""

    role: str
    about: str
    key: str
    tokens: Tokens
    told: bool
    """Whether the server said how many tokens; else they are estimated."""
    cost: float | None = None
    came: str = SOUND
    reply: bytes | None = None

    def row(self) -> Row:
        text = {} if self.reply is None else {"reply": self.reply.decode("utf-8", "surrogateescape")}
        named = {name: getattr(self, name) for name in ("role", "about", "key", "told", "cost", "came")}
        return {**named, "input": self.tokens[0], "output": self.tokens[1], **text}

    @classmethod
    def read(cls, row: Row) -> Entry | None:
        """None for what is no such row."""
        counts, cost, text = [row.get("input"), row.get("output")], row.get("cost"), row.get("reply")
        named = [row.get(name) for name in ("role", "about", "key", "came")]
        if not all(isinstance(one, str) for one in named) or not all(type(one) is int and one >= 0 for one in counts):
            return None
        reply = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else None
        role, about, key, came = map(str, named)
        return cls(role, about, key, (int(counts[0]), int(counts[1])), row.get("told") is True, number(cost), came, reply)  # type: ignore[arg-type]


@dataclass
class Books:
    """`ledger` is where they stand; None for what keeps nothing. Where they need not be kept, a disk that refuses ends nothing.
    With `anew` what came before is counted, but no reply of it is used.

    Threads and the loop of requests may share them."""

    ledger: Ledger | None = None
    budget: Budget | None = None
    prices: Mapping[str, Price] = field(default_factory=dict)
    must_keep: bool = True
    anew: bool = False
    _lock: threading.RLock = field(default_factory=threading.RLock, repr=False)
    _entries: list[Entry] | None = field(default=None, repr=False)
    _replies: dict[str, Entry] = field(default_factory=dict, repr=False)
    _used: dict[str, list[str]] = field(default_factory=dict, repr=False)
    _largest: dict[str, Tokens] = field(default_factory=dict, repr=False)
    _spent: float = 0.0
    _held: float = 0.0
    _change: anyio.Event | None = field(default=None, repr=False)

    def admit(self, role: str) -> None:
        """Raises `UserError` where a budget of money is for a judge without a price."""
        if self.budget is not None and self.budget.money and role not in self.prices:
            raise UserError(
                f"--judge-budget {self.budget.amount:g} is money, and the price of judge {role} is not known; give"
                f" --judge-price {role}=INPUT/OUTPUT, of a million tokens, or a budget such as 200000tokens"
            )

    def known(self, key: str) -> bytes | None:
        """A reply that came before, and could be read."""
        with self._lock:
            self._read()
            entry = self._replies.get(key)
            return None if entry is None else entry.reply

    def given(self, about: str, keys: Sequence[str]) -> None:
        """Replies are used for what they are about; with no `keys` it could not be asked to its end."""
        with self._lock:
            if keys:
                self._used.setdefault(about, []).extend(keys)
            else:
                self._used.pop(about, None)

    def forget(self, about: str) -> None:
        """The replies that were used could not be read: another time asks again."""
        with self._lock:
            keys = [key for key in self._used.pop(about, []) if key in self._replies]
            self._unread(keys)
            if keys:
                self._write({"unread": keys})

    @asynccontextmanager
    async def sending(
        self, role: str, request: Request, about: str, what: Callable[[bytes], str], hide: Callable[[str], str]
    ) -> AsyncIterator[Settle]:
        """As long as a request is under way; it waits where only what others may take stands against it. `what` says what a body
        is (`SOUND`, ...), and `hide` takes out of it what must not be kept.

        Raises `BudgetError` where the budget might be overrun.
        """
        most = self._most(role, request)
        amount = self._amount(role, most)
        await self._hold(role, amount)

        def settle(reply: Reply | None) -> None:
            entry = self._entry(role, about, request.key, most, reply, what)
            if entry is not None:
                if entry.reply is not None:
                    entry.reply = hide(entry.reply.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
                self._enter(entry)

        try:
            yield settle
        finally:
            self._held -= amount
            if self._change is not None:
                self._change.set()
                self._change = None

    def totals(self) -> dict[str, dict[str, Any]]:
        """By role what was asked and what it took, as summary.json has it; nothing where nothing was asked."""
        with self._lock:
            entries = list(self._read())
        found: dict[str, dict[str, Any]] = {}
        for role in dict.fromkeys(entry.role for entry in entries):
            own = [entry for entry in entries if entry.role == role]
            costs = [entry.cost for entry in own if entry.cost is not None]
            found[role] = {
                "requests": len(own),
                "input_tokens": sum(entry.tokens[0] for entry in own),
                "output_tokens": sum(entry.tokens[1] for entry in own),
                "estimated": sum(not entry.told for entry in own),
                **({"cost": sum(costs)} if len(costs) == len(own) else {}),
                **{came: sum(entry.came == came for entry in own) for came in COUNTED},
            }
        return found

    def _read(self) -> list[Entry]:
        if self._entries is not None:
            return self._entries
        self._entries = []
        for line in self.ledger.lines() if self.ledger is not None else ():
            row = line.row() if signed.stands(line.content) else None
            if row is not None and isinstance(row.get("unread"), list):
                self._unread(map(str, row["unread"]))
            elif row is not None and (entry := Entry.read(row)) is not None:
                self._note(entry)
        if self.anew:
            self._replies.clear()
        return self._entries

    def _note(self, entry: Entry) -> None:
        assert self._entries is not None
        self._entries.append(entry)
        money = self.budget is not None and self.budget.money and entry.cost is not None
        self._spent += (entry.cost or 0.0) if money else self._amount(entry.role, entry.tokens)
        if entry.reply is not None:
            self._replies[entry.key] = entry
        if entry.told:
            before = self._largest.get(entry.role, (0, 0))
            self._largest[entry.role] = max(before[0], entry.tokens[0]), max(before[1], entry.tokens[1])

    def _unread(self, keys: Iterable[str]) -> None:
        for key in keys:
            if (entry := self._replies.pop(key, None)) is not None:
                entry.came, entry.reply = UNREAD, None

    def _enter(self, entry: Entry) -> None:
        with self._lock:
            self._read()
            self._note(entry)
            self._write(entry.row())

    def _write(self, row: Row) -> None:
        if self.ledger is None:
            return
        try:
            self.ledger.append_lines([signed.line(plain(row))])
        except DiskError:
            if self.must_keep:
                raise
            self.ledger = None

    def _entry(
        self, role: str, about: str, key: str, most: Tokens, reply: Reply | None, what: Callable[[bytes], str]
    ) -> Entry | None:
        """What is to be written of a sending; nothing for one that cost nothing."""
        if reply is None:  # it may be at work on it all the same
            return Entry(role, about, key, most, False, self._cost(role, most), LATE)
        if not 200 <= reply.status < 300:
            refused = words.is_filtered(reply.body, REFUSALS)
            return Entry(role, about, key, (0, 0), True, self._cost(role, (0, 0)), REFUSED) if refused else None
        came, tokens = what(reply.body), chat.usage(reply.body)
        if came and tokens is None:
            return Entry(role, about, key, (0, 0), False, self._cost(role, (0, 0)), came)
        spent = tokens or (most[0], min(most[1], len(reply.body)))  # no token of a text is shorter than a byte
        kept = reply.body if came == SOUND and about else None
        return Entry(role, about, key, spent, tokens is not None, self._cost(role, spent), came, kept)

    def _most(self, role: str, request: Request) -> Tokens:
        """What a request may take, judged by its size and by what others took."""
        with self._lock:
            self._read()
        seen = self._largest.get(role, (0, 0))
        return max(seen[0], request.tokens[0]), request.tokens[1] or max(seen[1], UNSAID)

    def _cost(self, role: str, tokens: Tokens) -> float | None:
        return self.prices[role].of(tokens) if role in self.prices else None

    def _amount(self, role: str, tokens: Tokens) -> float:
        """What tokens take of the budget."""
        if self.budget is None or not self.budget.money:
            return float(sum(tokens))
        return self._cost(role, tokens) or 0.0

    async def _hold(self, role: str, amount: float) -> None:
        while self.budget is not None and self._spent + self._held + amount > self.budget.amount:
            if not self._held:
                spent, more = (f"{one:,.4g}" if self.budget.money else f"{one:,.0f}" for one in (self._spent, amount))
                raise BudgetError(
                    f"judge {role}: of --judge-budget {self.budget} {spent} is spent, and the next request may take {more};"
                    " the same command with a larger one goes on from here"
                )
            self._change = self._change or anyio.Event()
            await self._change.wait()
        self._held += amount


UNSAID = 1024
"""Tokens of output that a request may take which says no most, until one has taken more."""


def key_of(url: str, path: str, body: bytes, tag: str) -> str:
    """What a reply is kept by: all that was sent, where to, and what it was about."""
    digest = hashlib.sha256(json.dumps([url, path, tag]).encode() + b"\n")
    digest.update(body)
    return digest.hexdigest()[:32]
