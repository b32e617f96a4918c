"""Judges behind an address on the command line: who gets the key, how they are asked, and that nothing is paid for twice."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from fakes import ShadeJudge
from judge_server import KNOWN, Answer, Asked, able, refused, said, serving, sleeping, took, write_questions

from suder_bench import cli
from suder_bench.runs.jsonl import Ledger
from suder_bench.terms import AT_ONCE

pytestmark = pytest.mark.usefixtures("fakes")
KEY = "sk-0123456789abcdef-secret"
COUNT = 24


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("OPENAI_BASE_URL", "SUDER_BENCH_LLM", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    write_questions(tmp_path / "data", COUNT)


def run(tmp_path: Path, url: str, *words: str, count: int = COUNT) -> int:
    asked = ["--benchmark", "llavabench", "--data", str(tmp_path / "data"), "--limit", str(count), "--out", str(tmp_path / "run")]
    return cli.main(["run", "--model", "fake:right", *asked, "--judge", f"llm=official:{url}#m", *words])


def score(tmp_path: Path, *words: str) -> int:
    return cli.main(["score", str(tmp_path / "run"), *words])


def verdicts(tmp_path: Path) -> list[dict[str, Any]]:
    return Ledger(tmp_path / "run/verdicts/llavabench").rows()


def recipe(tmp_path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((tmp_path / "run/run.json").read_text())
    return found


def all_but(bad: str, answer: Answer) -> Callable[[Asked, int], Answer]:
    """A judge that does its work but for prompts with `bad` in them."""
    return lambda asked, before: answer if bad in asked.prompt else able(asked, before)


def test_an_address_that_stands_in_a_run_folder_gets_no_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(able) as mine, serving(able) as foreign:
        assert run(tmp_path, mine.url, "--stage", "respond") == 0
        file = tmp_path / "run/run.json"
        file.write_text(file.read_text().replace(mine.url, foreign.url))
        assert score(tmp_path) == 0
        assert (foreign.keys, mine.asked) == ({None}, [])
        line = f"suder-bench: judge llm: OPENAI_API_KEY is not sent to {foreign.url}, because this command does not name"
        assert [one for one in capsys.readouterr().err.splitlines() if one.startswith(line)]
        assert score(tmp_path, "--judge", f"llm=official:{mine.url}#m") == 0
        assert (foreign.keys, mine.keys) == ({None}, {f"Bearer {KEY}"})


def test_the_address_in_the_environment_gets_the_key_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(able) as server:
        assert run(tmp_path, server.url, "--stage", "respond") == 0
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        assert score(tmp_path) == 0
        assert server.keys == {f"Bearer {KEY}"}


def test_no_second_server_hears_of_a_redirect(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(able) as other:
        moved = Answer(302, headers={"Location": f"{other.url}/chat/completions"})
        with serving(lambda asked, before: moved) as first:
            assert run(tmp_path, first.url) == 1
            assert (len(first.asked), other.asked, verdicts(tmp_path)) == (1, [], [])
    told = capsys.readouterr().err
    assert "no redirect is followed" in told
    assert KEY not in told


def test_an_echoed_key_is_nowhere_in_the_run_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def echo(asked: Asked, before: int) -> Answer:
        return able(asked, before) if before < KNOWN else said(f"8 4\nYou sent {asked.key}.")

    with serving(echo) as server:
        assert run(tmp_path, server.url, count=2) == 0
    assert [row["details"]["review"] for row in verdicts(tmp_path)] == ["8 4\nYou sent Bearer [key]."] * 2
    assert not [file for file in tmp_path.rglob("*") if file.is_file() and KEY.encode() in file.read_bytes()]
    assert KEY not in "".join(capsys.readouterr())


def test_settings_are_sent_recorded_and_kept_for_the_next_scoring(tmp_path: Path) -> None:
    given = [
        "--judge-args",
        "llm.max_tokens=null",
        "--judge-args",
        "llm.max_completion_tokens=512",
        "--judge-args",
        "llm.tier=flex",
    ]
    with serving(able) as server:
        assert run(tmp_path, server.url, *given, count=2) == 0
        sent = {"max_completion_tokens": 512, "temperature": 0.2, "tier": "flex"}
        reviews = [one.body for one in server.asked if "temperature" in one.body]
        assert len(reviews) == 4
        assert all({**sent, "model": "m", "messages": body["messages"]} == body for body in reviews)
        assert recipe(tmp_path)["judge_args"] == {"llm": {"max_tokens": None, "max_completion_tokens": 512, "tier": "flex"}}
        first = recipe(tmp_path)["judges"]["llavabench"]["llm"]["fingerprint"]
        assert score(tmp_path, "--judge-args", "llm.tier=null") == 0
        assert "tier" not in server.asked[-1].body
        assert server.asked[-1].body["max_completion_tokens"] == 512
        assert recipe(tmp_path)["judges"]["llavabench"]["llm"]["fingerprint"] != first


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--judge-args", "llm.temperature"], "--judge-args 'llm.temperature' is not ROLE.SETTING=VALUE"),
        (["--judge-args", "temperature=0"], "is not ROLE.SETTING=VALUE"),
        (["--judge-args", "llm.model=other"], "--judge-args: llm.model cannot be set"),
        (["--judge-args", "llm.stream=true"], "--judge-args: llm.stream cannot be set"),
        (["--judge-args", "mllm.seed=1"], "--judge-args mllm.seed is not used: the chosen benchmarks ask llm; leave it out"),
        (["--judge-timeout", "0"], "argument --judge-timeout: '0' is not a number above 0"),
        (["--judge-concurrency", "0"], "argument --judge-concurrency: '0' is not a positive whole number"),
        (["--judge-timeout", "inf"], "'inf' is not a number from 0 on"),
    ],
)
def test_settings_that_cannot_be_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    assert run(tmp_path, "http://127.0.0.1:9/v1", *words) == 2
    *_, line = capsys.readouterr().err.splitlines()  # what was read may be told before
    assert told in line


def test_a_judge_on_this_machine_takes_no_settings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--model", "fake:right", "--benchmark", "drawing", "--data", str(tmp_path / "data"), "--out", str(tmp_path / "run")]
    assert cli.main(["run", *words, "--judge-args", "shade.seed=1"]) == 2
    assert "judge shade=official takes no settings; leave out --judge-args shade.seed" in capsys.readouterr().err


@pytest.mark.parametrize("stored", [[], "llm", {"llm": 3}, {"llm": {"model": "other"}}])
def test_settings_in_a_damaged_run_json_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], stored: object) -> None:
    assert run(tmp_path, "http://127.0.0.1:9/v1", "--stage", "respond") == 0
    (tmp_path / "run/run.json").write_text(json.dumps(recipe(tmp_path) | {"judge_args": stored}))
    capsys.readouterr()
    assert score(tmp_path) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"suder-bench: {tmp_path / 'run/run.json'}")
    assert "judge_args" in line


def test_a_slow_reply_fails_its_own_response_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(all_but("Which shade, 3?", Answer(200, said("8 4").body, drip=0.5))) as server:
        assert run(tmp_path, server.url, "--judge-timeout", "1", count=8) == 1
        assert len(server.asked) == KNOWN + 8
    assert len(verdicts(tmp_path)) == 7
    told = capsys.readouterr().err
    assert "gave no whole reply in 1 s; give more with --judge-timeout" in told


def test_a_kill_loses_no_reply_that_came(tmp_path: Path) -> None:
    assert run(tmp_path, "http://127.0.0.1:9/v1", "--stage", "respond") == 0
    process: subprocess.Popen[bytes] | None = None

    def reply(asked: Asked, before: int) -> Answer:
        if before == KNOWN + 16:
            assert process is not None
            process.send_signal(signal.SIGKILL)
            process.wait()
        return able(asked, before)

    with serving(reply) as server:
        command = [sys.executable, "-m", "suder_bench", "score", str(tmp_path / "run"), "--judge", f"llm=official:{server.url}#m"]
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        process.wait(60)
        assert process.returncode == -signal.SIGKILL
        judged, came = len(verdicts(tmp_path)), len(Ledger(tmp_path / "run/replies").rows()) - KNOWN
        assert judged <= came
        assert came >= 16 - AT_ONCE  # all but what was under way
        asked = len(server.asked)
        assert run(tmp_path, server.url) == 0
        assert len(server.asked) - asked == COUNT - came  # a reply without a verdict is no less paid for
        assert len(verdicts(tmp_path)) == COUNT


def test_known_answers_are_asked_once_per_judge_and_run_folder(tmp_path: Path) -> None:
    with serving(able) as server:
        assert run(tmp_path, server.url, count=8) == 0
        assert len(server.asked) == KNOWN + 8
        assert run(tmp_path, server.url) == 0
        assert len(server.asked) == KNOWN + COUNT
        assert run(tmp_path, server.url, "--judge-args", "llm.seed=1") == 0  # another judge
        assert len(server.asked) == 2 * (KNOWN + COUNT)
        assert run(tmp_path, server.url, "--fresh", count=8) == 0
        assert len(server.asked) == 2 * (KNOWN + COUNT) + KNOWN + 8


def test_a_judge_with_nothing_left_to_judge_is_not_asked_at_all(tmp_path: Path) -> None:
    with serving(able) as server:
        assert run(tmp_path, server.url, count=8) == 0
    assert run(tmp_path, server.url, count=8) == 0  # its server is gone
    assert score(tmp_path) == 0


def test_known_answers_that_were_wrong_are_asked_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(all_but("[Context]\nA red ball.", said("9 9"))) as server:
        for _ in range(2):
            assert run(tmp_path, server.url, count=8) == 1
            assert "fails its known answers, nothing was scored" in capsys.readouterr().err
        assert len(server.asked) == 4
    assert verdicts(tmp_path) == []


def test_a_judge_on_this_machine_is_asked_once_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checks: list[str] = []
    monkeypatch.setattr(ShadeJudge, "check", lambda self: checks.append(self.fingerprint))
    words = ["--model", "fake:right", "--benchmark", "drawing", "--data", str(tmp_path / "data"), "--out", str(tmp_path / "run")]
    assert cli.main(["run", *words, "--limit", "6"]) == 0
    assert cli.main(["run", *words]) == 0
    assert checks == ["shade 1"]
    monkeypatch.setattr(ShadeJudge, "fingerprint", "shade 2")
    assert cli.main(["run", *words]) == 0
    assert checks == ["shade 1", "shade 2"]


def test_a_refused_request_is_sent_once_and_a_failing_one_four_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sleeping(monkeypatch)
    with serving(all_but("Which shade, 3?", refused(400, "Not this one"))) as server:
        assert run(tmp_path, server.url) == 1
        counts = Counter(one.prompt for one in server.asked)
        assert set(counts.values()) == {1}
        assert len(verdicts(tmp_path)) == COUNT - 1
        assert "failed: llavabench score of 3, repeat 0" in capsys.readouterr().err
    with serving(all_but("Which shade, 3?", said(None))) as server:
        assert run(tmp_path, server.url, "--fresh") == 1
        counts = Counter(one.prompt for one in server.asked)
        assert [count for prompt, count in counts.items() if "Which shade, 3?" in prompt] == [4]
        assert sum(counts.values()) == KNOWN + COUNT - 1 + 4


def test_answers_made_elsewhere_are_asked_about_one_by_one(tmp_path: Path) -> None:
    answers = tmp_path / "answers.jsonl"
    answers.write_text("".join(f'{{"question_id": {i}, "text": "It is 40."}}\n' for i in range(COUNT)))
    words = ["--benchmark", "llavabench", "--answers", str(answers), "--data", str(tmp_path / "data")]
    with serving(all_but("Which shade, 3?", refused(400, "Not this one"))) as server:
        asking = ["score", *words, "--judge", f"llm=official:{server.url}#m"]
        assert cli.main(asking) == 1
        assert set(Counter(one.prompt for one in server.asked).values()) == {1}
        assert len(server.asked) == KNOWN + COUNT
        server.reply = able
        assert cli.main([*asking, "--no-known-answers"]) == 0
        assert len(server.asked) == KNOWN + COUNT + 1  # what came before is not paid for again


@pytest.mark.parametrize("many", [1, 8])
def test_as_many_requests_at_once_as_were_chosen(tmp_path: Path, many: int) -> None:
    together, lock, open_now, seen = threading.Barrier(many), threading.Lock(), [0], set()

    def counted(asked: Asked, before: int) -> Answer:
        if before >= KNOWN:
            with lock:
                open_now[0] += 1
                seen.add(open_now[0])
            together.wait(timeout=20)  # for as many others, else it breaks, and the judge with it
            with lock:
                open_now[0] -= 1
        return able(asked, before)

    with serving(counted) as server:
        assert run(tmp_path, server.url, "--judge-concurrency", str(many)) == 0
        assert max(seen) == many
        assert len(server.asked) == KNOWN + COUNT


def test_a_pause_that_the_server_asks_for_saves_the_replies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses = sleeping(monkeypatch)

    def limited(asked: Asked, before: int) -> Answer:
        return able(asked, before) if sum(pauses) >= 20 or before < KNOWN + 10 else refused(429, "slow down", Retry_After="20")

    with serving(limited) as server:
        assert run(tmp_path, server.url) == 0
        assert set(pauses) == {20.0}
        assert 1 <= len(pauses) <= AT_ONCE  # those under way
        assert len(server.asked) == KNOWN + COUNT + len(pauses)


def asked_of(tmp_path: Path) -> dict[str, Any]:
    """What summary.json says that the judge took."""
    document = json.loads((tmp_path / "run/summary.json").read_text())
    jsonschema.validate(document, json.loads(files("suder_bench.runs").joinpath("summary.schema.json").read_text()))
    found: dict[str, Any] = document["asked"]["llm"]
    return found


def metered(asked: Asked, before: int) -> Answer:
    return took(able(asked, before), (100, 10))


def shade(asked: Asked) -> int | None:
    """Which question a review is about."""
    found = re.search(r"Which shade, (\d+)\?", asked.prompt)
    return int(found[1]) if found else None


def test_whatever_a_server_does_ends_in_the_right_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sleeping(monkeypatch)
    times: Counter[int | None] = Counter()
    lock = threading.Lock()

    def troublesome(asked: Asked, before: int) -> Answer:
        with lock:
            times[shade(asked)] += 1
            first = times[shade(asked)] == 1
        well = metered(asked, before)
        return {
            3: replace(well, late=0.3),
            4: refused(429, "slow down", Retry_After="0.01") if first else well,
            5: refused(500, "oh") if first else well,
            6: Answer(body=b"<html>maintenance</html>") if first else well,
            7: Answer(body=b" " * 65536, endless=True, size=10**9),
            8: replace(well, late=60),
            9: took(said(None, refusal="No."), (100, 1)),
            10: took(said("I like the second."), (100, 5)),
        }.get(shade(asked), well)

    with serving(troublesome) as server:
        assert run(tmp_path, server.url, "--judge-timeout", "2", "--judge-price", "llm=2/10") == 1
        assert server.keys == {f"Bearer {KEY}"}
        check_troubled(tmp_path, capsys)
        server.reply, asked = metered, len(server.asked)
        assert run(tmp_path, server.url) == 0  # the four alone are asked about again
        assert sorted(filter(None, map(shade, server.asked[asked:]))) == [7, 8, 9, 10]
        table = capsys.readouterr().out
        assert run(tmp_path, server.url, "--fresh") == 0
        assert capsys.readouterr().out.split("asked")[0] == table.split("asked")[0]


def check_troubled(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = capsys.readouterr()
    assert {row["sample"] for row in verdicts(tmp_path)} == {str(i) for i in range(COUNT)} - {"7", "8", "9", "10"}
    assert "failed: llavabench score of 7, repeat 0" in told.err
    found = asked_of(tmp_path)
    assert {name: found[name] for name in ("refused", "late", "unread")} == {"refused": 1, "late": 1, "unread": 1}
    assert found["without_text"] == 1  # the page
    sound = KNOWN + COUNT - 4
    late = (found["input_tokens"] - 100 * (sound + 2), found["output_tokens"] - 10 * sound - 1 - 5)  # as estimated
    assert late[0] >= 100
    assert late[1] == 1024  # LLaVA-Bench's
    assert found["cost"] == pytest.approx((2 * found["input_tokens"] + 10 * found["output_tokens"]) / 1e6)
    assert "asked   llm: 28 requests, " in told.out
    assert "; 1 refused, 1 without a text, 1 too late, 1 unreadable" in " ".join(told.out.split())


@pytest.mark.parametrize(("given", "more"), [(["3000tokens"], "5000tokens"), (["0.05", "--judge-price", "llm=10/20"], "9")])
def test_a_budget_ends_the_scoring_before_it_is_overrun(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], given: list[str], more: str
) -> None:
    with serving(metered) as server:
        assert run(tmp_path, server.url, "--judge-budget", *given) == 1
        [line] = [line for line in capsys.readouterr().err.splitlines() if "--judge-budget" in line]
        assert re.match(r"llavabench: \d+ responses are left to judge: judge llm: of --judge-budget .* is spent", line)
        assert line.endswith("the same command with a larger one goes on from here")
        spent, judged, asked = asked_of(tmp_path), len(verdicts(tmp_path)), len(server.asked)
        assert asked == KNOWN + judged
        assert judged > 0
        if "cost" in spent:
            assert spent["cost"] == pytest.approx((10 * 100 + 20 * 10) / 1e6 * asked)
            assert spent["cost"] <= 0.05
        else:
            assert spent["input_tokens"] + spent["output_tokens"] == 110 * asked <= 3000
        assert run(tmp_path, server.url, "--judge-budget", *given) == 1  # of the whole run
        assert len(server.asked) == asked
        assert run(tmp_path, server.url, "--judge-budget", more, *given[1:]) == 0
        assert len(server.asked) == KNOWN + COUNT


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--judge-budget", "much"], "--judge-budget 'much' is neither tokens, as in 200000tokens, nor money, as in 2.50"),
        (["--judge-budget", "-1"], "--judge-budget '-1' is neither"),
        (["--judge-price", "llm=2"], "--judge-price 'llm=2' is not ROLE=INPUT/OUTPUT"),
        (["--judge-budget", "2.5"], "--judge-budget 2.5 is money, and the price of judge llm is not known; give --judge-price"),
    ],
)
def test_a_budget_that_cannot_be_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    assert run(tmp_path, "http://127.0.0.1:9/v1", *words) == 2
    *_, line = capsys.readouterr().err.splitlines()
    assert told in line


def test_another_scoring_by_the_same_judge_costs_nothing(tmp_path: Path) -> None:
    with serving(metered) as server:
        assert run(tmp_path, server.url) == 0
        shutil.rmtree(tmp_path / "run/verdicts/llavabench")
        assert score(tmp_path) == 0
        assert len(server.asked) == KNOWN + COUNT
    assert len(verdicts(tmp_path)) == COUNT


def test_a_reply_that_somebody_edited_is_asked_for_again(tmp_path: Path) -> None:
    with serving(metered) as server:
        assert run(tmp_path, server.url) == 0
        shutil.rmtree(tmp_path / "run/verdicts/llavabench")
        file = tmp_path / "run/replies/0.jsonl"
        file.write_text(file.read_text().replace("8 4", "8 9", 1))
        assert score(tmp_path) == 0
        assert len(server.asked) == KNOWN + COUNT + 1
    assert {row["scores"]["model"] for row in verdicts(tmp_path)} == {4}


def test_what_interrupts_a_scoring_ends_the_requests_under_way(tmp_path: Path) -> None:
    assert run(tmp_path, "http://127.0.0.1:9/v1", "--stage", "respond") == 0
    enough = threading.Event()

    def slow(asked: Asked, before: int) -> Answer:
        if before >= KNOWN + AT_ONCE - 1:
            enough.set()
        return able(asked, before) if before < KNOWN else replace(able(asked, before), late=300)

    with serving(slow) as server:
        command = [sys.executable, "-m", "suder_bench", "score", str(tmp_path / "run"), "--judge", f"llm=official:{server.url}#m"]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
        assert enough.wait(60)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"the same command goes on from here" in told
    assert b"Traceback" not in told


def test_a_service_has_no_budget(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["serve", "--data", "world", "--judge-budget", "200000tokens"]) == 2
    assert "--judge-budget and --judge-price are for a run, and a service has no end; leave them out" in capsys.readouterr().err
