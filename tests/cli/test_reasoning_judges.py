"""GenEval 2, WISE and T2I-ReasonBench by judges behind an address and in this process: numbers, and what is no verdict."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from judge_server import Answer, Asked, refused, said, serving, sleeping
from models.vlm.tiny_vlm import WRITERS
from PIL import Image

from suder_bench import cli
from suder_bench.data.source import write_world


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_BASE_URL", "SUDER_BENCH_LLM", "OPENAI_API_KEY", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    sleeping(monkeypatch)


def words(asked: Asked) -> str:
    """The text beside the picture of the last turn."""
    content = asked.body["messages"][-1]["content"]
    return content if isinstance(content, str) else next(part["text"] for part in content if part["type"] == "text")


def likely(**told: float) -> Answer:
    """A first token's likeliest alternatives."""
    tokens = [{"token": token, "logprob": math.log(p)} for token, p in told.items()]
    choice = {
        "message": {"role": "assistant", "content": "Yes"},
        "finish_reason": "length",
        "logprobs": {"content": [{"token": "Yes", "logprob": 0.0, "top_logprobs": tokens}]},
    }
    return Answer(body=json.dumps({"choices": [choice]}).encode())


def score(tmp_path: Path, benchmark: str, names: list[str], *words: str) -> tuple[int, dict[str, Any]]:
    """Exit status and summary of red pictures of these names."""
    data, made, out = tmp_path / "data", tmp_path / "made", tmp_path / "summary.json"
    if not data.exists():
        write_world(data, size="quick", benchmarks=[benchmark])
    for name in names:
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (42, 42), "red").save(made / name)
    asked = ["--benchmark", benchmark, "--images", str(made), "--data", str(data), "--out", str(out), *words]
    status = cli.main(["score", *asked])
    return status, json.loads(out.read_text())["benchmarks"][benchmark]


def values(entry: Mapping[str, Any]) -> dict[str, float]:
    return {name: metric["value"] for name, metric in entry["metrics"].items()}


def test_first_tokens_of_a_server_are_lower_bounds_and_trouble_fails_its_picture_alone(tmp_path: Path) -> None:
    """Three pictures: two that are judged, though the server is too busy at first, and one whose questions bring garbage."""
    rows = {}

    def reply(asked: Asked, before: int) -> Answer:
        question = words(asked)
        if before == 2:  # after the known answers
            return refused(429, "slow down", Retry_After="0")
        if "picture" in question:
            return likely(Yes=0.9, No=0.1) if "red" in question else likely(Yes=0.1, No=0.9)
        if any(question.startswith(own) for own, _ in rows["00002"]):
            return Answer(body=b"\x00garbage")
        return likely(two=0.25, Two=0.125, seven=0.5) if question.startswith("How many") else likely(Yes=0.5, yes=0.25)

    write_world(tmp_path / "data", size="quick", benchmarks=["geneval2"])
    lines = (tmp_path / "data/geneval2/geneval2_data.jsonl").read_text().splitlines()
    rows |= {
        f"{i:05d}": [(question, answer) for question, answer in json.loads(line)["vqa_list"]] for i, line in enumerate(lines[:3])
    }
    asked_of_others = {question for name in ("00000", "00001") for question, _ in rows[name]}
    rows["00002"] = [pair for pair in rows["00002"] if pair[0] not in asked_of_others]
    assert rows["00002"]
    with serving(reply) as server:
        status, entry = score(
            tmp_path, "geneval2", [f"{name}.png" for name in rows], "--judge", f"first-token=official:{server.url}#m"
        )
    assert status == 1
    assert (entry["n_responses"], entry["failed"]) == (2, 1)
    scores = [
        [0.375 if answer == "two" else 0.0 if answer != "Yes" else 0.75 for _, answer in rows[name]]
        for name in ("00000", "00001")
    ]
    found = values(entry)
    assert found["am"] == pytest.approx(100 * sum(sum(own) / len(own) for own in scores) / 2)
    assert found["gm"] == pytest.approx(100 * sum(math.prod(own) ** (1 / len(own)) for own in scores) / 2)
    assert found["lower_bounds"] == 2
    assert {name: entry["judges"]["first-token"][name] for name in ("backend", "exact")} == {"backend": "m", "exact": False}


