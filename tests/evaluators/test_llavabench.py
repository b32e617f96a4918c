"""LLaVA-Bench's judge prompt, score parser and ratio of means."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from answering import answered, jsonl, judge, official, picture, score, values
from hypothesis import given
from hypothesis import strategies as st

from suder_bench.cli import main
from suder_bench.errors import UserError
from suder_bench.evaluators.answers.reviews import FAILED, parse_scores
from suder_bench.evaluators.judges.requests import SUDER_SYSTEM
from suder_bench.evaluators.judges.world import WorldLlm
from suder_bench.evaluators.llavabench import CATEGORIES, LlavaBench, relative
from suder_bench.evaluators.weighted import mean
from suder_bench.records import Sample, Verdict
from suder_bench.runs.batches import BatchSize, work
from suder_bench.runs.screen import Screen
from suder_bench.world import tasks

RULES = {f"llava_bench_{name}": {"role": "Assistant", "prompt": f"Rate {name}."} for name in ("conv", "detail", "complex")}


SYSTEM = "You are told who you are."
SCRIPT = f"""
import openai

raise SystemExit("this is never run")

def get_eval(content):
    return openai.ChatCompletion.create(
        messages=[{{'role': 'system', 'content': '{SYSTEM}'}}, {{'role': 'user', 'content': content}}], temperature=0.2
    )
"""
"""Has the form of the authors' eval_gpt_review_bench.py."""


class Rater:
    """Replies in turn, and remembers what it was asked."""

    backend, exact, fingerprint = "scripted", False, "0"

    def __init__(self, *reviews: str) -> None:
        self.reviews, self.asked = list(reviews), list[str]()

    def review(self, system: str, prompts: Sequence[str]) -> list[str]:
        assert system == SYSTEM
        self.asked += prompts
        return [self.reviews.pop(0) for _ in prompts]


def write(folder: Path, questions: int = 3, **changes: Any) -> Path:
    home = folder / "llavabench"
    categories = ("conv", "detail", "complex")
    rows = [
        {"question_id": i, "image": f"{i // 2}.jpg", "category": categories[i % 3], "text": f"What is {i}?"} | changes
        for i in range(questions)
    ]
    jsonl(home / "questions.jsonl", rows)
    captions = [{"image": f"{i}.jpg", "caption": ["A dog.", "It runs."] if i == 0 else "A cat."} for i in range(questions)]
    jsonl(home / "context.jsonl", captions)
    jsonl(home / "answers_gpt4.jsonl", [{"question_id": i, "text": f"It is {i}, truly."} for i in range(questions)])
    (home / "rule.json").write_text(json.dumps(RULES))
    (home / "eval_gpt_review_bench.py").write_text(SCRIPT)
    for i in range(questions):
        picture(home / "images" / f"{i}.jpg")
    return folder


def question(name: str = "0", category: str = "conv") -> Sample:
    truth = {"category": category, "question": "", "context": "", "reference": "", "role": "Assistant", "rule": ""}
    truth["system"] = SYSTEM
    return Sample(name, name, "", truth=truth)


def rated(*reviews: str) -> dict[str, float]:
    pairs = [(question(str(i)), "an answer") for i in range(len(reviews))]
    return score(LlavaBench(Path()), pairs, {"llm": Rater(*reviews)})


@pytest.mark.parametrize(
    ("review", "scores"),
    [
        ("8 10\nBoth are fine.", (8, 10)),
        ("9 6.5", (9, 6.5)),
        ("8,9\n", (8, 9)),
        ("8, 9", FAILED),
        ("8  9", FAILED),
        ("8 9 ", FAILED),
        ("Scores: 8 9", FAILED),
        ("", FAILED),
        ("8/10 9/10", FAILED),
        ("\n8 9", FAILED),
        ("8\t9", FAILED),
        ("8 9\r\n", (8, 9)),
        ("Assistant 1: 8", FAILED),
        ("8", FAILED),
        ("nan 8", FAILED),
    ],
)
def test_scores_in_a_review(review: str, scores: tuple[float, float]) -> None:
    assert parse_scores(review) == scores


@given(st.text())
def test_any_review_can_be_read(review: str) -> None:
    assert len(parse_scores(review)) == 2


@given(st.integers(1, 10), st.integers(1, 10), st.sampled_from([" ", ","]), st.text())
def test_two_scores_are_read_whatever_follows(reference: int, model: int, between: str, rest: str) -> None:
    assert parse_scores(f"{reference}{between}{model}\n{rest}") == (reference, model)


def test_a_ratio_of_means_not_a_mean_of_ratios() -> None:
    assert rated("8 4", "10 8")["all"] == 66.7


