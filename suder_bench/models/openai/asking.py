"""How a model behind an address is asked: each request once, whatever becomes of the others of its batch."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from suder_bench.errors import Unreachable, UserError
from suder_bench.models.openai import replies
from suder_bench.models.openai.place import Place
from suder_bench.models.openai.told import Told
from suder_bench.remote.client import Client, RefusedError, Request

SEED_BITS = 0x7FFFFFFF
"""What every server's seed holds: some read 32 bits, with a sign."""


Result = TypeVar("Result")


class Asking:
    """Implements `Model`; what is asked for is its subclasses' (`suder_bench.models.openai.model`)."""

    def __init__(self, where: Place, client: Client, known: Told) -> None:
        self.name = f"openai:{where.model}@{where.url}"
        self.fingerprint = known.fingerprint
        self.where, self.client, self.told = where, client, known
        self.settings = {
            "adapter": "openai",
            "model": where.model,
            **({} if known.revision else {"address": where.url}),
            **known.described(),
            **{f"image.{name}": json.dumps(value) for name, value in where.image.items()},
            **{f"chat.{name}": json.dumps(value) for name, value in where.chat.items()},
        }
        self._paid: dict[Request, bytes] = {}  # replies of a batch that failed, whose parts are asked for again
        self._failed: dict[Request, UserError] = {}

    def ask(self, requests: Sequence[Request]) -> list[bytes]:
        """The replies, in order. None is asked for twice: what came before another request failed is kept for the next call.

        Raises `Unreachable` where no request would be answered, else the first request's `UserError`.
        """
        left = [one for one in dict.fromkeys(requests) if one not in self._paid and one not in self._failed]
        for request, outcome in zip(left, self.client.ask(left), strict=True):
            if isinstance(outcome, bytes):
                self._paid[request] = outcome
            else:
                self._failed[request] = outcome
        errors = [self._failed[one] for one in requests if one in self._failed]
        ended = [error for error in errors if isinstance(error, Unreachable)]
        for one in requests if len(requests) == 1 or ended else ():  # another call may try these again
            self._failed.pop(one, None)
        if ended and any(one in self._paid for one in requests):
            raise UserError(str(ended[0]))  # the harness halves the batch, and so comes by what was paid for
        if errors:
            raise self._with_cure((ended or errors)[0])
        found = [self._paid[one] for one in requests]
        for one in requests:
            self._paid.pop(one, None)
        return found

    def request(self, path: str, body: Mapping[str, Any], chosen: Mapping[str, Any], seed: int) -> Request:
        """A POST of `body` with the user's settings, of which null leaves out what it would hold otherwise. Equal bodies with
        other seeds are other requests, also where no seed is sent."""
        whole = {"model": self.where.model, **body, **chosen}
        sent = {name: value for name, value in whole.items() if value is not None}
        return Request(path, json.dumps(sent).encode(), tag=str(seed))

    def read(self, request: Request, body: bytes, reader: Callable[[bytes], Result]) -> Result:
        """What `reader` makes of a reply. Raises `UserError` for one that it cannot read."""
        try:
            return reader(body)
        except replies.UnreadableError as error:
            raise UserError(f"{self.client.who}: {self.where.url}{request.path} {self.client.plain(str(error))}") from None

    def seeded(self, what: str, seed: int) -> dict[str, int]:
        """What a request for "pictures" or "answers" says of its seed: nothing where the server heeds none."""
        return {"seed": seed & SEED_BITS} if self.told.seeded.get(what) else {}

    def _with_cure(self, error: UserError) -> UserError:
        """A refusal that names a setting says how to leave it out."""
        if isinstance(error, RefusedError) and not error.filtered:
            sent = [("image", name) for name in (*self.where.image, *replies.IMAGE)] + [("chat", name) for name in replies.CHAT]
            named = [f"{kind}.{name}=null" for kind, name in dict.fromkeys(sent) if replies.names(error.why, name)]
            if named:
                return UserError(f"{error}; leave it to the server with #{','.join(named)} after the address")
        return error
