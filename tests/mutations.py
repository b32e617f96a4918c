"""What somebody's editor, another program or a broken disk makes of a JSON file: one or two changes to a good one."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

HOSTILE = ("", "a", "0", "None", "\ud800", "a\0b", "../x", "/etc/hostname", "é" * 300, "NaN", "\n", "yes", "A")
NUMBERS = (0, 1, -1, 2**53, 2**63, -(2**64), 10**400, 0.5, -0.0, 1e308, 1e-320, float("nan"), float("inf"), -float("inf"))

plain = st.none() | st.booleans() | st.sampled_from(NUMBERS) | st.sampled_from(HOSTILE) | st.integers(-5, 5)
values = (
    plain
    | st.lists(plain, max_size=3)
    | st.dictionaries(st.sampled_from(HOSTILE), plain, max_size=2)
    | st.builds(lambda: [[[[]]]])
)  # a new one each time: what is drawn is changed further
"""JSON values of every type, and those that Python reads though JSON has them not."""

Change = Callable[[Any], Any]


def places(value: Any) -> list[tuple[Any, Any]]:
    """(container, key) of everything inside."""
    found = []
    waiting = [value]
    while waiting:
        one = waiting.pop()
        inner = one.items() if isinstance(one, dict) else enumerate(one) if isinstance(one, list) else ()
        for key, item in inner:
            found.append((one, key))
            waiting.append(item)
    return found


@st.composite
def mutated(draw: st.DrawFn, document: Any) -> Any:
    """`document` with one value replaced, removed, renamed, doubled or moved; sometimes with two such changes."""
    document = copy.deepcopy(document)
    for _ in range(draw(st.sampled_from((1, 1, 1, 2)))):
        found = places(document)
        if not found or draw(st.integers(0, 60)) == 0:
            return draw(values)
        container, key = found[draw(st.integers(0, len(found) - 1))]
        change = draw(st.sampled_from(("replace", "replace", "replace", "remove", "rename", "swap")))
        if change == "replace":
            container[key] = copy.deepcopy(draw(values))
        elif change == "remove":
            del container[key]
        elif change == "rename" and isinstance(container, dict):
            container[draw(st.sampled_from(HOSTILE))] = container.pop(key)
        else:
            other, place = found[draw(st.integers(0, len(found) - 1))]
            container[key] = copy.deepcopy(other[place])
    return document


@st.composite
def broken(draw: st.DrawFn, content: bytes) -> bytes:
    """`content` with bytes lost, put in or changed."""
    start = draw(st.integers(0, len(content)))
    length = draw(st.sampled_from((0, 1, 1, 3, 50, len(content))))
    new = draw(
        st.sampled_from((b"", b"\0", b"\xff", b"\xef\xbb\xbf", b"{", b"]", b'"', b",", b"\n", b"\r", b"[" * 3000, b"1e999"))
    )
    return content[:start] + new + content[start + length :]


def written(document: Any) -> bytes:
    """As JSON with whatever Python can write."""
    return json.dumps(document).encode()


@st.composite
def document_file(draw: st.DrawFn, content: bytes) -> bytes:
    """A file that holds one JSON value, damaged."""
    if draw(st.integers(0, 5)) == 0:
        return draw(broken(content))
    return written(draw(mutated(json.loads(content))))


@st.composite
def lines_file(draw: st.DrawFn, content: bytes) -> bytes:
    """A file of JSON lines, one of them damaged, doubled or lost."""
    if draw(st.integers(0, 5)) == 0:
        return draw(broken(content))
    lines = content.splitlines()
    place = draw(st.integers(0, len(lines) - 1))
    how = draw(st.integers(0, 8))
    if how == 0:
        lines.insert(place, lines[draw(st.integers(0, len(lines) - 1))])
    elif how == 1:
        del lines[place]
    else:
        lines[place] = written(draw(mutated(json.loads(lines[place]))))
    return b"\n".join(lines) + b"\n"
