"""`suder-bench doctor`: what is installed, what works, and the command for each thing that is missing."""

from __future__ import annotations

import csv
import hashlib
import os
import platform
import shutil
import sys
import textwrap
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution, version
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from suder_bench import imports, registry
from suder_bench.benchmark import Judge, KnowsItsFile
from suder_bench.cli import options, parsing
from suder_bench.data.catalogue import catalogue, expected
from suder_bench.data.hub import hub_sets
from suder_bench.data.owners import command, materials
from suder_bench.data.source import cache, official
from suder_bench.errors import UserError, install, unknown
from suder_bench.machine import cores
from suder_bench.terms import Terms

PACKAGE = "suder-bench"
LIBRARIES = ("torch", "transformers", "numpy", "scipy", "pillow", "safetensors")
State = Literal["ok", "missing", "broken"]
OWN = "the benchmark's own"
MARKS = {"ok": "ok", "missing": "--", "broken": "!!"}


@dataclass(frozen=True)
class Finding:
    """One thing looked at. `missing` needs something from outside before it can be used; `broken` should work and does not.

    `needed` says whether the embedded world works without it; `fix` is the command or the line that helps.
    """

    group: str
    name: str
    state: State
    says: str
    fix: str | None = None
    needed: bool = False


def main(argv: Sequence[str]) -> int:
    parser = parsing.Parser("doctor", "Look at what is installed, try it, and say how to get what is missing.")
    parser.add_argument(
        "--judge", action="append", default=[], metavar="ROLE=BACKEND:SOURCE", help="look for a judge's weights there"
    )
    options.add_json(parser)
    arguments = parser.parse_args(argv)
    sources = _sources(options.judges(arguments.judge))
    options.prepare(offline=True)
    findings = []
    for finding in examine(sources):
        findings.append(finding)
        if not arguments.json:
            _show(finding, first=len(findings) == 1 or findings[-2].group != finding.group)
    works = not any(finding.needed and finding.state != "ok" for finding in findings)
    if arguments.json:
        from suder_bench.runs.jsonl import document

        sys.stdout.write(document({"schema": 1, "works": works, "findings": [asdict(finding) for finding in findings]}))
    else:
        print(f"\nthe embedded world {'works' if works else 'does not work: see the lines marked !!'}")
    return 0 if works else 1


def examine(sources: Mapping[str, str]) -> Iterator[Finding]:
    """Everything, in the order in which one thing needs another; the slow ones come last.

    `sources` says where the weights of a judge ("role/backend") are, for those that are not in the usual place.
    """
    yield from machine()
    yield from extras()
    for name in registry.CHECKPOINTS:
        yield checkpoint(name)
    yield from official_data()
    yield from pictures()
    judges = []
    for name in registry.table("judges"):
        judges.append(judge(name, sources.get(name, "")))
        yield judges[-1]
    yield from metrics(judges)


def machine() -> Iterator[Finding]:
    yield Finding("machine", "python", "ok", f"{platform.python_version()} at {sys.executable}")
    for library in LIBRARIES:
        try:
            yield Finding("machine", library, "ok", version(library), needed=True)
        except PackageNotFoundError:
            yield Finding("machine", library, "missing", "not installed", f"pip install {library}", needed=True)
    yield Finding("machine", "processor", "ok", f"{cores()} cores, {_memory()} memory")
    yield from _accelerators()
    yield from _torchvision()
    folder = cache()
    standing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free = f"{shutil.disk_usage(standing).free / 2**30:.1f} GiB free"
    if os.access(standing, os.W_OK):
        yield Finding("machine", "cache", "ok", f"{folder}, {free}", needed=True)
    else:
        fix = "export SUDER_BENCH_CACHE=FOLDER, one that can be written"
        yield Finding("machine", "cache", "broken", f"{folder} cannot be written", fix, needed=True)


def extras() -> Iterator[Finding]:
    """The optional parts of the package, with what each still lacks."""
    from packaging.requirements import Requirement

    package = distribution(PACKAGE)
    required = [Requirement(text) for text in package.requires or []]
    for extra in package.metadata.get_all("Provides-Extra") or []:
        wanted = [
            r for r in required if r.marker and r.marker.evaluate({"extra": extra}) and not r.marker.evaluate({"extra": ""})
        ]
        lacking = sorted(requirement.name for requirement in wanted if not _installed(requirement.name))
        if lacking:
            yield Finding("extras", extra, "missing", f"lacks {', '.join(lacking)}", install(extra))
        else:
            yield Finding("extras", extra, "ok", "installed")


