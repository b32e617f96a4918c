"""Where pictures are to be had is told alike by the tables, the error lines and the page; a proxy in between is named."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from mirror import described

from suder_bench.data import fetch as fetching
from suder_bench.data.catalogue import MIRROR
from suder_bench.data.fetch import FetchError, fetch
from suder_bench.data.hub import hub_sets
from suder_bench.data.owners import COCO, materials, owners_files, wanting
from suder_bench.errors import UserError
from suder_bench.evaluators.mmbench import JUDGED, TABLES

PAGE = Path(__file__).parents[2] / "docs" / "data.md"
NAMES = ("pope", "hallusionbench", "llavabench", "mmbench", "seedbench")


def test_every_benchmark_with_pictures_is_told_of() -> None:
    assert {one.benchmark for one in materials()} == set(NAMES)


def test_the_page_says_what_the_table_says() -> None:
    rows = [[cell.strip(" `") for cell in line.split("|")[1:-1]] for line in PAGE.read_text().splitlines() if "| http" in line]
    said = [(what, folder, address, size, licence, way) for _, what, folder, address, size, licence, way in rows]
    ways = {"fetch": "--pictures", "hub": "--pictures --hub", "hand": "by hand"}
    places = [str(one.place(Path())) for one in materials()]
    assert said == [
        (one.what, place, one.address, one.size, one.licence, ways[one.way])
        for one, place in zip(materials(), places, strict=True)
    ]


@pytest.mark.parametrize("benchmark", NAMES)
def test_an_error_names_command_or_folder_address_size_and_licence(benchmark: str) -> None:
    told = wanting(benchmark, Path("d"))
    for one in materials([benchmark]):
        if one.needed("official"):
            way = {
                "fetch": f"suder-bench data fetch {benchmark} --pictures --data d brings ",
                "hub": f"suder-bench data fetch {benchmark} --pictures --hub --data d brings ",
                "hand": f"put into {one.place(Path('d'))} ",
            }[one.way]
            assert all(part in told for part in (way, one.address, one.size, one.licence))
    assert "\n" not in told


def test_a_protocol_is_told_of_its_own_pictures_only() -> None:
    assert "GQA" in wanting("pope", Path("d"), "gqa")
    assert "COCO" not in wanting("pope", Path("d"), "gqa")
    assert "GQA" not in wanting("pope", Path("d"), "official")


def test_an_edition_s_command_names_its_protocol() -> None:
    told = wanting("mmbench", Path("d"), "dev-cn")
    assert "suder-bench data fetch mmbench --pictures --protocol dev-cn --data d brings the protocol's table" in told
    assert "suder-bench data fetch mmbench --pictures --hub --protocol dev-cn --data d brings the hub's copy" in told
    assert "--hub" not in wanting("mmbench", Path("d"), "dev-en-v11")


def test_every_edition_of_mmbench_can_be_fetched_by_its_name(tmp_path: Path) -> None:
    for protocol, (*_, table) in {**TABLES, "official": ("MMBench_DEV_EN",)}.items():
        [file] = owners_files(["mmbench"], tmp_path, protocol)
        assert file.name == f"{table}.tsv"
        assert file.url.endswith(f"/{file.name}")
    assert len({file.md5 for protocol in TABLES for file in owners_files(["mmbench"], tmp_path, protocol)}) == len(TABLES)


def test_what_can_be_fetched_lies_at_one_commit_or_has_a_checksum(tmp_path: Path) -> None:
    for file in owners_files([], tmp_path):
        assert file.md5 or re.search("/resolve/[0-9a-f]{40}/", file.url), file.name
    fetched = {one.benchmark for one in materials() if one.way == "fetch"}
    assert {file.benchmark for file in owners_files([], tmp_path)} == fetched - {"pope"}  # of which no questions are here


def test_pope_s_pictures_are_those_that_its_questions_name(tmp_path: Path) -> None:
    (tmp_path / "pope").mkdir()
    (tmp_path / "pope" / "coco_pope_popular.json").write_text('{"image": "COCO_val2014_000000000001.jpg"}\n' * 6)
    [file] = owners_files(["pope"], tmp_path)
    assert (file.url, file.name) == (COCO + "COCO_val2014_000000000001.jpg", "images/COCO_val2014_000000000001.jpg")
    tracks = {"aokvqa": "COCO_val2014_000000000002.jpg", "gqa": "2405722.jpg"}
    for track, name in tracks.items():
        (tmp_path / "pope" / f"{track}_pope_seem_random.json").write_text(json.dumps([{"image": name}], indent=1))
    assert [file.name[-5:] for file in owners_files(["pope"], tmp_path)] == ["2.jpg", "1.jpg"]
    (tmp_path / "pope" / "coco_pope_popular.json").write_text("[1]\n")
    with pytest.raises(UserError, match=r"coco_pope_popular\.json cannot be read"):
        owners_files(["pope"], tmp_path)


def test_a_proxy_that_may_be_the_cause_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = described("geneval", "object_names.txt", b"cat")
    monkeypatch.setattr(fetching, "PAUSE", 0.0)
    monkeypatch.setenv(MIRROR, "http://mirror.example")
    for name in ("http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", "http://user:secret@127.0.0.1:9")
    with pytest.raises(
        FetchError, match=r"through the proxy http://127\.0\.0\.1:9 of http_proxy; set no_proxy=mirror\.example"
    ) as told:
        fetch(file, file.place(tmp_path))
    assert "secret" not in str(told.value)
    monkeypatch.setenv("no_proxy", "mirror.example")
    with pytest.raises(FetchError) as told:
        fetch(file, file.place(tmp_path))
    assert "through the proxy" not in str(told.value)


@pytest.mark.parametrize(("protocol", "table"), JUDGED.items())
def test_a_protocol_that_asks_a_language_model_fetches_the_table_that_it_asks_about(protocol: str, table: str) -> None:
    theirs = [file.name for file in owners_files(["mmbench"], Path("data"), protocol)]
    assert theirs == [file.name for file in owners_files(["mmbench"], Path("data"), table)]
    assert [one.name for one in hub_sets(["mmbench"], protocol)] == [one.name for one in hub_sets(["mmbench"], table)]
