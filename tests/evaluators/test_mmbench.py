"""MMBench's table, rotations, and the two ways to count."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from answering import duplicating, jsonl, judge, score
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from suder_bench.data.prompts import PASS
from suder_bench.errors import UserError
from suder_bench.evaluators.mmbench import ABILITIES, FILES, MMBench
from suder_bench.records import Sample, open_image

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


def write(folder: Path, rows: list[Cells], name: str = "mmbench_dev.tsv") -> Path:
    (folder / "mmbench").mkdir(exist_ok=True)
    columns = list(rows[0])
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
    assert MMBench(write(tmp_path, [row(1, image=cell)])).samples()[0].images == (bytes(300_000),)


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
