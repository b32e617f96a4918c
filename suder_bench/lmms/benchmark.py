"""A task of lmms-eval as a benchmark: its questions, its verdicts and its metrics are made by its own code."""

from __future__ import annotations

import hashlib
import inspect
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.metadata import version
from pathlib import Path
from textwrap import shorten
from typing import Any

from PIL import Image

from suder_bench.benchmark import Kind
from suder_bench.errors import UserError
from suder_bench.lmms import arguments, tasks
from suder_bench.lmms.aggregation import statistic
from suder_bench.lmms.catalogue import PREFIX, load, why
from suder_bench.models.protocols import TextSampling
from suder_bench.records import Answered, Embedded, Sample, Statistic, Verdict
from suder_bench.runs.jsonl import plain

ANSWERS, DRAWS_FIRST = "generate_until", "generate_visual_cot"

REASONING = '[["<think>", "</think>"], ["<analysis>", "</analysis>"]]'
"""What lmms-eval's command line cuts out of answers by default (`--reasoning_tags`)."""

STAND_IN = Image.new("RGB", (32, 32))
"""In place of a picture that only counts."""


@dataclass(frozen=True)
class Loaded:
    """`source` is the folder of the task's YAML file and, as a rule, its code."""

    task: Any
    source: Path

    @cached_property
    def undecoded(self) -> Any:
        return self.task.eval_docs.with_format("arrow")

    def pictures(self, number: int) -> list[Any]:
        """What a question shows."""
        return list(self.task.doc_to_visual(self.task.eval_docs[number]) or ())

    def outline(self, number: int) -> tuple[list[Any], str]:
        """As many pictures as a question shows, and a digest of its document's, "" without any; they are not decoded where the
        task's code lets it."""
        [row] = self.undecoded[number].to_pylist()
        features, encoded = self.task.eval_docs.features, []
        for name, feature in features.items():
            several = getattr(feature, "feature", None)
            if type(feature).__name__ == "Image" or type(several).__name__ == "Image":
                cells = row[name] if several is not None else [row[name]]
                there = [cell for cell in cells or () if cell is not None]
                encoded += [cell["bytes"] or str(cell["path"]).encode() for cell in there]
                row[name] = [STAND_IN] * len(there) if several is not None else STAND_IN if there else None
        digest = hashlib.sha256(b"".join(encoded)).hexdigest()[:16] if encoded else ""
        try:
            return list(self.task.doc_to_visual(row) or ()), digest
        except Exception:  # it looks at the pictures
            return self.pictures(number), digest


@cache
def loaded(name: str, folder: Path | None) -> Loaded:
    """Raises `UserError` for a task that cannot be had, and for one that asks what no model here does."""
    task, source = load(name, folder)
    tasks.check([name])
    asks, config = task.OUTPUT_TYPE, task.config
    if asks not in (ANSWERS, DRAWS_FIRST):
        way = "for likelihoods" if asks in ("loglikelihood", "multiple_choice") else f"in a way of its own ({asks})"
        raise UserError(f"{PREFIX}{name} asks {way}, not for answers; ask it with: lmms-eval --model suder_bench --tasks {name}")
    if name in tasks.DRAWN:
        raise UserError(
            f"{PREFIX}{name} asks for pictures, not for answers; ask it with: lmms-eval --model suder_bench --tasks {name}"
        )
    if (config.repeats or 1) > 1:
        raise UserError(f"{PREFIX}{name} asks each question {config.repeats} times, and suder-bench once; use lmms-eval")
    return Loaded(task, source)


@dataclass(frozen=True)
class DocPicture(Embedded):
    """A picture that a task shows with a question; `mark` is its place among these, and a digest of all."""

    task: str
    folder: Path | None
    doc: int
    number: int
    mark: str
    name: str = ""

    def read(self) -> bytes:
        """As PNG: tasks hand out decoded pictures."""
        encoded = io.BytesIO()
        picture = loaded(self.task, self.folder).pictures(self.doc)[self.number]
        picture.save(encoded, "PNG", compress_level=1)
        return encoded.getvalue()


