"""Messages through a pipe: a pickle after its length. Both ends are this package's own, started by the same user."""

from __future__ import annotations

import copyreg
import pickle
import struct
from types import MappingProxyType
from typing import Any, BinaryIO

_LENGTH = struct.Struct("!Q")


def _read_only(content: dict[Any, Any]) -> MappingProxyType[Any, Any]:
    return MappingProxyType(content)


copyreg.pickle(MappingProxyType, lambda mapping: (_read_only, (dict(mapping),)))  # the default of several records


def write(pipe: BinaryIO, message: Any) -> None:
    """Raises `OSError` where nobody reads any more."""
    content = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    pipe.write(_LENGTH.pack(len(content)))
    pipe.write(content)
    pipe.flush()


def read(pipe: BinaryIO) -> Any:
    """The next message. Raises `EOFError` where the other end is closed, or closes in the middle of one."""
    [length] = _LENGTH.unpack(_exactly(pipe, _LENGTH.size))
    return pickle.loads(_exactly(pipe, length))


def _exactly(pipe: BinaryIO, count: int) -> bytes:
    content = pipe.read(count)
    if len(content) < count:
        raise EOFError
    return content
