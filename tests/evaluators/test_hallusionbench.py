"""HallusionBench's verdicts, groups, files and requests."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from answering import duplicating, judge, official, picture, score
from hypothesis import given, settings
from hypothesis import strategies as st

from suder_bench.cli import main
from suder_bench.errors import UserError
from suder_bench.evaluators.answers.reviews import judge_mark
from suder_bench.evaluators.hallusionbench import HallusionBench
from suder_bench.evaluators.judges.world import WorldLlm
from suder_bench.records import Sample
from suder_bench.world import tasks

Row = dict[str, Any]

SCRIPT = """
import openai

raise SystemExit("this is never run")

def evaluate_by_chatgpt(data, output_entry, correctness_entry):
    for sample in data:
        prompt = 'Mark it with {one} word. '
        prompt += 'Be fair.\\n\\nQuestion: '
        prompt += sample['question']
        prompt += '\\nReference: '
        prompt += sample['gt_answer_details']
        prompt += '\\nAnswer: '
        prompt += sample[output_entry]
        prompt += '\\n\\nMark:'

def check_same_by_chatgpt(data):
    prompt = 'Another request.'
"""
"""Has the form of the authors' utils.py."""


def row(key: str, answer: str = "1", visual_input: str = "1") -> Row:
    """`key` is category_subcategory_set_figure_question; VS figure 0 has no picture."""
    category, subcategory, set_id, figure_id, question_id = key.split("_")
    text_only = category == "VS" and figure_id == "0"
    return {
        "category": category,
        "subcategory": subcategory,
        "visual_input": "0" if text_only else visual_input,
        "set_id": set_id,
        "figure_id": figure_id,
        "question_id": question_id,
        "question": f"Is {key} so?",
        "gt_answer": answer,
        "gt_answer_details": f"{key} is as it is.",
        "filename": None if text_only else f"./{category}/{subcategory}/{set_id}_{figure_id}.png",
    }


def write(folder: Path, rows: Sequence[Row]) -> Path:
    (folder / "hallusionbench").mkdir(exist_ok=True)
    (folder / "hallusionbench" / "HallusionBench.json").write_text(json.dumps(list(rows)))
    (folder / "hallusionbench" / "utils.py").write_text(SCRIPT)
    for found in rows:
        if found["filename"]:
            picture(folder / "hallusionbench" / "images" / found["filename"])
    return folder


def answers(data: Path, said: dict[str, str], protocol: str = "official") -> list[tuple[Sample, str]]:
    return [(sample, said.get(sample.id, "Yes")) for sample in HallusionBench(data, protocol).samples()]


class Teacher:
    """A judge that says one thing, or what the mapping from answers says."""

    backend, exact, fingerprint = "scripted", False, "0"

    def __init__(self, replies: dict[str, str]) -> None:
        self.replies, self.prompts = replies, list[str]()

    def mark(self, prompts: Sequence[str]) -> list[str]:
        self.prompts += prompts
        return [next(reply for text, reply in self.replies.items() if f"Answer: {text}\n" in prompt) for prompt in prompts]


PAIR = ["VS_chart_0_0_0", "VS_chart_0_1_0", "VS_chart_0_2_0"]
FIGURE = ["VD_ocr_0_0_0", "VD_ocr_0_0_1", "VD_ocr_0_0_2"]


def test_samples(tmp_path: Path) -> None:
    write(tmp_path, [row(key) for key in PAIR])
    default = HallusionBench(tmp_path).samples()
    assert [sample.id for sample in default] == PAIR[1:]
    assert default[0].prompt == "\nIs VS_chart_0_1_0 so?\nAnswer the question using a single word or phrase."
    assert default[0].images == (tmp_path / "hallusionbench/images/VS/chart/0_1.png",)
    assert default[0].cluster == "VS_chart_0"
    everything = HallusionBench(tmp_path, "official-llm").samples()
    assert [sample.id for sample in everything] == PAIR
    assert everything[0].images == ()
    assert everything[0].prompt == "Is VS_chart_0_0_0 so?"


