"""MMBench's table, rotations, and the two ways to count."""

from __future__ import annotations

import base64
import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from answering import duplicating, jsonl, judge, official, score
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from suder_bench.cli import main
from suder_bench.data.prompts import PASS
from suder_bench.errors import JudgeError, UserError
from suder_bench.evaluators.mmbench import ABILITIES, DROPPED, EMPTY, FILES, TABLES, MMBench
from suder_bench.records import Sample, content, open_image
from suder_bench.reports.measured import Scores

COLUMNS = ("index", "question", "hint", "A", "B", "C", "D", "answer", "category", "l2-category", "image", "split")
Cells = dict[str, object]


def encoded(color: str = "red") -> str:
    stream = io.BytesIO()
    Image.new("RGB", (8, 8), color).save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode()


def row(index: int, options: str = "cat dog cow pig", answer: str = "A", **cells: object) -> Cells:
    texts = dict(zip("ABCD", [*options.split(), "", "", ""], strict=False))
    fixed = {"index": index, "question": "What is it?", "answer": answer, "category": "recognition", "image": encoded()}
    return dict.fromkeys(COLUMNS, "") | texts | fixed | {"l2-category": "coarse_perception", "split": "dev"} | cells


def rotations(index: int, passes: int = 4, **cells: object) -> list[Cells]:
    """The passes of one question whose right option is cat: option list and gold letter move together."""
    names = ["cat", "dog", "cow", "pig"]
    return [
        row(index + k * PASS, " ".join(names[-k:] + names[:-k]), "ABCD"[k], **cells | ({"image": index} if k else {}))
        for k in range(passes)
    ]


def workbook(file: Path, rows: list[Cells]) -> Path:
    """The cells as they are, numbers as numbers, as pandas writes them."""
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for line in [list(rows[0]), *(list(cells.values()) for cells in rows)]:
        book.active.append(line)
    book.save(file)
    return file


def write(folder: Path, rows: list[Cells], name: str = "mmbench_dev.tsv") -> Path:
    (folder / "mmbench").mkdir(exist_ok=True)
    columns = list(rows[0])
    if name.endswith(".xlsx"):
        workbook(folder / "mmbench" / name, rows)
        return folder
    lines = ["\t".join(columns), *("\t".join(str(cells[column]) for column in columns) for cells in rows)]
    (folder / "mmbench" / name).write_text("\n".join(lines) + "\n")
    return folder


def right(samples: list[Sample], *wrong: int) -> list[tuple[Sample, str]]:
    return [(sample, "Z" if int(sample.id) in wrong else sample.truth["answer"]) for sample in samples]


@pytest.mark.parametrize("name", FILES)
def test_samples(tmp_path: Path, name: str) -> None:
    rows = [row(7, "1 2", "B", hint="Count."), *rotations(9, passes=2, image=encoded("blue"))]
    samples = MMBench(write(tmp_path, rows, name)).samples()
    assert [sample.id for sample in samples] == ["7", "9", str(9 + PASS)]
    request = "Answer with the option's letter from the given choices directly."
    assert samples[0].prompt == f"\nHint: Count.\nWhat is it?\nA. 1\nB. 2\n\n{request}"
    assert samples[1].prompt == f"\nWhat is it?\nA. cat\nB. dog\nC. cow\nD. pig\n\n{request}"
    assert samples[0].truth["options"] == {"A": "1", "B": "2"}
    assert samples[1].cluster == samples[2].cluster == "9"
    assert open_image(samples[2].images[0]).getpixel((0, 0)) == (0, 0, 255)
    assert samples[1].images[0] is samples[2].images[0]


def test_the_first_known_file_is_taken(tmp_path: Path) -> None:
    write(tmp_path, [row(1)], FILES[2])
    write(tmp_path, [row(2)], FILES[0])
    assert [sample.id for sample in MMBench(tmp_path).samples()] == ["2"]
    assert [sample.id for sample in MMBench(tmp_path / "mmbench").samples()] == ["2"]


def test_large_pictures_are_read(tmp_path: Path) -> None:
    cell = base64.b64encode(bytes(300_000)).decode()
    [picture] = MMBench(write(tmp_path, [row(1, image=cell)])).samples()[0].images
    assert content(picture) == bytes(300_000)


