"""GenEval 2: spellings, sums of first tokens, the two means, and what is read from files."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import geometric_mean
from typing import Any

import numpy as np
import pytest
from answering import jsonl, official, picture, values
from hypothesis import given
from hypothesis import strategies as st
from talking import judged

from suder_bench.errors import UserError
from suder_bench.evaluators.geneval2 import SKILLS, GenEval2
from suder_bench.evaluators.geneval2.benchmark import geometric
from suder_bench.evaluators.geneval2.spellings import accepted, soft_score

ROWS: list[dict[str, Any]] = [
    {
        "prompt": "two red cats",
        "atom_count": 3,
        "vqa_list": [
            ["How many cats are in the image?", "two"],
            ["Are the cats red?", "Yes"],
            ["Are there any cats in the image?", "Yes"],
        ],
        "skills": ["count", "attribute", "object"],
    },
    {
        "prompt": "a cat on top of a dog",
        "atom_count": 3,
        "vqa_list": [
            ["How many cats are in the image?", "one"],
            ["Are there any cats in the image?", "Yes"],
            ["Is the cat on top of the dog?", "Yes"],
        ],
        "skills": ["count", "object", "position"],
    },
    {
        "prompt": "a cat chasing seven dogs",
        "atom_count": 4,
        "vqa_list": [["How many dogs are in the image?", "seven"], ["Is the cat chasing the dogs?", "Yes"]],
        "skills": ["count", "verb"],
    },
]


class Tokens:
    """A judge with set probabilities of the first token. Where `alike`, capitals and blanks make no other token."""

    backend, exact, fingerprint = "scripted", False, "0"
    whole_vocabulary = True

    def __init__(self, said: dict[str, dict[str, float]], *, alike: bool = False) -> None:
        self.said, self.alike, self.asked = said, alike, list[str]()

    def first_tokens(self, pictures: Sequence[Any], questions: Sequence[str], spellings: Any) -> list[list[float]]:
        self.asked += questions
        asked = zip(questions, spellings, strict=True)
        return [[self.said[question].get(self.token(word), 0.0) for word in words] for question, words in asked]

    def shared(self, spellings: Sequence[str]) -> list[int]:
        own = sorted(map(self.token, spellings))
        return [own.index(self.token(word)) for word in spellings]

    def token(self, word: str) -> str:
        return word.strip().lower() if self.alike else word


SAID = {
    "How many cats are in the image?": {"two": 0.5, "Two": 0.25, "one": 0.2},
    "Are the cats red?": {"Yes": 0.5},
    "Are there any cats in the image?": {"Yes": 0.75, "yes": 0.25},
    "Is the cat on top of the dog?": {"No": 1.0},
    "How many dogs are in the image?": {"7": 0.5, " 7": 0.125},
    "Is the cat chasing the dogs?": {"Yes": 0.125},
}


def judge() -> Tokens:
    return Tokens({f"{question} Answer in one word.": said for question, said in SAID.items()})


@pytest.fixture
def data(tmp_path: Path) -> Path:
    jsonl(tmp_path / "geneval2" / "geneval2_data.jsonl", ROWS)
    return tmp_path


@pytest.mark.parametrize(
    ("question", "answer", "words"),
    [
        ("Is it red?", "Yes", ("Yes", "yes", " yes", " Yes")),
        ("How many cats are there?", "seven", ("seven", "Seven", " seven", " Seven", "7", " 7")),
        ("How many cats are there?", "ten", ("ten", "Ten", " ten", " Ten", "10", " 10")),
        ("How many cats are there?", "twelve", ("twelve", "Twelve", " twelve", " Twelve", "other", " other")),
        ("how many cats are there?", "two", ("Yes", "yes", " yes", " Yes")),  # in small letters it is no counting question
    ],
)
def test_spellings(question: str, answer: str, words: tuple[str, ...]) -> None:
    assert accepted(question, answer) == words


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(0, 1)), min_size=1))
def test_a_token_counts_as_often_as_it_is_spelt_or_once(pairs: list[tuple[int, float]]) -> None:
    own = dict(pairs)  # a token has one probability
    tokens = [token for token, _ in pairs]
    probabilities = [own[token] for token in tokens]
    assert soft_score(probabilities, tokens, fixed=False) == pytest.approx(sum(probabilities))
    assert soft_score(probabilities, tokens, fixed=True) == pytest.approx(sum(own.values()))


def test_the_two_means_of_a_hand_computed_case(data: Path) -> None:
    """Scores of the questions: 0.75, 0.5, 1; 0.2, 1, 0; 0.625, 0.125."""
    bench = GenEval2(data)
    asked = judge()
    rows = judged(bench, bench.samples(), first_token=asked)
    assert [verdict.scores["am"] for _, verdict in rows] == pytest.approx([0.75, 0.4, 0.375])
    gm = [(0.75 * 0.5) ** (1 / 3), 0.0, math.sqrt(0.625 * 0.125)]
    assert [verdict.scores["gm"] for _, verdict in rows] == pytest.approx(gm)
    found = values(bench.statistics(rows), 3)
    assert found == pytest.approx(
        {
            "object": 100.0,
            "attribute": 50.0,
            "count": 100 * (0.75 + 0.2 + 0.625) / 3,
            "position": 0.0,
            "verb": 12.5,
            "am": 100 * (0.75 + 0.4 + 0.375) / 3,
            "gm": 100 * sum(gm) / 3,
            "atoms/3": 100 * (gm[0] + gm[1]) / 2,
            "atoms/4": 100 * gm[2],
        }
    )
    assert rows[1][1].reason == "GM 0.00, AM 0.40; least sure of 'Is the cat on top of the dog?' Yes (0.00)"
    assert asked.asked[0] == "How many cats are in the image? Answer in one word."
    assert bench.headline == "gm"


def test_fixed_adds_a_shared_token_once(data: Path) -> None:
    """Yes is one token in four spellings, two another in four, and 2 a third in two."""
    said = {"yes": 0.4, "two": 0.2, "2": 0.1}
    asked = Tokens({f"{question} Answer in one word.": said for question in SAID}, alike=True)
    scores = {}
    for protocol in ("official", "fixed"):
        bench = GenEval2(data, protocol)
        rows = judged(bench, bench.samples()[:1], first_token=asked)
        scores[protocol] = [rows[0][1].scores[f"question {i}"] for i in range(3)]
        assert bench.headline == {"official": "gm", "fixed": "fixed/gm"}[protocol]
        prefix = bench.headline.removesuffix("gm")
        assert set(bench.statistics(rows)) == {
            f"{prefix}{name}" for name in ("object", "attribute", "count", "am", "gm", "atoms/3")
        }
    assert scores["official"] == pytest.approx([4 * 0.2 + 2 * 0.1, 1.6, 1.6])
    assert scores["fixed"] == pytest.approx([0.3, 0.4, 0.4])


def test_a_lower_bound_is_told(data: Path) -> None:
    bench, asked = GenEval2(data), judge()
    asked.whole_vocabulary = False
    rows = judged(bench, bench.samples(), first_token=asked)
    assert rows[0][1].reason.startswith("GM at least 0.72")
    assert values(bench.statistics(rows), 3)["lower_bounds"] == 3


@given(st.lists(st.floats(1e-6, 1), min_size=1, max_size=10))
def test_the_geometric_mean(scores: list[float]) -> None:
    assert geometric(scores) == pytest.approx(geometric_mean(scores))
    assert geometric([*scores, 0.0]) == 0.0


def test_a_skill_is_the_mean_over_questions_in_every_resample(data: Path) -> None:
    bench = GenEval2(data)
    rows = judged(bench, bench.samples(), first_token=judge())
    count = bench.statistics(rows)["count"]
    assert count.n == 3
    assert count.of(np.array([2.0, 0.0, 1.0])) == pytest.approx(100 * (2 * 0.75 + 0.625) / 3)


def test_pictures_are_found_by_line_or_by_prompt(data: Path, tmp_path: Path) -> None:
    bench, made = GenEval2(data), tmp_path / "made"
    for name in ("00000.png", "00002.png", "00007.png", "cat.png"):
        picture(made / name)
    assert bench.image_path(bench.samples()[2], 0) == "00002.png"
    assert [(sample.prompt, file.name) for sample, _, file in bench.find_images(made)] == [
        ("two red cats", "00000.png"),
        ("a cat chasing seven dogs", "00002.png"),
    ]
    assert {one.file.name: one.why for one in bench.strangers(made)} == {
        "00007.png": "there are only 3 prompts",
        "cat.png": "its name is not <line>.png with five digits",
    }
    (made / "image_paths.json").write_text(json.dumps({"a cat on top of a dog": "cat.png", "a cow": "00007.png"}))
    assert [(sample.prompt, file.name) for sample, _, file in bench.find_images(made)] == [("a cat on top of a dog", "cat.png")]
    assert [one.why for one in bench.strangers(made)] == ["no prompt of GenEval 2 is 'a cow'"]
    (made / "image_paths.json").write_text(json.dumps({"a cat on top of a dog": "gone.png"}))
    with pytest.raises(UserError, match=r"names .*gone\.png, which is missing"):
        bench.find_images(made)
    (made / "image_paths.json").write_text("[1]")
    with pytest.raises(UserError, match="expected an object of prompts and files, found"):
        bench.find_images(made)
    with pytest.raises(UserError, match="no pictures of GenEval 2"):
        bench.find_images(data)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"skills": ["count"]}, r"jsonl:1: 'skills' is not one of object, .* for each of the 3 questions"),
        ({"skills": ["count", "attribute", "colour"]}, "'skills' is not one of"),
        ({"vqa_list": []}, r"'vqa_list' is not a list of \[question, answer\]"),
        ({"vqa_list": [["How many?"]]}, r"'vqa_list' is not a list of \[question, answer\]"),
        ({"atom_count": "three"}, "'atom_count' is 'three'; expected a whole number"),
        ({"prompt": "a cat chasing seven dogs"}, "jsonl:3: the prompt stands in two lines"),
    ],
)
def test_other_rows_are_refused_with_their_place(tmp_path: Path, changed: dict[str, Any], told: str) -> None:
    jsonl(tmp_path / "geneval2_data.jsonl", [ROWS[0] | changed, *ROWS[1:]])
    with pytest.raises(UserError, match=told):
        GenEval2(tmp_path).samples()


def test_data_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no geneval2/geneval2_data\.jsonl in .* data fetch geneval2"):
        GenEval2(tmp_path)


def test_official_facts() -> None:
    """Counted from the file of commit a6e82d2."""
    samples = GenEval2(official("geneval2/geneval2_data.jsonl").parent).samples()
    assert Counter(sample.truth["atoms"] for sample in samples) == dict.fromkeys(range(3, 11), 100)
    skills = Counter(skill for sample in samples for skill in sample.truth["skills"])
    assert skills == dict(zip(SKILLS, (2025, 1214, 2025, 662, 86), strict=True))
    answers = Counter(answer for sample in samples for _, answer in sample.truth["questions"])
    assert answers["Yes"] == 3987
    assert set(answers) - {"Yes"} == {"one", "two", "three", "four", "five", "six", "seven"}
