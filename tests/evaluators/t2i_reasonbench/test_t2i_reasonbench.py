"""T2I-ReasonBench: the 21 edge cases of its specification, a hand-computed whole, and the words the judge is asked in."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from answering import official, picture, values
from hypothesis import given
from hypothesis import strategies as st
from talking import Talker, judged, rescored

from suder_bench.cli import main
from suder_bench.data.source import write_world
from suder_bench.errors import UserError
from suder_bench.evaluators.judges.requests import EXAMINING_SCRIPTS
from suder_bench.evaluators.t2i_reasonbench import T2IReasonBench
from suder_bench.evaluators.t2i_reasonbench.benchmark import GROUPS
from suder_bench.evaluators.t2i_reasonbench.replies import DESCRIBE, QUESTIONS, scores_in

STEMS = {
    "idiom_interpretation": "idiom",
    "textual_image_design": "textual_image",
    "entity_reasoning": "entity",
    "scientific_reasoning": "scientific",
}
ODD_KEYS = {"sci_q1": "Does it float?", "sci_c1": "1: yes; 0: no"}


def script(groups: tuple[str, ...]) -> str:
    """In the form of the authors' own, and never run."""
    lines = ['raise SystemExit("run")', "def examine(qs, num):", '    q1 = "What is it?"']
    lines += [f'    own_{group} = qs[num]["{group}"]' for group in groups]
    asked = 'f"""{group}: look at {{own_{group}}}, reply as {{{{"score": []}}}}."""'
    lines += [f"    q{n} = {asked.format(group=group)}" for n, group in enumerate(groups, start=2)]
    return "\n".join(lines) + "\n"


def questions(n: int) -> dict[str, str]:
    """Three of them, but in one place with keys of another form."""
    if n == 97:
        return ODD_KEYS
    return {key: f"{key}?" for i in range(1, 4) for key in (f"q{i}", f"c{i}")}


def write_data(folder: Path, ids: tuple[int, ...] = (1, 2, 97, 200)) -> Path:
    for dimension, groups in GROUPS.items():
        prompts = folder / "prompts" / f"{dimension}.json"
        asked = folder / "deepseek_evaluation_qs" / f"evaluation_{STEMS[dimension]}.json"
        for place in (prompts, asked, folder / EXAMINING_SCRIPTS[dimension]):
            place.parent.mkdir(parents=True, exist_ok=True)
        prompts.write_text(json.dumps([{"id": n, "prompt": f"{dimension} {n}", "tag": "t"} for n in ids]))
        rows = [{"id": n, "prompt": "a typo", **dict.fromkeys(groups, questions(n))} for n in ids]
        asked.write_text(json.dumps(rows))
        (folder / EXAMINING_SCRIPTS[dimension]).write_text(script(groups))
    return folder


@pytest.fixture
def bench(tmp_path: Path) -> T2IReasonBench:
    return T2IReasonBench(write_data(tmp_path))


def verdict(bench: T2IReasonBench, dimension: str, replies: str | Mapping[str, str]) -> Any:
    """On the first picture of a dimension, where the judge replies so to every group, or to each as said."""

    def say(request: str) -> str:
        return replies if isinstance(replies, str) else replies.get(request.partition(":")[0], "A picture.")

    (sample,) = [one for one in bench.samples() if one.id == f"{dimension}/0001"]
    ((_, found),) = judged(bench, [sample], mllm=Talker(say))
    return found


def accuracy(reply: str, expected: float | None, *odd: str, dimension: str = "idiom_interpretation") -> Callable[..., None]:
    """What a reply to every group comes to; None for one that cannot be read."""

    def check(bench: T2IReasonBench, tmp_path: Path) -> None:
        found = verdict(bench, dimension, reply)
        if expected is None:
            assert found.scores["unparsed"] == 1
            assert np.isnan(found.scores["score"])
            assert found.reason.startswith("no scores in the judge's reply about")
        else:
            assert found.scores["score"] == pytest.approx(expected)
        assert (found.scores["odd"] > 0) == bool(odd)
        assert all(words in found.reason for words in odd)

    return check


def weighted_means(dimension: str, own: float, details: float, expected: float) -> Callable[..., None]:
    def check(bench: T2IReasonBench, tmp_path: Path) -> None:
        marks = dict(zip(GROUPS[dimension], (own, details, 1), strict=True))
        found = verdict(bench, dimension, {group: json.dumps({"score": [mark] * 3}) for group, mark in marks.items()})
        assert found.scores["score"] == pytest.approx(expected)

    return check


