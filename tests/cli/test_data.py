"""`suder-bench data` and `run --data official`, against a mirror of two small files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from mirror import Mirror, described, path, serving

from suder_bench.cli import doctor, main
from suder_bench.data import catalogue, fetch, owners, source
from suder_bench.data.source import write_world
from suder_bench.runs.execute import Run

METADATA = json.dumps({"tag": "single_object", "prompt": "a photo of a cat", "include": [{"class": "cat", "count": 1}]})
CONTENTS = {"evaluation_metadata.jsonl": METADATA.encode(), "object_names.txt": b"cat\ndog\n"}
FILES = tuple(described("geneval", name, content) for name, content in CONTENTS.items())


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    """The catalogue holds GenEval's two files, and the mirror serves them."""
    for module in (catalogue, source):
        monkeypatch.setattr(module, "catalogue", lambda: FILES)
    monkeypatch.setattr(fetch, "PAUSE", 0.0)
    monkeypatch.setenv("no_proxy", "*")
    with serving(Mirror({path(file): CONTENTS[file.name] for file in FILES})) as mirror:
        monkeypatch.setenv(catalogue.MIRROR, mirror.address)
        yield mirror


def test_fetch_verify_list(mirror: Mirror, own_cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "verify"]) == 2
    assert f"no official files in {own_cache / 'official'}; get them with suder-bench data fetch" in capsys.readouterr().err
    assert main(["data", "fetch", "geneval"]) == 0
    shown = capsys.readouterr()
    assert shown.out == f"2 official files are in {own_cache / 'official'}, 2 of them new; use them with --data official\n"
    assert shown.err.startswith("fetching 2 files of geneval")
    assert main(["data", "verify"]) == 0
    assert "2 of 2 files in" in capsys.readouterr().out
    assert main(["data", "list"]) == 0
    first, *rows, last = capsys.readouterr().out.splitlines()
    assert first == "geneval"
    rows, elsewhere = rows[:2], rows[2:]
    assert [row.split() for row in rows] == [["present", f.name, str(f.bytes), "MIT", "somebody/something"] for f in FILES]
    assert elsewhere[0] == "pope"
    assert last.endswith("2 present, 0 missing, 0 damaged")


