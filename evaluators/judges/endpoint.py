"""A language model behind an OpenAI-type endpoint, as a judge of texts (LLaVA-Bench) and of pictures (SRUM's T2I-CompBench)."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from time import sleep, time
from typing import Any, Self

from suder_bench.errors import JudgeError, Unreachable, UserError
from suder_bench.evaluators.judges import chat, known_answers
from suder_bench.evaluators.judges.protocols import Picture
from suder_bench.proxies import STATUSES, through_proxy
from suder_bench.remote import words
from suder_bench.remote.address import KEY, URL, check_address, is_local, key_in
from suder_bench.remote.chat import NoReplyError, data_uri
from suder_bench.remote.exchange import MEGABYTE, PostError, Reply, TooLargeError, TooSlowError, post
from suder_bench.terms import Terms

MODEL = "SUDER_BENCH_LLM"
NOT_OURS = (401, 402, 403, 404, 405, 407)
"""What a server answers to whatever it is asked: address, model, key or account are wrong. Other refusals are of one request."""

TRIES = 4
MOST_MB = 8
"""A reply of 1,024 tokens is a hundredth of one; what a reasoning model thinks of a picture, a tenth."""

MOST_WAIT = 600.0
"""Seconds that a server may ask for (Retry-After) before the same request is tried again; what lasts longer ends the scoring."""

SILENT = 3
"""So many requests in a row without a reply in time, and the server is to blame, not the requests."""

WORTH_TELLING = 5.0
"""Seconds of a pause that would be taken for a hang."""

HIDDEN = "[key]"
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
        self._address = f"{url.rstrip('/')}/chat/completions"
        self._paid: dict[str, str] = {}  # replies of a batch that failed, whose parts are asked for again
        self._silent = 0
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

    def review(self, system: str, prompts: Sequence[str]) -> list[str]:
        """LLaVA-Bench's settings: temperature 0.2, 1,024 tokens."""
        turns = [[{"role": "system", "content": system}, {"role": "user", "content": prompt}] for prompt in prompts]
        return self._replies(turns, temperature=0.2, max_tokens=1024)

    def mark(self, prompts: Sequence[str]) -> list[str]:
        """HallusionBench's settings: the endpoint's own."""
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
        """Raises `UserError` for a request that is refused or not answered, `Unreachable` where no other would do better."""
        sent = {name: value for name, value in {**settings, **self._arguments}.items() if value is not None}
        requests = [json.dumps({"model": self.backend, "messages": messages, **sent}) for messages in turns]
        replies: list[str] = []
        for request in requests:
            try:
                replies.append(self._paid.pop(request) if request in self._paid else self._reply(request.encode(), sent))
            except UserError:
                self._paid.update(zip(requests, replies, strict=False))
                raise
        return replies

    def _reply(self, body: bytes, sent: Mapping[str, Any]) -> str:
        """The text of the reply to one request, which is sent `TRIES` times at most."""
        if self._withheld:
            self._withheld = None
            self._say(
                f"judge {self._role}: {KEY} is not sent to {self._url}, because this command does not name that address;"
                f" give --judge {self._role}=official:{self._url}#{self.backend}, or set {URL}, if it is to have the key"
            )
        for attempt in range(TRIES):
            try:
                return self._attempt(body, sent)
            except _PassingError as passing:
                last = passing
            if attempt + 1 < TRIES:
                if last.wait > WORTH_TELLING:
                    self._say(f"judge {self._role}: waiting {last.wait:,.0f} s, as {self._address} asks")
                sleep(max(self._pause * 2**attempt, last.wait))
        raise last.error from last

    def _attempt(self, body: bytes, sent: Mapping[str, Any]) -> str:
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {self._key}"} if self._key else {})
        try:
            reply = post(self._address, body, headers, seconds=self._terms.timeout, most_bytes=MOST_MB * MEGABYTE)
        except TooSlowError:
            self._silent += 1
            raise self._too_slow() from None
        except TooLargeError as error:
            raise UserError(f"{self._address} sends {error} in one reply; the rest was not read") from None
        except PostError as error:
            raise _PassingError(self._no_reply(f"{self._plain(str(error))}{self._proxy()}")) from error
        self._silent = 0
        if not 200 <= reply.status < 300:
            raise self._refusal(reply, sent)
        try:
            return self._without_key(chat.said(reply.body))
        except NoReplyError as error:
            raise self._no_text(error) from None

    def _no_text(self, error: NoReplyError) -> Exception:
        reason = self._plain(str(error))
        if not error.whole:
            return _PassingError(self._no_reply(reason))
        if error.cut_off:
            return UserError(
                f"{self._address} replied without a text ({reason}): it ran out of tokens; allow more, as in"
                f" --judge-args {self._role}.max_tokens=8192"
            )
        return _PassingError(UserError(f"{self._address} replied without a text in {TRIES} tries ({reason})"))

    def _refusal(self, reply: Reply, sent: Mapping[str, Any]) -> Exception:
        """What a status other than success means: for this request, for all, or for this moment."""
        if 300 <= reply.status < 400:
            place = self._plain(reply.headers.get("location", "an address it does not name"))
            return Unreachable(
                f"{self._address} redirects to {place} (HTTP {reply.status}), and no redirect is followed, because texts and"
                f" key would go there; give --judge {self._role}=official:URL#MODEL with that address if it is to have them"
            )
        why = words.explanation(reply.body)
        said = self._plain(f"HTTP {reply.status} {reply.reason}" + (f": {why}" if why.strip() else ""))
        said += self._proxy() if reply.status in STATUSES else ""
        if reply.status in NOT_OURS:
            keyless = "" if self._key else "; no key was sent"
            return Unreachable(f"{self._address} refuses: {said}{keyless}; check address, model and key")
        if reply.status < 500 and reply.status not in (408, 429):
            return UserError(f"{self._address} refuses: {said}{self._way_out(why, sent)}")
        wait = words.seconds_to_wait(reply.headers, time())
        if wait > MOST_WAIT:
            return self._no_reply(f"{said}; it asks for a pause of {wait:,.0f} s", tries="one try")
        return _PassingError(self._no_reply(said), wait)

    def _way_out(self, why: str, sent: Mapping[str, Any]) -> str:
        """How to leave out the settings that a refusal names: reasoning models take no temperature, for example."""
        named = [name for name in sent if re.search(rf"\b{re.escape(name)}\b", why)]
        if not named:
            return ""
        leaving = " ".join(f"--judge-args {self._role}.{name}=null" for name in named)
        instead = f", or give {self._role}.max_completion_tokens=N as well" if "max_tokens" in named else ""
        return f"; leave it to the server with {leaving}{instead}"

    def _too_slow(self) -> UserError:
        reason = f"{self._address} gave no whole reply in {self._terms.timeout:g} s{self._proxy()}"
        if self._silent >= SILENT:
            return Unreachable(f"{reason} to {self._silent} requests in a row; give more time with --judge-timeout")
        return UserError(f"{reason}; give more with --judge-timeout")

    def _no_reply(self, reason: str, tries: str = f"{TRIES} tries") -> Unreachable:
        return Unreachable(f"{self._address} gave no reply in {tries} ({reason}); run the same command again later")

    def _plain(self, text: str) -> str:
        """What a server or a library says, as one bounded line without the key."""
        for secret in words.spellings(self._key or ""):
            text = text.replace(secret, HIDDEN)
        return words.one_line(text)

    def _without_key(self, reply: str) -> str:
        return reply.replace(self._key, HIDDEN) if self._key and len(self._key) >= LEAST_SECRET else reply

    def _proxy(self) -> str:
        return through_proxy(self._address, honours_all=True)


class _PassingError(Exception):
    """Another try may do better, after `wait` seconds; `error` is what the last one raises."""

    def __init__(self, error: UserError, wait: float = 0.0) -> None:
        super().__init__(str(error))
        self.error, self.wait = error, wait


def _address_and_key(role: str, url: str) -> str | None:
    """The key. Raises `JudgeError` for an address or a key that cannot be one."""
    try:
        check_address(f"judge {role}", url)
        return key_in(KEY, f"judge {role}")
    except UserError as error:
        raise JudgeError(str(error)) from None
