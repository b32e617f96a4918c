"""MMBench: multiple choice in six abilities, each question asked once per rotation of its options (CircularEval).

Data: one table in VLMEvalKit's or LLaVA's format (`TABLES`, docs/answers.md), pictures inside as base64, or lmms-lab/MMBench's
parquet files (`forms.mmbench`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from suder_bench.benchmark import Kind
from suder_bench.data.folder import benchmark_folder, of_world
from suder_bench.data.prompts import LETTERS, PASS
from suder_bench.data.styles import JANUS, STYLES, worded
from suder_bench.errors import JudgeError, UserError
from suder_bench.evaluators.answers import harnesses, lmms_eval, thoughts
from suder_bench.evaluators.answers.choices import ERAS, LATEST, explain, extract
from suder_bench.evaluators.answers.extractor import Extractor, Unread
from suder_bench.evaluators.answers.fields import ID, TEXT, Row, id_text, quoted
from suder_bench.evaluators.answers.files import check_pictures, given_in, pair
from suder_bench.evaluators.answers.harnesses import read_once
from suder_bench.evaluators.answers.matching import same_words
from suder_bench.evaluators.answers.tables import DROPPED, EMPTY, SUFFIXES
from suder_bench.evaluators.forms import mmbench as forms
from suder_bench.evaluators.forms.found import PICTURE, Form, table_file
from suder_bench.evaluators.forms.tables import Pictures, pictured
from suder_bench.evaluators.judges.protocols import LanguageJudge
from suder_bench.evaluators.weighted import all_correct, count, mean
from suder_bench.records import Answered, ImageSource, Sample, Statistic, Verdict

TABLES = {
    "official": ("mmbench_dev_20230712", "MMBench_DEV_EN", "mmbench_dev"),
    "dev-en-v11": ("MMBench_DEV_EN_V11",),
    "dev-cn": ("mmbench_dev_cn_20231003", "MMBench_DEV_CN"),
    "dev-cn-v11": ("MMBench_DEV_CN_V11",),
    "test-en": ("mmbench_test_20230712", "mmbench_test_en_20231003", "MMBench_TEST_EN"),
    "test-en-v11": ("MMBench_TEST_EN_V11",),
    "test-cn": ("mmbench_test_cn_20231003", "MMBench_TEST_CN"),
    "test-cn-v11": ("MMBench_TEST_CN_V11",),
}
"""The names of each protocol's table, without .tsv, .csv or .xlsx. "official" is the English dev table of 2023."""

EDITIONS = {
    **{name.lower(): protocol for protocol, names in TABLES.items() for name in names},
    **{f"{config}/{split}": protocol for protocol, (config, split) in forms.SPLITS.items()},
    **{f"mmbench_{config}_{split}": protocol for protocol, (config, split) in forms.SPLITS.items() if "v11" not in config},
    "dev-en": "official",
    "v11": "dev-en-v11",
}
"""What others call the protocols: their tables, the hub's configurations with their splits, and lmms-eval its tasks."""

JUDGED = {"suder-bench-llm": "official", **{f"{name}-llm": name for name in TABLES if name != "official"}}
"""The protocols that ask a language model, and whose table each reads."""

