"""What VLMEvalKit and lmms-eval leave behind gives the numbers that the same answers give in a benchmark's own format."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from answering import jsonl
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from suder_bench.cli import main
from suder_bench.data.source import write_world
from suder_bench.errors import UserError
from suder_bench.evaluators.answers.fields import ID
from suder_bench.evaluators.answers.harnesses import CELL, Given, kept, read
from suder_bench.evaluators.answers.matching import matched
from suder_bench.evaluators.pope import LMMS_ORDER
from suder_bench.records import Sample
from suder_bench.runs.plan import build

NAMES = ("pope", "hallusionbench", "llavabench", "mmbench", "seedbench")
Row = dict[str, Any]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    write_world(folder, size="quick", benchmarks=NAMES)
    return folder


def text(name: str, sample: Sample) -> str:
    """An answer of some kind to each question: right, wrong, in words, empty; the same to alike questions about a picture."""
    picture = sample.cluster if name == "pope" else sample.id
    kind = sum(map(ord, f"{picture}{sample.truth.get('object', '')}")) % 5
    if name in ("pope", "hallusionbench"):
        return ("Yes.", "no", "No, there is not.", "I cannot tell.", "")[kind]
    if name == "llavabench":
        return ("It is red.", "A wide green star.", "", "None", "=1+1")[kind]
    return ("A", "B.", "The answer is C", "none of them", "")[kind]


def own(name: str, samples: Sequence[Sample]) -> list[Row]:
    """The benchmark's own or LLaVA's lines."""
    if name != "hallusionbench":
        return [{"question_id": sample.id, "text": text(name, sample)} for sample in samples]
    keys = ("category", "subcategory", "set_id", "figure_id", "question_id")
    return [{key: sample.truth[key] for key in keys} | {"model_prediction": text(name, sample)} for sample in samples]


def predicted(name: str, samples: Sequence[Sample]) -> list[Row]:
    """The rows of VLMEvalKit's table: the columns of its data, the picture aside, and `prediction`."""
    if name == "pope":
        return _pope_predicted(samples)
    rows = []
    for number, sample in enumerate(samples):
        truth = sample.truth
        row: Row = {"index": sample.id if name == "mmbench" else str(number)}
        if name == "hallusionbench":
            ids = [truth[key] for key in ("category", "subcategory", "visual_input", "set_id", "figure_id", "question_id")]
            row = {"index": "_".join(ids), "category": ids[0], "l2-category": f"{ids[0]}_{ids[1]}", "question": truth["question"]}
        elif name == "llavabench":
            row |= {"question": truth["question"], "gpt4_ans": truth["reference"], "category": truth["category"]}
        else:
            lines = sample.prompt.strip().split("\n")
            row |= {"question": lines[1] if lines[0].startswith("Hint: ") else lines[0]}
            row |= {letter: truth["options"].get(letter, "") for letter in "ABCD"} | {"answer": truth["answer"]}
        rows.append(row | {"prediction": text(name, sample)})
    return rows


def _pope_predicted(samples: Sequence[Sample]) -> list[Row]:
    """A row for each thing asked about a picture, with all the tracks that ask it."""
    rows: dict[tuple[str, str], Row] = {}
    for sample in samples:
        truth, key = sample.truth, (sample.cluster, sample.truth["object"])
        row = rows.setdefault(
            key,
            {
                "index": str(len(rows)),
                "question": f"Is there {truth['object']} in the image? Please answer yes or no.",
                "answer": truth["label"].capitalize(),
                "category": "",
                "image_source": Path(sample.cluster).stem,
                "prediction": text("pope", sample),
            },
        )
        row["category"] = ",".join(filter(None, [row["category"], truth["track"]]))
    return list(rows.values())


def log(name: str, samples: Sequence[Sample]) -> list[Row]:
    """lmms-eval 0.7's lines, last first, as several processes may leave them."""
    if name == "pope":
        samples = [sample for track in LMMS_ORDER for sample in samples if sample.truth["track"] == track]
    rows = []
    for number, sample in enumerate(samples):
        truth, said = sample.truth, text(name, sample)
        metrics: Row = {
            "pope": {"pope_accuracy": {"question_id": "1", "prediction": said.lower()}},
            "hallusionbench": {"aAcc": {**truth, "model_prediction": said}},
            "llavabench": {"gpt_eval_llava_all": {"question": truth.get("question"), "ans1": truth.get("reference")}},
            "mmbench": {"submission": {"index": int(sample.id) if name == "mmbench" else 0, "prediction": said.strip()}},
            "seedbench": {"seed_all": {"pred": said[:1], "question_id": sample.id}},
        }[name]
        line = {"doc_id": number, "target": truth.get("label", "?"), "filtered_resps": said, "token_counts": [None]}
        rows.append({**line, "doc_hash": "0", "input": sample.prompt.strip(), **metrics})
    return rows[::-1]


