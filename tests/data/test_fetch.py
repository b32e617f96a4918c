"""Fetching official files from a server that breaks off, lies or is away."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mirror import Mirror, described, path, serving

from suder_bench.data import fetch as fetching
from suder_bench.data.catalogue import FREE, MIRROR, TERMS, OfficialFile, catalogue, official_files
from suder_bench.data.fetch import FetchError, ensure, fetch
from suder_bench.errors import UserError

CONTENT = bytes(range(256)) * 400
FILE = described("geneval", "evaluation_metadata.jsonl", CONTENT)
OTHER = described("geneval", "object_names.txt", b"cat\ndog\n")


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Mirror]]:
    """serve(**behaviour): the host of `FILE` and `OTHER`; tries follow each other at once."""
    monkeypatch.setattr(fetching, "PAUSE", 0.0)
    monkeypatch.setenv("no_proxy", "*")
    with ExitStack() as stack:

        def serve(content: bytes = CONTENT, **behaviour: object) -> Mirror:
            contents = {path(FILE): content, path(OTHER): b"cat\ndog\n"}
            mirror = stack.enter_context(serving(Mirror(contents, **behaviour)))  # type: ignore[arg-type]
            monkeypatch.setenv(MIRROR, mirror.address)
            return mirror

        yield serve


def part(folder: Path) -> Path:
    return folder / "geneval" / ".evaluation_metadata.jsonl.part"


def bring(folder: Path, *files: OfficialFile, **options: bool) -> list[str]:
    told: list[str] = []
    ensure(files or [FILE], folder, told.append, **{"offline": False} | options)
    return told


def test_files_are_fetched_once_and_told_once(serve: Callable[..., Mirror], tmp_path: Path) -> None:
    mirror = serve()
    assert bring(tmp_path, FILE, OTHER) == [f"fetching 2 files of geneval (102 kB) from {mirror.address[7:]} (licence: MIT)"]
    assert FILE.place(tmp_path).read_bytes() == CONTENT
    assert {file.name for file in (tmp_path / "geneval").iterdir()} == {FILE.name, OTHER.name}
    assert bring(tmp_path, FILE, OTHER) == []
    assert len(mirror.asked) == 2


def test_many_files_are_told_of_once_a_minute(
    serve: Callable[..., Mirror], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve()
    monkeypatch.setattr(fetching, "EVERY", 0.0)
    assert bring(tmp_path, FILE, OTHER)[1:] == ["geneval: 0 of 2 files fetched", "geneval: 1 of 2 files fetched"]


def test_a_broken_download_goes_on_where_it_stopped(serve: Callable[..., Mirror], tmp_path: Path) -> None:
    mirror = serve(cuts=[1000, 5000])
    bring(tmp_path)
    assert FILE.place(tmp_path).read_bytes() == CONTENT
    assert [wanted for _, wanted in mirror.asked] == [None, "bytes=1000-", "bytes=5000-"]


def test_a_later_command_goes_on_too(serve: Callable[..., Mirror], tmp_path: Path) -> None:
    mirror = serve(cuts=[100, 200, 300])
    with pytest.raises(
        FetchError, match=r"cannot fetch http.*metadata\.jsonl \(the answer broke off .* bytes short\); try again"
    ):
        bring(tmp_path)
    assert part(tmp_path).read_bytes() == CONTENT[:300]
    assert not FILE.place(tmp_path).exists()
    bring(tmp_path)
    assert mirror.asked[-1][1] == "bytes=300-"
    assert FILE.place(tmp_path).read_bytes() == CONTENT


def test_a_server_without_ranges_sends_everything_again(serve: Callable[..., Mirror], tmp_path: Path) -> None:
    serve(cuts=[1000], ranges=False)
    bring(tmp_path)
    assert FILE.place(tmp_path).read_bytes() == CONTENT


def test_passing_troubles_are_tried_again_and_lasting_ones_are_not(serve: Callable[..., Mirror], tmp_path: Path) -> None:
    mirror = serve(statuses=[503, 429])
    bring(tmp_path)
    assert len(mirror.asked) == 3
    gone = serve(statuses=[404] * 3)
    with pytest.raises(FetchError, match=r"\(HTTP 404 Not Found\)"):
        bring(tmp_path / "other")
    assert len(gone.asked) == 1


@pytest.mark.parametrize(
    ("content", "lengths", "told"),
    [
        (b"x" + CONTENT[1:], True, "sha256 .* instead of"),
        (CONTENT + b"and more", True, "102,408 bytes instead of 102,400"),
        (CONTENT + b"and more", False, "102,401 bytes instead of 102,400"),
        (CONTENT[:-1], True, "102,399 bytes instead of 102,400"),
        (CONTENT[:-1], False, "HTTP 416|broke off 1 bytes short"),
    ],
)
def test_another_file_is_never_put_in_place(
    serve: Callable[..., Mirror], tmp_path: Path, content: bytes, lengths: bool, told: str
) -> None:
    serve(content, lengths=lengths)
    with pytest.raises(FetchError, match=told):
        bring(tmp_path)
    assert not FILE.place(tmp_path).exists()


def test_a_wrong_beginning_is_thrown_away(serve: Callable[..., Mirror], tmp_path: Path) -> None:
    for kept in (b"wrong beginning", CONTENT + b"too long", b"x" * len(CONTENT)):
        serve()
        part(tmp_path).parent.mkdir(exist_ok=True)
        part(tmp_path).write_bytes(kept)
        bring(tmp_path)
        assert FILE.place(tmp_path).read_bytes() == CONTENT
        FILE.place(tmp_path).unlink()


def test_nobody_there_is_a_failure_of_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(fetching, "PAUSE", 0.0)
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv(MIRROR, "http://127.0.0.1:9")
    with pytest.raises(
        FetchError, match=r"Connection refused.*try again, set SUDER_BENCH_MIRROR, or put the file into"
    ) as raised:
        fetch(FILE, FILE.place(tmp_path))
    assert (raised.value.status, "\n" in str(raised.value)) == (1, False)


def test_offline_names_the_first_missing_file_and_the_command(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"geneval lacks .*metadata\.jsonl and 1 file more, and --offline .* data fetch geneval$"):
        bring(tmp_path, FILE, OTHER, offline=True)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (CONTENT[:-1], "102,399 bytes instead of 102,400"),
        (b"x" + CONTENT[1:], "sha256 \\w{12} instead of \\w{12}"),
        (b"", "0 bytes"),
    ],
)
def test_tampered_and_truncated_files_are_refused_by_name(
    serve: Callable[..., Mirror], tmp_path: Path, content: bytes, why: str
) -> None:
    place = FILE.place(tmp_path)
    place.parent.mkdir()
    place.write_bytes(content)
    assert FILE.state(tmp_path) == "damaged"
    serve()
    with pytest.raises(UserError, match=f"{re.escape(str(place))} is not the official file: {why}.*fetch geneval --replace"):
        bring(tmp_path)
    assert place.read_bytes() == content
    bring(tmp_path, replace=True)
    assert place.read_bytes() == CONTENT


@settings(max_examples=20, deadline=None)
@given(st.binary(max_size=60))
def test_only_the_file_itself_is_present(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    folder = tmp_path_factory.mktemp("data")
    file = described("pope", "x", b"the official content")
    (folder / "x").write_bytes(content)
    assert file.state(folder) == ("present" if content == b"the official content" else "damaged")


def test_the_catalogue_pins_every_file() -> None:
    files = catalogue()
    assert len({(file.folder, file.name) for file in files}) == len(files)
    for file in files:
        assert re.fullmatch(r"[0-9a-f]{64}", file.sha256)
        assert re.fullmatch(r"[0-9a-f]{40}", file.commit)
        assert file.address.startswith("https://raw.githubusercontent.com/")
        assert file.licence in (*FREE, *TERMS)
    assert [file.name for file in official_files(["geneval"])] == ["evaluation_metadata.jsonl", "object_names.txt"]
    with pytest.raises(UserError, match="unknown benchmark with files to fetch 'genval'; did you mean 'geneval'"):
        official_files(["genval"])
