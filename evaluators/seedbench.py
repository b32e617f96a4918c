"""SEED-Bench, image part ("SEEDBench_IMG"): four-choice questions in nine dimensions.

Data: `SEED-Bench.json`, pictures named by `data_id` in `images/` or `SEED-Bench-image/`, or one of `forms.seedbench`. Video
questions are left out.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from suder_bench.benchmark import Kind
from suder_bench.data.folder import benchmark_folder, of_world
from suder_bench.data.owners import wanting
from suder_bench.data.prompts import LETTERS
from suder_bench.data.styles import JANUS, STYLES, worded
from suder_bench.endings import is_picture
from suder_bench.errors import UserError
from suder_bench.evaluators.answers import harnesses
from suder_bench.evaluators.answers.choices import ERAS, LATEST, explain, extract
from suder_bench.evaluators.answers.fields import ID, LIST, OBJECT, TEXT, Fields, Row, id_text, quoted, shown, with_fields
from suder_bench.evaluators.answers.files import by_id, check_pictures, json_document, picture_folder, placed_rows
from suder_bench.evaluators.answers.harnesses import read_once
from suder_bench.evaluators.answers.matching import Key, matched, words
from suder_bench.evaluators.answers.tables import DROPPED, EMPTY
from suder_bench.evaluators.forms import seedbench as forms
from suder_bench.evaluators.forms.found import PICTURE, Form
from suder_bench.evaluators.forms.seedbench import CHOICES, FIELDS, LISTED
from suder_bench.evaluators.forms.seedbench import QUESTIONS as OFFICIAL_ROWS
from suder_bench.evaluators.weighted import average, count, mean
from suder_bench.records import Answered, Sample, Statistic, Verdict

FILE = "SEED-Bench.json"
PICTURES = ("images", "SEED-Bench-image")
PREDICTED: Fields = dict.fromkeys(("question", *LETTERS, "answer"), TEXT)
"""What VLMEvalKit's table tells of a question."""

LIKELIHOOD = "likelihood"
RANKED = "Question: {}\nAnswer:"
"""What stands before each choice, as the authors have it."""

BEFORE = tuple(f"vlmevalkit-{era}" for era in ERAS if era != LATEST)

DIMENSIONS = (
    "scene_understanding",
    "instance_identity",
    "instance_attributes",
    "instance_location",
    "instances_counting",
    "spatial_relation",
    "instance_interaction",
    "visual_reasoning",
    "text_understanding",
)
"""Of the questions about pictures, in the paper's order."""


