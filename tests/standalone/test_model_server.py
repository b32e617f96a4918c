"""`suder-bench model-server`: three functions of a script, served to those who may ask, and to nobody else."""

from __future__ import annotations

import ast
import base64
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

import pytest
from PIL import Image
from served import SMALL, serving

from suder_bench import cli, standalone
from suder_bench.errors import UserError
from suder_bench.models.protocols import ImageSampling
from suder_bench.models.reference import choose
from suder_bench.testing import check_model

SERVER = Path(standalone.__file__).with_name("model_server.py")
ASK = build_opener(ProxyHandler({}))


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving() as reference:
        yield reference.partition("@")[2]


def ask(url: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    sent = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    kind = {} if body is None else {"Content-Type": "application/json"}
    request = Request(url + path, sent, {**kind, **{name.replace("_", "-"): value for name, value in headers.items()}})
    try:
        with ASK.open(request, timeout=30) as reply:
            return reply.status, json.load(reply)
    except HTTPError as error:
        return error.code, json.load(error)


def data_uri(picture: Image.Image, form: str = "PNG") -> str:
    encoded = io.BytesIO()
    picture.save(encoded, format=form)
    return f"data:image/png;base64,{base64.b64encode(encoded.getvalue()).decode()}"


def shown(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def question(*parts: Any, **more: Any) -> dict[str, Any]:
    return {"model": "small", "messages": [{"role": "user", "content": list(parts)}], "temperature": 0, "max_tokens": 9, **more}


WORDS = {"type": "text", "text": "What is it?"}


def test_the_adapter_keeps_every_protocol_over_it(url: str) -> None:
    model = choose(f"openai:small@{url}").load(device="cpu", dtype="float32")
    assert check_model(model, image=ImageSampling(guidance=None)) == ["TextToImage", "ImageToText", "TextLikelihood"]
    assert check_model(model, image=ImageSampling(guidance=3.0))
    assert model.settings["guidance"] == "as asked for, else the server's own"


def test_it_says_what_its_script_can_do(url: str) -> None:
    status, document = ask(url, "/models")
    assert status == 200
    [entry] = document["data"]
    assert (entry["id"], entry["umm"]["revision"]) == ("small", "1")
    assert entry["umm"]["tasks"] == ["generate", "answer", "score_text"]
    assert entry["umm"]["settings"]["generate"] == ["guidance_scale", "seed"]
    assert ask(url.removesuffix("/v1"), "/health") == (200, {"status": "ok"})


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/nothing", {}, 404, "not_found"),
        ("/images/generations", {"model": "other"}, 404, "model_not_found"),
        ("/images/generations", b"{", 400, "invalid_json"),
        ("/images/generations", b"[" * 99_999, 400, "invalid_json"),
        ("/images/generations", [], 400, "invalid_json"),
        ("/images/generations", {"model": "small"}, 400, "invalid_prompt"),
        ("/images/generations", {"model": "small", "prompt": "a", "seed": "1"}, 400, "invalid_seed"),
        ("/images/generations", {"model": "small", "prompt": "a", "seed": True}, 400, "invalid_seed"),
        ("/images/generations", {"model": "small", "prompt": "a", "n": 2}, 400, "unsupported_parameter"),
        ("/images/generations", {"model": "small", "prompt": "a", "response_format": "url"}, 400, "unsupported_parameter"),
        ("/images/generations", {"model": "small", "prompt": "a", "seed": 1, "size": "9x9"}, 400, "unsupported_parameter"),
        ("/images/generations", {"model": "small", "prompt": "a", "seed": 1, "size": "9 x"}, 400, "invalid_size"),
        ("/images/generations", {"model": "small", "prompt": "forbidden", "seed": 1}, 422, "unsupported_task"),
        ("/chat/completions", {"model": "small", "messages": []}, 400, "invalid_messages"),
        ("/chat/completions", {"model": "small", "messages": [{"role": "assistant", "content": "a"}]}, 400, "invalid_messages"),
        ("/chat/completions", question(3), 400, "invalid_content"),
        ("/chat/completions", question(WORDS, stream=True), 400, "unsupported_parameter"),
        ("/chat/completions", question(WORDS, top_p=0.5), 400, "unsupported_parameter"),
        ("/chat/completions", question(WORDS, seed=3), 400, "unsupported_parameter"),
        ("/chat/completions", question(shown("http://elsewhere/a.png")), 400, "invalid_image_url"),
        ("/chat/completions", question(shown("file:///etc/passwd")), 400, "invalid_image_url"),
        ("/chat/completions", question(shown("data:image/png;base64,AAAA")), 400, "invalid_image"),
        ("/loglikelihood", {"model": "small", "items": []}, 400, "invalid_items"),
        ("/loglikelihood", {"model": "small", "items": [{"context": "a", "target": "b"}]}, 400, "invalid_items"),
    ],
)
def test_what_is_asked_wrongly_is_refused_in_openai_s_shape(url: str, path: str, body: Any, status: int, code: str) -> None:
    found, document = ask(url, path, body)
    assert (found, document["error"]["code"]) == (status, code)
    assert document["error"]["message"]


def test_a_picture_is_scored_only_where_the_script_says_so(url: str) -> None:
    pair = {"context": [WORDS], "target": [shown(data_uri(Image.new("RGB", (2, 2))))]}
    assert ask(url, "/loglikelihood", {"model": "small", "items": [pair]})[1]["error"]["code"] == "unsupported_task"


