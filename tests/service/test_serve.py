"""`suder-bench serve`: numbers as `score` has them, for those who may ask, whatever others send."""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import tiny_judges
from kin import alive
from PIL import Image
from serving import Served, png, serving, text
from world_pictures import Made, made

from suder_bench.cli import main

TOKEN = "a-token-of-some-length"
COMPARED = ("scores", "correct", "reason", "details")


@pytest.fixture(scope="module")
def geneval(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return made(tmp_path_factory.mktemp("geneval"), "geneval", 112)


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving("--data", "world", "--benchmark", "geneval", "--benchmark", "t2i-compbench", "--max-mb", "4") as found:
        yield found


@pytest.fixture
def item(geneval: Made) -> dict[str, Any]:
    """One that is right."""
    _, prompt, file = geneval.files[1]
    return {"prompt": prompt, "picture": text(png(file))}


def asked_by_eight(served: Served, pictures: Made) -> dict[str, dict[str, Any]]:
    """The row of each sample, from eight callers at once that send five pictures a time."""
    parts = [pictures.files[i : i + 5] for i in range(0, len(pictures.files), 5)]

    def ask(part: list[tuple[str, str, Path]]) -> list[dict[str, Any]]:
        items = [{"sample": sample, "picture": text(png(file))} for sample, _, file in part]
        return list(served.score(*items, benchmark=pictures.benchmark)["results"])

    with ThreadPoolExecutor(8) as callers:
        rows = [row for rows in callers.map(ask, parts) for row in rows]
    return {sample: row for (sample, _, _), row in zip(pictures.files, rows, strict=True)}


def same_as_scored(served: Served, pictures: Made, out: Path) -> None:
    expected = pictures.verdicts(out)
    found = asked_by_eight(served, pictures)
    assert found.keys() == expected.keys()
    for sample, row in found.items():
        assert {name: row[name] for name in COMPARED} == {name: expected[sample][name] for name in COMPARED}


def test_the_numbers_of_geneval_are_those_of_score(served: Served, geneval: Made, tmp_path: Path) -> None:
    same_as_scored(served, geneval, tmp_path / "run")


def test_the_numbers_of_t2i_compbench_are_those_of_score(served: Served, tmp_path: Path) -> None:
    same_as_scored(served, made(tmp_path, "t2i-compbench", 60), tmp_path / "run")


def test_an_answer_says_who_judged_what(served: Served, item: dict[str, Any]) -> None:
    answer = served.score(item, benchmark="geneval")
    [row] = answer["results"]
    assert (row["score"], row["correct"], row["reason"]) == (1.0, True, "everything asked for is there")
    assert row["details"]["objects"][0].keys() >= {"class", "score", "box"}
    assert (answer["benchmark"], answer["protocol"], len(answer["fingerprint"])) == ("geneval", "official", 16)
    assert answer["judges"].keys() == {"detector", "color"}
    assert answer["judges"]["color"].items() >= {"backend": "world", "exact": False}.items()
    status, offered, _ = served.ask("GET", "/v1/benchmarks")
    assert status == 200
    assert {one["name"]: one["fingerprint"] for one in offered["benchmarks"]}["geneval"] == answer["fingerprint"]


def test_prompts_of_its_own_are_judged_by_their_metadata(served: Served, geneval: Made, item: dict[str, Any]) -> None:
    record = json.loads((geneval.data / "geneval/evaluation_metadata.jsonl").read_text().splitlines()[1])
    stranger = {"prompt": "in words of mine", "picture": item["picture"], "metadata": {**record, "exclude": None}}
    assert [row["correct"] for row in served.score(stranger, benchmark="geneval")["results"]] == [True]
    colored = {"prompt": "a red ball and a blue box", "picture": item["picture"], "metadata": {"category": "color"}}
    [row] = served.score(colored, benchmark="t2i-compbench")["results"]
    assert [one["question"] for one in row["details"]["attribute"]["questions"]] == ["a red ball?", "a blue box?"]


def test_what_is_wrong_with_an_item_costs_the_others_nothing(served: Served, item: dict[str, Any]) -> None:
    broken = png(Image.effect_noise((64, 64), 90))[:900]
    wrong: dict[str, list[dict[str, Any]]] = {
        "invalid_picture": [
            item | {"picture": None},
            item | {"picture": "no base64!"},
            item | {"picture": text(b"GIF89a")},
            item | {"picture": text(broken)},
            item | {"part": "nowhere"},
        ],
        "picture_too_large": [
            item | {"picture": text(bomb(20_000, 20_000))},
            item | {"picture": text(bomb(4097, 4096))},
            item | {"picture": text(bomb(1, 60_000))},
        ],
        "unknown_prompt": [
            item | {"prompt": "no such prompt"},
            item | {"sample": "99999"},
            item | {"metadata": {"tag": "counting", "include": [{"class": "ball"}]}},
            item | {"metadata": {"tag": 3, "include": []}},
            item | {"metadata": {"tag": "colors", "include": [{"class": "ball", "count": 1, "color": "beige"}]}},
        ],
        "invalid_prompt": [
            {"picture": item["picture"]},
            item | {"prompt": " "},
            item | {"prompt": 3},
            item | {"prompt": "a" * 70_000},
        ],
        "invalid_metadata": [item | {"metadata": [1]}, item | {"metadata": {"long": "x" * 70_000}}],
        "invalid_sample": [item | {"sample": 3}],
    }
    asked = [one for ones in wrong.values() for one in ones]
    rows = served.score(item, *asked, item, benchmark="geneval")["results"]
    assert [rows[0].get("correct"), rows[-1].get("correct")] == [True, True]
    expected = [code for code, ones in wrong.items() for _ in ones]
    assert [row.get("error", row).get("code") for row in rows[1:-1]] == expected


def test_a_number_without_end_costs_no_other_its_row(served: Served, item: dict[str, Any]) -> None:
    asked = json.dumps({"benchmark": "geneval", "items": [item, item | {"metadata": {"x": 12345}}]}).replace("12345", "1e999")
    status, answer, _ = served.ask("POST", "/v1/score", asked.encode(), Content_Type="application/json")
    assert status == 200
    assert [row.get("score", row.get("error", {}).get("code")) for row in answer["results"]] == [1.0, "invalid_metadata"]


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header promises so many pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


def test_pictures_come_as_jpeg_in_data_uris_and_as_files(served: Served, item: dict[str, Any], geneval: Made) -> None:
    _, prompt, file = geneval.files[1]
    jpeg = file.parent / "one.jpg"
    Image.open(file).save(jpeg, quality=100)
    rows = served.score(
        item | {"picture": "data:image/png;base64," + item["picture"]}, item | {"picture": text(png(jpeg))}, benchmark="geneval"
    )["results"]
    assert [row["score"] for row in rows] == [1.0, 1.0]
    request = {"benchmark": "geneval", "items": [{"prompt": prompt, "part": "one"}, {"prompt": prompt, "part": "two"}]}
    body = b"".join(
        b'--b\r\nContent-Disposition: form-data; name="%s"; filename="x"\r\n\r\n%s\r\n' % (name.encode(), content)
        for name, content in (("request", json.dumps(request).encode()), ("one", png(file)), ("two", b"no picture"))
    )
    kind = "multipart/form-data; boundary=b"
    status, answer, _ = served.ask("POST", "/v1/score", body + b"--b--\r\n", Content_Type=kind)
    assert status == 200
    assert [row.get("score") for row in answer["results"]] == [1.0, None]
    assert served.ask("POST", "/v1/score", body, Content_Type=kind)[1]["error"]["code"] == "invalid_multipart"


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "/nothing", None, 404, "not_found"),
        ("POST", "/health", {}, 404, "not_found"),
        ("POST", "/v1/score", b"{", 415, "unsupported_media_type"),
        ("POST", "/v1/score", [], 400, "invalid_json"),
        ("POST", "/v1/score", {}, 404, "unknown_benchmark"),
        ("POST", "/v1/score", {"benchmark": "geneval"}, 400, "invalid_items"),
        ("POST", "/v1/score", {"benchmark": "geneval", "items": []}, 400, "invalid_items"),
        ("POST", "/v1/score", {"benchmark": "geneval", "items": ["a"]}, 400, "invalid_items"),
        ("POST", "/v1/score", {"benchmark": "pope", "items": [{}]}, 404, "unknown_benchmark"),
        ("POST", "/v1/score", {"benchmark": "geneval", "items": [{}] * 1025}, 413, "too_many_items"),
        ("POST", "/score", {"requests": [{}]}, 400, "invalid_items"),
        ("POST", "/compute", {"prompt": ["a"], "image": []}, 404, "unknown_benchmark"),
        ("POST", "/compute", {"prompt": ["a"], "image": [], "extra": {"benchmark": "geneval"}}, 400, "invalid_items"),
    ],
)
def test_a_wrong_request_is_refused_in_a_line(served: Served, method: str, path: str, body: Any, status: int, code: str) -> None:
    answer = served.ask(method, path, body)
    assert (answer[0], answer[1]["error"]["code"]) == (status, code)


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"items": NaN}', b'"text"', b"\xff"])
def test_what_is_no_json_object_is_refused(served: Served, body: bytes) -> None:
    status, answer, _ = served.ask("POST", "/v1/score", body, Content_Type="application/json")
    assert (status, answer["error"]["code"]) == (400, "invalid_json")


