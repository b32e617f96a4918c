"""GenEval: does a picture hold the objects, counts, colours and positions its prompt asks for?

A detector finds the objects, CLIP names their colours, and `geneval_rules` decides. Four pictures to each of 553
prompts in six tags; the headline is the plain mean of the six tag scores, not the mean over pictures.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from suder_bench.benchmark import Kind
from suder_bench.data.folder import benchmark_folder
from suder_bench.errors import UserError
from suder_bench.evaluators import weighted
from suder_bench.evaluators.answers.fields import LIST, TEXT
from suder_bench.evaluators.answers.files import rows_in_turn, text_lines
from suder_bench.evaluators.geneval import layout as geneval_layout
from suder_bench.evaluators.geneval.rules import COLORS, Task, colors_to_ask, found_objects, isolate, overlooked, ruling
from suder_bench.evaluators.judges.protocols import Detection, NumberedClasses
from suder_bench.records import Answered, Sample, Statistic, Stranger, Verdict

TAGS = ("single_object", "two_object", "counting", "colors", "position", "color_attr")
METADATA = "evaluation_metadata.jsonl"


class GenEval:
    """The benchmark over a folder that holds `evaluation_metadata.jsonl` and `object_names.txt`."""

    name = "geneval"
    kind: Kind = "generation"
    repeats = 4
    headline = "overall"
    paper_metrics = (*TAGS, "overall")
    judge_roles = ("detector", "color")
    protocols = ("official",)

    def __init__(self, data: Path, protocol: str = "official") -> None:
        self._folder = benchmark_folder(data, "geneval", METADATA)
        names = self._folder / "object_names.txt"
        if not names.is_file():
            raise UserError(f"no object_names.txt in {self._folder}; put the official file there, or use --data world")
        self.object_names = tuple(text_lines(names))
        self._samples = tuple(_read_metadata(self._folder / METADATA))
        if not self._samples:
            raise UserError(f"{self._folder / METADATA} is empty; put the whole official file there, or use --data world")

    def roles_of(self, sample: Sample) -> tuple[str, ...]:
        """CLIP names colours only where the prompt asks for one."""
        asks_color = any(clause.get("color") is not None for clause in sample.truth["include"])
        return ("detector", "color") if asks_color else ("detector",)

    def metrics_of(self, sample: Sample) -> tuple[str, ...]:
        return (sample.truth["tag"], "overall", "images", "prompts")

    def samples(self) -> list[Sample]:
        return list(self._samples)

    def image_path(self, sample: Sample, repeat: int) -> str:
        return f"{sample.id}/samples/{repeat:05d}.png"

    def sidecars(self, sample: Sample) -> Mapping[str, str]:
        return {f"{sample.id}/metadata.jsonl": json.dumps({**sample.truth, "prompt": sample.prompt}) + "\n"}

    def find_images(self, folder: Path) -> list[tuple[Sample, int, Path]]:
        """Read `<digits>/samples/<digits>.png`; other folders and files are passed over, as the official script does.

        A folder belongs to the prompt that its `metadata.jsonl` asks for, in whatever words, or without one to the line its
        name numbers. The pictures of a prompt are numbered from 0 in order. Raises `UserError` where nothing is found, or
        belongs to no prompt.
        """
        layout = self._layout(folder)
        if not layout.pictures:
            first = next(iter(layout.strangers), None)
            if first is None:
                raise UserError(f"no pictures in {folder}; GenEval's layout is 00000/samples/00000.png, one folder per prompt")
            if first.sample is None:
                raise UserError(f"{first.file}: {first.why}; the pictures in {folder} belong to other data (--data)")
            raise UserError(
                f"none of the {len(layout.strangers):,} pictures in {folder} is called <number>.png, the first is {first.file};"
                " GenEval's script reads no others, so save them as PNG"
            )
        return layout.pictures

    def strangers(self, folder: Path) -> list[Stranger]:
        return self._layout(folder).strangers

    def rewritten(self, folder: Path) -> Mapping[str, str]:
        return self._layout(folder).rewritten

    def sample_of(self, prompt: str, metadata: Mapping[str, Any]) -> Sample | None:
        """What a line of `evaluation_metadata.jsonl` asks, whether or not it stands in the file: `tag`, `include`, `exclude`."""
        if metadata.get("include") is None:
            return None
        record = {name: value for name, value in metadata.items() if value is not None} | {"prompt": prompt}
        fault = (
            _fault(record) if isinstance(record.get("tag"), str) and isinstance(record["include"], list) else "no tag, or no list"
        )
        if fault:
            raise UserError(f"metadata: {fault}; GenEval's are {{tag, include: [{{class, count, color, position}}], exclude}}")
        return Sample(id="asked", cluster="asked", prompt=prompt, truth=record)

    def verdicts(self, answered: Sequence[Answered], judges: Mapping[str, Any]) -> Iterator[Verdict]:
        pictures = [ImageOps.exif_transpose(answer.open_image()) for answer in answered]
        tasks = [Task.parse(answer.sample.truth) for answer in answered]
        detector = judges["detector"]
        if isinstance(detector, NumberedClasses):
            detector = detector.named(self.object_names)
        detections = detector.detect(pictures)
        known = [[detection for detection in objects if detection.label in self.object_names] for objects in detections]
        found = [found_objects(objects, task.tag) for objects, task in zip(known, tasks, strict=True)]
        asked = [(row, *ask) for row, task in enumerate(tasks) for ask in colors_to_ask(task, found[row])]
        crops = [_crop(pictures[row], found[row][noun][place], detector.backend) for row, noun, place in asked]
        nouns = [noun for _, noun, _ in asked]
        scores = judges["color"].classify(crops, nouns, COLORS) if crops else np.zeros((0, len(COLORS)))
        colors = {ask: COLORS[int(np.argmax(row))] for ask, row in zip(asked, scores, strict=True)}
        for row, (answer, task) in enumerate(zip(answered, tasks, strict=True)):
            own = {(noun, place): color for (picture, noun, place), color in colors.items() if picture == row}
            faults = ruling(task, found[row], own)
            unknown_nouns = [clause.noun for clause in task.include if clause.noun not in self.object_names]
            faults += [f"'{noun}' is not in object_names.txt, so it counts as never found" for noun in unknown_nouns]
            yield Verdict(
                benchmark=self.name,
                sample=answer.sample.id,
                repeat=answer.response.repeat,
                digest=answer.response.digest,
                scores={"correct": float(not faults)},
                correct=not faults,
                reason="; ".join([*(faults or ["everything asked for is there"]), *overlooked(task, known[row], found[row])]),
                details={"objects": _objects(found[row], own)},
            )

    def statistics(self, rows: Sequence[tuple[Sample, Verdict]]) -> dict[str, Statistic]:
        """The score of each tag that has rows, `overall` (their plain mean), and over all rows `images` and `prompts`.

        `images` is the share of right pictures, `prompts` that of prompts with at least one.
        """
        if not rows:
            return {}
        asked, right = zip(*((sample, verdict.correct is True) for sample, verdict in rows), strict=True)
        correct, tags = np.array(right), np.array([sample.truth["tag"] for sample in asked])
        scores = {tag: weighted.mean(correct, tags == tag) for tag in _in_order(set(tags.tolist()))}
        prompts = np.array([sample.cluster for sample in asked])
        _, first, of_row = np.unique(prompts, return_index=True, return_inverse=True)
        one_per_prompt = np.zeros(len(rows), dtype=bool)
        one_per_prompt[first] = True
        any_correct = np.bincount(of_row, weights=correct)[of_row] > 0
        return {
            **scores,
            "overall": weighted.average(list(scores.values()), n=len(rows)),
            "images": weighted.mean(correct),
            "prompts": weighted.mean(any_correct, one_per_prompt),
        }

    def _layout(self, folder: Path) -> geneval_layout.Layout:
        return geneval_layout.read(folder, self._samples, self._folder / METADATA)


def _read_metadata(file: Path) -> Iterator[Sample]:
    """The prompts of the file; those with the same record are one cluster, as they are one prompt to the official summary.

    Clauses are few and prompts may be many, so equal clauses are one object.
    """
    first: dict[bytes, str] = {}
    clauses: dict[str, Any] = {}
    for index, (place, record) in enumerate(rows_in_turn(file, {"tag": TEXT, "include": LIST, "prompt": TEXT})):
        if fault := _fault(record):
            raise UserError(f"{place}: {fault}")
        name = f"{index:05d}"
        cluster = first.setdefault(hashlib.sha256(json.dumps(record, sort_keys=True).encode()).digest(), name)
        record["tag"] = sys.intern(record["tag"])
        record["include"] = [clauses.setdefault(repr(clause), clause) for clause in record["include"]]
        yield Sample(id=name, cluster=cluster, prompt=record["prompt"], truth=record)


def _fault(record: Mapping[str, Any]) -> str | None:
    """Why the rules cannot judge what a record asks."""
    try:
        Task.parse(record)
    except KeyError as error:
        return f"no {error} in the record"
    except (ValueError, TypeError, AttributeError, IndexError) as error:
        return str(error)
    return None


def _crop(picture: Image.Image, detection: Detection, backend: str) -> Image.Image:
    if detection.mask is None:
        raise UserError(
            f"detector '{backend}' gives no masks, and GenEval's colours are read inside a mask; choose another --judge"
        )
    return isolate(picture, detection)


def _objects(found: Mapping[str, Sequence[Detection]], colors: Mapping[tuple[str, int], str]) -> list[dict[str, Any]]:
    """The kept objects as JSON values, for a reader."""
    listed = []
    for noun, objects in found.items():
        for place, detection in enumerate(objects):
            entry = {"class": noun, "score": round(float(detection.score), 4), "box": [round(float(x), 1) for x in detection.box]}
            listed.append(entry | ({"color": colors[noun, place]} if (noun, place) in colors else {}))
    return listed


def _in_order(tags: set[str]) -> list[str]:
    """The official tags in the paper's order, then any others."""
    return [tag for tag in TAGS if tag in tags] + sorted(tags - set(TAGS))
