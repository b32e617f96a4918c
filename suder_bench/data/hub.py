"""The sets of the Hugging Face hub that hold a benchmark's questions with their pictures (`hub.csv`), as parquet files.

The hub's client says what a set holds, at which commit and under which licence; the files come as all others do, because the
client's own downloads begin anew in every process. What was chosen is kept beside them in `fetched.json`: a later command goes on
with the same commit, also where the hub has a newer one by then, and asks nothing where all is here.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from suder_bench.data.catalogue import State, mirror
from suder_bench.data.fetch import EVERY, FetchError, amount, fetch, make_room
from suder_bench.data.folder import unwritable
from suder_bench.errors import UserError
from suder_bench.partial import beside
from suder_bench.proxies import before_the_hub, hub_offline

RECORD = "fetched.json"
UNSTATED = "not stated in its card"
MOST_PARENTS = 3
"""How far above a parquet file its record may lie: `hub/fetched.json` of `hub/default/test/0000.parquet`."""


@dataclass(frozen=True)
class HubSet:
    """The parquet files of some splits of a configuration. Without a `revision` the newest is taken. `alone` is said of a set
    that is the only one to fetch: its owner has the pictures in an archive."""

    benchmark: str
    protocols: str
    repository: str
    config: str
    splits: str
    revision: str
    alone: str

    def needed(self, protocol: str) -> bool:
        return not self.protocols or protocol in self.protocols.split()

    def folder(self, data: Path) -> Path:
        return data / self.benchmark / "hub"

    @property
    def name(self) -> str:
        return f"{self.config}/{self.splits}"

    def chosen(self, names: Sequence[str]) -> list[str]:
        """Of a repository's files those of the splits, laid out in one of the ways that `evaluators.forms.hub.shards` reads.

        Raises `FetchError` for a split without any."""
        found: list[str] = []
        for split in self.splits.split():
            folders = dict.fromkeys([self.config, *(["data"] if self.config == "default" else [])])
            starts = tuple(f"{folder}/{split}{mark}" for folder in folders for mark in ("-", "/"))
            own = [name for name in names if name.startswith(starts) and name.endswith(".parquet")]
            if not own:
                raise FetchError(
                    f"{self.repository} has no parquet files of its split {split} ({self.config}); it may have been laid out"
                    " anew: put them into the folder yourself (docs/data.md)"
                )
            found += own
        return sorted(name for name in found if ".." not in name.split("/"))


@dataclass(frozen=True)
class HubFile:
    """One file of a set at `revision`; `sha256` is "" where the hub tells none."""

    name: str
    address: str
    bytes: int
    sha256: str

    def fault(self, place: Path) -> str | None:
        size = place.stat().st_size
        if size != self.bytes:
            return f"{size:,} bytes instead of {self.bytes:,}"
        if not self.sha256:
            return None
        with open(place, "rb") as opened:
            found = hashlib.file_digest(opened, "sha256").hexdigest()
        return None if found == self.sha256 else f"sha256 {found[:12]} instead of {self.sha256[:12]}"

    def state(self, folder: Path) -> State:
        """By its size: its content was checked when it came."""
        place = folder / self.name
        if not place.is_file():
            return "missing"
        return "present" if place.stat().st_size == self.bytes else "damaged"


@dataclass(frozen=True)
class Chosen:
    """What is fetched of a set, as its record says."""

    repository: str
    revision: str
    licence: str
    files: Mapping[str, Mapping[str, Any]]

    def listed(self) -> list[HubFile]:
        start = f"{endpoint()}/datasets/{self.repository}/resolve/{self.revision}"
        return [HubFile(name, f"{start}/{name}", file["bytes"], file["sha256"]) for name, file in self.files.items()]


def hub_sets(benchmarks: Sequence[str] = (), protocol: str = "official") -> list[HubSet]:
    """Of these benchmarks, of all for none named, those that the protocol reads, or the official one where it offers no other."""
    text = files("suder_bench.data").joinpath("hub.csv").read_text(encoding="utf-8")
    sets = [HubSet(**row) for row in csv.DictReader(text.splitlines()) if not benchmarks or row["benchmark"] in benchmarks]
    offering = {one.benchmark for one in sets if one.needed(protocol)}
    return [one for one in sets if one.needed(protocol if one.benchmark in offering else "official")]


def endpoint() -> str:
    """The hub's address: $HF_ENDPOINT, or the hub's folder of $SUDER_BENCH_MIRROR, or its own."""
    given = os.environ.get("HF_ENDPOINT", "").rstrip("/")
    return given or (f"{mirror()}/huggingface.co" if mirror() else "https://huggingface.co")


def ensure(wanted: HubSet, data: Path, say: Callable[[str], None], *, offline: bool, replace: bool = False) -> int:
    """Bring what is missing of a set into its folder below `data`; returns how many files were fetched.

    Raises `UserError` where something is missing and the network is forbidden, where a file is another, and where the disk has
    no room; `FetchError` when the hub does not give it.
    """
    folder = wanted.folder(data)
    chosen = None if replace else _recorded(wanted, folder)
    if chosen is None:
        _allowed(wanted, folder, data, offline=offline)
        chosen = _listed(wanted)
    listed = chosen.listed()
    damaged = [file for file in listed if file.state(folder) == "damaged"]
    if damaged and not replace:
        raise UserError(
            f"{folder / damaged[0].name} is not the hub's file: {damaged[0].fault(folder / damaged[0].name)}; get it again with"
            f" {_command(wanted, data)} --replace"
        )
    lacking = [file for file in listed if file.state(folder) != "present" or (replace and file.fault(folder / file.name))]
    if not lacking:
        _record(wanted, folder, chosen)
        return 0
    _allowed(wanted, folder, data, offline=offline)
    parts = [(folder / file.name).with_name(f".{Path(file.name).name}.part") for file in lacking]
    here = sum(part.stat().st_size for part in parts if part.is_file())
    size = sum(file.bytes for file in lacking)
    make_room(folder, size - here)
    _record(wanted, folder, chosen)
    say(
        f"fetching {len(lacking)} file{'s' if len(lacking) > 1 else ''} of {wanted.benchmark} ({amount(size)}"
        f"{f', of which {amount(here)} are here' if here else ''}) from {urlsplit(endpoint()).netloc}: {wanted.repository},"
        f" {wanted.name}, at {chosen.revision[:12]} (licence: {chosen.licence})"
    )
    done = 0
    for file in lacking:
        with _asking_for_a_login(wanted.repository):
            fetch(file, folder / file.name, watch=_told(wanted, done, size, say), headers=_credentials())
        done += file.bytes
    return len(lacking)


@lru_cache(64)
def origin(file: Path) -> str:
    """ "lmms-lab/POPE at 4db127666397" of a parquet file that was fetched, "" of any other."""
    for folder in list(file.parents)[:MOST_PARENTS]:
        for chosen in _read(folder / RECORD).values():
            if any(folder / name == file for name in chosen.files):
                return f"{chosen.repository} at {chosen.revision[:12]}"
    return ""


def _recorded(wanted: HubSet, folder: Path) -> Chosen | None:
    found = _read(folder / RECORD).get(wanted.name)
    return found if found is not None and found.repository == wanted.repository else None


def _read(record: Path) -> dict[str, Chosen]:
    """The records of a folder by name of the set; one that cannot be read counts as none."""
    try:
        rows = json.loads(record.read_text(encoding="utf-8"))
        found = {name: Chosen(**row) for name, row in rows.items()}
        return {name: one for name, one in found.items() if one.listed()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}


def _record(wanted: HubSet, folder: Path, chosen: Chosen) -> None:
    place = folder / RECORD
    known = _read(place)
    if known.get(wanted.name) == chosen:
        return
    text = json.dumps({name: vars(one) for name, one in {**known, wanted.name: chosen}.items()}, indent=1)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        written = beside(place)
        written.write_text(text + "\n", encoding="utf-8")
        written.replace(place)
    except OSError as error:
        raise unwritable(folder, error) from None
    origin.cache_clear()


def _allowed(wanted: HubSet, folder: Path, data: Path, *, offline: bool) -> None:
    if offline or hub_offline():
        why = "--offline" if offline else "HF_HUB_OFFLINE"
        raise UserError(
            f"{wanted.benchmark} lacks files of {wanted.repository} in {folder}, and {why} forbids to fetch them; run where there"
            f" is a network: {_command(wanted, data)}"
        )


def _command(wanted: HubSet, data: Path) -> str:
    other = "" if wanted.needed("official") else f" --protocol {wanted.protocols.split()[0]}"
    return f"suder-bench data fetch {wanted.benchmark} --pictures{'' if wanted.alone else ' --hub'}{other} --data {data}"


def _listed(wanted: HubSet) -> Chosen:
    """What the hub says of the set. Raises `FetchError` in one line for whatever it answers instead."""
    from huggingface_hub import HfApi

    host = endpoint()
    try:
        info = HfApi(endpoint=host).dataset_info(
            wanted.repository, revision=wanted.revision or None, files_metadata=True, timeout=30
        )
        siblings = {file.rfilename: file for file in info.siblings or ()}
    except Exception as error:  # the client raises a dozen kinds
        status = getattr(getattr(error, "response", None), "status_code", None)
        what = (str(error).strip().split("\n") or [""])[0] or type(error).__name__
        login = " (log in by hf auth login, or set HF_TOKEN, if the set needs it)" if status in (401, 403) else ""
        raise FetchError(
            f"cannot fetch {wanted.repository} from {host} ({what}){before_the_hub(error)}{login}; try again, set HF_ENDPOINT to"
            " the address of another hub, or put its parquet files there yourself (docs/data.md)"
        ) from None
    names = wanted.chosen(list(siblings))
    unknown = next((name for name in names if siblings[name].size is None), None)
    if unknown or not info.sha:
        raise FetchError(f"{host} does not say how large {unknown or wanted.repository} is, or of which commit; set HF_ENDPOINT")
    card = info.card_data
    licence = (card.get("license") or card.get("license_name") if card is not None else None) or UNSTATED
    large = {name: siblings[name].lfs for name in names}
    told = {name: {"bytes": siblings[name].size, "sha256": lfs.sha256 if lfs else ""} for name, lfs in large.items()}
    return Chosen(wanted.repository, info.sha, licence if isinstance(licence, str) else ", ".join(map(str, licence)), told)


def _credentials() -> dict[str, str]:
    """The user's token, for the hub itself and not for where it sends us on."""
    from huggingface_hub.utils import build_hf_headers

    return {name: value for name, value in build_hf_headers().items() if name.lower() == "authorization"}


@contextmanager
def _asking_for_a_login(repository: str) -> Iterator[None]:
    try:
        yield
    except FetchError as error:
        asked = any(f"(HTTP {status} " in str(error) for status in (401, 403))
        raise FetchError(f"{error}; {repository} may need a login: hf auth login, or HF_TOKEN" if asked else str(error)) from None


def _told(wanted: HubSet, before: int, size: int, say: Callable[[str], None]) -> Callable[[int], None]:
    """Says every minute how much of a set is here."""
    last = time.monotonic()

    def watch(have: int) -> None:
        nonlocal last
        if time.monotonic() - last >= EVERY:
            last = time.monotonic()
            say(f"{wanted.benchmark}: {(before + have) / 1e9:.2f} of {amount(size)}")

    return watch
