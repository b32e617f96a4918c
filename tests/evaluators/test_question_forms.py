"""Whatever the form of the data, the same questions, ids, pictures and scores come out; what is wrong is told in a line."""

from __future__ import annotations

import base64
import csv
import json
import re
import shutil
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from answering import score
from forms_of_world import FORMS, TRACKS, lines, mmbench, parquet, picture, pope, pope_hub, shared, table

from suder_bench import registry
from suder_bench.cli import main
from suder_bench.data.folder import WORLD_FILE
from suder_bench.data.prompts import PASS
from suder_bench.data.source import write_world
from suder_bench.errors import UserError
from suder_bench.evaluators.forms.mmbench import edition
from suder_bench.evaluators.forms.pope import release
from suder_bench.records import Embedded, content, open_image
from suder_bench.runs.plan import samples_digest

pytest.importorskip("pyarrow")
BENCHMARKS = tuple(FORMS)
ALL = [(benchmark, form) for benchmark, forms in FORMS.items() for form in forms]
NAMELESS = {("hallusionbench", "table"), ("llavabench", "table"), ("seedbench", "table")}
"""Forms that hold neither the pictures' names nor, HallusionBench's, the reference answers."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("forms") / "world"
    write_world(folder, size="quick", benchmarks=BENCHMARKS)
    return folder


def written(world: Path, benchmark: str, form: str, folder: Path) -> Path:
    """A data folder with the world's set in this form."""
    (folder / benchmark).mkdir(parents=True, exist_ok=True)
    shutil.copy(world / WORLD_FILE, folder)
    FORMS[benchmark][form](world / benchmark, folder / benchmark)
    return folder


def built(benchmark: str, data: Path, protocol: str = "official") -> Any:
    return registry.load("benchmarks", benchmark)(data, protocol)


def answers(samples: Any) -> list[str]:
    """Right, wrong and unreadable ones, by the sample's number; nothing of them depends on the form."""
    said = []
    for number, sample in enumerate(samples):
        truth = sample.truth.get("answer") or sample.truth.get("label") or "a dog"
        said.append((truth, "No.", "I cannot tell", f"{truth}. Surely.")[number % 4])
    return said


class Judge:
    def review(self, system: str, prompts: list[str]) -> list[str]:
        return [f"8 {len(prompt) % 9 + 1}\nwhy" for prompt in prompts]


@pytest.mark.parametrize(("benchmark", "form"), ALL)
def test_every_form_gives_the_same_questions_pictures_and_scores(world: Path, tmp_path: Path, benchmark: str, form: str) -> None:
    official, other = built(benchmark, world), built(benchmark, written(world, benchmark, form, tmp_path))
    ours, theirs = official.samples(), other.samples()
    assert [sample.id for sample in theirs] == [sample.id for sample in ours]
    assert [sample.prompt for sample in theirs] == [sample.prompt for sample in ours]
    left_out = {"gt_answer_details"} if (benchmark, form) == ("hallusionbench", "table") else set()
    for mine, other_s in zip(ours, theirs, strict=True):
        assert {k: v for k, v in other_s.truth.items() if k not in left_out} == {
            k: v for k, v in mine.truth.items() if k not in left_out
        }
        assert content(other_s.images[0]) == content(mine.images[0])
    if (benchmark, form) not in NAMELESS:
        assert samples_digest(theirs) == samples_digest(ours)
    assert Counter(Counter(one.cluster for one in theirs).values()) == Counter(Counter(one.cluster for one in ours).values())
    scores = [
        score(bench, list(zip(samples, answers(samples), strict=True)), {"llm": Judge()})
        for bench, samples in ((official, ours), (other, theirs))
    ]
    assert scores[0] == scores[1]


