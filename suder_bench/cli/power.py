"""`suder-bench power`: how many questions and seeds would a comparison need?"""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from suder_bench.cli import options, parsing
from suder_bench.hypotheses import LEVEL, WANTED
from suder_bench.machine import use_one_thread

DIFFERENCE = 5.0


def main(argv: Sequence[str]) -> int:
    parser = parsing.Parser(
        "power",
        "Plan a comparison from a pilot: how many prompts, pictures or question groups, and how many seeds of a training, find a "
        "difference of so many points. With --base for the run that it will be compared with, what is hard for both cancels out; "
        "without, the two are taken to have nothing in common, the worst case.",
    )
    parser.add_argument(
        "pilots", metavar="PILOT", type=Path, nargs="+", help="a run folder; several are the seeds of one training"
    )
    parser.add_argument(
        "--base", metavar="RUN", type=Path, action="append", help="what the pilot is compared with; repeated for another's seeds"
    )
    parser.add_argument(
        "--difference",
        metavar="POINTS",
        type=_positive,
        default=DIFFERENCE,
        help="to be found (default: 5)",
    )
    parser.add_argument(
        "--power", metavar="PERCENT", type=_percent, default=100 * WANTED, help="how surely it is to be found (default: 80)"
    )
    parser.add_argument(
        "--level", metavar="PERCENT", type=_percent, default=100 * LEVEL, help="of the two-sided test (default: 5)"
    )
    parser.add_argument("--benchmark", metavar="NAME", action="append", help="only this benchmark; may be repeated")
    options.add_verbose(parser)
    options.add_json(parser)
    arguments = parser.parse_args(argv)
    use_one_thread()
    from suder_bench.runs.paired import Side
    from suder_bench.runs.plan import data_read_once
    from suder_bench.runs.power import power

    with data_read_once():
        pilots, base = ([Side.open(run) for run in runs] for runs in (arguments.pilots, arguments.base or []))
        asked = {"wanted": arguments.power / 100, "level": arguments.level / 100}
        found = power(pilots, base, arguments.difference, arguments.benchmark, **asked)
    if arguments.json:
        from suder_bench.runs.jsonl import document

        sys.stdout.write(document(found))
    else:
        print(render(found, verbose=arguments.verbose))
    return 0


def render(found: Mapping[str, Any], *, verbose: bool = False) -> str:
    """The document as a table of 80 columns."""
    from suder_bench.runs.table import FEW, WORLD, fitted, shown_metrics

    first, lines, few = 22, list[str](), False
    seeds = len(found["pilots"])
    for name, entry in found["benchmarks"].items():
        trained: list[Any] = max((one["needed"] for one in entry["metrics"].values()), key=len, default=[])
        heads = [f"{one['seeds']} seed{'s' if one['seeds'] > 1 else ''}" for one in trained] if seeds > 1 else ["needed"]
        lines += [f"{name}, {entry['clusters']:,} clusters (prompts, pictures or question groups) in the pilot", ""]
        lines += [f"{'':<{first}}{'finds':>8}" + "".join(f"{head:>10}" for head in heads)]
        lines += ["-" * (first + 8 + 10 * len(heads))]
        for metric in shown_metrics(entry, verbose):
            row = entry["metrics"][metric]
            label = fitted(("* " if metric == entry["headline"] else "  ") + metric, first)
            finds = "-" if row["detectable"] is None else f"{row['detectable'] / row['point']:.1f}"
            finds += FEW if "few_clusters" in row else ""
            few |= "few_clusters" in row
            needed = ["-" if one["clusters"] is None else f"{one['clusters']:,}" for one in row["needed"]]
            lines += [label + f"{finds:>8}" + "".join(f"{one:>10}" for one in needed or ["-"] * len(heads))]
        lines += [""]
    with_seeds = f", with {seeds} seeds" if seeds > 1 else ""
    told = [
        f"finds: the smallest difference in points that the pilot's size finds with {100 * found['power']:g} % power at the "
        f"{100 * found['level']:g} % level{with_seeds}",
        f"{'under seeds' if seeds > 1 else 'needed'}: clusters of the same mix that find {found['difference']:g} points; "
        "- where no number does, or where the pilot is too small to tell",
    ]
    if few:
        told.append(f"{FEW}  over fewer than ten clusters in the pilot: an order of magnitude")
    if found["paired"]:
        told.append(f"paired with {', '.join(found['base'])}")
    else:
        told.append("not paired: of two runs as varied as the pilot, with nothing in common; --base RUN tells what pairing saves")
    if seeds == 1:
        told.append("of one seed of a training nothing is known of others: give the runs of several to plan their number")
    if found["world"]:
        told.append(f"data: {WORLD}")
    for line in told:
        lines += textwrap.wrap(line, 80, subsequent_indent="   ")
    return "\n".join(lines)


def _positive(text: str) -> float:
    value = _number(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"'{text}' is not a number of points above 0")
    return value


def _percent(text: str) -> float:
    value = _number(text)
    if not 0 < value < 100:
        raise argparse.ArgumentTypeError(f"'{text}' is not a percentage between 0 and 100")
    return value


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number") from None