def odd_keys_are_sent(bench: T2IReasonBench, tmp_path: Path) -> None:
    (sample,) = [one for one in bench.samples() if one.id == "scientific_reasoning/0097"]
    judge = Talker(lambda request: '{"score": [1]}')
    judged(bench, [sample], mllm=judge)
    assert judge.heard[1].turns[-1] == f'scientific_evaluation: look at {ODD_KEYS}, reply as {{"score": []}}.'


def refused(name: str, told: str) -> Callable[..., None]:
    def check(bench: T2IReasonBench, tmp_path: Path) -> None:
        picture(tmp_path / "made" / "entity_reasoning" / "0001.png")
        picture(tmp_path / "made" / "entity_reasoning" / name)
        with pytest.raises(UserError, match=told):
            bench.find_images(tmp_path / "made")

    return check


def ignored(bench: T2IReasonBench, tmp_path: Path) -> None:
    for name in ("0001.png", "0002.jpg", "0007.jpeg", "notes.txt", "x0001.png", "0001_b.png"):
        picture(tmp_path / "made" / "entity_reasoning" / name) if name != "notes.txt" else None
    found = [(sample.id, repeat, file.name) for sample, repeat, file in bench.find_images(tmp_path / "made")]
    assert found == [
        ("entity_reasoning/0001", 0, "0001.png"),
        ("entity_reasoning/0001", 1, "0001_b.png"),
        ("entity_reasoning/0002", 0, "0002.jpg"),
    ]
    assert [one.file.name for one in bench.strangers(tmp_path / "made")] == ["0007.jpeg", "x0001.png"]


def missing_is_told(bench: T2IReasonBench, tmp_path: Path) -> None:
    """A picture that was not drawn is in no mean; the command counts it, and 200 are wanted."""
    rows = judged(
        bench, [one for one in bench.samples() if one.truth["number"] < 3], mllm=Talker(lambda r: '{"score": [1, 1, 1]}')
    )
    fewer = [row for row in rows if row[0].id != "entity_reasoning/0002"]
    assert bench.statistics(fewer)["entity"].n == 1
    assert values(bench.statistics(fewer), 7)["entity"] == 100
    write_world(tmp_path / "world", size="quick", benchmarks=["t2i-reasonbench"])
    picture(tmp_path / "made" / "entity_reasoning" / "0001.png")
    summary = tmp_path / "summary.json"
    arguments = ["score", "--benchmark", "t2i-reasonbench", "--images", str(tmp_path / "made"), "--data", str(tmp_path / "world")]
    assert main([*arguments, "--out", str(summary)]) == 0
    entry = json.loads(summary.read_text() if summary.is_file() else (summary / "summary.json").read_text())["benchmarks"]
    assert (entry["t2i-reasonbench"]["skipped"], entry["t2i-reasonbench"]["n_responses"]) == (47, 1)


def rounded(bench: T2IReasonBench, tmp_path: Path) -> None:
    """SRUM's table: Bagel's average of 49.70, 34.46, 47.52 and 43.59 is 43.82."""
    printed = {"entity_reasoning": 0.49701, "idiom_interpretation": 0.3446, "scientific_reasoning": 0.4752}
    printed["textual_image_design"] = 0.43590
    rows = judged(bench, bench.samples(), mllm=Talker(lambda request: '{"score": [1, 1, 1]}'))
    found = bench.statistics([rescored(row, score=printed[row[0].truth["dimension"]]) for row in rows])
    shown = values(found, len(rows))
    assert [shown[name] for name in ("entity", "idiom", "scientific", "textual")] == [49.70, 34.46, 47.52, 43.59]
    assert shown["average"] == 43.82
    alone = bench.statistics([rescored(rows[0], score=0.438175)])
    assert values(alone, 1)["idiom"] == 43.82


def plain_mean(bench: T2IReasonBench, tmp_path: Path) -> None:
    """Of dimensions with other numbers of pictures, too."""
    rows = judged(bench, bench.samples(), mllm=Talker(lambda request: '{"score": [1, 1, 1]}'))
    rows = [rescored(row, score=float(row[0].truth["dimension"] == "entity_reasoning")) for row in rows]
    rows = [row for row in rows if row[0].truth["dimension"] != "idiom_interpretation" or row[0].truth["number"] == 1]
    assert values(bench.statistics(rows), len(rows))["average"] == 25