FILES = tuple(f"{name}.tsv" for name in TABLES["official"])
BEFORE = tuple(f"vlmevalkit-{era}" for era in ERAS if era != LATEST)
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
    `category` names. `vlmevalkit-2024/...` reads the letters as VLMEvalKit did until August 2025, `vlmevalkit-2025-08/...` as it
    did until June 2026, `lmms-eval/...` as lmms-eval's static evaluation does (`lmms-eval/circular/overall` is the number that
    it prints).

    An answer from which no option can be read is wrong and counted in `unextracted`; nothing is drawn at random. A question
    of which not every rotation was answered (a run with a limit) is left out of the circular numbers.

    Protocols: "official" is the English dev table of 2023. Every other table (V1.1, Chinese, test) has a protocol of its own,
    with its metrics under its name, so that its numbers never stand among those of another. Test tables come without answers,
    which only MMBench's server has: models can respond to them, and what is scored needs a table with an answer column.

    "suder-bench-llm", and every other table's name with "-llm" behind it, asks a language model (role "llm", `answers.extractor`)
    about the answers from which VLMEvalKit's newest rules read no option, as VLMEvalKit does, in our words. Its metrics stand
    under its name; `judged` counts the answers that it was asked about, `unextracted` those that it could not tell either.
    """

    name = "mmbench"
    kind: Kind = "understanding"
    repeats = 1
    headline: str = "vanilla/overall"
    paper_metrics: tuple[str, ...] = ("vanilla/overall", *(f"vanilla/{name}" for name in ABILITIES.values()), "circular/overall")
    judge_roles: tuple[str, ...] = ()
    protocols: tuple[str, ...] = (*TABLES, *JUDGED)
    editions: Mapping[str, str] = EDITIONS
    prompt_styles: tuple[str, ...] = tuple(STYLES["mmbench"])
    usual_style: str = JANUS

    def __init__(self, data: Path, protocol: str = "official") -> None:
        self.data, self.protocol, self.prompt_style = data, protocol, JANUS
        self.table, self.judged = JUDGED.get(protocol, protocol), protocol in JUDGED
        self._extractor = Extractor({})
        if self.judged:
            self.judge_roles = ("llm",)
        self._prefix = "" if protocol == "official" else f"{protocol}/"
        self.headline = f"{self._prefix}{self.headline}"
        self.paper_metrics = tuple(f"{self._prefix}{name}" for name in self.paper_metrics)

    @cached_property
    def form(self) -> Form | None:
        """The hub's parquet files of the protocol's table, where there is no table."""
        tables = (table_file(self.data, self.name, name) for name in TABLES[self.table])
        return forms.find(self.data, self.table) if not any(tables) else None

    @cached_property
    def file(self) -> Path:
        """The protocol's table. Raises `UserError` naming it, and the protocol of a table that is there instead."""
        if self.form is not None:
            return self.form.files[0]
        for protocol in (self.table, *TABLES):
            for name in TABLES[protocol]:
                for folder in (self.data / self.name, self.data):
                    for file in (folder / f"{name}{suffix}" for suffix in SUFFIXES):
                        if file.is_file() and protocol != self.table:
                            raise UserError(
                                f"no {TABLES[self.table][0]}.tsv in {self.data}; for {file} give --protocol {protocol}"
                            )
                        if file.is_file():
                            return file
        return benchmark_folder(self.data, self.name, f"{TABLES[self.table][0]}.tsv", self.table)

    @cached_property
    def rows(self) -> dict[int, Row]:
        """The table's rows by index, empty cells as ""."""
        rows: dict[int, Row] = {}
        columns = ("question", "A", "B", *(() if self.secret else ("answer",)))
        for row in pictured(self.file, *columns) if self.form is None else self.form.rows:
            index = whole(row["index"], f"{self.file}: index")
            if index in rows:
                raise UserError(f"{self.file}: index {index} is used twice")
            rows[index] = {name: "" if cell == EMPTY and name != "question" else cell for name, cell in row.items()}
        return rows

    @property
    def origin(self) -> str:
        return self.form.origin if self.form is not None else ""

    @property
    def counted(self) -> tuple[int, Collection[int]]:
        return len(self.rows), forms.ROWS.get(self.table, {})

    def described(self) -> list[str]:
        """How many questions and passes there are, and from where."""
        passes = Counter(Counter(index % PASS for index in self.rows).values())
        several = ", ".join(f"{n:,} of {k} passes" for k, n in sorted(passes.items()))
        source = f"from {self.file}" if self.form is None else self.form.told
        which = forms.edition(self.table, len(self.rows), world=of_world(self.data))
        return [f"{sum(passes.values()):,} questions in {len(self.rows):,} rows ({several}){which}, {source}"]

    @property
    def secret(self) -> bool:
        """Whether the table may come without its answers."""
        return self.table.startswith("test-")

    @cached_property
    def answerless(self) -> bool:
        return self.secret and not any(row.get("answer") for row in self.rows.values())

    @cached_property
    def questions(self) -> list[Sample]:
        """One for each row. A picture that is not in the table stands as a file below it, which is never there."""
        passes = Counter(index % PASS for index in self.rows)
        for main in passes:
            if main not in self.rows:
                raise UserError(f"{self.file}: question {main} has rotations but no main row (index {main})")
        pictures = Pictures({str(index): row for index, row in self.rows.items()}, self.file)
        return [
            self._sample(index, row, passes[index % PASS], row.get(PICTURE) or pictures.of(str(index)))
            for index, row in self.rows.items()
        ]

    def samples(self) -> list[Sample]:
        return check_pictures(
            self.questions, "answers made elsewhere are scored without pictures, and a model needs a table that holds them"
        )

    def read_answers(self, file: Path) -> list[tuple[Sample, str]]:
        """A table with index and prediction (VLMEvalKit, the form that is uploaded to MMBench's server, lmms-eval's submission),
        the log of lmms-eval, or JSON lines with question_id and text (LLaVA).

        To all rows, or to the main rows only (then there are no circular numbers).
        """
        if self.answerless:
            raise UserError(f"{self._unanswered}; send {file} there, or put a table with answers in its place")
        answers = self._answers(file)
        return pair(self.asked([name for name, _ in answers]), answers, file)

    @read_once
    def _answers(self, file: Path) -> list[tuple[str, str]]:
        given = harnesses.read(file)
        if given.table is not None:
            return [(self._index(one.row, one.place), one.text) for one in given.table]
        if given.log is not None:
            return [(self._index(harnesses.kept(one, {"index": ID}), one.place), one.text) for one in given.log]
        return [(id_text(row["question_id"]), row["text"]) for row in given.rows({"question_id": ID, "text": TEXT})]

    def _index(self, row: Mapping[str, Any], place: str) -> str:
        """The index of an answer. Raises `UserError` where it stands beside another question than the data's, whose indices the
        tables in English and in Chinese share."""
        index = whole(id_text(row["index"]), f"{place}: index")
        if index in self.rows and "question" in row:
            same_words(place, str(index), str(row["question"]), self.rows[index]["question"], self.file)
        return str(index)

    @property
    def _unanswered(self) -> str:
        return f"{self.file} holds no answers: MMBench's server scores its test tables"

    def remarks(self, file: Path) -> list[str]:
        dropped = [
            f"index {index}, {name} '{row[name]}'"
            for index, row in self.rows.items()
            for name in ("hint", *LETTERS)
            if DROPPED.fullmatch(row.get(name, ""))
        ]
        told = f"{len(dropped):,} hints and options of {len(self.rows):,} rows (first: {dropped[0]})" if dropped else ""
        return [
            *([f"{told} are empty cells to VLMEvalKit, and words here"] if dropped else []),
            *harnesses.remarks(given_in(self.read_answers, file), file),
        ]

    def asked(self, given: Collection[str]) -> list[Sample]:
        main = [sample for sample in self.questions if not sample.truth["pass"]]
        return main if set(given) <= {sample.id for sample in main} else self.questions

    def verdicts(self, answered: Sequence[Answered], judges: Mapping[str, Any]) -> Iterator[Verdict]:
        if self.answerless:
            raise JudgeError(self._unanswered)
        if self.judged:
            yield from self._extracted(answered, judges["llm"])
            return
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
                    **{f"vlmevalkit-{era}": float(extract(one.text, options, era) == answer) for era in ERAS if era != LATEST},
                    "lmms-eval": float(lmms_eval.extract(one.text, options) == answer),
                    "unextracted": float(picked is None),
                },
                correct=picked == answer,
                reason=f"answered {quoted(one.text)}: {explain(picked, answer, options)}",
                details={"letter": picked},
            )

    def _extracted(self, answered: Sequence[Answered], judge: LanguageJudge) -> Iterator[Verdict]:
        read = [extract(one.text, one.sample.truth["options"]) for one in answered]
        unread = [one for one, letter in zip(answered, read, strict=True) if letter is None]
        asked = [Unread(one.sample.truth["asked"], one.sample.truth["options"], one.text) for one in unread]
        told = iter(self._extractor.ask(judge, asked))
        for one, found in zip(answered, read, strict=True):
            options, answer = one.sample.truth["options"], one.sample.truth["answer"]
            letter, replies = next(told) if found is None else (found, [])
            heard = f" (judged {quoted(thoughts.split(replies[-1])[1])})" if replies else ""
            yield Verdict(
                benchmark=self.name,
                sample=one.sample.id,
                repeat=one.response.repeat,
                digest=one.response.digest,
                scores={
                    "correct": float(letter == answer),
                    "judged": float(bool(replies)),
                    "unextracted": float(letter is None),
                },
                correct=letter == answer,
                reason=f"answered {quoted(one.text)}{heard}: {explain(letter, answer, options)}",
                details={"letter": letter, "replies": replies},
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
        for score in ("correct",) if self.judged else ("correct", *BEFORE, "lmms-eval"):
            prefix = "" if score == "correct" else f"{score}/"
            right = np.array([verdict.scores[score] for _, verdict in rows])
            circular = all_correct(right, questions, everything, complete=lambda question, n: n == passes[question])
            for part, keep in parts.items():
                found[f"{prefix}vanilla/{part}"] = mean(right, main & keep)
                found[f"{prefix}circular/{part}"] = mean(circular[0], circular[1] & keep)
        for score in ("judged", "unextracted") if self.judged else ("unextracted",):
            found[score] = count(np.array([verdict.scores[score] > 0 for _, verdict in rows], dtype=bool))
        return {f"{self._prefix}{name}": statistic for name, statistic in found.items()}

    def _sample(self, index: int, row: Row, passes: int, picture: ImageSource) -> Sample:
        options = {letter: row[letter] for letter in LETTERS if row.get(letter)}
        if "".join(options) != LETTERS[: len(options)]:
            raise UserError(f"{self.file}: index {index}: options {', '.join(options)} leave a letter out")
        answer = row.get("answer", "")
        if answer not in options and not self.answerless:
            raise UserError(f"{self.file}: index {index}: answer '{answer}' is none of {', '.join(options)}")
        ability = row.get("l2-category") or ""
        return Sample(
            id=str(index),
            cluster=str(index % PASS),
            prompt=worded(self.name, self.prompt_style, row["question"], list(options.values()), row.get("hint")),
            images=(picture,),
            truth={
                "answer": answer,
                "options": options,
                "question": index % PASS,
                "pass": index // PASS,
                "passes": passes,
                "ability": ABILITIES.get(ability, ability),
                "category": row.get("category") or "",
                **({"asked": row["question"]} if self.judged else {}),
            },
        )


def whole(text: str, place: str) -> int:
    try:
        return int(text.removesuffix(".0"))
    except ValueError:
        raise UserError(f"{place}: expected a whole number, found {quoted(text)}") from None
