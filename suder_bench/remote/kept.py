"""Requests whose replies cost something: what came while another request of the batch failed is not asked for twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from suder_bench.errors import Unreachable, UserError
from suder_bench.remote.client import Client, Request


@dataclass
class Kept:
    """Asks in batches, as the harness does, which halves a batch that fails until the requests to blame stand alone.

    `cured` turns what is raised into what the user is told.
    """

    client: Client
    cured: Callable[[UserError], UserError] = lambda error: error
    _paid: dict[Request, bytes] = field(default_factory=dict)
    _failed: dict[Request, UserError] = field(default_factory=dict)

    def ask(self, requests: Sequence[Request]) -> list[bytes]:
        """The replies, in order; equal requests have one.

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
            raise UserError(str(self.cured(ended[0])))  # the harness halves the batch, and so comes by what was paid for
        if errors:
            raise self.cured((ended or errors)[0])
        found = [self._paid[one] for one in requests]
        for one in requests:
            self._paid.pop(one, None)
        return found