def checkpoint(name: str) -> Finding:
    """A shipped checkpoint: are its files the ones that were shipped, and does it draw?"""
    from suder_bench.models.protocols import ImageSampling, TextToImage
    from suder_bench.models.reference import choose

    reinstall = "install again, in the folder of the source: pip install --force-reinstall --no-deps ."
    try:
        reference = choose(name)
        changed, checked = changed_files(distribution(PACKAGE), Path(reference.reference))
        if changed:
            says = f"differs from what was installed: {', '.join(changed)}"
            return Finding("models", name, "broken", says, reinstall, needed=True)
        model = reference.load(device="cpu", dtype="float32")
        if not isinstance(model, TextToImage):
            return Finding("models", name, "broken", "cannot draw", reinstall, needed=True)
        picture = model.generate(["a red ball"], seeds=[0], sampling=ImageSampling())[0].picture
    except Exception as error:  # whatever is wrong, the rest must be looked at too
        return Finding("models", name, "broken", _told(error), reinstall, needed=True)
    files = f"{checked} files as shipped" if checked else "checksums not recorded by this editable install"
    size = f"{picture.width} x {picture.height} pixels"
    return Finding("models", name, "ok", f"weights {model.fingerprint[:12]}, {files}, drew {size}", needed=True)


def changed_files(package: Distribution, folder: Path) -> tuple[list[str], int]:
    """Files below `folder` that differ from the sha256 that pip recorded when it installed them, and how many it recorded."""
    changed, checked = [], 0
    for name, digest, _ in csv.reader((package.read_text("RECORD") or "").splitlines()):  # `files` lacks lost ones from 3.12 on
        mode, _, value = digest.partition("=")
        file = Path(str(package.locate_file(name))).resolve()
        if mode != "sha256" or folder.resolve() not in file.parents:
            continue
        checked += 1
        if not file.is_file() or _recorded_form(file) != value:
            changed.append(file.name)
    return changed, checked


def official_data() -> Iterator[Finding]:
    """The official files in the cache, benchmark by benchmark."""
    for benchmark, group in groupby(catalogue(), key=lambda file: file.benchmark):
        files = expected(list(group), official())
        states = [file.state(official()) for file in files]
        size = f"{sum(file.bytes for file in files) / 1000:,.0f} kB"
        if "damaged" in states:
            damaged = files[states.index("damaged")].place(official())
            fix = f"suder-bench data fetch {benchmark} --replace"
            yield Finding("official data", benchmark, "broken", f"{damaged} is not the official file", fix)
        elif "missing" in states:
            says = f"{states.count('missing')} of {len(files)} files are not in {official()}"
            yield Finding("official data", benchmark, "missing", says, f"suder-bench data fetch {benchmark}")
        else:
            yield Finding("official data", benchmark, "ok", f"{len(files)} files, {size}, in {official()}")


def pictures() -> Iterator[Finding]:
    """What the official questions are about, and their owners have: in the cache, or where it is to be had."""
    for one in materials():
        if not one.needed("official") or one.way == "hub":
            continue
        if one.there(official()):
            yield Finding("pictures", one.benchmark, "ok", f"{one.what}: in {one.place(official())}")
        else:
            alone = any(found.alone for found in hub_sets([one.benchmark]))
            yield Finding(
                "pictures",
                one.benchmark,
                "missing",
                one.told,
                command(one) if one.way == "fetch" or alone else f"put into {one.place(official())}",
            )


def judge(name: str, source: str = "") -> Finding:
    """A judge's back-end: is it installed, are its weights here (or at `source`), and does it know the known answers?"""
    from suder_bench.evaluators.judges.needs import needs_of
    from suder_bench.runs.judges import KnownAnswers, ask, load

    role, _, backend = name.partition("/")
    needed = backend == "world"
    needs = needs_of(role, backend)
    if needs is not None:
        lacking = [package for package in needs.packages if not _installed(package)]
        unfound = not needs.found and not source
        if lacking or unfound:
            says = [f"not installed: {', '.join(lacking)}"] * bool(lacking) + [f"weights not found: {needs.weights}"] * unfound
            commands = [needs.install] * bool(lacking) + [needs.download] * unfound
            return Finding("judges", name, "missing", ", ".join(says), " && ".join(commands))
    try:
        chosen = {role: f"{backend}:{source}" if source else backend}
        panel = load(chosen, device="cpu", dtype="float32", offline=True, terms=Terms(frozenset([role] if source else [])))
    except Exception as error:  # whatever is wrong, the rest must be looked at too
        return Finding("judges", name, "broken", _told(error), needed=needed)
    whose = "" if role in panel.missing else _whose(panel.judges[role]) + (", weights found" if needs is not None else "")
    try:
        panel = ask(panel, chosen, chosen)
    except Exception as error:
        return Finding("judges", name, "broken", f"{whose}, but {_told(error)}", needed=needed)
    if role in panel.missing:
        return Finding("judges", name, "missing", _told(panel.missing[role]), needed=needed)
    known = "known answers passed" if isinstance(panel.judges[role], KnownAnswers) else "no known answers"
    return Finding("judges", name, "ok", f"{whose}, {known}", needed=needed)