def test_a_failed_review_stays_in_the_official_means_and_is_counted() -> None:
    bench, pairs = LlavaBench(Path()), [(question("0"), "an answer"), (question("1"), "an answer")]
    good, other = (verdict for _, verdict in judge(bench, pairs, {"llm": Rater("8 8", "8 8")}))
    failed = replace(other, scores={"reference": FAILED[0], "model": FAILED[1]})
    found = values(bench.statistics([(pairs[0][0], good), (pairs[1][0], failed)]), 2)
    assert (found["all"], found["all/reference"], found["failed_parses"]) == (100.0, 35, 1)


def test_an_unreadable_review_fails_its_response_alone_and_no_review_is_paid_for_twice() -> None:
    bench, rater = LlavaBench(Path()), Rater("8 4", "no idea", "8 6", "8 8")
    everything = answered([(question(str(i)), f"answer {i}") for i in range(4)])
    kept: list[Verdict] = []
    with Screen().bar("scores", len(everything)) as bar:
        failures = work(
            everything, lambda batch: list(bench.verdicts(batch, {"llm": rater})), kept.extend, size=BatchSize(), bar=bar
        )
    assert [failure.item.sample.id for failure in failures] == ["1"]
    assert "no two scores in the first line of the judge's review 'no idea'" in str(failures[0].error)
    assert [verdict.sample for verdict in kept] == ["0", "2", "3"]
    assert len(rater.asked) == 4
    rater.reviews = ["8 2"]
    assert next(iter(bench.verdicts(everything[1:2], {"llm": rater}))).scores == {"reference": 8, "model": 2}


def test_official_rounding() -> None:
    model, reference = mean(np.array([6.6666])), mean(np.array([8.3333]))
    assert relative(model, reference, decimals=3).of(np.ones(1)) == 80.0
    assert relative(mean(np.array([1.0004])), mean(np.array([1.4])), decimals=3).of(np.ones(1)) == 71.4
    assert relative(mean(np.array([1.0004])), mean(np.array([1.4]))).of(np.ones(1)) == 71.5
    # 160 / 17 = 9.412 against 8: the official script prints 117.7, where numpy rounds 117.65 to 117.6.
    assert relative(mean(np.array([160 / 17])), mean(np.array([8.0])), decimals=3).of(np.ones(1)) == 117.7


def test_the_ratio_may_exceed_100() -> None:
    assert rated("5 10")["all"] == 200.0


def test_categories_and_marks(tmp_path: Path) -> None:
    pairs = [(question("0", "conv"), ""), (question("1", "detail"), ""), (question("2", "detail"), "")]
    found = score(LlavaBench(tmp_path), pairs, {"llm": Rater("8 4", "10 5", "10 7")})
    assert (found["conv"], found["detail"], found["all/model"], found["detail/reference"]) == (
        50.0,
        60.0,
        pytest.approx(160 / 3),
        100,
    )
    assert np.isnan(found["complex"])
    assert found["vlmevalkit/all"] == 57.1


def test_samples_and_the_judges_prompt(tmp_path: Path) -> None:
    bench = LlavaBench(write(tmp_path))
    samples = bench.samples()
    assert [sample.id for sample in samples] == ["0", "1", "2"]
    assert samples[0].prompt == "What is 0?"
    assert samples[0].cluster == "0.jpg" == samples[1].cluster
    rater = Rater("8 9\nGood.")
    [(_, verdict)] = judge(bench, [(samples[0], "It is a dog.")], {"llm": rater})
    assert rater.asked == [
        "[Context]\nA dog.\nIt runs.\n\n[Question]\nWhat is 0?\n\n[Assistant 1]\nIt is 0, truly.\n\n[End of Assistant 1]\n\n"
        "[Assistant 2]\nIt is a dog.\n\n[End of Assistant 2]\n\n[System]\nRate conv.\n\n"
    ]
    assert verdict.correct is None
    assert verdict.scores == {"reference": 8, "model": 9}
    assert verdict.reason == "judge: answer 9, reference 8; 'Good.'"
    assert verdict.details == {"review": "8 9\nGood."}


def test_our_words_have_our_name(tmp_path: Path) -> None:
    (write(tmp_path) / "llavabench" / "eval_gpt_review_bench.py").unlink()
    bench = LlavaBench(tmp_path, "suder-bench")
    assert {sample.truth["system"] for sample in bench.samples()} == {SUDER_SYSTEM}
    assert {bench.headline, *bench.paper_metrics} == {"suder-bench/all", *(f"suder-bench/{name}" for name in CATEGORIES)}
    with pytest.raises(UserError, match=r"bench\.py is missing.*suder-bench data fetch llavabench.*--protocol suder-bench$"):
        LlavaBench(tmp_path).samples()


