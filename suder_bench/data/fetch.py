"""Fetching official files, and others from their owners: resumable, checked by what is pinned, and in place only when whole."""

from __future__ import annotations

import http.client
import os
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from importlib.metadata import version
from io import FileIO
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from suder_bench import locks
from suder_bench.data.catalogue import MIRROR, State
from suder_bench.data.folder import unwritable
from suder_bench.data.owners import MOST
from suder_bench.errors import UserError
from suder_bench.proxies import STATUSES, through_proxy

TRIES = 3
TIMEOUT = 30
"""Seconds without a byte."""

PAUSE = 1.0
"""Seconds before the second try; twice as many before the third."""

EVERY = 60.0
"""Seconds between two lines about how many files are here."""

BLOCK = 1 << 16
NOTHING: Mapping[str, str] = {}
PASSING = (408, 425, 429, 500, 502, 503, 504)
"""HTTP statuses that another try may mend."""


class Addressed(Protocol):
    """A file at an address. `bytes` is None where the size is not known beforehand."""

    @property
    def bytes(self) -> int | None: ...
    @property
    def address(self) -> str: ...
    def fault(self, place: Path) -> str | None: ...


class Fetchable(Addressed, Protocol):
    """One of a benchmark. `terms` are those of its licence in a line, "" where they were told before."""

    @property
    def benchmark(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def terms(self) -> str: ...
    def place(self, data: Path) -> Path: ...
    def state(self, data: Path) -> State: ...


class FetchError(UserError):
    """The network's fault, not the user's mistake."""

    status = 1


def ensure(files: Sequence[Fetchable], data: Path, say: Callable[[str], None], *, offline: bool, replace: bool = False) -> int:
    """Bring the missing ones of these files of one benchmark into the folder `data`; returns how many were fetched.

    A file that is there but not the official one is fetched again with `replace`, and refused by name without: somebody may
    have meant it. Raises `UserError` for that, and where files are missing and `offline` forbids to fetch them; `FetchError`
    when they cannot be had.
    """
    states = [(file, file.state(data)) for file in files]
    damaged = [file for file, state in states if state == "damaged"]
    if damaged and not replace:
        raise _refused(damaged, data)
    wanted = [file for file, state in states if state != "present"]
    if not wanted:
        return 0
    first_wanted = wanted[0]
    benchmark, first = first_wanted.benchmark, first_wanted.place(data)
    if offline:
        others = f" and {_files(len(wanted) - 1)} more" if len(wanted) > 1 else ""
        raise UserError(
            f"{benchmark} lacks {first}{others}, and --offline forbids to fetch them;"
            f" run where there is a network: {_command(first_wanted)}"
        )
    host = urlsplit(wanted[0].address).netloc
    known = [file.bytes for file in wanted if file.bytes is not None]
    size = f" ({sum(known) / 1000:,.0f} kB)" if len(known) == len(wanted) else ""
    say(f"fetching {_files(len(wanted))} of {benchmark}{size} from {host}{_terms(wanted)}")
    told = time.monotonic()
    for done, file in enumerate(wanted):
        if time.monotonic() - told >= EVERY:
            told = time.monotonic()
            say(f"{benchmark}: {done:,} of {len(wanted):,} files fetched")
        fetch(file, file.place(data))
    return len(wanted)


def amount(size: int) -> str:
    """'1.71 GB', '276 MB', '525 kB'."""
    unit, name, digits = (1e9, "GB", 2) if size >= 1e9 else (1e6, "MB", 0) if size >= 1e6 else (1e3, "kB", 0)
    return f"{size / unit:.{digits}f} {name}"


def make_room(folder: Path, needed: int) -> None:
    """Make the folder. Raises `UserError` where its disk has less room than `needed` bytes."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(folder, error) from None
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(
            f"{folder} has {amount(free)} free, and {amount(needed)} are needed; make room, or export SUDER_BENCH_CACHE=FOLDER on"
            " another disk"
        )


class AnotherFile(Exception):
    """What an address has is not the file that is wanted; says in what it differs."""


def fetch(
    file: Addressed,
    target: Path,
    *,
    most: int = MOST,
    watch: Callable[[int], None] = lambda have: None,
    leave: bool = False,
    headers: Mapping[str, str] = NOTHING,
) -> None:
    """Download one file; what arrived before a break is kept beside `target` and not asked for again.

    `most` bounds a file whose size is not known, in bytes, and `watch` is told how many are here, block by block. A file that
    came in one piece and is another is not asked for again, and `leave` keeps it as what had arrived. `headers` are for the
    address itself, and are not sent to where it redirects. Raises `UserError` where it cannot be written, and `FetchError` when
    the third try fails too, or what arrived is not the official file.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        opened = open(target.with_name(f".{target.name}.part"), "ab", buffering=0)  # noqa: SIM115
    except OSError as error:
        raise unwritable(target.parent, error) from None
    with opened as part, ExitStack() as held:
        held.enter_context(locks.lent(part.fileno(), target, wait=True))  # another process may be fetching the same file
        if target.is_file() and file.fault(target) is None:
            return
        reason, again = "", True
        for attempt in range(TRIES):
            if attempt:
                time.sleep(PAUSE * attempt)
            reason, again = _tried(file, part, most, watch, headers, leave=leave)
            if not reason:
                _put(Path(part.name), target)
                return
            if not again:
                break
    raise FetchError(
        f"cannot fetch {file.address} {reason}; try again, set {MIRROR}, or put the file into {target.parent} yourself"
    )


def _tried(
    file: Addressed, part: FileIO, most: int, watch: Callable[[int], None], headers: Mapping[str, str], *, leave: bool
) -> tuple[str, bool]:
    """Why one try did not bring the file, in brackets, and whether another may; "" where it did."""
    try:
        whole = _append(file, part, most, watch, headers)
    except AnotherFile as error:
        return f"(not the official file: {error})", False
    except urllib.error.HTTPError as error:
        proxy = through_proxy(file.address) if error.code in STATUSES else ""
        if error.code == 416:  # the kept part is longer than what the server has
            part.truncate(0)
        return f"(HTTP {error.code} {error.reason}){proxy}", error.code in (416, *PASSING)
    except (OSError, http.client.HTTPException) as error:
        return f"({str(error) or type(error).__name__}){through_proxy(file.address)}", True
    fault = file.fault(Path(part.name))
    if fault is None:
        return "", False
    if not (whole and leave):
        part.truncate(0)
    return f"(not the official file: {fault})", not whole


def _append(file: Addressed, part: FileIO, most: int, watch: Callable[[int], None], own_headers: Mapping[str, str]) -> bool:
    """Add what `part` lacks, and say whether that was the whole file; never more than one byte too many, however long the
    answer is. Raises `AnotherFile`, and leaves what is here, where the answer promises another size."""
    have = part.seek(0, os.SEEK_END)
    if file.bytes is not None and have >= file.bytes:
        return False
    headers = {"User-Agent": f"suder-bench/{version('suder-bench')}", "Range": f"bytes={have}-"}
    request = urllib.request.Request(file.address, headers=headers if have else {"User-Agent": headers["User-Agent"]})
    for name, value in own_headers.items():
        request.add_unredirected_header(name, value)
    with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
        resumed = have and (answer.headers.get("Content-Range") or "").startswith(f"bytes {have}-")
        promised = answer.headers.get("Content-Length")
        end = (have if resumed else 0) + int(promised) if promised else file.bytes
        if end is not None and end != (file.bytes or end):
            raise AnotherFile(f"{end:,} bytes instead of {file.bytes:,}")
        if end is not None and file.bytes is None and end > most:
            raise AnotherFile(f"{end:,} bytes, more than {most:,}")
        if have and not resumed:
            part.truncate(0)  # the server sends the whole file
            have = 0
        left = (most if file.bytes is None else file.bytes) + 1 - have
        while left and (block := answer.read(min(left, BLOCK))):
            _write(part, block)
            left -= len(block)
            watch(part.tell())
    if end is not None and part.tell() < end:
        raise ConnectionError(f"the answer broke off {end - part.tell():,} bytes short")
    return not resumed


def _write(part: FileIO, block: bytes) -> None:
    """Raises `UserError` where the disk is full; what went before stays."""
    left = memoryview(block)
    try:
        while left:
            left = left[part.write(left) :]
    except OSError as error:
        raise unwritable(Path(part.name).parent, error) from None


def _put(part: Path, target: Path) -> None:
    try:
        os.replace(part, target)
    except OSError as error:
        raise unwritable(target, error) from None


def _refused(damaged: Sequence[Fetchable], data: Path) -> UserError:
    first = damaged[0]
    place = first.place(data)
    others = f" (nor {_files(len(damaged) - 1)} more of {first.benchmark})" if len(damaged) > 1 else ""
    return UserError(
        f"{place} is not the official file: {first.fault(place)}{others}; get it again with"
        f" {_command(first)} --replace, or keep files of your own in a folder for --data DIR"
    )


def _command(file: Fetchable) -> str:
    """What brings a file; those whose size is not pinned come with the pictures."""
    return f"suder-bench data fetch {file.benchmark}{'' if file.bytes is not None else ' --pictures'}"


def _terms(files: Sequence[Fetchable]) -> str:
    told = ", ".join(dict.fromkeys(filter(None, (file.terms for file in files))))
    return f" (licence: {told})" if told else ""


def _files(count: int) -> str:
    return f"{count} file{'s' if count > 1 else ''}"
