"""POPE: is there a dog in the image? Three tracks that share pictures and positive questions, and differ in the negatives.

Data: `coco_pope_{random,popular,adversarial}.json`, pictures in `images/` or in a COCO `val2014/` folder, or one of
`forms.pope`; for the other protocols `aokvqa_pope_seem_*.json` (COCO's pictures too) or `gqa_pope_seem_*.json` (GQA's). JSON
lines or one JSON list.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np

from suder_bench.benchmark import Kind
from suder_bench.data.folder import benchmark_folder, of_world
from suder_bench.data.owners import wanting
from suder_bench.data.styles import JANUS, STYLES, worded
from suder_bench.endings import is_picture
from suder_bench.errors import UserError
from suder_bench.evaluators.answers import harnesses, yes_no
from suder_bench.evaluators.answers.fields import ID, TEXT, Fields, Row, id_text, one_of, quoted, with_fields
from suder_bench.evaluators.answers.files import check_pictures, given_in, json_rows, pair, picture_folder
from suder_bench.evaluators.answers.harnesses import Given, read_once
from suder_bench.evaluators.answers.matching import Key, matched
from suder_bench.evaluators.forms import pope as forms
from suder_bench.evaluators.forms.found import PICTURE, Form
from suder_bench.evaluators.forms.pope import TRACKS
from suder_bench.evaluators.weighted import UNIT, average, count, mean, ratio
from suder_bench.records import Answered, ImageSource, Sample, Statistic, Verdict

FILES = {"official": "coco_pope_{}.json", "aokvqa": "aokvqa_pope_seem_{}.json", "gqa": "gqa_pope_seem_{}.json"}
"""The file of a track, by protocol."""

LLAVA_QUESTIONS = "llava_pope_test.jsonl"
ASKED: Fields = {"question_id": ID, "image": TEXT, "text": TEXT}
LABEL = {"label": one_of("yes", "no")}
HARNESSES = ("official", "vlmevalkit", "vlmevalkit-2024", "lmms-eval")
QUESTION = re.compile(r"Is there (an? .+?) in the i(?:mage|mange)\?")
"""The first release misspelt the question after vowels ("in the imange?")."""

LMMS_ORDER = ("adversarial", "popular", "random")
"""How lmms-eval's one task of all tracks has them one after another."""

PREDICTED: Fields = {"question": TEXT, "answer": one_of("yes", "no"), "category": TEXT}
NAMED_IN = ("image_source", "image_path", "image")
"""Columns of VLMEvalKit's table in which a picture may be named."""