@pytest.mark.parametrize(
    ("text", "correct", "reason"),
    [
        ("A", True, "answered 'A': A is right"),
        ("it is a cat", True, "answered 'it is a cat': A is right"),
        ("B.", False, "answered 'B.': B (dog) picked, A (cat) expected"),
        ("Z", False, "answered 'Z': a refusal, A (cat) expected"),
        ("nan", False, "answered 'nan': no option can be read from it, A (cat) expected"),
    ],
)
def test_verdict(tmp_path: Path, text: str, correct: bool, reason: str) -> None:
    bench = MMBench(write(tmp_path, [row(1)]))
    [(_, verdict)] = judge(bench, [(bench.samples()[0], text)])
    assert (verdict.correct, verdict.reason) == (correct, reason)


def test_three_of_four_passes_are_not_enough(tmp_path: Path) -> None:
    bench = MMBench(write(tmp_path, rotations(1)))
    found = score(bench, right(bench.samples(), 1 + 2 * PASS))
    assert (found["vanilla/overall"], found["circular/overall"]) == (1, 0)


def test_a_group_of_three_passes_is_whole(tmp_path: Path) -> None:
    bench = MMBench(write(tmp_path, rotations(1, passes=3)))
    assert score(bench, right(bench.samples()))["circular/overall"] == 1


def test_an_unreadable_pass_makes_the_question_wrong_and_is_counted(tmp_path: Path) -> None:
    bench = MMBench(write(tmp_path, rotations(1)))
    pairs = [(sample, "who knows" if sample.truth["pass"] else "A") for sample in bench.samples()]
    found = score(bench, pairs)
    assert (found["vanilla/overall"], found["circular/overall"], found["unextracted"]) == (1, 0, 3)


def test_overall_is_the_mean_over_questions(tmp_path: Path) -> None:
    other = {"l2-category": "logic_reasoning", "category": "structure"}
    bench = MMBench(write(tmp_path, [row(1), row(2), row(3), row(4, **other)]))
    found = score(bench, right(bench.samples(), 4))
    assert found["vanilla/overall"] == 0.75
    assert (found["vanilla/CP"], found["vanilla/LR"], found["circular/recognition"], found["circular/structure"]) == (1, 0, 1, 0)


def test_questions_cut_by_a_limit_have_no_circular_score(tmp_path: Path) -> None:
    bench = MMBench(write(tmp_path, [*rotations(1), row(2)]))
    pairs = right([bench.samples()[0], bench.samples()[4]])
    statistics = bench.statistics(judge(bench, pairs))
    assert (statistics["vanilla/overall"].n, statistics["circular/overall"].n) == (2, 1)


def test_rules_before_august_2025(tmp_path: Path) -> None:
    bench = MMBench(write(tmp_path, [row(1)]))
    found = score(bench, [(bench.samples()[0], "A seems best to me, as it purrs all day")])
    assert (found["vanilla/overall"], found["vlmevalkit-2024/vanilla/overall"], found["vlmevalkit-2024/circular/CP"]) == (0, 1, 1)


def test_numbers_as_options_are_texts(tmp_path: Path) -> None:
    bench = MMBench(write(tmp_path, [row(1, "3 14")]))
    assert score(bench, [(bench.samples()[0], "in 3")])["vanilla/overall"] == 1


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([row(1), row(1)], "index 1 is used twice"),
        ([row(1 + PASS)], r"question 1 has rotations but no main row \(index 1\)"),
        ([row(1, answer="")], "answer '' is none of A, B, C, D"),
        ([row(1, "cat dog", answer="C")], "answer 'C' is none of A, B"),
        ([row(1, C="")], "options A, B, D leave a letter out"),
        ([row(1, image=5)], "its picture refers to row 5, which has none"),
        ([row(1, image=1)], "its picture refers to row 1, which has none"),
        ([row(1, image="?" * 65)], "index 1: the picture is not base64"),
        ([row(1, image="\u00e4" * 65)], "index 1: the picture is not base64"),
        ([row(1) | {"index": "one"}], "index: expected a whole number, found 'one'"),
        ([{"index": 1}], "row 1: no 'question'"),
    ],
)
def test_mistakes_in_the_data_are_named(tmp_path: Path, rows: list[Cells], message: str) -> None:
    with pytest.raises(UserError, match=message):
        MMBench(write(tmp_path, rows)).samples()


def test_missing_data_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=FILES[0]):
        MMBench(tmp_path).samples()