def test_small_files_of_huge_pictures_are_not_unpacked(url: str) -> None:
    huge = data_uri(Image.new("1", (20_000, 20_000)))
    several = [shown(data_uri(Image.new("1", (6_000, 6_000))))] * 2
    assert len(huge) < 200_000
    for pictures, code in (([shown(huge)], "invalid_image"), (several, "image_too_large")):
        status, document = ask(url, "/chat/completions", question(*pictures, WORDS))
        assert (status, document["error"]["code"]) == (400, code)


def test_other_formats_than_pictures_of_the_web_are_not_opened(url: str) -> None:
    for form in ("EPS", "TIFF"):
        document = ask(url, "/chat/completions", question(shown(data_uri(Image.new("RGB", (2, 2)), form))))[1]
        assert document["error"]["code"] == "invalid_image"


def test_a_request_is_bounded_before_it_is_read(url: str) -> None:
    assert ask(url, "/images/generations", b"{}", Content_Length=str(10**12))[0] == 413


def test_a_page_in_a_browser_cannot_ask(url: str) -> None:
    body = json.dumps({"model": "small", "prompt": "a", "seed": 1}).encode()
    assert ask(url, "/images/generations", body, Content_Type="text/plain")[0] == 415
    assert ask(url, "/models", Host="rebound.example")[0] == 403
    assert ask(url, "/models", Host="localhost:80")[0] == 200


def test_a_token_is_asked_for_where_there_is_one() -> None:
    with serving(SMALL, "--name", "guarded", MODEL_SERVER_TOKEN="let-me-in") as reference:
        url = reference.partition("@")[2]
        for headers in ({}, {"Authorization": "Bearer let-me-out"}, {"Authorization": "let-me-in"}):
            assert ask(url, "/models", **headers)[0] == 401
        assert ask(url, "/models", Authorization="Bearer let-me-in")[1]["data"][0]["id"] == "guarded"
        with pytest.raises(UserError, match=r"HTTP 401 .*no key was sent"):
            choose(reference).load(device="cpu", dtype="float32")


def test_a_model_that_stumbles_is_told_and_goes_on(tmp_path: Path) -> None:
    script = tmp_path / "stumbling.py"
    script.write_text("def answer(images, question):\n    return question[int(question)]\n")
    with serving(script) as reference:
        url, name = reference.partition("@")[2], "stumbling"
        body = {"model": name, "messages": [{"role": "user", "content": "9"}]}
        status, document = ask(url, "/chat/completions", body)
        assert (status, document["error"]["message"]) == (500, "IndexError: string index out of range")
        body["messages"][0]["content"] = "0"  # type: ignore[index]
        assert ask(url, "/chat/completions", body)[1]["choices"][0]["message"]["content"] == "0"


def test_other_weights_are_another_revision(tmp_path: Path) -> None:
    weights, script = tmp_path / "weights", tmp_path / "weighing.py"
    weights.mkdir()
    script.write_text(f"WEIGHTS = {str(weights)!r}\ndef answer(images, question):\n    return 'yes'\n")
    revisions = []
    for content in (b"1", b"22", b"22"):
        if not revisions or content != (weights / "model.bin").read_bytes():
            (weights / "model.bin").write_bytes(content)
        with serving(script) as reference:
            revisions.append(ask(reference.partition("@")[2], "/models")[1]["data"][0]["umm"]["revision"])
    assert revisions[0] != revisions[1] == revisions[2]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "--script"),
        (["--script", "nowhere.py"], "no script nowhere.py"),
        (["--script", str(SMALL), "--host", "0.0.0.0"], "lets other machines ask; set MODEL_SERVER_TOKEN"),
        (["--script", str(SMALL), "--port", "99999"], "cannot be had"),
    ],
)
def test_what_cannot_be_served_ends_in_a_line(words: list[str], says: str) -> None:
    ended = subprocess.run([sys.executable, SERVER, *words], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2
    assert says in ended.stderr.splitlines()[-1]


def test_mistakes_of_the_command_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, says in (
        ([], "no script to serve"),
        (["--script", "nowhere.py"], "there is no script nowhere.py"),
        (["--script", str(SMALL), "--python", "no-such-python"], "is no program"),
        (["--copy", str(SMALL)], "is there already"),
    ):
        assert cli.main(["model-server", *words]) == 2
        [line] = capsys.readouterr().err.splitlines()
        assert says in line


def test_the_server_is_one_file_that_runs_anywhere(tmp_path: Path) -> None:
    copy = tmp_path / "copied.py"
    assert cli.main(["model-server", "--copy", str(copy)]) == 0
    tree = ast.parse(copy.read_text(), feature_version=(3, 8))
    imported = {
        node.module if isinstance(node, ast.ImportFrom) else name.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in node.names
    }
    assert {str(name).partition(".")[0] for name in imported} <= {*sys.stdlib_module_names, "PIL"}
    assert {str(name) for name in imported if str(name).startswith("PIL")} == {"PIL"}
    alone = subprocess.run([sys.executable, "-I", copy, "--help"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert "usage: model_server" in alone.stdout


def test_a_script_imports_what_lies_beside_it_and_not_what_lies_beside_the_server(tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("WORD = 'found'\n")
    script = tmp_path / "importing.py"
    script.write_text(
        "import beside\n"
        "try:\n    import model_server\n    WORD = 'the server'\nexcept ImportError:\n    WORD = beside.WORD\n"
        "def answer(images, question):\n    return WORD\n"
    )
    with serving(script) as reference:
        body = {"model": "importing", "messages": [{"role": "user", "content": "?"}]}
        assert ask(reference.partition("@")[2], "/chat/completions", body)[1]["choices"][0]["message"]["content"] == "found"
