"""A small web server that stands in for the Hugging Face hub: the repositories it is given are folders on the disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

COMMIT = "c0ffee" + "0" * 34


@dataclass
class Hub:
    """How it behaves, which a test may change: `cut` bytes end each of the first answers with a file, with a `token` it lets
    nobody else in, and `commit` is its newest."""

    address: str = ""
    commit: str = COMMIT
    token: str = ""
    licence: str = ""
    cuts: list[int] = field(default_factory=list)
    asked: list[tuple[str, str | None]] = field(default_factory=list)


@contextmanager
def hub_of(repositories: Mapping[str, Path]) -> Iterator[list[str]]:
    """Serves `{"ORG/NAME": folder}`; what the environment calls the hub's address is yielded first, then each path asked for."""
    asked: list[str] = []
    with serving_hub(repositories, "models", asked) as hub:
        asked.insert(0, hub.address)
        yield asked


@contextmanager
def serving_hub(repositories: Mapping[str, Path], kind: str = "datasets", paths: list[str] | None = None) -> Iterator[Hub]:
    """Serves `{"ORG/NAME": folder}` as sets, or as models, whose files lie at another address."""
    hub, start = Hub(), "" if kind == "models" else f"{kind}/"

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            hub.asked.append((self.path, self.headers.get("Range")))
            if paths is not None:
                paths.append(self.path)
            path = self.path.partition("?")[0].removeprefix("/")
            if hub.token and self.headers.get("Authorization") != f"Bearer {hub.token}":
                return self.refused(401, "")
            for name, folder in repositories.items():
                if path == f"api/{kind}/{name}" or path.startswith(f"api/{kind}/{name}/revision/"):
                    wanted = path.partition("/revision/")[2]
                    told = {"id": name, "sha": wanted if len(wanted) == len(hub.commit) else hub.commit}
                    card = {"cardData": {"license": hub.licence}} if hub.licence else {}
                    names = [_sibling(file, folder) for file in _files(folder)]
                    return self.reply(json.dumps({**told, **card, "siblings": names}).encode())
                if path.startswith(f"api/{kind}/{name}/tree/"):
                    return self.reply(json.dumps([_entry(file, folder) for file in _files(folder)]).encode())
                if path.startswith(f"{start}{name}/resolve/"):
                    file = folder.joinpath(*path.removeprefix(f"{start}{name}/resolve/").split("/")[1:])
                    return self.reply(file.read_bytes(), file=file) if file.is_file() else self.refused(404, "EntryNotFound")
            return self.refused(404, "RepoNotFound")

        do_HEAD = do_GET

        def reply(self, content: bytes, file: Path | None = None) -> None:
            wanted = self.headers.get("Range") if file is not None else None
            begin = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
            self.send_response(206 if wanted else 200)
            if wanted:
                self.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
            self.send_header("Content-Type", "application/json" if file is None else "application/octet-stream")
            self.send_header("Content-Length", str(len(content) - begin))
            self.send_header("X-Repo-Commit", hub.commit)
            self.send_header("ETag", f'"{hashlib.sha1(content).hexdigest()}"')
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content[begin : hub.cuts.pop(0) if file is not None and hub.cuts else None])

        def refused(self, status: int, code: str) -> None:
            self.send_response(status)
            self.send_header("X-Error-Code", code)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.address = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file())


def _sibling(file: Path, folder: Path) -> dict[str, object]:
    """As the hub tells it with `blobs=true`: what is large has its sha256."""
    told: dict[str, object] = {"rfilename": str(file.relative_to(folder)), "size": file.stat().st_size}
    if file.suffix == ".parquet":
        told["lfs"] = {"sha256": hashlib.sha256(file.read_bytes()).hexdigest(), "size": told["size"], "pointerSize": 134}
    return told


def _entry(file: Path, folder: Path) -> dict[str, object]:
    digest = hashlib.sha1(file.read_bytes()).hexdigest()
    return {"type": "file", "path": str(file.relative_to(folder)), "size": file.stat().st_size, "oid": digest}