def test_answers_made_elsewhere(tmp_path: Path) -> None:
    bench = MMBench(write(tmp_path, rotations(1)))
    rows = [{"question_id": int(sample.id), "text": sample.truth["answer"]} for sample in bench.samples()]
    assert score(bench, bench.read_answers(jsonl(tmp_path / "a.jsonl", rows)))["circular/overall"] == 1
    assert len(bench.read_answers(jsonl(tmp_path / "a.jsonl", rows[:1]))) == 1
    with pytest.raises(UserError, match="2 answers against 4 questions"):
        bench.read_answers(jsonl(tmp_path / "a.jsonl", rows[:2]))
    for separator, name in (("\t", "a.tsv"), (",", "a.csv")):
        table = tmp_path / name
        table.write_text("".join(separator.join([str(a), b]) + "\n" for a, b in [("index", "prediction"), (1, "A.")]))
        assert [text for _, text in bench.read_answers(table)] == ["A."]


OTHERS = [(name, table) for name, tables in TABLES.items() if name != "official" for table in tables]


@pytest.mark.parametrize(("protocol", "name"), OTHERS)
def test_every_other_table_has_a_protocol_and_metrics_of_its_own(tmp_path: Path, protocol: str, name: str) -> None:
    write(tmp_path, rotations(1), f"{name}.tsv")
    write(tmp_path, [row(2)], FILES[0])
    bench = MMBench(tmp_path, protocol)
    found = score(bench, right(bench.samples()))
    assert all(metric.startswith(f"{protocol}/") for metric in found)
    assert {bench.headline, *bench.paper_metrics} & found.keys() == {
        f"{protocol}/vanilla/overall",
        f"{protocol}/vanilla/CP",
        f"{protocol}/circular/overall",
    }
    assert found[f"{protocol}/circular/overall"] == 1
    assert [sample.id for sample in MMBench(tmp_path).samples()] == ["2"]


def test_a_table_that_is_there_is_named_with_its_protocol(tmp_path: Path) -> None:
    write(tmp_path, [row(1)], "MMBench_DEV_EN_V11.tsv")
    with pytest.raises(UserError, match=r"no mmbench_dev_20230712\.tsv in .*MMBench_DEV_EN_V11\.tsv give --protocol dev-en-v11"):
        MMBench(tmp_path).samples()


def test_another_table_never_stands_among_the_numbers_of_dev_2023(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same question, the same answer, and the protocol is part of what decides which numbers share a table."""
    write(tmp_path, [row(1)], FILES[0])
    write(tmp_path, [row(1)], "MMBench_DEV_EN_V11.tsv")
    answers = jsonl(tmp_path / "a.jsonl", [{"question_id": 1, "text": "A"}])
    scores = []
    for protocol in ("official", "dev-en-v11"):
        command = ["score", "--benchmark", "mmbench", "--data", str(tmp_path), "--answers", str(answers), "--json"]
        assert main([*command, "--protocol", protocol]) == 0
        scores.append(Scores(tmp_path, json.loads(capsys.readouterr().out), "mmbench"))
    assert scores[0].conditions != scores[1].conditions
    assert "protocol dev-en-v11" in scores[1].reasons()
    assert [one.metric("vanilla/overall") is not None for one in scores] == [True, True]


@pytest.mark.parametrize("columns", [("answer",), ()])
def test_a_test_table_without_answers_is_responded_to_and_not_scored(tmp_path: Path, columns: tuple[str, ...]) -> None:
    rows = [{name: cell for name, cell in row(i, answer="").items() if name not in columns} for i in (1, 2)]
    bench = MMBench(write(tmp_path, rows, "MMBench_TEST_EN.tsv"), "test-en")
    samples = bench.samples()
    assert len(samples) == 2
    with pytest.raises(JudgeError, match=r"MMBench_TEST_EN\.tsv holds no answers: MMBench's server scores its test tables"):
        judge(bench, [(samples[0], "A")])
    with pytest.raises(UserError, match=r"holds no answers.*send .*a\.jsonl there"):
        bench.read_answers(jsonl(tmp_path / "a.jsonl", [{"question_id": 1, "text": "A"}]))
    with pytest.raises(UserError, match="answer '' is none of A, B, C, D"):
        MMBench(write(tmp_path, [row(2), row(1, answer="")], "MMBench_TEST_EN.tsv"), "test-en").samples()


def test_the_upload_form_is_read_for_data_and_for_answers(tmp_path: Path) -> None:
    """LLaVA's: index, question, A-D, prediction, answer, split; no pictures."""
    names = ("index", "question", "A", "B", "C", "D", "prediction", "answer", "split")
    rows = [{name: cells.get(name, f"{cells['answer']}.") for name in names} for cells in rotations(1)]
    bench = MMBench(write(tmp_path, rows, "mmbench_dev_20230712.xlsx"))
    pairs = bench.read_answers(tmp_path / "mmbench" / "mmbench_dev_20230712.xlsx")
    assert [text for _, text in pairs] == ["A.", "B.", "C.", "D."]
    found = score(bench, pairs)
    assert (found["vanilla/overall"], found["circular/overall"], found["unextracted"]) == (1, 1, 0)
    with pytest.raises(
        UserError, match=r"mmbench_dev_20230712\.xlsx/index 1 is missing \(4 of 4 pictures\); answers made elsewhere"
    ):
        bench.samples()


def test_answers_are_scored_alike_with_and_without_the_pictures(tmp_path: Path) -> None:
    answers = jsonl(tmp_path / "a.jsonl", [{"question_id": 1 + k * PASS, "text": "A"} for k in range(4)])
    (tmp_path / "bare").mkdir()
    bare = [cells | {"image": ""} for cells in rotations(1)]
    whole, without = (MMBench(write(folder, rows)) for folder, rows in ((tmp_path, rotations(1)), (tmp_path / "bare", bare)))
    assert score(whole, whole.read_answers(answers)) == score(without, without.read_answers(answers))
    assert all(isinstance(content(sample.images[0]), bytes) for sample in whole.questions)
    assert not any(Path(str(sample.images[0])).exists() for sample in without.questions)


def test_some_pictures_may_be_missing_as_those_in_files_may(tmp_path: Path) -> None:
    bench = MMBench(write(tmp_path, [row(1), row(2, image=""), row(2 + PASS, image=2)]))
    with pytest.raises(UserError, match=r"mmbench_dev\.tsv/index 2 is missing \(1 of 2 pictures\)"):
        bench.samples()
    lost = [sample.id for sample in bench.questions if isinstance(sample.images[0], Path) and not sample.images[0].is_file()]
    assert lost == ["2", str(2 + PASS)]


def test_reading_a_workbook_needs_openpyxl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, [row(1)], "mmbench_dev.xlsx")
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(
        UserError, match=r'mmbench_dev\.xlsx: reading \.xlsx needs openpyxl: pip install -c constraints.txt "\.\[xlsx\]"'
    ):
        MMBench(tmp_path).samples()


