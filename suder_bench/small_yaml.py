"""YAML of people who need not mean well: a page of names for names can stand for more than any memory holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from suder_bench.errors import UserError

LARGEST = 2**20
"""Bytes of a file; recipes have a few thousand."""
MOST = 100_000
"""Values, each counted as often as a name for it stands somewhere."""


class TooLargeError(yaml.YAMLError):
    """What is refused before it is built."""


def read(content: bytes) -> Any:
    """The plain values of a document. Raises `yaml.YAMLError`, of which `TooLargeError` is one, and `ValueError` for what is no
    text."""
    if len(content) > LARGEST:
        raise TooLargeError(f"it has {len(content):,} bytes, more than {LARGEST:,}")
    node = yaml.compose(content, Loader=yaml.SafeLoader)
    if node is None:
        return None
    check(node)
    return yaml.safe_load(content)


def read_of(file: Path, content: bytes) -> Any:
    """`read` of what a file holds. Raises `UserError` in a line for what is not to be read."""
    try:
        return read(content)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"{file} is not readable ({' '.join(str(error).split())})") from None


def check(node: yaml.Node) -> None:
    """Raises `TooLargeError` for a document that stands for more than `MOST` values, or for itself."""
    sizes: dict[int, int] = {}
    waiting: list[tuple[yaml.Node, bool]] = [(node, False)]
    open_: set[int] = set()
    while waiting:  # without recursion: depth is a way to do harm, too
        one, seen = waiting.pop()
        inner = _inner(one)
        if seen:
            open_.discard(id(one))
            sizes[id(one)] = 1 + sum(sizes[id(part)] for part in inner)
            if sizes[id(one)] > MOST:
                raise TooLargeError(f"it stands for more than {MOST:,} values")
        elif id(one) in open_:
            raise TooLargeError("a value in it holds itself")
        elif id(one) not in sizes:
            open_.add(id(one))
            waiting.append((one, True))
            waiting += [(part, False) for part in inner]


def _inner(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []
