"""T2I-ReasonBench: prompts whose meaning has to be worked out before they can be drawn.

Sun et al. 2025, arXiv:2508.17472, and its scripts. 200 prompts in each of four dimensions, a picture to a prompt. A
vision-language model (officially Qwen2.5-VL-72B-Instruct) describes a picture and is then asked, each time with that
description alone before it, about two or three groups of questions that belong to the prompt; each question gets 1, 0.5 or 0.

| dimension | reasoning accuracy |
|---|---|
| idiom, textual | the mean of the group `reason_evaluation` |
| entity, scientific | 0.7 of the mean of its own group, and 0.3 of that of `other_details_evaluation` |

Image quality is the mean of `quality_evaluation`. The repository has no licence file: its files are fetched from there and
never handed on, and the judge is asked in the words of its scripts, which are read when they are needed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from suder_bench.benchmark import Kind
from suder_bench.data.folder import benchmark_folder, of_world
from suder_bench.errors import UserError
from suder_bench.evaluators import weighted
from suder_bench.evaluators.answers import thoughts
from suder_bench.evaluators.answers.fields import OBJECT, TEXT, WHOLE, quoted
from suder_bench.evaluators.answers.files import placed_rows
from suder_bench.evaluators.judges import requests
from suder_bench.evaluators.judges.protocols import PictureTalker, Talk
from suder_bench.evaluators.judges.requests import EXAMINING_SCRIPTS, Examination
from suder_bench.evaluators.t2i_reasonbench import layout
from suder_bench.evaluators.t2i_reasonbench.replies import DESCRIBE, QUESTIONS, Marked, scores_in, weighted_accuracy
from suder_bench.records import Answered, Sample, Statistic, Stranger, Verdict

QUALITY = "quality_evaluation"
GROUPS: Mapping[str, tuple[str, ...]] = {
    "idiom_interpretation": ("reason_evaluation", QUALITY),
    "textual_image_design": ("reason_evaluation", QUALITY),
    "entity_reasoning": ("entity_evaluation", "other_details_evaluation", QUALITY),
    "scientific_reasoning": ("scientific_evaluation", "other_details_evaluation", QUALITY),
}
"""The groups of questions of each dimension, in the official order; all but the last make its accuracy."""

DIMENSIONS: Mapping[str, str] = {
    "entity": "entity_reasoning",
    "idiom": "idiom_interpretation",
    "scientific": "scientific_reasoning",
    "textual": "textual_image_design",
}
"""Metric -> dimension, in the order of SRUM's table."""

MOST_TOKENS = 1000
OURS = "suder-bench"
DECIMALS = 2