class Pope:
    """Fractions in 0-1. Per track (`f1_random`, ...): f1, acc, precision, recall, yes (the share answered yes), tp, fp, tn, fn.

    Over the tracks: `mean_f1` (LLaVA's number), `pooled_f1`, `pooled_acc`. The unprefixed metrics use the official parser;
    `vlmevalkit/` and `lmms-eval/` are those harnesses' rules, `vlmevalkit-2024/` the former's until May 2025. Precision,
    recall and F1 without any predicted or true positive are 0, where the official script divides by zero; `yes_*` at 0 shows it.

    Protocols: "official" asks about COCO's pictures; "aokvqa" and "gqa" are the same three tracks of the authors' other
    pictures, with their metrics under `aokvqa/` and `gqa/`.
    """

    name = "pope"
    kind: Kind = "understanding"
    repeats = 1
    headline: str = "f1_random"
    paper_metrics: tuple[str, ...] = ("f1_random", "f1_popular", "f1_adversarial", "mean_f1")
    judge_roles: tuple[str, ...] = ()
    protocols: tuple[str, ...] = tuple(FILES)
    prompt_styles: tuple[str, ...] = tuple(STYLES["pope"])
    usual_style: str = JANUS

    def __init__(self, data: Path, protocol: str = "official") -> None:
        self.data, self.protocol, self.prompt_style = data, protocol, JANUS
        self._prefix = "" if protocol == "official" else f"{protocol}/"
        self._unnamed = False  # of the answers that were read last, whether no column names their pictures
        self.headline = f"{self._prefix}{self.headline}"
        self.paper_metrics = tuple(f"{self._prefix}{name}" for name in self.paper_metrics)

    @cached_property
    def folder(self) -> Path:
        """Raises `UserError` naming the tracks' files that are missing."""
        names = [self.track_file(track) for track in TRACKS]
        absent = {
            folder: [name for name in names if not (folder / name).is_file()] for folder in (self.data / self.name, self.data)
        }
        folder = min(absent, key=lambda folder: len(absent[folder]))  # the first of equals
        if 0 < len(absent[folder]) < len(names):
            raise UserError(
                f"{folder} lacks {' and '.join(absent[folder])}; a score needs all three tracks: put them there, or get them with"
                " suder-bench data fetch pope"
            )
        return folder if not absent[folder] else benchmark_folder(self.data, self.name, names[0])

    def track_file(self, track: str) -> str:
        return FILES[self.protocol].format(track)

    @cached_property
    def form(self) -> Form | None:
        """Another form of the questions: where the official files are missing, or their pictures are."""
        if self.protocol != "official":
            return None
        official = any((place / self.track_file(TRACKS[0])).is_file() for place in (self.data / self.name, self.data))
        return None if official and any(map(is_picture, self.pictures.glob("*"))) else forms.find(self.data)

    @cached_property
    def questions(self) -> list[Sample]:
        """The questions of all tracks, whether or not their pictures are at hand."""
        samples = [
            self._sample(f"{row['track']}/{id_text(row['question_id'])}", row["track"], row, row[PICTURE]) for row in self._rows()
        ]
        seen = Counter(sample.id for sample in samples)
        for sample in samples:
            if seen[sample.id] > 1:
                track, name = sample.id.split("/", 1)
                place = self.form.files[0] if self.form else self.folder
                raise UserError(f"{place}: two questions of the track {track} are called '{name}'")
        return samples

    def _rows(self) -> Iterable[Row]:
        if self.form is not None:
            return self.form.rows
        return (
            row | {"track": track, PICTURE: self.pictures / row["image"]}
            for track in TRACKS
            for row in json_rows(self.folder / self.track_file(track), {**ASKED, **LABEL})
        )

    @property
    def origin(self) -> str:
        return self.form.origin if self.form is not None else ""

    @property
    def counted(self) -> tuple[int, Collection[int]]:
        return len(self.questions), forms.RELEASES if self.protocol == "official" else ()

    def described(self) -> list[str]:
        """How many questions there are, of which release, and from where."""
        tracks = (sample.truth["track"] for sample in self.questions)
        told = forms.release(tracks, world=of_world(self.data))
        return [f"{told}, {self.form.told if self.form else f'from {self.folder}'}"]

    @cached_property
    def pictures(self) -> Path:
        parts = ("val2014", "coco/val2014") if self.protocol != "gqa" else ("gqa", "gqa/images")
        beside = [folder / part for folder in (self.folder, self.data) for part in parts]
        rows = json_rows(self.folder / self.track_file(TRACKS[0]), ASKED)
        return picture_folder([self.folder / "images", *beside], rows[0]["image"] if rows else "")

    def samples(self) -> list[Sample]:
        return check_pictures(self.questions, wanting(self.name, self.data, self.protocol))

    @read_once
    def read_answers(self, file: Path) -> list[tuple[Sample, str]]:
        """Answers in LLaVA's format to all tracks; in POPE's own, or as lmms-eval logs them, to one track or to several, one
        after another; or VLMEvalKit's table, whose `category` tells the tracks that an answer is for.

        LLaVA's lines hold question_id and text; ids are those of `llava_pope_test.jsonl` (8,910 questions of the first
        release), or ours ("random/1"). POPE's lines hold question and answer, in the order of the tracks' files. Questions
        and answers are texts: a null or a list is refused with its line, where the official script stops or reads "yes".
        """
        given = harnesses.read(file)
        self._unnamed = given.table is not None and self._named_in(given.table) is None
        if given.table is not None:
            return self._table_answers(given.table, file)
        if given.log is not None:
            return self._log_answers(given.log, file)
        if {"question", "answer"} <= given.placed[0][1].keys():
            rows = given.rows({"question": TEXT, "answer": TEXT})
            return self._track_answers([(row["question"], row["answer"]) for row in rows], file)
        rows = given.rows({"question_id": ID, "text": TEXT})
        answers = [(id_text(row["question_id"]), row["text"]) for row in rows]
        if self.protocol != "official" or "/" in answers[0][0]:
            return pair(self.questions, answers, file)
        return pair(self._llava_questions(), ((f"llava/{name}", text) for name, text in answers), file)

    def remarks(self, file: Path) -> list[str]:
        texts = given_in(self.read_answers, file)
        told = "no column names the pictures: questions with the same words and label are taken in order, which changes no number"
        return [
            *harnesses.remarks(texts, file),
            *([f"{told} but makes intervals approximate"] if self._unnamed else []),
        ]

    def verdicts(self, answered: Sequence[Answered], judges: Mapping[str, Any]) -> Iterator[Verdict]:
        for one in answered:
            truth, said = one.sample.truth, yes_no.official(one.text)
            right = said == truth["label"]
            has = "has" if truth["label"] == yes_no.YES else "does not have"
            yield Verdict(
                benchmark=self.name,
                sample=one.sample.id,
                repeat=one.response.repeat,
                digest=one.response.digest,
                scores={"correct": float(right)},
                correct=right,
                reason=f"answered {quoted(one.text)} ({said}), the picture {has} {truth['object']}: {truth['label']} expected",
                details={
                    "official": said,
                    "vlmevalkit": yes_no.vlmevalkit(one.text),
                    "vlmevalkit-2024": yes_no.vlmevalkit(one.text, "2024"),
                    "lmms-eval": yes_no.lmms_eval(one.text),
                },
            )

    def statistics(self, rows: Sequence[tuple[Sample, Verdict]]) -> dict[str, Statistic]:
        track = np.array([sample.truth["track"] for sample, _ in rows], dtype=object)
        label = np.array([sample.truth["label"] == yes_no.YES for sample, _ in rows], dtype=bool)
        present = [name for name in TRACKS if name in track]
        found: dict[str, Statistic] = {}
        for harness in HARNESSES:
            said = np.array([verdict.details[harness] for _, verdict in rows], dtype=object)
            prefix = "" if harness == "official" else f"{harness}/"
            for name in TRACKS if harness == "official" else present:
                scores = binary(label, said, track == name, harness)
                found |= {f"{prefix}{key}_{name}": statistic for key, statistic in scores.items()}
            pooled = binary(label, said, np.ones(len(rows), dtype=bool), harness)
            if harness == "official":
                found["mean_f1"] = average([found[f"f1_{name}"] for name in TRACKS], n=len(rows))
                found |= {"pooled_f1": pooled["f1"], "pooled_acc": pooled["acc"]}
            else:
                found |= {f"{prefix}{key}": statistic for key, statistic in pooled.items()}
        return {f"{self._prefix}{name}": statistic for name, statistic in found.items()}

    def _sample(self, name: str, track: str, row: Row, picture: ImageSource) -> Sample:
        question = row["text"]
        label = yes_no.NO if row["label"].lower() == yes_no.NO else yes_no.YES
        truth = {"track": track, "label": label, "object": thing(question)}
        prompt = worded(self.name, self.prompt_style, question)
        return Sample(id=name, cluster=row["image"], prompt=prompt, images=(picture,), truth=truth)

    def _llava_questions(self) -> list[Sample]:
        """The first release's questions; their labels are looked up by picture and object in the tracks at hand."""
        labels = {(sample.cluster, noun(sample.truth["object"])): sample.truth["label"] for sample in self.questions}
        samples = []
        for row in json_rows(self.folder / LLAVA_QUESTIONS, {**ASKED, "category": TEXT}):
            question = row["text"].split("\n")[0]
            key = (row["image"], noun(thing(question)))
            if key not in labels:
                raise UserError(f"{LLAVA_QUESTIONS}: question {row['question_id']}: no track has a label for {' / '.join(key)}")
            asked = {"image": row["image"], "text": question, "label": labels[key]}
            picture = self.pictures / row["image"]
            samples.append(self._sample(f"llava/{row['question_id']}", row["category"], asked, picture))
        return samples

    @cached_property
    def tracks(self) -> dict[str, list[Sample]]:
        return {track: [sample for sample in self.questions if sample.truth["track"] == track] for track in TRACKS}

    def _track_answers(self, answers: list[tuple[str, str]], file: Path) -> list[tuple[Sample, str]]:
        """The answers' questions are those of one track, or of several tracks one after another."""
        asked = [thing(question) for question, _ in answers]
        left = dict(self.tracks)
        found: list[Sample] = []
        while len(found) < len(asked):
            rest = asked[len(found) :]
            fits = [t for t, samples in left.items() if samples and rest[: len(samples)] == [s.truth["object"] for s in samples]]
            if not fits:
                where = f" from answer {len(found) + 1:,} on" if found else ""
                raise UserError(
                    f"{file}: {len(answers):,} answers do not match the questions of any track{where} (labels: {self._sizes})"
                )
            found += left.pop(fits[0])
        return [(sample, text) for sample, (_, text) in zip(found, answers, strict=True)]

    @property
    def _sizes(self) -> str:
        return ", ".join(f"{track} {len(samples):,}" for track, samples in self.tracks.items())

    def _log_answers(self, log: Sequence[Given], file: Path) -> list[tuple[Sample, str]]:
        """A document's number is its place in one track, or in several one after another: in those that ask what was asked and
        label it as was logged."""
        asked = {int(one.name): (thing(one.row.get("input")), str(one.row.get("target")).lower()) for one in log}
        for several in range(1, len(TRACKS) + 1):
            orders = [[sample for track in order for sample in self.tracks[track]] for order in permutations(LMMS_ORDER, several)]
            fits = [samples for samples in orders if _asks(samples, asked)]
            if len(fits) > 1 and len(log) < len(fits[0]):
                raise UserError(f"{file}: {len(log):,} answers fit the questions of several tracks; give the log of a whole task")
            if fits:
                there = {sample.id for sample in fits[0]}
                answers = [(fits[0][int(one.name)].id, one.text) for one in log]
                return pair([sample for sample in self.questions if sample.id in there], answers, file)
        raise UserError(f"{file}: {len(log):,} logged questions are not those of any track (labels: {self._sizes})")

    def _table_answers(self, table: Sequence[Given], file: Path) -> list[tuple[Sample, str]]:
        column, answered = self._named_in(table), set[str]()
        keyed: list[tuple[Given, list[Key]]] = []
        for one in table:
            row = with_fields(one.row, one.place, PREDICTED)
            which = Path(row[column]).stem if column else row["answer"].lower()
            tracks = [track.strip() for track in row["category"].split(",")]
            if strange := [track for track in tracks if track not in TRACKS]:
                raise UserError(f"{one.place}: 'category' names the track {quoted(strange[0])}; expected {', '.join(TRACKS)}")
            answered |= set(tracks)
            keyed.append((one, [(track, which, thing(row["question"])) for track in tracks]))
        asked = [sample for sample in self.questions if sample.truth["track"] in answered]

        def key_of(sample: Sample) -> Key:
            which = Path(sample.cluster).stem if column else sample.truth["label"]
            return sample.truth["track"], which, sample.truth["object"]

        return pair(asked, matched(asked, key_of, keyed), file)

    def _named_in(self, table: Sequence[Given]) -> str | None:
        """The column that names every answer's picture, if there is one."""
        known = {Path(sample.cluster).stem for sample in self.questions}
        return next((name for name in NAMED_IN if all(Path(one.row.get(name, "")).stem in known for one in table)), None)