def test_the_world_has_our_words_under_the_default_protocol(tmp_path: Path) -> None:
    tasks.write(tmp_path, size="quick", benchmarks=["llavabench"])
    assert {sample.truth["system"] for sample in LlavaBench(tmp_path).samples()} == {SUDER_SYSTEM}


def test_the_worlds_judge_tells_right_answers_from_others(tmp_path: Path) -> None:
    """A right answer has 100, also one that tells all that is true; nothing, or what is true elsewhere, has the least."""
    tasks.write(tmp_path, size="quick", benchmarks=["llavabench"])
    bench = LlavaBench(tmp_path)
    samples = bench.samples()
    judges = {"llm": WorldLlm.load()}
    elsewhere = samples[len(samples) // 2 :] + samples[: len(samples) // 2]
    said = {
        "reference": [sample.truth["reference"] for sample in samples],
        "all that is true": [sample.truth["context"] for sample in samples],
        "of another picture": [other.truth["reference"] for other in elsewhere],
        "nothing": [""] * len(samples),
    }
    found = {name: score(bench, list(zip(samples, texts, strict=True)), judges)["all"] for name, texts in said.items()}
    assert found["reference"] == found["all that is true"] == 100
    assert 10 == found["nothing"] <= found["of another picture"] < 15


def review(number: int, content: str = "8 4\nWell.", scores: object = (8, 4), category: str = "conv") -> dict[str, Any]:
    return {"question_id": number, "category": f"llava_bench_{category}", "content": content, "tuple": scores}


def summed(folder: Path, rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    bench = LlavaBench(folder, "reviews")
    return score(bench, bench.read_answers(jsonl(folder / "reviews.jsonl", rows)))


def test_published_reviews_are_summed_up_without_a_judge_and_without_data(tmp_path: Path) -> None:
    found = summed(tmp_path, [review(0), review(1, "10 8", [10.0, 8.0], "detail")])
    assert (found["reviews/all"], found["reviews/conv"], found["reviews/detail"]) == (66.7, 50.0, 80.0)
    assert "intervals take every question for a picture" in LlavaBench(tmp_path, "reviews").remarks(tmp_path)[0]


def test_published_reviews_of_the_questions_at_hand_are_clustered_by_picture(tmp_path: Path) -> None:
    bench = LlavaBench(write(tmp_path), "reviews")
    pairs = bench.read_answers(jsonl(tmp_path / "r.jsonl", [review(i) for i in (2, 0, 1)]))
    assert [(sample.id, sample.cluster) for sample, _ in pairs] == [("0", "0.jpg"), ("1", "0.jpg"), ("2", "1.jpg")]
    assert bench.remarks(tmp_path / "r.jsonl") == []
    with pytest.raises(UserError, match="2 answers against 3 questions"):
        bench.read_answers(jsonl(tmp_path / "r.jsonl", [review(0), review(1)]))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (review(1, scores=[8, 9]), r"question 1: 'tuple' tells \[8, 9\], and the review itself \[8.0, 4.0\]"),
        (review(1, "No idea", [8, 4]), "the review itself no two scores"),
        (review(1, scores=None), "r.jsonl:2: 'tuple' is null; expected two numbers"),
        (review(1, scores=[8, True]), r"'tuple' is \[8, True\]; expected two numbers"),
        (review(1, scores=[8, float("nan")]), r"'tuple' is \[8, nan\]; expected two numbers"),
        ({**review(1), "content": 3}, "'content' is 3; expected a text"),
        (review(0), "two answers to '0'"),
    ],
)
def test_mistakes_in_published_reviews_are_named(tmp_path: Path, row: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        LlavaBench(tmp_path, "reviews").read_answers(jsonl(tmp_path / "r.jsonl", [review(0), row]))


def test_a_published_review_that_failed_fails_its_response(tmp_path: Path) -> None:
    bench = LlavaBench(tmp_path, "reviews")
    pairs = bench.read_answers(jsonl(tmp_path / "r.jsonl", [review(0, "No idea", [-1, -1])]))
    with pytest.raises(UserError, match="no two scores in the first line of the judge's review 'No idea'"):
        judge(bench, pairs)


def test_reviews_are_no_answers(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"r\.jsonl holds reviews, not answers; sum them up with --protocol reviews"):
        LlavaBench(write(tmp_path)).read_answers(jsonl(tmp_path / "r.jsonl", [review(0)]))
    with pytest.raises(UserError, match="protocol 'reviews' asks nothing"):
        LlavaBench(tmp_path, "reviews").samples()


def test_reviews_by_command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDER_BENCH_CACHE", str(tmp_path / "cache"))
    file = jsonl(tmp_path / "r.jsonl", [review(i, category=CATEGORIES[i % 3]) for i in range(6)])
    assert (
        main(["score", "--benchmark", "llavabench", "--protocol", "reviews", "--answers", str(file), "--offline", "--json"]) == 0
    )
    entry = json.loads(capsys.readouterr().out)["benchmarks"]["llavabench"]
    assert (entry["metrics"]["reviews/all"]["value"], entry["judges"], entry["n_responses"]) == (50.0, {}, 6)


@pytest.mark.parametrize(
    ("size", "run", "every", "marks"),
    [
        ("7b", 1, 64.7, (77.6, 59.3, 47.7)),
        ("7b", 2, 65.3, None),
        ("7b", 3, 66.3, None),
        ("13b", 1, 72.8, (82.8, 74.7, 52.6)),
        ("13b", 2, 72.7, None),
        ("13b", 3, 72.1, None),
    ],
)
def test_llavas_published_reviews(tmp_path: Path, size: str, run: int, every: float, marks: tuple[float, ...] | None) -> None:
    file = official(f"llavabench/reviews/llava-v1.5-{size}-eval{run}.jsonl")
    bench = LlavaBench(tmp_path, "reviews")
    found = score(bench, bench.read_answers(file))
    assert found["reviews/all"] == every
    if marks is not None:
        assert tuple(found[f"reviews/{name}"] for name in ("complex", "conv", "detail")) == marks


@pytest.mark.parametrize("text", [None, 3, ["It is a dog."], {"a": "dog"}, True])
def test_an_answer_that_is_no_text_is_refused(tmp_path: Path, text: object) -> None:
    bench = LlavaBench(write(tmp_path))
    rows = [{"question_id": 0, "text": "So."}, {"question_id": 1, "text": text}, {"question_id": 2, "text": "So."}]
    with pytest.raises(UserError, match=r"a\.jsonl:2: 'text' is .*; expected a text"):
        bench.read_answers(jsonl(tmp_path / "a.jsonl", rows))


@pytest.mark.parametrize(
    ("name", "row", "message"),
    [
        ("context", {"image": "0.jpg", "caption": ["A dog.", 3]}, "'caption' is .*; expected a text or a list of texts"),
        ("answers_gpt4", {"question_id": 0, "text": ["x"]}, "'text' is .*; expected a text"),
        ("questions", {"question_id": True, "image": "0.jpg", "category": "conv", "text": ""}, "'question_id' is True"),
    ],
)
def test_a_question_of_another_type_is_refused(tmp_path: Path, name: str, row: dict[str, Any], message: str) -> None:
    jsonl(write(tmp_path) / "llavabench" / f"{name}.jsonl", [row])
    with pytest.raises(UserError, match=rf"{name}\.jsonl:1: {message}"):
        LlavaBench(tmp_path).samples()


def test_a_rule_of_another_type_is_refused(tmp_path: Path) -> None:
    (write(tmp_path) / "llavabench" / "rule.json").write_text(
        json.dumps(RULES | {"llava_bench_conv": {"role": "A", "prompt": 1}})
    )
    with pytest.raises(UserError, match=r"rule\.json: llava_bench_conv: 'prompt' is 1; expected a text"):
        LlavaBench(tmp_path).samples()


def test_scoring_continues_where_it_stopped() -> None:
    bench, reviews = LlavaBench(Path()), [f"8 {i % 10}" for i in range(12)]
    everything = answered([(question(str(i)), f"answer {i}") for i in range(12)])
    whole = list(bench.verdicts(everything, {"llm": Rater(*reviews)}))
    rest = Rater(*reviews[10:])
    assert list(bench.verdicts(everything[10:], {"llm": rest})) == whole[10:]
    assert len(rest.asked) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"category": None}, "'category' is null"),
        ({"category": "poem"}, "no rule 'llava_bench_poem'"),
        ({"image": "x.jpg"}, "no context 'x.jpg'"),
        ({"question_id": 77}, "no reference answer '77'"),
        ({"question_id": 1}, "question 1: the id is used twice"),
    ],
)
def test_mistakes_in_the_data_are_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        LlavaBench(write(tmp_path, **changes)).samples()


def test_an_answer_too_few_is_refused(tmp_path: Path) -> None:
    bench = LlavaBench(write(tmp_path, questions=60))
    rows = [{"question_id": i, "text": "So."} for i in range(60)]
    assert len(bench.read_answers(jsonl(tmp_path / "a.jsonl", rows))) == 60
    with pytest.raises(UserError, match="59 answers against 60 questions; none for '59'"):
        bench.read_answers(jsonl(tmp_path / "a.jsonl", rows[:59]))


def test_official_rules_are_read(tmp_path: Path) -> None:
    rules = official("llavabench/rule.json")
    write(tmp_path)
    (tmp_path / "llavabench" / "rule.json").write_text(rules.read_text())
    assert {sample.truth["role"] for sample in LlavaBench(tmp_path).samples()} == {"Assistant"}
