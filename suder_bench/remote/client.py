"""Requests to one server: several at a time, each tried again where that may help, and the key sent there and nowhere else."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from time import time

import anyio

from suder_bench.errors import Unreachable, UserError
from suder_bench.proxies import STATUSES, through_proxy
from suder_bench.remote import loop, words
from suder_bench.remote.exchange import MEGABYTE, Connections, PostError, Reply, TooLargeError, TooSlowError, exchange

TRIES = 4
MOST_WAIT = 600.0
"""Seconds that a server may ask for (Retry-After); what lasts longer ends the work."""

WORTH_TELLING = 5.0
"""Seconds of a pause that would be taken for a hang."""

NOT_OURS = (401, 402, 403, 404, 405, 407, 501)
"""What a server answers to whatever it is asked: address, model, key or account are wrong."""

REFUSALS = ("content_policy_violation", "content_filter", "moderation_blocked", "unsafe", "safety")
"""Words in the code or type of an error that refuses what was asked, whatever its status."""

SILENT = 3
"""So many requests in a row without a reply in time, and the server is to blame, not the requests."""

HIDDEN = "[key]"


@dataclass(frozen=True)
class Request:
    """`body` None is a GET. `path` follows the server's address. `tag` is not sent; it sets equal requests apart. `key` is what
    its reply is kept by, and `tokens` of input and output are what it may take at most, as far as that can be told."""

    path: str
    body: bytes | None = None
    tag: str = ""
    key: str = field(default="", compare=False)
    tokens: tuple[int, int] = field(default=(0, 0), compare=False)


class RefusedError(UserError):
    """A server's refusal of one request: `status`, and its own words."""

    def __init__(self, message: str, http: int, why: str, *, filtered: bool = False) -> None:
        super().__init__(message)
        self.http, self.why, self.filtered = http, why, filtered


class DeniedError(Unreachable):
    """A server's refusal of whatever it is asked there."""

    def __init__(self, message: str, http: int) -> None:
        super().__init__(message)
        self.http = http


class SilentError(UserError):
    """No reply in time, which may be this one request's fault. `told` says so."""

    def __init__(self, told: str) -> None:
        super().__init__(told)
        self.told = told


class SilencedError(Unreachable):
    """No reply in time to `SILENT` requests in a row."""

    def __init__(self, told: str) -> None:
        super().__init__(f"{told}, as others in a row")
        self.told = told


class PassingError(Exception):
    """Another try may do better, after `wait` seconds; `error` is what the last one ends with."""

    def __init__(self, error: UserError, wait: float = 0.0) -> None:
        super().__init__(str(error))
        self.error, self.wait = error, wait


Outcome = bytes | UserError
"""What a server replied with success, or why there is none; `Unreachable` where no other request would do better."""


Settle = Callable[[Reply | None], None]
"""Told what came for one sending of a request, None where the time was up before it came."""

Meter = Callable[[Request], AbstractAsyncContextManager[Settle]]
"""Entered for as long as one sending of a request lasts; it may make that wait, and raise `Unreachable` where it must not be."""


@asynccontextmanager
async def unmetered(request: Request) -> AsyncIterator[Settle]:
    yield lambda reply: None


