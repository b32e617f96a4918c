"""WISE: does a picture show what its prompt only hints at? Two benchmarks, whose numbers never share a table.

Niu et al. 2025, arXiv:2503.07265, and its scripts. `wise-verified` is the authors' update of April 2026, with about 200 other
prompts, a judge that says 1 or 0 (officially Qwen3.5-35B-A3B) and even shares of the categories but for culture; `wise-legacy`
is the one that papers before it report, with three marks by GPT-4o (2024-05-13). 1,000 prompts each, a picture to a prompt.

The repository has no licence file: its files are fetched from there and never handed on, and the judge is asked in the words
of its scripts, which are read when they are needed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from suder_bench.benchmark import Kind
from suder_bench.data.folder import benchmark_folder, of_world
from suder_bench.endings import is_picture
from suder_bench.errors import UserError
from suder_bench.evaluators import weighted
from suder_bench.evaluators.answers import thoughts
from suder_bench.evaluators.answers.fields import TEXT, WHOLE, quoted
from suder_bench.evaluators.answers.files import placed_rows
from suder_bench.evaluators.judges import requests
from suder_bench.evaluators.judges.protocols import PictureTalker, Talk
from suder_bench.evaluators.judges.requests import Audit
from suder_bench.evaluators.wise.replies import SUDER_LEGACY, SUDER_VERIFIED, binary, three_marks, wiscore
from suder_bench.records import Answered, Sample, Statistic, Stranger, Verdict

CATEGORIES = ("culture", "time", "space", "biology", "physics", "chemistry")
TRIES = 3
"""How often a judge is asked whose reply cannot be read."""

OURS = "suder-bench"
_PICTURE = re.compile(r"([1-9]\d*)\.png")


class _Wise:
    """A category scores the mean of its pictures, and `overall` is the mean of the categories by their official shares.

    A reply that cannot be read is asked for three times in all; then its picture is in no mean, as officially, and counts in
    `unparsed`. `strict` is `overall` with 0 for it. The official script gives an overall of all six categories only; here one
    that lacks some is marked as without them.

    Protocols: "official" asks in the authors' words, "suder-bench" in ours, under that name, and so does the world.
    """

    name: str
    kind: Kind = "generation"
    repeats = 1
    headline = "overall"
    paper_metrics: tuple[str, ...] = (*CATEGORIES, "overall")
    judge_roles = ("mllm",)
    protocols: tuple[str, ...] = ("official", OURS)

    _script: str
    _own: Audit
    _files: tuple[str, ...]
    _most_tokens: int
    _last: tuple[int, ...]
    """The highest id of each category."""
    _shares: tuple[float, ...]

    def __init__(self, data: Path, protocol: str = "official") -> None:
        self._data, self._protocol = data, protocol
        self._folder = benchmark_folder(data, self.name.replace("-", "_"), self._files[0])
        self._prefix = "" if protocol == "official" else f"{protocol}/"
        self.headline = f"{self._prefix}overall"
        self.paper_metrics = tuple(f"{self._prefix}{name}" for name in (*CATEGORIES, "overall"))

    @cached_property
    def audit(self) -> Audit:
        """What the judge is told and asked. Raises `UserError` where the authors' script is missing."""
        if self._protocol == OURS or of_world(self._data):
            return self._own
        return requests.audit(requests.there(self._folder / self._script, OURS))

    @cached_property
    def _samples(self) -> list[Sample]:
        samples: dict[int, Sample] = {}
        fields = {"prompt_id": WHOLE, "Prompt": TEXT, "Explanation": TEXT}
        for place, row in (one for name in self._files for one in placed_rows(self._folder / name, fields)):
            number = row["prompt_id"]
            if number in samples:
                raise UserError(f"{place}: prompt_id {number} stands there twice")
            if not 1 <= number <= self._last[-1]:
                raise UserError(f"{place}: prompt_id {number} is in no category; they end at {self._last[-1]}")
            category = next(name for name, last in zip(CATEGORIES, self._last, strict=True) if number <= last)
            truth = {"category": category, "explanation": row["Explanation"], "subcategory": row.get("Subcategory", "")}
            samples[number] = Sample(id=str(number), cluster=str(number), prompt=row["Prompt"], truth=truth)
        return [samples[number] for number in sorted(samples)]

    def samples(self) -> list[Sample]:
        _ = self.audit  # whoever plans a run hears that the script is missing
        return list(self._samples)

    def roles_of(self, sample: Sample) -> tuple[str, ...]:
        return self.judge_roles

    def metrics_of(self, sample: Sample) -> tuple[str, ...]:
        names = (sample.truth["category"], "overall", "strict", "unparsed")
        return tuple(f"{self._prefix}{name}" for name in names)

    def image_path(self, sample: Sample, repeat: int) -> str:
        return f"{sample.id}.png"

    def sidecars(self, sample: Sample) -> Mapping[str, str]:
        return {}

    def find_images(self, folder: Path) -> list[tuple[Sample, int, Path]]:
        """Read `1.png`, `2.png` and so on, by prompt_id. Raises `UserError` where none is there."""
        found = [(sample, 0, folder / f"{sample.id}.png") for sample in self._samples]
        there = [one for one in found if one[2].is_file()]
        if not there:
            raise UserError(f"no pictures in {folder}; WISE's layout is 1.png, 2.png, ... by prompt_id")
        return there

    def strangers(self, folder: Path) -> list[Stranger]:
        own = {sample.id for sample in self._samples}
        found = []
        for file in sorted(file for file in folder.glob("*") if file.is_file() and is_picture(file)):
            named = _PICTURE.fullmatch(file.name)
            if named is None:
                found.append(Stranger(file, "its name is not <prompt_id>.png"))
            elif named[1] not in own:
                found.append(Stranger(file, f"there is no prompt {named[1]}"))
        return found

    def verdicts(self, answered: Sequence[Answered], judges: Mapping[str, Any]) -> Iterator[Verdict]:
        talks = [self._talk(one) for one in answered]
        judge: PictureTalker = judges["mllm"]
        replies: list[str] = [""] * len(talks)
        left = list(range(len(talks)))
        for _ in range(TRIES):
            said = judge.reply([talks[row] for row in left], max_tokens=self._most_tokens) if left else []
            for row, reply in zip(left, said, strict=True):
                replies[row] = reply
            left = [row for row in left if self._marks(replies[row]) is None]
        for one, reply in zip(answered, replies, strict=True):
            yield self._verdict(one, reply)

    def _talk(self, one: Answered) -> Talk:
        request = self.audit.request.format(prompt=one.sample.prompt, explanation=one.sample.truth["explanation"])
        return Talk(one.open_image(), (request,), self.audit.system, picture_last=True)

    def _marks(self, reply: str) -> Mapping[str, float] | None:
        return self._read(thoughts.split(reply)[1])

    def _read(self, reply: str) -> Mapping[str, float] | None:
        raise NotImplementedError

    def _verdict(self, one: Answered, reply: str) -> Verdict:
        marks = self._marks(reply)
        thought, said = thoughts.split(reply)
        score = float("nan") if marks is None else wiscore(marks)
        told = f"no score in the judge's reply {quoted(said)}" if marks is None else f"WiScore {score:g} ({_listed(marks)})"
        return Verdict(
            benchmark=self.name,
            sample=one.sample.id,
            repeat=one.response.repeat,
            digest=one.response.digest,
            scores={**(marks or {}), "score": score, "unparsed": float(marks is None)},
            correct=None if marks is None or "score" not in marks else score == 1,
            reason=told,
            details={"reply": said, **thoughts.noted(thought)},
        )

    def statistics(self, rows: Sequence[tuple[Sample, Verdict]]) -> dict[str, Statistic]:
        """Categories that have rows, and what is made of them."""
        values = np.array([verdict.scores["score"] for _, verdict in rows], dtype=float)
        category = np.array([sample.truth["category"] for sample, _ in rows])
        read = ~np.isnan(values)
        present = {name: share for name, share in zip(CATEGORIES, self._shares, strict=True) if (category == name).any()}
        found = {name: weighted.mean(values, (category == name) & read, scale=weighted.UNIT) for name in present}
        strict = [weighted.mean(np.where(read, values, 0.0), category == name, scale=weighted.UNIT) for name in present]
        shares = list(present.values())
        found["overall"] = weighted.average(list(found.values()), n=int(read.sum()), shares=shares)
        found["strict"] = weighted.average(strict, n=len(rows), shares=shares)
        found["unparsed"] = weighted.count(~read)
        return {f"{self._prefix}{name}": statistic for name, statistic in found.items()}