@pytest.mark.parametrize("name", ["mmbench_dev.tsv", "mmbench_dev.xlsx"])
@pytest.mark.parametrize("word", ["None", "NA", "1", "True", "N/A", "null", "-1", "#N/A"])
def test_words_in_cells_stay_words(tmp_path: Path, name: str, word: str) -> None:
    bench = MMBench(write(tmp_path, [row(1, C=word, answer="C", hint=word)], name))
    [sample] = bench.samples()
    assert sample.truth["options"] == {"A": "cat", "B": "dog", "C": word, "D": "pig"}
    assert sample.prompt.startswith(f"\nHint: {word}\nWhat is it?\n")
    told = bench.remarks(jsonl(tmp_path / "a.jsonl", [{"question_id": 1, "text": "A"}]))
    if word in ("None", "NA", "N/A", "null", "#N/A"):
        assert told == [
            f"2 hints and options of 1 rows (first: index 1, hint '{word}') are empty cells to VLMEvalKit, and words here"
        ]
    else:
        assert told == []


def test_the_words_that_vlmevalkit_drops_are_those_of_pandas() -> None:
    parsers = pytest.importorskip("pandas._libs.parsers")
    assert {word for word in parsers.STR_NA_VALUES if not DROPPED.fullmatch(word)} == {"", EMPTY}
    assert not any(DROPPED.fullmatch(word) for word in ("1", "True", "none", "Na", "nothing", "NAN", "-NA"))


@pytest.mark.parametrize("cells", [(1, 2, True), ("1", "2", "True")])
def test_numbers_and_truths_of_a_workbook_are_the_words_that_excel_shows(tmp_path: Path, cells: tuple[object, ...]) -> None:
    found = row(1) | {"index": 1.0} | dict(zip("ABC", cells, strict=True))
    [sample] = MMBench(write(tmp_path, [found], "mmbench_dev.xlsx")).samples()
    assert (sample.id, sample.truth["options"]) == ("1", {"A": "1", "B": "2", "C": "True", "D": "pig"})


def test_nan_is_an_empty_cell(tmp_path: Path) -> None:
    """As the hub's copies of the tables have it."""
    nan = {"hint": "nan", "C": "nan", "D": "nan", "category": "nan"}
    [sample] = MMBench(write(tmp_path, [row(1) | nan])).samples()
    assert sample.truth["options"] == {"A": "cat", "B": "dog"}
    assert "nan" not in sample.prompt.lower()
    assert sample.truth["category"] == ""