def write(file: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """A table as its ending says."""
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix == ".json":
        file.write_text(json.dumps(rows, indent=4))
    elif file.suffix == ".xlsx":
        pandas = pytest.importorskip("pandas")
        pytest.importorskip("openpyxl")
        rows = [{name: cell or None for name, cell in row.items()} for row in rows]
        frame = pandas.DataFrame(rows)
        with pandas.ExcelWriter(file, engine="openpyxl") as book:
            frame.to_excel(book, index=False)
            for cells in book.sheets["Sheet1"].iter_rows():
                for cell in cells:
                    cell.data_type = "s" if cell.data_type == "f" else cell.data_type  # VLMEvalKit has no formulas written
    else:
        with file.open("w", newline="") as stream:
            table = csv.DictWriter(stream, list(rows[0]), delimiter="," if file.suffix == ".csv" else "\t", quoting=csv.QUOTE_ALL)
            table.writeheader()
            table.writerows(rows)
    return file


def scored(name: str, file: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> tuple[Row, str]:
    capsys.readouterr()
    assert main(["score", "--benchmark", name, "--answers", str(file), "--data", str(data), "--json"]) == 0
    shown = capsys.readouterr()
    return json.loads(shown.out)["benchmarks"][name], shown.err


FORMS: dict[str, Callable[[str, Sequence[Sample]], list[Row]]] = {
    "table.xlsx": predicted,
    "table.tsv": predicted,
    "table.csv": predicted,
    "table.json": predicted,
    "model/20261130_samples_task.jsonl": log,
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", NAMES)
def test_every_form_gives_the_same_ids_and_numbers(
    name: str, form: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench = build(name, data, "official")
    expected = bench.read_answers(jsonl(tmp_path / "own.jsonl", own(name, bench.questions)))
    file = tmp_path / form
    file.parent.mkdir(exist_ok=True)
    if file.suffix == ".jsonl":
        jsonl(file, log(name, bench.questions))
    else:
        write(file, FORMS[form](name, bench.questions))
    found = bench.read_answers(file)
    assert [(sample.id, said) for sample, said in found] == [(sample.id, said) for sample, said in expected]
    entry, told = scored(name, file, data, capsys)
    assert entry == scored(name, tmp_path / "own.jsonl", data, capsys)[0]
    assert f"of {len(expected):,} answers are empty" in told


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("form", ["table.json", "log.jsonl"])
def test_missing_doubled_and_unknown_answers_are_told_in_one_line(
    name: str, form: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench = build(name, data, "official")
    rows = (predicted if form == "table.json" else log)(name, bench.questions)
    write_rows = write if form == "table.json" else jsonl
    for changed in ([*rows, rows[0]], [{**rows[0], **_strange(name, form)}, *rows[1:]]):
        file = write_rows(tmp_path / form, changed)
        if name == "seedbench" and form == "log.jsonl" and changed[0] == rows[0]:
            continue  # the last of two answers counts; a log has each document once all the same
        assert main(["score", "--benchmark", name, "--answers", str(file), "--data", str(data)]) == 2
        [line] = capsys.readouterr().err.splitlines()
        assert str(file) in line
    file = write_rows(tmp_path / form, rows[1:])
    status = main(["score", "--benchmark", name, "--answers", str(file), "--data", str(data)])
    told = capsys.readouterr().err
    if name == "seedbench":
        assert status == 0
        assert "no answer to 1 of" in told
    else:
        assert status == 2
        assert "answers against" in told
        allowed = "3" if name == "pope" else "1"
        assert main(["score", "--benchmark", name, "--answers", str(file), "--data", str(data), "--allow-missing", allowed]) == 0
        assert "skipped" in capsys.readouterr().out


def _strange(name: str, form: str) -> Row:
    """What makes a row that of no question."""
    if form == "table.json":
        strange = {"index": "9_9_9_999_999_999" if name == "hallusionbench" else "999999", "question": "Who are you?"}
        return strange if name != "pope" else strange | {"question": "Is there a unicorn in the image?"}
    return {
        "pope": {"input": "Is there a unicorn in the image?"},
        "hallusionbench": {"aAcc": dict.fromkeys(("category", "subcategory", "set_id", "figure_id", "question_id"), "9")},
        "llavabench": {"gpt_eval_llava_all": {"question": "Who are you?", "ans1": "I."}},
        "mmbench": {"submission": {"index": 999_999}},
        "seedbench": {"seed_all": {"question_id": "999999"}},
    }[name]


def test_pictures_that_pope_s_table_does_not_name_change_no_number(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = predicted("pope", build("pope", data, "official").questions)
    named, _ = scored("pope", write(tmp_path / "a.tsv", rows), data, capsys)
    unnamed = [{key: cell for key, cell in row.items() if key != "image_source"} for row in rows]
    found, told = scored("pope", write(tmp_path / "b.tsv", unnamed), data, capsys)
    assert "no column names the pictures" in told
    assert {name: metric["value"] for name, metric in found["metrics"].items()} == {
        name: metric["value"] for name, metric in named["metrics"].items()
    }


@pytest.mark.parametrize("track", LMMS_ORDER)
def test_the_log_of_one_track_is_told_by_what_was_asked(track: str, data: Path, tmp_path: Path) -> None:
    pope = build("pope", data, "official")
    samples = [sample for sample in pope.questions if sample.truth["track"] == track]
    file = jsonl(tmp_path / "log.jsonl", log("pope", samples))
    assert [sample for sample, _ in pope.read_answers(file)] == samples


def test_questions_in_another_language_are_not_those_of_the_data(data: Path, tmp_path: Path) -> None:
    mmbench = build("mmbench", data, "official")
    rows = predicted("mmbench", mmbench.questions)
    rows[0]["question"] = "图中是什么"
    with pytest.raises(UserError, match=r"row 1: index \d+ asks .* give the data of these answers"):
        mmbench.read_answers(write(tmp_path / "a.tsv", rows))


def test_mmbench_s_upload_form_is_read_with_its_gaps(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As LLaVA's script makes it from answers: the data's columns without hint, picture and categories, and the predictions."""
    pandas = pytest.importorskip("pandas")
    mmbench = build("mmbench", data, "official")
    frame = pandas.read_table(mmbench.file).drop(columns=["hint", "category", "source", "image", "comment", "l2-category"])
    frame.insert(6, "prediction", ["B", *[None] * (len(frame) - 1)])
    frame.to_excel(tmp_path / "upload.xlsx", index=False, engine="openpyxl")
    _, told = scored("mmbench", tmp_path / "upload.xlsx", data, capsys)
    assert f"{len(frame) - 1} of {len(frame)} answers are empty" in told


def test_answers_that_fill_a_cell_are_told(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = predicted("seedbench", build("seedbench", data, "official").questions)
    rows[0]["prediction"] = "a" * CELL
    _, told = scored("seedbench", write(tmp_path / "a.xlsx", rows), data, capsys)
    assert f"1 of {len(rows)} answers fill their cell of 32,767 characters" in told


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.pkl", b"\x80\x04.", "pickles can run code and are not read"),
        ("a.json", b'[{"index": 1, "prediction": NaN}]', "row 1: 'prediction' is nan; expected a text"),
        ("a.json", b'[{"index": [1], "prediction": "A"}]', "row 1: 'index' is"),
        ("a.tsv", b"index\tanswer\n1\tA\n", "row 1: no 'prediction'"),
    ],
)
def test_tables_that_are_none_are_refused(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        read(tmp_path / name)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"filtered_resps": [["-1.5", "True"], ["-2.0", "False"]]}, ":1: 'filtered_resps' is .*; expected one text"),
        ({"filtered_resps": ["yes", "no"]}, ":1: 'filtered_resps' is .*; expected one text"),
        ({"doc_id": -1}, ":1: 'doc_id' is -1; expected a whole number from 0"),
        ({"doc_id": 1}, ":2: document 1 for the second time"),
    ],
)
def test_logs_of_another_kind_are_refused(change: Row, message: str, tmp_path: Path) -> None:
    lines = [{"doc_id": number, "filtered_resps": "yes", "doc": {"index": number}} for number in range(2)]
    with pytest.raises(UserError, match=message):
        read(jsonl(tmp_path / "a.jsonl", [lines[0] | change, lines[1]]))


def test_a_log_that_keeps_whole_documents_is_read_too(tmp_path: Path) -> None:
    found = read(jsonl(tmp_path / "a.jsonl", [{"doc_id": 0, "filtered_resps": ["yes"], "doc": {"index": 7}}])).log
    assert found is not None
    assert [(one.text, kept(one, {"index": ID})) for one in found] == [("yes", {"index": 7})]
    with pytest.raises(UserError, match="is this the log of another task"):
        kept(found[0], {"question_id": ID})


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("xy")), max_size=8), st.randoms())
def test_alike_questions_are_answered_once_each(asked: list[tuple[str, str]], random: Any) -> None:
    """Whatever the order, every question gets one answer to what it asks, and an answer too many is refused."""
    samples = [Sample(str(i), "", "", truth={"key": key}) for i, key in enumerate(asked)]
    answers = [(Given("f: row 1", "0", "/".join(key), {}), [key]) for key in asked]
    random.shuffle(answers)
    found = dict(matched(samples, lambda sample: sample.truth["key"], answers))
    assert found == {sample.id: "/".join(sample.truth["key"]) for sample in samples}
    if asked:
        with pytest.raises(UserError, match="an answer too many to"):
            matched(samples, lambda sample: sample.truth["key"], [*answers, answers[0]])


@pytest.mark.parametrize("form", ["own.jsonl", "table.tsv", "log.jsonl"])
@pytest.mark.parametrize("name", NAMES)
def test_scoring_opens_a_file_of_answers_once_and_again_where_it_changed(
    name: str, form: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = build(name, data, "official")
    rows = {"own.jsonl": own, "table.tsv": predicted, "log.jsonl": log}[form](name, bench.questions)
    put = jsonl if form.endswith("jsonl") else write
    file = put(tmp_path / form, rows)
    opened = counted(file, monkeypatch)
    scored(name, file, data, capsys)
    assert len(opened) == 1
    first = bench.read_answers(file)
    assert bench.read_answers(file) == first
    said = {"text", "prediction", "model_prediction", "filtered_resps"}
    put(file, [row | dict.fromkeys(said & row.keys(), "other words") for row in rows])
    del opened[:]
    assert {text for _, text in bench.read_answers(file)} == {"other words"}
    assert len(opened) == 1


def counted(file: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Gets an entry each time that the file is opened."""
    opened: list[Path] = []
    whole = Path.open

    def counting(self: Path, *arguments: Any, **options: Any) -> Any:
        opened.extend([self] if self == file else [])
        return whole(self, *arguments, **options)

    monkeypatch.setattr(Path, "open", counting)
    return opened


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("form", ["table.tsv", "table.json", "log.jsonl"])
@given(
    random=st.randoms(use_true_random=False),
    extra=st.dictionaries(st.from_regex("[e-z]{9}", fullmatch=True), st.text("ab 1"), max_size=2),
)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_order_and_company_of_rows_and_columns_change_no_answer(
    name: str, form: str, data: Path, tmp_path: Path, random: Any, extra: dict[str, str]
) -> None:
    """Alike questions of SEED-Bench are answered in the order of the file, so that only what is answered counts there."""
    bench = build(name, data, "official")
    rows = (log if form == "log.jsonl" else predicted)(name, bench.questions)
    put = jsonl if form == "log.jsonl" else write
    expected = [(sample.id, said) for sample, said in bench.read_answers(put(tmp_path / form, rows))]
    columns = [*rows[0], *extra]
    random.shuffle(columns)
    random.shuffle(rows)
    changed = [{column: {**extra, **row}[column] for column in columns} for row in rows]
    found = [(sample.id, said) for sample, said in bench.read_answers(put(tmp_path / f"changed-{form}", changed))]
    if name == "seedbench" and form != "log.jsonl":
        assert Counter(said for _, said in found) == Counter(said for _, said in expected)
        assert [sample for sample, _ in found] == [sample for sample, _ in expected]
    else:
        assert found == expected
