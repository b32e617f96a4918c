"""`suder-bench serve`: a benchmark's judges behind an address, for trainers and harnesses in other environments."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from suder_bench.cli import options, parsing
from suder_bench.errors import UserError
from suder_bench.machine import choose_device, cores
from suder_bench.remote.address import LOCAL, TOKEN, key_of

if TYPE_CHECKING:
    from suder_bench.service.api import Service
    from suder_bench.service.setting import Setting
    from suder_bench.service.workers import Worker

PORT = 8321
SHORTEST = 16
"""Characters of a token: what is shorter can be tried out."""

GRACE = 10.0
"""Seconds for the requests at hand once the server is to end."""


def main(argv: Sequence[str]) -> int:
    args = _parser().parse_args(argv)
    options.prepare(offline=args.offline)
    from suder_bench.service.api import Service

    setting = _setting(args)
    devices = _devices(args)
    token, most = _token(args), args.max_mb * 1_000_000
    with _port_at_hand(args):
        server = Service((args.host, args.port), token=token, most_body=most, most_held=8 * most)
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        with server:
            return _serve(server, setting, devices, args)
    finally:
        signal.signal(signal.SIGTERM, before)


def _parser() -> parsing.Parser:
    parser = parsing.Parser(
        "serve",
        "Judge pictures that others send: POST /v1/score with prompts or metadata and pictures (docs/serve.md). The judges know"
        " their known answers before the port opens. Ctrl-C ends it.",
    )
    data = parser.under("benchmarks and data")
    data.add_argument(
        "--benchmark", action="append", default=[], metavar="NAME", help="whose judges; may be repeated (default: geneval)"
    )
    options.add_data(parser, "official")
    data.add_argument("--protocol", default="official", help="of the benchmarks (default: official)")
    options.add_judges(parser)
    options.add_device(parser)
    _add_callers(parser)
    _add_batches(parser)
    return parser


def _add_callers(parser: parsing.Parser) -> None:
    group = parser.under("callers")
    group.add_argument("--host", default="127.0.0.1", help="any other than this machine's own needs a token (default: 127.0.0.1)")
    group.add_argument("--port", type=parsing.port, default=PORT, metavar="N", help=f"0 takes a free one (default: {PORT})")
    group.add_argument(
        "--token-env",
        default=TOKEN,
        metavar="NAME",
        help=f"the variable that holds the token callers must send (default: {TOKEN})",
    )
    group.add_argument("--token-file", type=Path, metavar="FILE", help="the file that holds it instead")
    group.add_argument("--max-mb", type=parsing.positive, default=64, metavar="MB", help="of one request (default: 64)")


def _add_batches(parser: parsing.Parser) -> None:
    group = parser.under("batches")
    group.add_argument(
        "--devices", metavar="DEVICE,DEVICE", help="a worker process on each, or auto: one on each GPU (default: one on --device)"
    )
    group.add_argument("--queue", type=parsing.positive, default=1024, metavar="N", help="pictures that may wait (default: 1024)")
    group.add_argument(
        "--patience", type=parsing.not_negative, default=5.0, metavar="MS", help="for a batch to fill (default: 5)"
    )
    group.add_argument(
        "--batch-timeout",
        type=parsing.more_than_nothing,
        default=600.0,
        metavar="SECONDS",
        help="after which a worker counts as stuck, and is started again (default: 600)",
    )


def _setting(args: argparse.Namespace) -> Setting:
    """Raises `UserError` for a benchmark that nobody knows, and a judge that none of them asks."""
    from suder_bench import registry
    from suder_bench.data import source
    from suder_bench.service.setting import Setting

    if args.judge_budget is not None or args.judge_price:
        raise UserError("--judge-budget and --judge-price are for a run, and a service has no end; leave them out")
    names = tuple(dict.fromkeys(args.benchmark)) or ("geneval",)
    for name in names:
        kind = registry.load("benchmarks", name).kind
        if kind != "generation":
            raise UserError(f"{name} is a benchmark of {kind}, and pictures are judged here; choose geneval or t2i-compbench")
    return Setting(
        benchmarks=names,
        source=source.choose(args.data, args.size, world_model=False),
        protocol=args.protocol,
        judges=options.judges(args.judge),
        device=args.judge_device or args.device,
        dtype=args.judge_dtype or "auto",
        offline=args.offline,
        known_answers=args.known_answers,
        terms=options.judge_terms(args),
    )


def _devices(args: argparse.Namespace) -> list[str]:
    """Where the workers compute, one each. Raises `UserError` for a device that is unknown or not here."""
    if args.devices is None:
        return [choose_device(args.judge_device or args.device)]
    if args.devices != "auto":
        return [choose_device(device.strip()) for device in args.devices.split(",")]
    import torch

    return [f"cuda:{i}" for i in range(torch.cuda.device_count())] or ["cpu"]


def _token(args: argparse.Namespace) -> str | None:
    """Raises `UserError` for one that is missing, too short, or nothing that a header can hold."""
    variable, file = args.token_env, args.token_file
    try:
        text = os.environ.get(variable, "") if file is None else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--token-file {file} cannot be read ({error}); name a file that holds the token") from None
    token = key_of(text, variable if file is None else str(file), "serve")
    if file is not None and token is None:
        raise UserError(f"--token-file {file} is empty; put a token into it, for example openssl rand -hex 32 > {file}")
    if token is None and args.host not in LOCAL:
        raise UserError(
            f"--host {args.host} lets other machines ask; put a token that they must send into {variable}, for example"
            f" export {variable}=$(openssl rand -hex 32), or give --token-file FILE"
        )
    if token is not None and len(token) < SHORTEST:
        raise UserError(f"the token has {len(token)} characters; take {SHORTEST} or more")
    return token


def _serve(server: Service, setting: Setting, devices: Sequence[str], args: argparse.Namespace) -> int:
    from suder_bench.service.batching import Batching
    from suder_bench.service.workers import Worker

    workers = [
        Worker({**setting.document(), "device": device}, longest=args.batch_timeout, environment=_environment(devices))
        for device in devices
    ]
    batching = None
    try:
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.ready()
        _check_alike(workers, devices)
        batching = Batching(workers, most=args.queue, patience=args.patience / 1000)
        with _port_at_hand(args):
            server.open(workers[0].offered, workers, batching)
        _say(server, devices)
        server.serve_forever(poll_interval=0.1)
    except _Terminated:
        server.drain(GRACE)
        return 0
    except KeyboardInterrupt:
        print("suder-bench: answering the requests at hand; ctrl-C again ends at once", file=sys.stderr)
        server.drain(GRACE)
        raise KeyboardInterrupt("no longer serving") from None
    finally:
        if batching is not None:
            batching.close()
        for worker in workers:
            worker.close()
    return 0


@contextmanager
def _port_at_hand(args: argparse.Namespace) -> Iterator[None]:
    """Raises `UserError` where the address cannot be had, or another server was faster."""
    try:
        yield
    except (OSError, OverflowError) as error:
        raise UserError(
            f"port {args.port} of {args.host} cannot be had ({error}); give another --port, or 0 for a free one"
        ) from None


def _check_alike(workers: Sequence[Worker], devices: Sequence[str]) -> None:
    """Raises `UserError` where a score would depend on who gives it: judges compute in other precisions on other devices."""
    for worker, device in zip(workers, devices, strict=True):
        if worker.offered != workers[0].offered:
            raise UserError(
                f"--devices: the judges on {device} are not those on {devices[0]}; name devices of one kind, or one --judge-dtype"
            )


def _environment(devices: Sequence[str]) -> dict[str, str]:
    """Workers on one processor share its cores, where nobody has said how many threads there are to be."""
    on_cpu = sum(device == "cpu" for device in devices)
    if on_cpu < 2 or "OMP_NUM_THREADS" in os.environ:
        return {}
    return {"OMP_NUM_THREADS": str(max(1, cores() // on_cpu))}


def _say(server: Service, devices: Sequence[str]) -> None:
    judged = "; ".join(
        f"{name} by " + ", ".join(f"{role}={judge['backend']}" for role, judge in one["judges"].items())
        for name, one in server.offered.items()
    )
    print(f"{server.url}  (Ctrl-C ends it)", flush=True)
    print(f"suder-bench: {judged}, on {', '.join(devices)}", file=sys.stderr, flush=True)


class _Terminated(BaseException):
    """The process was asked to end."""


def _terminate(*_: Any) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a second one ends at once
    raise _Terminated
