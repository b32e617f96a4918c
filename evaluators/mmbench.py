"""MMBench (dev): multiple choice in six abilities, each question asked once per rotation of its options (CircularEval).

Data: one table in VLMEvalKit's or LLaVA's format (`FILES`), pictures inside as base64.
"""

from __future__ import annotations

import base64
import binascii
from collections import Counter
from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from suder_bench.benchmark import Kind
from suder_bench.data.folder import benchmark_folder
from suder_bench.data.prompts import LETTERS, PASS, choice_prompt
from suder_bench.errors import UserError
from suder_bench.evaluators.answers import id_text, json_lines, pair, quoted, table
from suder_bench.evaluators.choices import explain, extract
from suder_bench.evaluators.weighted import all_correct, count, mean
from suder_bench.records import Answered, Sample, Statistic, Verdict

FILES = ("mmbench_dev_20230712.tsv", "MMBench_DEV_EN.tsv", "mmbench_dev.tsv")
REFERENCE_LENGTH = 64
"""A picture cell of at most this many characters is the index of the row that holds the picture."""

ABILITIES = {
    "coarse_perception": "CP",
    "finegrained_perception (instance-level)": "FP-S",
    "finegrained_perception (cross-instance)": "FP-C",
    "attribute_reasoning": "AR",
    "relation_reasoning": "RR",
    "logic_reasoning": "LR",
}