def test_the_official_archive_is_read_too(tmp_path: Path) -> None:
    write(tmp_path, [row(key) for key in FIGURE])
    folder = tmp_path / "hallusionbench"
    (folder / "images").rename(folder / "hallusion_bench")
    assert HallusionBench(tmp_path).samples()[0].images == (folder / "hallusion_bench/VD/ocr/0_0.png",)


def test_judge_roles() -> None:
    assert HallusionBench(Path()).judge_roles == ()
    assert HallusionBench(Path(), "official-llm").judge_roles == ("llm",)


@pytest.mark.parametrize(
    ("text", "correct"),
    [
        ("Yes, it is.", True),
        ("No", False),
        ("NO!", False),
        ("Not at all", False),
        ("**Yes**", False),
        ("Yes: it is", False),
        ("yes and no", False),
        ("nan", False),
    ],
)
def test_exact_matching(tmp_path: Path, text: str, correct: bool) -> None:
    data = write(tmp_path, [row("VD_ocr_0_0_0")])
    [(_, verdict)] = judge(HallusionBench(data), answers(data, {"VD_ocr_0_0_0": text}))
    assert verdict.correct is correct
    found = score(HallusionBench(data), answers(data, {"VD_ocr_0_0_0": text}))
    assert {found[name] for name in ("aAcc", "fAcc", "qAcc", "average", "VD_ocr/qAcc")} == {float(correct)}  # one row: all equal


def test_a_figure_with_one_mistake_is_wrong(tmp_path: Path) -> None:
    data = write(tmp_path, [row(key) for key in FIGURE])
    found = score(HallusionBench(data), answers(data, {FIGURE[1]: "no"}))
    assert (found["aAcc"], found["fAcc"], found["qAcc"]) == (pytest.approx(2 / 3), 0, pytest.approx(2 / 3))
    assert found["average"] == pytest.approx((2 / 3 + 0 + 2 / 3) / 3)


def test_a_question_wrong_on_the_edited_figure_is_wrong(tmp_path: Path) -> None:
    data = write(tmp_path, [row("VD_math_0_0_0"), row("VD_math_0_1_0", "0", visual_input="2")])
    found = score(HallusionBench(data), answers(data, {}))
    assert (found["qAcc"], found["fAcc"], found["easy"], found["hard"]) == (0, 0.5, 1, 0)


def test_same_set_in_both_categories_is_two_groups(tmp_path: Path) -> None:
    data = write(tmp_path, [row("VD_ocr_0_1_0"), row("VS_ocr_0_1_0")])
    found = score(HallusionBench(data), answers(data, {"VS_ocr_0_1_0": "no"}))
    assert (found["qAcc"], found["fAcc"], found["VD/qAcc"], found["VS/qAcc"]) == (0.5, 0.5, 1, 0)


def test_groups_cut_by_a_limit_are_left_out(tmp_path: Path) -> None:
    data = write(tmp_path, [row("VD_ocr_0_0_0"), row("VD_ocr_0_0_1"), row("VD_ocr_1_0_0")])
    bench = HallusionBench(data)
    pairs = answers(data, {})
    statistics = bench.statistics(judge(bench, [pairs[0], pairs[2]]))
    assert [statistics[name].n for name in ("aAcc", "fAcc", "qAcc")] == [2, 1, 2]
    assert np.isnan(bench.statistics(judge(bench, pairs[:1]))["average"].of(np.ones(1)))


def test_easy_and_hard_groups_are_whole(tmp_path: Path) -> None:
    rows = [row("VS_chart_0_1_0"), row("VS_chart_0_2_0"), row("VS_chart_0_3_0", visual_input="2")]
    data = write(tmp_path, rows)
    bench = HallusionBench(data)
    statistics = bench.statistics(judge(bench, answers(data, {})[1:]))
    assert [statistics[name].n for name in ("easy", "hard")] == [0, 1]


@pytest.mark.parametrize(
    ("reply", "mark"),
    [("This is not incorrect", 0), ("Correct.", 1), ("", 2), ("INCORRECT", 0), ("unclear", 2), ("I cannot say", 2)],
)
def test_reading_the_judge(reply: str, mark: int) -> None:
    assert judge_mark(reply) == mark


