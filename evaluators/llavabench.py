"""LLaVA-Bench (In-the-Wild): free answers to 60 questions, rated by a language model against GPT-4's answers.

Data: `questions.jsonl`, `context.jsonl` (a caption per picture), `answers_gpt4.jsonl` (the reference), `rule.json` (what the
judge is told, per category) and `images/`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from suder_bench.benchmark import Kind
from suder_bench.data.folder import benchmark_folder
from suder_bench.errors import UserError
from suder_bench.evaluators.answers import check_pictures, id_text, json_document, json_lines, pair, quoted
from suder_bench.evaluators.judges.protocols import LanguageJudge
from suder_bench.evaluators.reviews import FAILED, parse_scores
from suder_bench.evaluators.weighted import count, mean, ratio
from suder_bench.records import Answered, Sample, Statistic, Verdict

CATEGORIES = ("conv", "detail", "complex")
SYSTEM = "You rate the answers of two assistants with care and without favour."
"""Ours: the official system message is part of the authors' script, not of the benchmark's files."""


class LlavaBench:
    """Percent, as published, and may exceed 100: 100 x mean(model's score) / mean(reference's score), for `all` and per category.

    The ratio is rounded as the official script does (both means to 3 decimals, the ratio to 1), in every resample too;
    `vlmevalkit/all` is the same from unrounded means. `all/reference` and `all/model` are ten times the mean scores.
    The judge reads the reference first and the model's answer second, once, and sees no picture. A review whose first line
    is not two numbers fails its response, which then has no verdict and is asked about again by the next scoring. The official
    script scores it (-1, -1) and leaves that in the means, so that a broken judge gives 100.0; `statistics` does the same with
    such rows and counts them in `failed_parses`.
    """

    name = "llavabench"
    kind: Kind = "understanding"
    repeats = 1
    headline = "all"
    paper_metrics: tuple[str, ...] = ("all", *CATEGORIES)
    judge_roles: tuple[str, ...] = ("llm",)
    protocols: tuple[str, ...] = ("official",)

    def __init__(self, data: Path, protocol: str = "official") -> None:
        self.data = data
        self._reviews: dict[
            tuple[str, int, str], str
        ] = {}  # of a batch that failed, so that its parts need not be paid for again

    @cached_property
    def folder(self) -> Path:
        return benchmark_folder(self.data, self.name, "questions.jsonl")

    @cached_property
    def questions(self) -> list[Sample]:
        """All questions with their context, reference answer and rule, whether or not their pictures are at hand."""
        contexts = {row["image"]: caption(row["caption"]) for row in self._lines("context", "image", "caption")}
        references = {id_text(row["question_id"]): row["text"] for row in self._lines("answers_gpt4", "question_id", "text")}
        rules = json_document(self.folder / "rule.json")
        samples: dict[str, Sample] = {}
        for row in self._lines("questions", "question_id", "image", "category", "text"):
            name, rule = id_text(row["question_id"]), f"llava_bench_{row['category']}"
            place = f"{self.folder / 'questions.jsonl'}: question {name}"
            for kind, key, known in (
                ("rule", rule, rules),
                ("context", row["image"], contexts),
                ("reference answer", name, references),
            ):
                if key not in known:
                    raise UserError(f"{place}: no {kind} '{key}'")
            if name in samples:
                raise UserError(f"{place}: the id is used twice")
            samples[name] = Sample(
                id=name,
                cluster=row["image"],
                prompt=row["text"],
                images=(self.folder / "images" / row["image"],),
                truth={
                    "category": row["category"],
                    "question": row["text"],
                    "context": contexts[row["image"]],
                    "reference": references[name],
                    "role": rules[rule]["role"],
                    "rule": rules[rule]["prompt"],
                },
            )
        return list(samples.values())

    def samples(self) -> list[Sample]:
        return check_pictures(self.questions, f"put the official pictures into {self.folder / 'images'}")

    def read_answers(self, file: Path) -> list[tuple[Sample, str]]:
        """LLaVA's format: JSON lines with question_id and text, one per question, in any order."""
        answers = [(id_text(row["question_id"]), str(row["text"])) for row in json_lines(file, "question_id", "text")]
        return pair(self.questions, answers, file)

    def verdicts(self, answered: Sequence[Answered], judges: Mapping[str, Any]) -> Iterator[Verdict]:
        """Raises `UserError` when a review cannot be read; asked again with fewer of the responses, it remembers the reviews."""
        judge: LanguageJudge = judges["llm"]
        unasked = [one for one in answered if _key(one) not in self._reviews]
        reviews = judge.review(SYSTEM, [review_prompt(one) for one in unasked])
        self._reviews.update(zip(map(_key, unasked), reviews, strict=True))
        unread = [one for one in answered if parse_scores(self._reviews[_key(one)]) == FAILED]
        if unread:
            review = self._reviews[_key(unread[0])]
            if len(answered) == 1:
                del self._reviews[_key(unread[0])]
            raise UserError(f"no two scores in the first line of the judge's review {quoted(review)}")
        for one in answered:
            review = self._reviews.pop(_key(one))
            reference, model = parse_scores(review)
            yield Verdict(
                benchmark=self.name,
                sample=one.sample.id,
                repeat=one.response.repeat,
                digest=one.response.digest,
                scores={"reference": reference, "model": model},
                correct=None,
                reason=f"judge: answer {model:g}, reference {reference:g}; {quoted(review.partition(chr(10))[2])}",
                details={"review": review},
            )

    def statistics(self, rows: Sequence[tuple[Sample, Verdict]]) -> dict[str, Statistic]:
        category = np.array([sample.truth["category"] for sample, _ in rows], dtype=object)
        reference = np.array([verdict.scores["reference"] for _, verdict in rows])
        model = np.array([verdict.scores["model"] for _, verdict in rows])
        failed = (reference == FAILED[0]) & (model == FAILED[1])
        everything = np.ones(len(rows), dtype=bool)
        found: dict[str, Statistic] = {}
        for name in ("all", *CATEGORIES, *sorted(set(category) - set(CATEGORIES))):
            keep = everything if name == "all" else category == name
            found[name] = relative(mean(model, keep), mean(reference, keep), decimals=3)
            found[f"{name}/reference"], found[f"{name}/model"] = mean(10 * reference, keep), mean(10 * model, keep)
        found["vlmevalkit/all"] = relative(mean(model), mean(reference))
        return found | {"failed_parses": count(failed)}

    def _lines(self, name: str, *fields: str) -> list[dict[str, Any]]:
        return json_lines(self.folder / f"{name}.jsonl", *fields)


