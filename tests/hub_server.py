"""A small web server that stands in for the Hugging Face hub: the repositories it is given are folders on the disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

COMMIT = "c0ffee" + "0" * 34


@contextmanager
def hub_of(repositories: Mapping[str, Path]) -> Iterator[list[str]]:
    """Serves `{"ORG/NAME": folder}`; what the environment calls the hub's address is yielded first, then each path asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            path = self.path.partition("?")[0].removeprefix("/")
            for name, folder in repositories.items():
                if path == f"api/models/{name}" or path.startswith(f"api/models/{name}/revision/"):
                    names = [{"rfilename": str(file.relative_to(folder))} for file in _files(folder)]
                    return self.reply(json.dumps({"id": name, "sha": COMMIT, "siblings": names}).encode())
                if path.startswith(f"api/models/{name}/tree/"):
                    return self.reply(json.dumps([_entry(file, folder) for file in _files(folder)]).encode())
                if path.startswith(f"{name}/resolve/"):
                    file = folder.joinpath(*path.removeprefix(f"{name}/resolve/").split("/")[1:])
                    return self.reply(file.read_bytes(), file=file) if file.is_file() else self.absent("EntryNotFound")
            return self.absent("RepoNotFound")

        do_HEAD = do_GET

        def reply(self, content: bytes, file: Path | None = None) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json" if file is None else "application/octet-stream")
            self.send_header("Content-Length", str(len(content)))
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("ETag", f'"{hashlib.sha1(content).hexdigest()}"')
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        def absent(self, code: str) -> None:
            self.send_response(404)
            self.send_header("X-Error-Code", code)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    asked.append(f"http://127.0.0.1:{server.server_port}")
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file())


def _entry(file: Path, folder: Path) -> dict[str, object]:
    digest = hashlib.sha1(file.read_bytes()).hexdigest()
    return {"type": "file", "path": str(file.relative_to(folder)), "size": file.stat().st_size, "oid": digest}
