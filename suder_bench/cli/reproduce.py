"""`suder-bench reproduce`: the whole paper, from the start model to tables and figures, as one command that can be resumed."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from suder_bench.cli import options, parsing
from suder_bench.errors import UserError
from suder_bench.limits import Limits
from suder_bench.terms import arguments

if TYPE_CHECKING:
    from suder_bench.reports.reproduction import Choices
    from suder_bench.steps import Step

MOST_JOBS = 8
SCALES = ("tiny", "janus-pro-1b", "janus-pro-7b", "show-o", "show-o-512")


def main(argv: Sequence[str]) -> int:
    args = _parser().parse_args(argv)
    options.prepare(offline=args.offline)
    from suder_bench import suites
    from suder_bench.reports.reproduction import Choices, plan
    from suder_bench.runs.jsonl import document
    from suder_bench.runs.screen import Screen

    out = args.out or Path("runs") / f"reproduce-{args.scale}{'-quick' if args.quick else ''}"
    chosen = Choices(
        scale=args.scale,
        out=out,
        quick=args.quick,
        seeds=args.seeds,
        sets=tuple(args.set),
        limit=options.limits_of(args.limit, suites.SUITES["all"]),
        judges=tuple(args.judge),
        judge_args=tuple(args.judge_args),
        judge_timeout=args.judge_timeout,
        judge_concurrency=args.judge_concurrency,
        device=args.device,
        offline=args.offline,
        processes=args.processes or _gpus(args.scale),
        workers=None if args.workers is None else str(args.workers),
        ray=args.ray,
    )
    steps = plan(chosen)
    jobs = _jobs(args.jobs, args.scale)
    lacking = _lacking(chosen)
    if args.dry_run:
        found = _preview(steps, lacking, jobs)
        sys.stdout.write(document(found) if args.json else _render(found))
        return 0
    if lacking:
        raise ExceptionGroup("missing", [UserError(f"{what}; {fix}") for what, fix in lacking])
    return _run(steps, chosen, jobs, Screen().say, as_json=args.json)


def _parser() -> parsing.Parser:
    parser = parsing.Parser(
        "reproduce",
        "Train the paper's model, its ablations, SRUM and both together, evaluate them, compare the rewards, and write Tables "
        "1-6, Figures 3-6, Extension A (ours: SUDER against SRUM), the site and what agrees with the paper. The same command "
        "again goes on where it stopped.",
    )
    parser.add_argument(
        "--scale",
        required=True,
        choices=SCALES,
        help="tiny: two cores and the world; the others: GPUs and official data, of show-o Table 6 alone",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="where everything goes (default: runs/reproduce-SCALE)")
    parser.add_argument("--quick", action="store_true", help="the same plan with short trainings and few samples, as a smoke run")
    parser.add_argument(
        "--seeds",
        type=parsing.positive,
        default=1,
        metavar="N",
        help="train the recipes of Tables 4 and 5, GRPO and SRUM with so many seeds, which are one row (default: 1)",
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="put over the recipe of every training; may be repeated"
    )
    parser.add_argument("--limit", type=parsing.limits, default=Limits(), metavar="N|BENCHMARK=N,...", help="as for run")
    judging = parser.under("judges")
    judging.add_argument(
        "--judge", action="append", default=[], metavar="ROLE=BACKEND", help="as for run; may be repeated", type=_judge
    )
    judging.add_argument(
        "--judge-args",
        action="append",
        default=[],
        metavar="ROLE.SETTING=VALUE",
        help="as for run; may be repeated",
        type=_setting,
    )
    judging.add_argument("--judge-timeout", type=parsing.more_than_nothing, metavar="SECONDS", help="as for run")
    judging.add_argument("--judge-concurrency", type=parsing.positive, metavar="N", help="as for run")
    processes = parser.under("processes")
    processes.add_argument(
        "--processes", type=parsing.positive, metavar="N", help="that train at scales above tiny (default: the GPUs here)"
    )
    processes.add_argument(
        "--jobs",
        type=parsing.positive,
        metavar="N",
        help="commands side by side at scale tiny (default: one for each core, up to 8)",
    )
    processes.add_argument("--workers", type=options.workers, metavar="auto|N", help="that evaluate, as for run")
    processes.add_argument("--ray", metavar="auto|HOST:PORT", help="as for run")
    parser.add_argument("--dry-run", action="store_true", help="print the commands with an estimate of time, and start nothing")
    options.add_device(parser)
    options.add_json(parser)
    return parser


def _judge(text: str) -> str:
    options.judges([text])
    return text


def _setting(text: str) -> str:
    arguments([text])
    return text


def _gpus(scale: str) -> int:
    if scale == "tiny":
        return 1
    import torch

    return max(1, torch.cuda.device_count())


def _jobs(asked: int | None, scale: str) -> int:
    """Commands at a time: above tiny each training has all GPUs."""
    from suder_bench.machine import cores

    if scale == "tiny":
        return asked or min(cores(), MOST_JOBS)
    if asked:
        raise UserError(f"--jobs {asked} is for --scale tiny: at {scale} each training takes all GPUs; leave it out")
    return 1


def _lacking(chosen: Choices) -> list[tuple[str, str]]:
    """What the plan needs and does not find here, with the command that brings it; nothing is loaded for it."""
    if chosen.tiny:
        return []
    from suder_bench import suites
    from suder_bench.cli import doctor

    found = []
    if chosen.device in ("auto", "cuda") and not _has_gpu():
        found.append(("no GPU here", "see suder-bench doctor, or train on the processor with --device cpu"))
    recipe = chosen.recipe_of()
    extras = {"train", "deepspeed"} if recipe.trainer.get("deepspeed") else {"train"}
    found += [(f"{one.name}: {one.says}", str(one.fix)) for one in doctor.extras() if one.name in extras and one.state != "ok"]
    found += _weights(recipe.model)
    for source in recipe.data.images:
        if not source.source.startswith("hub:") and source.source != "world" and not Path(source.source).expanduser().exists():
            fix = "put the pictures there, or name others with --set data.images=[{source: FOLDER, count: 2800}]"
            found.append((f"training pictures '{source.source}' are not here", fix))
    asked = suites.SUITES[chosen.suite()]
    absent = {one.name: one for one in doctor.official_data() if one.state != "ok" and one.name in asked}
    found += [(f"official data of {name}: {one.says}", str(one.fix)) for name, one in absent.items()]
    return [*found, *_questions(chosen, absent), *_judges(chosen)]


def _questions(chosen: Choices, absent: Collection[str]) -> list[tuple[str, str]]:
    """What lacks of the other benchmarks, such as the pictures that questions are about."""
    from suder_bench import suites
    from suder_bench.data.source import Source
    from suder_bench.runs.plan import Settings, plan

    found = []
    for name in (name for name in suites.SUITES[chosen.suite()] if name not in absent):
        try:
            plan(Settings(chosen.suite(), (name,), Source("official"), offline=True), lambda line: None)
        except UserError as mistake:
            found.append((f"official data of {name}", str(mistake)))
    return found


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def _weights(model: str) -> list[tuple[str, str]]:
    """Of the start model those checkpoints that are neither folders nor in the hub's cache."""
    from suder_bench.models import reference

    absent = reference.choose(model, fetch=False).absent()
    return [(f"weights of {one} are not here", f"hf download {one}, or name a folder with --set model=FOLDER") for one in absent]