@dataclass
class _Shared:
    """What the copies of a client have in common, of its process' event loop: at most so many requests are under way."""

    places: anyio.Semaphore | None = None
    connections: Connections | None = None
    silent: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Client:
    """`who` begins what is said. `pause` seconds stand before a second try, twice as many before each further one; what was not
    whole in `timeout` seconds is sent `slow_tries` times. `stumbles` are statuses by which a server fails over one request, and
    may not over the next. `check` raises `UserError`, or `PassingError` where another try may do better, for a reply of
    success that is none. Threads may share a client: at most `at_once` of their requests together are under way."""

    who: str
    url: str
    key: str | None = None
    timeout: float = 600.0
    at_once: int = 4
    most_mb: int = 64
    pause: float = 1.0
    tries: int = TRIES
    slow_tries: int = TRIES
    stumbles: Collection[int] = (500,)
    say: Callable[[str], None] = lambda line: None
    check: Callable[[bytes], None] = lambda body: None
    meter: Meter = unmetered
    _shared: _Shared = field(default_factory=_Shared, repr=False, compare=False)

    def ask(self, requests: Sequence[Request]) -> list[Outcome]:
        """The outcome of each, in order. Once the server cannot be asked, the requests not yet sent are not sent any more."""
        return loop.run(self._all, requests) if requests else []

    def get(self, path: str) -> bytes:
        """Raises `UserError` where there is no reply with success."""
        outcome = self.ask([Request(path)])[0]
        if isinstance(outcome, UserError):
            raise outcome
        return outcome

    def plain(self, text: str) -> str:
        """What a server or a library says, as one bounded line without the key."""
        for secret in words.spellings(self.key or ""):
            text = text.replace(secret, HIDDEN)
        return words.one_line(text)

    async def _all(self, requests: Sequence[Request]) -> list[Outcome]:
        shared = self._shared
        places = shared.places = shared.places or anyio.Semaphore(self.at_once, fast_acquire=True)
        shared.connections = shared.connections or Connections(self.at_once)
        outcomes: list[Outcome | None] = [None] * len(requests)
        ended: list[Unreachable] = []

        async def one(index: int) -> None:
            async with places:
                found = outcomes[index] = ended[0] if ended else self._counted(await self._outcome(requests[index]))
            if isinstance(found, Unreachable):
                ended.append(found)

        async with anyio.create_task_group() as group:
            for index in range(len(requests)):
                group.start_soon(one, index)
        return [outcome for outcome in outcomes if outcome is not None]

    def _counted(self, found: Outcome) -> Outcome:
        """The outcome, of which the third silence in a row is the server's."""
        if not isinstance(found, SilentError):
            self._shared.silent.clear()
            return found
        self._shared.silent.append(found.told)
        return SilencedError(found.told) if len(self._shared.silent) >= SILENT else found

    async def _outcome(self, request: Request) -> Outcome:
        for attempt in range(self.tries):
            try:
                return await self._attempt(request)
            except PassingError as passing:
                last = passing
            except UserError as error:
                return error
            if attempt + 1 >= (self.slow_tries if isinstance(last.error, SilentError) else self.tries):
                break
            if last.wait > WORTH_TELLING:
                self.say(f"{self.who}: waiting {last.wait:,.0f} s, as {self.url}{request.path} asks")
            await anyio.sleep(max(self.pause * 2**attempt, last.wait))
        return last.error

    async def _attempt(self, request: Request) -> bytes:
        """Raises `UserError`, or `PassingError` where another try may do better."""
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {self.key}"} if self.key else {})
        method, most = "GET" if request.body is None else "POST", self.most_mb * MEGABYTE
        address, through = f"{self.url}{request.path}", self._shared.connections
        assert through is not None
        try:
            async with self.meter(request) as settle:
                try:
                    reply = await exchange(
                        method, address, request.body, headers, seconds=self.timeout, most_bytes=most, through=through
                    )
                except TooSlowError:
                    settle(None)
                    raise
                settle(reply)
        except TooSlowError:
            tries = f" in {self.slow_tries} tries" if self.slow_tries > 1 else ""
            told = f"{self.who}: {address} gave no whole reply in {self.timeout:g} s{tries}{self._proxy()}"
            raise PassingError(SilentError(told)) from None
        except TooLargeError as error:
            raise UserError(f"{self.who}: {address} sends {error} in one reply; the rest was not read") from None
        except PostError as error:
            raise PassingError(self.gone(f"{self.plain(str(error))}{self._proxy()}")) from error
        if 200 <= reply.status < 300:
            self.check(reply.body)
            return reply.body
        raise self._refusal(address, reply)

    def _refusal(self, address: str, reply: Reply) -> Exception:
        """What a status other than success means: for this request, for all, or for this moment."""
        if 300 <= reply.status < 400:
            place = self.plain(reply.headers.get("location", "an address it does not name"))
            return Unreachable(
                f"{self.who}: {address} redirects to {place} (HTTP {reply.status}), and no redirect is followed, because what is"
                " asked and the key would go there; name that address if it is to have them"
            )
        why = words.explanation(reply.body)
        said = self.plain(f"HTTP {reply.status} {reply.reason}" + (f": {why}" if why.strip() else ""))
        said += self._proxy() if reply.status in STATUSES else ""
        if words.is_filtered(reply.body, REFUSALS):
            return RefusedError(
                f"{self.who} refuses this request ({said}); it counts as failed", reply.status, why, filtered=True
            )
        if reply.status in NOT_OURS:
            keyless = "" if self.key else "; no key was sent"
            told = f"{self.who}: {address} refuses: {said}{keyless}; check address, model and key"
            return DeniedError(told, reply.status)
        if reply.status < 500 and reply.status not in (408, 429):
            return RefusedError(f"{self.who}: {address} refuses: {said}", reply.status, why)
        if reply.status in self.stumbles:
            return PassingError(RefusedError(f"{self.who}: {address} failed in {self.tries} tries: {said}", reply.status, why))
        wait = words.seconds_to_wait(reply.headers, time())
        if wait > MOST_WAIT:
            return self.gone(f"{said}; it asks for a pause of {wait:,.0f} s", tries="one try")
        return PassingError(self.gone(said), wait)

    def gone(self, reason: str, tries: str = "") -> Unreachable:
        """What is told of a server that does not reply."""
        tries = tries or f"{self.tries} tries"
        return Unreachable(f"{self.who}: {self.url} gave no reply in {tries} ({reason}); run the same command again later")

    def _proxy(self) -> str:
        return through_proxy(self.url, honours_all=True)
