"""A language model behind an OpenAI-type endpoint, as a judge of texts (LLaVA-Bench) and of pictures (SRUM's T2I-CompBench)."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Self

from suder_bench.errors import JudgeError, Unreachable, UserError
from suder_bench.evaluators.judges import chat, known_answers
from suder_bench.evaluators.judges.protocols import Picture
from suder_bench.remote.address import KEY, URL, check_address, is_local, key_in
from suder_bench.remote.chat import NoReplyError, data_uri
from suder_bench.remote.client import (
    HIDDEN,
    SILENT,
    TRIES,
    Client,
    PassingError,
    RefusedError,
    Request,
    SilencedError,
    SilentError,
)
from suder_bench.remote.kept import Kept
from suder_bench.terms import Terms

MODEL = "SUDER_BENCH_LLM"
MOST_MB = 8
"""A reply of 1,024 tokens is a hundredth of one; what a reasoning model thinks of a picture, a tenth."""

LEAST_SECRET = 16
"""Characters of a key that is worth hiding in replies: no key of a server that takes any ("EMPTY", "1") may change a verdict."""


class Endpoint:
    """Implements `LanguageJudge` (role "llm") and `PictureRater` ("mllm"). Never exact: which weights answer cannot be seen."""

    exact = False

    def __init__(
        self,
        url: str,
        model: str,
        key: str | None,
        *,
        role: str = "llm",
        pause: float = 1.0,
        terms: Terms | None = None,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        """`pause` seconds stand before the second try, twice as many before each further one; `say` is told of long ones."""
        self.backend, self._role, self._url, self._key, self._pause = model, role, url, key, pause
        self._terms, self._say = terms or Terms(), say
        self._arguments = dict(self._terms.arguments.get(role, {}))
        self._sent: list[str] = []  # the settings of the last request
        self._client = Client(
            f"judge {role}",
            url.rstrip("/"),
            key,
            timeout=self._terms.timeout,
            at_once=self._terms.at_once,
            most_mb=MOST_MB,
            pause=pause,
            slow_tries=1,  # a second one would be as slow
            stumbles=(),
            say=say,
            check=self._check,
        )
        self._kept = Kept(self._client, self._told)
        self._withheld: str | None = None  # the key, where nobody named the address, until that is told
        changed = [json.dumps(self._arguments, sort_keys=True)] if self._arguments else []
        self.fingerprint = hashlib.sha256(" ".join([url, model, *changed]).encode()).hexdigest()[:16]

    @classmethod
    def load_as(cls, role: str, reference: str, *, offline: bool) -> Self:
        """`reference` is "URL#MODEL", each with a default in OPENAI_BASE_URL and SUDER_BENCH_LLM; the key is OPENAI_API_KEY.

        The key is for the address in OPENAI_BASE_URL, and for another only `under` terms that name this role. Raises
        `JudgeError` when address or model is unknown or cannot be, or `offline` forbids the address.
        """
        given, _, name = reference.partition("#")
        url, model = given or os.environ.get(URL, ""), name or os.environ.get(MODEL, "")
        if not url or not model:
            lacking = " and ".join(
                f"no {what} ({variable})"
                for what, variable, value in (("address", URL, url), ("model", MODEL, model))
                if not value
            )
            raise JudgeError(
                f"judge {role}: {lacking} of an OpenAI-type endpoint; give --judge {role}=official:URL#MODEL, or set it"
            )
        key = _address_and_key(role, url)
        if offline and not is_local(url):
            raise JudgeError(f"judge {role}: --offline forbids {url}; serve the judge on this machine, or leave --offline out")
        if url.rstrip("/") == os.environ.get(URL, "").rstrip("/"):
            return cls(url, model, key, role=role)
        judge = cls(url, model, None, role=role)
        judge._withheld = key
        return judge

    def under(self, terms: Terms, say: Callable[[str], None]) -> Self:
        named = self._role in terms.named
        key = self._withheld if named and self._withheld else self._key
        judge = type(self)(self._url, self.backend, key, role=self._role, pause=self._pause, terms=terms, say=say)
        judge._withheld = None if named else self._withheld
        return judge

    @property
    def at_once(self) -> int:
        """How many requests are under way at once, and responses judged together."""
        return self._terms.at_once

    def review(self, system: str, prompts: Sequence[str]) -> list[str]:
        """LLaVA-Bench's settings: temperature 0.2, 1,024 tokens."""
        turns = [[{"role": "system", "content": system}, {"role": "user", "content": prompt}] for prompt in prompts]
        return self._replies(turns, temperature=0.2, max_tokens=1024)

    def mark(self, prompts: Sequence[str]) -> list[str]:
        """The settings of HallusionBench and of MMBench's extractor: the endpoint's own."""
        return self._replies([[{"role": "user", "content": prompt}] for prompt in prompts])

    def rate(self, pictures: Sequence[Picture], requests: Sequence[str]) -> list[str]:
        """SRUM's settings: greedy, 512 tokens; the picture stands before its request."""
        contents = [
            [{"type": "image_url", "image_url": {"url": data_uri(picture)}}, {"type": "text", "text": request}]
            for picture, request in zip(pictures, requests, strict=True)
        ]
        return self._replies([[{"role": "user", "content": content}] for content in contents], temperature=0, max_tokens=512)

    def check(self) -> None:
        """A judge of texts is asked about a right and a wrong answer, one of pictures about a right and a wrong text."""
        if self._role == "mllm":
            known_answers.check_rater(self)
        else:
            known_answers.check_llm(self)

    def _replies(self, turns: Sequence[list[dict[str, Any]]], **settings: float) -> list[str]:
        """In order, `at_once` requests at a time. Raises `UserError` for a request that is refused or not answered,
        `Unreachable` where no other would do better."""
        if self._withheld:
            self._withheld = None
            self._say(
                f"judge {self._role}: {KEY} is not sent to {self._url}, because this command does not name that address;"
                f" give --judge {self._role}=official:{self._url}#{self.backend}, or set {URL}, if it is to have the key"
            )
        sent = {name: value for name, value in {**settings, **self._arguments}.items() if value is not None}
        self._sent = list(sent)
        bodies = [json.dumps({"model": self.backend, "messages": messages, **sent}).encode() for messages in turns]
        before: Counter[bytes] = Counter()  # the same text is asked about again, and may be judged otherwise
        requests = []
        for body in bodies:
            requests.append(Request("/chat/completions", body, tag=str(before[body])))
            before[body] += 1
        return [self._without_key(chat.said(reply)) for reply in self._kept.ask(requests)]

    def _check(self, body: bytes) -> None:
        """Raises `UserError` or `PassingError` for a reply without a text."""
        try:
            chat.said(body)
        except NoReplyError as error:
            raise self._no_text(error) from None

    def _no_text(self, error: NoReplyError) -> Exception:
        reason = self._client.plain(str(error))
        if not error.whole:
            return PassingError(self._client.gone(reason))
        told = f"{self._client.who}: {self._url} replied without a text"
        if error.cut_off:
            cure = f"it ran out of tokens; allow more, as in --judge-args {self._role}.max_tokens=8192"
            return UserError(f"{told} ({reason}): {cure}")
        return PassingError(UserError(f"{told} in {TRIES} tries ({reason})"))

    def _told(self, error: UserError) -> UserError:
        """What the client says, with the setting of this command that helps."""
        if isinstance(error, SilencedError):
            return Unreachable(f"{error.told} to {SILENT} requests in a row; give more time with --judge-timeout")
        if isinstance(error, SilentError):
            return UserError(f"{error.told}; give more with --judge-timeout")
        if isinstance(error, RefusedError):
            return UserError(f"{error}{self._way_out(error.why)}")
        return Unreachable(str(error)) if isinstance(error, Unreachable) else error

    def _way_out(self, why: str) -> str:
        """How to leave out the settings that a refusal names: reasoning models take no temperature, for example."""
        named = [name for name in self._sent if re.search(rf"\b{re.escape(name)}\b", why)]
        if not named:
            return ""
        leaving = " ".join(f"--judge-args {self._role}.{name}=null" for name in named)
        instead = f", or give {self._role}.max_completion_tokens=N as well" if "max_tokens" in named else ""
        return f"; leave it to the server with {leaving}{instead}"

    def _without_key(self, reply: str) -> str:
        return reply.replace(self._key, HIDDEN) if self._key and len(self._key) >= LEAST_SECRET else reply


def _address_and_key(role: str, url: str) -> str | None:
    """The key. Raises `JudgeError` for an address or a key that cannot be one."""
    try:
        check_address(f"judge {role}", url)
        return key_in(KEY, f"judge {role}")
    except UserError as error:
        raise JudgeError(str(error)) from None
