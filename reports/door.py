"""The one door through which reports read files: what does not lie in the folders that were given comes into no page.

A run folder may come from somebody else, and a link in it may lead anywhere, as may a path that one of its lines names. So a
file is read only where it lies in its folder with every link followed; the folder itself is the user's own choice and may be
a link. Everything else of `suder_bench.reports` reads through here (tests/reports/test_door.py looks for what does not).

Two things that run folders name are the user's own and lie elsewhere by nature: the benchmark's data, which count only where
their digest is the run's, and the recipe.yaml of the training that a checkpoint is of. The prompts that a recipe names are read
where they come with this program, lie in the training or in the folder that the command runs in, or are such data.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from suder_bench import small_yaml
from suder_bench.errors import PictureError
from suder_bench.records import Verdict, open_image
from suder_bench.runs import commands as kept
from suder_bench.runs.jsonl import Row
from suder_bench.runs.paired import Side
from suder_bench.runs.responses import Columns, Key
from suder_bench.runs.store import RunFolder
from suder_bench.training import prompts
from suder_bench.training.track import TrainingRun

DOCUMENTS = ("run.json", "summary.json", "responses/*/*", "verdicts/*/*", "replies/*", "commands/*")
"""Of a run folder; its pictures are looked at one by one."""

RECIPE = "recipe.yaml"


class OutsideError(PictureError):
    """A file that does not lie in the folders that were given. What holds others may go on without it."""


def inside(file: Path, *given: Path) -> Path:
    """`file`, which must lie in one of the folders with every link followed. Raises `OutsideError`, which names both."""
    try:
        whole = file.resolve()
        found = any(whole.is_relative_to(folder.resolve()) for folder in given)
    except (ValueError, OSError, RuntimeError):  # a zero byte in a name, a ring of links
        whole, found = file, False
    if not found:
        leads = f" (it leads to {whole})" if whole != file.absolute() else ""
        raise OutsideError(
            f"{file} does not lie in {' or '.join(map(str, given))}{leads}; nothing outside the folders that were given is read "
            "into a report: put a copy in its place"
        )
    return file


def read_bytes(file: Path, *given: Path) -> bytes:
    """Raises `OutsideError`, also for a pipe or a device, and `OSError` as `Path.read_bytes` does."""
    if inside(file, *given).exists() and not file.is_file():
        raise OutsideError(f"{file} is no file; put one in its place")
    return file.read_bytes()


def recipe(folder: Path) -> Any:
    """What the recipe.yaml of a training holds. Raises `OutsideError`, and `UserError` for one that is not to be read."""
    file = folder / RECIPE
    return small_yaml.read_of(file, read_bytes(file, folder))


def picture(file: Path, *given: Path) -> Image.Image:
    """Decoded as RGB. Raises `OutsideError`, and `PictureError` for what cannot be read."""
    return open_image(inside(file, *given))


def document(folder: Path, name: str) -> dict[str, Any] | None:
    """A JSON document of the folder, or None where there is none. Raises `UserError` for one that cannot be read."""
    inside(folder / name, folder)
    return RunFolder(folder).read(name)


def judged(folder: Path, benchmark: str, shown: Container[Key]) -> tuple[set[str], list[tuple[str, Verdict]]]:
    """`RunFolder.judged`: what was edited since is not shown."""
    _lines_inside(folder, "verdicts", benchmark)
    return RunFolder(folder).judged(benchmark, shown)


def commands(folder: Path) -> list[Row]:
    """The commands that worked on a run; see `suder_bench.runs.commands`."""
    for file in (folder / kept.FOLDER).glob("*"):
        inside(file, folder)
    return kept.read(folder)


def responses(folder: Path, benchmark: str) -> Columns:
    """The whole responses of a run, one per key, their pictures unseen."""
    _lines_inside(folder, "responses", benchmark)
    return RunFolder(folder).responses(benchmark, repair=False, pictures=False)


def _lines_inside(folder: Path, kind: str, benchmark: str) -> None:
    for file in (folder / kind / benchmark).glob("*"):
        inside(file, folder)


def run(folder: Path, *given: Path) -> Path:
    """The run folder, none of whose documents leads out of it; it lies in one of the folders given, where there are any."""
    if given:
        inside(folder, *given)
    for pattern in DOCUMENTS:
        for file in folder.glob(pattern):
            inside(file, folder)
    return folder


def side(folder: Path) -> Side:
    """A run for a comparison with another. Raises `UserError` when there is no scored run in the folder."""
    return Side.open(run(folder))


def training(folder: Path) -> TrainingRun:
    """Raises `UserError` when there is no training run in the folder."""
    inside(folder / RECIPE, folder)
    return TrainingRun.open(folder)


def training_prompts(sources: Sequence[str], training: Path, data: Sequence[Path], say: Callable[[str], None]) -> list[str]:
    """What a training's recipe names as its prompts; nothing is fetched. `data` are folders of benchmarks that were scored.

    Raises `UserError` where they are not there or not to be read.
    """
    files = [Path(source).expanduser() for source in sources if source.endswith(prompts.FILES)]
    for place in (*prompts.folders(sources).values(), *files):
        inside(place, training, Path(), *data)
    return prompts.read_prompts(sources, say, offline=True)


def evaluations(folder: Path) -> list[Path]:
    """The run folders of a training's evaluations, in the order of their names."""
    return [run(part, folder) for part in sorted((folder / "evaluations").glob("step-*/*")) if part.is_dir()]
