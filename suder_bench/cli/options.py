"""The options that several commands share, and what they ask for."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from suder_bench.cli.parsing import Once, Parser, batch_size, limits, more_than_nothing, not_negative, positive, whole
from suder_bench.errors import UserError, unknown
from suder_bench.limits import Limits
from suder_bench.machine import DTYPES, JUDGE_DTYPES, choose_device, choose_dtype, count_devices
from suder_bench.suites import SUITES
from suder_bench.terms import AT_ONCE, NOTHING, TIMEOUT, Arguments, Terms, arguments, budget, joined, prices

if TYPE_CHECKING:
    from suder_bench.models.reference import ModelReference
    from suder_bench.runs.plan import Settings
    from suder_bench.runs.staff import Staffing
    from suder_bench.runs.workers.ray_crew import Cluster


def add_settings(parser: Parser, model: str) -> None:
    """What `settings` reads; `model` says in the help whose guidance is the default."""
    group = parser.under("benchmarks and data")
    group.add_argument("--suite", help=f"{', '.join(SUITES)} or lmms:TASK[,TASK] of lmms-eval; this or --benchmark")
    group.add_argument("--benchmark", action="append", default=[], metavar="NAME", help="only this benchmark; may be repeated")
    group.add_argument("--repeats", type=positive, metavar="N", help="responses to a sample (default: the benchmark's)")
    group.add_argument(
        "--prompt-style",
        metavar="STYLE",
        help="put questions as official, janus, llava, vlmevalkit or lmms-eval does (default: janus, of LLaVA-Bench official)",
    )
    add_allow_missing(parser, "questions of a benchmark may lack their picture")
    add_responses(parser, model)


def add_allow_missing(parser: Parser, what: str) -> None:
    group = parser.under("benchmarks and data")
    group.add_argument(
        "--allow-missing",
        type=whole,
        default=0,
        metavar="N",
        help=f"so many {what}; they count as skipped, and the numbers are marked as not comparable (default: 0)",
    )


def add_responses(parser: Parser, model: str) -> None:
    """The part of `add_settings` that says nothing of which benchmarks, and how many responses to a sample."""
    add_data(parser, "world for models trained on it, official for others")
    data, sampling = parser.under("benchmarks and data"), parser.under("sampling")
    data.add_argument("--protocol", default="official", help="for the benchmarks that offer it (default: official)")
    data.add_argument(
        "--limit",
        type=limits,
        default=Limits(),
        metavar="N|BENCHMARK=N,...",
        help="N samples of each benchmark, or of those named (300,pope=900), evenly spread; whole groups, and one at least",
    )
    sampling.add_argument("--seed", type=whole, default=0, metavar="N", help="of all random choices (default: 0)")
    sampling.add_argument("--guidance", type=not_negative, help=f"of image sampling (default: {model}'s own, or 5)")
    sampling.add_argument("--steps", type=positive, metavar="N", help="of models that draw in steps (default: the model's own)")
    sampling.add_argument("--temperature", type=not_negative, default=1.0, help="of image sampling, 0 is greedy (default: 1)")
    sampling.add_argument(
        "--batch-size",
        type=batch_size,
        metavar="auto|N",
        help="responses made together; halves when memory is full (default: auto)",
    )
    add_judges(parser)
    add_machine(parser)


def add_model_arguments(parser: Parser) -> None:
    """What a model's adapter is asked besides its checkpoint; see `suder_bench.models.arguments`."""
    group = parser.under("model")
    group.add_argument("--image-area", type=positive, metavar="PIXELS", help="of a picture that an emu3 draws (default: 518400)")
    group.add_argument(
        "--base", action=Once, metavar="REF", help="folder or hub id of the model that LoRA adapters, or weights alone, go into"
    )
    group.add_argument(
        "--allow-nonfinite",
        action="store_true",
        help="load weights that are NaN or infinite; every number is then marked as not comparable",
    )
    group.add_argument(
        "--trust-remote-code",
        action="store_true",
        help="run code that lies in the checkpoint of a vision-language model; it can do anything that you can",
    )
    group.add_argument(
        "--no-capture",
        action="store_true",
        help="launch the kernels of a Janus' steps one by one, where a CUDA graph would launch them together",
    )
    group.add_argument(
        "--rehash",
        action="store_true",
        help="read all weights and pictures in files for their digests, also where they were kept",
    )