@pytest.mark.parametrize(
    ("key", "reply", "correct"),
    [
        ("VS_chart_0_0_0", "unclear", True),
        ("VS_chart_0_1_0", "unclear", False),
        ("VD_ocr_0_0_0", "unclear", False),
        ("VD_ocr_0_0_0", "correct", True),
        ("VS_chart_0_0_0", "incorrect", False),
    ],
)
def test_the_authors_judge(tmp_path: Path, key: str, reply: str, correct: bool) -> None:
    data = write(tmp_path, [row(key)])
    teacher = Teacher({"Perhaps": reply})
    [(_, verdict)] = judge(
        HallusionBench(data, "official-llm"), answers(data, {key: "Perhaps"}, "official-llm"), {"llm": teacher}
    )
    assert verdict.correct is correct
    assert f"Question: Is {key} so?\nReference: {key} is as it is.\nAnswer: Perhaps\n" in teacher.prompts[0]


def test_the_question_without_picture_counts_for_its_group_but_is_no_figure(tmp_path: Path) -> None:
    data = write(tmp_path, [row(key) for key in PAIR])
    bench = HallusionBench(data, "official-llm")
    pairs = answers(data, {PAIR[0]: "wrong"}, "official-llm")
    teacher = Teacher({"wrong": "incorrect", "Yes": "correct"})
    statistics = bench.statistics(judge(bench, pairs, {"llm": teacher}))
    found = {name: float(statistic.of(np.ones(3))) for name, statistic in statistics.items()}
    three = ["official-llm/aAcc", "official-llm/fAcc", "official-llm/qAcc"]
    assert [found[name] for name in three] == [pytest.approx(2 / 3), 1, 0]
    assert [statistics[name].n for name in three] == [3, 2, 1]


def test_the_authors_metrics_are_told_apart_from_the_papers(tmp_path: Path) -> None:
    data = write(tmp_path, [row(key) for key in PAIR])
    bench = HallusionBench(data, "official-llm")
    found = bench.statistics(judge(bench, answers(data, {}, "official-llm"), {"llm": Teacher({"Yes": "correct"})}))
    assert all(name.startswith("official-llm/") for name in found)
    assert {bench.headline, *bench.paper_metrics} <= found.keys()
    assert HallusionBench(data).headline == "average"


def test_the_worlds_judge_marks_the_worlds_references(tmp_path: Path) -> None:
    tasks.write(tmp_path, size="quick", benchmarks=["hallusionbench"])
    bench = HallusionBench(tmp_path, "official-llm")
    for said, right in (
        (lambda truth: truth["gt_answer_details"], True),
        (lambda truth: truth["answer"].capitalize() + ".", True),
        (lambda truth: "no" if truth["answer"] == "yes" else "yes", False),
    ):
        rows = judge(bench, [(sample, said(sample.truth)) for sample in bench.questions], {"llm": WorldLlm()})
        assert {verdict.correct for _, verdict in rows} == {right}
        assert not any(verdict.scores["unclear"] for _, verdict in rows)


def test_mistakes_in_the_data_are_named(tmp_path: Path) -> None:
    write(tmp_path, [row("VD_ocr_0_0_0"), row("VD_ocr_0_0_0")])
    with pytest.raises(UserError, match="row 2: a second row 'VD_ocr_0_0_0'"):
        HallusionBench(tmp_path).samples()
    write(tmp_path, [row("VD_ocr_0_0_0")])
    (tmp_path / "hallusionbench/images/VD/ocr/0_0.png").unlink()
    with pytest.raises(UserError, match=r"0_0\.png is missing"):
        HallusionBench(tmp_path).samples()
    (tmp_path / "hallusionbench/HallusionBench.json").write_text(json.dumps([{"category": "VD"}]))
    with pytest.raises(UserError, match="row 1: no 'subcategory'"):
        HallusionBench(tmp_path).samples()


