"""Getting the weights of official judges: what is missing, said with its size before it starts, resumed where it broke off."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace as replaced
from pathlib import Path
from urllib.parse import urlsplit

from suder_bench.data.fetch import EVERY, FetchError, fetch, make_room
from suder_bench.data.fetch import amount as size_text
from suder_bench.errors import UserError
from suder_bench.evaluators.judges.manifest import Weight

MOST = 1 << 31
"""Bytes of the largest answer that is taken for weights whose size is not known; the largest known file has 1.7 GB."""

Say = Callable[[str], None]


def ensure(wanted: Sequence[Weight], folder: Path, say: Say, *, offline: bool, replace: bool = False, keep: bool = False) -> int:
    """Bring those of these files that are missing into the folder of weights; returns how many were fetched.

    A file that is there and is another is fetched again with `replace`, and refused by name without: somebody may have meant
    it. With `keep` a file is taken as it is where one list alone says that it is another. Raises `UserError` for that, where
    `offline` forbids to fetch, and where the disk has no room; `FetchError` when a file cannot be had.
    """
    wanted = [replaced(weight, sha256="") if keep and weight.lone else weight for weight in wanted]
    states = {weight: weight.state(folder) for weight in wanted}
    for weight, state in states.items():
        if state == "damaged" and not replace:
            place = weight.place(folder)
            kept = " or keep it as another file with --keep-another," if weight.lone else ""
            raise UserError(
                f"{place} is not the official file: {weight.fault(place)}; get it again with {command(weight)} --replace,{kept}"
                f" or put it elsewhere and give --judge {weight.roles.split()[0]}=official:FILE"
            )
    lacking = [weight for weight, state in states.items() if state != "present"]
    if not lacking:
        return 0
    if offline:
        first, others = lacking[0], f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
        raise UserError(
            f"{first.place(folder)}{others} missing, and --offline forbids to fetch; run where there is a network:"
            f" {command(*lacking)}"
        )
    _make_room(lacking, folder)
    say(f"fetching {len(lacking)} file{'s' if len(lacking) > 1 else ''} ({amount(lacking)}) into {folder}")
    for weight in lacking:
        say(f"{weight.network}: {weight.name} ({amount([weight])}) from {urlsplit(weight.address).netloc}")
        _bring(weight, folder, say)
    return len(lacking)


def _bring(weight: Weight, folder: Path, say: Say) -> None:
    place = weight.place(folder)
    try:
        fetch(weight, place, most=MOST, watch=_told(weight, say), leave=weight.lone)
    except FetchError as error:
        part = _part(weight, folder)
        if not (weight.lone and part.stat().st_size == weight.bytes):
            raise
        raise FetchError(f"{error}; or keep what came, as another file: {command(weight)} --keep-another") from None


def command(*weights: Weight) -> str:
    """What brings files."""
    roles = dict.fromkeys(role for weight in weights for role in weight.roles.split())
    return f"suder-bench judges fetch {' '.join(roles)}"


def amount(weights: Sequence[Weight]) -> str:
    """'1.71 GB', 'about 276 MB', '525 kB'."""
    about = "about " if any(weight.bytes is None for weight in weights) else ""
    return f"{about}{size_text(sum(weight.size for weight in weights))}"


def _make_room(lacking: Sequence[Weight], folder: Path) -> None:
    """Raises `UserError` where the disk of the folder, which is made, has less room than the files need."""
    parts = (_part(weight, folder) for weight in lacking)
    make_room(folder, sum(weight.size for weight in lacking) - sum(part.stat().st_size for part in parts if part.is_file()))


def _part(weight: Weight, folder: Path) -> Path:
    """Where what has arrived of a file waits for the rest."""
    return weight.place(folder).with_name(f".{weight.name}.part")


def _told(weight: Weight, say: Say) -> Callable[[int], None]:
    """Says every minute how much of a file is here."""
    last = time.monotonic()

    def watch(have: int) -> None:
        nonlocal last
        if time.monotonic() - last >= EVERY:
            last = time.monotonic()
            say(f"{weight.name}: {have / 1e9:.2f} of {amount([weight])}")

    return watch