def model_arguments(args: argparse.Namespace) -> dict[str, str]:
    """{setting: value} of the options of `add_model_arguments` that are part of the model's reference."""
    from suder_bench.models.arguments import NO_CAPTURE, NONFINITE, TRUST, YES

    given = {"image_area": args.image_area and str(args.image_area)}
    given |= {NONFINITE: args.allow_nonfinite and YES, TRUST: args.trust_remote_code and YES}
    given[NO_CAPTURE] = args.no_capture and YES
    return {name: value for name, value in given.items() if value}


def choose_model(args: argparse.Namespace, text: str, *, fetch: bool = True) -> ModelReference:
    """`suder_bench.models.reference.choose`, with the options of `add_model_arguments`."""
    from suder_bench.models import reference

    return reference.choose(text, model_arguments(args), base=args.base, fetch=fetch)


def add_data(parser: Parser, default: str) -> None:
    group = parser.under("benchmarks and data")
    group.add_argument("--data", metavar="world|official|DIR", help=f"where the benchmark files come from (default: {default})")
    group.add_argument("--size", choices=["quick", "full"], help="how much of the world's data (default: quick)")


def add_judges(parser: Parser) -> None:
    group = parser.under("judges")
    group.add_argument(
        "--judge",
        action="append",
        default=[],
        metavar="ROLE=BACKEND",
        help="judge with another back-end (see suder-bench list judges); may be repeated",
    )
    group.add_argument("--judge-device", metavar="DEVICE", help="where the judges compute (default: as --device)")
    group.add_argument(
        "--judge-dtype",
        choices=["auto", *JUDGE_DTYPES],
        help="what the judges compute in (default: auto, each benchmark's own choice)",
    )
    group.add_argument(
        "--no-known-answers",
        dest="known_answers",
        action="store_false",
        help="do not ask the judges known answers before they score; every number is then marked as unchecked",
    )
    _add_endpoints(parser)


def _add_endpoints(parser: Parser) -> None:
    """The part of `add_judges` for judges behind an address."""
    group = parser.under("judges")
    group.add_argument(
        "--judge-args",
        action="append",
        default=[],
        metavar="ROLE.SETTING=VALUE",
        help="what a judge behind an address is sent besides the text; null leaves a setting out; may be repeated",
    )
    group.add_argument(
        "--judge-timeout",
        type=more_than_nothing,
        default=TIMEOUT,
        metavar="SECONDS",
        help=f"for one whole reply of a judge behind an address (default: {TIMEOUT:g})",
    )
    group.add_argument(
        "--judge-concurrency",
        type=positive,
        default=AT_ONCE,
        metavar="N",
        help=f"so many requests to a judge behind an address at once (default: {AT_ONCE})",
    )
    group.add_argument(
        "--judge-budget",
        metavar="AMOUNT",
        help="what judges behind an address may take in all of a run: 200000tokens, or money, as in 2.50 (default: no limit)",
    )
    group.add_argument(
        "--judge-price",
        action="append",
        default=[],
        metavar="ROLE=IN/OUT",
        help="what a million tokens of input and of output cost; may be repeated",
    )


def add_device(parser: Parser) -> None:
    group = parser.under("machine")
    group.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps (default: auto)")
    group.add_argument("--offline", action="store_true", help="never use the network")


def add_machine(parser: Parser) -> None:
    add_device(parser)
    parser.under("machine").add_argument(
        "--dtype", default="auto", choices=["auto", *DTYPES], help="of the model's weights (default: auto)"
    )


def workers(text: str) -> int | str:
    return text if text == "auto" else positive(text)


def share_of_gpus(text: str) -> float:
    value = not_negative(text)
    if value > 1 and not value.is_integer():
        raise argparse.ArgumentTypeError(f"'{text}' is neither a part of a GPU nor a whole number of them")
    return value


