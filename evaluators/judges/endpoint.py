"""A language model behind an OpenAI-type endpoint, as a judge of texts (LLaVA-Bench) and of pictures (SRUM's T2I-CompBench)."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any, Self

from suder_bench.errors import JudgeError, Unreachable, UserError
from suder_bench.evaluators.geneval2.spellings import apart
from suder_bench.evaluators.judges import chat, known_answers
from suder_bench.evaluators.judges.protocols import Picture, Talk, talks
from suder_bench.remote import books
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
    Settle,
    SilencedError,
    SilentError,
)
from suder_bench.remote.kept import Kept, Subject, subject
from suder_bench.terms import Terms

MODEL = "SUDER_BENCH_LLM"
COMPLETIONS = "/chat/completions"
MOST_MB = 8
"""A reply of 1,024 tokens is a hundredth of one; what a reasoning model thinks of a picture, a tenth."""

LEAST_SECRET = 16
"""Characters of a key that is worth hiding in replies: no key of a server that takes any ("EMPTY", "1") may change a verdict."""


class Endpoint:
    """Implements `LanguageJudge` (role "llm"), `PictureRater` and `PictureTalker` ("mllm"), and `FirstToken` ("first-token").
    Never exact: which weights answer cannot be seen."""

    exact = False
    whole_vocabulary = False

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
            meter=self._sending,
        )
        self._kept = Kept(self._client, self._told, self._known)
        self._tokens = Kept(replace(self._client, check=self._check_token), self._told, self._known)
        self._books = books.Books()
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

    def enter(self, kept: books.Books) -> None:
        """What is asked from now on stands in these books. Raises `UserError` for a judge without a price that they need."""
        kept.admit(self._role)
        self._books = kept

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
        return self.reply(talks(pictures, requests), max_tokens=512)

    def reply(self, talks: Sequence[Talk], *, max_tokens: int) -> list[str]:
        """Greedy. That a model thinks first is left out by the user, whose server alone knows how (`--judge-args`)."""
        return self._replies(_turns(talks), temperature=0, max_tokens=max_tokens)

    def first_tokens(
        self, pictures: Sequence[Picture], questions: Sequence[str], spellings: Sequence[Sequence[str]]
    ) -> list[list[float]]:
        """Of the 20 likeliest first tokens those that are a spelling, letter by letter; another counts as 0."""
        turns = _turns(talks(pictures, questions))
        bodies = self._asked(self._tokens, turns, temperature=0, max_tokens=1, logprobs=True, top_logprobs=TOP)
        told = [chat.first_tokens(body) for body in bodies]
        return [[found.get(spelling, 0.0) for spelling in asked] for found, asked in zip(told, spellings, strict=True)]

    def shared(self, spellings: Sequence[str]) -> list[int]:
        """Each its own: a server's tokens are told by their letters."""
        return apart(spellings)

    def check(self) -> None:
        """A judge of texts is asked about a right and a wrong answer, one of pictures about a right and a wrong text, and one of
        first tokens about a right and a wrong yes."""
        known_answers.check_model(self, self._role)

    def _replies(self, turns: Sequence[list[dict[str, Any]]], **settings: float) -> list[str]:
        """In order. Raises as `_asked` does."""
        return [self._without_key(chat.said(reply)) for reply in self._asked(self._kept, turns, **settings)]

    def _asked(self, kept: Kept, turns: Sequence[list[dict[str, Any]]], **settings: float) -> list[bytes]:
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
        about = subject() or Subject("")
        requests = []
        for messages in turns:
            body = json.dumps({"model": self.backend, "messages": messages, **sent}).encode()
            tag = f"{about.name}#{about.asked[body]}"  # the same text is asked about again, and may be judged otherwise
            key = books.key_of(self._url, COMPLETIONS, body, tag)
            requests.append(Request(COMPLETIONS, body, tag, key, _most(messages, sent)))
            about.asked[body] += 1
        try:
            replies = kept.ask(requests)
        except UserError:
            self._books.given(about.name, [])
            raise
        self._books.given(about.name, [one.key for one in requests])
        return replies

    def _known(self, request: Request) -> bytes | None:
        """A reply from an earlier time, of a response alone: known answers are asked to know a judge as it is now."""
        return self._books.known(request.key) if subject() is not None else None

    def _sending(self, request: Request) -> AbstractAsyncContextManager[Settle]:
        about = request.tag.rpartition("#")[0]
        return self._books.sending(self._role, request, about, _came, self._without_key)

    def _check(self, body: bytes) -> None:
        """Raises `UserError` or `PassingError` for a reply without a text."""
        try:
            chat.said(body)
        except NoReplyError as error:
            raise self._no_text(error) from None

    def _check_token(self, body: bytes) -> None:
        """Raises `UserError` or `PassingError` for a reply without a first token's log-probabilities."""
        try:
            chat.first_tokens(body)
        except NoReplyError as error:
            if not error.whole or error.refused:
                raise self._no_text(error) from None
            raise Unreachable(
                f"{self._client.who}: {self._url} tells no log-probabilities ({error}), which this benchmark needs; ask another"
                f" server, or judge in this process with --judge {self._role}=vlm:CHECKPOINT"
            ) from None

    def _no_text(self, error: NoReplyError) -> Exception:
        reason = self._client.plain(str(error))
        if not error.whole:
            return PassingError(self._client.gone(reason))
        told = f"{self._client.who}: {self._url} replied without a text"
        if error.cut_off:
            cure = f"it ran out of tokens; allow more, as in --judge-args {self._role}.max_tokens=8192"
            return UserError(f"{told} ({reason}): {cure}")
        if error.refused:  # it would again, and be paid again
            return UserError(f"{self._client.who}: {self._url} refuses this request ({reason}); it counts as failed")
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


