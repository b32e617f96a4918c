"""Benchmarks whose judge sees, by a server: what it is sent about each picture, and what its replies come to."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from judge_server import Answer, Asked, said, serving, took
from PIL import Image

from suder_bench.cli import main
from suder_bench.data.source import Source
from suder_bench.remote.chat import data_uri
from suder_bench.runs.plan import build

LIKELY = {"Yes": 0.5, "yes": 0.25, " no": 0.125}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


def pictures(folder: Path, *names: str) -> Path:
    for shade, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 16), (shade, 0, 0)).save(folder / name)
    return folder


def scored(benchmark: str, folder: Path, role: str, url: str, capsys: pytest.CaptureFixture[str]) -> Mapping[str, Any]:
    words = ["--benchmark", benchmark, "--images", str(folder), "--data", "world", "--device", "cpu", "--no-known-answers"]
    assert main(["score", *words, "--judge", f"{role}=official:{url}#m", "--judge-concurrency", "8", "--json"]) == 0
    document: Mapping[str, Any] = json.loads(capsys.readouterr().out)
    return document


def first_token(asked: Asked, before: int) -> Answer:
    top = [{"token": token, "logprob": math.log(p)} for token, p in LIKELY.items()]
    choice = {"message": {"role": "assistant", "content": "Yes"}, "logprobs": {"content": [{"top_logprobs": top}]}}
    return took(Answer(body=json.dumps({"choices": [choice]}).encode()), (300, 1))


def test_geneval2_by_the_likeliest_tokens_of_a_server(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = pictures(tmp_path, "00000.png", "00001.png", "00002.png")
    with serving(first_token) as server:
        document = scored("geneval2", folder, "first-token", server.url, capsys)
    samples = build("geneval2", Source("world", size="quick").folder("geneval2", print, offline=True), "official").samples()[:3]
    questions = [one.truth["questions"] for one in samples]
    assert len(server.asked) == document["asked"]["first-token"]["requests"] == sum(map(len, questions))
    expected = [sum(0.75 for _, answer in own if answer == "Yes") / len(own) for own in questions]
    metrics = document["benchmarks"]["geneval2"]["metrics"]
    assert metrics["am"]["value"] == pytest.approx(100 * sum(expected) / 3)
    assert metrics["gm"]["value"] == 0  # no number is among the likeliest
    assert metrics["lower_bounds"]["value"] == 3
    assert {one.body["messages"][0]["content"][1]["text"] for one in server.asked} == {
        f"{question} Answer in one word." for own in questions for question, _ in own
    }


def test_reasonbench_by_conversations_with_a_server(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = pictures(tmp_path, "idiom_interpretation/0001.png", "textual_image_design/0001.png")
    names = {data_uri(Image.open(file).convert("RGB")): file.parent.name for file in folder.glob("*/0001.png")}

    def talker(asked: Asked, before: int) -> Answer:
        turns = asked.body["messages"]
        shown = names[turns[0]["content"][0]["image_url"]["url"]]
        if len(turns) == 1:
            return took(said(f"It shows {shown}."), (300, 5))
        well = [turn["role"] for turn in turns] == ["user", "assistant", "user"] and turns[1]["content"] == f"It shows {shown}."
        scores = '{"reason": ["so"], "score": [1, "0.5"]}' if well and shown == "idiom_interpretation" else "I cannot tell."
        return took(said(scores), (400, 9))

    with serving(talker) as server:
        document = scored("t2i-reasonbench", folder, "mllm", server.url, capsys)
    metrics = document["benchmarks"]["t2i-reasonbench"]["metrics"]
    assert (metrics["idiom"]["value"], metrics["unparsed"]["value"], metrics["strict"]["value"]) == (75, 1, 37.5)
    assert len(server.asked) == document["asked"]["mllm"]["requests"] == 2 * (1 + 2)
    assert document["asked"]["mllm"]["input_tokens"] == 2 * 300 + 4 * 400
