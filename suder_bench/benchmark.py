"""The benchmark protocol: data, prompt, verdict, summary; and what every judge tells of itself."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from suder_bench.records import Answered, Sample, Statistic, Stranger, Verdict

if TYPE_CHECKING:
    from suder_bench.models.protocols import TextSampling

Kind = Literal["generation", "understanding"]


class Benchmark(Protocol):
    """One benchmark. Built as `Factory(data, protocol="official")`, where `data` is the folder of its official files.

    `judge_roles` names the judges that `verdicts` will look up, not all of them for every sample where it `AsksBySample`.
    `repeats` is the official number of responses to a sample. `headline` is the metric of the summary line. `paper_metrics` are
    shown in the short table, in the paper's order.
    """

    name: str
    kind: Kind
    repeats: int
    headline: str
    paper_metrics: tuple[str, ...]
    judge_roles: tuple[str, ...]
    protocols: tuple[str, ...]

    def samples(self) -> list[Sample]:
        """All samples in official order.

        Raises `UserError` naming the file when data is missing or malformed, `MissingPictures` when only pictures of
        questions are, so that a user may go on without these.
        """
        ...

    def verdicts(self, answered: Sequence[Answered], judges: Mapping[str, Any]) -> Iterator[Verdict]:
        """One verdict per response, in order. Called with batches; `judges` maps each role to its back-end."""
        ...

    def statistics(self, rows: Sequence[tuple[Sample, Verdict]]) -> dict[str, Statistic]:
        """Every metric the benchmark reports, as functions of row weights (see `Statistic`)."""
        ...


class Judge(Protocol):
    """`backend` is the name users see; `exact`: it is the benchmark's own judge; `fingerprint` changes with the weights."""

    backend: str
    exact: bool
    fingerprint: str

    def check(self) -> None:
        """Judge something whose answer is known. Raises `JudgeError` saying what was expected and what came."""
        ...


Match = Literal["exact", "digest unknown", "another file"]
"""How a judge's weights stand to the benchmark's own: the same file by its sha256, a file of that name whose right sha256 nobody
has published, or anything else."""


@runtime_checkable
class KnowsItsFile(Protocol):
    """A judge that looked at the digest of its weights; `exact` is true for the very file only."""

    match: Match


class GenerationBenchmark(Benchmark, Protocol):
    def image_path(self, sample: Sample, repeat: int) -> str:
        """Where a picture lies below `images/<benchmark>/`: the official layout where there is one."""
        ...

    def sidecars(self, sample: Sample) -> Mapping[str, str]:
        """Small text files that the official layout keeps beside the pictures: relative path -> content."""
        ...

    def find_images(self, folder: Path) -> list[tuple[Sample, int, Path]]:
        """Pictures made elsewhere, in the official layout: (sample, repeat, file)."""
        ...


@runtime_checkable
class NamesStrangers(Protocol):
    """A generation benchmark that tells pictures which it does not score from other files in a folder."""

    def strangers(self, folder: Path) -> list[Stranger]:
        """The pictures that `find_images` passes over because they belong to no sample or are not called as its are."""
        ...


@runtime_checkable
class KnowsRewriting(Protocol):
    """A generation benchmark whose layout tells from which prompts pictures were made."""

    def rewritten(self, folder: Path) -> Mapping[str, str]:
        """The prompts that pictures of a sample id were made from, where these are not the benchmark's."""
        ...


@runtime_checkable
class AsksBySample(Protocol):
    """A benchmark of which not every sample is judged by all of `judge_roles`, so that some can be without the others."""

    def roles_of(self, sample: Sample) -> tuple[str, ...]:
        """Those of `judge_roles` that `verdicts` looks up for a response to the sample."""
        ...

    def metrics_of(self, sample: Sample) -> tuple[str, ...]:
        """The metrics of `statistics` that a verdict on the sample counts in."""
        ...


@runtime_checkable
class AsksInTraining(Protocol):
    """A generation benchmark with prompts to train on, which it can judge like its own."""

    def training_samples(self) -> list[Sample]:
        """The training prompts in official order, under ids that none of `samples` has."""
        ...


@runtime_checkable
class JudgesOtherPrompts(Protocol):
    """A generation benchmark that can judge prompts which its files do not hold, from what a caller says they ask for."""

    def sample_of(self, prompt: str, metadata: Mapping[str, Any]) -> Sample | None:
        """None where the metadata do not say what is asked for. Raises `UserError` for what the benchmark cannot judge."""
        ...


class UnderstandingBenchmark(Benchmark, Protocol):
    def read_answers(self, file: Path) -> list[tuple[Sample, str]]:
        """Answers made elsewhere, in the official format.

        Raises `UserError` on doubled or unknown ids, `MissingAnswers` on missing ones, so that a user may go on without.
        """
        ...


@runtime_checkable
class DescribesData(Protocol):
    """A benchmark whose data come in several forms, releases or numbers."""

    def described(self) -> list[str]:
        """How many questions there are, of which release, and from which files, a line each."""
        ...


@runtime_checkable
class KnowsReleases(Protocol):
    """A benchmark whose questions come in several releases or forms, which are known by how many they hold."""

    @property
    def counted(self) -> tuple[int, Collection[int]]:
        """How many rows its data have here, and how many the releases have; none where that is not known."""
        ...


@runtime_checkable
class KnowsOrigin(Protocol):
    """A benchmark whose data may be a set that was fetched."""

    @property
    def origin(self) -> str:
        """The set and its commit, or "" for data of which that is not known."""
        ...


@runtime_checkable
class NamesEditions(Protocol):
    """A benchmark whose protocols others call by other names: `editions` maps these, in small letters, to ours."""

    editions: Mapping[str, str]


@runtime_checkable
class RemarksOnAnswers(Protocol):
    """An understanding benchmark that reads files of answers with something to tell."""

    def remarks(self, file: Path) -> list[str]:
        """What a reader of the score should know of a file that `read_answers` takes, a line each."""
        ...


@runtime_checkable
class TakesAPart(Protocol):
    """An understanding benchmark of which a part may be answered on purpose."""

    def asked(self, given: Collection[str]) -> list[Sample]:
        """The questions that a file with answers to the ids `given` was to answer."""
        ...


@runtime_checkable
class WordsQuestions(Protocol):
    """An understanding benchmark whose questions can be put to a model as several harnesses put them.

    `prompt_style` is `usual_style` until it is set to another of `prompt_styles`, before `samples` is first asked for.
    """

    prompt_styles: tuple[str, ...]
    usual_style: str
    prompt_style: str


@runtime_checkable
class LimitsAnswers(Protocol):
    """An understanding benchmark that says how its answers are to be written."""

    @property
    def text_sampling(self) -> TextSampling: ...


@runtime_checkable
class TellsRules(Protocol):
    """A benchmark whose rules are another package's: verdicts by other rules than `rules` do not count, nor compare."""

    @property
    def rules(self) -> str:
        """That package's release, and what else tells two such rules apart."""
        ...


@runtime_checkable
class ListsQuestions(Protocol):
    """An understanding benchmark whose answers can be scored without the pictures they are about."""

    @property
    def questions(self) -> Sequence[Sample]:
        """What `samples` gives, whether or not the pictures are there."""
        ...