def add_workers(parser: Parser, *, judges: bool = True) -> None:
    """What `staffing` reads; `judges` of their own only where something responds."""
    group = parser.under("processes")
    group.add_argument(
        "--workers",
        type=workers,
        metavar="auto|N",
        help="so many processes do the work, auto: one on each GPU or core (default: this process alone)",
    )
    if judges:
        group.add_argument(
            "--judge-workers",
            type=positive,
            metavar="N",
            help="so many more processes judge while the model still responds (default: the same judge afterwards)",
        )
    group.add_argument(
        "--worker-timeout",
        type=more_than_nothing,
        metavar="SECONDS",
        help="start a worker again that has said nothing for so long (default: never)",
    )
    group.add_argument(
        "--ray", metavar="auto|HOST:PORT", help="the workers are in a Ray cluster, auto: the one of this machine, else a new one"
    )
    shares = {"--gpus-per-worker": "that a worker has", **({"--judge-gpus": "that a judge worker has"} if judges else {})}
    for option, whose in shares.items():
        text = f"share of a GPU {whose} with --ray (default: 1 on CUDA)"
        group.add_argument(option, type=share_of_gpus, metavar="F", help=text)


def staffing(args: argparse.Namespace, device: str) -> Staffing:
    """The processes that work on a device. Raises `UserError` for settings of workers where there are none."""
    from suder_bench.runs.staff import Staffing

    count, judges = args.workers, getattr(args, "judge_workers", None)
    if args.ray is not None:
        count = None if count == "auto" else count
        return Staffing(count, judges, args.worker_timeout, getattr(args, "verbose", False), _cluster(args, device))
    for name in ("gpus_per_worker", "judge_gpus"):
        if getattr(args, name, None) is not None:
            raise UserError(f"--{name.replace('_', '-')} is for workers in a Ray cluster; give --ray auto, or leave it out")
    if count == "auto":
        count = count_devices(device)
        count = None if count < 2 and not judges else count
    elif count is None and judges:
        count = 1
    if count is None and args.workers is None and args.worker_timeout is not None:
        raise UserError("--worker-timeout is for workers; give --workers N, or leave it out")
    return Staffing(count, judges, args.worker_timeout, getattr(args, "verbose", False))


def _cluster(args: argparse.Namespace, device: str) -> Cluster:
    from suder_bench.runs.workers.ray_crew import Cluster

    share = float(device.startswith("cuda")) if args.gpus_per_worker is None else args.gpus_per_worker
    judge_device = getattr(args, "judge_device", None) or device
    own = getattr(args, "judge_gpus", None)
    return Cluster(args.ray, share, (share if judge_device.startswith("cuda") else 0.0) if own is None else own)


def device_there(device: str, args: argparse.Namespace, share: str) -> str:
    """`choose_device` where the work is done, which with --ray and a `share` of GPUs need not be this machine."""
    elsewhere = getattr(args, "ray", None) is not None and getattr(args, share, None)
    return "cuda" if elsewhere and device in ("auto", "cuda") else choose_device(device)


def limits_of(given: Limits, benchmarks: Sequence[str]) -> Limits:
    """Those of the benchmarks asked. Raises `UserError` for a name that is none, which would limit nothing."""
    from suder_bench import registry

    for name in given.named:
        if name not in benchmarks and name not in registry.table("benchmarks"):
            raise unknown("benchmark of --limit", name, {*registry.table("benchmarks"), *benchmarks})
    return given.among(benchmarks)


def add_site(parser: Parser) -> None:
    parser.add_argument("--no-site", dest="site", action="store_false", help="write no pages for a browser")
    parser.add_argument(
        "--pictures",
        type=positive,
        metavar="N",
        help="at most N responses of each run and benchmark in the pages, evenly spread (default: all)",
    )