def _judges(chosen: Choices) -> list[tuple[str, str]]:
    """The judges of the suite that lack a package or weights."""
    from suder_bench import registry, suites
    from suder_bench.evaluators.judges.needs import needs_of
    from suder_bench.runs.judges import seat

    overrides = options.judges(chosen.judges)
    roles = dict.fromkeys(
        role for name in suites.SUITES[chosen.suite()] for role in registry.load("benchmarks", name).judge_roles
    )
    found = []
    for role in roles:
        backend, _, source = overrides.get(role, "official").partition(":")
        needs = needs_of(role, backend)
        if needs is not None and not needs.found and not source:
            found.append((f"judge {role}: weights not found: {needs.weights}", needs.download))
        elif needs is None:  # an endpoint, or another package's
            panel = seat({role: overrides.get(role, backend)}, device="cpu", dtype="float32", offline=True, known_answers=False)
            found += [(what, fix) for what, _, fix in (str(error).partition("; ") for error in panel.missing.values())]
    return found


def _preview(steps: Sequence[Step], lacking: Sequence[tuple[str, str]], jobs: int) -> dict[str, Any]:
    """The document of `--dry-run --json`: seconds are estimates, null where nobody has measured them, which is above tiny; a
    step's are those that it takes alone."""
    from suder_bench.reports.reproduction import SIDE_BY_SIDE

    known = [step.seconds for step in steps if step.seconds is not None]
    return {
        "schema": 1,
        "steps": [{"name": step.name, "command": step.shown(), "seconds": step.seconds} for step in steps],
        "jobs": jobs,
        "seconds": sum(known) * (SIDE_BY_SIDE if jobs > 1 else 1.0) if known else None,
        "lacking": [{"what": what, "fix": fix} for what, fix in lacking],
    }


