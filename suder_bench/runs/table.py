"""The table that a run ends with: summary.json as plain text for a terminal."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

WORLD = "scored on the embedded world, not comparable with published numbers"
FEW = "~"
FEW_CLUSTERS = (
    "over fewer than ten prompts, pictures or question groups: the interval is Student's t on their means, and there is none "
    "where the metric is no mean or they do not differ"
)
MISSING = "no number, or no interval: too little was measured to give one"
NUMBERS = 36
"""Columns taken by value, interval and n; the metric's name gets the rest of the width."""


def render(summary: Mapping[str, Any], *, width: int | None = None, verbose: bool = False, rest: str = "in summary.json") -> str:
    """A block per benchmark, then what made the numbers: model, data, seed, judges that are not the benchmark's own.

    Shows the metrics of the paper's tables, or every metric with `verbose`; `rest` says where the others are, and `width` is
    the terminal's by default.
    """
    columns = width or max(60, min(shutil.get_terminal_size((80, 24)).columns, 100))
    shown = {name: shown_metrics(entry, verbose) for name, entry in summary["benchmarks"].items()}
    longest = max((len(label) for name, metrics in shown.items() for label in (name, *metrics)), default=0)
    first = min(longest + 2, columns - NUMBERS)
    blocks = [_block(name, entry, shown[name], first, rest) for name, entry in summary["benchmarks"].items()]
    told = remarks(entry["metrics"][metric] for name, entry in summary["benchmarks"].items() for metric in shown[name])
    signs = [line for sign, meaning in told for line in _wrapped(sign, meaning, columns)]
    return "\n\n".join("\n".join(lines) for lines in [*blocks, [*signs, *footer(summary, columns)]])


def number(value: float | None) -> str:
    """Three decimals for fractions, one for marks and percentages, '-' where there is none; zero has no sign."""
    if value is None or value != value:
        return "-"
    return f"{value:z.1f}" if abs(value) >= 10 else f"{value:z.3f}"


def interval(low: float | None, high: float | None, few_clusters: int | None = None) -> str:
    """'0.480 to 0.545', or '-' where the clusters allow none; marked where they are fewer than ten."""
    ends = "-" if low is None or high is None else f"{number(low)} to {number(high)}"
    return ends if few_clusters is None else ends + FEW


def interval_of(metric: Mapping[str, Any]) -> str:
    """`interval` of a metric as JSON documents hold it."""
    return interval(metric["low"], metric["high"], metric.get("few_clusters"))