def binary(label: np.ndarray, said: np.ndarray, keep: np.ndarray, harness: str) -> dict[str, Statistic]:
    """Scores of the kept rows with yes as positive; `label` is bool, `said` holds yes, no or neither.

    An answer that is neither is wrong. VLMEvalKit takes it for a no in precision, recall and F1; lmms-eval leaves it out
    of recall's denominator. lmms-eval's yes ratio is computed from the labels (always 0.5 on the full tracks), as there.
    """
    yes, no = (said == yes_no.YES), (said == yes_no.NO)
    denied = no if harness == "lmms-eval" else ~yes
    tp, fp, fn = label & yes & keep, ~label & yes & keep, label & denied & keep
    scores = {
        "f1": fraction(2 * tp, 2 * tp + fp + fn, keep),
        "acc": mean(np.where(label, yes, no), keep),
        "precision": fraction(tp, tp + fp, keep),
        "recall": fraction(tp, tp + fn, keep),
        "yes": mean(label if harness == "lmms-eval" else yes, keep),
    }
    if harness == "official":
        return scores | {"tp": count(tp, keep), "fp": count(fp, keep), "tn": count(~label & no, keep), "fn": count(fn, keep)}
    if harness == "lmms-eval":
        scores["f1"] = harmonic(tp, tp + fp, tp + fn, keep)
    return scores | {"unextracted": count(~yes & ~no, keep)}