class MMBench:
    """Fractions in 0-1, means over questions. `vanilla/...` asks each question once, as Janus and SUDER do; `circular/...` is
    the official score: right only if every rotation is. Each has `overall`, the six abilities (`CP`, ...) and the finer
    `category` names. `vlmevalkit-2024/...` reads the letters as VLMEvalKit did before August 2025.

    An answer from which no option can be read is wrong and counted in `unextracted`; nothing is drawn at random. A question
    of which not every rotation was answered (a run with a limit) is left out of the circular numbers.
    """

    name = "mmbench"
    kind: Kind = "understanding"
    repeats = 1
    headline = "vanilla/overall"
    paper_metrics: tuple[str, ...] = ("vanilla/overall", *(f"vanilla/{name}" for name in ABILITIES.values()), "circular/overall")
    judge_roles: tuple[str, ...] = ()
    protocols: tuple[str, ...] = ("official",)

    def __init__(self, data: Path, protocol: str = "official") -> None:
        self.data = data

    @cached_property
    def file(self) -> Path:
        for name in FILES:
            for folder in (self.data / self.name, self.data):
                if (folder / name).is_file():
                    return folder / name
        return benchmark_folder(self.data, self.name, FILES[0]) / FILES[0]

    @cached_property
    def questions(self) -> list[Sample]:
        rows: dict[int, dict[str, str]] = {}
        for row in table(self.file, "index", "question", "A", "B", "answer", "image"):
            index = whole(row["index"], f"{self.file}: index")
            if index in rows:
                raise UserError(f"{self.file}: index {index} is used twice")
            rows[index] = row
        passes = Counter(index % PASS for index in rows)
        for main in passes:
            if main not in rows:
                raise UserError(f"{self.file}: question {main} has rotations but no main row (index {main})")
        pictures: dict[int, bytes] = {}
        return [
            self._sample(index, row, passes[index % PASS], self._picture(index, rows, pictures)) for index, row in rows.items()
        ]

    def samples(self) -> list[Sample]:
        return list(self.questions)

    def read_answers(self, file: Path) -> list[tuple[Sample, str]]:
        """JSON lines with question_id and text (LLaVA), or a .tsv or .csv table with index and prediction (VLMEvalKit).

        To all rows, or to the main rows only (then there are no circular numbers).
        """
        if file.suffix in (".tsv", ".csv"):
            answers = [(row["index"], row["prediction"]) for row in table(file, "index", "prediction")]
        else:
            answers = [(id_text(row["question_id"]), str(row["text"])) for row in json_lines(file, "question_id", "text")]
        return pair(self.asked([name for name, _ in answers]), answers, file)

    def asked(self, given: Collection[str]) -> list[Sample]:
        main = [sample for sample in self.questions if not sample.truth["pass"]]
        return main if set(given) == {sample.id for sample in main} else self.questions

    def verdicts(self, answered: Sequence[Answered], judges: Mapping[str, Any]) -> Iterator[Verdict]:
        for one in answered:
            options, answer = one.sample.truth["options"], one.sample.truth["answer"]
            picked = extract(one.text, options)
            yield Verdict(
                benchmark=self.name,
                sample=one.sample.id,
                repeat=one.response.repeat,
                digest=one.response.digest,
                scores={
                    "correct": float(picked == answer),
                    "vlmevalkit-2024": float(extract(one.text, options, "2024") == answer),
                    "unextracted": float(picked is None),
                },
                correct=picked == answer,
                reason=f"answered {quoted(one.text)}: {explain(picked, answer, options)}",
                details={"letter": picked},
            )

    def statistics(self, rows: Sequence[tuple[Sample, Verdict]]) -> dict[str, Statistic]:
        truths = [sample.truth for sample, _ in rows]
        main = np.array([truth["pass"] == 0 for truth in truths], dtype=bool)
        questions: list[Hashable] = [
            (truth["question"], verdict.repeat) for truth, (_, verdict) in zip(truths, rows, strict=True)
        ]
        passes = {question: truth["passes"] for question, truth in zip(questions, truths, strict=True)}
        everything = np.ones(len(rows), dtype=bool)
        parts = {"overall": everything}
        for level in ("ability", "category"):
            names = np.array([truth[level] for truth in truths], dtype=object)
            parts |= {name: names == name for name in sorted(set(names) - {""})}
        found: dict[str, Statistic] = {}
        for prefix, score in (("", "correct"), ("vlmevalkit-2024/", "vlmevalkit-2024")):
            right = np.array([verdict.scores[score] for _, verdict in rows])
            circular = all_correct(right, questions, everything, complete=lambda question, n: n == passes[question])
            for part, keep in parts.items():
                found[f"{prefix}vanilla/{part}"] = mean(right, main & keep)
                found[f"{prefix}circular/{part}"] = mean(circular[0], circular[1] & keep)
        return found | {"unextracted": count(np.array([verdict.scores["unextracted"] > 0 for _, verdict in rows], dtype=bool))}

    def _sample(self, index: int, row: dict[str, str], passes: int, picture: bytes) -> Sample:
        options = {letter: row[letter] for letter in LETTERS if row.get(letter)}
        if "".join(options) != LETTERS[: len(options)]:
            raise UserError(f"{self.file}: index {index}: options {', '.join(options)} leave a letter out")
        if row["answer"] not in options:
            raise UserError(
                f"{self.file}: index {index}: answer '{row['answer']}' is none of {', '.join(options)} (a test file? use dev)"
            )
        ability = row.get("l2-category") or ""
        return Sample(
            id=str(index),
            cluster=str(index % PASS),
            prompt=choice_prompt(row["question"], list(options.values()), row.get("hint")),
            images=(picture,),
            truth={
                "answer": row["answer"],
                "options": options,
                "question": index % PASS,
                "pass": index // PASS,
                "passes": passes,
                "ability": ABILITIES.get(ability, ability),
                "category": row.get("category") or "",
            },
        )

    def _picture(self, index: int, rows: Mapping[int, Mapping[str, str]], pictures: dict[int, bytes]) -> bytes:
        """The row's picture, through references to other rows; decoded once and shared."""
        home, seen = index, {index}
        while len(rows[home]["image"]) <= REFERENCE_LENGTH:
            home = whole(rows[home]["image"], f"{self.file}: index {home}: picture")
            if home not in rows or home in seen:
                raise UserError(f"{self.file}: index {index}: its picture refers to row {home}, which has none")
            seen.add(home)
        if home not in pictures:
            try:
                pictures[home] = base64.b64decode(rows[home]["image"], validate=True)
            except binascii.Error as error:
                raise UserError(f"{self.file}: index {home}: the picture is not base64: {error}") from None
        return pictures[home]


def whole(text: str, place: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise UserError(f"{place}: expected a whole number, found {quoted(text)}") from None
