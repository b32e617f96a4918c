"""How long a scoring by a judge behind an address takes: python tests/bench/bench_judges.py [--items 800] [--questions 3].

A server in a process of its own replies after 200 ms to each request, as many as come. A benchmark of `--items` pictures asks
it `--questions` questions about each, by `suder_bench.runs.score.judge` with the judge of the role "mllm", `--at-once` requests
under way and replies kept as in a run folder; beside it a bare asyncio loop sends as many bodies over kept connections and does
nothing with the replies. Ideal is items x questions x delay / at once. With `--turns` one question is asked after the other, as
in a conversation; else all questions about a picture go out together. With it: how much of a picture the vision encoder of a
judge in this process reads for the first tokens of as many questions, one by one and together, on a small random Qwen2.5-VL. The
last line is one JSON document.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
from PIL import Image
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1]))
from models.vlm.tiny_vlm import WRITERS

from suder_bench.evaluators.judges.endpoint import Endpoint
from suder_bench.evaluators.judges.protocols import PictureTalker, Talk
from suder_bench.models.vlm.model import VlmModel
from suder_bench.records import Answered, Response, Sample, Verdict
from suder_bench.remote.books import Books
from suder_bench.runs.batches import BatchSize
from suder_bench.runs.jsonl import Ledger
from suder_bench.runs.judges import Panel
from suder_bench.runs.score import judge
from suder_bench.runs.screen import Screen
from suder_bench.terms import Terms

REPLY = json.dumps(
    {
        "choices": [{"message": {"role": "assistant", "content": '{"score": [1, 0.5]}'}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 900, "completion_tokens": 12},
    }
).encode()


class Questions:
    """Asks so many questions about each picture."""

    name, kind, repeats, headline = "questions", "generation", 1, "score"
    judge_roles = ("mllm",)

    def __init__(self, count: int, *, turns: bool) -> None:
        self.count, self.turns = count, turns

    def verdicts(self, answered: Sequence[Answered], judges: Mapping[str, PictureTalker]) -> Iterator[Verdict]:
        for one in answered:
            picture = one.open_image()
            talks = [Talk(picture, (f"{one.sample.id}: question {i}?",)) for i in range(self.count)]
            groups = [[talk] for talk in talks] if self.turns else [talks]
            replies = [reply for group in groups for reply in judges["mllm"].reply(group, max_tokens=32)]
            score = float(np.mean([json.loads(reply)["score"] for reply in replies]))
            yield Verdict(self.name, one.sample.id, 0, one.response.digest, {"score": score}, None, "as replied")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=800)
    parser.add_argument("--questions", type=int, default=3)
    parser.add_argument("--delay", type=float, default=0.2)
    parser.add_argument("--at-once", type=int, default=32)
    parser.add_argument("--side", type=int, default=256, help="pixels of a picture")
    parser.add_argument("--turns", action="store_true", help="one question after the other")
    given = parser.parse_args(argv)
    ideal = given.items * given.questions * given.delay / given.at_once
    with tempfile.TemporaryDirectory() as folder, serving(given.delay) as url:
        pictures = drawn(Path(folder), given.items, given.side)
        measured = {}
        for name, do in (("ours", ours), ("bare", bare)):
            begun, busy = time.perf_counter(), time.process_time()
            do(url, pictures, given, Path(folder))
            measured[name] = time.perf_counter() - begun
            measured[f"{name}_cpu"] = time.process_time() - busy
        looks = looked(Path(folder) / "qwen", given.questions)
    result = {
        **{name: getattr(given, name) for name in ("items", "questions", "delay", "at_once", "side", "turns")},
        "ideal": ideal,
        **{name: round(value, 3) for name, value in measured.items()},
        "ours_to_ideal": round(measured["ours"] / ideal, 3),
        "bare_to_ideal": round(measured["bare"] / ideal, 3),
        **looks,
    }
    print(
        f"ideal {ideal:.1f} s, ours {measured['ours']:.1f} ({result['ours_to_ideal']}), a bare loop {measured['bare']:.1f}"
        f" ({result['bare_to_ideal']}); looks at a picture for {given.questions} questions {looks}"
    )
    print(json.dumps(result))
    return 0


def ours(url: str, pictures: Sequence[Path], given: argparse.Namespace, folder: Path) -> None:
    asked = Endpoint(url, "m", None, role="mllm", terms=Terms(at_once=given.at_once))
    books = Books(Ledger(folder / "replies"))
    asked.enter(books)
    answered = [
        Answered(Sample(str(i), str(i), "x"), Response("questions", str(i), 0, seed=0, digest=""), file)
        for i, file in enumerate(pictures)
    ]
    kept: list[Verdict] = []
    benchmark: Any = Questions(given.questions, turns=given.turns)
    panel = Panel({"mllm": asked}, {}, books=books)
    judged = judge(benchmark, answered, panel, keep=kept.extend, size=BatchSize(), screen=Screen(io.StringIO()))
    assert (judged.failed, len(kept)) == (0, len(pictures))
    assert books.totals()["mllm"]["requests"] == len(pictures) * given.questions


def bare(url: str, pictures: Sequence[Path], given: argparse.Namespace, folder: Path) -> None:
    """The same requests, encoded as ours are, by a semaphore and one client."""
    from suder_bench.remote.chat import data_uri

    async def one(client: httpx2.AsyncClient, places: asyncio.Semaphore, picture: str, text: str) -> None:
        content = [{"type": "image_url", "image_url": {"url": picture}}, {"type": "text", "text": text}]
        body = {"model": "m", "messages": [{"role": "user", "content": content}], "temperature": 0, "max_tokens": 32}
        async with places:
            reply = await client.post(f"{url}/chat/completions", content=json.dumps(body).encode())
        assert json.loads(reply.content)["choices"]

    async def item(client: httpx2.AsyncClient, places: asyncio.Semaphore, file: Path) -> None:
        shown = data_uri(Image.open(file).convert("RGB"))
        await asyncio.gather(*(one(client, places, shown, f"question {i}?") for i in range(given.questions)))

    async def everything() -> None:
        places, items = asyncio.Semaphore(given.at_once), asyncio.Semaphore(2 * given.at_once)

        async def bounded(client: httpx2.AsyncClient, file: Path) -> None:
            async with items:  # else all pictures would be in memory
                await item(client, places, file)

        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=given.at_once)
        async with httpx2.AsyncClient(timeout=None, limits=limits) as client:
            await asyncio.gather(*(bounded(client, file) for file in pictures))

    asyncio.run(everything())


def looked(folder: Path, questions: int) -> dict[str, int]:
    """Patches of one picture that the vision encoder's first layer reads, for all questions one by one, and together."""
    folder.mkdir()
    model = VlmModel.load(str(WRITERS["qwen2_5_vl"](folder)))
    layer = next(part for part in model.model.get_encoder(modality="image").modules() if isinstance(part, nn.Conv3d))
    seen: list[int] = []
    layer.register_forward_pre_hook(lambda module, given: seen.append(len(given[0])))
    picture, asked = Image.new("RGB", (42, 42), "red"), [f"Question {i}?" for i in range(questions)]
    for question in asked:
        model.first_tokens([picture], [question], [["yes"]])
    alone = sum(seen)
    seen.clear()
    model.first_tokens([picture] * questions, asked, [["yes"]] * questions)
    return {"patches_one_by_one": alone, "patches_together": sum(seen)}


def drawn(folder: Path, count: int, side: int) -> list[Path]:
    rng = np.random.default_rng(0)
    files = [folder / f"{i:05d}.png" for i in range(count)]
    for file in files:
        coarse = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        coarse.resize((side, side), Image.Resampling.NEAREST).save(file)
    return files


@contextmanager
def serving(delay: float) -> Iterator[str]:
    """The address of a server that replies `delay` seconds after each request, however many there are."""
    context = multiprocessing.get_context("fork")  # no thread has begun yet
    here, there = context.Pipe()
    process = context.Process(target=serve, args=(there, delay), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{here.recv()}/v1"
    finally:
        process.terminate()
        process.join()


def serve(there: Connection, delay: float) -> None:
    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(REPLY)
        try:
            while header := await reader.readuntil(b"\r\n\r\n"):
                fields = dict(line.lower().split(b": ", 1) for line in header.split(b"\r\n")[1:] if b": " in line)
                await reader.readexactly(int(fields[b"content-length"]))
                await asyncio.sleep(delay)
                writer.write(head + REPLY)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def forever() -> None:
        server = await asyncio.start_server(reply, "127.0.0.1", 0)
        there.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(forever())


if __name__ == "__main__":
    sys.exit(main())
