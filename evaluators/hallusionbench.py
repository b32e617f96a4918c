"""HallusionBench: yes/no questions about original and edited figures, in groups that must be right as a whole.

Data: `HallusionBench.json` or the same as JSON lines in `HallusionBench.jsonl`, pictures below `images/` (or the official
archive's `hallusion_bench/`) as `filename` says, or one of `forms.hallusionbench`; for the protocol "official-llm" also the
authors' `utils.py`, which holds their request to the judge.
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
from suder_bench.data.owners import wanting
from suder_bench.data.styles import JANUS, STYLES, worded
from suder_bench.endings import is_picture
from suder_bench.errors import UserError
from suder_bench.evaluators.answers import harnesses, thoughts, yes_no
from suder_bench.evaluators.answers.fields import BIT, ID, TEXT, Fields, id_text, quoted, with_fields
from suder_bench.evaluators.answers.files import check_pictures, given_in, json_rows, pair, picture_folder
from suder_bench.evaluators.answers.harnesses import Given, read_once
from suder_bench.evaluators.answers.reviews import RIGHT, UNCLEAR, judge_mark
from suder_bench.evaluators.forms import hallusionbench as forms
from suder_bench.evaluators.forms.found import PICTURE, Form
from suder_bench.evaluators.judges import requests
from suder_bench.evaluators.judges.protocols import LanguageJudge
from suder_bench.evaluators.weighted import all_correct, average, count, mean
from suder_bench.records import Answered, Sample, Statistic, Verdict

FILE = "HallusionBench.json"
LINES = f"{FILE}l"
PICTURES = ("images", "hallusion_bench", ".")
KEY = ("category", "subcategory", "set_id", "figure_id", "question_id")
FIELDS = (*KEY, "visual_input", "question", "gt_answer", "gt_answer_details")
KINDS: Fields = {**dict.fromkeys((*KEY, "visual_input"), ID), "question": TEXT, "gt_answer": BIT, "gt_answer_details": TEXT}
OFFICIAL_ROWS = 1129
YEAR, SUBSTRING = "vlmevalkit-2024", "lmms-eval"
EDITED = "2"
"""What `visual_input` says of an edited figure."""


class HallusionBench:
    """Fractions in 0-1: aAcc over questions, fAcc over figures and qAcc over question groups (right only when all their
    rows are), and `average`, the mean of the three that leaderboards and papers print. The same per category (`VD/aAcc`)
    and subcategory (`VD_ocr/aAcc`); `easy` and `hard` are the question groups of unedited and of edited figures.

    Protocols: "official", the default, is VLMEvalKit's exact matching on the 951 questions with a picture, which papers use:
    the answer's yes or no is read without a language model ("unextracted" counts those that have neither or both, which are
    wrong); `vlmevalkit-2024/` reads them as VLMEvalKit did until May 2025, and `lmms-eval/` takes every answer that holds "yes"
    for a yes and any other for a no, which is lmms-eval's string match. "official-llm" is the authors' own, with its
    metrics under `official-llm/`: all 1,129 questions, marked by role "llm", which is asked in the authors' words and sees
    neither picture nor yes/no label; an unclear answer is right where there is no picture (VS, figure 0), which counts for
    aAcc and qAcc and is no figure. "suder-bench-llm" is the same in our words, in which the world's questions are always put.
    Groups of which not every row was answered (a run with a limit) are left out; `n` tells how many there were.
    """

    name = "hallusionbench"
    kind: Kind = "understanding"
    repeats = 1
    headline: str = "average"
    paper_metrics: tuple[str, ...] = ("average", "aAcc", "fAcc", "qAcc")
    judge_roles: tuple[str, ...] = ()
    protocols: tuple[str, ...] = ("official", "official-llm", "suder-bench-llm")
    prompt_styles: tuple[str, ...] = tuple(STYLES["hallusionbench"])
    usual_style: str = JANUS

    def __init__(self, data: Path, protocol: str = "official") -> None:
        self.data, self.protocol = data, protocol
        self.judged = protocol != "official"
        self._prefix = ""
        if self.judged:
            self.usual_style = "official"
            self.judge_roles, self._prefix = ("llm",), f"{protocol}/"
            self.headline = f"{self._prefix}{self.headline}"
            self.paper_metrics = tuple(f"{self._prefix}{name}" for name in self.paper_metrics)
        self.prompt_style = self.usual_style

    @cached_property
    def file(self) -> Path:
        """The official file, also as JSON lines. Raises `UserError` with what brings it."""
        return self._official() or benchmark_folder(self.data, self.name, FILE) / FILE

    def _official(self) -> Path | None:
        places = (folder / name for folder in (self.data / self.name, self.data) for name in (FILE, LINES))
        return next((place for place in places if place.is_file()), None)

    @cached_property
    def form(self) -> Form | None:
        """Another form of the questions: where the official file is missing, or its pictures are."""
        official = self._official()
        places = [official.parent / name for name in PICTURES] if official else []
        return None if any(is_picture(file) for place in places for file in place.glob("V[DS]/*/*")) else forms.find(self.data)

    @cached_property
    def folder(self) -> Path:
        if self.form is None:
            return self.file.parent
        return self.data / self.name if (self.data / self.name).is_dir() else self.data

    @cached_property
    def rows(self) -> dict[str, dict[str, Any]]:
        """All rows of the file by id. Raises `UserError` on a doubled key, and on more rows than the benchmark has."""
        found: dict[str, dict[str, Any]] = {}
        source, given = (self.file, json_rows(self.file, KINDS)) if self.form is None else (self.form.files[0], self.form.rows)
        for number, row in enumerate(given, start=1):
            place = f"{source}: row {number}"
            name = row_id(with_fields(row, place, KINDS))
            if name in found:
                raise UserError(f"{place}: a second row '{name}'")
            if not TEXT.holds(row.get("filename") or ""):
                raise UserError(f"{place}: 'filename' is {quoted(str(row['filename']))}; expected a text or null")
            if self.judged and not row["gt_answer_details"]:
                raise UserError(
                    f"{place}: no reference answer for the judge; put the official {FILE} there, or use --protocol official"
                )
            found[name] = row | {key: id_text(row[key]) for key in FIELDS}
        if len(found) > OFFICIAL_ROWS:
            raise UserError(f"{source}: {len(found):,} rows; the benchmark has {OFFICIAL_ROWS:,} (951 with a picture)")
        return found

    @property
    def origin(self) -> str:
        return self.form.origin if self.form is not None else ""

    @property
    def counted(self) -> tuple[int, Collection[int]]:
        return len(self.rows), (OFFICIAL_ROWS,) if self.form is None else (forms.PICTURED, forms.ALL)

    def described(self) -> list[str]:
        """How many questions are asked of how many, and from where."""
        asked, pictured = len(self.questions), sum(bool(row.get("filename")) for row in self.rows.values())
        source = f"from {self.file}" if self.form is None else self.form.told
        known = (forms.PICTURED, forms.ALL)
        if len(self.rows) not in known and not of_world(self.data):
            source = f"which is neither {known[0]} nor {known[1]:,}, {source}"
        return [f"{asked:,} questions are asked, of {len(self.rows):,} of which {pictured:,} have a picture, {source}"]

    @cached_property
    def questions(self) -> list[Sample]:
        """The protocol's questions, whether or not their pictures are at hand."""
        asked = {name: row for name, row in self.rows.items() if self.judged or row.get("filename")}
        figures = Counter(figure(row) for row in asked.values())
        groups = Counter(group(row) for row in asked.values())
        hard = Counter(group(row) for row in asked.values() if row["visual_input"] == EDITED)
        first = next((row["filename"] for row in asked.values() if row.get("filename")), "")
        pictures = picture_folder([self.folder / name for name in PICTURES], first)
        request = {"request": self.request} if self.judged else {}
        return [
            Sample(
                id=name,
                cluster="_".join([row["category"], row["subcategory"], row["set_id"]]),
                prompt=worded(self.name, self.prompt_style, row["question"]),
                images=(row.get(PICTURE) or pictures / row["filename"],) if row.get("filename") else (),
                truth={key: row[key] for key in FIELDS}
                | {"answer": yes_no.YES if row["gt_answer"] == "1" else yes_no.NO}
                | request
                | {"figure_rows": figures[figure(row)], "group_rows": groups[group(row)]}
                | {"easy_rows": groups[group(row)] - hard[group(row)], "hard_rows": hard[group(row)]},
            )
            for name, row in asked.items()
        ]

    @cached_property
    def request(self) -> str:
        """The judge's request, a format of question, reference and answer. Raises `UserError` where the authors' is missing."""
        if self.protocol == "suder-bench-llm" or of_world(self.data):
            return requests.SUDER_TEACHER
        script = self.folder / requests.TEACHER_SCRIPT
        if not script.is_file():
            raise UserError(
                f"{script} is missing, which holds the authors' request to the judge; get it with suder-bench data fetch"
                " hallusionbench, or ask in our words: --protocol suder-bench-llm"
            )
        return requests.teacher(script)

    def samples(self) -> list[Sample]:
        return check_pictures(self.questions, wanting(self.name, self.data))

    def read_answers(self, file: Path) -> list[tuple[Sample, str]]:
        """The official format, the benchmark's rows each with its `model_prediction`, which is a text, in one list or a line
        each; the log of lmms-eval, which keeps such rows; or VLMEvalKit's table.

        Under the default protocol, answers to the questions without a picture may be there and are not used.
        """
        asked = {sample.id for sample in self.questions}
        unasked = self.rows.keys() - asked
        return pair(self.questions, [(name, text) for name, text in self._answers(file) if name not in unasked], file)

    def remarks(self, file: Path) -> list[str]:
        unused = len({name for name, _ in self._answers(file)} - {sample.id for sample in self.questions})
        told = f"{unused:,} answers to questions without a picture are not used; protocol official-llm is about these too"
        return [*harnesses.remarks(given_in(self.read_answers, file), file), *([told] if unused else [])]

    @read_once
    def _answers(self, file: Path) -> list[tuple[str, str]]:
        given = harnesses.read(file)
        if given.table is not None:
            return [(table_id(one), one.text) for one in given.table]
        if given.log is not None:
            return [(row_id(harnesses.kept(one, dict.fromkeys(KEY, ID))), one.text) for one in given.log]
        rows = given.rows({**dict.fromkeys(KEY, ID), "model_prediction": TEXT})
        return [(row_id(row), row["model_prediction"]) for row in rows]

    def verdicts(self, answered: Sequence[Answered], judges: Mapping[str, Any]) -> Iterator[Verdict]:
        marks = self._marks(answered, judges["llm"]) if self.judged else map(exact_mark, answered)
        for one, (mark, heard, thought) in zip(answered, marks, strict=True):
            truth = one.sample.truth
            right = mark == RIGHT or (self.judged and mark == UNCLEAR and text_only(truth))
            expected = truth["gt_answer_details"] if self.judged else truth["answer"]
            yield Verdict(
                benchmark=self.name,
                sample=one.sample.id,
                repeat=one.response.repeat,
                digest=one.response.digest,
                scores={"correct": float(right), "unclear": float(mark == UNCLEAR)} | ({} if self.judged else other_rules(one)),
                correct=right,
                reason=f"answered {quoted(one.text)} ({heard}), expected {quoted(expected)}",
                details={"heard": heard, **thoughts.noted(thought)},
            )

    def _marks(self, answered: Sequence[Answered], judge: LanguageJudge) -> list[tuple[int, str, str]]:
        truths = [one.sample.truth for one in answered]
        replies = judge.mark(
            [
                truth["request"].format(question=truth["question"], reference=truth["gt_answer_details"], answer=one.text)
                for one, truth in zip(answered, truths, strict=True)
            ]
        )
        return [(judge_mark(said), f"judged {quoted(said)}", thought) for thought, said in map(thoughts.split, replies)]

    def statistics(self, rows: Sequence[tuple[Sample, Verdict]]) -> dict[str, Statistic]:
        correct = np.array([verdict.correct for _, verdict in rows], dtype=bool)
        unclear = np.array([verdict.scores["unclear"] > 0 for _, verdict in rows], dtype=bool)
        found = self._accuracies(rows, correct)
        if not self.judged:
            for rule in (YEAR, SUBSTRING):
                right = np.array([verdict.scores[rule] > 0 for _, verdict in rows], dtype=bool)
                found |= {f"{rule}/{name}": statistic for name, statistic in self._accuracies(rows, right).items()}
        found["unclear" if self.judged else "unextracted"] = count(unclear)
        return {f"{self._prefix}{name}": statistic for name, statistic in found.items()}

    def _accuracies(self, rows: Sequence[tuple[Sample, Verdict]], correct: np.ndarray) -> dict[str, Statistic]:
        """All metrics of answers that are `correct` or not, by row."""
        truths = [sample.truth for sample, _ in rows]
        repeats = [verdict.repeat for _, verdict in rows]
        edited = np.array([truth["visual_input"] == EDITED for truth in truths], dtype=bool)
        is_figure = np.array([not text_only(truth) for truth in truths], dtype=bool)
        figures: list[Hashable] = [(figure(truth), repeat) for truth, repeat in zip(truths, repeats, strict=True)]
        groups: list[Hashable] = [(group(truth), repeat) for truth, repeat in zip(truths, repeats, strict=True)]
        figure_rows = {key: truth["figure_rows"] for key, truth in zip(figures, truths, strict=True)}
        group_rows = {key: truth["group_rows"] for key, truth in zip(groups, truths, strict=True)}
        per_figure = all_correct(correct, figures, is_figure, complete=lambda key, n: n == figure_rows[key])
        everything = np.ones(len(rows), dtype=bool)
        per_group = all_correct(correct, groups, everything, complete=lambda key, n: n == group_rows[key])

        def whole(kept: np.ndarray, count_of: str) -> Statistic:
            due = {key: truth[count_of] for key, truth in zip(groups, truths, strict=True)}
            return mean(*all_correct(correct, groups, kept, complete=lambda key, n: n == due[key]))

        def three(keep: np.ndarray, prefix: str = "") -> dict[str, Statistic]:
            a, f, q = mean(correct, keep), mean(per_figure[0], per_figure[1] & keep), mean(per_group[0], per_group[1] & keep)
            return {f"{prefix}average": average([a, f, q], n=a.n), f"{prefix}aAcc": a, f"{prefix}fAcc": f, f"{prefix}qAcc": q}

        found = three(everything)
        for prefix in sorted({truth["category"] for truth in truths} | {subcategory(truth) for truth in truths}):
            found |= three(np.array([prefix in (t["category"], subcategory(t)) for t in truths], dtype=bool), f"{prefix}/")
        found["easy"], found["hard"] = whole(~edited, "easy_rows"), whole(edited, "hard_rows")
        return found


