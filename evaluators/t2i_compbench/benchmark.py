"""T2I-CompBench and T2I-CompBench++: attributes, relations, numbers and their mixtures in eight categories.

300 validation prompts in each category, ten pictures to a prompt, a score in [0, 1] to a picture, and the plain mean
over a category's pictures. What a category's score is made of:

| category | parts |
|---|---|
| color, shape, texture | attribute: BLIP-VQA over the noun chunks (`t2i_attribute`) |
| spatial | spatial: UniDet in 2D (`t2i_spatial`) |
| 3d_spatial | depth: UniDet and DPT (`t2i_depth`) |
| numeracy | numeracy: UniDet's counts (`t2i_numeracy`) |
| non_spatial | clip: CLIP's cosine with the whole prompt |
| complex | the mean of attribute and spatial, of attribute and clip, or of all three, as the prompt's list says |

There is no official overall; `average` is the mean of the six categories of the first paper. Protocols: "official" keeps
the official scripts' known mistakes, so that numbers compare; "fixed" repairs three of them (complex prompts with "on top of"
are scored, the depth map is not transposed, the most confident box stands for a 3D object); "srum" asks one
vision-language model for 0-100 in SRUM's words (`t2i_mllm`), "suder-bench-srum" in ours, and so does the world. Metrics of all
but the first carry the protocol as a prefix.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from suder_bench.benchmark import Kind
from suder_bench.data.folder import benchmark_folder, of_world
from suder_bench.errors import UserError, unknown
from suder_bench.evaluators import weighted
from suder_bench.evaluators.answers.files import text_lines
from suder_bench.evaluators.judges import requests
from suder_bench.evaluators.judges.protocols import ImageTextScorer, Parse, TextParser
from suder_bench.evaluators.t2i_compbench.attribute import judge_attributes
from suder_bench.evaluators.t2i_compbench.depth import depth_query, judge_depth
from suder_bench.evaluators.t2i_compbench.finding import Finding
from suder_bench.evaluators.t2i_compbench.layout import PER_PROMPT, find_pictures, image_path
from suder_bench.evaluators.t2i_compbench.mllm import REQUEST, judge_by_mllm
from suder_bench.evaluators.t2i_compbench.numeracy import Vocabulary, counted_objects, judge_numeracy
from suder_bench.evaluators.t2i_compbench.spatial import complex_query, judge_spatial, simple_query
from suder_bench.records import Answered, Sample, Statistic, Stranger, Verdict

ORIGINAL = ("color", "shape", "texture", "spatial", "non_spatial", "complex")
CATEGORIES = (*ORIGINAL, "3d_spatial", "numeracy")
PARTS: Mapping[str, tuple[str, ...]] = {
    "color": ("attribute",),
    "shape": ("attribute",),
    "texture": ("attribute",),
    "spatial": ("spatial",),
    "3d_spatial": ("depth",),
    "numeracy": ("numeracy",),
    "non_spatial": ("clip",),
}
COMPLEX_PARTS: Mapping[str, tuple[str, ...]] = {
    "spatial": ("attribute", "spatial"),
    "action": ("attribute", "clip"),
    "spatialaction": ("attribute", "spatial", "clip"),
}
"""By the `complex_val_<list>.txt` that holds the prompt; one that is in none counts as in the last."""
ROLES: Mapping[str, tuple[str, ...]] = {
    "attribute": ("vqa", "parser"),
    "spatial": ("detector-2d", "parser"),
    "depth": ("detector-3d", "depth", "parser"),
    "numeracy": ("detector-3d", "parser"),
    "clip": ("clip",),
    "mllm": ("mllm",),
}
"""The judges of each part. The text that CLIP sees of a complex prompt is parsed too, for the attribute that goes with it."""


class T2ICompBench:
    """The benchmark over a folder that holds `<category>_val.txt`, the complex sub-lists and `new_objects.txt`."""

    name = "t2i-compbench"
    kind: Kind = "generation"
    repeats = PER_PROMPT
    headline = "average"
    paper_metrics: tuple[str, ...] = (*CATEGORIES, "average")
    judge_roles: tuple[str, ...] = ("vqa", "detector-2d", "detector-3d", "depth", "clip", "parser")
    protocols = ("official", "fixed", "srum", "suder-bench-srum")

    def __init__(self, data: Path, protocol: str = "official") -> None:
        self._data = data
        self._folder = benchmark_folder(data, "t2i_compbench", "color_val.txt")
        self._protocol = protocol
        self._prefix = "" if protocol == "official" else f"{protocol}/"
        self._vocabulary = Vocabulary.read(self._file("new_objects.txt"))
        self._by_category = {category: self._read_category(category) for category in CATEGORIES}
        self.headline = f"{self._prefix}average"
        self.paper_metrics = tuple(f"{self._prefix}{name}" for name in (*CATEGORIES, "average"))
        self._rated = protocol.endswith("srum")
        if self._rated:
            self.judge_roles, self.repeats = ("mllm",), 1

    def roles_of(self, sample: Sample) -> tuple[str, ...]:
        return tuple(dict.fromkeys(role for part in self._parts(sample) for role in ROLES[part]))

    def metrics_of(self, sample: Sample) -> tuple[str, ...]:
        category = sample.truth["category"]
        names = (category, "average") if self._averaged(category) else (category,)
        return tuple(f"{self._prefix}{name}" for name in names)

    def samples(self) -> list[Sample]:
        samples = [sample for category in CATEGORIES for sample in self._by_category[category]]
        if not self._rated:
            return samples
        return [replace(sample, truth={**sample.truth, "request": self.request}) for sample in samples]

    @cached_property
    def request(self) -> str:
        """What the judge of "srum" is asked, a format of the prompt. Raises `UserError` where SRUM's script is missing."""
        if self._protocol != "srum" or of_world(self._data):
            return REQUEST
        script = self._folder / requests.RATING_SCRIPT
        if not script.is_file():
            raise UserError(
                f"{script} is missing, which holds SRUM's request to the judge; get it with suder-bench data fetch t2i-compbench,"
                " or ask in our words: --protocol suder-bench-srum"
            )
        return requests.rating(script)

    def training_samples(self) -> list[Sample]:
        """The prompts of `<category>_train.txt`, as often as they stand there; complex ones have their lists too.

        Raises `UserError` naming the file when one is missing.
        """
        return [sample for category in CATEGORIES for sample in self._read_category(category, "train")]

    def image_path(self, sample: Sample, repeat: int) -> str:
        return image_path(sample.truth["category"], sample.prompt, sample.truth["index"], repeat)

    def sidecars(self, sample: Sample) -> Mapping[str, str]:
        return {}

    def find_images(self, folder: Path) -> list[tuple[Sample, int, Path]]:
        """Read `<category>/samples/<prompt>_<number>.png`, or with another ending that the category's scripts read.

        Raises `UserError` for complex prompts with unequal numbers of pictures (the official script takes blocks of ten
        by position and would pair wrong pictures), and where nothing is found, or belongs to no prompt.
        """
        pictures: list[tuple[Sample, int, Path]] = []
        strange: list[Stranger] = []
        for category in CATEGORIES:
            found, unowned = find_pictures(folder, category, self._by_category[category])
            pictures += found
            strange += unowned
        if strange and not pictures:
            first = strange[0]
            way = (
                f"the pictures in {folder} belong to other data (--data)" if first.sample is None else "save the pictures as PNG"
            )
            raise UserError(f"{first.file}: {first.why}; {way}")
        if not pictures:
            raise UserError(f"no pictures in {folder}; T2I-CompBench's layout is color/samples/<prompt>_000000.png, and so on")
        self._refuse_unequal(folder, [sample for sample, _, _ in pictures if sample.truth["category"] == "complex"], strange)
        return pictures

    def strangers(self, folder: Path) -> list[Stranger]:
        return [
            stranger for category in CATEGORIES for stranger in find_pictures(folder, category, self._by_category[category])[1]
        ]

    def sample_of(self, prompt: str, metadata: Mapping[str, Any]) -> Sample | None:
        """Any prompt of a `category`; a complex one counts as in `list` ("spatial", "action" or "spatialaction")."""
        category, listed = metadata.get("category"), metadata.get("list", "spatialaction")
        if category is None:
            return None
        if category not in CATEGORIES:
            raise unknown("metadata.category", str(category), CATEGORIES)
        if not isinstance(listed, str) or listed not in COMPLEX_PARTS:
            raise unknown("metadata.list", str(listed), COMPLEX_PARTS)
        known = next((sample for sample in self._by_category[category] if sample.prompt == prompt), None)
        truth = {"category": category, **({"list": listed} if category == "complex" else {})}
        sample = known or Sample(id=f"{category}/asked", cluster=f"{category}/asked", prompt=prompt, truth=truth)
        return replace(sample, truth={**sample.truth, "request": self.request}) if self._rated else sample

    def verdicts(self, answered: Sequence[Answered], judges: Mapping[str, Any]) -> Iterator[Verdict]:
        samples = [answer.sample for answer in answered]
        pictures = [answer.open_image() for answer in answered]
        parts = [self._parts(sample) for sample in samples]
        parses = {} if self._rated else _parse_once(samples, judges)
        findings: list[dict[str, Finding]] = [{} for _ in answered]
        for part in dict.fromkeys(part for own in parts for part in own):
            rows = [row for row, own in enumerate(parts) if part in own]
            found = self._judge(part, [samples[row] for row in rows], [pictures[row] for row in rows], parses, judges)
            for row, finding in zip(rows, found, strict=True):
                findings[row][part] = finding
        for answer, own, by_part in zip(answered, parts, findings, strict=True):
            yield self._verdict(answer, {part: by_part[part] for part in own})  # in an order that no other picture decides

    def statistics(self, rows: Sequence[tuple[Sample, Verdict]]) -> dict[str, Statistic]:
        """The mean of each category that has rows, and `average` over the original six of them (or fewer).

        Under "srum" it is the mean over all categories; SRUM counts complex as the mean of three means, over all its
        prompts, its action list and its spatial list.
        """
        values = np.array([verdict.scores["score"] for _, verdict in rows], dtype=float)
        category = np.array([sample.truth["category"] for sample, _ in rows])
        lists = np.array([sample.truth.get("list", "") for sample, _ in rows])
        present = [name for name in CATEGORIES if (category == name).any()]
        scores = {name: weighted.mean(values, category == name, scale=_scale(name)) for name in present}
        if self._rated and "complex" in scores:
            thirds = [lists == name for name in ("action", "spatial") if (lists == name).any()]
            complex_means = [scores["complex"], *(weighted.mean(values, keep) for keep in thirds)]
            scores["complex"] = weighted.average(complex_means, n=scores["complex"].n)
        averaged = [name for name in present if self._averaged(name)]
        if averaged:
            scores["average"] = weighted.average([scores[name] for name in averaged], n=sum(scores[name].n for name in averaged))
        return {f"{self._prefix}{name}": statistic for name, statistic in scores.items()}

    def _averaged(self, category: str) -> bool:
        return self._rated or category in ORIGINAL

    def _parts(self, sample: Sample) -> tuple[str, ...]:
        if self._rated:
            return ("mllm",)
        category = sample.truth["category"]
        return COMPLEX_PARTS[sample.truth["list"]] if category == "complex" else PARTS[category]

    def _judge(
        self,
        part: str,
        samples: Sequence[Sample],
        pictures: Sequence[Image.Image],
        parses: Mapping[str, Parse],
        judges: Mapping[str, Any],
    ) -> list[Finding]:
        fixed = self._protocol == "fixed"
        prompts = [sample.prompt for sample in samples]
        match part:
            case "mllm":
                return judge_by_mllm(pictures, prompts, judges["mllm"], self.request)
            case "clip":
                texts = [_text_for_clip(sample, parses) for sample in samples]
                return judge_similarity(pictures, texts, judges["clip"])
            case "attribute":
                return judge_attributes(pictures, [parses[prompt] for prompt in prompts], judges["vqa"])
            case "spatial":
                queries = [
                    complex_query(sample.prompt, parses[sample.prompt], fixed=fixed)
                    if sample.truth["category"] == "complex"
                    else simple_query(sample.prompt, parses[sample.prompt])
                    for sample in samples
                ]
                return judge_spatial(pictures, queries, judges["detector-2d"])
            case "depth":
                queries = [depth_query(prompt, parses[prompt]) for prompt in prompts]
                return judge_depth(pictures, queries, judges["detector-3d"], judges["depth"], fixed=fixed)
            case _:
                counted = [counted_objects(prompt, parses[prompt], self._vocabulary) for prompt in prompts]
                return judge_numeracy(pictures, counted, judges["detector-3d"])

    def _verdict(self, answer: Answered, findings: Mapping[str, Finding]) -> Verdict:
        scores = {"score": sum(finding.score for finding in findings.values()) / len(findings)}
        one = next(iter(findings.values())) if len(findings) == 1 else None
        return Verdict(
            benchmark=self.name,
            sample=answer.sample.id,
            repeat=answer.response.repeat,
            digest=answer.response.digest,
            scores=scores if one else scores | {part: finding.score for part, finding in findings.items()},
            correct=None,
            reason=one.reason if one else "; ".join(f"{part} {f.score:.2f} ({f.reason})" for part, f in findings.items()),
            details={part: dict(finding.details) for part, finding in findings.items()},
        )

    def _refuse_unequal(self, folder: Path, complex_samples: Sequence[Sample], strange: Sequence[Stranger]) -> None:
        """Raises `UserError` unless all have as many pictures; each stands in the list once a picture."""
        counts = Counter(sample.id for sample in complex_samples)
        if self._rated or len(set(counts.values())) < 2:  # SRUM's script takes no blocks
            return
        fewest = min(complex_samples, key=lambda sample: counts[sample.id])
        files = (folder / self.image_path(fewest, repeat) for repeat in range(self.repeats))
        unread = (f"; {one.file}: {one.why}" for one in strange if one.sample is not None and one.sample.id == fewest.id)
        absent = next(unread, None) or next((f"; {file} is missing" for file in files if not file.is_file()), "")
        raise UserError(
            f"{folder}/complex: {counts[fewest.id]} pictures of '{fewest.prompt}' but {max(counts.values())} of others"
            f"{absent}; make them equally many (10)"
        )

    def _file(self, name: str) -> Path:
        file = self._folder / name
        if not file.is_file():
            raise UserError(f"no {name} in {self._folder}; put the official file there, or use --data world")
        return file

    def _read_category(self, category: str, split: str = "val") -> list[Sample]:
        listed: dict[str, str] = {}
        for name in COMPLEX_PARTS if category == "complex" else ():
            for prompt in text_lines(self._file(f"complex_{split}_{name}.txt")):
                listed.setdefault(_key(prompt), name)
        samples = []
        for index, prompt in enumerate(text_lines(self._file(f"{category}_{split}.txt"))):
            truth: dict[str, Any] = {"category": category, "index": index}
            if category == "complex":
                truth["list"] = listed.get(_key(prompt), "spatialaction")
            identity = f"{category}/{index:04d}" if split == "val" else f"{category}/{split}/{index:04d}"
            samples.append(Sample(id=identity, cluster=identity, prompt=prompt, truth=truth))
        return samples


