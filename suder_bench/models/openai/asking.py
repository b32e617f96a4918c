"""How a model behind an address is asked: each request once, whatever becomes of the others of its batch."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from suder_bench.errors import UserError
from suder_bench.models.openai import replies
from suder_bench.models.openai.place import Place
from suder_bench.models.openai.told import Told
from suder_bench.remote.client import Client, RefusedError, Request
from suder_bench.remote.kept import Kept

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
        self._kept = Kept(client, self._with_cure)

    def ask(self, requests: Sequence[Request]) -> list[bytes]:
        """The replies, in order; see `Kept`. Raises `Unreachable` where no request would be answered, else `UserError`."""
        return self._kept.ask(requests)

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