@pytest.mark.parametrize("said", [None, True, 1, float("nan"), ["No"], {"text": "No"}])
def test_an_answer_that_is_no_text_is_refused(tmp_path: Path, said: object) -> None:
    rows = [row(key) for key in FIGURE]
    data, file = write(tmp_path, rows), tmp_path / "answers.json"
    file.write_text(json.dumps([rows[0] | {"model_prediction": "No"}, rows[1] | {"model_prediction": said}]))
    with pytest.raises(UserError, match=r"answers\.json: row 2: 'model_prediction' is .*; expected a text"):
        HallusionBench(data).read_answers(file)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"question": ["Is it?"]}, "'question' is .*; expected a text"),
        ({"gt_answer": "2"}, "'gt_answer' is '2'; expected \"0\" or \"1\""),
        ({"gt_answer": True}, "'gt_answer' is True"),
        ({"set_id": 1.5}, "'set_id' is 1.5; expected a text or a whole number"),
        ({"filename": 3}, "'filename' is '3'; expected a text or null"),
    ],
)
def test_a_question_of_another_type_is_refused(tmp_path: Path, changes: Row, message: str) -> None:
    (tmp_path / "HallusionBench.json").write_text(json.dumps([row("VD_ocr_0_0_0"), row("VD_ocr_0_0_1") | changes]))
    with pytest.raises(UserError, match=f"row 2: {message}"):
        HallusionBench(tmp_path).samples()


def test_numbers_as_ids_are_the_same_ids(tmp_path: Path) -> None:
    found = row("VD_ocr_0_1_2")
    numbered = found | {key: int(found[key]) for key in ("set_id", "figure_id", "question_id", "gt_answer", "visual_input")}
    (tmp_path / "HallusionBench.json").write_text(json.dumps([numbered]))
    [sample] = HallusionBench(tmp_path).questions
    assert (sample.id, sample.truth["answer"]) == ("VD_ocr_0_1_2", "yes")


def test_the_judge_is_asked_in_the_authors_words(tmp_path: Path) -> None:
    data, teacher = write(tmp_path, [row("VD_ocr_0_0_0")]), Teacher({"Perhaps {question}": "correct"})
    bench = HallusionBench(data, "official-llm")
    judge(bench, answers(data, {"VD_ocr_0_0_0": "Perhaps {question}"}, "official-llm"), {"llm": teacher})
    assert teacher.prompts == [
        "Mark it with {one} word. Be fair.\n\nQuestion: Is VD_ocr_0_0_0 so?\nReference: VD_ocr_0_0_0 is as it is."
        "\nAnswer: Perhaps {question}\n\nMark:"
    ]


def test_our_words_have_our_name(tmp_path: Path) -> None:
    data, teacher = write(tmp_path, [row("VD_ocr_0_0_0")]), Teacher({"Yes": "correct"})
    (data / "hallusionbench" / "utils.py").unlink()
    bench = HallusionBench(data, "suder-bench-llm")
    found = bench.statistics(judge(bench, answers(data, {}, "suder-bench-llm"), {"llm": teacher}))
    assert "teacher who marks" in teacher.prompts[0]
    assert all(name.startswith("suder-bench-llm/") for name in found)
    with pytest.raises(
        UserError, match=r"utils\.py is missing.*suder-bench data fetch hallusionbench.*--protocol suder-bench-llm"
    ):
        HallusionBench(data, "official-llm").questions  # noqa: B018


def test_the_rule_of_full_stops_until_may_2025_has_its_own_metrics(tmp_path: Path) -> None:
    data = write(tmp_path, [row("VD_ocr_0_0_0", answer="0")])
    listed = "".join(f"{n}. no thing\n" for n in range(1, 33)).replace("no thing", "a thing") + "No."
    found = score(HallusionBench(data), answers(data, {"VD_ocr_0_0_0": listed}))
    assert (found["aAcc"], found["vlmevalkit-2024/aAcc"], found["vlmevalkit-2024/average"]) == (1, 0, 0)


def test_more_rows_than_the_benchmark_has(tmp_path: Path) -> None:
    rows = [row(f"VS_chart_0_0_{i}") for i in range(1130)]
    with pytest.raises(UserError, match="1,130 rows; the benchmark has 1,129"):
        HallusionBench(write(tmp_path, rows)).samples()


def test_answers_in_the_official_format(tmp_path: Path) -> None:
    rows = [row(key) for key in PAIR]
    data, file = write(tmp_path, rows), tmp_path / "answers.json"
    file.write_text(json.dumps([found | {"model_prediction": "nan"} for found in rows]))
    assert [text for _, text in HallusionBench(data).read_answers(file)] == ["nan", "nan"]
    assert len(HallusionBench(data, "official-llm").read_answers(file)) == 3
    file.write_text(json.dumps(rows))
    with pytest.raises(UserError, match="row 1: no 'model_prediction'"):
        HallusionBench(data).read_answers(file)