def remarks(metrics: Iterable[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """(sign, meaning) of the signs that stand for, or beside, the intervals of these metrics."""
    shown = list(metrics)
    found = [(FEW, FEW_CLUSTERS)] if any(one.get("few_clusters") is not None for one in shown) else []
    return [*found, ("-", MISSING)] if any(None in (one["low"], one["high"]) for one in shown) else found


DOUBTS = {
    "another": "not the benchmarks' own",
    "digest unknown": "official by name, digest unknown (suder-bench judges verify)",
}
"""What a judge that is not known to be the benchmark's own may be, and how that is told."""


def shown_metrics(entry: Mapping[str, Any], verbose: bool) -> list[str]:
    """Names of the metrics to show: the paper's, with the headline among them; all where the benchmark names none."""
    metrics, headline = entry["metrics"], entry["headline"]
    paper = [name for name in entry["paper_metrics"] if name in metrics]
    if verbose or not paper:
        return list(metrics)
    return paper if headline in paper or headline not in metrics else [*paper, headline]


def incomplete(entry: Mapping[str, Any]) -> bool:
    """Whether responses are in no number though there are judges for them."""
    return bool(entry["skipped"] or entry["failed"] > entry.get("unjudged", {}).get("responses", 0))


def losses(entry: Mapping[str, Any]) -> list[str]:
    """What became of the responses that are in no number: '12 skipped', '3 failed', '40 not judged'."""
    unjudged = entry.get("unjudged", {}).get("responses", 0)
    counts = {"skipped": entry["skipped"], "failed": entry["failed"] - unjudged, "not judged": unjudged}
    return [f"{count:,} {what}" for what, count in counts.items() if count]


TOLD = ("unextracted", "unparsed", "odd", "lower_bounds")
"""Metrics, under the name of a protocol or not, that count what a reader should know of: answers and judges' replies that the
rules cannot read, or read though they are odd, and probabilities that are only bounds."""


def unread(metrics: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """How many answers could not be read, by whose rules: '12 lmms-eval/unextracted'."""
    counts = {name: one["value"] for name, one in metrics.items() if name.rpartition("/")[2] in TOLD}
    return [f"{count:,.0f} {name}" for name, count in counts.items() if count]


def partial(metrics: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The metrics without some of what they average: 'average without shape'."""
    return [f"{name} without {', '.join(one['without'])}" for name, one in metrics.items() if "without" in one]


def lacking(entry: Mapping[str, Any]) -> list[str]:
    """Which judges were missing, and the metrics that there are not for that: 'lacks depth, and so has no 3d_spatial'."""
    if "unjudged" not in entry:
        return []
    roles, metrics = (", ".join(entry["unjudged"][what]) for what in ("roles", "metrics"))
    return [f"lacks {roles}" + (f", and so has no {metrics}" if metrics else "")]


def fitted(label: str, columns: int) -> str:
    """A label in so many columns, cut with dots where it is longer."""
    return f"{label:<{columns}}" if len(label) <= columns else label[: columns - 3] + ".. "


def _block(name: str, entry: Mapping[str, Any], names: Sequence[str], first: int, rest: str) -> list[str]:
    metrics, headline = entry["metrics"], entry["headline"]
    lines = [f"{name:<{first}}{'value':>8}{'95 % interval':>20}{'n':>8}", "-" * (first + NUMBERS)]
    for metric in names:
        found = metrics[metric]
        label = fitted(("* " if metric == headline else "  ") + metric, first)
        lines.append(f"{label}{number(found['value']):>8}{interval_of(found):>20}{found['n']:>8,}")
    notes = remarks_on(entry, names, rest)
    return [*lines, *(["  (" + ", ".join(notes) + ")"] if notes else [])]


def remarks_on(entry: Mapping[str, Any], names: Sequence[str], rest: str) -> list[str]:
    """What stands below the metrics `names` of a benchmark: which responses are in no number, and how many more metrics are where
    `rest` says."""
    more = len(entry["metrics"]) - len(names)
    left_out = [f"{more} more metric{'s' if more > 1 else ''} {rest}"] if more > 0 else []
    return [*losses(entry), *unread(entry["metrics"]), *left_out]


def footer(summary: Mapping[str, Any], columns: int) -> Iterator[str]:
    """What made the numbers, a line each, in so many columns: model, data, seed, judges that are not the benchmark's own."""
    recipe = summary["recipe"]
    yield from _wrapped("*", "the headline of its benchmark", columns)
    yield from _wrapped("model", summary["model"], columns)
    yield from _wrapped("data", WORLD if summary["world"] else _where(recipe["data"]), columns)
    if "seed" in recipe:  # responses made elsewhere have none
        yield from _wrapped("seed", str(recipe["seed"]), columns)
    for name, entry in summary["benchmarks"].items():
        for deviation in entry.get("deviations", ()):
            yield from _wrapped("marked", f"{name}: {deviation}; not comparable with published numbers", columns)
        for line in partial(entry["metrics"]):
            yield from _wrapped("marked", f"{name}: {line}; not comparable with published numbers", columns)
        for line in lacking(entry):
            yield from _wrapped("judges", f"{name} {line}", columns)
    entries = summary["benchmarks"].values()
    judges = [(role, judge, entry) for entry in entries for role, judge in entry["judges"].items()]
    unchecked = dict.fromkeys(role for role, judge, _ in judges if judge.get("unchecked"))
    if unchecked:
        yield from _wrapped("judges", f"not asked known answers, so nobody knows if they work: {', '.join(unchecked)}", columns)
    for line in asked(summary):
        yield from _wrapped("asked", line, columns)
    for doubt, says in DOUBTS.items():
        foreign: dict[str, dict[str, None]] = {}
        for role, judge, entry in judges:
            metrics, whole = metrics_by(entry, role), len(entry["metrics"])
            if doubt_of(judge) == doubt and (metrics or not whole):
                named = role if len(metrics) == whole else f"{role} in {', '.join(metrics)}"
                foreign.setdefault(judge["backend"], {})[named] = None
        if foreign:
            told = "; ".join(f"{backend} ({', '.join(roles)})" for backend, roles in foreign.items())
            yield from _wrapped("judges", f"{says}: {told}", columns)


def asked(summary: Mapping[str, Any]) -> Iterator[str]:
    """What judges behind an address took, a line a role: 'llm: 2,400 requests, 1,204,000 + 31,200 tokens, 3.32; 2 refused'."""
    for role, took in summary.get("asked", {}).items():
        line = f"{role}: {took['requests']:,} requests, {took['input_tokens']:,} + {took['output_tokens']:,} tokens"
        line += f" ({took['estimated']:,} times estimated)" if took["estimated"] else ""
        line += f", cost {took['cost']:,.4g}" if "cost" in took else ""
        bad = [f"{took[name]:,} {said}" for name, said in BAD_REPLIES.items() if took[name]]
        yield line + (f"; {', '.join(bad)}" if bad else "")


BAD_REPLIES = {"refused": "refused", "without_text": "without a text", "late": "too late", "unread": "unreadable"}


def doubt_of(judge: Mapping[str, Any]) -> str:
    """Why a judge's numbers are not comparable with published ones, one of `DOUBTS`; '' for the benchmark's own."""
    if judge["exact"]:
        return ""
    return "digest unknown" if judge.get("weights") == "digest unknown" else "another"


def metrics_by(entry: Mapping[str, Any], role: str) -> list[str]:
    """The metrics that have the word of a judge in them."""
    return [name for name, metric in entry["metrics"].items() if role in metric.get("judges", entry["judges"])]


def _where(data: Mapping[str, Any]) -> str:
    return f"{data['source']} {data['folder'] or ''}".strip()


def _wrapped(label: str, text: str, columns: int) -> list[str]:
    return textwrap.wrap(f"{label:<8}{text}", columns, subsequent_indent=" " * 8, break_on_hyphens=False)
