"""A language model behind an OpenAI-type endpoint, as a judge of texts (LLaVA-Bench) and of pictures (SRUM's T2I-CompBench)."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from typing import Any, Self

from suder_bench.errors import JudgeError
from suder_bench.evaluators.judges import known_answers
from suder_bench.evaluators.judges.protocols import Picture

URL, KEY, MODEL = "OPENAI_BASE_URL", "OPENAI_API_KEY", "SUDER_BENCH_LLM"
LOCAL = ("localhost", "127.0.0.1", "::1")
TRIES = 4
TIMEOUT = 300.0
"""Seconds to wait for one reply."""


class Endpoint:
    """Implements `LanguageJudge` and `PictureRater`. Never exact: which weights answer cannot be seen from here."""

    exact = False

    def __init__(self, url: str, model: str, key: str | None, *, pause: float = 1.0) -> None:
        self.backend = model
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
        return cls(url, model, os.environ.get(KEY))

    def review(self, system: str, prompts: Sequence[str]) -> list[str]:
        """LLaVA-Bench's settings: temperature 0.2, 1,024 tokens."""
        turns = [[{"role": "system", "content": system}, {"role": "user", "content": prompt}] for prompt in prompts]
        return [self._reply(messages, temperature=0.2, max_tokens=1024) for messages in turns]

    def rate(self, pictures: Sequence[Picture], requests: Sequence[str]) -> list[str]:
        """SRUM's settings: greedy, 512 tokens; the picture stands before its request."""
        contents = [
            [{"type": "image_url", "image_url": {"url": _data_uri(picture)}}, {"type": "text", "text": request}]
            for picture, request in zip(pictures, requests, strict=True)
        ]
        return [self._reply([{"role": "user", "content": content}], temperature=0, max_tokens=512) for content in contents]

    def check(self) -> None:
        """A right and a wrong answer are reviewed: both reviews can be read, and the right one scores higher."""
        known_answers.check_scores(self)

    def _reply(self, messages: list[dict[str, Any]], **settings: float) -> str:
        body = json.dumps({"model": self.backend, "messages": messages, **settings}).encode()
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {self._key}"} if self._key else {})
        for attempt in range(TRIES):
            try:
                with urllib.request.urlopen(urllib.request.Request(self._url, body, headers), timeout=TIMEOUT) as answer:
                    return str(json.load(answer)["choices"][0]["message"]["content"])
            except urllib.error.HTTPError as error:
                if error.code < 500 and error.code not in (408, 429):
                    raise JudgeError(
                        f"{self._url} refuses: HTTP {error.code} {error.reason}; check address, model and key"
                    ) from error
                failure: Exception = error
            except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
                failure = error
            if attempt + 1 < TRIES:
                time.sleep(self._pause * 2**attempt)
        raise JudgeError(f"{self._url} gave no reply in {TRIES} tries ({failure}); run the same command again later") from failure


def _data_uri(picture: Picture) -> str:
    encoded = io.BytesIO()
    picture.save(encoded, format="PNG")
    return f"data:image/png;base64,{base64.b64encode(encoded.getvalue()).decode()}"
