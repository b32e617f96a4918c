"""The hub's sets are fetched from a server that behaves as the hub, breaks off and lets not everybody in; runs read what came."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from forms_of_world import FORMS
from hub_server import Hub, serving_hub

from suder_bench.cli import main
from suder_bench.data import fetch as fetching
from suder_bench.data.catalogue import MIRROR
from suder_bench.data.folder import WORLD_FILE
from suder_bench.data.hub import RECORD, hub_sets
from suder_bench.data.source import write_world
from suder_bench.runs.plan import build as built
from suder_bench.runs.plan import samples_digest

pytest.importorskip("pyarrow")
BENCHMARKS = tuple(FORMS)
NEWER = "beef" + "0" * 36


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fetched") / "world"
    write_world(folder, size="quick", benchmarks=BENCHMARKS)
    return folder


@pytest.fixture(scope="module")
def repositories(world: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The world's sets under the names of the hub's, with files beside those that are wanted."""
    found = {}
    for one in hub_sets():
        folder = tmp_path_factory.mktemp("repository")
        FORMS[one.benchmark]["hub"](world / one.benchmark, folder)
        (folder / "README.md").write_text("a card")
        (folder / "other").mkdir()
        (folder / "other" / "test-00000-of-00001.parquet").write_bytes(b"of another configuration")
        found[one.repository] = folder
    return found