class TaskBenchmark:
    """`name` is `lmms:TASK`; `folder` holds YAML files of tasks that lmms-eval has not.

    Metrics are the task's, by its `process_results` and its aggregations, and equal lmms-eval's to the last digit; of several
    filters, all but the first stand before their metrics ("strict/exact_match"). A metric that is no number, such as the writing
    of a submission, is left out. The cluster is what the task names (`cluster_key`), where its documents hold that, else their
    pictures, else the question.
    """

    kind: Kind = "understanding"
    repeats = 1
    judge_roles: tuple[str, ...] = ()
    protocols: tuple[str, ...] = ("official",)

    def __init__(self, task: str, folder: Path | None) -> None:
        self.name, self._name, self._folder = f"{PREFIX}{task}", task, folder
        self.paper_metrics: tuple[str, ...] = tuple(self.loaded.task.aggregation())
        self.headline = self.paper_metrics[0]

    @property
    def loaded(self) -> Loaded:
        return loaded(self._name, self._folder)

    @property
    def text_sampling(self) -> TextSampling:
        return arguments.text_sampling(self._generation, TextSampling().max_new_tokens)

    @property
    def rules(self) -> str:
        """lmms-eval's release, and a digest of the task's files."""
        files = sorted(file for file in self.loaded.source.iterdir() if file.suffix in (".py", ".yaml", ""))
        content = b"".join(file.read_bytes() for file in files if file.is_file())
        return f"lmms-eval {version('lmms-eval')} {hashlib.sha256(content).hexdigest()[:8]}"

    @property
    def _generation(self) -> Mapping[str, Any]:
        return self.loaded.task.config.generation_kwargs or {}

    def described(self) -> list[str]:
        """How many questions there are, and from where."""
        task = self.loaded.task
        return [f"{len(task.eval_docs):,} questions of {task.DATASET_PATH}, asked and scored by {self.rules}"]

    def samples(self) -> list[Sample]:
        """The task's documents by their number, in its order."""
        task = self.loaded.task
        with _quiet():
            return [self._sample(number, doc) for number, doc in enumerate(task.eval_docs_no_media)]

    def _sample(self, number: int, doc: Mapping[str, Any]) -> Sample:
        task = self.loaded.task
        words, draw = task.fewshot_context(doc, task.config.num_fewshot or 0), ""
        if task.OUTPUT_TYPE == DRAWS_FIRST:
            draw, words = tasks.chain(self.name, words)
        shown, digest = self.loaded.outline(number)
        if strange := [type(one).__name__ for one in shown if not isinstance(one, Image.Image)]:
            raise UserError(
                f"{self.name}: question {number} shows a {strange[0]}, and models here see pictures; leave the task out"
            )
        key = task.config.cluster_key
        return Sample(
            id=str(number),
            cluster=str(doc[key]) if key in doc else digest or str(number),
            prompt=words,
            images=tuple(DocPicture(self._name, self._folder, number, place, f"{digest}/{place}") for place in range(len(shown))),
            truth={"target": plain(task.doc_to_target(doc))},
            draw=draw,
        )

    def read_answers(self, file: Path) -> list[tuple[Sample, str]]:
        """A log of lmms-eval (`samples_TASK.jsonl`, by `--log_samples`) that holds an answer to each question: in `resps`, which
        is left out where `filtered_resps` is the same.

        Raises `UserError` for one that does not, and naming a line that is no answer.
        """
        samples = {sample.id: sample for sample in self.samples()}
        answers: dict[str, str] = {}
        for number, line in enumerate(file.read_bytes().splitlines(), start=1):
            try:
                row = json.loads(line)
                text, name = row["resps"] if "resps" in row else row["filtered_resps"], str(row["doc_id"])
            except (ValueError, KeyError, TypeError):
                raise UserError(f"{file}: line {number} is none of lmms-eval's log: it lacks doc_id or filtered_resps") from None
            while isinstance(text, list) and len(text) == 1:
                text = text[0]
            if name not in samples or name in answers or not isinstance(text, str):
                raise UserError(f"{file}: line {number}: document {name} is unknown, answered twice, or not answered by one text")
            answers[name] = text
        if len(answers) < len(samples):
            raise UserError(f"{file}: {len(answers):,} answers to {len(samples):,} questions of {self.name}; give the whole log")
        return [(sample, answers[sample.id]) for sample in samples.values()]

    def verdicts(self, answered: Sequence[Answered], judges: Mapping[str, Any]) -> Iterator[Verdict]:
        for one in answered:
            with _quiet():
                results = self._results(one)
            first = next(iter(results.values()))
            scores = {name: score for name, value in first.items() if (score := self._score(value)) is not None}
            told, target = (shorten(str(text), 60, placeholder=" ...") for text in (one.text, one.sample.truth["target"]))
            right = next(iter(scores.values()), None)
            yield Verdict(
                benchmark=self.name,
                sample=one.sample.id,
                repeat=one.response.repeat,
                digest=one.response.digest,
                scores=scores,
                correct=None if right not in (0, 1) else right == 1,
                reason=f"answered '{told}'; the task's target is {target}",
                details={"results": results},
            )

    def _results(self, one: Answered) -> dict[str, dict[str, Any]]:
        """By filter and metric what the task's aggregations take, as JSON keeps it."""
        from lmms_eval.api.instance import Instance
        from lmms_eval.api.reasoning import parse_reasoning_tags_config, strip_reasoning_tags

        task, number = self.loaded.task, int(one.sample.id)
        asked = {"task": self._name, "doc_id": number, "repeats": 1}
        request = Instance(request_type=task.OUTPUT_TYPE, arguments=(one.sample.prompt,), idx=0, metadata=asked)
        request.resps.append(arguments.cut(one.text, arguments.stops(self._generation)))
        tags = parse_reasoning_tags_config(cli_value=REASONING, task_value=task.config.reasoning_tags)
        process = inspect.unwrap(type(task).process_results)  # which tries again for seconds what fails
        found = {}
        for ensemble in task._filters:
            ensemble.apply([request], task.task_docs)
            said = request.filtered_resps[ensemble.name]
            if tags is not None:
                said = (
                    strip_reasoning_tags(said, tags) if isinstance(said, str) else [strip_reasoning_tags(s, tags) for s in said]
                )
            found[ensemble.name] = plain(process(task, task.eval_docs_no_media[number], [said]))
        return found

    def _score(self, value: Any) -> float | None:
        """The number of one result, which may stand in a field that the task names (`score_key`)."""
        if isinstance(value, dict):
            value = value.get(self.loaded.task.config.score_key)
        return float(value) if isinstance(value, int | float) else None

    def statistics(self, rows: Sequence[tuple[Sample, Verdict]]) -> dict[str, Statistic]:
        """Raises `UserError` where an aggregation of the task fails, and where none gives a number."""
        functions, found = self.loaded.task.aggregation(), {}
        results = [verdict.details["results"] for _, verdict in rows]
        for place, name in enumerate(results[0]):
            for metric, function in functions.items():
                try:
                    made = statistic(function, [one[name].get(metric) for one in results])
                except Exception as error:
                    raise UserError(f"{self.name}: lmms-eval's aggregation of {metric} fails ({why(error)})") from error
                if made is not None:
                    found[metric if place == 0 else f"{name}/{metric}"] = made
        if not found:
            raise UserError(f"{self.name}: none of its metrics ({', '.join(functions)}) is a number; score it with lmms-eval")
        self.paper_metrics = tuple(found)
        self.headline = self.paper_metrics[0]
        return found


def _quiet() -> redirect_stdout[io.StringIO]:
    """Tasks print what nobody asked for on stdout, where documents go."""
    return redirect_stdout(io.StringIO())
