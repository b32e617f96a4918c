"""The command line: `suder-bench COMMAND ...`. One file per command, imported once the command is known."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version

from suder_bench.called import called
from suder_bench.errors import IN_THE_WAY, REFUSALS, UserError, refused, unknown
from suder_bench.machine import use_large_pages, wait_passively

COMMANDS = {
    "run": "evaluate a model on a suite of benchmarks",
    "train": "train a model with its own rewards",
    "score": "score a run folder again, or pictures and answers made elsewhere",
    "track": "evaluate a training run's checkpoints as they appear, with curves",
    "verify": "check that a run folder is what a run left there, or that it comes out again",
    "compare": "compare two runs with a paired test for each metric",
    "power": "how many questions and seeds a difference needs, from a pilot run",
    "report": "write the paper's tables from runs, beside the published rows",
    "export": "write a run's numbers for the model's page on the Hugging Face hub",
    "reproduce": "the whole paper: train, evaluate and report everything, resumable",
    "view": "look at runs in a browser: numbers, pictures, verdicts, curves",
    "reward": "compare rewards: which one picks the better samples of a model",
    "model-server": "serve a script's functions as a model, from that model's own environment",
    "serve": "judge pictures that trainers and harnesses elsewhere send, over HTTP",
    "list": "list the benchmarks, models, judges, rewards and suites",
    "convert": "write a checkpoint in transformers' layout, for other tools",
    "data": "write the world's benchmark files, or fetch and check the official ones",
    "judges": "list, fetch and check the weights of the benchmarks' own judges",
    "doctor": "look at what is installed and how to get what is missing",
}
REPORTS = ("list", "compare", "power", "verify", "doctor")
"""Commands that only print: a reader that leaves early, as in `suder-bench list | head`, has what it wanted."""

INTERRUPTED = 130
BROKEN_PIPE = 141


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns 0 all done, 1 something failed, 2 the user's mistake, 130 interrupted,
    141 nobody reads what an unfinished command says.

    A mistake is told in one line each; a bug keeps its traceback.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        status = _dispatch(arguments)
    except BrokenPipeError:
        _hush()
        return 0 if arguments and arguments[0] in REPORTS else BROKEN_PIPE
    except UserError as mistake:
        return _tell([mistake])
    except ExceptionGroup as group:
        mistakes, bugs = group.split(UserError)
        if bugs is not None or mistakes is None:
            raise
        return _tell([mistake for mistake in mistakes.exceptions if isinstance(mistake, UserError)])
    except KeyboardInterrupt as interrupt:
        print(f"\nsuder-bench: {interrupt.args[0] if interrupt.args else 'interrupted'}", file=sys.stderr)
        return INTERRUPTED
    except OSError as error:
        if error.errno not in REFUSALS | IN_THE_WAY:
            raise
        return _tell([refused(error)])
    except SystemExit as end:  # how argparse ends after --help
        status = end.code if isinstance(end.code, int) else 0 if end.code is None else 2
    try:
        sys.stdout.flush()
    except BrokenPipeError:  # the work is done, only its last lines go unread
        _hush()
    except OSError as error:
        _hush()
        return _tell([refused(error)])
    return status


def usage() -> str:
    width = max(map(len, COMMANDS)) + 2
    commands = "\n".join(f"  {name:<{width}}{says}" for name, says in COMMANDS.items())
    return (
        "usage: suder-bench COMMAND ...\n\n"
        "Evaluate unified text-and-image models.\n\n"
        f"commands:\n{commands}\n\n"
        "options:\n"
        "  --version  print the version\n"
        "  --help     print this; after a command, print its options\n\n"
        "example: suder-bench run --model tiny-janus --suite gen"
    )


def _dispatch(arguments: list[str]) -> int:
    command = arguments[0] if arguments else "--help"
    if command in ("--help", "-h"):
        print(usage())
        return 0 if arguments else 2
    if command == "--version":
        print(f"suder-bench {version('suder-bench')}")
        return 0
    if command not in COMMANDS:
        raise unknown("command", command, COMMANDS)
    wait_passively()
    use_large_pages()
    with called(arguments):
        status: int = import_module(f"suder_bench.cli.{command.replace('-', '_')}").main(arguments[1:])
    return status


def _hush() -> None:
    """Send the rest of stdout nowhere, so that the interpreter's own last flush does not fail."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _tell(mistakes: Sequence[UserError]) -> int:
    for mistake in mistakes:
        print(f"suder-bench: {mistake}", file=sys.stderr)
    return max(mistake.status for mistake in mistakes)