def other_rules(one: Answered) -> dict[str, float]:
    """Whether the answer is right by VLMEvalKit's earlier rule, and by lmms-eval's string match."""
    said = {YEAR: yes_no.vlmevalkit(one.text, "2024"), SUBSTRING: yes_no.holds_yes(one.text)}
    return {rule: float(word == one.sample.truth["answer"]) for rule, word in said.items()}


def exact_mark(one: Answered) -> tuple[int, str, str]:
    said = yes_no.vlmevalkit(one.text)
    return (UNCLEAR if said == yes_no.NEITHER else int(said == one.sample.truth["answer"])), said, ""


def row_id(row: Mapping[str, Any]) -> str:
    return "_".join(id_text(row[key]) for key in KEY)


def table_id(one: Given) -> str:
    """The id of a row of VLMEvalKit's table, where `l2-category` has both categories ("VD_ocr"), and set, figure and question
    are the last three numbers of the index."""
    kinds = with_fields(one.row, one.place, {"l2-category": TEXT})["l2-category"]
    numbers = one.name.split("_")[3:]
    if len(numbers) != 3:
        raise UserError(f"{one.place}: index {quoted(one.name)} does not end in set, figure and question, as VLMEvalKit's do")
    return "_".join([kinds, *numbers])


def text_only(row: Mapping[str, Any]) -> bool:
    return (row["category"], row["figure_id"]) == ("VS", "0")


def figure(row: Mapping[str, Any]) -> tuple[str, ...]:
    return (row["category"], row["subcategory"], row["set_id"], row["figure_id"])


def group(row: Mapping[str, Any]) -> tuple[str, ...]:
    """One question over all figures of its set."""
    return (row["category"], row["subcategory"], row["set_id"], row["question_id"])


def subcategory(row: Mapping[str, Any]) -> str:
    return f"{row['category']}_{row['subcategory']}"
