"""A language model behind an OpenAI-type endpoint, as a judge of texts (LLaVA-Bench) and of pictures (SRUM's T2I-CompBench)."""

from __future__ import annotations

import base64
import hashlib
import http.client
import io
import json
import os
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from typing import Any, Self

from suder_bench.errors import JudgeError, Unreachable, UserError
from suder_bench.evaluators.answers import quoted
from suder_bench.evaluators.judges import known_answers
from suder_bench.evaluators.judges.protocols import Picture

URL, KEY, MODEL = "OPENAI_BASE_URL", "OPENAI_API_KEY", "SUDER_BENCH_LLM"
NOT_OURS = (401, 403, 404)
"""What a server answers to whatever it is asked: address, model or key are wrong. Any other refusal is of one request."""

LOCAL = ("localhost", "127.0.0.1", "::1")
TRIES = 4
TIMEOUT = 300.0
"""Seconds to wait for one reply."""


class Endpoint:
    """Implements `LanguageJudge` (role "llm") and `PictureRater` ("mllm"). Never exact: which weights answer cannot be seen."""

    exact = False

    def __init__(self, url: str, model: str, key: str | None, *, role: str = "llm", pause: float = 1.0) -> None:
        self.backend, self._role = model, role
        self._paid: dict[str, str] = {}  # replies of a batch that failed, whose parts are asked for again
        self.fingerprint = hashlib.sha256(f"{url} {model}".encode()).hexdigest()[:16]
        self._url, self._key, self._pause = f"{url.rstrip('/')}/chat/completions", key, pause

    @classmethod
    def load_as(cls, role: str, reference: str, *, offline: bool) -> Self:
        """`reference` is "URL#MODEL", each with a default in OPENAI_BASE_URL and SUDER_BENCH_LLM; the key is OPENAI_API_KEY.

        Raises `JudgeError` when address or model is unknown, or `offline` forbids the address.
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
        if offline and urllib.parse.urlsplit(url).hostname not in LOCAL:
            raise JudgeError(f"judge {role}: --offline forbids {url}; serve the judge on this machine, or leave --offline out")
        return cls(url, model, os.environ.get(KEY), role=role)

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
            [{"type": "image_url", "image_url": {"url": _data_uri(picture)}}, {"type": "text", "text": request}]
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
        requests = [json.dumps({"model": self.backend, "messages": messages, **settings}) for messages in turns]
        replies: list[str] = []
        for request in requests:
            try:
                replies.append(self._paid.pop(request) if request in self._paid else self._reply(request.encode()))
            except UserError:
                self._paid.update(zip(requests, replies, strict=False))
                raise
        return replies

    def _reply(self, body: bytes) -> str:
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {self._key}"} if self._key else {})
        for attempt in range(TRIES):
            try:
                with urllib.request.urlopen(urllib.request.Request(self._url, body, headers), timeout=TIMEOUT) as answer:
                    text = json.load(answer)["choices"][0]["message"]["content"]
                if isinstance(text, str):
                    return text
                failure: Exception = UserError(f"{self._url} replied without a text in {TRIES} tries (content: {text!r})")
            except urllib.error.HTTPError as error:
                refusal = f"{self._url} refuses: HTTP {error.code} {error.reason}{_explanation(error)}"
                if error.code in NOT_OURS:
                    raise Unreachable(f"{refusal}; check address, model and key") from error
                if error.code < 500 and error.code not in (408, 429):
                    raise UserError(refusal) from error
                failure = error
            except (OSError, http.client.HTTPException, ValueError, KeyError, IndexError, TypeError) as error:
                failure = error
            if attempt + 1 < TRIES:
                time.sleep(self._pause * 2**attempt)
        if isinstance(failure, UserError):
            raise failure
        raise Unreachable(
            f"{self._url} gave no reply in {TRIES} tries ({failure}); run the same command again later"
        ) from failure


def _explanation(error: urllib.error.HTTPError) -> str:
    """The start of what the server says about a refusal."""
    try:
        text = error.read(2_000).decode(errors="replace")
    except (OSError, http.client.HTTPException):
        return ""
    return f": {quoted(text)}" if text.strip() else ""


def _data_uri(picture: Picture) -> str:
    encoded = io.BytesIO()
    picture.save(encoded, format="PNG")
    return f"data:image/png;base64,{base64.b64encode(encoded.getvalue()).decode()}"
