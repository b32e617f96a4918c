"""findings.md and findings.json: each claim with its verdict and what it rests on, and every test of the family."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

from suder_bench.hypotheses import LEVEL
from suder_bench.reports.claims import Claim
from suder_bench.reports.findings import MARGIN, Finding, Findings, Measure, Takes, Trial, Verdict
from suder_bench.reports.measured import Measured
from suder_bench.reports.settings import seconds
from suder_bench.reports.tables.markdown import escape
from suder_bench.runs.jsonl import document, replace_file
from suder_bench.runs.screen import duration
from suder_bench.runs.table import FEW, remarks

FILE = "findings.md"
SCHEMA = 2


def write(found: Findings | None, rows: Sequence[Measured], out: Path) -> list[Path]:
    """findings.md and findings.json into `out`, of what `findings` made of the rows; old ones go. Returns the files."""
    page, numbers = out / FILE, (out / FILE).with_suffix(".json")
    if found is None:
        for file in (page, numbers):
            file.unlink(missing_ok=True)
        return []
    contents = {page: render(found, rows), numbers: document(plain(found))}
    for file, content in contents.items():
        replace_file(file, content.encode())
    return list(contents)


def render(found: Findings, rows: Sequence[Measured]) -> str:
    """A summary, a line for each claim that could be tested, what verdicts mean, whose rows they are, what lacks, every test."""
    tested = [one for one in found.claims if one.measure.difference is not None]
    counts = {verdict: sum(one.verdict == verdict for one in tested) for verdict in get_args(Verdict)}
    world = "on the embedded world, whose scores are not comparable with published ones: directions are, sizes are its own"
    lines = [
        "# Findings",
        "",
        f"Of {len(found.claims)} claims of the paper {len(tested)} were tested {world if found.world else 'here'}. "
        + "; ".join(f"{verdict}: {count}" for verdict, count in counts.items())
        + f". Every verdict stands after Holm's adjustment for {found.family} claims.",
        "",
        "| claim | the paper, points | measured, points | 95 % interval | n | tested | p | Holm's p | verdict "
        "| what it would take |",
        "|---|---|---:|---:|---:|---|---:|---:|---|---|",
    ]
    lines += ["| " + " | ".join(_cells(one)) + " |" for one in tested]
    lines += ["", _seeds(tested), "", *_meanings(), *_signs(tested)]
    caveats = [
        f"- {escape(one.claim.text)}: {escape(one.claim.caveat + _took(one.claim, found))}." for one in tested if one.claim.caveat
    ]
    caveats += [f"- {escape(line)}" for line in _seen(found)]
    lines += ["", "What speaks against the comparison itself:", "", *caveats] if caveats else []
    lines += ["", "Compared:", ""]
    lines += [f"- {name}: {escape(row.label)} ({escape(', '.join(map(str, row.runs)))})" for name, row in found.rows.items()]
    others = [row for row in rows if row.training and not any(row is one for one in found.rows.values())]
    lines += [
        f"- in no claim of the paper, or another start model's, or the second of its kind: {escape(row.label)}" for row in others
    ]
    lacking = [one for one in found.claims if one.measure.difference is None]
    if lacking:
        lines += ["", "Not tested:", "", *(f"- {escape(one.claim.text)}: {escape(one.because)}" for one in lacking)]
    lines += ["", "## Every test", "", "| claim | what would be shown | p | Holm's p | |", "|---|---|---:|---:|---|"]
    for one in tested:
        asked = [(_shown(test), test) for test in one.tests] + [(f"needs: {need.effect} not 0", need) for need in one.needs]
        lines += [
            f"| {escape(one.claim.text)} | {escape(says)} | {_p(test.p)} | {_p(test.adjusted)} | {'shown' if test.sure else ''} |"
            for says, test in asked
        ]
    return "\n".join(lines) + "\n"


def plain(found: Findings) -> dict[str, Any]:
    """The document of findings.json: its `schema` grows with every change that a reader could stumble over."""
    return {
        "schema": SCHEMA,
        "world": found.world,
        "level": LEVEL,
        "margin": MARGIN,
        "adjusted": {"method": "holm", "claims": found.family},
        "findings": [_finding(one) for one in found.claims],
    }


def _meanings() -> list[str]:
    return [
        "Differences are first minus second of what a claim names, of the mean of its columns, paired by prompt, picture or "
        "question group; `n` counts the pictures, questions or question groups of each side. The paper's interval is of two "
        "shares of right answers out of as many questions as its benchmark has, at most so wide; of other numbers nobody can "
        "give one. p is that of the test named beside it. A thing is shown where p after Holm's adjustment for all claims is "
        f"less than {LEVEL:g} and the 95 % interval says so too; that a training has moved what a claim needs, after the "
        "adjustment for these needs alone, as it makes no verdict.",
        "",
        "- *agrees*, *contradicts*: a difference is shown, the way that the paper has it or the other; that two are alike is "
        f"contradicted by more than {MARGIN:g} points.",
        f"- *equivalent*: shown to be less than {MARGIN:g} points either way (two one-sided tests). Where the claim is that two "
        "are alike, this is what agrees.",
        "- *smaller than printed*: no difference is shown, and one as large as the paper's is ruled out, of the models named.",
        "- *not testable*: no training that the claim is about is shown to have moved what it would have to move.",
        "- *cannot tell*: none of these, with how many times the questions would show the paper's difference, or less than "
        f"{MARGIN:g} points, four times in five.",
    ]


def _seen(found: Findings) -> Iterator[str]:
    """Which trainings had prompts of a benchmark among theirs."""
    by_words: dict[str, list[str]] = {}
    for name, row in found.rows.items():
        for benchmark, overlap in row.seen.items() if row.training else ():
            if overlap.shared:
                by_words.setdefault(overlap.counted(benchmark), []).append(name)
    for words, names in by_words.items():
        yield f"{', '.join(names)}: {words}; means without these stand in the tables."


def _took(claim: Claim, found: Findings) -> str:
    """'; training took 14:08 (unified) and 36:20 (grpo)', where both were logged."""
    trainings = {name: found.rows[name].training for name in (claim.row, claim.other)}
    took = {name: seconds(one.run) for name, one in trainings.items() if one}
    told = [f"{duration(time)} ({name})" for name, time in took.items() if time is not None]
    return f"; training took {' and '.join(told)}" if len(told) == 2 else ""


def _seeds(tested: Sequence[Finding]) -> str:
    """What intervals and p know of another seed."""
    told = [one.measure.seeds or (1, 1) for one in tested]
    few, most = min(map(min, told), default=1), max(map(max, told), default=1)
    if most == 1:
        return "Each training was run once: intervals and p cover which prompts were asked and what was sampled, no other seed."
    span = f"{few} to {most}" if few < most else f"{most}"
    return (
        f"Trainings were run with {span} seeds; intervals and p cover another seed of those with several, and not of one alone."
    )


def _signs(tested: Sequence[Finding]) -> list[str]:
    """What the signs in the column of intervals mean."""
    rows = [{"low": one.low, "high": one.high, "few_clusters": one.few_clusters} for one in (each.measure for each in tested)]
    return ["", *(f"`{sign}`: {meaning}." for sign, meaning in remarks(rows))] if remarks(rows) else []


def _cells(one: Finding) -> list[str]:
    measure, test = one.measure, one.deciding
    tested = [_shown(test), _p(test.p), _p(test.adjusted)] if test else ["", "-", "-"]
    verdict = f"**{one.verdict}**" if one.verdict == "contradicts" else one.verdict
    told = ", ".join(_models(one)) if one.verdict == "smaller than printed" else ""
    besides = "; ".join(dict.fromkeys(_besides(one)))
    takes = _takes(one.takes, measure) if one.takes else one.because
    return [
        escape(one.claim.text),
        _printed(one.claim),
        f"{measure.difference:+z.1f}",
        _interval(measure),
        f"{measure.n:,}",
        *tested,
        verdict
        + (f" ({told})" if told else "")
        + (f"; {besides}" if besides else "")
        + ("; see below" if one.claim.caveat else ""),
        escape(takes) or "-",
    ]


def _models(one: Finding) -> list[str]:
    """Whose printed differences are ruled out."""
    return [test.model for test in one.tests if test.shows == "smaller" and test.sure]


def _besides(one: Finding) -> Iterator[str]:
    for test in one.besides:
        if test.shows == "smaller":
            yield f"smaller than printed ({', '.join(_models(one))})"
        elif test.shows == "equivalent":
            yield f"less than {test.bound:g} points"


def _printed(claim: Claim) -> str:
    parts = []
    for one in claim.printed:
        ends = one.interval
        interval = f" ({ends[0]:+z.1f} to {ends[1]:+z.1f})" if ends else ""
        parts.append(f"{one.name}: {one.points:+z.1f}{interval}")
    if not parts:
        return claim.source
    none = "" if any(one.interval for one in claim.printed) else ", no interval"
    return f"{', '.join(parts)} ({claim.source}{none})"


def _interval(measure: Measure) -> str:
    ends = "-" if measure.low is None or measure.high is None else f"{measure.low:+z.1f} to {measure.high:+z.1f}"
    return ends + (FEW if measure.few_clusters is not None else "")


def _shown(test: Trial) -> str:
    if test.shows == "smaller":
        return (
            f"less than {test.model}'s {test.bound:+.1f}"
            if test.bound > 0
            else f"less of a fall than {test.model}'s {test.bound:+.1f}"
        )
    return {"different": "not 0", "equivalent": f"within {test.bound:g}", "beyond": f"beyond {test.bound:g}"}[test.shows]


def _p(p: float) -> str:
    return "<0.0001" if p < 0.0001 else f"{p:.4f}" if p < 0.1 else f"{p:.2f}"


def _takes(takes: Takes, measure: Measure) -> str:
    """'83 times the questions (8,300) to show -0.2'."""
    questions, seeds = (max(1.0, times) for times in (takes.more.questions, takes.more.seeds))
    told = f"{_times(questions)} times the questions ({round(questions * measure.n):,})"
    told += f" and {_times(seeds)} times the seeds" if seeds > 1 else ""
    return told + " to show " + (f"{takes.points:+.1f}" if takes.to == "show" else f"less than {takes.points:g}")


def _times(times: float) -> str:
    return f"{times:.1f}" if times < 10 else f"{times:,.0f}"


def _finding(one: Finding) -> dict[str, Any]:
    claim, measure = one.claim, one.measure
    return {
        "claim": {
            "text": claim.text,
            "row": claim.row,
            "other": claim.other,
            "table": claim.table,
            "columns": claim.columns,
            "expected": claim.expected,
            "printed": {part.model: {"points": float(part.points), "interval": part.interval} for part in claim.printed},
            "source": claim.source,
            "caveat": claim.caveat,
        },
        "difference": measure.difference,
        "low": measure.low,
        "high": measure.high,
        "error": measure.estimate.error if measure.estimate else None,
        "n": measure.n,
        **({"few_clusters": measure.few_clusters} if measure.few_clusters is not None else {}),
        **({"seeds": measure.seeds} if measure.seeds is not None else {}),
        "runs": dict(zip(("row", "other"), measure.runs, strict=True)),
        "tests": [_trial(test) for test in one.tests],
        "needs": [{"row": need.effect.row, "benchmark": need.effect.benchmark, **_trial(need)} for need in one.needs],
        "verdict": one.verdict if measure.difference is not None else None,
        "because": one.because,
        "takes": asdict(one.takes) if one.takes else None,
    }


def _trial(test: Trial) -> dict[str, Any]:
    of = {"model": test.model} if test.model else {}
    return {"shows": test.shows, "bound": test.bound, **of, "p": test.p, "p_adjusted": test.adjusted, "shown": test.sure}
