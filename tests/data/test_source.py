"""Where benchmark files come from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from suder_bench import registry
from suder_bench.data.catalogue import catalogue
from suder_bench.data.fetch import fetch
from suder_bench.data.folder import WORLD_FILE, benchmark_folder
from suder_bench.data.source import Source, cache, choose, write_world
from suder_bench.errors import UserError


def quiet(line: str) -> None:
    pass


def test_a_model_of_the_world_gets_the_world_and_others_the_official_files() -> None:
    assert choose(None, None, world_model=True) == Source("world", size="quick")
    assert choose(None, "full", world_model=True) == Source("world", size="full")
    assert choose(None, None, world_model=False) == Source("official")
    assert choose("world", None, world_model=False).world
    assert not choose("official", None, world_model=True).world


def test_a_folder_is_the_worlds_when_it_says_so(tmp_path: Path) -> None:
    source = choose(str(tmp_path), None, world_model=True)
    assert (source.folder("pope", quiet, offline=False), source.world, source.argument) == (tmp_path, False, str(tmp_path))
    (tmp_path / "pope").mkdir()
    inner = choose(str(tmp_path / "pope"), None, world_model=True)
    assert not inner.world
    (tmp_path / WORLD_FILE).write_text("{}")
    assert source.world
    assert inner.world


def test_a_folder_is_remembered_wherever_the_next_command_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    assert choose("data", None, world_model=False).path == (tmp_path / "data").resolve()


@pytest.mark.parametrize(
    ("data", "size", "told"),
    [("wrold", None, "--data 'wrold' is neither"), ("official", "full", "--size full is for --data world")],
)
def test_mistakes(data: str, size: str | None, told: str) -> None:
    with pytest.raises(UserError, match=told):
        choose(data, size, world_model=True)


def test_official_files_are_looked_for_in_the_cache(own_cache: Path) -> None:
    assert cache() == own_cache
    with pytest.raises(
        UserError, match=r"geneval lacks .*official/geneval/evaluation_metadata\.jsonl and 1 file more, and --off"
    ):
        Source("official").folder("geneval", quiet, offline=True)
    assert Source("official").folder("mmbench", quiet, offline=True) == own_cache / "official"


@pytest.mark.parametrize(
    ("benchmark", "protocol", "names"),
    [
        ("hallusionbench", "official", {"HallusionBench.json"}),
        ("hallusionbench", "suder-bench-llm", {"HallusionBench.json"}),
        ("hallusionbench", "official-llm", {"HallusionBench.json", "utils.py"}),
        ("llavabench", "official", {"rule.json", "eval_gpt_review_bench.py"}),
        ("llavabench", "suder-bench", {"rule.json"}),
        ("llavabench", "reviews", set()),
        ("pope", "gqa", {f"gqa_pope_seem_{track}.json" for track in ("random", "popular", "adversarial")}),
    ],
)
def test_only_what_a_protocol_reads_is_asked_for(own_cache: Path, benchmark: str, protocol: str, names: set[str]) -> None:
    assert {file.name for file in catalogue() if file.benchmark == benchmark and file.needed(protocol)} == names
    if not names:
        assert Source("official").folder(benchmark, quiet, offline=True, protocol=protocol) == own_cache / "official"
        return
    others = f" and {len(names) - 1} files? more" if len(names) > 1 else ""
    with pytest.raises(UserError, match=rf"{benchmark} lacks \S+{others}, and --offline forbids"):
        Source("official").folder(benchmark, quiet, offline=True, protocol=protocol)


def test_every_protocol_that_a_file_names_exists() -> None:
    for file in catalogue():
        assert set(file.protocols.split()) <= set(registry.load("benchmarks", file.benchmark).protocols)


@pytest.mark.parametrize(
    ("name", "marker", "way"),
    [
        ("geneval", "evaluation_metadata.jsonl", "get the official files with suder-bench data fetch geneval"),
        ("llavabench", "questions.jsonl", r"suder-bench data fetch llavabench --pictures --data .* brings .*Apache-2\.0\).*"),
    ],
)
def test_a_folder_without_the_files_says_how_to_get_them(tmp_path: Path, name: str, marker: str, way: str) -> None:
    with pytest.raises(UserError, match=f"no {name}/{marker} in .*; {way}, pass their folder with --data DIR"):
        benchmark_folder(tmp_path, name, marker)


def test_a_benchmarks_folder_is_inside_the_data_or_the_data_themselves(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("")
    assert benchmark_folder(tmp_path, "pope", "x.json") == tmp_path
    (tmp_path / "pope").mkdir()
    (tmp_path / "pope/x.json").write_text("")
    assert benchmark_folder(tmp_path, "pope", "x.json") == tmp_path / "pope"


def test_the_world_is_written_once_and_complete(own_cache: Path) -> None:
    told: list[str] = []
    source = Source("world", size="quick")
    folder = source.folder("geneval", told.append, offline=True)
    assert told == [f"writing the world's geneval (quick) to {folder}"]
    assert folder.is_relative_to(own_cache / "world")
    assert json.loads((folder / WORLD_FILE).read_text())["benchmarks"] == ["geneval"]
    assert (folder / "geneval/evaluation_metadata.jsonl").is_file()
    assert source.folder("geneval", told.append, offline=True) == folder
    assert len(told) == 1
    assert list(folder.parent.iterdir()) == [folder]


def test_the_world_never_overwrites(tmp_path: Path) -> None:
    write_world(tmp_path / "new", size="quick", benchmarks=["pope"])
    assert (tmp_path / "new" / WORLD_FILE).is_file()
    (tmp_path / "new" / "pope" / "mine.txt").write_text("mine")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "new").rglob("*")}
    write_world(tmp_path / "new", size="quick", benchmarks=["pope"])  # a kill may have come when all was done
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "new").rglob("*")} == before
    with pytest.raises(UserError, match="is not empty; choose a new folder"):
        write_world(tmp_path / "new", size="quick", benchmarks=["geneval"])
    file = next((tmp_path / "new" / "pope").rglob("*.json"))
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(UserError, match="is not empty; choose a new folder"):
        write_world(tmp_path / "new", size="quick", benchmarks=["pope"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="unknown benchmark"):
        write_world(tmp_path / "empty", size="quick", benchmarks=["nope"])
    write_world(tmp_path / "empty", size="quick", benchmarks=["pope"])
    assert {path.name for path in tmp_path.iterdir()} == {"new", "empty"}


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    told = "cannot be written .*; choose another folder, or export SUDER_BENCH_CACHE=FOLDER"
    with pytest.raises(UserError, match=told):
        write_world(tmp_path / "file/world", size="quick", benchmarks=["pope"])
    one = next(iter(catalogue()))
    with pytest.raises(UserError, match=told):
        fetch(one, tmp_path / "file" / one.name)
    monkeypatch.setenv("SUDER_BENCH_CACHE", str(tmp_path / "file"))
    with pytest.raises(UserError, match=told):
        Source("world", size="quick").folder("pope", lambda line: None, offline=True)