def test_a_request_that_is_too_large_is_refused_although_it_is_still_being_sent(served: Served) -> None:
    status, answer, headers = served.ask("POST", "/v1/score", b" " * 6_000_000, Content_Type="application/json")
    assert (status, answer["error"]["code"], headers["connection"]) == (413, "request_too_large", "close")


def test_a_request_of_unknown_length_is_refused(served: Served) -> None:
    for header in ("Transfer-Encoding: chunked", "X: y", "Content-Length: 1\r\nContent-Length: 2", "Content-Length: -1"):
        with socket.create_connection(("127.0.0.1", urlsplit(served.url).port), timeout=30) as connection:
            head = f"POST /v1/score HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{header}\r\n\r\n"
            connection.sendall(head.encode())
            assert connection.makefile("rb").readline().split()[1] == b"411", header


@pytest.mark.parametrize("headers", [{"Host": "evil.example"}, {"Origin": "http://evil.example"}, {"Host": "["}])
def test_a_web_page_cannot_ask(served: Served, headers: dict[str, str]) -> None:
    assert served.ask("GET", "/health", None, **headers)[0] == 403


def test_prompts_are_known_before_anything_is_drawn(served: Served, item: dict[str, Any]) -> None:
    asked = [
        {"prompt": item["prompt"]},
        {"prompt": "no such prompt"},
        {"prompt": ""},
        {"prompt": "a", "metadata": {"category": "color"}},
    ]
    status, answer, _ = served.ask("POST", "/v1/prompts", {"benchmark": "geneval", "items": asked[:3]})
    assert status == 200
    assert [row.get("sample") or row["error"]["code"] for row in answer["results"]] == [
        "00001",
        "unknown_prompt",
        "invalid_prompt",
    ]
    status, answer, _ = served.ask("POST", "/v1/prompts", {"benchmark": "t2i-compbench", "items": asked[3:]})
    assert answer["results"] == [{"sample": "color/asked"}]