def fraction(numerator: np.ndarray, denominator: np.ndarray, keep: np.ndarray) -> Statistic:
    """sum(numerator) / sum(denominator): 0 for 0/0, and NaN where no kept row has any weight."""
    above, below, rows = (column.astype(float) for column in (numerator, denominator, keep))

    def combine(sums: Sequence[np.ndarray]) -> np.ndarray:
        over, under, weight = sums
        return np.where((under == 0) & (weight > 0), 0.0, ratio(over, under))

    return Statistic.of_sums([above, below, rows], combine, n=int(keep.sum()), scale=UNIT)


def harmonic(tp: np.ndarray, positive: np.ndarray, due: np.ndarray, keep: np.ndarray) -> Statistic:
    """F1 from precision and recall, which differs from `fraction` in its last digit; lmms-eval computes it so."""
    columns = [column.astype(float) for column in (tp, positive, due, keep)]

    def combine(sums: Sequence[np.ndarray]) -> np.ndarray:
        hits, said, true, weight = sums
        p, r = (np.where(below == 0, 0.0, ratio(hits, below)) for below in (said, true))
        return np.where(weight == 0, np.nan, np.where(p + r == 0, 0.0, ratio(2 * (p * r), p + r)))

    return Statistic.of_sums(columns, combine, n=int(keep.sum()), scale=UNIT)


def _asks(samples: Sequence[Sample], asked: Mapping[int, tuple[str, str]]) -> bool:
    """Whether the samples at these places are about these things, with these labels."""
    wanted = [(sample.truth["object"], sample.truth["label"]) for sample in samples]
    return max(asked) < len(wanted) and all(wanted[number] == what for number, what in asked.items())


def thing(question: object) -> str:
    """ "a dog" of "Is there a dog in the image?", whatever a harness asks after that; what is worded otherwise stays as it is."""
    text = str(question).strip().split("\n")[0]
    asked = QUESTION.match(text)
    return asked[1] if asked else text


def noun(thing: str) -> str:
    return thing.split(" ", 1)[-1]