@pytest.fixture
def hub(repositories: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setattr(fetching, "PAUSE", 0.0)
    monkeypatch.setenv("no_proxy", "*")
    for name in ("HF_HUB_OFFLINE", "HF_TOKEN", MIRROR):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with serving_hub(repositories) as served:
        monkeypatch.setenv("HF_ENDPOINT", served.address)
        yield served


def fetch(benchmark: str, data: Path, *options: str) -> int:
    """The official files are there as far as they are needed; only the hub's are asked for."""
    (data / benchmark).mkdir(parents=True, exist_ok=True)
    return main(["data", "fetch", benchmark, "--pictures", "--hub", "--data", str(data), *options])


@pytest.fixture
def none_official(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("suder_bench.data.catalogue.catalogue", lambda: ())


@pytest.mark.usefixtures("none_official")
@pytest.mark.parametrize("benchmark", BENCHMARKS)
def test_what_was_fetched_has_the_questions_of_the_official_files(
    hub: Hub, world: Path, tmp_path: Path, benchmark: str, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.licence = "apache-2.0"
    data = tmp_path / "data"
    assert fetch(benchmark, data) == 0
    [wanted] = hub_sets([benchmark])
    revision = (wanted.revision or hub.commit)[:12]
    shown = capsys.readouterr()
    files = [path for path, _ in hub.asked if path.endswith(".parquet")]
    assert f"fetching {len(files)} file" in shown.err
    assert f"kB) from {hub.address[7:]}: {wanted.repository}, {wanted.name}, at {revision} (licence: apache-2.0)" in shown.err
    assert f"{wanted.repository} ({wanted.name}) is in {data / benchmark / 'hub'}, {len(files)} files of it new" in shown.out
    assert files, "the sizes are known before the first file is asked for"
    assert not any("README" in path or "/other/" in path for path in files)
    shutil.copy(world / WORLD_FILE, data)
    if benchmark == "llavabench":
        shutil.copy(world / benchmark / "rule.json", data / benchmark)
    read = built(benchmark, data, "official")
    assert samples_digest(read.samples()) == samples_digest(built(benchmark, world, "official").samples())
    assert read.described()[0].endswith(f"({wanted.repository} at {revision})")


@pytest.mark.usefixtures("none_official")
def test_a_run_on_official_data_finds_the_fetched_set(
    hub: Hub, world: Path, own_cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "fetch", "hallusionbench", "--pictures"]) == 0
    assert "suder-bench data fetch" not in capsys.readouterr().out, "nothing lacks"
    shutil.copy(world / WORLD_FILE, own_cache / "official")
    shutil.copy(world / "hallusionbench" / "HallusionBench.json", own_cache / "official" / "hallusionbench")
    run = ["run", "--model", "tiny-janus", "--benchmark", "hallusionbench", "--data", str(own_cache / "official"), "--limit", "2"]
    assert main([*run, "--out", str(tmp_path / "run")]) == 0
    assert "(lmms-lab/HallusionBench at c0ffee000000)" in capsys.readouterr().err
    recorded = json.loads((tmp_path / "run" / "run.json").read_text())["benchmarks"]["hallusionbench"]
    assert recorded["origin"] == "lmms-lab/HallusionBench at c0ffee000000"
    assert main([*run, "--out", str(tmp_path / "run")]) == 0


@pytest.mark.usefixtures("none_official")
def test_what_broke_off_goes_on_in_the_same_command_and_in_a_later_one(
    hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """At the same commit, though the hub has a newer one by then."""
    data = tmp_path
    hub.cuts = [1000, 2000]
    assert fetch("seedbench", data) == 0
    ranges = [wanted for path, wanted in hub.asked if path.endswith("test-00000-of-00003.parquet")]
    assert ranges == [None, "bytes=1000-", "bytes=2000-"]
    shutil.rmtree(data / "seedbench")
    hub.asked.clear()
    hub.cuts = [10_000_000, 100, 200, 300]
    assert fetch("seedbench", data) == 1
    assert "the answer broke off" in capsys.readouterr().err
    hub.asked.clear()
    hub.commit = NEWER
    assert fetch("seedbench", data) == 0
    told = capsys.readouterr().err
    assert "fetching 2 files of seedbench (" in told
    assert "of which 0 kB are here)" in told
    assert "at c0ffee000000" in told
    assert [wanted for _, wanted in hub.asked] == ["bytes=300-", None]
    assert all("/resolve/c0ffee" in path for path, _ in hub.asked), "and the hub is not asked what there is"
    hub.asked.clear()
    assert fetch("seedbench", data) == 0
    assert fetch("seedbench", data, "--offline") == 0
    assert hub.asked == []
    assert fetch("seedbench", data, "--replace") == 0
    assert json.loads((data / "seedbench" / "hub" / RECORD).read_text())["default/test"]["revision"] == NEWER
    assert [path for path, _ in hub.asked if path.endswith(".parquet")] == [], "the newer commit has the same files"


@pytest.mark.usefixtures("none_official")
def test_another_file_is_refused_by_name_and_mended(hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert fetch("llavabench", tmp_path) == 0
    file = tmp_path / "llavabench" / "hub" / "data" / "train-00000-of-00001.parquet"
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    capsys.readouterr()
    assert fetch("llavabench", tmp_path) == 2
    told = capsys.readouterr().err
    assert f"{file} is not the hub's file: {len(whole) - 1:,} bytes instead of {len(whole):,}; get it again with" in told
    assert f"suder-bench data fetch llavabench --pictures --hub --data {tmp_path} --replace" in told
    file.write_bytes(b"x" + whole[1:])  # of the same size
    assert fetch("llavabench", tmp_path, "--replace") == 0
    assert file.read_bytes() == whole


@pytest.mark.usefixtures("none_official")
def test_a_torn_record_counts_as_none(hub: Hub, tmp_path: Path) -> None:
    assert fetch("llavabench", tmp_path) == 0
    record = tmp_path / "llavabench" / "hub" / RECORD
    for torn in ("", "{", "[]", '{"default/train": 1}', '{"default/train": {"repository": "a"}}', record.read_text()[:-20]):
        record.write_text(torn)
        assert fetch("llavabench", tmp_path) == 0
        assert json.loads(record.read_text())["default/train"]["files"]


@pytest.mark.usefixtures("none_official")
def test_a_language_s_table_comes_by_its_protocol(
    hub: Hub, repositories: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    repository = repositories["lmms-lab/MMBench"]
    shutil.copytree(repository / "en", repository / "cn", dirs_exist_ok=True)
    assert fetch("mmbench", tmp_path, "--protocol", "dev-cn") == 0
    assert {path.split("/")[-2] for path, _ in hub.asked if path.endswith(".parquet")} == {"cn"}
    assert fetch("mmbench", tmp_path) == 0
    assert set(json.loads((tmp_path / "mmbench" / "hub" / RECORD).read_text())) == {"cn/dev", "en/dev"}
    capsys.readouterr()
    assert fetch("mmbench", tmp_path, "--protocol", "test-cn") == 1
    assert "lmms-lab/MMBench has no parquet files of its split test (cn)" in capsys.readouterr().err
    assert fetch("mmbench", tmp_path, "--protocol", "dev-de") == 2
    assert "unknown protocol 'dev-de'; did you mean 'dev-cn'" in capsys.readouterr().err


@pytest.mark.usefixtures("none_official")
@pytest.mark.parametrize("kept", [True, False])
def test_what_the_hub_refuses_is_told_in_a_line(
    hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, kept: bool
) -> None:
    """Also when it is refused after the set was listed; a token that the user has is used."""
    if kept:
        hub.cuts = [10] * 3
        assert fetch("llavabench", tmp_path) == 1
    hub.token = "hf_secret"
    capsys.readouterr()
    assert fetch("llavabench", tmp_path) == 1
    [line] = [line for line in capsys.readouterr().err.splitlines() if "cannot fetch" in line]
    assert "401" in line
    assert "HF_TOKEN" in line
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    assert fetch("llavabench", tmp_path) == 0


@pytest.mark.usefixtures("none_official")
def test_a_set_that_is_not_there_nobody_there_and_no_network(
    tmp_path: Path, hub: Hub, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving_hub({}) as empty:
        monkeypatch.setenv("HF_ENDPOINT", empty.address)
        assert fetch("pope", tmp_path) == 1
    told = capsys.readouterr().err
    assert told.startswith(f"suder-bench: cannot fetch lmms-lab/POPE from {empty.address} (404 Client Error.")
    assert told.count("\n") == 1
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert fetch("pope", tmp_path) == 1
    told = capsys.readouterr().err
    assert told.startswith("suder-bench: cannot fetch lmms-lab/POPE from http://127.0.0.1:9 (")
    assert told.count("\n") == 1
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for options, why in ((("--offline",), "--offline"), ((), "HF_HUB_OFFLINE")):
        assert fetch("pope", tmp_path, *options) == 2
        told = capsys.readouterr().err
        assert (
            f"and {why} forbids to fetch them; run where there is a network: suder-bench data fetch pope --pictures --hub" in told
        )
        assert told.count("\n") == 1


@pytest.mark.usefixtures("none_official")
def test_a_disk_without_room_is_told_before_anything_comes(
    hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=1000))
    assert fetch("pope", tmp_path) == 2
    told = capsys.readouterr().err
    assert f"{tmp_path / 'pope' / 'hub'} has 1 kB free, and " in told
    assert not [path for path, _ in hub.asked if path.endswith(".parquet")]


def test_the_hub_is_asked_below_the_mirror_where_no_other_address_is_given(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from suder_bench.data.hub import endpoint
    from suder_bench.data.owners import owners_files

    file = owners_files(["seedbench"], tmp_path)[0]
    assert file.address.startswith(f"{hub.address}/datasets/AILab-CVC/SEED-Bench/resolve/")
    monkeypatch.setenv(MIRROR, "https://mirror.example/files")
    assert endpoint() == hub.address
    monkeypatch.delenv("HF_ENDPOINT")
    assert endpoint() == "https://mirror.example/files/huggingface.co"
    assert file.address.startswith("https://mirror.example/files/huggingface.co/datasets/AILab-CVC/")
    monkeypatch.delenv(MIRROR)
    assert endpoint() == "https://huggingface.co"


def test_hub_without_pictures_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "fetch", "pope", "--hub"]) == 2
    assert "--hub says where pictures come from; add --pictures" in capsys.readouterr().err
