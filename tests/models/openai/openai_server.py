"""A server of OpenAI's protocol on this machine, whose model a test describes: an entry in /v1/models, and replies by path."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from judge_server import Answer, Asked, JudgeServer, refused, said, serving
from PIL import Image

from suder_bench.models.openai.model import OpenAIModel

Reply = Callable[[Asked], Answer]


def document(value: Any) -> Answer:
    return Answer(body=json.dumps(value).encode())


def drawn(colour: tuple[int, int, int] = (200, 30, 30), side: int = 8, **more: Any) -> Answer:
    encoded = io.BytesIO()
    Image.new("RGB", (side, side), colour).save(encoded, format="PNG")
    return document({"data": [{"b64_json": base64.b64encode(encoded.getvalue()).decode(), **more}]})


def models(*names: str, **entry: Any) -> Answer:
    return document({"data": [{"id": name, "object": "model", **entry} for name in names]})


@contextmanager
def server_of(replies: Mapping[str, Answer | Reply], entry: Mapping[str, Any] | None = None) -> Iterator[JudgeServer]:
    """`replies` by the end of the path; /models lists "m" with `entry`, and is not there for None."""

    def reply(asked: Asked, before: int) -> Answer:
        if asked.path.endswith("/models") and "/models" not in replies:
            return refused(404, "no such path") if entry is None else models("m", **entry)
        found = next((made for end, made in replies.items() if asked.path.endswith(end)), refused(404, "no such path"))
        return found(asked) if callable(found) else found

    with serving(reply) as server:
        yield server


def loaded(server: JudgeServer, settings: str = "", model: str = "m") -> OpenAIModel:
    return OpenAIModel.load(f"{model}@{server.url}{settings}", device="cpu", dtype="float32")


__all__ = ["Answer", "Asked", "JudgeServer", "document", "drawn", "loaded", "models", "refused", "said", "server_of", "serving"]
