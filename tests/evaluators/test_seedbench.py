"""SEED-Bench's three ways to read a letter, its file, and its averages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from answering import jsonl, judge, picture, score

from suder_bench.errors import UserError
from suder_bench.evaluators.seedbench import DIMENSIONS, OFFICIAL_ROWS, SeedBench, lowest_loss
from suder_bench.records import Sample
from suder_bench.world import tasks

TYPES = {"Scene Understanding": 1, "Instances Counting": 5, "Action Recognition": 10}
Row = dict[str, Any]


def row(name: str, answer: str = "B", kind: int = 1, **fields: Any) -> Row:
    texts = {f"choice_{letter}": text for letter, text in zip("abcd", ["cat", "dog", "cow", "pig"], strict=True)}
    fixed = {"question_id": name, "question": "What is it?", "answer": answer, "data_id": f"{name}.png", "data_type": "image"}
    return texts | fixed | {"question_type_id": kind} | fields


def write(folder: Path, rows: list[Row], pictures: str = "images") -> Path:
    home = folder / "seedbench"
    home.mkdir(exist_ok=True)
    (home / "SEED-Bench.json").write_text(json.dumps({"questions": rows, "question_type": TYPES}))
    for found in rows:
        picture(home / pictures / found["data_id"])
    return folder


def question(options: str = "cat dog cow pig", answer: str = "B", kind: str = "scene_understanding") -> Sample:
    truth = {"answer": answer, "options": dict(zip("ABCD", options.split(), strict=True)), "dimension": kind}
    return Sample("1", "1", "", truth=truth)


@pytest.mark.parametrize("pictures", ["images", "SEED-Bench-image"])
def test_samples(tmp_path: Path, pictures: str) -> None:
    video = row("v1", kind=10, data_type="video")
    samples = SeedBench(write(tmp_path, [row("101"), row("102", data_id="101.png"), video], pictures)).samples()
    assert [sample.id for sample in samples] == ["101", "102"]  # the video question is left out
    assert samples[0].cluster == samples[1].cluster == "101.png"
    assert samples[0].images == (tmp_path / "seedbench" / pictures / "101.png",)
    assert samples[0].truth["dimension"] == "scene_understanding"
    request = "Answer with the option's letter from the given choices directly."
    assert samples[0].prompt == f"\nWhat is it?\nA. cat\nB. dog\nC. cow\nD. pig\n\n{request}"


@pytest.mark.parametrize(
    ("text", "vlmevalkit", "llava", "lmms_eval"),
    [
        ("B", 1, 1, 1),
        ("B.", 1, 0, 1),
        ("b", 0, 0, 1),
        ("(B)", 1, 0, 0),
        ("Bread", 0, 0, 1),
        ("", 0, 0, 0),
        ("It is a dog", 1, 0, 0),
        ("\nB", 1, 1, 1),
        ("Z", 0, 0, 0),
        ("A", 0, 0, 0),
    ],
)
def test_harnesses(text: str, vlmevalkit: float, llava: float, lmms_eval: float) -> None:
    [(_, verdict)] = judge(SeedBench(Path()), [(question(), text)])
    assert verdict.scores["correct"] == vlmevalkit == float(bool(verdict.correct))
    assert (verdict.scores["llava"], verdict.scores["lmms-eval"]) == (llava, lmms_eval)


def test_apple_is_an_a_to_lmms_eval() -> None:
    found = score(SeedBench(Path()), [(question(answer="A"), "Apple")])
    assert (found["lmms-eval/overall"], found["llava/overall"], found["overall"], found["unextracted"]) == (1, 0, 0, 1)


def test_vlmevalkits_rules_have_their_eras() -> None:
    found = score(SeedBench(Path()), [(question(), "The answer is B because the sky looks very blue today")])
    names = ("overall", "vlmevalkit-2025-08/overall", "vlmevalkit-2024/overall")
    assert [found[name] for name in names] == [1, 0, 1]


def test_an_option_in_words() -> None:
    found = score(SeedBench(Path()), [(question("One Two Three Four", answer="A"), "One")])
    assert (found["overall"], found["llava/overall"], found["lmms-eval/overall"]) == (1, 0, 0)


def test_options_may_hold_letters() -> None:
    sample = question()
    sample.truth["options"]["D"] = "A and B"  # type: ignore[index]
    assert score(SeedBench(Path()), [(sample, "B")])["overall"] == 1


def test_micro_and_category_mean_differ() -> None:
    pairs = [(question(), "B"), (question(), "B"), (question(), "B"), (question(kind="instances_counting"), "C")]
    found = score(SeedBench(Path()), pairs)
    assert (found["overall"], found["category_mean"]) == (0.75, 0.5)
    assert (found["scene_understanding"], found["instances_counting"]) == (1, 0)  # none right is 0, not an error
    assert SeedBench.headline == "overall"


def test_a_missing_answer_is_wrong_and_counts(tmp_path: Path) -> None:
    bench = SeedBench(write(tmp_path, [row("1"), row("2")]))
    pairs = bench.read_answers(jsonl(tmp_path / "a.jsonl", [{"question_id": 1, "text": "B"}]))
    assert [text for _, text in pairs] == ["B", ""]
    assert score(bench, pairs)["overall"] == 0.5
    assert bench.remarks(tmp_path / "a.jsonl") == ["no answer to 1 of 2 questions, which counts as wrong"]


def test_the_last_of_two_answers_counts(tmp_path: Path) -> None:
    """The key lists questions twice, and so do the authors' own answers."""
    bench = SeedBench(write(tmp_path, [row("1")]))
    file = jsonl(tmp_path / "a.jsonl", [{"question_id": 1, "text": "A"}, {"question_id": 1, "text": "B"}])
    assert [text for _, text in bench.read_answers(file)] == ["B"]
    assert bench.remarks(file) == ["more than one answer to 1 of 1 questions; the last counts"]