def test_it_answers_as_unirls_reward_service_does(served: Served, item: dict[str, Any], geneval: Made) -> None:
    """Facts of unirl-reward-service: `schemas.py` and `client.py`, and of the backend that asks it."""
    assert served.ask("GET", "/rewards")[1] == {"rewards": ["geneval", "t2i-compbench"]}
    _, health, _ = served.ask("GET", "/health")
    assert (health["status"], health["rewards"]) == ("ok", {"geneval": ["ready"], "t2i-compbench": ["ready"]})
    wrong_turn = {"text": item["prompt"], "image_b64": text(png(Image.new("RGB", (64, 64))))}
    turn = {"text": item["prompt"], "image_b64": item["picture"]}
    requests = [
        {"history": [wrong_turn, turn], "required_rewards": ["geneval"], "metadata": None},
        {"history": [turn], "required_rewards": ["geneval", "t2i-compbench"], "metadata": {"category": "color"}},
        {"history": [{"text": "a", "video_b64": "AAAA"}], "required_rewards": ["geneval"]},
    ]
    status, answer, _ = served.ask("POST", "/score", {"requests": requests})
    assert status == 200
    assert answer["results"][0] == {"geneval": {"geneval": 1.0}}
    assert answer["results"][1].keys() == {"geneval", "t2i-compbench"}
    assert answer["results"][2] == {}
    assert [list(errors) for errors in answer["errors"]] == [[], [], ["geneval"]]