class SeedBench:
    """Fractions in 0-1. `overall` is correct / questions (what papers print), then each dimension (`scene_understanding`, ...)
    and `category_mean`, the plain mean of the dimensions. Unprefixed metrics read the answer by VLMEvalKit's rules, without
    its random guess (`unextracted` counts what cannot be read); `vlmevalkit-2024/` are its rules until August 2025,
    `vlmevalkit-2025-08/` those until June 2026, `llava/` wants exactly the letter, and `lmms-eval/` compares the first
    character in any case ("Apple" is an A there).

    Protocol "likelihood", with its metrics under its name, is the authors' own evaluation: no answer is written, and the choice
    counts whose text the model finds likeliest after `RANKED` (`runs.ranking`), the first of equals.
    """

    name = "seedbench"
    kind: Kind = "understanding"
    repeats = 1
    headline: str = "overall"
    paper_metrics: tuple[str, ...] = ("overall", *DIMENSIONS, "category_mean")
    judge_roles: tuple[str, ...] = ()
    protocols: tuple[str, ...] = ("official", LIKELIHOOD)
    prompt_styles: tuple[str, ...] = tuple(STYLES["seedbench"])
    usual_style: str = JANUS

    def __init__(self, data: Path, protocol: str = "official") -> None:
        self.data, self.prompt_style, self.ranks = data, JANUS, protocol == LIKELIHOOD
        self._prefix = ""
        if self.ranks:
            self.usual_style = self.prompt_style = "official"
            self.prompt_styles, self._prefix = (self.prompt_style,), f"{protocol}/"
            self.headline = f"{self._prefix}{self.headline}"
            self.paper_metrics = tuple(f"{self._prefix}{name}" for name in self.paper_metrics)

    @cached_property
    def folder(self) -> Path:
        return benchmark_folder(self.data, self.name, FILE)

    @cached_property
    def form(self) -> Form | None:
        """Another form of the questions: where the official file is missing, or its pictures are."""
        places = [folder for folder in (self.data / self.name, self.data) if (folder / FILE).is_file()]
        pictured = places and any(is_picture(file) for name in PICTURES for file in (places[0] / name).glob("*"))
        return None if pictured else forms.find(self.data, DIMENSIONS)

    @cached_property
    def rows(self) -> dict[str, dict[str, Any]]:
        """The image questions by id. A question that is listed twice counts once, and must have the same answer."""
        source, given = (self.folder / FILE, self._official()) if self.form is None else (self.form.files[0], self.form.rows)
        found: dict[str, dict[str, Any]] = {}
        for row in given:
            name = id_text(row["question_id"])
            if found.setdefault(name, row)["answer"] != row["answer"]:
                raise UserError(f"{row.get('place', source)}: a second question '{name}' with another answer")
        if not found:
            raise UserError(f"{source} holds no question about a picture; put the whole file there")
        if len(found) > OFFICIAL_ROWS:
            raise UserError(f"{source}: {len(found):,} image questions; the benchmark has {OFFICIAL_ROWS:,}")
        return found

    def _official(self) -> Iterator[Row]:
        fields = {"questions": LIST, "question_type": OBJECT}
        document = with_fields(json_document(self.folder / FILE), str(self.folder / FILE), fields)
        types = with_fields(
            document["question_type"], f"{self.folder / FILE}: question_type", dict.fromkeys(document["question_type"], ID)
        )
        names = {id_text(number): name for name, number in types.items()}
        for number, row in enumerate(document["questions"], start=1):
            place = f"{self.folder / FILE}: question {number}"
            if with_fields(row, place, LISTED)["data_type"] != "image":
                continue
            kind = id_text(with_fields(row, place, FIELDS)["question_type_id"])
            if row["answer"] not in tuple(LETTERS) or kind not in names:
                raise UserError(f"{place}: answer '{row['answer']}' or question_type_id '{kind}' is unknown")
            yield row | {"dimension": dimension(names[kind]), "place": place}

    @property
    def origin(self) -> str:
        return self.form.origin if self.form is not None else ""

    @property
    def counted(self) -> tuple[int, Collection[int]]:
        return len(self.rows), (OFFICIAL_ROWS,)

    def described(self) -> list[str]:
        """How many questions there are, and from where."""
        source = f"from {self.folder / FILE}" if self.form is None else self.form.told
        whole = "" if len(self.rows) == OFFICIAL_ROWS or of_world(self.data) else f" (the benchmark has {OFFICIAL_ROWS:,})"
        return [f"{len(self.rows):,} image questions{whole}, {source}"]

    @cached_property
    def questions(self) -> list[Sample]:
        """The image questions, whether or not their pictures are at hand."""
        first = next((row["data_id"] for row in self.rows.values()), "")
        official = self.folder if self.form is None else self.data
        pictures = picture_folder([official / name for name in PICTURES], first)
        samples = []
        for name, row in self.rows.items():
            options = {letter: id_text(row[choice]) for letter, choice in zip(LETTERS, CHOICES, strict=True)}
            samples.append(
                Sample(
                    id=name,
                    cluster=row["data_id"],
                    prompt=self._asked(row["question"], list(options.values())),
                    images=(row.get(PICTURE) or pictures / row["data_id"],),
                    truth={"answer": row["answer"], "options": options, "dimension": row["dimension"]},
                    choices=tuple(options.values()) if self.ranks else (),
                )
            )
        return samples

    def _asked(self, question: str, options: Sequence[str]) -> str:
        return RANKED.format(question) if self.ranks else worded(self.name, self.prompt_style, question, options)

    def samples(self) -> list[Sample]:
        return check_pictures(self.questions, wanting(self.name, self.data))

    def read_answers(self, file: Path) -> list[tuple[Sample, str]]:
        """JSON lines with question_id and one of text (LLaVA), prediction (the leaderboard's, lmms-eval's submission), or losses
        (four numbers); the log of lmms-eval; or VLMEvalKit's table, whose rows have numbers of their own and are told by
        question, options and answer. A text that is null is an empty answer; any other type is refused with its line.

        A question without an answer gets an empty one, which is wrong, and of two answers the last counts, as in LLaVA's script:
        official files answer some questions twice, because the key lists them twice. Answers to video questions (ids that
        start with "v") are passed over. The protocol "likelihood" reads lines with losses alone.
        """
        found = by_id(self._about_pictures(file), set(self.rows), file, again=True)
        if not found:
            raise UserError(f"{file}: no answer to any of the {len(self.rows):,} image questions")
        return [(sample, found.get(sample.id, "")) for sample in self.questions]

    def remarks(self, file: Path) -> list[str]:
        everything, answers = self._answers(file), self._about_pictures(file)
        counts = Counter(name for name, _ in answers)
        doubled, absent = sum(n > 1 for n in counts.values()), len(self.rows.keys() - counts.keys())
        videos = len(everything) - len(answers)
        return [
            *([f"{videos:,} answers to questions about videos are passed over"] if videos else []),
            *([f"more than one answer to {doubled:,} of {len(self.rows):,} questions; the last counts"] if doubled else []),
            *harnesses.remarks(dict(answers).values(), file, "wrong"),
            *([f"no answer to {absent:,} of {len(self.rows):,} questions, which counts as wrong"] if absent else []),
        ]

    def _about_pictures(self, file: Path) -> list[tuple[str, str]]:
        return [(name, text) for name, text in self._answers(file) if not name.startswith("v") or name in self.rows]

    @read_once
    def _answers(self, file: Path) -> list[tuple[str, str]]:
        if self.ranks:
            lines = placed_rows(file, {"question_id": ID, "losses": LIST})
            return [(id_text(row["question_id"]), json.dumps({"losses": four(row["losses"], place)})) for place, row in lines]
        given = harnesses.read(file)
        if given.table is not None:
            keyed = [(one, [key_of_row(with_fields(one.row, one.place, PREDICTED))]) for one in given.table]
            return matched(self.questions, self._key, keyed)
        if given.log is not None:
            return [(id_text(harnesses.kept(one, {"question_id": ID})["question_id"]), one.text) for one in given.log]
        rows = enumerate(given.rows({"question_id": ID}), start=1)
        return [(id_text(row["question_id"]), answer_of(row, f"{file}: answer {number}")) for number, row in rows]

    def _key(self, sample: Sample) -> Key:
        options = sample.truth["options"].values()
        return words(self.rows[sample.id]["question"]), sample.truth["answer"], *map(as_pandas_has_it, options)

    def verdicts(self, answered: Sequence[Answered], judges: Mapping[str, Any]) -> Iterator[Verdict]:
        for one in answered:
            options, answer = one.sample.truth["options"], one.sample.truth["answer"]
            if self.ranks:
                yield self._ranked(one)
                continue
            picked = extract(one.text, options)
            yield Verdict(
                benchmark=self.name,
                sample=one.sample.id,
                repeat=one.response.repeat,
                digest=one.response.digest,
                scores={
                    "correct": float(picked == answer),
                    **{f"vlmevalkit-{era}": float(extract(one.text, options, era) == answer) for era in ERAS if era != LATEST},
                    "llava": float(one.text.strip() == answer),
                    "lmms-eval": float(one.text.strip()[:1].lower() == answer.lower()),
                    "unextracted": float(picked is None),
                },
                correct=picked == answer,
                reason=f"answered {quoted(one.text)}: {explain(picked, answer, options)}",
                details={"letter": picked},
            )

    def _ranked(self, one: Answered) -> Verdict:
        options, answer = one.sample.truth["options"], one.sample.truth["answer"]
        losses = four(json.loads(one.text)["losses"], one.sample.id) if one.text else None
        picked = None if losses is None else LETTERS[int(np.argmin(losses))]
        told = "no losses" if losses is None else f"losses {', '.join(f'{loss:.2f}' for loss in losses)}"
        return Verdict(
            benchmark=self.name,
            sample=one.sample.id,
            repeat=one.response.repeat,
            digest=one.response.digest,
            scores={"correct": float(picked == answer), "unextracted": float(picked is None)},
            correct=picked == answer,
            reason=f"{told}: {explain(picked, answer, options)}",
            details={"letter": picked},
        )

    def statistics(self, rows: Sequence[tuple[Sample, Verdict]]) -> dict[str, Statistic]:
        dimensions = np.array([sample.truth["dimension"] for sample, _ in rows], dtype=object)
        names = list(dict.fromkeys(dimensions))
        found: dict[str, Statistic] = {}
        for score in ("correct",) if self.ranks else ("correct", *BEFORE, "llava", "lmms-eval"):
            prefix = "" if score == "correct" else f"{score}/"
            right = np.array([verdict.scores[score] for _, verdict in rows])
            parts = {name: mean(right, dimensions == name) for name in names}
            found[f"{prefix}overall"] = mean(right)
            found |= {f"{prefix}{name}": part for name, part in parts.items()}
            found[f"{prefix}category_mean"] = average(list(parts.values()), n=len(rows))
        found["unextracted"] = count(np.array([verdict.scores["unextracted"] > 0 for _, verdict in rows], dtype=bool))
        return {f"{self._prefix}{name}": statistic for name, statistic in found.items()}


