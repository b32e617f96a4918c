"""What the calls return: a run folder and a comparison, as frames of pandas, as text and as HTML for a notebook."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from suder_bench.api import markup
from suder_bench.cli.compare import render as render_comparison
from suder_bench.errors import UserError, install, unknown
from suder_bench.reports import door, measured
from suder_bench.runs import recomputed, table
from suder_bench.runs.plan import data_read_once
from suder_bench.runs.store import RunFolder

if TYPE_CHECKING:
    import pandas

Frame = Literal["responses", "verdicts", "metrics"]
FRAMES = ("responses", "verdicts", "metrics")

RESPONSES = ("benchmark", "sample", "repeat", "seed", "digest", "text", "image", "seconds")
VERDICTS = ("benchmark", "sample", "cluster", "prompt", "repeat", "digest", "correct", "reason", "details")
METRICS = ("benchmark", "protocol", "metric", "headline", "paper", "value", "low", "high", "n", "few_clusters")
NUMBERS = ("a", "b", "difference", "low", "high", "error", "p", "p_adjusted", "detectable")
COMPARED = ("benchmark", "metric", "headline", *NUMBERS, "n", "few_clusters")
PLAIN = ("benchmark", "sample", "repeat", "digest", "correct", "reason")
"""What a verdict says under one name."""
SCORE = "scores."


@dataclass(frozen=True)
class LoadedRun:
    """A run in its folder `path`. What it tells is read from the folder when it is asked for, so that it is as new as the folder.

    In a notebook it shows the table that `suder-bench run` ends with; `print` gives that as text.
    """

    path: Path

    @classmethod
    def open(cls, path: Path) -> LoadedRun:
        """Raises `UserError` where there is no run in the folder."""
        run = cls(path)
        run.recipe  # noqa: B018  says what is wrong with it
        return run

    @property
    def recipe(self) -> dict[str, Any]:
        """run.json: model, data, sampling, seeds, judges, versions."""
        found = RunFolder(door.run(self.path)).read()
        if found is None:
            make = measured.command_of(self.path, None)
            raise UserError(f"{self.path} is not a run folder (no run.json); make one with: {make}")
        return found

    @property
    def summary(self) -> dict[str, Any]:
        """summary.json, made anew from the verdicts.

        Raises `UserError` with the command that finishes a run without one, and for one that says otherwise than the verdicts.
        """
        return measured.read_summary(self.path)

    @property
    def complete(self) -> bool:
        """Whether the run is at its end and nothing in it failed or went without its judge, or is missing but what
        `--allow-missing` left out."""
        if not (self.path / "summary.json").is_file():
            return False
        summary = self.summary
        planned = summary["recipe"]["benchmarks"]
        return not any(
            entry["failed"] or entry["skipped"] > planned[name].get("left_out", 0) * planned[name].get("repeats", 1)
            for name, entry in summary["benchmarks"].items()
        )

    def frame(self, what: Frame) -> pandas.DataFrame:
        """A table of pandas, a row each:

        - `"metrics"`, those of `summary`: `benchmark`, `protocol`, `metric`, whether it is the benchmark's `headline` and in
          the `paper`'s tables, `value` with its 95 % interval `low` to `high`, `n`, and `few_clusters`, how many clusters it
          rests on where they are fewer than ten;
        - `"verdicts"`, what the metrics are made of, in the order of the questions: `benchmark`, `sample`, `cluster` (what the
          bootstrap resamples), `prompt`, `repeat`, `digest` of the response, `correct` (missing where the benchmark has no
          such word), `reason`, `details`, and a column `scores.NAME` for each number;
        - `"responses"`, also of a run that is not finished: `benchmark`, `sample`, `repeat`, `seed`, `digest`, `text` or `image`
          (below `path`), and `seconds`.

        Raises `UserError` for another name, without pandas (extra `pandas`), and where the benchmark's files, which verdicts are
        read with, are not there or not those of the run.
        """
        if what not in FRAMES:
            raise unknown("frame", what, FRAMES)
        pandas = _pandas()
        if what == "responses":
            return pandas.DataFrame(self._responses(), columns=RESPONSES)
        if what == "metrics":
            types = {**dict.fromkeys(("value", "low", "high"), "float64"), "few_clusters": "Int64"}
            return pandas.DataFrame(self._metrics(), columns=METRICS).astype(types)
        rows = list(self._verdicts())
        scores = dict.fromkeys(name for row in rows for name in row if name.startswith(SCORE))
        return pandas.DataFrame(rows, columns=[*VERDICTS, *scores]).astype({"correct": "boolean"})

    def _responses(self) -> Iterator[dict[str, Any]]:
        for name in self.recipe["benchmarks"]:
            found = door.responses(self.path, name)
            yield from (asdict(found[key]) for key in sorted(found))

    def _metrics(self) -> Iterator[dict[str, Any]]:
        for name, entry in self.summary["benchmarks"].items():
            for metric, told in entry["metrics"].items():
                marks = {"headline": metric == entry["headline"], "paper": metric in entry["paper_metrics"]}
                yield {"benchmark": name, "protocol": entry["protocol"], "metric": metric, **marks, **told}

    def _verdicts(self) -> Iterator[dict[str, Any]]:
        with data_read_once():
            for one in recomputed.scored_anew(self.path, self.summary):
                for sample, verdict in one.rows:
                    told = {name: getattr(verdict, name) for name in PLAIN}
                    told |= {"cluster": sample.cluster, "prompt": sample.prompt, "details": dict(verdict.details)}
                    yield told | {SCORE + name: value for name, value in verdict.scores.items()}

    def __str__(self) -> str:
        try:
            return table.render(self.summary)
        except UserError as unfinished:
            return str(unfinished)

    def _repr_html_(self) -> str:
        try:
            return markup.run(self.summary)
        except UserError as unfinished:
            return markup.text(str(unfinished))


@dataclass(frozen=True)
class Comparison:
    """Two runs compared. `document` is what `suder-bench compare --json` prints; `print` gives the command's table."""

    document: Mapping[str, Any] = field(repr=False)
    verbose: bool = False

    def frame(self) -> pandas.DataFrame:
        """A row for each metric: `benchmark`, `metric`, whether it is the `headline`, and what `document` says of it.

        That is its value in `a` and `b`, the `difference` b - a with its 95 % interval `low` to `high` and standard `error`, `p`
        and, of those that are shown, `p_adjusted`, the smallest `detectable` difference, `n`, and `few_clusters` where it rests
        on fewer than ten.
        Raises `UserError` without pandas (extra `pandas`).
        """
        pandas = _pandas()
        rows = [
            {"benchmark": name, "metric": metric, "headline": metric == entry["headline"], **told}
            for name, entry in self.document["benchmarks"].items()
            for metric, told in entry["metrics"].items()
        ]
        columns = dict.fromkeys([*COMPARED, *(name for row in rows for name in row)])
        types = {**dict.fromkeys(NUMBERS, "float64"), "few_clusters": "Int64"}
        return pandas.DataFrame(rows, columns=list(columns)).astype(types)

    def __str__(self) -> str:
        return render_comparison(self.document, verbose=self.verbose)

    def _repr_html_(self) -> str:
        return markup.comparison(self.document, verbose=self.verbose)


def _pandas() -> Any:
    try:
        import pandas
    except ModuleNotFoundError as error:
        if error.name != "pandas":
            raise
        raise UserError(f"frames need pandas; bring it with: {install('pandas')}") from None
    return pandas
