"""Lines of responses and verdicts read by one pattern each, in a fraction of the time that JSON and `shapes` take.

A pattern matches only lines that are laid out as a run lays them out, and that `shapes` lets pass; then it reads what JSON
would. Whatever it does not match is left to these, which also say what is wrong with it.
"""

from __future__ import annotations

import json
import re
import sys

from suder_bench.records import Response

_PLAIN = rb'"([ !#-\[\]-~]*)"'  # nothing that JSON would escape
_TEXT = rb'("(?:[ !#-\[\]-~]+|\\["\\/bfnrt]|\\u[0-9a-f]{4})*")'
_COUNT = rb"(0|[1-9][0-9]{0,17})"
_WHOLE = rb"(-?(?:0|[1-9][0-9]{0,18}))"
_SECONDS = rb"((?:0|[1-9][0-9]{0,8})\.[0-9]{1,9}(?:e-[0-9]{1,2})?)"

_RESPONSE = re.compile(
    rb'\{"benchmark": %b, "sample": %b, "repeat": %b, "seed": %b, "digest": %b, (?:"text": %b|"image": %b), "seconds": %b\}'
    % (_PLAIN, _PLAIN, _COUNT, _WHOLE, _PLAIN, _TEXT, _PLAIN, _SECONDS)
).fullmatch

verdict = re.compile(
    rb'\{"correct": (true|false|null), "details": (\{.*\}), "digest": %b, "judges": %b, "reason": %b, "repeat": %b, '
    rb'"sample": %b, "scores": (\{[^{}]*\}), "checksum": "[0-9a-f]*"\}' % (_PLAIN, _PLAIN, _TEXT, _COUNT, _PLAIN)
).fullmatch
"""The values of a verdict's line in their order. Details and scores are JSON only where the line's checksum is its own."""
JUDGES, REPEAT, SAMPLE = 4, 6, 7
"""Groups of it."""


def response(benchmark: str, content: bytes) -> Response | None:
    """The response of a line, its text and its picture unseen; None for a line to be read as JSON."""
    found = _RESPONSE(content)
    if found is None:
        return None
    of, sample, repeat, seed, digest, text, image, seconds = found.groups()
    if of.decode() != benchmark or (image is not None and (image[:1] == b"/" or b".." in image)):
        return None
    return Response(
        benchmark,
        sys.intern(sample.decode()),
        int(repeat),
        int(seed),
        digest.decode(),
        None if text is None else string(text),
        None if image is None else image.decode(),
        float(seconds),
    )


def string(content: bytes) -> str:
    """A JSON string, with its quotes."""
    if b"\\" in content:
        found: str = json.loads(content)
        return found
    return content[1:-1].decode()