TOP = 20
"""Of the first token so many alternatives are told at most (OpenAI)."""


def _turns(talks: Sequence[Talk]) -> list[list[dict[str, Any]]]:
    """Conversations as messages; a picture of several is encoded once."""
    encoded = {name: data_uri(picture) for name, picture in {id(talk.picture): talk.picture for talk in talks}.items()}
    return [_messages(talk, encoded[id(talk.picture)]) for talk in talks]


def _messages(talk: Talk, uri: str) -> list[dict[str, Any]]:
    shown, words = {"type": "image_url", "image_url": {"url": uri}}, {"type": "text", "text": talk.turns[0]}
    first = {"role": "user", "content": [words, shown] if talk.picture_last else [shown, words]}
    others = [{"role": "user" if i % 2 else "assistant", "content": text} for i, text in enumerate(talk.turns[1:])]
    return [*([{"role": "system", "content": talk.system}] if talk.system else []), first, *others]


def _came(body: bytes) -> str:
    """What a reply is, as the books have it: one that tells log-probabilities need have no words."""
    try:
        if b'"logprobs"' in body and chat.tells_tokens(body):
            return books.SOUND
        chat.said(body)
    except NoReplyError as error:
        return books.REFUSED if error.refused else books.WITHOUT_TEXT
    return books.SOUND


PICTURE_TOKENS = 1600
"""That a picture may take at most before one has been seen to take more."""


def _most(messages: Sequence[dict[str, Any]], sent: dict[str, Any]) -> tuple[int, int]:
    """Tokens of input and output that a request may take: a token is rarely shorter than two letters; 0 for an output without
    an end."""
    parts = [part for message in messages for part in _parts(message["content"])]
    letters = sum(len(part.get("text", "")) for part in parts)
    pictures = sum("image_url" in part for part in parts)
    limits = [sent[name] for name in ("max_tokens", "max_completion_tokens") if type(sent.get(name)) is int]
    return letters // 2 + 16 * len(messages) + PICTURE_TOKENS * pictures, max(limits, default=0)


def _parts(content: Any) -> list[dict[str, Any]]:
    return [{"text": content}] if isinstance(content, str) else content


def _address_and_key(role: str, url: str) -> str | None:
    """The key. Raises `JudgeError` for an address or a key that cannot be one."""
    try:
        check_address(f"judge {role}", url)
        return key_in(KEY, f"judge {role}")
    except UserError as error:
        raise JudgeError(str(error)) from None
