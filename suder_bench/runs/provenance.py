"""What a run is made with: which code, which packages, which kind of machine. No names of machines or people are in it."""

from __future__ import annotations

import base64
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import suder_bench
from suder_bench.machine import cores

PACKAGE = "suder-bench"
_PATIENCE = 20
"""Seconds for git and nvidia-smi, which answer in a fraction of one."""


@cache
def code() -> dict[str, Any]:
    """suder-bench itself: its version, and by which a copy of it can be had again: the `commit` of a git checkout, else a sha256
    of what its `wheel` holds; None where neither tells. `edited` says whether a file is another by now."""
    commit, edited = _checkout(Path(suder_bench.__file__))
    wheel = None
    if commit is None:
        wheel, edited = _wheel()
    return {"version": metadata.version(PACKAGE), "commit": commit, "wheel": wheel, "edited": edited}


@cache
def packages() -> dict[str, str]:
    """{name: version} of all packages that can be imported here, by their names' normal form."""
    found: dict[str, str] = {}
    for one in metadata.distributions():
        told = one.metadata  # read anew each time
        if told is not None and told["Name"] and told["Version"]:
            found.setdefault(re.sub(r"[-_.]+", "-", told["Name"]).lower(), told["Version"])
    return dict(sorted(found.items()))


@cache
def host() -> dict[str, Any]:
    """The kind of machine: system, processor, cores that this process may use, memory in GiB, Python, GPUs and their driver."""
    names, driver = _graphics()
    return {
        "system": platform.system(),
        "machine": platform.machine(),
        "processor": _processor(),
        "cores": cores(),
        "memory": _memory(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "gpus": names,
        "driver": driver,
    }


def kind() -> str:
    """`host` in a few words, for people: 'Linux x86_64, AMD EPYC, 2 cores'."""
    told = host()
    return f"{told['system']} {told['machine']}, {told['processor']}, {told['cores']} cores".replace(", ,", ",")


def _checkout(module: Path) -> tuple[str | None, bool | None]:
    """The commit of the checkout that tracks a module, and whether files of it have changed since."""
    folder, end = str(module.parent), _said("git", "-C", str(module.parent), "rev-parse", "--show-toplevel")
    if end is None or _said("git", "-C", folder, "ls-files", "--error-unmatch", module.name) is None:
        return None, None
    changed = _said("git", "-C", folder, "status", "--porcelain", "--untracked-files=no", "--", end)
    return _said("git", "-C", folder, "rev-parse", "HEAD"), None if changed is None else bool(changed)


def _wheel() -> tuple[str | None, bool | None]:
    """A sha256 over the package's own lines in its RECORD, and whether a module is another than its line says."""
    lines, edited = [], False
    for file in metadata.distribution(PACKAGE).files or ():
        if file.parts[0] != suder_bench.__name__ or file.hash is None or file.hash.mode != "sha256":
            continue
        lines.append(f"{file.as_posix()},{file.hash.value}")
        if file.suffix == ".py":
            edited |= _digest(Path(str(file.locate()))) != file.hash.value
    if not lines:
        return None, None
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest(), edited


def _digest(file: Path) -> str | None:
    """As RECORD writes it."""
    try:
        content = file.read_bytes()
    except OSError:
        return None
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")


def _processor() -> str:
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1].strip() if found else platform.processor()


def _memory() -> int | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)
    except (AttributeError, OSError, ValueError):
        return None


def _graphics() -> tuple[list[str], str | None]:
    """The names of the GPUs that are seen from here, and the driver's version."""
    told = _said("nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader") if shutil.which("nvidia-smi") else None
    rows = [line.rpartition(",") for line in (told or "").splitlines() if "," in line]
    if rows:
        return [name.strip() for name, _, _ in rows], rows[0][2].strip()
    torch = sys.modules.get("torch")  # of another maker's GPUs only torch knows, once somebody has imported it
    if torch is None or not torch.cuda.is_available():
        return [], None
    return [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())], torch.version.hip


def _said(*words: str) -> str | None:
    """What a program prints; None where it is not there, or fails."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=_PATIENCE, check=False)
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