def test_a_run_on_the_hub_s_files_says_what_it_reads(world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for benchmark in BENCHMARKS:
        written(world, benchmark, "hub", tmp_path / "data")
    command = ["run", "--model", "tiny-janus", "--suite", "und", "--data", str(tmp_path / "data"), "--limit", "2"]
    assert main([*command, "--out", str(tmp_path / "run"), "--json"]) == 0
    told = capsys.readouterr()
    scored = json.loads(told.out)["benchmarks"]
    assert {name: scored[name]["failed"] for name in scored} == dict.fromkeys(BENCHMARKS, 0)
    for benchmark in BENCHMARKS:
        assert re.search(rf"^{benchmark}: \d.* from .*\.parquet", told.err, re.MULTILINE)


def test_the_protocol_with_all_questions_reads_both_parts_of_the_hub_s_set(world: Path, tmp_path: Path) -> None:
    data = written(world, "hallusionbench", "hub", tmp_path)
    ours, theirs = (built("hallusionbench", folder, "suder-bench-llm").samples() for folder in (world, data))
    assert samples_digest(theirs) != samples_digest([])
    assert {sample.id: sample.truth for sample in theirs} == {sample.id: sample.truth for sample in ours}
    assert sum(not sample.images for sample in theirs) == sum(not sample.images for sample in ours) > 0


def test_vlmevalkit_s_hallusionbench_has_no_reference_answers(world: Path, tmp_path: Path) -> None:
    data = written(world, "hallusionbench", "table", tmp_path)
    with pytest.raises(UserError, match=r"row 1: no reference answer for the judge; put the official HallusionBench\.json there"):
        built("hallusionbench", data, "suder-bench-llm").samples()


def test_official_questions_without_pictures_leave_the_hub_s_files_to_be_read(world: Path, tmp_path: Path) -> None:
    """As `data fetch --pictures` leaves them."""
    data = written(world, "hallusionbench", "hub", tmp_path)
    shutil.copy(world / "hallusionbench" / "HallusionBench.json", data / "hallusionbench")
    bench = built("hallusionbench", data)
    assert all(isinstance(sample.images[0], Embedded) for sample in bench.samples())
    assert "image-00000-of-00003.parquet and 3 more" in bench.described()[0]


def test_pope_merged_over_its_tracks_keeps_questions_and_scores(world: Path, tmp_path: Path) -> None:
    """VLMEvalKit's own table: a question once, with all its tracks; only negatives of one picture may exchange their numbers."""
    merged: dict[tuple[str, str, str], list[str]] = {}
    for row in pope(world / "pope"):
        merged.setdefault((row["image"], row["text"], row["label"]), []).append(row["track"])
    rows = [
        {"index": i, "question": text, "answer": label.capitalize(), "category": ",".join(tracks)}
        for i, ((_, text, label), tracks) in enumerate(merged.items())
    ]
    table(tmp_path / "pope" / "POPE.tsv", shared(rows, [image for image, _, _ in merged], world / "pope" / "images"))
    shutil.copy(world / WORLD_FILE, tmp_path)
    ours, theirs = built("pope", world).samples(), built("pope", tmp_path).samples()
    assert [one.id for one in theirs] == [one.id for one in ours]

    def what(samples: Any) -> Counter[Any]:
        return Counter((s.truth["track"], s.truth["object"], s.truth["label"], content(s.images[0])) for s in samples)

    assert what(ours) == what(theirs)
    assert [one.truth["label"] for one in theirs] == [one.truth["label"] for one in ours]


def test_the_two_releases_of_pope_are_told_apart() -> None:
    whole = [track for track in TRACKS for _ in range(3000)]
    assert release(whole) == "9,000 questions: the release of October 2023"
    assert release(whole[90:]) == "8,910 questions: the first release, with 2,910 random questions"
    assert (
        release(whole[:-90])
        == "8,910 questions (random 3,000, popular 3,000, adversarial 2,910), which is neither release of POPE"
    )


@pytest.mark.parametrize(("name", "form"), [("MMBench_DEV_EN_V11", "tsv"), ("v11", "xlsx"), ("dev-en-v11", "hub")])
def test_v11_is_run_by_its_name_from_every_form(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, form: str
) -> None:
    data = tmp_path / "data"
    if form == "hub":
        written(world, "mmbench", "hub", data)
        (data / "mmbench" / "en").rename(data / "mmbench" / "en_v11")
    else:
        table(data / f"MMBench_DEV_EN_V11.{form}", mmbench(world / "mmbench"))
        shutil.copy(world / WORLD_FILE, data)
    run = ["run", "--model", "tiny-janus", "--benchmark", "mmbench", "--data", str(data), "--limit", "1", "--protocol", name]
    assert main([*run, "--out", str(tmp_path / "run"), "--dry-run"]) == 0
    count = len(mmbench(world / "mmbench"))
    assert re.search(rf"mmbench: \d+ questions in {count} rows \(.*\), from .*", capsys.readouterr().err)
    assert built("mmbench", data, "dev-en-v11").headline == "dev-en-v11/vanilla/overall"


def test_a_protocol_s_other_names_are_its_own_in_a_run_and_a_score(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """So that a run that was made under one is gone on with under another."""
    run = ["run", "--model", "tiny-janus", "--benchmark", "mmbench", "--data", str(world), "--limit", "1"]
    assert main([*run, "--out", str(tmp_path / "run"), "--protocol", "MMBENCH_dev_en"]) == 0
    assert json.loads((tmp_path / "run" / "run.json").read_text())["protocol"] == "official"
    assert main([*run, "--out", str(tmp_path / "run"), "--protocol", "en/dev"]) == 0
    assert main([*run, "--out", str(tmp_path / "run")]) == 0
    answers = tmp_path / "a.jsonl"
    rows = [{"question_id": sample.id, "text": "A"} for sample in built("mmbench", world).questions]
    answers.write_text("".join(json.dumps(row) + "\n" for row in rows))
    score_it = ["score", "--benchmark", "mmbench", "--answers", str(answers), "--data", str(world), "--json"]
    capsys.readouterr()
    assert main([*score_it, "--protocol", "mmbench_en_dev"]) == 0
    assert json.loads(capsys.readouterr().out)["benchmarks"]["mmbench"]["protocol"] == "official"
    assert main([*score_it, "--protocol", "mmbench_dev_de"]) == 2
    assert "unknown mmbench protocol 'mmbench_dev_de'" in capsys.readouterr().err


def test_the_editions_of_a_table_are_told_by_their_rows() -> None:
    assert edition("official", 4329) == edition("dev-cn", 4329) == ": v1.0"
    assert edition("official", 4377) == ": the first edition, which LLaVA uses"
    assert edition("official", 4300) == ", where the table has 4,329 or 4,377"
    assert edition("official", 40, world=True) == edition("dev-en-v11", 4876) == ""


@pytest.mark.parametrize(
    ("benchmark", "form", "message"),
    [
        ("pope", "hub", r"test-00000-of-00003\.parquet: \d+ questions in its tracks; the benchmark has 9,000 or 8,910: get the"),
        ("pope", "table", r"POPE\.tsv: \d+ questions in its tracks; the benchmark has 9,000 or 8,910"),
        ("hallusionbench", "table", r"HallusionBench\.tsv: \d+ rows; the benchmark has 951:"),
        ("hallusionbench", "hub", r"image-00000-of-00003\.parquet: \d+ rows; the benchmark has 951 or 1,129:"),
        ("llavabench", "table", r"LLaVABench\.tsv: \d+ questions; the benchmark has 60:"),
        ("llavabench", "hub", r"train-00000-of-00001\.parquet: \d+ questions; the benchmark has 60:"),
        ("mmbench", "hub", r"dev-00000-of-00003\.parquet: \d+ rows; the benchmark has 4,329 or 4,377: get the whole file again"),
        ("seedbench", "table", r"SEEDBench_IMG\.tsv: \d+ image questions; the benchmark has 14,232:"),
        ("seedbench", "hub", r"test-00000-of-00003\.parquet: \d+ image questions; the benchmark has 14,232:"),
    ],
)
def test_another_number_of_questions_is_refused(world: Path, tmp_path: Path, benchmark: str, form: str, message: str) -> None:
    data = written(world, benchmark, form, tmp_path)
    (data / WORLD_FILE).unlink()
    with pytest.raises(UserError, match=message):
        built(benchmark, data).samples()


def test_a_lost_shard_a_torn_one_and_a_doubled_key_are_told(world: Path, tmp_path: Path) -> None:
    data = written(world, "pope", "hub", tmp_path)
    first, second, third = sorted((data / "pope" / "data").glob("*"))
    second.rename(tmp_path / "kept")
    with pytest.raises(UserError, match=r"data lacks test-00001-of-00003\.parquet; get the whole set again"):
        built("pope", data).samples()
    second.write_bytes((tmp_path / "kept").read_bytes()[:-100])
    with pytest.raises(UserError, match=r"test-00001-of-00003\.parquet: cannot be read as parquet"):
        built("pope", data).samples()
    shutil.copy(first, second)
    with pytest.raises(UserError, match="two questions of the track adversarial are called '1'"):
        built("pope", data).samples()
    assert third.is_file()


def test_a_missing_answer_column_is_named(world: Path, tmp_path: Path) -> None:
    shutil.copy(world / WORLD_FILE, tmp_path)
    parquet(tmp_path / "pope" / "data", "test", [{"question": "Is there a dog in the image?", "question_id": "1"}], shards=1)
    with pytest.raises(UserError, match=r"parquet: row 1: no 'answer', 'image_source', 'category'"):
        built("pope", tmp_path).samples()
    row = {"question": "q", "question_id": "1", "answer": None, "image_source": "a", "category": "random"}
    parquet(tmp_path / "pope" / "data", "test", [row, row | {"answer": "yes"}], shards=1)
    with pytest.raises(UserError, match=r"row 1: 'answer' is null; expected yes or no"):
        built("pope", tmp_path).samples()


def test_a_row_without_its_picture_is_missing_one(world: Path, tmp_path: Path) -> None:
    data = written(world, "seedbench", "hub", tmp_path)
    rows = [row | {"image": []} for row in json.loads((world / "seedbench" / "SEED-Bench.json").read_text())["questions"][:1]]
    shutil.rmtree(data / "seedbench" / "data")
    parquet(
        data / "seedbench" / "data",
        "test",
        [*rows, rows[0] | {"question_id": "b", "image": [picture(next((world / "seedbench" / "images").glob("*")))]}],
        shards=1,
    )
    with pytest.raises(UserError, match=r"row 1 is missing \(1 of 2 pictures\)"):
        built("seedbench", data).samples()


def test_a_clone_of_the_hub_s_set_is_a_data_folder_itself(world: Path, tmp_path: Path) -> None:
    pope_hub(world / "pope", tmp_path)
    shutil.copy(world / WORLD_FILE, tmp_path)
    assert len(built("pope", tmp_path).samples()) == sum(len(lines(world / "pope" / f"coco_pope_{t}.json")) for t in TRACKS)


def test_pictures_are_read_in_any_order(world: Path, tmp_path: Path) -> None:
    samples = built("mmbench", written(world, "mmbench", "hub", tmp_path)).samples()
    there = [content(sample.images[0]) for sample in samples]
    for number in (len(samples) - 1, 0, 40, 3, 41, 2):
        assert content(samples[number].images[0]) == there[number]
        assert open_image(samples[number].images[0]).size


def test_reading_parquet_needs_pyarrow(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = written(world, "pope", "hub", tmp_path)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(
        UserError, match=r'parquet: reading \.parquet needs pyarrow: pip install -c constraints.txt "\.\[parquet\]"'
    ):
        built("pope", data).samples()


WAYS = ("base64", "bytes", "struct", "list", "path", "reference")


def put(way: str, row: dict[str, Any], main: int, folder: Path) -> Any:
    """A row's picture in one of the ways in which a cell may hold it; later passes of a question refer to the first."""
    encoded = row["image"]
    file = folder / "files" / f"{main}.png"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(encoded)
    if way == "reference" and int(row["index"]) != main:
        return str(main)
    return {
        "bytes": encoded,
        "struct": {"bytes": encoded, "path": None},
        "list": [{"bytes": None, "path": f"files/{file.name}"}],
        "path": f"files/{file.name}",
    }.get(way, base64.b64encode(encoded).decode())


@pytest.mark.parametrize(
    ("form", "way"),
    [(form, way) for form in ("tsv", "csv", "xlsx") for way in ("base64", "path", "reference")] + [("parquet", w) for w in WAYS],
)
def test_a_picture_may_be_base64_bytes_a_path_or_another_row_s(world: Path, tmp_path: Path, form: str, way: str) -> None:
    bench = built("mmbench", world)
    rows = [
        row | {"image": content(sample.images[0])}
        for row, sample in zip(mmbench(world / "mmbench"), bench.samples(), strict=True)
    ]
    folder = tmp_path / "mmbench" if form != "parquet" else tmp_path / "mmbench" / "en"
    done = [row | {"index": int(row["index"]), "image": put(way, row, int(row["index"]) % PASS, folder)} for row in rows]
    if form == "parquet":
        parquet(folder, "dev", done, shards=1)
    elif form == "csv":
        table(folder / "MMBench_DEV_EN.tsv", done)
        lines_of = list(csv.reader((folder / "MMBench_DEV_EN.tsv").open(newline=""), delimiter="\t"))
        (folder / "MMBench_DEV_EN.tsv").unlink()
        with (folder / "MMBench_DEV_EN.csv").open("w", newline="") as stream:
            csv.writer(stream).writerows(lines_of)
    else:
        table(folder / f"MMBench_DEV_EN.{form}", done)
    shutil.copy(world / WORLD_FILE, tmp_path)
    found = built("mmbench", tmp_path).samples()
    assert [sample.id for sample in found] == [sample.id for sample in bench.samples()]
    assert [content(one.images[0]) for one in found] == [row["image"] for row in rows]
    assert all(open_image(one.images[0]).size for one in found[:3])


@pytest.mark.parametrize("form", ["tsv", "parquet"])
def test_rows_that_refer_to_each_other_are_told(world: Path, tmp_path: Path, form: str) -> None:
    texts = {"question": "q", "hint": "", "A": "a", "B": "b", "answer": "A"}
    rows: list[dict[str, Any]] = [{"index": 1, **texts, "image": "2"}, {"index": 2, **texts, "image": "1"}]
    shutil.copy(world / WORLD_FILE, tmp_path)
    if form == "tsv":
        table(tmp_path / "mmbench" / "MMBench_DEV_EN.tsv", rows)
    else:
        parquet(tmp_path / "mmbench" / "en", "dev", rows, shards=1)
    with pytest.raises(UserError, match=r"(index|row) 1: its picture refers to row 1, which has none"):
        built("mmbench", tmp_path).samples()


@pytest.mark.parametrize("form", ["table", "hub"])
def test_a_reference_answer_that_is_empty_is_told(world: Path, tmp_path: Path, form: str) -> None:
    """It would be marked against."""
    data = written(world, "llavabench", form, tmp_path)
    if form == "table":
        file = data / "llavabench" / "LLaVABench.tsv"
        cells = list(csv.reader(file.open(newline=""), delimiter="\t"))
        cells[2][cells[0].index("gpt4_ans")] = " "
        table(file, [dict(zip(cells[0], line, strict=True)) for line in cells[1:]])
    else:
        import pyarrow
        from pyarrow import parquet as files

        [file] = (data / "llavabench" / "data").glob("*")
        rows = files.read_table(file).to_pylist()
        rows[1]["gpt_answer"] = ""
        files.write_table(pyarrow.Table.from_pylist(rows), file)
    with pytest.raises(UserError, match=r"'gpt(4_ans|_answer)' is ' ?'; expected a text that is not empty"):
        built("llavabench", data).samples()