def test_it_answers_as_flow_factorys_reward_server_does(served: Served, item: dict[str, Any]) -> None:
    """Facts of Flow-Factory's `my_reward_remote.py`."""
    asked = {"prompt": [item["prompt"]] * 2, "image": [item["picture"]] * 2, "video": None, "extra": {"benchmark": "geneval"}}
    assert served.ask("POST", "/compute", asked)[:2] == (200, {"rewards": [1.0, 1.0]})
    status, answer, _ = served.ask("POST", "/compute", asked | {"prompt": [item["prompt"], "no such prompt"]})
    assert (status, answer["error"]["code"]) == (422, "unknown_prompt")


def test_a_killed_worker_is_started_again_and_its_batch_judged_once_more(served: Served, geneval: Made) -> None:
    expected = asked_by_eight(served, geneval)
    _, before, _ = served.ask("GET", "/health")
    killed = threading.Thread(target=lambda: (time.sleep(0.05), os.kill(before["workers"][0]["process"], signal.SIGKILL)))
    killed.start()
    assert asked_by_eight(served, geneval) == expected
    killed.join()
    assert asked_by_eight(served, geneval) == expected
    _, after, _ = served.ask("GET", "/health")
    [worker] = after["workers"]
    assert (worker["alive"], worker["restarts"]) == (True, 1)
    assert worker["process"] != before["workers"][0]["process"]


def test_a_stuck_worker_is_ended_and_its_pictures_are_judged_by_the_next(item: dict[str, Any]) -> None:
    with serving("--data", "world", "--batch-timeout", "4") as served:
        _, before, _ = served.ask("GET", "/health")
        os.kill(before["workers"][0]["process"], signal.SIGSTOP)
        assert [row["score"] for row in served.score(item, item)["results"]] == [1.0, 1.0]
        _, after, _ = served.ask("GET", "/health")
        assert [one["restarts"] for one in after["workers"]] == [1]


def test_only_who_knows_the_token_may_ask(item: dict[str, Any]) -> None:
    with serving("--data", "world", SUDER_BENCH_TOKEN=TOKEN) as served:
        asked = {"items": [item]}
        for wrong in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": TOKEN}, {"Authorization": f"Bearer {TOKEN}x"}):
            status, answer, headers = served.ask("POST", "/v1/score", asked, **wrong)
            assert (status, answer["error"]["code"], headers["www-authenticate"]) == (401, "unauthorized", "Bearer")
            assert served.ask("GET", "/v1/benchmarks", None, **wrong)[0] == 401
        right = {"Authorization": f"Bearer {TOKEN}"}
        status, answer, _ = served.ask("POST", "/v1/score", asked, **right, Host="judges.example")
        assert (status, [row["score"] for row in answer["results"]]) == (200, [1.0])
        arguments = Path(f"/proc/{served.process.pid}/cmdline")
        assert not arguments.exists() or TOKEN.encode() not in arguments.read_bytes()


