"""Lines with a checksum that tells whether they were edited since: a JSON object whose keys are sorted, but for the checksum at
the end, so that a line that still stands as it was written is confirmed by its bytes alone."""

from __future__ import annotations

import hashlib
import json

from suder_bench.runs.jsonl import Row

DIGITS = 16
_MARK = b', "checksum": "'
_TAIL = len(_MARK) + DIGITS + len(b'"}')

_encode = json.JSONEncoder(sort_keys=True).encode


def line(row: Row) -> str:
    """The line of a row of plain JSON values (see `plain`)."""
    content = _encode(row)
    return f'{content[:-1]}, "checksum": "{_digits(content.encode())}"}}'


def stands(content: bytes) -> bool:
    """Whether a line is, byte by byte, one that `line` made; if not, its row may still have its `checksum`."""
    mark, digits, end = content[-_TAIL : -DIGITS - 2], content[-DIGITS - 2 : -2], content[-2:]
    return mark == _MARK and end == b'"}' and _digits(content[:-_TAIL] + b"}").encode() == digits


def checksum(row: Row) -> str:
    """Of a row, whatever its order: changes with everything that it says."""
    return _digits(_encode({name: value for name, value in row.items() if name != "checksum"}).encode())


def _digits(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:DIGITS]
