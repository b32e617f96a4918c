"""`folder:DIR`: pictures made elsewhere, in the benchmarks' official layouts, served as a model's responses."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from suder_bench.benchmark import GenerationBenchmark, KnowsRewriting, NamesStrangers
from suder_bench.errors import UserError
from suder_bench.records import Stranger


def check(reference: str) -> None:
    """Raises `UserError` when there is no such folder."""
    if not Path(reference).expanduser().is_dir():
        raise UserError(f"model 'folder:{reference}': no such folder")


class FolderModel:
    """Implements `StoredPictures` and `TellsOfPictures`.

    DIR holds one folder per benchmark (`geneval`, `t2i-compbench`), or one benchmark's files.

    The fingerprint is of the files' names, sizes and times, so that an exchanged picture is not taken for the old one.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = f"folder:{folder}"
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        stats = [(path.relative_to(folder).as_posix(), path.stat()) for path in files]
        listing = json.dumps([(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats])
        self.fingerprint = hashlib.sha256(listing.encode()).hexdigest()[:16]
        self.settings: dict[str, str] = {}

    @classmethod
    def load(cls, reference: str, *, device: str, dtype: str) -> FolderModel:
        """Open the folder; `device` and `dtype` say nothing here. Raises `UserError` when there is none."""
        check(reference)
        return cls(Path(reference).expanduser())

    def pictures(self, benchmark: GenerationBenchmark) -> Mapping[tuple[str, int], Path]:
        """See `StoredPictures`. The repeats of a sample are numbered in the order of their file names' numbers."""
        found: dict[str, list[tuple[int, Path]]] = {}
        for sample, repeat, file in benchmark.find_images(self._of(benchmark)):
            found.setdefault(sample.id, []).append((repeat, file))
        return {
            (sample, position): file
            for sample, files in found.items()
            for position, (_, file) in enumerate(sorted(files, key=lambda pair: pair[0]))
        }

    def strangers(self, benchmark: GenerationBenchmark) -> Sequence[Stranger]:
        return benchmark.strangers(self._of(benchmark)) if isinstance(benchmark, NamesStrangers) else ()

    def rewritten(self, benchmark: GenerationBenchmark) -> Mapping[str, str]:
        return benchmark.rewritten(self._of(benchmark)) if isinstance(benchmark, KnowsRewriting) else {}

    def _of(self, benchmark: GenerationBenchmark) -> Path:
        return benchmarks_own(self.folder, benchmark.name)


def benchmarks_own(folder: Path, benchmark: str) -> Path:
    """Where a benchmark's pictures lie: its own folder inside one that holds several benchmarks', else the folder itself."""
    names = (benchmark, benchmark.replace("-", "_"))
    return next((folder / name for name in names if (folder / name).is_dir()), folder)
