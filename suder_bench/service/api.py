"""What can be asked of the server: its own interface, and the shapes of two trainers' reward services.

| method and path | what it is |
|---|---|
| `GET /health`, `GET /v1/benchmarks` | how the workers are; what is judged, by which judges |
| `POST /v1/score` | pictures with prompts or metadata to rows: score, correct, reason, details |
| `POST /v1/prompts` | whether prompts can be judged, before anything is drawn for them |
| `POST /score`, `GET /rewards` | the same, as UniRL's reward service has it |
| `POST /compute` | the same, as Flow-Factory's reward server has it |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import nullcontext
from typing import Any

from suder_bench.runs.jsonl import Row
from suder_bench.service import asked as wire
from suder_bench.service.asked import Asked, FaultError, Refusal, document
from suder_bench.service.batching import Batching, FullError
from suder_bench.service.http import Handler, Server
from suder_bench.service.multipart import parts
from suder_bench.service.workers import Scores

REQUEST = "request"
"""The part of a multipart request that holds the JSON."""

RETRY = 5
"""Seconds until a worker that cannot be started is tried again."""


class Service(Server):
    """`offered` is what each of `workers` judges; `batching` hands them their pictures."""

    def __init__(self, address: tuple[str, int], *, token: str | None, most_body: int, most_held: int) -> None:
        super().__init__(address, Endpoints, token=token, most_body=most_body, most_held=most_held)
        self.offered: Mapping[str, dict[str, Any]] = {}
        self.workers: Sequence[Scores] = ()
        self.batching: Batching | None = None

    def open(self, offered: Sequence[dict[str, Any]], workers: Sequence[Scores], batching: Batching) -> None:
        """Answer from now on."""
        self.offered = {one["name"]: one for one in offered}
        self.workers, self.batching = workers, batching
        self.listen()


class Endpoints(Handler):
    server: Service

    def answer(self, method: str, path: str) -> Any:
        made = {
            ("GET", "/health"): self._health,
            ("GET", "/v1/benchmarks"): lambda: {"benchmarks": list(self.server.offered.values())},
            ("GET", "/rewards"): lambda: {"rewards": list(self.server.offered)},
            ("POST", "/v1/score"): self._score,
            ("POST", "/v1/prompts"): self._prompts,
            ("POST", "/score"): self._unirl,
            ("POST", "/compute"): self._flow_factory,
        }
        if (method, path) not in made:
            raise Refusal(404, "not_found", f"there is no {method} {path[:80]} here; see GET /v1/benchmarks")
        with self.server.holding(self.unread) if method == "POST" else nullcontext():
            return made[method, path]()

    def _health(self) -> dict[str, Any]:
        workers = [worker.told() for worker in self.server.workers]
        batching = self._batching()
        alive = sum(worker.alive for worker in self.server.workers)
        if not alive:
            raise Refusal(503, "no_worker", "no worker is alive; one is being started", wait=RETRY)
        counts = batching.counts
        return {
            "status": "ok" if alive == len(workers) else "degraded",
            "rewards": {name: ["ready"] * alive for name in self.server.offered},
            "workers": workers,
            "queue": {"waiting": batching.waiting, "most": batching.most, "under_way": batching.under_way},
            "pictures": {"judged": counts.judged, "failed": counts.failed, "given_up": counts.given_up},
        }

    def _score(self) -> dict[str, Any]:
        found, files = self._request()
        name = wire.benchmark(found, list(self.server.offered))
        listed = wire.items(found, "items", self._batching().most)
        rows = self._rows(wire.each(listed, lambda item: wire.asked(item, name, files)))
        offered = self.server.offered[name]
        told = {key: offered[key] for key in ("protocol", "judges", "fingerprint")}
        return {"benchmark": name, **told, "results": rows}

    def _prompts(self) -> dict[str, Any]:
        found = document(self._json())
        name = wire.benchmark(found, list(self.server.offered))
        listed = wire.items(found, "items", self._batching().most)
        rows = self._rows(wire.each(listed, lambda item: wire.question(item, name)))
        return {"benchmark": name, "results": rows}

    def _unirl(self) -> dict[str, Any]:
        """Of a request's turns the last counts, as UniRL's scorers of single pictures have it."""
        listed = wire.items(document(self._json()), "requests", self._batching().most)
        pairs = [(i, name) for i, item in enumerate(listed) for name in self._required(item)]
        if len(pairs) > self._batching().most:
            raise Refusal(413, "too_many_items", f"send {self._batching().most:,} pictures and rewards at most")
        rows = self._rows(wire.each(pairs, lambda pair: _of_turn(listed[pair[0]], pair[1])))
        results: list[dict[str, Any]] = [{} for _ in listed]
        errors: list[dict[str, str]] = [{} for _ in listed]
        for (i, name), row in zip(pairs, rows, strict=True):
            if "error" in row:
                errors[i][name] = f"{row['error']['code']}: {row['error']['message']}"
            else:
                results[i][name] = {name: row["score"]}  # alone: its clients may take the mean of what stands here
        return {"results": results, "errors": errors}

    def _flow_factory(self) -> dict[str, Any]:
        """All or nothing: its clients know of no error of a single picture."""
        found = document(self._json())
        extra = found.get("extra")
        name = wire.benchmark(extra if isinstance(extra, dict) else {}, list(self.server.offered))
        prompts, pictures = found.get("prompt"), found.get("image")
        if not (isinstance(prompts, list) and isinstance(pictures, list) and prompts and len(prompts) == len(pictures)):
            raise Refusal(400, "invalid_items", "prompt and image are lists of one length; videos are not judged here")
        if len(prompts) > self._batching().most:
            raise Refusal(413, "too_many_items", f"send {self._batching().most:,} pictures at most")
        pairs = list(zip(prompts, pictures, strict=True))
        rows = self._rows(wire.each(pairs, lambda pair: wire.one(name, wire.unpacked(pair[1]), pair[0], None)))
        lacking = FaultError("no_number", "it is not one right or wrong").row
        if failed := next((row.get("error", lacking["error"]) for row in rows if row.get("score") is None), None):
            raise Refusal(422, failed["code"], failed["message"])
        return {"rewards": [row["score"] for row in rows]}

    def _request(self) -> tuple[dict[str, Any], Mapping[str, bytes]]:
        """The JSON of a request, and the files that came along."""
        kind = self.headers.get("Content-Type") or ""
        if _media(kind) != "multipart/form-data":
            return document(self._json()), {}
        files = parts(self.body(), kind)
        if REQUEST not in files:
            raise Refusal(400, "invalid_multipart", f"no part '{REQUEST}' with the JSON of the request")
        return document(files.pop(REQUEST)), files

    def _json(self) -> bytes:
        if _media(self.headers.get("Content-Type") or "") != "application/json":
            raise Refusal(415, "unsupported_media_type", "send application/json")
        return self.body()

    def _required(self, item: Mapping[str, Any]) -> list[str]:
        named = item.get("required_rewards")
        if not isinstance(named, list) or not named:
            raise Refusal(400, "invalid_items", "required_rewards is no list of names, or an empty one")
        return [wire.benchmark({"benchmark": name}, list(self.server.offered)) for name in dict.fromkeys(map(str, named))]

    def _rows(self, found: Sequence[Asked | FaultError]) -> list[Row]:
        """A row for each, in order, once all are there."""
        good = [one for one in found if isinstance(one, Asked)]
        try:
            futures = iter(self._batching().put(good))
        except FullError as error:
            raise Refusal(429, "busy", str(error), wait=error.wait) from None
        made: list[Future[Row] | Row] = [one.row if isinstance(one, FaultError) else next(futures) for one in found]
        self.settled({one for one in made if isinstance(one, Future)})
        rows = [one.result() if isinstance(one, Future) else one for one in made]
        lost = [row["error"] for row in rows if row.get("error", {}).get("code") in ("no_worker", "closing")]
        if good and len(lost) == len(good):
            raise Refusal(503, lost[0]["code"], lost[0]["message"], wait=RETRY)
        return rows

    def _batching(self) -> Batching:
        assert self.server.batching is not None
        return self.server.batching


def _of_turn(item: Mapping[str, Any], name: str) -> Asked:
    turns = item.get("history")
    turn = turns[-1] if isinstance(turns, list) and turns else None
    if not isinstance(turn, dict) or turn.get("image_b64") is None:
        raise FaultError("invalid_picture", "the last turn of history has no image_b64; videos are not judged here")
    return wire.one(name, wire.unpacked(turn["image_b64"]), turn.get("text"), item.get("metadata"))


def _media(kind: str) -> str:
    return kind.partition(";")[0].strip().lower()