def test_a_checkpoint_in_this_process_gives_geneval2_whole_probabilities(tmp_path: Path) -> None:
    folder = WRITERS["qwen2_5_vl"](tmp_path / "qwen")
    found = {}
    for protocol in ("official", "fixed"):
        status, entry = score(
            tmp_path, "geneval2", ["00000.png"], "--protocol", protocol,
            "--judge", f"first-token=vlm:{folder}", "--no-known-answers",
        )  # fmt: skip
        assert (status, entry["n_responses"]) == (0, 1)
        found[protocol] = values(entry)
    assert 0 < found["fixed"]["fixed/am"] <= found["official"]["am"] + 1e-9
    assert "lower_bounds" not in found["official"]


def rater(asked: Asked) -> Answer | None:
    """What a judge of pictures knows: its known answers."""
    return said(f'{{"score": {90 if "plain red" in words(asked) else 10}}}') if "plain" in words(asked) else None


def test_wise_counts_what_cannot_be_read_and_what_is_refused(tmp_path: Path) -> None:
    counted: Counter[str] = Counter()

    def reply(asked: Asked, before: int) -> Answer:
        prompt = words(asked).split('"')[1] if '"' in words(asked) else ""
        counted[prompt] += 1
        return rater(asked) or replies.get(prompt, said("Score: 1"))

    write_world(tmp_path / "data", size="quick", benchmarks=["wise-verified"])
    (file,) = (tmp_path / "data/wise_verified/data_verified").glob("cultural*.json")
    prompts = {row["prompt_id"]: row["Prompt"] for row in json.loads(file.read_text())}
    replies = {prompts[1]: said("Score: 0"), prompts[2]: said("Hard to say."), prompts[3]: said(None, refusal="No.")}
    with serving(reply) as server:
        status, entry = score(
            tmp_path, "wise-verified", [f"{n}.png" for n in (1, 2, 3, 4)], "--judge", f"mllm=official:{server.url}#m"
        )
    assert status == 1  # something failed
    assert (entry["n_responses"], entry["failed"], entry["skipped"]) == (3, 1, 56)
    found = values(entry)
    assert (found["culture"], found["overall"], found["unparsed"]) == (0.5, 0.5, 1)
    assert found["strict"] == pytest.approx(1 / 3)
    assert entry["metrics"]["overall"]["without"] == ["time", "space", "biology", "physics", "chemistry"]
    assert (counted[prompts[2]], counted[prompts[4]]) == (3, 1)


def test_reasonbench_asks_in_turns_and_a_thought_is_not_judged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    turns: list[list[str]] = []

    def reply(asked: Asked, before: int) -> Answer:
        if (known := rater(asked)) is not None:
            return known
        turns.append([one["role"] for one in asked.body["messages"]])
        if len(turns[-1]) == 1:
            return said("<think>A red square.</think>A plain red picture.")
        assert asked.body["messages"][1]["content"] == "A plain red picture."
        return said('{"reason": ["}"], "score": [1]}' if "quality" in first_key(asked) else '```json\n{"score": ["1", 0.5]}\n```')

    def first_key(asked: Asked) -> str:
        return "quality" if "everything is clear" in words(asked) else "reason"

    with serving(reply) as server:
        status, entry = score(
            tmp_path, "t2i-reasonbench", ["idiom_interpretation/0001.png"], "--judge", f"mllm=official:{server.url}#m"
        )
    assert status == 0
    assert sorted(map(len, turns)) == [1, 3, 3]
    found = values(entry)
    assert (found["unparsed"], found["strict"], found["idiom"]) == (1, 0, None)  # the bracket in the reason ends the object
    assert "1 unparsed" in capsys.readouterr().out
