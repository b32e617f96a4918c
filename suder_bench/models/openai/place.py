"""What stands after "openai:": MODEL@URL#SETTING=VALUE,... Read without asking anybody, and without torch."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from suder_bench.errors import UserError, unknown
from suder_bench.remote.address import KEY, URL, check_address, key_in

MODEL_KEY = "SUDER_BENCH_MODEL_KEY"
"""The key for the address of a model. Without it OPENAI_API_KEY is, unless OPENAI_BASE_URL says whose that one is."""

FORM = "openai:MODEL@URL, for example openai:Qwen/Qwen2.5-VL-7B-Instruct@http://localhost:8000/v1"

_FORM = re.compile(r"(?P<model>[^\s#]+?)@(?P<url>https?://[^#]*)(?:#(?P<settings>.*))?", re.DOTALL)
_OWN = {"concurrency": int, "timeout": float, "seed": bool}
_KINDS = {int: "a whole number", float: "a number", bool: "true or false"}


@dataclass(frozen=True)
class Place:
    """`image` and `chat` hold what requests say besides model and prompt; null there leaves a setting out.

    `seed` says whether the server is known to heed seeds, where it does not say so itself.
    """

    model: str
    url: str
    concurrency: int = 4
    timeout: float = 600.0
    seed: bool | None = None
    image: Mapping[str, Any] = field(default_factory=dict)
    chat: Mapping[str, Any] = field(default_factory=dict)


def read(reference: str) -> Place:
    """Raises `UserError` for another form, an address that is none, and a setting that is not the user's to choose."""
    found = _FORM.fullmatch(reference)
    if found is None:
        raise UserError(f"model 'openai:{reference.partition('@')[0]}...' is not {FORM}")
    model, url = found["model"], found["url"].rstrip("/")
    check_address(f"model 'openai:{model}'", url, key=MODEL_KEY)
    own: dict[str, Any] = {}
    bodies: dict[str, dict[str, Any]] = {"image": {}, "chat": {}}
    for pair in filter(None, (found["settings"] or "").split(",")):
        name, equals, text = pair.partition("=")
        kind, dot, setting = name.partition(".")
        if not equals or not (name in _OWN or (dot and kind in bodies and setting)):
            choices = [*_OWN, "image.SETTING", "chat.SETTING"]
            raise unknown(f"setting of model 'openai:{model}'", pair, [f"{choice}=VALUE" for choice in choices])
        if setting in ("model", "prompt", "messages", "n", "stream"):
            raise UserError(f"model 'openai:{model}': {name} cannot be set; it makes the request that of its benchmark")
        if dot:
            bodies[kind][setting] = _value(text)
        else:
            own[name] = _own(name, text, model)
    return Place(model, url, image=bodies["image"], chat=bodies["chat"], **own)


def key_for(place: Place) -> str | None:
    """The key that may be sent to the address. Raises `UserError` for what no header can hold."""
    who = f"model 'openai:{place.model}'"
    if key := key_in(MODEL_KEY, who):
        return key
    owner = os.environ.get(URL, "").rstrip("/")
    return key_in(KEY, who) if owner in ("", place.url) else None


def _own(name: str, text: str, model: str) -> Any:
    value, kind = _value(text), _OWN[name]
    fits = type(value) is bool if kind is bool else type(value) in (int, kind) and value > 0
    if not fits:
        raise UserError(f"model 'openai:{model}': {name}={text} is not {_KINDS[kind]}{'' if kind is bool else ' above 0'}")
    return value


def _value(text: str) -> Any:
    """JSON, else text."""
    try:
        return json.loads(text, parse_constant=str)
    except (ValueError, RecursionError):
        return text