EDGES = {
    "1-list": accuracy('{"reason": ["a"], "score": [1, 0.5, 0]}', 0.5),
    "2-fenced": accuracy('```json\n{"reason": ["a"], "score": [1, 0.5, 0]}\n```', 0.5),
    "3-texts": accuracy('{"score": ["1", "0.5"]}', 0.75, "2 scores to 3 questions"),
    "4-one-text": accuracy('{"score": "1"}', 1.0, "1 scores to 3 questions"),
    "5-number": accuracy('{"score": 1}', None),
    "6-brace-in-reason": accuracy('{"reason": ["the } sign"], "score": [1, 1, 1]}', None),
    "7-two-objects": accuracy('{"score": [0, 0, 0]} {"score": [1, 1, 1]}', 0.0),
    "8-fewer": accuracy('{"score": [1, 0.5]}', 0.75, "reason: 2 scores to 3 questions"),
    "9-two": accuracy('{"score": [2, 1, 0]}', 1.0, "scored 2, which is none of 1, 0.5 and 0"),
    "10-entity": weighted_means("entity_reasoning", 1, 0.5, 0.85),
    "11-scientific": weighted_means("scientific_reasoning", 0, 1, 0.3),
    "12-odd-keys": odd_keys_are_sent,
    "13-no-such-prompt": refused("0201.png", r"0201\.png: entity_reasoning has no prompt 201; its ids are 1 to 200"),
    "14-missing": missing_is_told,
    "15-jpeg": ignored,
    "16-empty": accuracy('{"score": []}', None),
    "17-null": accuracy('{"score": [1, null, 0]}', None),
    "18-rounding": rounded,
    "19-average": plain_mean,
    "20-no-object": accuracy("I would give it a 1.", None),
    "21-no-id": refused("1.png", r"1\.png: the first four characters are no id; call it as in entity_reasoning/0007\.png"),
}


@pytest.mark.parametrize("case", EDGES)
def test_edge_cases(case: str, bench: T2IReasonBench, tmp_path: Path) -> None:
    EDGES[case](bench, tmp_path)


@pytest.mark.parametrize(
    ("reply", "scores"),
    [
        ('{"score": [true, false]}', (1, 0)),  # as Python's float has it
        ('{"score": "10"}', (1, 0)),  # letter by letter
        ('{"score": "0.5"}', None),
        ('{"score": {"q1": 1}}', None),
        ('{"score": [[1]]}', None),
        ('{"score": [NaN]}', None),
        ('{"score": [1e999]}', None),
        ('{"reason": "x"}', None),
        ("{}", None),
        ('[{"score": [1]}]', (1,)),
        ('{"score": [1], "score": [0]}', (0,)),
    ],
)
def test_other_replies(reply: str, scores: tuple[float, ...] | None) -> None:
    assert scores_in(reply) == scores


@given(st.text() | st.recursive(st.none() | st.floats() | st.text(), st.lists).map(lambda value: json.dumps({"score": value})))
def test_any_reply_can_be_read(reply: str) -> None:
    scores = scores_in(reply)
    assert scores is None or len(scores) > 0


def test_a_whole_that_was_computed_by_hand(bench: T2IReasonBench) -> None:
    """Two pictures a dimension, and one reply that cannot be read, which takes its picture out of both means."""
    marks = {
        ("idiom_interpretation", 1): ([1, 0.5, 0], [1]),  # accuracy 0.5, quality 1
        ("idiom_interpretation", 2): ([1, 1, 1], [0.5]),  # 1, 0.5
        ("textual_image_design", 1): ([0], [0]),
        ("textual_image_design", 2): (None, [1]),  # unread
        ("entity_reasoning", 1): ([1], [0.5], [1]),  # 0.85, 1
        ("entity_reasoning", 2): ([0], [1], [0]),  # 0.3, 0
        ("scientific_reasoning", 1): ([0.5], [0], [1]),  # 0.35, 1
        ("scientific_reasoning", 2): ([1], [1], [1]),  # 1, 1
    }
    samples = [sample for sample in bench.samples() if sample.truth["number"] in (1, 2)]
    waiting = [own for sample in samples for own in marks[sample.truth["dimension"], sample.truth["number"]]]
    judge = Talker(lambda request: "Seen." if request == "What is it?" else json.dumps({"score": waiting.pop(0)}))
    found = values(bench.statistics(judged(bench, samples, mllm=judge)), 8)
    assert found == pytest.approx(
        {
            "entity": 57.5,
            "idiom": 75.0,
            "scientific": 67.5,
            "textual": 0.0,
            "average": 50.0,
            "quality/entity": 50.0,
            "quality/idiom": 75.0,
            "quality/scientific": 100.0,
            "quality/textual": 0.0,
            "quality/average": 56.25,
            "strict": 50.0,
            "unparsed": 1.0,
            "odd": 7.0,  # but for the unread one
        }
    )


