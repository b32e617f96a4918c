"""One request to a server that need not mean well: no redirect is followed, and the reply ends at a time and at a size."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy

import anyio
import httpx2

MEGABYTE = 1_000_000


class PostError(Exception):
    """No whole reply came; says why."""


class TooSlowError(PostError):
    """The time was up before the reply was whole."""


class TooLargeError(PostError):
    """The reply was larger than is read."""


@dataclass(frozen=True)
class Reply:
    """`headers` by lower-case name. `reason` is the server's own word for `status`."""

    status: int
    reason: str
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Connections:
    """Open connections of one event loop, `most` of which wait for the next request. No cookie is kept."""

    most: int
    _client: httpx2.AsyncClient | None = field(default=None, repr=False)

    @property
    def client(self) -> httpx2.AsyncClient:
        """Made when it is first needed. Raises `ImportError` and `ValueError` for a proxy that it cannot use."""
        if self._client is None:
            limits = httpx2.Limits(max_connections=None, max_keepalive_connections=self.most)
            none = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
            self._client = httpx2.AsyncClient(
                follow_redirects=False, timeout=None, verify=_trusted(), limits=limits, cookies=none
            )
        return self._client


async def exchange(
    method: str,
    address: str,
    body: bytes | None,
    headers: Mapping[str, str],
    *,
    seconds: float,
    most_bytes: int,
    through: Connections,
) -> Reply:
    """What the server answers, whatever its status. `seconds` are for everything, from the look-up of the name to the last byte:
    a server that sends a byte now and then does not prolong them. Proxies are those of the environment.

    Raises `PostError`.
    """
    sent = {**headers, "Accept-Encoding": "identity"}
    try:
        with anyio.fail_after(seconds):
            async with through.client.stream(method, address, content=body, headers=sent) as answer:
                received = bytearray()
                async for block in answer.aiter_raw():
                    received += block
                    if len(received) > most_bytes:
                        raise TooLargeError(f"more than {most_bytes / MEGABYTE:g} MB")
                found = {name.lower(): value for name, value in answer.headers.items()}
                return Reply(answer.status_code, answer.reason_phrase, found, bytes(received))
    except TimeoutError:
        raise TooSlowError(f"no whole reply in {seconds:g} s") from None
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ImportError, ValueError) as error:
        raise PostError(_why(error)) from error  # ImportError, ValueError: a proxy it cannot use


def _why(error: BaseException) -> str:
    """What an error says, and what the system said at its root: "All connection attempts failed (Connection refused)"."""
    said, root = str(error) or type(error).__name__, error
    while inner := root.__cause__ or root.__context__ or next(iter(getattr(root, "exceptions", ())), None):
        root = inner
    told = root.strerror if isinstance(root, OSError) else None
    return f"{said} ({told})" if told and told not in said else said


@cache
def _trusted() -> ssl.SSLContext:
    """The system's certificates, read once."""
    return httpx2.create_ssl_context()