def metrics(judges: Sequence[Finding]) -> Iterator[Finding]:
    """Of each benchmark whose metrics need different judges: which can be had by its own ones, and what the others lack."""
    from suder_bench.data.source import write_world
    from suder_bench.runs.plan import build
    from suder_bench.runs.roles import by_metric

    own = {one.name.partition("/")[0] for one in judges if one.state == "ok" and one.says.startswith(OWN)}
    for name in registry.table("benchmarks"):
        if not hasattr(registry.load("benchmarks", name), "roles_of"):
            continue
        try:
            with TemporaryDirectory() as folder:
                write_world(Path(folder), size="quick", benchmarks=[name])
                benchmark = build(name, Path(folder), "official")
                asked = by_metric(benchmark, benchmark.samples())
        except (UserError, OSError) as error:
            yield Finding("metrics", name, "broken", _told(error))
            continue
        by_lack: dict[str, list[str]] = {}
        for metric in [metric for metric in benchmark.paper_metrics if metric in asked]:
            by_lack.setdefault(", ".join(role for role in asked[metric] if role not in own), []).append(metric)
        official = by_lack.pop("", [])
        says = [f"by {OWN} judges: {', '.join(official) or 'nothing'}"]
        says += [f"for want of {roles} not: {', '.join(others)}" for roles, others in by_lack.items()]
        yield Finding("metrics", name, "missing" if by_lack else "ok", "; ".join(says))


def _whose(judge: Judge) -> str:
    if isinstance(judge, KnowsItsFile) and judge.match != "another file":
        return f"{OWN}, by its digest" if judge.exact else "official by name, digest unknown"
    return OWN if judge.exact else f"not {OWN}"


def _sources(chosen: Mapping[str, str]) -> dict[str, str]:
    """{"color/official": FOLDER} of {"color": "official:FOLDER"}. Raises `UserError` for a judge that is not known."""
    sources = {}
    for role, choice in chosen.items():
        backend, _, source = choice.partition(":")
        name = f"{role}/{backend}"
        if name not in registry.table("judges"):
            raise unknown("judge", name, registry.table("judges"))
        sources[name] = source
    return sources


def _show(finding: Finding, *, first: bool) -> None:
    if first:
        print(f"{'' if finding.group == 'machine' else chr(10)}{finding.group}")
    line = f"  {MARKS[finding.state]}  {finding.name:<22} {finding.says}{':' if finding.fix else ''}"
    columns = min(shutil.get_terminal_size((80, 24)).columns, 120)
    wrapped = textwrap.wrap(line, columns, subsequent_indent=" " * 29, break_long_words=False, break_on_hyphens=False)
    print("\n".join(wrapped))
    if finding.fix:
        print(" " * 29 + finding.fix)  # in one line, to be copied
    sys.stdout.flush()


def _told(error: Exception) -> str:
    return str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"


def _recorded_form(file: Path) -> str:
    with open(file, "rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").digest()
    return urlsafe_b64encode(digest).rstrip(b"=").decode()


def _installed(package: str) -> bool:
    try:
        distribution(package)
    except PackageNotFoundError:
        return False
    return True


def hardware() -> str:
    """The machine in a line: processor, cores, memory and accelerators."""
    names = [line.partition(":")[2].strip() for line in _processors() if line.startswith("model name")]
    accelerators = [one.says for one in _accelerators() if not one.says.startswith("none")]
    return ", ".join([names[0] if names else platform.machine(), f"{cores()} cores", f"{_memory()} memory", *accelerators])


def _processors() -> list[str]:
    file = Path("/proc/cpuinfo")
    return file.read_text(encoding="utf-8", errors="replace").splitlines() if file.is_file() else []


def _memory() -> str:
    try:
        return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.1f} GiB"
    except (AttributeError, ValueError):  # Windows has no sysconf
        return "unknown"


def _torchvision() -> Iterator[Finding]:
    """Nothing, where there is none: only open-clip-torch needs it."""
    trouble = imports.torchvision_trouble()
    if trouble is not None:
        says = f"cannot be imported, and counts as not installed: {trouble}"
        fix = imports.torchvision_cure() if _installed("open-clip-torch") else "pip uninstall torchvision"
        yield Finding("machine", "torchvision", "broken", says, fix)
    elif _installed("torchvision"):
        yield Finding("machine", "torchvision", "ok", version("torchvision"))


def _accelerators() -> Iterator[Finding]:
    try:
        import torch
    except (ImportError, OSError) as error:  # an OSError is a shared library that does not load
        yield Finding("machine", "accelerator", "broken", f"torch cannot be imported: {error}", needed=True)
        return
    found = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    says = [f"cuda:{index} {device.name}, {device.total_memory / 2**30:.0f} GiB" for index, device in enumerate(found)]
    if torch.backends.mps.is_available():
        says.append("mps")
    yield Finding("machine", "accelerator", "ok", "; ".join(says) or "none; everything runs on the processor")