def test_an_answer_that_is_null_is_empty(tmp_path: Path) -> None:
    bench = SeedBench(write(tmp_path, [row("1")]))
    assert [text for _, text in bench.read_answers(jsonl(tmp_path / "a.jsonl", [{"question_id": 1, "text": None}]))] == [""]
    assert bench.remarks(tmp_path / "a.jsonl") == ["1 of 1 answers is empty, which counts as wrong"]


@pytest.mark.parametrize("name", ["text", "prediction"])
@pytest.mark.parametrize("said", [1, 1.5, True, ["B"], {"a": "B"}, float("nan")])
def test_an_answer_that_is_no_text_is_refused(tmp_path: Path, name: str, said: object) -> None:
    bench = SeedBench(write(tmp_path, [row("1"), row("2")]))
    with pytest.raises(UserError, match=rf"answer 2: '{name}' is .*; expected a text"):
        bench.read_answers(jsonl(tmp_path / "a.jsonl", [{"question_id": 1, name: "B"}, {"question_id": 2, name: said}]))


@pytest.mark.parametrize(
    "losses",
    [[1, 2, 3, float("nan")], [float("inf"), 1, 2, 3], [1, 2, 3, True], ["1", 2, 3, 4], [1, 2, 3, 4, 5], "abcd", None, {}],
)
def test_losses_that_are_no_four_numbers_are_refused(tmp_path: Path, losses: object) -> None:
    bench = SeedBench(write(tmp_path, [row("1")]))
    with pytest.raises(UserError, match="answer 1: expected 4 losses, finite numbers, found "):
        bench.read_answers(jsonl(tmp_path / "a.jsonl", [{"question_id": 1, "losses": losses}]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"question": ["What?"]}, "'question' is .*; expected a text"),
        ({"choice_b": ["dog"]}, "'choice_b' is .*; expected a text or a number"),
        ({"choice_b": True}, "'choice_b' is True; expected a text or a number"),
        ({"data_id": 7}, "'data_id' is 7; expected a text"),
        ({"question_id": ["1"]}, "'question_id' is .*; expected a text or a whole number"),
        ({"question_type_id": True}, "'question_type_id' is True"),
        ({"answer": ["B"]}, r"answer '\['B'\]' or question_type_id '1' is unknown"),
    ],
)
def test_a_question_of_another_type_is_refused(tmp_path: Path, changes: Row, message: str) -> None:
    (tmp_path / "SEED-Bench.json").write_text(json.dumps({"questions": [row("1") | changes], "question_type": TYPES}))
    with pytest.raises(UserError, match=f"question 1: {message}"):
        SeedBench(tmp_path).questions  # noqa: B018


@pytest.mark.parametrize(
    "document",
    [
        [],
        {"questions": {}, "question_type": TYPES},
        {"questions": [], "question_type": []},
        {"questions": [1], "question_type": {}},
    ],
)
def test_a_file_of_another_form_is_refused(tmp_path: Path, document: object) -> None:
    (tmp_path / "SEED-Bench.json").write_text(json.dumps(document))
    with pytest.raises(UserError, match=r"SEED-Bench\.json"):
        SeedBench(tmp_path).questions  # noqa: B018


