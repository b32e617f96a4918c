"""GenEval 2: counts, attributes, positions and verbs in prompts of growing length, by Soft-TIFA.

Kamath et al. 2025, arXiv:2512.16853, and its scripts, which decide where the two differ. 800 prompts, a picture to each. A
vision-language model (officially Qwen3-VL-8B-Instruct) is asked several questions about a picture, and a question scores the
probability that the right answer is the first token which the model would write, in any of its spellings.

The data and their questions are CC BY-NC 4.0: not for commercial use.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from suder_bench.benchmark import Kind
from suder_bench.data.folder import benchmark_folder
from suder_bench.errors import UserError
from suder_bench.evaluators import weighted
from suder_bench.evaluators.answers.fields import LIST, TEXT, WHOLE
from suder_bench.evaluators.answers.files import placed_rows
from suder_bench.evaluators.geneval2 import layout
from suder_bench.evaluators.geneval2.spellings import REQUEST, accepted, soft_score
from suder_bench.evaluators.judges.protocols import FirstToken
from suder_bench.records import Answered, Sample, Statistic, Stranger, Verdict

DATA = "geneval2_data.jsonl"
SKILLS = ("object", "attribute", "count", "position", "verb")


class GenEval2:
    """The benchmark over a folder that holds `geneval2_data.jsonl`. Percent, as published.

    `gm` is the mean of the prompts' geometric means over their questions (Soft-TIFA GM, the level of prompts; 0 as soon as a
    question has 0), `am` of their arithmetic means. A skill's metric is the mean over all its questions, `atoms/N` the mean GM
    of the prompts with so many atoms. `lower_bounds` counts the pictures whose probabilities are such, where the judge sees the
    likeliest tokens only.

    Protocols: "official" adds the probability of a token once for each spelling that begins with it, as the script does, so
    that a question may score more than 1; "fixed" adds it once, under its name.
    """

    name = "geneval2"
    kind: Kind = "generation"
    repeats = 1
    headline = "gm"
    paper_metrics: tuple[str, ...] = (*SKILLS, "am", "gm")
    judge_roles = ("first-token",)
    protocols = ("official", "fixed")

    def __init__(self, data: Path, protocol: str = "official") -> None:
        self._folder = benchmark_folder(data, "geneval2", DATA)
        self._fixed = protocol == "fixed"
        self._scale = (0.0, 100.0 if self._fixed else math.inf)  # what is added twice may pass 100
        self._prefix = "" if protocol == "official" else f"{protocol}/"
        self.headline = f"{self._prefix}gm"
        self.paper_metrics = tuple(f"{self._prefix}{name}" for name in (*SKILLS, "am", "gm"))

    @cached_property
    def _samples(self) -> list[Sample]:
        rows = placed_rows(self._folder / DATA, {"prompt": TEXT, "atom_count": WHOLE, "vqa_list": LIST, "skills": LIST})
        samples: dict[str, Sample] = {}
        for index, (place, row) in enumerate(rows):
            if row["prompt"] in samples:
                raise UserError(f"{place}: the prompt stands in two lines, and pictures are found by it")
            asked = _questions(row, place)
            truth = {"index": index, "atoms": row["atom_count"], "questions": asked, "skills": tuple(row["skills"])}
            samples[row["prompt"]] = Sample(id=f"{index:05d}", cluster=f"{index:05d}", prompt=row["prompt"], truth=truth)
        return list(samples.values())

    def samples(self) -> list[Sample]:
        return list(self._samples)

    def image_path(self, sample: Sample, repeat: int) -> str:
        return layout.image_path(sample.truth["index"])

    def sidecars(self, sample: Sample) -> Mapping[str, str]:
        return {}

    def find_images(self, folder: Path) -> list[tuple[Sample, int, Path]]:
        """Read `image_paths.json`, {prompt: file}, else `00000.png` and so on by line. Raises `UserError` for no pictures."""
        found, strange = layout.find(folder, self._samples)
        if not found:
            first = f"; {strange[0].file}: {strange[0].why}" if strange else ""
            raise UserError(
                f"no pictures of GenEval 2 in {folder}{first}; it wants 00000.png, ... by line of {DATA}, or {layout.PATHS}"
            )
        return found

    def strangers(self, folder: Path) -> list[Stranger]:
        return layout.find(folder, self._samples)[1]

    def verdicts(self, answered: Sequence[Answered], judges: Mapping[str, Any]) -> Iterator[Verdict]:
        judge: FirstToken = judges["first-token"]
        pictures: list[Image.Image] = []
        asked: list[tuple[str, tuple[str, ...]]] = []
        for one in answered:  # all questions about a picture together, so that a judge may look at it once
            shown = one.open_image()
            for question, answer in one.sample.truth["questions"]:
                pictures.append(shown)
                asked.append((question + REQUEST, accepted(question, answer)))
        found = iter(judge.first_tokens(pictures, [question for question, _ in asked], [words for _, words in asked]))
        tokens = {words: judge.shared(words) for words in dict.fromkeys(words for _, words in asked)}
        for one in answered:
            scores = []
            for question, answer in one.sample.truth["questions"]:
                words = accepted(question, answer)
                scores.append(soft_score(next(found), tokens[words], fixed=self._fixed))
            yield self._verdict(one, scores, whole=judge.whole_vocabulary)

    def _verdict(self, one: Answered, scores: Sequence[float], *, whole: bool) -> Verdict:
        asked = one.sample.truth["questions"]
        least = min(range(len(scores)), key=scores.__getitem__)
        means = {"am": sum(scores) / len(scores), "gm": geometric(scores)}
        told = f"least sure of '{asked[least][0]}' {asked[least][1]} ({scores[least]:.2f})"
        return Verdict(
            benchmark=self.name,
            sample=one.sample.id,
            repeat=one.response.repeat,
            digest=one.response.digest,
            scores={
                **means,
                "score": means["gm"],
                "lower_bound": float(not whole),
                **{f"question {i}": score for i, score in enumerate(scores)},
            },
            correct=None,
            reason=f"GM {'at least ' if not whole else ''}{means['gm']:.2f}, AM {means['am']:.2f}; {told}",
            details={
                "questions": [
                    {"question": question, "answer": answer, "skill": skill, "score": round(score, 4)}
                    for (question, answer), skill, score in zip(asked, one.sample.truth["skills"], scores, strict=True)
                ]
            },
        )

    def statistics(self, rows: Sequence[tuple[Sample, Verdict]]) -> dict[str, Statistic]:
        """Skills and numbers of atoms that have rows."""
        am, gm = (100 * np.array([verdict.scores[name] for _, verdict in rows]) for name in ("am", "gm"))
        atoms = np.array([sample.truth["atoms"] for sample, _ in rows])
        found: dict[str, Statistic] = {}
        for skill in SKILLS:
            scores = [_of_skill(sample, verdict, skill) for sample, verdict in rows]
            if any(scores):
                found[skill] = _pooled(scores, self._scale)
        found |= {"am": weighted.mean(am, scale=self._scale), "gm": weighted.mean(gm, scale=self._scale)}
        found |= {f"atoms/{n}": weighted.mean(gm, atoms == n, scale=self._scale) for n in sorted(set(atoms.tolist()))}
        bounds = np.array([verdict.scores["lower_bound"] > 0 for _, verdict in rows])
        if bounds.any():
            found["lower_bounds"] = weighted.count(bounds)
        return {f"{self._prefix}{name}": statistic for name, statistic in found.items()}


def geometric(scores: Sequence[float]) -> float:
    """The geometric mean; 0 where a score is 0."""
    return float(np.exp(np.mean(np.log(scores)))) if all(score > 0 for score in scores) else 0.0


def _of_skill(sample: Sample, verdict: Verdict, skill: str) -> list[float]:
    return [verdict.scores[f"question {i}"] for i, own in enumerate(sample.truth["skills"]) if own == skill]


def _pooled(scores: Sequence[Sequence[float]], scale: tuple[float, float]) -> Statistic:
    """100 times the mean over all questions, of which a row has several or none."""
    sums, counts = np.array([sum(own) for own in scores]), np.array([float(len(own)) for own in scores])
    return Statistic.of_sums(
        [sums, counts], lambda both: 100 * weighted.ratio(both[0], both[1]), n=int(counts.sum()), scale=scale
    )


def _questions(row: Mapping[str, Any], place: str) -> tuple[tuple[str, str], ...]:
    """The (question, answer) pairs of a row. Raises `UserError` where they are none, or not one to each of the known skills."""
    asked, skills = row["vqa_list"], row["skills"]
    pairs = all(isinstance(pair, list) and len(pair) == 2 and all(isinstance(text, str) for text in pair) for pair in asked)
    if not asked or not pairs:
        raise UserError(f"{place}: 'vqa_list' is not a list of [question, answer]")
    if len(skills) != len(asked) or not set(skills) <= set(SKILLS):
        raise UserError(f"{place}: 'skills' is not one of {', '.join(SKILLS)} for each of the {len(asked)} questions")
    return tuple((question, answer) for question, answer in asked)
