"""Models for workers in processes of their own: what happens to one is written to a folder, so that it happens so often only."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fakes import FakeModel, ShadeJudge
from PIL import Image

from suder_bench.errors import JudgeError, UserError


@dataclass
class Troubled(FakeModel):
    """Meets with each of its `troubles`, {prompt: what}, at most `times` times in all workers together.

    What is "kill", "hang" or "exit". Every process that loads it leaves its number in `notes`.
    """

    notes: Path = Path()
    troubles: dict[str, str] = field(default_factory=dict)
    times: int = 1

    def __post_init__(self) -> None:
        (self.notes / f"process-{os.getpid()}").touch()

    def _meet(self, prompts: Sequence[str]) -> None:
        for prompt in prompts:
            what = self.troubles.get(prompt)
            if what and any(self._first(f"{what}-{number}") for number in range(self.times)):
                self._suffer(what)
        super()._meet(prompts)

    def _suffer(self, what: str) -> None:
        if what == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if what == "exit":
            os._exit(7)
        time.sleep(3600)

    def _first(self, name: str) -> bool:
        try:
            (self.notes / name).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True


@dataclass
class Gathering(FakeModel):
    """Waits at its first batch, for a minute at most, until `workers` processes have one."""

    notes: Path = Path()
    workers: int = 2

    def _meet(self, prompts: Sequence[str]) -> None:
        (self.notes / f"gathered-{os.getpid()}").touch()
        until = time.monotonic() + 60
        while len(list(self.notes.glob("gathered-*"))) < self.workers and time.monotonic() < until:
            time.sleep(0.01)
        super()._meet(prompts)


def lame(notes: Path, right: int = 1) -> FakeModel:
    """Loads in the first `right` workers, and in no other."""
    for number in range(right):
        try:
            (notes / f"loaded-{number}").touch(exist_ok=False)
        except FileExistsError:
            continue
        return FakeModel(seconds=0.08)  # long enough for the others to be heard
    time.sleep(0.3)
    raise UserError("no weights here; put them there")


def strange(notes: Path) -> FakeModel:
    """In all but the first worker another model of the same name."""
    try:
        (notes / "first").touch(exist_ok=False)
    except FileExistsError:
        return FakeModel(right=False, fingerprint="another one")
    return FakeModel(seconds=0.08)


def dies_loading() -> FakeModel:
    os._exit(9)


def _unreadable() -> None:
    raise ValueError("not for other processes")


@dataclass
class Secretive(FakeModel):
    """Shows a fingerprint that no other process can read."""

    def __post_init__(self) -> None:
        self.fingerprint = Hidden("fake weights 1")


class Hidden(str):
    def __reduce__(self) -> tuple[object, ...]:
        return (_unreadable, ())


class FleetingJudge(ShadeJudge):
    """Kills the first worker that judges with it, and then cannot be had for as long as a worker ends; the next has it again.

    Its notes are in the folder that the environment variable FLEETING names.
    """

    backend = "fleeting"

    def __init__(self) -> None:
        notes = Path(os.environ["FLEETING"])
        self._loads = len(list(notes.glob("loaded-*")))
        (notes / f"loaded-{self._loads}").touch()

    def check(self) -> None:
        if self._loads == 1:
            raise JudgeError("the judge's memory is gone")

    def shades(self, pictures: Sequence[Image.Image]) -> list[int]:
        if self._loads == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().shades(pictures)