def test_files_of_another_protocol_are_missed_only_where_some_are_there(
    mirror: Mirror, own_cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    others = [replace(described("geneval", name, b"x"), protocols="other") for name in ("a.txt", "b.txt")]
    for module in (catalogue, source, doctor):
        monkeypatch.setattr(module, "catalogue", lambda: (*FILES, *others))
    source.Source("official").folder("geneval", lambda line: None, offline=False)
    assert main(["data", "verify"]) == 0
    assert "2 of 2 files in" in capsys.readouterr().out
    main(["doctor", "--json"])
    findings = json.loads(capsys.readouterr().out)["findings"]
    [found] = [row for row in findings if (row["group"], row["name"]) == ("official data", "geneval")]
    assert found["state"] == "ok"
    (own_cache / "official" / "geneval" / "a.txt").write_bytes(b"x")
    assert main(["data", "verify"]) == 1
    assert f"{own_cache / 'official' / 'geneval' / 'b.txt'}: missing" in capsys.readouterr().out


def test_list_says_where_pictures_are_how_large_whose_licence_and_where_they_go(
    own_cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "list", "seedbench", "pope"]) == 0
    shown = capsys.readouterr().out
    assert (
        f"  {own_cache}/official/seedbench/images: the pictures, SEED-Bench-image.zip: https://huggingface.co/datasets/"
        "AILab-CVC/SEED-Bench/resolve/main/SEED-Bench-image.zip (size: 1.68 GB; licence: CC BY-NC 4.0 (pictures: Conceptual"
        " Captions' own)); to be put there by hand\n" in shown
    )
    assert "size: not stated (all of val2014.zip: 6.65 GB)" in shown
    assert main(["data", "list", "mmbench", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["pictures"]
    assert [(one["size"], one["licence"], one["way"]) for one in listed] == [
        ("37.2 MB", "Apache-2.0 (the repository's; of the pictures not stated)", "fetch"),
        ("37 to 73 MB each", "Apache-2.0 (the repository's; of the pictures not stated)", "fetch"),
        ("97 to 141 MB each", "told before it starts", "hub"),
    ]


def test_pictures_are_fetched_from_their_owners(mirror: Mirror, own_cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """POPE's questions name its pictures; the mirror has the owners' hosts as folders."""
    folder = own_cache / "official" / "pope"
    folder.mkdir(parents=True)
    names = ["COCO_val2014_000000000042.jpg", "COCO_val2014_000000000073.jpg"]
    asked = [{"image": name} for name in [*names, *names, "/etc/COCO_val2014_1.jpg", "COCO_val2014_/../../x.jpg"]]
    (folder / "coco_pope_random.json").write_text("\n".join(map(json.dumps, asked)))
    mirror.contents = {f"/images.cocodataset.org/val2014/{name}": b"\xff\xd8 a picture" for name in names}
    assert main(["data", "fetch", "pope", "--pictures"]) == 0
    shown = capsys.readouterr()
    assert f"2 files from their owners are in {own_cache}/official, 2 of them new" in shown.out
    assert "not fetched: GQA's pictures: https://cs.stanford.edu/" in shown.out
    assert sorted(file.name for file in (folder / "images").iterdir()) == names
    assert main(["data", "fetch", "pope", "--pictures"]) == 0
    assert len(mirror.asked) == 2


@pytest.mark.parametrize(
    ("benchmark", "first", "why"),
    [
        ("llavabench", "questions.jsonl", "it is no .jsonl file"),
        ("mmbench", "MMBench_DEV_EN.tsv", "md5 adfbd68b4337 instead of b6caf1133a01"),
    ],
)
def test_what_cannot_be_the_owners_file_is_not_kept(
    mirror: Mirror, own_cache: Path, capsys: pytest.CaptureFixture[str], benchmark: str, first: str, why: str
) -> None:
    files = owners.owners_files([benchmark], own_cache)
    assert main(["data", "fetch", benchmark, "--pictures", "--offline"]) == 2
    assert capsys.readouterr().err.endswith(f"run where there is a network: suder-bench data fetch {benchmark} --pictures\n")
    mirror.contents = {file.address.removeprefix(mirror.address): b"<html>please log in" for file in files}
    assert main(["data", "fetch", benchmark, "--pictures"]) == 1
    told = capsys.readouterr().err
    assert f"{first} (not the official file: {why})" in told
    assert not (own_cache / "official" / benchmark / first).exists()


def test_a_run_that_lacks_pictures_says_where_they_are_and_how_to_get_them(
    mirror: Mirror, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        main(["run", "--model", "tiny-janus", "--benchmark", "mmbench", "--data", str(tmp_path), "--out", str(tmp_path / "r")])
        == 2
    )
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert f"suder-bench data fetch mmbench --pictures --data {tmp_path} brings MMBench_DEV_EN.tsv" in told
    assert "(size: 37.2 MB; licence: Apache-2.0" in told


def test_damage_is_named_and_mended(mirror: Mirror, own_cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "fetch"]) == 0
    names = own_cache / "official/geneval/object_names.txt"
    names.write_text("cat\ncow\n")
    (own_cache / "official/geneval/evaluation_metadata.jsonl").unlink()
    capsys.readouterr()
    assert main(["data", "verify"]) == 1
    shown = capsys.readouterr()
    missing, tampered, count = shown.out.splitlines()
    assert missing.endswith("evaluation_metadata.jsonl: missing")
    assert tampered.startswith(f"{names}: sha256 ")
    assert count.startswith("0 of 2 files")
    assert shown.err == "suder-bench: get them again with suder-bench data fetch geneval --replace\n"
    assert main(["data", "list", "--json"]) == 0
    assert [file["state"] for file in json.loads(capsys.readouterr().out)["files"]] == ["missing", "damaged"]
    assert main(["data", "fetch"]) == 2
    assert f"{names} is not the official file" in capsys.readouterr().err
    assert main(["data", "fetch", "--replace"]) == 0
    assert main(["data", "verify", "--json"]) == 0


def test_a_folder_of_ones_own(mirror: Mirror, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = tmp_path / "own"
    assert main(["data", "fetch", "--data", str(own), "--offline"]) == 2
    assert "and --offline forbids to fetch them" in capsys.readouterr().err
    assert main(["data", "fetch", "--data", str(own)]) == 0
    assert f"use them with --data {own}" in capsys.readouterr().out
    assert main(["data", "fetch", "--data", str(own), "--offline"]) == 0
    assert main(["data", "verify", "--data", str(own / "geneval")]) == 0
    write_world(tmp_path / "world", size="quick", benchmarks=["pope"])
    assert main(["data", "fetch", "--data", str(tmp_path / "world"), "--replace"]) == 2
    assert "holds the world's files" in capsys.readouterr().err


def test_a_run_on_official_data_fetches_what_it_lacks(
    mirror: Mirror, tmp_path: Path, own_cache: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "made").mkdir()
    run = ["run", "--model", "folder:made", "--benchmark", "geneval", "--data", "official", "--device", "cpu", "--dry-run"]
    assert main([*run, "--offline"]) == 2
    assert capsys.readouterr().err.endswith("run where there is a network: suder-bench data fetch geneval\n")
    assert mirror.asked == []
    monkeypatch.setattr(Run, "_try_out", lambda *_: {})
    assert main(run) == 0
    shown = capsys.readouterr()
    assert "fetching 2 files of geneval" in shown.err
    assert "geneval: 1 samples" in shown.out
    assert main([*run, "--offline"]) == 0
    assert len(mirror.asked) == 2
    (own_cache / "official/geneval/object_names.txt").write_text("cat\n")
    assert main(run) == 2
    assert "object_names.txt is not the official file: 4 bytes instead of 8" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("janus:empty", "holds no config.json"),
        ("janus:./nowhere", "'./nowhere' is neither a folder nor a hub id"),
        ("folder:nowhere", "no such folder"),
    ],
)
@pytest.mark.parametrize(("others", "status"), [((), 2), (("--dry-run",), 1)])
def test_a_model_that_is_none_is_told_before_anything_is_fetched(
    mirror: Mirror,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    model: str,
    message: str,
    others: tuple[str, ...],
    status: int,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    assert main(["run", "--model", model, "--benchmark", "geneval", "--data", "official", "--device", "cpu", *others]) == status
    told = capsys.readouterr()
    assert message in told.err
    assert told.err.count("\n") == 1
    assert mirror.asked == []
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["fetch", "mmbench"], "all there is of mmbench holds pictures; add --pictures"),
        (["fetch", "--data", "world"], "use suder-bench data world DIR"),
        (["ferch"], "invalid choice: 'ferch'"),
        ([], "arguments are required: action"),
    ],
)
def test_mistakes(arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", *arguments]) == 2
    assert told in capsys.readouterr().err


def test_what_is_not_free_comes_only_by_its_name_and_its_licence_is_told_first(
    mirror: Mirror, own_cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    others = [
        replace(described("geneval2", "geneval2_data.jsonl", b"{}"), licence="CC BY-NC 4.0"),
        replace(described("wise_verified", "vllm_eval.py", b"x = 1"), licence=catalogue.UNSTATED),
    ]
    monkeypatch.setattr(catalogue, "catalogue", lambda: (*FILES, *others))
    mirror.contents |= {path(others[0]): b"{}"}
    assert main(["data", "fetch"]) == 0
    shown = capsys.readouterr()
    assert "not fetched: geneval2 (licence: CC BY-NC 4.0: not for commercial use, with its authors named); " in shown.out
    assert "not fetched: wise-verified (licence: none stated by its authors: use it, do not hand it on); " in shown.out
    assert not (own_cache / "official" / "geneval2").exists()
    assert main(["data", "fetch", "geneval2"]) == 0
    shown = capsys.readouterr()
    assert shown.err.endswith("(licence: CC BY-NC 4.0: not for commercial use, with its authors named)\n")
    assert (own_cache / "official" / "geneval2" / "geneval2_data.jsonl").is_file()
