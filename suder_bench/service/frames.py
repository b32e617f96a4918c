"""Messages between the server and its workers: a line of JSON, then the bytes of files; nothing that could be code."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import IO, Any

from suder_bench.service.asked import Asked


def write(stream: IO[bytes], message: dict[str, Any], files: Sequence[bytes] = ()) -> None:
    """Raises `OSError` where nobody reads any more."""
    line = json.dumps({**message, "files": [len(file) for file in files]}, allow_nan=False)
    stream.write(line.encode() + b"\n")
    for file in files:
        stream.write(file)
    stream.flush()


def read(stream: IO[bytes]) -> tuple[dict[str, Any], list[bytes]] | None:
    """None at the end, also where a message is cut off."""
    line = stream.readline()
    if not line.endswith(b"\n"):
        return None
    message = json.loads(line)
    lengths = message.pop("files")
    files = [stream.read(length) for length in lengths]
    return (message, files) if [len(file) for file in files] == lengths else None


def write_batch(stream: IO[bytes], number: int, batch: Sequence[Asked]) -> None:
    asked = [
        {"benchmark": one.benchmark, "prompt": one.prompt, "metadata": dict(one.metadata), "sample": one.sample} for one in batch
    ]
    write(stream, {"id": number, "asked": asked}, [one.picture for one in batch])


def batch_of(message: dict[str, Any], files: Sequence[bytes]) -> list[Asked]:
    return [Asked(picture=file, pixels=0, **one) for one, file in zip(message["asked"], files, strict=True)]
