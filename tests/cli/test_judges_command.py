"""`suder-bench judges`, against a mirror of small files."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from zipfile import ZipFile

import pytest
from mirror import Mirror, serving

from suder_bench.cli import main
from suder_bench.data import fetch
from suder_bench.data.catalogue import MIRROR
from suder_bench.evaluators.judges import fetching, manifest
from suder_bench.evaluators.judges.manifest import Weight

LARGE = b"\x80" + bytes(3) + bytes(range(256)) * 1000
CONTENTS = {"blip.pth": LARGE, "vocab.txt": b"yes\nno\n", "r50.pth": b"\x80boxes", "model.whl": b""}


def weight(roles: str, name: str, content: bytes, **changes: object) -> Weight:
    known = {"bytes": len(content), "about": 0, "sha256": hashlib.sha256(content).hexdigest(), "same": "", "whence": "here"}
    return Weight(roles, f"network of {roles}", "", name, f"https://owner.example/{name}?x=1", "MIT", **(known | changes))  # type: ignore[arg-type]


def wheel(file: Path) -> bytes:
    with ZipFile(file, "w") as packed:
        packed.writestr("en_model/en_model-1/config.cfg", "[nlp]\n")
    return file.read_bytes()


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Mirror]:
    """The manifest holds four files, and the mirror serves them."""
    contents = CONTENTS | {"model.whl": wheel(tmp_path / "model.whl")}
    unknown = {"bytes": None, "about": 9, "sha256": "", "whence": "must come from its owner"}
    listed = (
        weight("vqa", "blip.pth", LARGE),
        weight("vqa", "vocab.txt", CONTENTS["vocab.txt"]),
        weight("detector-3d", "r50.pth", CONTENTS["r50.pth"], **unknown),
        weight("parser", "model.whl", contents["model.whl"]),
    )
    monkeypatch.setattr(manifest, "official", lambda: listed)
    monkeypatch.setattr(fetch, "PAUSE", 0.0)
    monkeypatch.setenv("no_proxy", "*")
    with serving(Mirror({f"/owner.example/{name}?x=1": content for name, content in contents.items()})) as mirror:
        monkeypatch.setenv(MIRROR, mirror.address)
        yield mirror


def test_fetch_verify_and_list(mirror: Mirror, own_cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = own_cache / "weights"
    assert main(["judges", "verify"]) == 2
    assert f"no weights of official judges in {weights}; get them with suder-bench judges fetch" in capsys.readouterr().err
    assert main(["judges", "fetch"]) == 0
    shown = capsys.readouterr()
    first, *files = shown.err.splitlines()
    assert first == f"fetching 4 files (about 256 kB) into {weights}"
    host = mirror.address.removeprefix("http://")
    assert files[0] == f"network of vqa: blip.pth (256 kB) from {host}"
    assert f"4 files of official judges are in {weights}, 4 of them new\n" in shown.out
    assert "r50.pth: official, digest unknown; suder-bench judges verify detector-3d prints what it hashes to\n" in shown.out
    assert (weights / "blip.pth").read_bytes() == LARGE
    assert [file.read_text() for file in weights.glob("model-*/config.cfg")] == ["[nlp]\n"]
    assert main(["judges", "fetch"]) == 0
    assert "4 files of official judges are in" in capsys.readouterr().out
    assert len(mirror.asked) == 4
    assert main(["judges", "verify"]) == 0
    shown = capsys.readouterr()
    assert f"{weights / 'blip.pth'}: the official file\n  sha256 {hashlib.sha256(LARGE).hexdigest()}\n" in shown.out
    boxes = hashlib.sha256(CONTENTS["r50.pth"]).hexdigest()
    assert f"{weights / 'r50.pth'}: digest unknown: must come from its owner\n  sha256 {boxes}\n" in shown.out
    assert main(["judges", "list"]) == 0
    shown = capsys.readouterr()
    assert f"network of vqa (vqa)\n  present          256 kB  MIT  {weights / 'blip.pth'}\n" in shown.out
    assert f"from {mirror.address}/owner.example/blip.pth?x=1\n" in shown.out
    assert "sha256 unknown: must come from its owner\n" in shown.out
    assert "pip install --no-deps https://owner.example/model.whl?x=1\n" in shown.out
    assert shown.out.endswith(f"{weights}: about 256 kB in all\n")
    assert main(["judges", "list", "vqa", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["files"]
    assert [(one["name"], one["state"], one["licence"]) for one in listed] == [
        ("blip.pth", "present", "MIT"),
        ("vocab.txt", "present", "MIT"),
    ]


def test_a_wrong_file_is_named_and_replaced_on_request(
    mirror: Mirror, own_cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = own_cache / "weights"
    assert main(["judges", "fetch", "vqa"]) == 0
    capsys.readouterr()
    wrong = LARGE[:-1] + b"?"
    (weights / "blip.pth").write_bytes(wrong)
    assert main(["judges", "verify"]) == 1
    shown = capsys.readouterr()
    found, right = hashlib.sha256(wrong).hexdigest(), hashlib.sha256(LARGE).hexdigest()
    assert f"blip.pth: sha256 {found[:12]} instead of {right[:12]}\n  sha256 {found}\n" in shown.out
    assert "get them again with suder-bench judges fetch vqa --replace" in shown.err
    assert main(["judges", "fetch", "vqa"]) == 2
    assert "get it again with suder-bench judges fetch vqa --replace, or put it elsewhere" in capsys.readouterr().err
    assert main(["judges", "fetch", "vqa", "--replace"]) == 0
    assert (weights / "blip.pth").read_bytes() == LARGE
    (weights / "vocab.txt").unlink()
    capsys.readouterr()
    assert main(["judges", "verify"]) == 1
    assert f"{weights / 'vocab.txt'}: missing\n" in capsys.readouterr().out
    assert main(["judges", "verify", "parser"]) == 2


def test_a_download_goes_on_where_it_broke_off(mirror: Mirror, own_cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mirror.cuts, mirror.statuses = [70_000], [200, 404]
    assert main(["judges", "fetch", "vqa"]) == 1
    assert "HTTP 404" in capsys.readouterr().err
    part = own_cache / "weights" / ".blip.pth.part"
    assert part.stat().st_size == 70_000
    assert main(["judges", "fetch", "vqa"]) == 0
    assert ("/owner.example/blip.pth?x=1", "bytes=70000-") in mirror.asked
    assert (own_cache / "weights" / "blip.pth").read_bytes() == LARGE
    assert not part.exists()


def test_a_page_that_comes_in_place_of_weights_is_not_taken(
    mirror: Mirror, own_cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mirror.contents = {"/owner.example/r50.pth?x=1": b"<html>too many downloads</html>"}
    assert main(["judges", "fetch", "detector-3d"]) == 1
    assert "not the official file: it is no checkpoint of torch" in capsys.readouterr().err
    assert not (own_cache / "weights" / "r50.pth").exists()


def test_an_answer_of_another_size_is_told_by_its_size_and_not_read(
    mirror: Mirror, own_cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was here already stays: it came from a better answer."""
    part = own_cache / "weights" / ".blip.pth.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(LARGE[:70_000])
    page = {"/owner.example/blip.pth?x=1": b"<html>log in</html>"}
    for ranges, content in ((False, page), (True, {"/owner.example/blip.pth?x=1": LARGE * 2})):
        mirror.ranges, mirror.contents, mirror.asked = ranges, content, []
        assert main(["judges", "fetch", "vqa"]) == 1
        size = len(content["/owner.example/blip.pth?x=1"])
        assert f"(not the official file: {size:,} bytes instead of {len(LARGE):,})" in capsys.readouterr().err
        assert len(mirror.asked) == 1
        assert part.read_bytes() == LARGE[:70_000]