def key_of_row(row: Mapping[str, str]) -> Key:
    """What a row of VLMEvalKit's table asks, which number as pandas wrote it and which words it dropped aside."""
    return words(row["question"]), row["answer"], *(as_pandas_has_it(row[letter]) for letter in LETTERS)


def as_pandas_has_it(option: str) -> str:
    option = words(option).removesuffix(".0")
    return "" if DROPPED.fullmatch(option) or option == EMPTY else option


def answer_of(row: Mapping[str, Any], place: str) -> str:
    for name in ("text", "prediction"):
        if name in row:
            return "" if row[name] is None else str(with_fields(row, place, {name: TEXT})[name])
    if "losses" in row:
        return lowest_loss(row["losses"], place)
    raise UserError(f"{place}: none of 'text', 'prediction' and 'losses'; found {', '.join(map(repr, row))}")


def lowest_loss(losses: Any, place: str) -> str:
    """The official likelihood ranking: the letter of the choice whose text has the smallest summed loss, ties to the first."""
    return LETTERS[int(np.argmin(four(losses, place)))]


def four(losses: Any, place: str) -> list[float]:
    """The losses of the four choices. Raises `UserError` for anything else."""
    numbers = (
        [loss for loss in losses if isinstance(loss, int | float) and not isinstance(loss, bool)]
        if isinstance(losses, list)
        else []
    )
    if len(numbers) != len(LETTERS) or len(losses) != len(LETTERS) or not all(map(math.isfinite, numbers)):
        raise UserError(f"{place}: expected {len(LETTERS)} losses, finite numbers, found {shown(losses)}")
    return numbers


def dimension(name: str) -> str:
    return name.strip().lower().replace(" ", "_")