def training_prompts(data: Path) -> dict[str, list[str]]:
    """Category -> the prompts of its `<category>_train.txt`, in the file's order and as often as there (officially 700).

    Nothing else of the benchmark is read. Raises `UserError` naming the file when one is missing.
    """
    folder = benchmark_folder(data, "t2i_compbench", "color_train.txt")
    files = {category: folder / f"{category}_train.txt" for category in CATEGORIES}
    for file in files.values():
        if not file.is_file():
            raise UserError(f"no {file.name} in {folder}; put the official file there, or use --data world")
    return {category: text_lines(file) for category, file in files.items()}


def _scale(category: str) -> tuple[float, float]:
    """The ends of a category's scores: a cosine, or a mean with one in it, may be negative."""
    return (-1.0, 1.0) if category in ("non_spatial", "complex") else (0.0, 1.0)


def judge_similarity(pictures: Sequence[Image.Image], texts: Sequence[str], clip: ImageTextScorer) -> list[Finding]:
    """CLIP's raw cosine, all pictures in one call."""
    cosines = [float(cosine) for cosine in clip.similarity(pictures, texts)]
    return [Finding(c, f"CLIP similarity {c:.3f}", {"text": text}) for c, text in zip(cosines, texts, strict=True)]


def _parse_once(samples: Sequence[Sample], judges: Mapping[str, Any]) -> dict[str, Parse]:
    """Prompt -> parse, each prompt once; non_spatial prompts go to CLIP whole and are not parsed."""
    prompts = list(dict.fromkeys(sample.prompt for sample in samples if sample.truth["category"] != "non_spatial"))
    if not prompts:
        return {}
    parser: TextParser = judges["parser"]
    return dict(zip(prompts, parser.parse(prompts), strict=True))


def _text_for_clip(sample: Sample, parses: Mapping[str, Parse]) -> str:
    """The whole prompt; of a complex one all tokens but the adjectives, with single spaces between."""
    if sample.truth["category"] != "complex":
        return sample.prompt
    return " ".join(token.text for token in parses[sample.prompt].tokens if token.pos != "ADJ")


def _key(prompt: str) -> str:
    """How the official script compares complex prompts: lower case, up to the first full stop."""
    return prompt.lower().split(".")[0]