def test_numbers_as_choices_are_the_words_for_them(tmp_path: Path) -> None:
    [sample] = SeedBench(write(tmp_path, [row("1", choice_a=3, choice_b=2.5, choice_c=4.0)])).samples()
    assert sample.truth["options"] == {"A": "3", "B": "2.5", "C": "4", "D": "pig"}


@pytest.mark.parametrize("answer", ["", "AB", "E", 1])
def test_the_key_s_answer_is_one_letter(tmp_path: Path, answer: object) -> None:
    with pytest.raises(UserError, match="question 1: answer"):
        SeedBench(write(tmp_path, [row("1") | {"answer": answer}])).questions  # noqa: B018


def test_answers_made_elsewhere(tmp_path: Path) -> None:
    bench = SeedBench(write(tmp_path, [row("1"), row("2"), row("3"), row("v1", kind=10, data_type="video")]))
    rows = [
        {"question_id": 1, "text": "B"},
        {"question_id": "2", "prediction": "A"},
        {"question_id": 3, "losses": [2.0, 1.5, 1.5, 3]},
        {"question_id": "v1", "text": "A"},
    ]
    file = jsonl(tmp_path / "a.jsonl", rows)
    assert [text for _, text in bench.read_answers(file)] == ["B", "A", "B"]
    file.write_text(file.read_text().replace("}\n", "},\n"))
    assert len(bench.read_answers(file)) == 3
    for wrong, message in (
        ([{"question_id": 9, "text": ""}], "an answer to '9', which is no question"),
        ([{"question_id": 1, "losses": [1, 2]}], "answer 1: expected 4 losses"),
        ([{"question_id": 1}], "answer 1: none of 'text', 'prediction' and 'losses'"),
        ([rows[3]], "no answer to any of the 3 image questions"),
    ):
        with pytest.raises(UserError, match=message):
            bench.read_answers(jsonl(tmp_path / "b.jsonl", wrong))


def test_equal_losses_take_the_first() -> None:
    assert lowest_loss([1.0, 1.0, 1.0, 1.0], "") == "A"
    assert lowest_loss([3, 2, 1, 1], "") == "C"


def test_a_question_listed_twice_counts_once(tmp_path: Path) -> None:
    assert len(SeedBench(write(tmp_path, [row("1"), row("1"), row("2")])).samples()) == 2
    with pytest.raises(UserError, match="question 2: a second question '1' with another answer"):
        SeedBench(write(tmp_path, [row("1"), row("1", answer="C")])).samples()


def test_trailing_commas_are_forgiven(tmp_path: Path) -> None:
    file = write(tmp_path, [row("1")]) / "seedbench" / "SEED-Bench.json"
    file.write_text(file.read_text().replace("}]", "},\n]").rstrip() + ",\n")
    assert len(SeedBench(tmp_path).samples()) == 1


def test_more_questions_than_the_benchmark_has(tmp_path: Path) -> None:
    home = tmp_path / "seedbench"
    home.mkdir()
    rows = [row(str(i)) for i in range(OFFICIAL_ROWS + 1)]
    (home / "SEED-Bench.json").write_text(json.dumps({"questions": rows, "question_type": TYPES}))
    with pytest.raises(UserError, match="14,233 image questions; the benchmark has 14,232"):
        SeedBench(tmp_path).samples()


def test_mistakes_in_the_data_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"SEED-Bench\.json"):
        SeedBench(tmp_path).samples()
    with pytest.raises(UserError, match="question 1: answer 'E' or question_type_id '1' is unknown"):
        SeedBench(write(tmp_path, [row("1", answer="E")])).samples()
    with pytest.raises(UserError, match="question 1: 'choice_c' is null"):
        SeedBench(write(tmp_path, [row("1", choice_c=None)])).samples()
    (write(tmp_path, [row("1")]) / "seedbench/images/1.png").unlink()
    with pytest.raises(UserError, match=r"1\.png is missing"):
        SeedBench(tmp_path).samples()
    (tmp_path / "seedbench/SEED-Bench.json").write_text("{")
    with pytest.raises(UserError, match="not JSON"):
        SeedBench(tmp_path).samples()


def test_the_short_table_has_the_nine_dimensions_of_the_files(tmp_path: Path) -> None:
    tasks.write(tmp_path, size="quick", benchmarks=["seedbench"])
    assert tuple(dict.fromkeys(row["dimension"] for row in SeedBench(tmp_path).rows.values())) == DIMENSIONS
    assert set(DIMENSIONS) < set(SeedBench.paper_metrics)