class T2IReasonBench:
    """The benchmark over a folder that holds its repository's `prompts`, `deepseek_evaluation_qs` and `evaluation`.

    Percent, as published: each dimension's mean accuracy rounded to two decimals, and `average`, their plain mean; the same of
    image quality under `quality/`. A picture with a reply that the official script stops at is in no mean and counts in
    `unparsed`; `strict` is `average` with 0 for it. `odd` counts the pictures with another number of scores than questions, or
    with scores that are none of 1, 0.5 and 0, all of which count as they stand.

    Protocols: "official" asks in the authors' words, "suder-bench" in ours, under that name, and so does the world. Where the
    released script of the entities stops at a variable that it never sets, this goes on as that of science does.
    """

    name = "t2i-reasonbench"
    kind: Kind = "generation"
    repeats = 1
    headline = "average"
    paper_metrics: tuple[str, ...] = (*DIMENSIONS, "average")
    judge_roles = ("mllm",)
    protocols = ("official", OURS)

    def __init__(self, data: Path, protocol: str = "official") -> None:
        self._data, self._protocol = data, protocol
        self._folder = benchmark_folder(data, "t2i_reasonbench", "prompts/idiom_interpretation.json")
        self._prefix = "" if protocol == "official" else f"{protocol}/"
        self.headline = f"{self._prefix}average"
        self.paper_metrics = tuple(f"{self._prefix}{name}" for name in (*DIMENSIONS, "average"))

    @cached_property
    def examinations(self) -> Mapping[str, Examination]:
        """What the judge is asked in each dimension. Raises `UserError` where an authors' script is missing."""
        if self._protocol == OURS or of_world(self._data):
            return {name: Examination(DESCRIBE, dict.fromkeys(groups, QUESTIONS)) for name, groups in GROUPS.items()}
        found = {name: requests.examination(requests.there(self._folder / EXAMINING_SCRIPTS[name], OURS)) for name in GROUPS}
        for name, groups in GROUPS.items():
            if lacking := [group for group in groups if group not in found[name].groups]:
                raise UserError(f"{self._folder / EXAMINING_SCRIPTS[name]} asks nothing about {lacking[0]}; get the official one")
        return found

    @cached_property
    def _by_dimension(self) -> dict[str, dict[int, Sample]]:
        return {name: self._read(name) for name in GROUPS}

    def samples(self) -> list[Sample]:
        _ = self.examinations  # whoever plans a run hears that a script is missing
        return [sample for samples in self._by_dimension.values() for sample in samples.values()]

    def roles_of(self, sample: Sample) -> tuple[str, ...]:
        return self.judge_roles

    def metrics_of(self, sample: Sample) -> tuple[str, ...]:
        own = next(name for name, dimension in DIMENSIONS.items() if dimension == sample.truth["dimension"])
        names = (own, "average", f"quality/{own}", "quality/average", "strict", "unparsed", "odd")
        return tuple(f"{self._prefix}{name}" for name in names)

    def image_path(self, sample: Sample, repeat: int) -> str:
        return layout.image_path(sample.truth["dimension"], sample.truth["number"])

    def sidecars(self, sample: Sample) -> Mapping[str, str]:
        return {}

    def find_images(self, folder: Path) -> list[tuple[Sample, int, Path]]:
        """Read `<dimension>/<four digits>.png` or `.jpg`. Raises `UserError` for ids that there are none of, and no pictures."""
        found = [one for name, samples in self._by_dimension.items() for one in layout.find(folder, name, samples)[0]]
        if not found:
            raise UserError(f"no pictures in {folder}; T2I-ReasonBench's layout is idiom_interpretation/0001.png, and so on")
        return found

    def strangers(self, folder: Path) -> list[Stranger]:
        return [one for name, samples in self._by_dimension.items() for one in layout.find(folder, name, samples)[1]]

    def verdicts(self, answered: Sequence[Answered], judges: Mapping[str, Any]) -> Iterator[Verdict]:
        judge: PictureTalker = judges["mllm"]
        pictures = [one.open_image() for one in answered]
        asking = [self.examinations[one.sample.truth["dimension"]] for one in answered]
        first = [Talk(picture, (asked.describe,)) for picture, asked in zip(pictures, asking, strict=True)]
        described = [thoughts.split(reply)[1] for reply in judge.reply(first, max_tokens=MOST_TOKENS)]
        talks = [
            Talk(picture, (asked.describe, words, asked.groups[group].format(questions=str(dict(questions)))))
            for one, picture, asked, words in zip(answered, pictures, asking, described, strict=True)
            for group, questions in one.sample.truth["questions"].items()
        ]
        replies = iter(judge.reply(talks, max_tokens=MOST_TOKENS))
        for one, words in zip(answered, described, strict=True):
            own = {group: thoughts.split(next(replies))[1] for group in one.sample.truth["questions"]}
            yield self._verdict(one, words, own)

    def _verdict(self, one: Answered, described: str, replies: Mapping[str, str]) -> Verdict:
        asked = one.sample.truth["questions"]
        found = {group: scores_in(reply) for group, reply in replies.items()}
        unread = [group for group, scores in found.items() if scores is None]
        marked = {group: Marked(scores, len(asked[group]) // 2) for group, scores in found.items() if scores is not None}
        odd = [f"{_short(group)}: {oddity}" for group, own in marked.items() for oddity in own.oddities]
        means = {group: own.mean for group, own in marked.items()}
        if unread:
            accuracy = quality = float("nan")
            reason = f"no scores in the judge's reply about {_short(unread[0])}, {quoted(replies[unread[0]])}"
        else:
            quality = means[QUALITY]
            accuracy = weighted_accuracy([mean for group, mean in means.items() if group != QUALITY])
            parts = ", ".join(f"{_short(group)} {mean:.2f}" for group, mean in means.items())
            reason = f"accuracy {accuracy:.2f} ({parts})"
        return Verdict(
            benchmark=self.name,
            sample=one.sample.id,
            repeat=one.response.repeat,
            digest=one.response.digest,
            scores={
                **{_short(group): mean for group, mean in means.items()},
                "score": accuracy,
                "quality": quality,
                "unparsed": float(bool(unread)),
                "odd": float(bool(odd) and not unread),
            },
            correct=None,
            reason="; ".join([reason, *odd]),
            details={"description": described, "replies": dict(replies)},
        )

    def statistics(self, rows: Sequence[tuple[Sample, Verdict]]) -> dict[str, Statistic]:
        """Dimensions that have rows, and what is made of them."""
        dimension = np.array([sample.truth["dimension"] for sample, _ in rows])
        read = np.array([verdict.scores["unparsed"] == 0 for _, verdict in rows])
        present = {name: dimension == own for name, own in DIMENSIONS.items() if (dimension == own).any()}
        values = {what: np.array([v.scores[what] for _, v in rows], dtype=float) for what in ("score", "quality")}
        found: dict[str, Statistic] = {}
        for what, start in (("score", ""), ("quality", "quality/")):
            own = {f"{start}{name}": _percent(values[what], keep & read) for name, keep in present.items()}
            found |= own | {f"{start}average": _average(list(own.values()), n=int(read.sum()))}
        zeroed = [_percent(np.where(read, values["score"], 0.0), keep) for keep in present.values()]
        found["strict"] = _average(zeroed, n=len(rows))
        found["unparsed"] = weighted.count(~read)
        found["odd"] = weighted.count(np.array([verdict.scores["odd"] > 0 for _, verdict in rows]))
        return {f"{self._prefix}{name}": statistic for name, statistic in found.items()}

    def _read(self, dimension: str) -> dict[int, Sample]:
        """The prompts of a dimension by id, each with its groups of questions as they stand in their file."""
        file = self._folder / "prompts" / f"{dimension}.json"
        asked = self._questions(dimension)
        samples: dict[int, Sample] = {}
        for place, row in placed_rows(file, {"id": WHOLE, "prompt": TEXT}):
            number = row["id"]
            if number in samples:
                raise UserError(f"{place}: the id {number} is used twice")
            if number not in asked:
                raise UserError(f"{place}: no questions to the id {number}")
            name = f"{dimension}/{number:04d}"
            truth = {"dimension": dimension, "number": number, "tag": row.get("tag", ""), "questions": asked[number]}
            samples[number] = Sample(id=name, cluster=name, prompt=row["prompt"], truth=truth)
        return samples

    def _questions(self, dimension: str) -> dict[int, dict[str, dict[str, Any]]]:
        stem = dimension.removesuffix("_interpretation").removesuffix("_design").removesuffix("_reasoning")
        file = self._folder / "deepseek_evaluation_qs" / f"evaluation_{stem}.json"
        rows = placed_rows(file, {"id": WHOLE, **dict.fromkeys(GROUPS[dimension], OBJECT)})
        return {row["id"]: {group: row[group] for group in GROUPS[dimension]} for _, row in rows}


def _percent(values: np.ndarray, keep: np.ndarray) -> Statistic:
    """100 times the mean, to two decimals, as the official scripts print it."""
    return weighted.rounded(weighted.mean(values, keep), DECIMALS, times=100)


def _average(percents: Sequence[Statistic], n: int) -> Statistic:
    return weighted.rounded(weighted.average(percents, n=n), DECIMALS)


def _short(group: str) -> str:
    """'other details' of 'other_details_evaluation'."""
    return group.removesuffix("_evaluation").replace("_", " ")
