"""The scores of `suder-bench serve` as a reward: for this package's trainings, and for those of other libraries.

Importing this needs neither torch nor transformers. `RemoteReward` is called as TRL's GRPO calls a reward function,

    trainer = GRPOTrainer(..., reward_funcs=RemoteReward("http://127.0.0.1:8321"))

and its `of_images` as DDPO's trainings and flow_grpo's do: `(images, prompts, metadata) -> (rewards, info)`.
"""

from __future__ import annotations

import base64
import io
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from suder_bench.errors import UserError
from suder_bench.remote.address import TOKEN, check_address, key_in, key_of
from suder_bench.remote.client import Client, Request

PREFIX = "remote:"
TRIES = 8
"""Of one request: a queue that is full says when to come again."""

PAUSE = 1.0
"""Seconds before a second try, twice as many before each further one."""

MOST = 32_000_000
"""Characters of the pictures of one request, unless it has a single one."""

COLUMNS = ("tag", "include", "exclude", "category", "list")
"""What benchmarks' metadata hold, as columns of a data set."""


class RemoteReward:
    """The number of a benchmark's verdict, by the judges behind an address. Pictures are sent as PNG, so that it is `score`'s.

    `fingerprint` changes with the judges, their data and code; scores of another than at the start are refused.
    """

    def __init__(
        self,
        url: str,
        *,
        benchmark: str | None = None,
        token: str | None = None,
        batch_size: int = 16,
        at_once: int = 4,
        timeout: float = 600.0,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        """`url` may end with "#BENCHMARK"; a server of a single benchmark needs none. `token` is by default what
        SUDER_BENCH_TOKEN holds. A request has `batch_size` pictures, and `at_once` are under way; `timeout` seconds are for one
        reply.

        Nothing is sent yet. Raises `UserError` for what is no address.
        """
        address, _, named = url.partition("#")
        self.name = PREFIX + url if benchmark is None else f"{PREFIX}{address}#{benchmark}"
        self.__name__ = self.name  # what trainers log it under
        who = f"reward '{self.name}'"
        check_address(who, address, key=TOKEN)
        key = key_in(TOKEN, who) if token is None else key_of(token, "token", who)
        self._named, self._batch_size = benchmark or named or None, batch_size
        self._client = Client(who, address.rstrip("/"), key, timeout=timeout, at_once=at_once, pause=PAUSE, tries=TRIES, say=say)
        self._offered: dict[str, Any] | None = None

    @property
    def offered(self) -> dict[str, Any]:
        """What the server says of the benchmark and its judges. Raises `UserError` where it cannot be asked, or has another."""
        if self._offered is None:
            served = self._document(self._client.get("/v1/benchmarks"), "benchmarks")
            names = [str(one.get("name")) for one in served]
            if self._named not in names and not (self._named is None and len(names) == 1):
                told = f"has no '{self._named}'" if self._named else "has several; name one after #"
                raise UserError(f"{self._client.who}: the server {told} (choices: {', '.join(names)})")
            self._offered = served[names.index(self._named or names[0])]
        return self._offered

    @property
    def fingerprint(self) -> str:
        return str(self.offered.get("fingerprint"))

    def told(self) -> dict[str, Any]:
        """Who rewards, as JSON."""
        names = ("name", "protocol", "judges", "fingerprint")
        return {"url": self._client.url, **{name: self.offered.get(name) for name in names}}

    def check(self, prompts: Sequence[str]) -> None:
        """Raises `UserError` naming the first prompt that the server cannot judge."""
        items = [{"prompt": prompt} for prompt in prompts]
        for prompt, row in zip(prompts, self._rows("/v1/prompts", items, 500), strict=True):
            if "error" in row:
                raise UserError(f"{self._client.who} cannot judge the prompt '{prompt}': {self._why(row)}")

    def results(
        self, prompts: Sequence[str], pictures: Sequence[Any], metadata: Sequence[Mapping[str, Any] | None] | None = None
    ) -> list[dict[str, Any]]:
        """A row for each picture as docs/serve.md has them, or one with an `error`. `pictures` are PIL's, or arrays or tensors of
        (height, width, 3) or (3, height, width): of 8 bits, or of floats from 0 to 1."""
        if not len(prompts) == len(pictures) == (len(prompts) if metadata is None else len(metadata)):
            raise ValueError(f"{len(prompts)} prompts for {len(pictures)} pictures")
        others = metadata if metadata is not None else [None] * len(prompts)
        items = [
            {"prompt": prompt, "picture": _encoded(one), **({"metadata": dict(own)} if own else {})}
            for prompt, one, own in zip(prompts, pictures, others, strict=True)
        ]
        return self._rows("/v1/score", items, self._batch_size)

    def score_images(
        self, prompts: Sequence[str], pictures: Sequence[Any], metadata: Sequence[Mapping[str, Any] | None] | None = None
    ) -> list[float]:
        """The score of each picture. Raises `UserError` for one that has none: no number stands for a failure."""
        return self._numbers(prompts, self.results(prompts, pictures, metadata))

    def __call__(
        self,
        prompts: Sequence[Any],
        completions: Sequence[Any] | None = None,
        *,
        images: Sequence[Any] | None = None,
        **columns: Any,
    ) -> list[float]:
        """As TRL's GRPO asks: `completions` are the pictures, alone or in a message, unless `images` are given. Prompts are
        texts or conversations. The data set's columns `metadata`, or those of `COLUMNS`, say what a prompt asks for."""
        pictures = images if images is not None else [_picture_in(one) for one in completions or []]
        return self.score_images([_text_in(prompt) for prompt in prompts], pictures, _metadata(columns, len(prompts)))

    def of_images(
        self, images: Sequence[Any], prompts: Sequence[str], metadata: Sequence[Mapping[str, Any] | None] | None = None
    ) -> tuple[list[float], dict[str, Any]]:
        """As DDPO's trainings ask: the rewards, and their rows under `results`."""
        rows = self.results(prompts, images, metadata if metadata is not None and any(metadata) else None)
        return self._numbers(prompts, rows), {"results": rows}

    def _numbers(self, prompts: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> list[float]:
        for prompt, row in zip(prompts, rows, strict=True):
            score = row.get("score")
            if isinstance(score, bool) or not isinstance(score, int | float) or not math.isfinite(score):
                raise UserError(f"{self._client.who} gives no number for a picture of '{prompt}': {self._why(row)}")
        return [float(row["score"]) for row in rows]

    def _rows(self, path: str, items: Sequence[dict[str, Any]], size: int) -> list[dict[str, Any]]:
        name, parts = self.offered["name"], list(_parts(items, size))
        outcomes = self._client.ask([Request(path, json.dumps({"benchmark": name, "items": part}).encode()) for part in parts])
        rows: list[dict[str, Any]] = []
        for part, outcome in zip(parts, outcomes, strict=True):
            if isinstance(outcome, UserError):
                raise outcome
            found = self._document(outcome, "results")
            if len(found) != len(part):
                raise UserError(f"{self._client.who}: the server answers {len(part)} items with {len(found)} rows")
            rows += found
        return rows

    def _document(self, body: bytes, name: str) -> list[dict[str, Any]]:
        """The rows of a reply. Raises `UserError` for what is none, or comes from other judges than before."""
        try:
            document = json.loads(body)
            rows = document[name]
            if not all(isinstance(row, dict) for row in rows):
                raise TypeError("a row is no object")
        except (ValueError, KeyError, TypeError, RecursionError):
            raise UserError(
                f"{self._client.who}: {self._client.url} is no suder-bench serve; give the address that it prints"
            ) from None
        came = document.get("fingerprint")
        if came is not None and came != self.fingerprint:
            raise UserError(
                f"{self._client.who}: the judges are not those of the start ({came}, not {self.fingerprint}); start anew"
            )
        return list(rows)

    def _why(self, row: Mapping[str, Any]) -> str:
        error = row.get("error")
        return self._client.plain(str(error.get("message")) if isinstance(error, Mapping) else "it is not one right or wrong")


def _parts(items: Sequence[dict[str, Any]], size: int) -> Iterator[list[dict[str, Any]]]:
    """Consecutive items, as many as one request may have."""
    part: list[dict[str, Any]] = []
    length = 0
    for item in items:
        own = len(item.get("picture", ""))
        if part and (len(part) == size or length + own > MOST):
            yield part
            part, length = [], 0
        part.append(item)
        length += own
    if part:
        yield part


def _encoded(one: Any) -> str:
    content = io.BytesIO()
    picture(one).save(content, "PNG", compress_level=1)
    return base64.b64encode(content.getvalue()).decode()


def picture(one: Any) -> Image.Image:
    """A picture of PIL's, of an array or of a tensor. Raises `ValueError` for other shapes and kinds of numbers."""
    if isinstance(one, Image.Image):
        return one
    if hasattr(one, "detach"):
        one = one.detach().float().cpu() if one.is_floating_point() else one.detach().cpu()
    values = np.asarray(one)
    if values.ndim == 3 and values.shape[0] == 3 and values.shape[2] != 3:
        values = values.transpose(1, 2, 0)
    if values.ndim != 3 or values.shape[2] != 3 or not (values.dtype == np.uint8 or values.dtype.kind == "f"):
        raise ValueError(f"a picture has three channels of 8 bits or of floats from 0 to 1, not {values.dtype} of {values.shape}")
    if values.dtype.kind == "f":
        values = np.rint(values.clip(0, 1) * 255).astype(np.uint8)
    return Image.fromarray(values)


def _metadata(columns: Mapping[str, Any], count: int) -> list[dict[str, Any] | None] | None:
    """Of each item what the columns of a data set hold for it, as far as they say anything."""
    if columns.get("metadata") is not None:
        return list(columns["metadata"])
    named = [name for name in COLUMNS if isinstance(columns.get(name), list | tuple) and len(columns[name]) == count]
    return [{name: columns[name][i] for name in named} for i in range(count)] if named else None


def _text_in(prompt: Any) -> str:
    """The text of a prompt, or of the last turn of a conversation."""
    if isinstance(prompt, str):
        return prompt
    content = prompt[-1]["content"]
    if isinstance(content, str):
        return content
    return "".join(part["text"] for part in content if part.get("type") == "text")


def _picture_in(completion: Any) -> Any:
    """The picture that a completion is, or the last that its messages hold."""
    if not isinstance(completion, list | tuple):
        return completion
    parts = [part for turn in completion if isinstance(turn.get("content"), list) for part in turn["content"]]
    pictures = [part["image"] for part in parts if part.get("type") == "image"]
    if not pictures:
        raise UserError("a completion holds no picture; give the pictures as images=")
    return pictures[-1]