def _render(found: dict[str, Any]) -> str:
    from suder_bench.runs.screen import duration

    def about(seconds: float | None) -> str:
        return "time unknown" if seconds is None else f"about {duration(seconds)}"

    lines = []
    for number, step in enumerate(found["steps"], 1):
        lines += [f"{number:>2}  {step['name']}, {about(step['seconds'])}", f"    {step['command']}"]
    total = about(found["seconds"])
    if found["seconds"] is None:
        total += ": nobody has measured these commands; the first steps of a training tell (seconds/step in metrics.jsonl)"
    else:
        total += " on two cores" + (f", {found['jobs']} at a time" if found["jobs"] > 1 else "")
    lines += ["", f"{len(found['steps'])} commands, {total}"]
    lines += [f"missing: {one['what']}; {one['fix']}" for one in found["lacking"]]
    return "\n".join(lines) + "\n"


def _run(steps: Sequence[Step], chosen: Choices, jobs: int, say: Any, *, as_json: bool) -> int:
    from suder_bench.cli.doctor import hardware
    from suder_bench.reports.reproduction import told
    from suder_bench.runs.jsonl import document, replace_file
    from suder_bench.runs.recipe import versions
    from suder_bench.runs.screen import duration
    from suder_bench.runs.store import RunFolder
    from suder_bench.steps import RECORD, Work

    work = Work(steps, chosen.out, _command(chosen), hardware(), versions(), say, jobs)
    try:
        with RunFolder(chosen.out).locked():
            complete = work.execute()
            replace_file(chosen.out / "report" / "reproduction.md", told(work.record).encode())
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"interrupted; the same command goes on from here ({chosen.out})") from None
    if as_json:
        sys.stdout.write(document(work.record))
    else:
        print(f"report  {chosen.out / 'report'}\nrecord  {chosen.out / RECORD}, {duration(work.record['seconds'])} in all")
    return 0 if complete else 1


def _command(chosen: Choices) -> str:
    """What decides the results, as it is typed: how many processes or which device may change from one attempt to the next."""
    words = ["suder-bench", "reproduce", "--scale", chosen.scale, *(["--quick"] if chosen.quick else [])]
    words += ["--seeds", str(chosen.seeds)] if chosen.seeds > 1 else []
    words += [word for one in chosen.sets for word in ("--set", one)]
    words += ["--limit", str(chosen.limit)] if chosen.limit else []
    words += chosen.judge_words()
    return shlex.join([*words, "--out", str(chosen.out)])
