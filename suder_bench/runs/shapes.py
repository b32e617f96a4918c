"""What the files of a run folder must look like, and where one that somebody edited does not."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

from suder_bench.data.folder import SIZES
from suder_bench.models.protocols import ImageSampling, TextSampling


class ShapeError(ValueError):
    """'seed is "0", not a whole number'"""


@dataclass(frozen=True)
class Each:
    """An object with any keys, each value of one shape."""

    of: Shape


@dataclass(frozen=True)
class Items:
    """A list, each item of one shape."""

    of: Shape


@dataclass(frozen=True)
class OneOf:
    """One of these values."""

    values: tuple[object, ...]


@dataclass(frozen=True)
class Maybe:
    """A shape, or null."""

    of: Shape


Shape = str | Each | Items | OneOf | Maybe | Mapping[str, Any]
"""A kind of `_KINDS` by name, or a mapping of keys to shapes; a key that ends with '?' may be absent, further ones are let be."""

_KINDS: Mapping[str, str] = {
    "text": "a text",
    "whole": "a whole number",
    "count": "a whole number from 0 on",
    "positive": "a whole number from 1 on",
    "number": "a number",
    "bool": "true or false",
    "object": "an object",
    "name": "a text that can be printed",
}

_TYPES = {"text": str, "bool": bool, "object": dict}
_LOWEST = {"whole": -math.inf, "count": 0, "positive": 1}

DATA: Shape = {"source": OneOf(("world", "official", "folder")), "size": Maybe(OneOf(SIZES)), "folder": Maybe("name")}
JUDGE: Shape = {"backend": "name", "exact": "bool", "fingerprint": "name", "weights?": "name", "unchecked?": "bool"}
SEATED: Shape = Each(JUDGE)
PLANNED: Shape = {
    "protocol": "name",
    "samples": "count",
    "repeats?": "positive",
    "data": "name",
    "rewritten?": {"prompts": "count", "digest": "name"},
    "left_out?": "count",
    "unofficial?": "name",
    "cut?": Each("count"),
    "prompt_style?": "name",
    "worded?": "name",
    "origin?": "name",
    "text?": "object",
    "rules?": "name",
}

MODEL: Shape = {
    "name": "name",
    "adapter": "name",
    "fingerprint": "name",
    "parts?": Each("name"),
    "settings": "object",
    "files": Maybe("name"),
}
RECIPE: Shape = {
    "schema?": OneOf((1,)),
    "run": "name",
    "suite": "name",
    "model": MODEL,
    "data": DATA,
    "world": "bool",
    "benchmarks": Each(PLANNED),
    "protocol": "name",
    "seed": "whole",
    "limit": Maybe("positive"),
    "limits?": Each("positive"),
    "repeats": Maybe("positive"),
    "allow_missing?": "count",
    "prompt_style?": "name",
    "sampling": {"image": "object", "text": "object"},
    "device": "name",
    "dtype": "name",
    "judges": Each(Each(JUDGE)),
    "judge_choice?": Each("name"),
    "judge_device?": "name",
    "judge_dtype?": "name",
    "judge_args?": Each("object"),
    "versions": Each(Maybe("name")),
    "workers?": Each({"host": "name", "device": "name", "dtype": "name", "versions": Each(Maybe("name"))}),
}
"""run.json."""

SPEED: Shape = Each(Each("number"))
"""speed.json: by stage, numbers."""

METRIC: Shape = {
    "value": Maybe("number"),
    "low": Maybe("number"),
    "high": Maybe("number"),
    "n": "count",
    "few_clusters?": "count",
    "judges?": Items("name"),
    "without?": Items("name"),
}
UNJUDGED: Shape = {"responses": "positive", "roles": Items("name"), "metrics": Items("name")}
ENTRY: Shape = {
    "headline": "name",
    "paper_metrics": Items("name"),
    "protocol": "name",
    "judges": Each(JUDGE),
    "n_samples": "count",
    "n_responses": "count",
    "skipped": "count",
    "failed": "count",
    "deviations?": Items("name"),
    "unjudged?": UNJUDGED,
    "metrics": Each(METRIC),
}
ASKED: Shape = {
    **dict.fromkeys(("requests", "input_tokens", "output_tokens", "estimated"), "count"),
    **dict.fromkeys(("refused", "without_text", "late", "unread"), "count"),
    "cost?": "number",
}
SUMMARY: Shape = {
    "schema": OneOf((1,)),
    "run": "name",
    "model": "name",
    "suite": "name",
    "world": "bool",
    "recipe": "object",
    "benchmarks": Each(ENTRY),
    "asked?": Each(ASKED),
}
"""summary.json; its recipe is checked as run.json."""

RESPONSE: Shape = {
    "benchmark": "text",
    "sample": "text",
    "repeat": "count",
    "seed": "whole",
    "digest": "text",
    "text?": Maybe("text"),
    "image?": Maybe("text"),
    "seconds?": "number",
}
VERDICT: Mapping[str, Any] = {
    "judges": "text",
    "sample": "text",
    "repeat": "count",
    "digest": "text",
    "scores": Each(Maybe("number")),
    "correct": Maybe("bool"),
    "reason": "text",
    "details": "object",
    "checksum?": "text",
}


def check(value: object, shape: Shape) -> None:
    """Raises `ShapeError` naming the first place where `value` has another shape; `fits` answers sooner where it has not."""
    try:
        _check(value, shape)
    except _MismatchError as found:
        place = ".".join(reversed(found.path)) or "it"
        raise ShapeError(f"{place} {found.what}") from None


def fits(shape: Shape) -> Callable[[object], bool]:
    """A test for what `check` lets pass, made once for many values."""
    if isinstance(shape, str):
        return {"text": _is_text, "count": _is_count}.get(shape) or partial(_is, kind=shape)
    if isinstance(shape, Maybe):
        inner = fits(shape.of)
        return lambda value: value is None or inner(value)
    if isinstance(shape, Each):
        inner = fits(shape.of)
        return lambda value: type(value) is dict and all(_writable(name) and inner(one) for name, one in value.items())
    if not isinstance(shape, Mapping):
        return lambda value: _passes(value, shape)
    needed = [(name, fits(of)) for name, of in shape.items() if name[-1] != "?"]
    rest = [(name[:-1], fits(of)) for name, of in shape.items() if name[-1] == "?"]

    def has_all(value: object) -> bool:
        if type(value) is not dict:
            return False
        for name, holds in needed:
            if name not in value or not holds(value[name]):
                return False
        return all(holds(value[name]) for name, holds in rest if name in value)

    return has_all


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0


def _passes(value: object, shape: Shape) -> bool:
    try:
        _check(value, shape)
    except _MismatchError:
        return False
    return True


class _MismatchError(Exception):
    def __init__(self, what: str) -> None:
        self.what = what
        self.path: list[str] = []


def _check(value: object, shape: Shape) -> None:
    if isinstance(shape, str):
        if not _is(value, shape):
            raise _wrong(value, _KINDS[shape])
    elif isinstance(shape, Maybe):
        if value is not None:
            _check(value, shape.of)
    elif isinstance(shape, OneOf):
        if not any(type(value) is type(one) and value == one for one in shape.values):
            raise _wrong(value, f"one of {', '.join(map(str, shape.values))}")
    elif isinstance(shape, Items):
        if not isinstance(value, list):
            raise _wrong(value, "a list")
        for index, item in enumerate(value):
            _within(item, shape.of, str(index))
    elif not isinstance(value, dict):
        raise _wrong(value, "an object")
    elif isinstance(shape, Each):
        for name, item in value.items():
            if not _writable(name):
                raise _MismatchError(f"has a key that cannot be printed ({name!a})")
            _within(item, shape.of, name)
    else:
        for key, inner in shape.items():
            if key in value:
                _within(value[key], inner, key)
            elif key[-1] != "?":
                raise _MismatchError(f"lacks {key}")
            elif key[:-1] in value:
                _within(value[key[:-1]], inner, key[:-1])


def _within(value: object, shape: Shape, name: str) -> None:
    try:
        _check(value, shape)
    except _MismatchError as found:
        found.path.append(name)
        raise


_LEFT_TO_THE_MODEL: Mapping[str, Shape] = {"guidance": Maybe("number"), "steps": Maybe("positive")}
"""Settings of pictures that may be null."""


def check_recipe(recipe: object) -> None:
    """Raises `ShapeError` for what is no run.json."""
    check(recipe, RECIPE)
    assert isinstance(recipe, dict)
    if recipe["data"]["source"] == "folder" and recipe["data"]["folder"] is None:
        raise ShapeError("data.folder is null, not a text")
    for kind, settings in (("image", ImageSampling), ("text", TextSampling)):
        known = {field.name: type(field.default) for field in fields(settings)}
        for name, value in recipe["sampling"][kind].items():
            if name not in known:
                raise ShapeError(f"sampling.{kind} has an unknown key {name}")
            shape: Shape = _LEFT_TO_THE_MODEL.get(name) or ("whole" if known[name] is int else "number")
            check({"sampling": {kind: {name: value}}}, {"sampling": {kind: {name: shape}}})


def _is(value: object, kind: str) -> bool:
    if kind in _TYPES:
        return isinstance(value, _TYPES[kind])
    if kind == "name":
        return isinstance(value, str) and _writable(value)
    if kind == "number":
        return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
    return isinstance(value, int) and not isinstance(value, bool) and value >= _LOWEST[kind]


def _writable(name: str) -> bool:
    """Whether a terminal and a file system can take it: JSON holds halves of surrogate pairs too."""
    return "\0" not in name and (name.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in name))


def _wrong(value: object, wanted: str) -> _MismatchError:
    try:
        shown = json.dumps(value)
    except RecursionError:
        shown = "nested deeply"
    return _MismatchError(f"is {shown if len(shown) <= 40 else shown[:37] + '...'}, not {wanted}")