def test_each_group_is_asked_about_with_the_description_alone_before_it(bench: T2IReasonBench) -> None:
    (sample,) = [one for one in bench.samples() if one.id == "entity_reasoning/0001"]
    judge = Talker(lambda request: "<think>hm</think>A cat." if request == "What is it?" else '{"score": [1, 1, 1]}')
    ((_, found),) = judged(bench, [sample], mllm=judge)
    first, *others = judge.heard
    assert (first.turns, first.picture_last) == (("What is it?",), False)
    assert [talk.turns[:2] for talk in others] == [("What is it?", "A cat.")] * 3
    assert judge.allowed == {1000}
    assert found.details["description"] == "A cat."
    assert set(found.details["replies"]) == set(GROUPS["entity_reasoning"])
    assert sample.prompt == "entity_reasoning 1"  # and not the questions' own


def test_the_authors_words_or_ours(tmp_path: Path) -> None:
    data = write_data(tmp_path)
    ours = T2IReasonBench(data, "suder-bench")
    judge = Talker(lambda request: '{"score": [1, 1, 1]}')
    rows = judged(ours, ours.samples()[:1], mllm=judge)
    assert judge.heard[0].turns == (DESCRIBE,)
    assert judge.heard[1].turns[-1] == QUESTIONS.format(questions=str(questions(1)))
    assert ours.headline == "suder-bench/average"
    assert ours.headline in ours.statistics(rows)
    (data / EXAMINING_SCRIPTS["entity_reasoning"]).write_text(script(("entity_evaluation",)))
    with pytest.raises(UserError, match="asks nothing about other_details_evaluation"):
        T2IReasonBench(data).samples()
    (data / EXAMINING_SCRIPTS["entity_reasoning"]).unlink()
    with pytest.raises(UserError, match=r"eval_entity\.py is missing.*data fetch t2i-reasonbench.*--protocol suder-bench"):
        T2IReasonBench(data).samples()


@pytest.mark.parametrize(
    ("file", "row", "told"),
    [
        ("prompts/entity_reasoning.json", {"id": 2, "prompt": "x"}, "row 5: the id 2 is used twice"),
        ("prompts/entity_reasoning.json", {"id": 7, "prompt": "x"}, "no questions to the id 7"),
        ("prompts/entity_reasoning.json", {"id": "7", "prompt": "x"}, "'id' is '7'; expected a whole number"),
        ("deepseek_evaluation_qs/evaluation_entity.json", {"id": 7}, "no 'entity_evaluation'"),
    ],
)
def test_other_rows_are_refused_with_their_place(tmp_path: Path, file: str, row: dict[str, Any], told: str) -> None:
    data = write_data(tmp_path)
    rows = json.loads((data / file).read_text())
    (data / file).write_text(json.dumps([*rows, row]))
    with pytest.raises(UserError, match=told):
        T2IReasonBench(data).samples()


def test_official_facts() -> None:
    """Counted from the files of commit efc1d20."""
    bench = T2IReasonBench(official("t2i_reasonbench/prompts/idiom_interpretation.json").parents[1])
    samples = bench.samples()
    assert Counter(sample.truth["dimension"] for sample in samples) == dict.fromkeys(GROUPS, 200)
    by_id = {sample.id: sample for sample in samples}
    assert "aq1" in by_id["idiom_interpretation/0090"].truth["questions"]["quality_evaluation"]
    for number in (97, 182):
        assert "sci_q1" in by_id[f"scientific_reasoning/{number:04d}"].truth["questions"]["scientific_evaluation"]
    assert len({asked.describe for asked in bench.examinations.values()}) == 1
    requests = {text for asked in bench.examinations.values() for text in asked.groups.values()}
    assert [text.count("{questions}") for text in requests] == [1]