def add_json(parser: Parser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON document on stdout instead of the table")


def add_verbose(parser: Parser) -> None:
    parser.add_argument("--verbose", action="store_true", help="every metric, not only those of the paper's tables")


def settings(args: argparse.Namespace, choose_model: Callable[[], ModelReference]) -> tuple[ModelReference, Settings]:
    """The model, and what the options of `add_settings` ask of it; a wrong model and a wrong suite are told together."""
    from suder_bench import registry, suites
    from suder_bench.data import source
    from suder_bench.models.protocols import ImageSampling
    from suder_bench.runs.plan import Settings, protocol_named, raise_all

    mistakes: list[UserError] = []
    model = _collected(mistakes, choose_model)
    chosen = _collected(mistakes, lambda: suites.choose(args.suite, args.benchmark, args.data))
    overrides = _collected(mistakes, lambda: judges(args.judge))
    given = _collected(mistakes, lambda: arguments(args.judge_args))
    raise_all(mistakes)
    suite, benchmarks = _able(model, args, chosen)
    limited = limits_of(args.limit, benchmarks)
    device = device_there(args.device, args, "gpus_per_worker")
    return model, Settings(
        suite=suite,
        benchmarks=benchmarks,
        source=source.choose(args.data, args.size, world_model=model.world and not all(map(registry.family, benchmarks))),
        protocol=protocol_named(args.protocol, benchmarks),
        prompt_style=getattr(args, "prompt_style", None),
        seed=args.seed,
        limit=limited.each,
        limits=limited.named,
        repeats=args.repeats,
        image=ImageSampling(
            temperature=args.temperature,
            guidance=model.guidance if args.guidance is None else args.guidance,
            steps=model.steps if args.steps is None else args.steps,
        ),
        device=device,
        dtype=choose_dtype(args.dtype, device),
        judges=overrides,
        judge_device=device_there(args.judge_device or device, args, "gpus_per_worker"),
        judge_dtype=args.judge_dtype or "auto",
        known_answers=args.known_answers,
        terms=_terms(args, frozenset(overrides), given),
        offline=args.offline,
        allow_missing=args.allow_missing,
    )


def _able(model: ModelReference, args: argparse.Namespace, chosen: tuple[str, tuple[str, ...]]) -> tuple[str, tuple[str, ...]]:
    """The suite and its benchmarks that the model can do, which is told where they are fewer than were asked for."""
    from suder_bench import suites
    from suder_bench.models.reference import HALVES

    suite = suites.half(args.suite, args.benchmark, HALVES.get(model.adapter))
    if suite == args.suite:
        return chosen
    does = {"und": "answers questions and draws nothing", "gen": "draws pictures and answers nothing"}[str(suite)]
    print(f"suder-bench: model '{model.name}' {does}: --suite {args.suite} is --suite {suite} for it", file=sys.stderr)
    return suites.choose(suite)


def _collected(mistakes: list[UserError], choose: Callable[[], Any]) -> Any:
    try:
        return choose()
    except UserError as mistake:
        mistakes.append(mistake)
        return None


def judges(pairs: Sequence[str]) -> dict[str, str]:
    """{role: backend} of the values of `--judge`."""
    chosen: dict[str, str] = {}
    for pair in pairs:
        role, equals, backend = pair.partition("=")
        if not (role and equals and backend):
            raise UserError(f"--judge '{pair}' is not ROLE=BACKEND; for example --judge detector=world")
        chosen[role] = backend
    return chosen


def judge_terms(args: argparse.Namespace, stored: Arguments = NOTHING) -> Terms:
    """What the options of `add_judges` say of judges behind an address; `stored` settings hold where they say nothing."""
    given = joined(stored, arguments(args.judge_args))
    return _terms(args, frozenset(judges(args.judge)), given)


def _terms(args: argparse.Namespace, named: frozenset[str], given: Arguments) -> Terms:
    limit = None if args.judge_budget is None else budget(args.judge_budget)
    return Terms(named, given, args.judge_timeout, args.judge_concurrency, limit, prices(args.judge_price))


def prepare(*, offline: bool, rehash: bool = False) -> None:
    """Keep other packages' bars off files and pipes, and with `offline` their hands off the network; `rehash` trusts no digest
    kept from an earlier time, also in processes that are started from here.

    Must run before anything imports the hub's client, which reads these once.
    """
    if not sys.stderr.isatty():
        os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    if rehash:
        os.environ["SUDER_BENCH_REHASH"] = "1"
    if offline:
        os.environ["HF_HUB_OFFLINE"] = "1"
        os.environ["TRANSFORMERS_OFFLINE"] = "1"


def machine(device: str, dtype: str) -> tuple[str, str]:
    """The device and dtype to use, with what 'auto' stands for here. Raises `UserError` for what is unknown or not here."""
    chosen = choose_device(device)
    return chosen, choose_dtype(dtype, chosen)