def review_prompt(one: Answered) -> str:
    """What the judge reads: context, question, reference answer, model's answer, rule; a blank line between the blocks."""
    truth = one.sample.truth
    blocks = [f"[Context]\n{truth['context']}", f"[Question]\n{truth['question']}"]
    for number, text in enumerate((truth["reference"], one.text), start=1):
        who = f"{truth['role']} {number}"
        blocks += [f"[{who}]\n{text}", f"[End of {who}]"]
    return "\n\n".join([*blocks, f"[System]\n{truth['rule']}"]) + "\n\n"


def relative(model: Statistic, reference: Statistic, decimals: int | None = None) -> Statistic:
    """100 x model / reference to one decimal. With `decimals` as the official script has it: the two means are rounded first,
    and by Python's `round`, which differs from numpy's where a half cannot be written in binary."""

    def of(weights: np.ndarray) -> np.ndarray:
        above, below = model.of(weights), reference.of(weights)
        if decimals is None:
            return np.round(100 * ratio(above, below), 1)
        above, below = _rounded(above, decimals), _rounded(below, decimals)
        return _rounded(100 * ratio(above, below), 1)

    return Statistic(of, n=model.n)


_rounded = np.vectorize(lambda value, decimals: round(float(value), decimals), otypes=[float])


def _key(one: Answered) -> tuple[str, int, str]:
    return one.sample.id, one.response.repeat, one.response.digest


def caption(text: str | list[str]) -> str:
    return text if isinstance(text, str) else "\n".join(text)
