"""Training pictures by source: the world, a folder, a parquet file or a set on the hub. Only pictures are read, never what is
said of them, so that no caption or label can meet a prompt."""

from __future__ import annotations

import importlib
import os
import re
import sys
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, Protocol, overload

from PIL import Image

from suder_bench.data.source import cache
from suder_bench.endings import READ
from suder_bench.errors import AbsentError, PictureError, UserError, install, unknown
from suder_bench.proxies import before_the_hub
from suder_bench.records import open_image
from suder_bench.world import train_split
from suder_bench.world.version import VERSION

SOURCES = ("world", "FOLDER", "FILE.parquet", "hub:ORG/NAME")
HUB = "hub:"
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True)
class ImageSource:
    """Where pictures come from (see `SOURCES`), and how many: None takes all there are, of the world
    `train_split.PICTURES`. `split` is of a hub set, `column` the one with pictures in a hub set or parquet file."""

    source: str
    count: int | None = None
    split: str = "train"
    column: str = "image"


class _Set(Protocol):
    def __len__(self) -> int: ...

    def picture(self, i: int) -> Image.Image:
        """The i-th picture, RGB. Raises `PictureError` naming the file or row that cannot be read."""
        ...

    def names(self, places: Sequence[int]) -> list[str]:
        """What tells each of these pictures from others, as far as that shows without reading it."""
        ...


class Pictures(Sequence[Image.Image]):
    """RGB pictures of several sets, one after the other, each decoded when it is asked for and not kept."""

    def __init__(self, chosen: Sequence[tuple[_Set, Sequence[int]]]):
        """`chosen` are the sets with the places of the pictures that are taken."""
        self._chosen = [(pictures, places) for pictures, places in chosen if places]
        self._ends = list(accumulate(len(places) for _, places in self._chosen))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    @overload
    def __getitem__(self, i: int) -> Image.Image: ...

    @overload
    def __getitem__(self, i: slice) -> list[Image.Image]: ...

    def __getitem__(self, i: int | slice) -> Image.Image | list[Image.Image]:
        if isinstance(i, slice):
            return [self[k] for k in range(*i.indices(len(self)))]
        k = range(len(self))[i]
        which = bisect_right(self._ends, k)
        pictures, places = self._chosen[which]
        return pictures.picture(places[k - self._ends[which]])  # a negative index counts from the end

    def __iter__(self) -> Iterator[Image.Image]:
        return (self[k] for k in range(len(self)))

    def names(self) -> list[str]:
        """A line a picture, by which to notice that others are there now: of a file its name and size. Nothing is decoded."""
        return [name for pictures, places in self._chosen for name in pictures.names(places)]


def open_images(sources: Sequence[ImageSource]) -> Pictures:
    """All pictures of the sources, in order; `count` of them lie evenly over a set that holds more.

    Raises `UserError` in one line for a source that is unknown, empty, or holds fewer pictures than asked for.
    """
    if not sources:
        raise UserError(f"no pictures to train on; name a source (choices: {', '.join(SOURCES)})")
    return Pictures([_choose(source) for source in sources])


