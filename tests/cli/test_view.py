"""`suder-bench view` as a user meets it, and as somebody who should not see other files does."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from browser import chromium, tab
from fake_runs import write_drawn, write_geneval

from suder_bench.cli import main

pytestmark = pytest.mark.usefixtures("by_hand")

CALL = "import sys; from suder_bench.cli import main; sys.exit(main())"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("view")
    return write_drawn(folder / "run", write_geneval(folder / "data", {"a photo of <b>one</b> star": "single_object"}))


@pytest.fixture(scope="module")
def served(run: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [sys.executable, "-c", CALL, "view", str(run), "--port", "0", "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process, process.stdout.readline().split()[0]
        process.kill()


def get(address: str, path: str, host: str | None = None) -> http.client.HTTPResponse:
    place = address.removeprefix("http://").rstrip("/")
    connection = http.client.HTTPConnection(place, timeout=30)
    connection.request("GET", path, headers={"Host": host or place})
    return connection.getresponse()


def test_pages_data_and_pictures_are_served(served: tuple[subprocess.Popen[str], str], run: Path) -> None:
    _, address = served
    assert address.startswith("http://127.0.0.1:")
    assert get(address, "/").getheader("Content-Type") == "text/html; charset=utf-8"
    script = get(address, "/data/gallery-0-0000.js").read().decode()
    assert "\\u003cb\\u003eone" in script
    start = script.index("pictures/")
    picture = get(address, "/" + script[start : script.index(".webp") + 5])
    assert picture.getheader("Content-Type") == "image/png"
    assert picture.getheader("X-Content-Type-Options") == "nosniff"
    assert picture.read() == (run / "images" / "geneval" / "00000.png").read_bytes()
    assert not list(run.rglob("*.webp"))


@pytest.mark.parametrize(
    "path",
    ["/run.json", "/../run.json", "/%2e%2e/run.json", "/images/geneval/00000.png", "//etc/hostname", "/pictures/../index.html"],
)
def test_nothing_else_is_served(served: tuple[subprocess.Popen[str], str], path: str) -> None:
    assert get(served[1], path).status == 404


def test_another_sites_name_gets_nothing(served: tuple[subprocess.Popen[str], str]) -> None:
    assert get(served[1], "/", host="evil.example:80").status == 403
    assert get(served[1], "/", host=f"localhost:{served[1].rpartition(':')[2].rstrip('/')}").status == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200),  # how a browser names port 80
        ("localhost", 200),
        ("LOCALHOST:80", 200),
        ("127.0.0.1:9000", 200),  # through a tunnel
        ("127.0.0.1.evil.example", 403),
        ("evil.example", 403),
        ("localhost:80@evil.example", 403),
        (":80", 403),
    ],
)
def test_its_own_names_are_answered_with_and_without_a_port(
    served: tuple[subprocess.Popen[str], str], host: str, status: int
) -> None:
    assert get(served[1], "/", host=host).status == status


def test_two_hundred_requests_at_once_are_answered_at_once(served: tuple[subprocess.Popen[str], str]) -> None:
    """Linux drops connections beyond the queue, and the browser asks again after one, three and seven seconds."""
    start = threading.Barrier(200)

    def ask(number: int) -> float:
        start.wait()
        began = time.perf_counter()
        assert get(served[1], "/").read()
        return time.perf_counter() - began

    for _ in range(3):
        with ThreadPoolExecutor(200) as pool:
            took = sorted(pool.map(ask, range(200)))
        assert took[-1] < took[100] + 0.9


def test_the_pages_work_in_a_browser(served: tuple[subprocess.Popen[str], str]) -> None:
    with chromium() as browser, tab(browser, served[1] + "#/gallery") as one:
        one.status("1 to 1 of 1 item")
        assert one.page.locator("a.card .prompt").inner_text() == "a photo of <b>one</b> star"
        assert one.page.locator("a.card img").evaluate("img => img.decode().then(() => img.naturalWidth)") == 8
        assert all(request.startswith((served[1], "data:")) for request in one.requests)


def test_a_busy_port_is_told_in_one_line(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        assert main(["view", str(run), "--port", str(port), "--no-browser"]) == 2
    shown = capsys.readouterr()
    assert shown.err == (
        f"suder-bench: port {port} of 127.0.0.1 cannot be had (Address already in use); choose another --port, or 0 for any\n"
    )
    assert shown.out == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nope"], "nope does not exist; make it with: suder-bench run --model MODEL --suite all --out nope"),
        (["nope", "--port", "70000"], "argument --port: '70000' is not a port, 0 to 65535"),
        ([], "the following arguments are required: RUN"),
    ],
)
def test_mistakes_are_one_line(capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    assert main(["view", *arguments]) == 2
    shown = capsys.readouterr()
    assert shown.err.startswith(f"suder-bench: {message}")
    assert shown.err.count("\n") == 1


def test_ctrl_c_ends_it(served: tuple[subprocess.Popen[str], str]) -> None:
    process, _ = served
    os.kill(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said == "\nsuder-bench: no longer serving\n"