def test_an_answer_larger_than_any_weights_is_not_read(
    mirror: Mirror, own_cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(fetching, "MOST", 100)
    mirror.contents = {"/owner.example/r50.pth?x=1": LARGE}
    assert main(["judges", "fetch", "detector-3d"]) == 1
    assert f"(not the official file: {len(LARGE):,} bytes, more than 100)" in capsys.readouterr().err
    assert len(mirror.asked) == 1


def test_a_wrong_file_is_fetched_once_and_not_again_at_once(
    mirror: Mirror, own_cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mirror.contents = {"/owner.example/blip.pth?x=1": LARGE[:-1] + b"?"}
    assert main(["judges", "fetch", "vqa"]) == 1
    assert "not the official file: sha256 " in capsys.readouterr().err
    assert len(mirror.asked) == 1
    assert [file.stat().st_size for file in (own_cache / "weights").iterdir()] == [0]


def test_a_file_that_one_list_alone_contradicts_can_be_kept_as_another(
    mirror: Mirror, own_cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lone, weights = weight("vqa", "blip.pth", LARGE, published="by one list"), own_cache / "weights"
    monkeypatch.setattr(manifest, "official", lambda: (lone,))
    other = LARGE[:-1] + b"?"
    mirror.contents = {"/owner.example/blip.pth?x=1": other}
    found, listed = (hashlib.sha256(content).hexdigest()[:12] for content in (other, LARGE))
    why = f"sha256 {found} instead of {listed}, which one list alone has published"
    assert main(["judges", "fetch"]) == 1
    told = capsys.readouterr().err
    assert f"(not the official file: {why})" in told
    assert told.endswith("or keep what came, as another file: suder-bench judges fetch vqa --keep-another\n")
    assert not (weights / "blip.pth").exists()
    assert main(["judges", "fetch", "--keep-another"]) == 0
    assert f"blip.pth: another file ({why})" in capsys.readouterr().out
    assert (weights / "blip.pth").read_bytes() == other
    assert len(mirror.asked) == 1
    assert manifest.match("vqa", weights / "blip.pth") == "another file"
    assert main(["judges", "verify"]) == 1
    assert f"blip.pth: {why}\n" in capsys.readouterr().out
    assert main(["judges", "fetch"]) == 2
    assert "--replace, or keep it as another file with --keep-another, or put it elsewhere" in capsys.readouterr().err
    assert main(["judges", "list"]) == 0
    assert "(published by one list): here\n" in capsys.readouterr().out


def test_a_file_that_several_lists_contradict_cannot_be_kept(mirror: Mirror, own_cache: Path) -> None:
    mirror.contents = {"/owner.example/blip.pth?x=1": LARGE[:-1] + b"?"}
    assert main(["judges", "fetch", "vqa", "--keep-another"]) == 1
    assert not (own_cache / "weights" / "blip.pth").exists()


def test_a_folder_in_place_of_a_file_is_told(mirror: Mirror, own_cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (own_cache / "weights" / "blip.pth").mkdir(parents=True)
    assert main(["judges", "fetch", "vqa"]) == 2
    assert "blip.pth cannot be written (Is a directory)" in capsys.readouterr().err


def test_a_disk_that_fills_up_is_told_at_once_and_what_came_stays(
    mirror: Mirror, own_cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By a limit on the size of files, which a write meets as it meets the end of a disk."""
    resource, signal = pytest.importorskip("resource"), pytest.importorskip("signal")
    before, heard = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        assert main(["judges", "fetch", "vqa"]) == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, heard)
    assert f"{own_cache / 'weights'} cannot be written (File too large)" in capsys.readouterr().err
    assert len(mirror.asked) == 1
    assert main(["judges", "fetch", "vqa"]) == 0
    assert ("/owner.example/blip.pth?x=1", "bytes=100000-") in mirror.asked


def test_two_commands_at_once_fetch_a_file_once(mirror: Mirror, own_cache: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(main, [["judges", "fetch", "vqa"]] * 2)) == [0, 0]
    assert [path for path, _ in mirror.asked] == ["/owner.example/blip.pth?x=1", "/owner.example/vocab.txt?x=1"]
    assert (own_cache / "weights" / "blip.pth").read_bytes() == LARGE


@pytest.mark.parametrize("given", ["mirror.example", "http://[::1", "http://localhost:abc", "gopher://x", "http://"])
@pytest.mark.parametrize("command", [["judges", "fetch", "vqa"], ["judges", "list"], ["data", "fetch", "geneval"]])
def test_a_mirror_that_is_no_address_is_told(
    mirror: Mirror,
    own_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    given: str,
    command: list[str],
) -> None:
    monkeypatch.setenv(MIRROR, given)
    assert main(command) == 2
    told = capsys.readouterr().err.splitlines()[-1]
    assert told.endswith(f"{MIRROR}='{given}' is no address; give one such as https://mirror.example/files, or unset it")


def test_what_is_missing_is_told_offline(mirror: Mirror, own_cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["judges", "fetch", "--offline", "vqa", "parser"]) == 2
    told = capsys.readouterr().err
    assert f"{own_cache / 'weights' / 'blip.pth'} and 2 more missing, and --offline forbids to fetch" in told
    assert told.endswith("run where there is a network: suder-bench judges fetch vqa parser\n")
    assert mirror.asked == []


def test_the_judges_of_a_benchmark(mirror: Mirror, own_cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["judges", "list", "--benchmark", "t2i-compbench", "--json"]) == 0
    assert {one["roles"] for one in json.loads(capsys.readouterr().out)["files"]} == {"vqa", "detector-3d", "parser"}
    assert main(["judges", "fetch", "--benchmark", "pope"]) == 2
    assert "pope asks no judge with weights to fetch; its judges: none" in capsys.readouterr().err
    assert main(["judges", "fetch", "--benchmark", "geneva"]) == 2
    assert "unknown benchmark 'geneva'; did you mean 'geneval'" in capsys.readouterr().err
    assert main(["judges", "verify", "vga"]) == 2
    assert "unknown role with weights to fetch 'vga'; did you mean 'vqa'" in capsys.readouterr().err


def test_a_disk_that_is_too_small_is_told_before_anything_is_fetched(
    mirror: Mirror, own_cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=1000))
    assert main(["judges", "fetch", "vqa"]) == 2
    assert "has 1 kB free, and 256 kB are needed; make room" in capsys.readouterr().err
    assert mirror.asked == []


def test_weights_in_another_folder(mirror: Mirror, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["judges", "fetch", "vqa", "--weights", str(tmp_path / "mine")]) == 0
    assert main(["judges", "verify", "--weights", str(tmp_path / "mine")]) == 0
    assert f"{tmp_path / 'mine' / 'blip.pth'}: the official file" in capsys.readouterr().out
