"""The data files of a site: scripts that hand JSON to its pages, because a page opened from disk may not fetch anything else."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import quote

from suder_bench import suites
from suder_bench.records import NOTHING
from suder_bench.reports import door
from suder_bench.reports.measured import Scores
from suder_bench.reports.site.curves import curves
from suder_bench.reports.site.gallery import Gallery, galleries
from suder_bench.reports.site.pictures import Pictures
from suder_bench.reports.site.runs import Shown, is_comparison, is_training, read, read_comparison
from suder_bench.reports.tables import Table, lines
from suder_bench.runs.jsonl import plain
from suder_bench.runs.table import FEW_CLUSTERS, MISSING, lacking, losses

CHUNK = 250
"""Items of a gallery in one file: about 100 kB, read only when a page needs them."""

FIGURES = (".svg", ".png")
"""Of a figure that is there in several formats the first is shown."""

COMPARED = ("compare.png", "disagreements.png")


@dataclass(frozen=True)
class Site:
    """All that a site shows: `scripts` by name below data/, `files` copied as they are, and pictures by address."""

    scripts: Mapping[str, bytes]
    files: Mapping[str, Path]
    pictures: Pictures = field(default_factory=Pictures)

    def read(self, name: str) -> bytes:
        """One of `files`, each of which must lie in the folder where it was found. Raises `OutsideError` and `OSError`."""
        return door.read_bytes(self.files[name], self.files[name].parent)


def build(
    paths: Sequence[Path],
    tables: Sequence[Table],
    left_out: Sequence[str],
    say: Callable[[str], None],
    *,
    figures: Path | None = None,
    titles: Mapping[str, str] = NOTHING,
    limit: int | None = None,
) -> Site:
    """The site of run folders, training runs and comparisons of rewards; at most `limit` responses of each run and benchmark.

    `figures` is a folder whose files are shown, under `titles` by name.
    Raises `UserError` for a run that is missing or not finished.
    """
    paths = list(dict.fromkeys(paths))
    runs, pictures = read(paths), Pictures()
    shown = galleries(runs, pictures, limit, say)
    trainings = {f"training-{i}": path for i, path in enumerate(path for path in paths if is_training(path))}
    compared = {f"rewards-{i}": path for i, path in enumerate(path for path in paths if is_comparison(path))}
    files = {f"figures/{file.name}": file for file in _figures(figures)}
    for name, path in compared.items():
        files |= {f"{name}/{picture}": path / picture for picture in COMPARED if _there(path / picture, path, say)}
    index = {
        "version": version("suder-bench"),
        "runs": [_run(one) for one in runs],
        "tables": [_table(one) for one in tables],
        "left_out": list(left_out),
        "few_clusters": FEW_CLUSTERS,
        "missing": MISSING,
        "benchmarks": _benchmarks(runs),
        "galleries": [_gallery(one) for one in shown],
        "trainings": [{"file": name, "label": str(path)} for name, path in trainings.items()],
        "rewards": [{"file": name, "label": str(path), "figures": _below(files, name)} for name, path in compared.items()],
        "figures": [
            {"title": titles.get(file.stem, file.stem), "file": quote(f"figures/{file.name}")} for file in _figures(figures)
        ],
    }
    scripts = {"index": script("index", index)}
    scripts |= {f"run-{i}": script(f"run-{i}", one.summary["recipe"]) for i, one in enumerate(runs)}
    scripts |= {name: script(name, curves(path)) for name, path in trainings.items()}
    scripts |= {name: script(name, read_comparison(path)) for name, path in compared.items()}
    for i, gallery in enumerate(shown):
        scripts |= dict(_chunks(f"gallery-{i}", gallery))
    return Site(scripts, files, pictures)


def _there(file: Path, folder: Path, say: Callable[[str], None]) -> bool:
    try:
        return door.inside(file, folder).is_file()
    except door.OutsideError as error:
        say(f"left out: {error}")
        return False


def script(name: str, value: Any) -> bytes:
    """A script that hands `value` to the page: ASCII, and without a character that means anything to an HTML parser."""
    text = json.dumps(plain(value), ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    for letter in "<>&":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return f"receive({json.dumps(name)}, {text});\n".encode("ascii")


def _chunks(name: str, gallery: Gallery) -> Iterator[tuple[str, bytes]]:
    for i in range(0, len(gallery.items), CHUNK):
        part = f"{name}-{i // CHUNK:04d}"
        yield part, script(part, gallery.items[i : i + CHUNK])


def _run(run: Shown) -> dict[str, Any]:
    recipe = run.summary["recipe"]
    return {
        "label": run.label,
        "path": str(run.path),
        "model": run.summary["model"],
        "world": run.summary["world"],
        "suite": run.summary["suite"],
        "seed": recipe.get("seed"),
        "trained": run.trained,
    }


def _table(table: Table) -> dict[str, Any]:
    groups = [{"title": title, "lines": [_line(line) for line in own]} for title, own in lines.groups(table)]
    return {
        "name": table.name,
        "title": table.title,
        "columns": [_entry(entry) for entry in lines.header(table)],
        "groups": groups,
        "signs": lines.signs(table),
        "footnotes": [[letter, text] for text, letter in table.footnotes.items()],
        "notes": table.notes,
        "recipes": table.recipes,
    }


def _line(line: lines.Line) -> dict[str, Any]:
    return {"detail": line.detail, "cells": [_entry(line.label), *map(_entry, line.entries)]}


def _entry(entry: lines.Entry) -> list[str]:
    return [entry.text, entry.rank, entry.marks]


def _benchmarks(runs: Sequence[Shown]) -> list[dict[str, Any]]:
    """For each benchmark the runs that may be compared, group by group, with all their metrics."""
    names = dict.fromkeys(name for run in runs for name in run.scores)
    paper = [name for name in suites.SUITES["all"] if name in names]
    return [{"name": name, "groups": _groups(runs, name)} for name in (*paper, *(one for one in names if one not in paper))]


def _groups(runs: Sequence[Shown], name: str) -> list[dict[str, Any]]:
    """A run of which some numbers may stand beside published ones and others not is in two groups."""
    groups: list[dict[int, Scores]] = []
    for i, run in enumerate(runs):
        for part in run.scores[name].parts() if name in run.scores else ():
            for group in groups:
                if all(part.comparable == other.comparable and part.alike(other) for other in group.values()):
                    group[i] = part
                    break
            else:
                groups.append({i: part})
    return [_group(group) for group in groups]


def _group(parts: Mapping[int, Scores]) -> dict[str, Any]:
    first = next(iter(parts.values()))
    entries = {i: part.entry for i, part in parts.items()}
    metrics = dict.fromkeys(metric for part in parts.values() for metric in part.metrics)
    judges = dict.fromkeys(f"{role}: {judge['backend']}" for part in parts.values() for role, judge in part.judges.items())
    return {
        "world": first.summary["world"],
        "comparable": first.comparable,
        "protocol": "; ".join([first.entry["protocol"], *first.entry.get("deviations", ())]),
        "judges": list(judges),
        "headline": first.entry["headline"],
        "paper": first.entry["paper_metrics"],
        "samples": first.entry["n_samples"],
        "counts": [[i, entry["n_responses"], "; ".join([*losses(entry), *lacking(entry)])] for i, entry in entries.items()],
        "metrics": [{"name": metric, "rows": _rows(entries, metric)} for metric in metrics],
    }


def _rows(entries: Mapping[int, Mapping[str, Any]], metric: str) -> list[list[Any]]:
    """[run, value, low, high, n, few_clusters] for each run that has the metric."""
    found = {i: entry["metrics"][metric] for i, entry in entries.items() if metric in entry["metrics"]}
    return [[i, *(one.get(key) for key in ("value", "low", "high", "n", "few_clusters"))] for i, one in found.items()]


def _gallery(gallery: Gallery) -> dict[str, Any]:
    return {
        "benchmark": gallery.benchmark,
        "world": gallery.world,
        "runs": gallery.runs,
        "count": len(gallery.items),
        "chunk": CHUNK,
        "tasks": gallery.tasks,
        "left_out": gallery.left_out,
        "note": gallery.note,
    }


def _figures(folder: Path | None) -> list[Path]:
    """A file for each figure, in the order of their numbers; extensions of ours come last."""
    found = [file for file in folder.iterdir() if file.suffix in FIGURES] if folder and folder.is_dir() else []
    best = {file.stem: file for file in sorted(found, key=lambda file: FIGURES.index(file.suffix), reverse=True)}

    def place(file: Path) -> tuple[object, ...]:
        numbers = [int(part) if part.isdecimal() else 0 for part in file.stem.split("-")]
        return file.stem.startswith("extension"), numbers, file.stem

    return sorted(best.values(), key=place)


def _below(files: Mapping[str, Path], name: str) -> list[str]:
    return [quote(address) for address in files if address.startswith(f"{name}/")]
