"""`suder-bench serve` in a process of its own, on a free port; and how its callers speak with it."""

from __future__ import annotations

import base64
import http.client
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from PIL import Image

CALL = "import sys; from suder_bench.cli import main; sys.exit(main(sys.argv[1:]))"


@dataclass
class Served:
    url: str
    process: subprocess.Popen[str]

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any, dict[str, str]]:
        """Status, JSON document and headers (by lower-case name) of a reply."""
        kind = {"Content-Type": "application/json"} if isinstance(body, dict | list) else {}
        sent = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        place = urlsplit(self.url).netloc
        connection = http.client.HTTPConnection(place, timeout=60)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, sent, {**kind, **named})
            reply = connection.getresponse()
            return reply.status, json.loads(reply.read()), {name.lower(): value for name, value in reply.getheaders()}
        finally:
            connection.close()

    def score(self, *items: dict[str, Any], **more: Any) -> Any:
        status, document, _ = self.ask("POST", "/v1/score", {"items": list(items), **more})
        assert status == 200, document
        return document


@contextmanager
def serving(*words: str, **environment: str) -> Iterator[Served]:
    command = [sys.executable, "-c", CALL, "serve", "--port", "0", *words]
    told = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=told) as process:
        try:
            assert process.stdout is not None
            assert process.stderr is not None
            line = process.stdout.readline()
            assert line, process.stderr.read()
            yield Served(line.split()[0], process)
        finally:
            process.terminate()
            process.communicate(timeout=30)


def png(picture: Image.Image | Path) -> bytes:
    if isinstance(picture, Path):
        return picture.read_bytes()
    content = io.BytesIO()
    picture.save(content, "PNG")
    return content.getvalue()


def text(encoded: bytes) -> str:
    return base64.b64encode(encoded).decode()