def test_categories_whose_judges_are_there_are_served_without_the_others(item: dict[str, Any]) -> None:
    with serving("--data", "world", "--benchmark", "t2i-compbench", "--judge", "vqa=official", "--offline") as served:
        asked = [item | {"metadata": {"category": category}} for category in ("color", "non_spatial", "spatial")]
        answer = served.score(*asked)
        codes = [row.get("error", {}).get("code") for row in answer["results"]]
        assert codes == ["missing_judge", None, None]
        assert "vqa" not in answer["judges"]
        assert served.ask("GET", "/v1/benchmarks")[1]["benchmarks"][0]["missing"] == ["vqa"]


def test_other_machines_need_a_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["serve", "--data", "world", "--host", "0.0.0.0", "--port", "0"]
    monkeypatch.delenv("SUDER_BENCH_TOKEN", raising=False)
    short = tmp_path / "short"
    short.write_text("secret\n")
    for words, told in (
        ([], "--host 0.0.0.0 lets other machines ask; put a token that they must send into SUDER_BENCH_TOKEN"),
        (["--token-file", str(tmp_path / "none")], "cannot be read"),
        (["--token-file", str(short)], "the token has 6 characters; take 16 or more"),
        (["--token-env", "NO_SUCH"], "into NO_SUCH"),
    ):
        assert main([*command, *words]) == 2
        assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (["--benchmark", "pope"], 2, "pope is a benchmark of understanding"),
        (["--benchmark", "genevil"], 2, "did you mean 'geneval'?"),
        (["--judge", "vqa=world"], 2, "--judge vqa=world is not used"),
        (["--protocol", "fixed"], 2, "unknown geneval protocol 'fixed'"),
        (["--devices", "cpu,gpu"], 2, "unknown device 'gpu'"),
        (["--judge", "detector=official", "--offline"], 1, "judge detector: GenEval's Mask2Former is not at"),
        (["--port", "70000"], 2, "is not a port"),
    ],
)
def test_what_cannot_be_served_is_told_before_the_port_opens(
    words: list[str], status: int, told: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", "--data", "world", "--port", "0", *words]) == status
    shown = capfd.readouterr()
    assert told in shown.err
    assert shown.out == ""
    assert "Traceback" not in shown.err


def test_judges_that_fail_their_known_answers_open_no_port(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    command = ["serve", "--data", "world", "--port", "0", "--benchmark", "t2i-compbench", "--offline"]
    clip = tiny_judges.clip(tmp_path)
    capfd.readouterr()
    assert main([*command, "--judge", f"clip=official:{clip}"]) == 1
    shown = capfd.readouterr()
    assert "fails its known answers, nothing was scored" in shown.err
    assert shown.out == ""


def test_a_port_that_is_taken_is_told_before_a_judge_is_loaded(capfd: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["serve", "--data", "world", "--port", str(port)]) == 2
    assert f"port {port} of 127.0.0.1 cannot be had" in capfd.readouterr().err


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_a_signal_ends_it_and_its_workers(number: signal.Signals, status: int) -> None:
    with serving("--data", "world", "--devices", "cpu,cpu") as served:
        _, health, _ = served.ask("GET", "/health")
        assert health["rewards"] == {"geneval": ["ready", "ready"]}
        served.process.send_signal(number)
        assert served.process.wait(30) == status
        assert [one["process"] for one in health["workers"] if alive(one["process"])] == []


def test_nothing_is_left_behind_a_server_that_was_killed() -> None:
    with serving("--data", "world") as served:
        _, health, _ = served.ask("GET", "/health")
        served.process.kill()
        served.process.wait(30)
        for _ in range(100):
            if not alive(health["workers"][0]["process"]):
                return
            time.sleep(0.05)
        pytest.fail("its worker goes on")


def test_help_imports_nothing_heavy() -> None:
    code = "import sys; from suder_bench.cli import main; main(['serve', '--help']); print('torch' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60).stdout
    assert shown.splitlines()[-1] == "False"
