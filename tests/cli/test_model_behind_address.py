"""A whole run of a model behind an address, through the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from models.openai.openai_server import Answer, Asked, drawn, models, refused, said, server_of
from PIL import Image
from standalone.served import SMALL, serving

from suder_bench import cli

KEY = "sk-0123456789abcdef-secret"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY", "SUDER_BENCH_MODEL_KEY", "http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def run(model: str, *words: str) -> int:
    return cli.main(["run", "--model", model, "--data", "world", "--limit", "2", "--device", "cpu", "--out", "r", *words])


def written(name: str) -> Any:
    return json.loads(Path("r", name).read_text())


def test_a_model_of_a_script_runs_all_benchmarks_and_is_not_asked_again(capsys: pytest.CaptureFixture[str]) -> None:
    with serving() as reference:
        assert run(reference, "--suite", "all") == 0
        recipe = written("run.json")
        assert recipe["sampling"]["image"]["guidance"] is None
        assert recipe["model"]["settings"]["seed of answers"] == "not controlled"
        assert set(written("summary.json")["benchmarks"]) == set(recipe["benchmarks"])
        assert all(entry["failed"] == 0 == entry["skipped"] for entry in written("summary.json")["benchmarks"].values())
    assert run(reference, "--suite", "all") == 0  # the server is gone, and nothing is left to be asked


def test_the_same_script_behind_another_port_goes_on() -> None:
    with serving() as reference:
        assert run(reference, "--benchmark", "pope", "--stage", "respond") == 0
    with serving() as reference:
        assert run(reference, "--benchmark", "pope", "--stage", "respond", "--limit", "3") == 0


def test_what_a_model_cannot_do_is_refused_before_anything_is_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = tmp_path / "reader.py"
    script.write_text("def answer(images, question):\n    return 'yes'\n")
    with serving(script) as reference:
        assert run(reference, "--suite", "all") == 2
        assert "draws no pictures, which geneval asks for; choose --suite und" in capsys.readouterr().err
        assert not Path("r").exists()
        assert run(reference, "--benchmark", "pope") == 0


def test_refusals_count_as_failures_and_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    policy = Answer(400, json.dumps({"error": {"message": "no", "code": "content_policy_violation"}}).encode())
    asked: list[str] = []

    def draw(request: Asked) -> Answer:
        asked.append(request.body["prompt"])
        return policy if request.body["prompt"] == asked[0] else drawn(revised_prompt="a better prompt")

    with server_of({"/images/generations": draw}) as server:
        assert run(f"openai:m@{server.url}#concurrency=1", "--benchmark", "geneval", "--repeats", "1") == 1
    told = capsys.readouterr().err
    assert told.count("failed: geneval") == 1
    assert "model m refuses this request (HTTP 400 " in told
    entry = written("summary.json")["benchmarks"]["geneval"]
    assert (entry["failed"], entry["n_responses"]) == (1, 1)
    [kept] = Path("r/images").rglob("*.png")
    assert Image.open(kept).text["revised_prompt"] == "a better prompt"  # type: ignore[attr-defined]
    assert sorted(asked) == sorted(set(asked))


def test_the_key_goes_to_the_model_s_address_and_to_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDER_BENCH_MODEL_KEY", KEY)
    with server_of({"": said("yes")}, {}) as other:
        away: Callable[[Asked], Answer] = lambda asked: Answer(307, headers={"Location": other.url + "/chat/completions"})  # noqa: E731
        replies = {"/models": models("m"), "/chat/completions": away}
        with server_of(replies) as first:
            assert run(f"openai:m@{first.url}", "--benchmark", "pope") == 1
            assert first.keys == {f"Bearer {KEY}"}
        assert other.asked == []
    kept = b"".join(path.read_bytes() for path in Path("r").rglob("*") if path.is_file())
    assert KEY.encode() not in kept


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("openai:gpt", "is not openai:MODEL@URL"),
        ("openai:gpt@http://127.0.0.1:9/v1", "gave no reply in 4 tries"),
        ("openai:gpt@http://me:word@a/v1", "holds a user or password"),
    ],
)
def test_a_model_that_is_none_is_one_line(model: str, says: str, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    from suder_bench.remote import client

    async def at_once(seconds: float) -> None: ...

    monkeypatch.setattr(client.anyio, "sleep", at_once)
    assert run(model, "--suite", "und") in (1, 2)
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("suder-bench: model")
    assert says in line
    assert not Path("r").exists()


def test_a_model_that_takes_no_such_setting_says_how_to_leave_it_out(capsys: pytest.CaptureFixture[str]) -> None:
    with server_of({"/chat/completions": refused(400, "Unsupported parameter: 'max_tokens'")}) as server:
        assert run(f"openai:m@{server.url}", "--benchmark", "pope") == 1
    assert "#chat.max_tokens=null" in capsys.readouterr().err


def test_the_list_has_it_and_the_script_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert SMALL.is_file()
    assert cli.main(["list", "models", "--json"]) == 0
    assert "behind an address" in json.loads(capsys.readouterr().out)["models"]["openai:REFERENCE"]
