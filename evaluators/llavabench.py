"""LLaVA-Bench (In-the-Wild): free answers to 60 questions, rated by a language model against GPT-4's answers.

Data: `questions.jsonl`, `context.jsonl` (a caption per picture), `answers_gpt4.jsonl` (the reference), `rule.json` (what the
judge is told, per category), the authors' `eval_gpt_review_bench.py` (who it is told to be) and `images/`; or the questions,
captions, references and pictures in one of `forms.llavabench`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from suder_bench.benchmark import Kind
from suder_bench.data.folder import benchmark_folder, of_world
from suder_bench.data.owners import wanting
from suder_bench.data.styles import STYLES, worded
from suder_bench.endings import is_picture
from suder_bench.errors import UserError
from suder_bench.evaluators.answers import harnesses, thoughts
from suder_bench.evaluators.answers.fields import ID, TEXT, TEXTS, Fields, Row, id_text, quoted, with_fields
from suder_bench.evaluators.answers.files import check_pictures, given_in, json_document, json_rows, pair
from suder_bench.evaluators.answers.harnesses import Given, read_once
from suder_bench.evaluators.answers.matching import matched, words
from suder_bench.evaluators.answers.reviews import FAILED, is_review, parse_scores, read_reviews
from suder_bench.evaluators.forms import llavabench as forms
from suder_bench.evaluators.forms.found import PICTURE, Form
from suder_bench.evaluators.judges import requests
from suder_bench.evaluators.judges.protocols import LanguageJudge
from suder_bench.evaluators.weighted import count, mean, ratio, rounds
from suder_bench.records import Answered, Sample, Statistic, Verdict

CATEGORIES = ("conv", "detail", "complex")
QUESTIONS = "questions.jsonl"
RULES = "rule.json"
ANSWER: Fields = {"question_id": ID, "text": TEXT}
ASKED: Fields = {"question_id": ID, "image": TEXT, "category": TEXT, "text": TEXT}


class LlavaBench:
    """Percent, as published, and may exceed 100: 100 x mean(model's score) / mean(reference's score), for `all` and per category.

    The ratio is rounded as the official script does (both means to 3 decimals, the ratio to 1), in every resample too;
    `vlmevalkit/all` is the same from unrounded means. `all/reference` and `all/model` are ten times the mean scores.
    The judge reads the reference first and the model's answer second, once, and sees no picture. A review whose first line
    is not two numbers fails its response, which then has no verdict and is asked about again by the next scoring. The official
    script scores it (-1, -1) and leaves that in the means, so that a broken judge gives 100.0; `statistics` does the same with
    such rows and counts them in `failed_parses`.

    Protocols: "official" tells the judge what the authors tell it, rules and system message; "suder-bench" has a system message
    of ours, which the world's judge gets too; "reviews" sums up files of reviews that were written elsewhere (LLaVA publishes
    its own), without a judge and without the benchmark's files. The latter two have their metrics under their names.
    """

    name = "llavabench"
    kind: Kind = "understanding"
    repeats = 1
    headline: str = "all"
    paper_metrics: tuple[str, ...] = ("all", *CATEGORIES)
    judge_roles: tuple[str, ...] = ("llm",)
    protocols: tuple[str, ...] = ("official", "suder-bench", "reviews")
    prompt_styles: tuple[str, ...] = tuple(STYLES["llavabench"])
    usual_style: str = "official"

    def __init__(self, data: Path, protocol: str = "official") -> None:
        self.data, self.protocol, self.prompt_style = data, protocol, self.usual_style
        self._prefix = "" if protocol == "official" else f"{protocol}/"
        self.headline = f"{self._prefix}{self.headline}"
        self.paper_metrics = tuple(f"{self._prefix}{name}" for name in self.paper_metrics)
        if protocol == "reviews":
            self.judge_roles = ()
        self._reviews: dict[
            tuple[str, int, str], str
        ] = {}  # of a batch that failed, so that its parts need not be paid for again

    @cached_property
    def form(self) -> Form | None:
        """Another form of the questions: where the official ones are missing, or their pictures are."""
        places = [folder for folder in (self.data / self.name, self.data) if (folder / QUESTIONS).is_file()]
        return None if places and any(map(is_picture, (places[0] / "images").glob("*"))) else forms.find(self.data)

    @cached_property
    def folder(self) -> Path:
        if self.form is None:
            return benchmark_folder(self.data, self.name, QUESTIONS)
        return next(
            (folder for folder in (self.data / self.name, self.data) if (folder / RULES).is_file()), self.data / self.name
        )

    @cached_property
    def questions(self) -> list[Sample]:
        """All questions with their context, reference answer and rule, whether or not their pictures are at hand.

        Reviews written elsewhere need of them only which picture and category they are about, and do without.
        """
        if self.protocol == "reviews":
            return self._asked_about
        contexts, references, asked = self._official() if self.form is None else self._given(self.form)
        rules = with_fields(json_document(self.folder / RULES), str(self.folder / RULES), {})
        samples: dict[str, Sample] = {}
        for row in asked:
            name, rule = id_text(row["question_id"]), f"llava_bench_{row['category']}"
            place = f"{self.form.files[0] if self.form else self.folder / QUESTIONS}: question {name}"
            for kind, key, known in (
                ("rule", rule, rules),
                ("context", row["image"], contexts),
                ("reference answer", name, references),
            ):
                if key not in known:
                    raise UserError(f"{place}: no {kind} '{key}'")
            if name in samples:
                raise UserError(f"{place}: the id is used twice")
            told = with_fields(rules[rule], f"{self.folder / RULES}: {rule}", {"role": TEXT, "prompt": TEXT})
            samples[name] = Sample(
                id=name,
                cluster=row["image"],
                prompt=worded(self.name, self.prompt_style, row["text"]),
                images=(row.get(PICTURE) or self.folder / "images" / row["image"],),
                truth={
                    "category": row["category"],
                    "question": row["text"],
                    "context": contexts[row["image"]],
                    "reference": references[name],
                    "role": told["role"],
                    "rule": told["prompt"],
                    "system": self.system,
                },
            )
        return list(samples.values())

    def _official(self) -> tuple[dict[str, str], dict[str, str], list[Row]]:
        contexts = {row["image"]: caption(row["caption"]) for row in self._lines("context", {"image": TEXT, "caption": TEXTS})}
        references = {id_text(row["question_id"]): row["text"] for row in self._lines("answers_gpt4", ANSWER)}
        return contexts, references, self._lines("questions", ASKED)

    def _given(self, form: Form) -> tuple[dict[str, str], dict[str, str], list[Row]]:
        contexts = {row["image"]: caption(row["caption"]) for row in form.rows}
        references = {row["question_id"]: row["reference"] for row in form.rows}
        if not (self.folder / RULES).is_file():
            raise UserError(
                f"{self.folder / RULES} is missing, the judge's rules, which {form.files[0]} does not hold; get it with"
                f" suder-bench data fetch llavabench --data {self.data}"
            )
        return contexts, references, list(form.rows)

    @property
    def origin(self) -> str:
        return self.form.origin if self.protocol != "reviews" and self.form is not None else ""

    @property
    def counted(self) -> tuple[int, Collection[int]]:
        return (0, ()) if self.protocol == "reviews" else (len(self.questions), (forms.QUESTIONS,))

    def described(self) -> list[str]:
        """How many questions and pictures there are, and from where."""
        if self.protocol == "reviews":
            return []
        pictures = len({sample.images for sample in self.questions if sample.images})
        source = f"from {self.folder / QUESTIONS}" if self.form is None else self.form.told
        whole = len(self.questions) == forms.QUESTIONS or of_world(self.data)
        told = "" if whole else f" (the benchmark has {forms.QUESTIONS})"
        return [f"{len(self.questions)} questions{told} about {pictures} pictures, {source}"]

    @cached_property
    def _asked_about(self) -> list[Sample]:
        file = next((f for f in (self.data / self.name / QUESTIONS, self.data / QUESTIONS) if f.is_file()), None)
        rows = json_rows(file, ASKED) if file is not None else []
        return [Sample(id_text(row["question_id"]), row["image"], "", truth={"category": row["category"]}) for row in rows]

    @cached_property
    def system(self) -> str:
        """Who the judge is told to be. Raises `UserError` where the authors' script is missing."""
        if self.protocol == "suder-bench" or of_world(self.data):
            return requests.SUDER_SYSTEM
        script = self.folder / requests.REVIEW_SCRIPT
        if not script.is_file():
            raise UserError(
                f"{script} is missing, which holds the authors' message to the judge; get it with suder-bench data fetch"
                " llavabench, or ask in our words: --protocol suder-bench"
            )
        return requests.system(script)

    def samples(self) -> list[Sample]:
        if self.protocol == "reviews":
            raise UserError(
                "protocol 'reviews' asks nothing: suder-bench score --benchmark llavabench --protocol reviews --answers FILE"
            )
        return check_pictures(self.questions, wanting(self.name, self.data))

    def read_answers(self, file: Path) -> list[tuple[Sample, str]]:
        """LLaVA's format: JSON lines with question_id and text, one per question, in any order; VLMEvalKit's table or lmms-eval's
        log, which are told by question and reference answer; under the protocol "reviews" LLaVA's files of reviews, with
        question_id, category, content and tuple."""
        if self.protocol == "reviews":
            reviews = read_reviews(file)
            answers = [(id_text(row["question_id"]), row["content"]) for row in reviews]
            named = {id_text(row["question_id"]): row["category"].removeprefix("llava_bench_") for row in reviews}
            own = [Sample(name, name, "", truth={"category": category}) for name, category in named.items()]
            return pair(self.questions or own, answers, file)
        return pair(self.questions, self._answers(file), file)

    def remarks(self, file: Path) -> list[str]:
        if self.protocol != "reviews":
            return harnesses.remarks(given_in(self.read_answers, file), file)
        told = f"no {QUESTIONS} in {self.data}, so that intervals take every question for a picture of its own"
        return [] if self.questions else [told]

    @read_once
    def _answers(self, file: Path) -> list[tuple[str, str]]:
        given = harnesses.read(file)
        if given.table is not None:
            named = [(one, with_fields(one.row, one.place, {"question": TEXT, "gpt4_ans": TEXT})) for one in given.table]
            return self._by_words((one, row["question"], row["gpt4_ans"]) for one, row in named)
        if given.log is not None:
            named = [(one, harnesses.kept(one, {"question": TEXT, "ans1": TEXT})) for one in given.log]
            return self._by_words((one, row["question"], row["ans1"]) for one, row in named)
        if is_review(given.placed[0][1]):
            raise UserError(f"{file} holds reviews, not answers; sum them up with --protocol reviews")
        return [(id_text(row["question_id"]), row["text"]) for row in given.rows(ANSWER)]

    def _by_words(self, given: Iterable[tuple[Given, str, str]]) -> list[tuple[str, str]]:
        keyed = [(one, [(words(question), words(reference))]) for one, question, reference in given]
        return matched(self.questions, lambda sample: (words(sample.truth["question"]), words(sample.truth["reference"])), keyed)

    def verdicts(self, answered: Sequence[Answered], judges: Mapping[str, Any]) -> Iterator[Verdict]:
        """Raises `UserError` when a review cannot be read; asked again with fewer of the responses, it remembers the reviews."""
        if self.protocol == "reviews":
            self._reviews.update({_key(one): one.text for one in answered})
        elif unasked := [one for one in answered if _key(one) not in self._reviews]:
            judge: LanguageJudge = judges["llm"]
            reviews = judge.review(unasked[0].sample.truth["system"], [review_prompt(one) for one in unasked])
            self._reviews.update(zip(map(_key, unasked), reviews, strict=True))
        unread = [one for one in answered if parse_scores(thoughts.split(self._reviews[_key(one)])[1]) == FAILED]
        if unread:
            _, review = thoughts.split(self._reviews[_key(unread[0])])
            if len(answered) == 1:
                del self._reviews[_key(unread[0])]
            raise UserError(f"no two scores in the first line of the judge's review {quoted(review)}")
        for one in answered:
            thought, review = thoughts.split(self._reviews.pop(_key(one)))
            reference, model = parse_scores(review)
            yield Verdict(
                benchmark=self.name,
                sample=one.sample.id,
                repeat=one.response.repeat,
                digest=one.response.digest,
                scores={"reference": reference, "model": model},
                correct=None,
                reason=f"judge: answer {model:g}, reference {reference:g}; {quoted(review.partition(chr(10))[2])}",
                details={"review": review, **thoughts.noted(thought)},
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
        found["failed_parses"] = count(failed)
        return {f"{self._prefix}{name}": statistic for name, statistic in found.items()}

    def _lines(self, name: str, fields: Fields) -> list[dict[str, Any]]:
        return json_rows(self.folder / f"{name}.jsonl", fields)


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
        above, below = rounds(above, decimals), rounds(below, decimals)
        return rounds(100 * ratio(above, below), 1)

    return Statistic(of, n=model.n)


def _key(one: Answered) -> tuple[str, int, str]:
    return one.sample.id, one.response.repeat, one.response.digest


def caption(text: str | list[str]) -> str:
    return text if isinstance(text, str) else "\n".join(text)