@pytest.mark.parametrize("text", [None, 1, ["A"], {"A": 1}, False])
def test_an_answer_that_is_no_text_is_refused(tmp_path: Path, text: object) -> None:
    bench = MMBench(write(tmp_path, [row(1)]))
    with pytest.raises(UserError, match=r"a\.jsonl:1: 'text' is .*; expected a text"):
        bench.read_answers(jsonl(tmp_path / "a.jsonl", [{"question_id": 1, "text": text}]))


def test_llava_13b_golden_values(tmp_path: Path) -> None:
    """Its upload form holds questions, right answers and predictions: 67.687 is published as 67.7."""
    file = official("mmbench/llava-v1.5-13b.xlsx")
    (tmp_path / "mmbench_dev_20230712.xlsx").write_bytes(file.read_bytes())
    bench = MMBench(tmp_path)
    for answers in (file, official("mmbench/llava-v1.5-13b.jsonl")):
        found = score(bench, bench.read_answers(answers))
        assert f"{100 * found['circular/overall']:.3f}" == "67.687"
        assert f"{100 * found['vanilla/overall']:.1f}" == "75.4"
    assert bench.remarks(file) == []


@given(st.data())
@settings(max_examples=25, deadline=None)
def test_weights_are_copies(data: st.DataObject) -> None:
    bench = MMBench(Path())
    samples = [
        Sample(
            str(question + k * PASS),
            str(question),
            "",
            truth={
                "answer": "A",
                "options": {"A": "cat", "B": "dog"},
                "question": question,
                "pass": k,
                "passes": 2,
                "ability": "CP" if question else "LR",
                "category": "",
            },
        )
        for question in range(3)
        for k in range(2)
    ]
    rows = judge(bench, [(sample, data.draw(st.sampled_from(["A", "B", "?"]))) for sample in samples])
    copies, weights = duplicating(rows, {str(question): data.draw(st.integers(0, 2)) for question in range(3)})
    if copies:
        full, weighted = bench.statistics(copies), bench.statistics(rows)
        for name in weighted.keys() & full.keys():
            assert np.allclose(weighted[name].of(weights), full[name].of(np.ones(len(copies))), equal_nan=True), name


def test_the_short_table_has_the_six_abilities() -> None:
    assert MMBench.paper_metrics[1:-1] == tuple(f"vanilla/{name}" for name in ABILITIES.values())


def test_lmms_eval_s_numbers_by_hand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each answer with what lmms-eval's rules and VLMEvalKit's newest make of it; the last question has two passes."""
    said = {
        1: ("A", True, True),
        1 + PASS: ("(B)", True, True),
        1 + 2 * PASS: ("C.", True, True),
        1 + 3 * PASS: ("I think D", True, True),
        2: ("A dog is what I see", False, False),  # an article, and the dog is B
        3: ("E", False, False),  # a letter to lmms-eval, and nobody's option
        4: ("Certainly", True, False),  # its capital letter counts
        5: ("The best option is B, as far as I can tell from here", True, False),  # too far from the end for VLMEvalKit
        6: ("A.", True, True),
        6 + PASS: ("A dog, I would say", False, False),
    }
    rows = [*rotations(1), row(2), row(3, answer="B"), row(4, answer="C"), row(5, answer="B"), *rotations(6, passes=2)]
    write(tmp_path, rows)
    answers = jsonl(tmp_path / "a.jsonl", [{"question_id": index, "text": text} for index, (text, _, _) in said.items()])
    assert main(["score", "--benchmark", "mmbench", "--data", str(tmp_path), "--answers", str(answers), "--json"]) == 0
    metrics = json.loads(capsys.readouterr().out)["benchmarks"]["mmbench"]["metrics"]
    for prefix, reader in (("lmms-eval/", 1), ("", 2)):
        main_rows = [said[index][reader] for index in range(1, 7)]
        whole = [all(read[reader] for index, read in said.items() if index % PASS == question) for question in range(1, 7)]
        assert metrics[f"{prefix}vanilla/overall"]["value"] == pytest.approx(sum(main_rows) / 6)
        assert metrics[f"{prefix}circular/overall"]["value"] == pytest.approx(sum(whole) / 6)
    names = ("lmms-eval/vanilla/overall", "lmms-eval/circular/overall", "vanilla/overall", "circular/overall")
    assert [metrics[name]["value"] for name in names] == pytest.approx([4 / 6, 3 / 6, 2 / 6, 1 / 6])
