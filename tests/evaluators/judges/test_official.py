"""The table of official judges: one line for each that cannot be had; the endpoint."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest
from PIL import Image

from suder_bench.errors import JudgeError, UserError
from suder_bench.evaluators.judges import official, weights
from suder_bench.evaluators.judges.endpoint import Endpoint


def complaint(role: str, **settings) -> str:
    with pytest.raises(JudgeError) as caught:
        official.load(role, device="cpu", **settings)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"judge {role}: ")
    return str(caught.value)


@pytest.mark.parametrize("role", ["vqa", "clip", "color", "depth"])
def test_weights_that_are_nowhere(role, monkeypatch, tmp_path):
    said = complaint(role, offline=True, source="nobody/no-such-weights")
    assert "nobody/no-such-weights is not in the Hugging Face cache" in said
    assert f"--judge {role}=official:FOLDER" in said
    monkeypatch.setattr(weights, "_hub_answers", lambda: False)
    monkeypatch.setenv("https_proxy", "http://proxy.local:3128")
    said = complaint(role, source="nobody/no-such-weights")
    assert "the hub cannot be reached (through the proxy http://proxy.local:3128 of https_proxy; set no_proxy=hug" in said
    assert "there is no folder" in complaint(role, source=str(tmp_path / "nothing"))
    assert "not a folder in transformers' format" in complaint(role, source=str(tmp_path))


def test_unknown_roles_are_named():
    with pytest.raises(UserError, match="did you mean 'depth'"):
        official.load("dept")


class Server(HTTPServer):
    """Answers each request with the next scripted (status, body), and keeps what it was sent."""

    def __init__(self, *script: tuple[int, str]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script, self.bodies, self.keys = list(script), list[dict](), list[str | None]()
        self.cut_off = False
        """Promise a byte more of the next body than there is."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        self.server.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.server.keys.append(self.headers["Authorization"])
        status, body = self.server.script.pop(0)
        self.send_response(status)
        if self.server.cut_off:
            self.send_header("Content-Length", str(len(body) + 1))
            self.server.cut_off = False
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def serve() -> Iterator:
    servers = []

    def start(*script: tuple[int, str]) -> Server:
        server = Server(*script)
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def said(text: str) -> tuple[int, str]:
    return 200, json.dumps({"choices": [{"message": {"content": text}}]})


def test_endpoint_reviews_texts(serve):
    server = serve(said("8 7"), (503, "busy"), (200, "not json"), said("5 5"))
    judge = Endpoint(server.url, "some-model", "secret", pause=0)
    assert judge.review("be precise", ["one", "two"]) == ["8 7", "5 5"]
    assert server.bodies[0] == {
        "model": "some-model",
        "messages": [{"role": "system", "content": "be precise"}, {"role": "user", "content": "one"}],
        "temperature": 0.2,
        "max_tokens": 1024,
    }
    assert server.keys == ["Bearer secret"] * 4


def test_endpoint_rates_pictures(serve):
    server = serve(said('{"score": 85}'))
    judge = Endpoint(server.url, "eyes", None, pause=0)
    assert judge.rate([Image.new("RGB", (4, 4))], ["rate it"]) == ['{"score": 85}']
    picture, text = server.bodies[0]["messages"][0]["content"]
    assert picture["image_url"]["url"].startswith("data:image/png;base64,")
    assert text == {"type": "text", "text": "rate it"}
    assert server.bodies[0]["temperature"] == 0
    assert server.keys == [None]


def test_endpoint_marks_answers_with_its_own_settings(serve):
    server = serve(said("correct"))
    assert Endpoint(server.url, "m", None, pause=0).mark(["mark it"]) == ["correct"]
    assert server.bodies == [{"model": "m", "messages": [{"role": "user", "content": "mark it"}]}]


def test_one_refused_request_is_not_the_judge_s_fault(serve):
    server = serve(said("8 7"), (400, '{"error": "too long"}'), said("5 5"))
    judge = Endpoint(server.url, "m", None, pause=0)
    with pytest.raises(UserError, match=r"HTTP 400 .*too long") as refused:
        judge.review("", ["one", "two"])
    assert not isinstance(refused.value, JudgeError)
    assert judge.review("", ["one"]) == ["8 7"]  # received before the refusal, and not asked for again
    assert judge.review("", ["three"]) == ["5 5"]
    assert len(server.bodies) == 3


def test_a_reply_without_a_text_is_none(serve):
    nothing = 200, json.dumps({"choices": [{"message": {"content": None}}]})
    judge = Endpoint(serve(nothing, said("8 7"), *[nothing] * 4).url, "m", None, pause=0)
    assert judge.review("", ["x"]) == ["8 7"]
    with pytest.raises(UserError, match="without a text") as silent:
        judge.review("", ["y"])
    assert not isinstance(silent.value, JudgeError)


def test_a_cut_off_reply_is_asked_for_again(serve):
    server = serve(said("8 7"), said("8 7"))
    server.cut_off = True
    assert Endpoint(server.url, "m", None, pause=0).review("", ["x"]) == ["8 7"]
    assert len(server.bodies) == 2


def test_endpoint_failures(serve):
    with pytest.raises(JudgeError, match="HTTP 401"):
        Endpoint(serve((401, "")).url, "m", None, pause=0).review("", ["x"])
    with pytest.raises(JudgeError, match="no reply in 4 tries"):
        Endpoint(serve(*[(500, "")] * 4).url, "m", None, pause=0).review("", ["x"])


MARKS = said("Correct."), said("incorrect")


def test_endpoint_must_read_and_order_two_reviews(serve):
    Endpoint(serve(said("9 9\nBoth."), said("9,2"), *MARKS).url, "m", None, pause=0).check()
    with pytest.raises(JudgeError, match=r"the mark of 'The ball is blue.': expected incorrect"):
        Endpoint(serve(said("9 9"), said("9 2"), MARKS[0], MARKS[0]).url, "m", None, pause=0).check()
    with pytest.raises(JudgeError, match="expected right above wrong"):
        Endpoint(serve(said("9 9"), said("9 9")).url, "m", None, pause=0).check()
    with pytest.raises(JudgeError, match="expected two scores"):
        Endpoint(serve(said("Assistant 1: 9")).url, "m", None, pause=0).check()


def test_an_endpoint_for_pictures_must_see(serve):
    def check(*replies):
        Endpoint(serve(*map(said, replies)).url, "m", None, role="mllm", pause=0).check()

    check('{"score": 90}', '{"score": 5}')
    with pytest.raises(JudgeError, match="expected red above blue"):
        check('{"score": 50}', '{"score": 50}')
    with pytest.raises(JudgeError, match="expected two scores"):
        check("It is red.", "It is blue.")


def test_endpoint_settings(monkeypatch):
    for variable in ("OPENAI_BASE_URL", "SUDER_BENCH_LLM", "OPENAI_API_KEY"):
        monkeypatch.delenv(variable, raising=False)
    assert "no address (OPENAI_BASE_URL) and no model (SUDER_BENCH_LLM)" in complaint("llm")
    assert "no model (SUDER_BENCH_LLM)" in complaint("mllm", source="http://localhost:8000/v1")
    assert "--offline forbids https://example.org/v1" in complaint("llm", offline=True, source="https://example.org/v1#m")
    judge = official.load("llm", offline=True, source="http://localhost:8000/v1#m")
    assert (judge.backend, judge.exact) == ("m", False)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost:8000/v1")
    monkeypatch.setenv("SUDER_BENCH_LLM", "m")
    assert official.load("llm", offline=True).fingerprint == judge.fingerprint