def _choose(source: ImageSource) -> tuple[_Set, Sequence[int]]:
    name, count = source.source, source.count
    if count is not None and count < 1:
        raise UserError(f"picture source '{name}': count is {count}; ask for 1 or more")
    if name == "world":
        world = _World(train_split.PICTURES if count is None else count)
        return world, range(len(world))
    pictures = _open(source)
    if not len(pictures):
        raise UserError(f"picture source '{name}' holds no pictures ({', '.join(READ)})")
    if count is None:
        return pictures, range(len(pictures))
    if count > len(pictures):
        raise UserError(f"picture source '{name}' holds {len(pictures):,} pictures, {count:,} are asked for; lower its count")
    return pictures, [i * len(pictures) // count for i in range(count)]


def _open(source: ImageSource) -> _Set:
    name, path = source.source, Path(source.source).expanduser()
    if name.startswith(HUB):
        return _hub(source)
    if path.is_dir():
        return _Folder(path)
    if path.suffix == ".parquet":
        if not path.is_file():
            raise AbsentError(f"picture source '{name}': there is no such file")
        return _parquet(source, path)
    if path.is_file():
        raise UserError(f"picture source '{name}' is a file, and neither a folder nor *.parquet; name the folder it lies in")
    if "/" in name:
        raise AbsentError(f"picture source '{name}': there is no such folder; put the pictures there, or name another source")
    raise unknown("picture source", name, SOURCES)


class _World:
    def __init__(self, count: int):
        self._count = count

    def __len__(self) -> int:
        return self._count

    def picture(self, i: int) -> Image.Image:
        return train_split.picture(i)

    def names(self, places: Sequence[int]) -> list[str]:
        return [f"world {VERSION}: {i}" for i in places]


class _Folder:
    """Every picture below a folder in the order of paths; hidden files are passed over."""

    def __init__(self, folder: Path):
        found = (file for file in folder.rglob("*") if file.suffix[1:].lower() in READ and not file.name.startswith("."))
        self._folder = folder
        self._files = sorted((file for file in found if file.is_file()), key=lambda file: file.relative_to(folder).as_posix())

    def __len__(self) -> int:
        return len(self._files)

    def picture(self, i: int) -> Image.Image:
        return open_image(self._files[i])

    def names(self, places: Sequence[int]) -> list[str]:
        files = (self._files[i] for i in places)
        return [f"{file.relative_to(self._folder).as_posix()}: {file.stat().st_size}" for file in files]


class _Rows:
    """The picture column of a table. A picture is encoded bytes, or the path of a file."""

    def __init__(self, table: Any, source: ImageSource):
        """`table` is a `datasets.Dataset`. Raises `UserError` when it has no such column, or one without pictures."""
        image_column = _package("datasets", source).Image
        column = source.column
        if column not in table.column_names:
            raise UserError(f"picture source '{source.source}': {unknown('column', column, table.column_names)}")
        kind = table.features[column]
        encoded = isinstance(kind, dict) and "bytes" in kind
        if not (encoded or isinstance(kind, image_column) or getattr(kind, "dtype", None) in ("binary", "large_binary")):
            told = getattr(kind, "dtype", kind)
            raise UserError(f"picture source '{source.source}': column '{column}' holds {told}, no pictures; name another column")
        self._rows = table.select_columns([column]).cast_column(column, image_column(decode=False))
        self._column, self._name = column, source.source

    def __len__(self) -> int:
        return len(self._rows)

    def picture(self, i: int) -> Image.Image:
        where = f"row {i} of {self._name}"
        stored = self._rows[i][self._column] or {}
        if stored.get("bytes") is None and not stored.get("path"):
            raise PictureError(f"{where} holds no picture")
        if stored.get("bytes") is None:
            return open_image(Path(stored["path"]))
        try:
            return open_image(stored["bytes"])
        except PictureError as error:
            raise PictureError(str(error).replace("a picture inside a file", where, 1)) from None

    def names(self, places: Sequence[int]) -> list[str]:
        size = self._rows.data.nbytes
        return [f"{self._name}, {size}: {i}" for i in places]


def _parquet(source: ImageSource, file: Path) -> _Rows:
    """Read once into an Arrow file of the cache, whose rows are then read where they lie."""
    datasets, parquet = _package("datasets", source), _package("pyarrow.parquet", source)
    try:
        names = parquet.read_schema(file).names
        if source.column not in names:
            raise UserError(f"picture source '{source.source}': {unknown('column', source.column, names)}")
        return _Rows(
            datasets.Dataset.from_parquet(str(file), columns=[source.column], cache_dir=str(cache() / "parquet")), source
        )
    except (OSError, ValueError) as error:  # what pyarrow and the package raise for damaged files
        raise UserError(f"picture source '{source.source}' cannot be read: {_first_line(error)}") from error


def hub_name(source: ImageSource) -> str:
    """The set's name on the hub. Raises `UserError` for what cannot be one."""
    name = source.source.removeprefix(HUB)
    if not _HUB_ID.fullmatch(name):
        raise UserError(f"picture source '{source.source}' is no set of the hub; write hub:ORG/NAME")
    return name


def _hub(source: ImageSource) -> _Rows:
    """The whole split is fetched into the Hugging Face cache, unless HF_HUB_OFFLINE forbids it."""
    name = hub_name(source)
    datasets = _package("datasets", source)
    try:
        table = datasets.load_dataset(name, split=source.split)
    except Exception as error:  # misspelt, gated, offline, another split: the package's own words tell which
        raise UserError(
            f"picture source '{source.source}', split '{source.split}', cannot be had: {_first_line(error)}"
            f"{before_the_hub(error)}"
        ) from error
    return _Rows(table, source)


def _package(name: str, source: ImageSource) -> Any:
    if not sys.stderr.isatty():
        os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UserError(f"picture source '{source.source}' needs the package datasets; run: {install('train')}") from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