@given(st.data())
@settings(max_examples=25, deadline=None)
def test_weights_are_copies(data: st.DataObject) -> None:
    keys = [f"VD_ocr_{i}_{j}_{k}" for i in range(3) for j in range(2) for k in range(2)]
    bench = HallusionBench(Path())
    truths = [row(key) | {"answer": "yes", "figure_rows": 2, "group_rows": 2, "easy_rows": 2, "hard_rows": 0} for key in keys]
    samples = [Sample(key, key[:8], "", truth=truth) for key, truth in zip(keys, truths, strict=True)]
    rows = judge(bench, [(sample, data.draw(st.sampled_from(["yes", "no", "so"]))) for sample in samples])
    copies, weights = duplicating(rows, {f"VD_ocr_{i}": data.draw(st.integers(0, 2)) for i in range(3)})
    if copies:
        full, weighted = bench.statistics(copies), bench.statistics(rows)
        for name in weighted.keys() & full.keys():
            assert np.allclose(weighted[name].of(weights), full[name].of(np.ones(len(copies))), equal_nan=True), name


@pytest.mark.parametrize(("protocol", "counts"), [("official", [951, 346, 455]), ("official-llm", [1129, 346, 455])])
def test_official_rows(tmp_path: Path, protocol: str, counts: list[int]) -> None:
    file = official("hallusionbench/HallusionBench.json")
    (tmp_path / "HallusionBench.json").write_bytes(file.read_bytes())
    (tmp_path / "utils.py").write_text(SCRIPT)
    bench = HallusionBench(tmp_path, protocol)
    pairs = [(sample, "Yes") for sample in bench.questions]
    judges = {"llm": Teacher({"Yes": "correct"})}
    statistics = bench.statistics(judge(bench, pairs, judges))
    prefix = "" if protocol == "official" else "official-llm/"
    assert [statistics[f"{prefix}{name}"].n for name in ("aAcc", "fAcc", "qAcc")] == counts
    image_rows = [found | {"model_prediction": "Yes"} for found in bench.rows.values() if found["filename"]]
    answers = tmp_path / "answers.json"
    answers.write_text(json.dumps(image_rows))
    if protocol == "official":
        assert len(bench.read_answers(answers)) == 951
    else:
        with pytest.raises(UserError, match="951 answers against 1,129 questions"):
            bench.read_answers(answers)


def test_lmms_eval_s_numbers_by_hand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two figures with two questions each: "yes" within a word is a yes to lmms-eval, and anything else a no."""
    said = {
        "VD_ocr_1_1_0": ("1", "My eyes say it is so"),  # right
        "VD_ocr_1_1_1": ("0", "It is not"),  # right
        "VD_ocr_1_2_0": ("0", "Not yesterday"),  # a yes
        "VD_ocr_1_2_1": ("1", "It is."),  # a no
    }
    rows = [row(key, answer) for key, (answer, _) in said.items()]
    write(tmp_path, rows)
    file = tmp_path / "answers.json"
    file.write_text(json.dumps([{**one, "model_prediction": text} for one, (_, text) in zip(rows, said.values(), strict=True)]))
    assert main(["score", "--benchmark", "hallusionbench", "--data", str(tmp_path), "--answers", str(file), "--json"]) == 0
    metrics = json.loads(capsys.readouterr().out)["benchmarks"]["hallusionbench"]["metrics"]
    expected = {
        "lmms-eval/aAcc": 2 / 4,
        "lmms-eval/fAcc": 1 / 2,  # the first figure
        "lmms-eval/qAcc": 0.0,  # each question is wrong about the second
        "lmms-eval/average": 1 / 3,
        "lmms-eval/VD_ocr/aAcc": 2 / 4,
        "aAcc": 0.0,  # no word is yes or no to VLMEvalKit
        "unextracted": 4.0,
    }
    assert {name: metrics[name]["value"] for name in expected} == pytest.approx(expected)