def _listed(marks: Mapping[str, float]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {mark:g}" for name, mark in marks.items())


class WiseVerified(_Wise):
    """WISE_Verified (April 2026), a score of 0 or 1 to a picture, over a folder that holds `data_verified` and `vllm_eval.py`."""

    name = "wise-verified"
    _script = requests.AUDIT_SCRIPT
    _own = SUDER_VERIFIED
    _files = tuple(
        f"data_verified/{name}_verified.json"
        for name in ("cultural_common_sense", "spatio-temporal_reasoning", "natural_science")
    )
    _most_tokens = 500
    _last = (400, 520, 640, 760, 880, 1000)
    _shares = (0.4, 0.12, 0.12, 0.12, 0.12, 0.12)

    def _read(self, reply: str) -> Mapping[str, float] | None:
        return binary(reply)


class WiseLegacy(_Wise):
    """The first WISE, three marks to a picture, over a folder that holds `WISE_legacy`.

    A mark above 2, which the judge is not asked for, counts as it stands, as officially. Protocol "rewrite" draws from the
    authors' rewritten prompts, which spell the knowledge out: another track, under its name.
    """

    name = "wise-legacy"
    protocols = ("official", OURS, "rewrite")
    _script = requests.LEGACY_AUDIT_SCRIPT
    _own = SUDER_LEGACY
    _files = tuple(
        f"WISE_legacy/data/{name}.json" for name in ("cultural_common_sense", "spatio-temporal_reasoning", "natural_science")
    )
    _most_tokens = 2000
    _last = (400, 567, 700, 800, 900, 1000)
    _shares = (0.4, 0.167, 0.133, 0.1, 0.1, 0.1)

    def __init__(self, data: Path, protocol: str = "official") -> None:
        if protocol == "rewrite":
            self._files = tuple(name.replace(".json", "_rewrite.json") for name in self._files)
        super().__init__(data, protocol)

    def _read(self, reply: str) -> Mapping[str, float] | None:
        return three_marks(reply)
