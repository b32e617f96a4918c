"""Judging keeps few pictures in memory, and prepares the next ones while the judge is busy."""

from __future__ import annotations

import io
import threading
import weakref
from pathlib import Path
from typing import Any

import pytest
from fakes import Drawing, ShadeJudge, flat
from PIL import Image

from suder_bench.records import Answered, Response, Verdict
from suder_bench.runs import pictures
from suder_bench.runs.batches import BatchSize
from suder_bench.runs.judges import Panel
from suder_bench.runs.score import Judged, judge
from suder_bench.runs.screen import Screen

COUNT = 60


@pytest.fixture
def answered(tmp_path: Path) -> list[Answered]:
    samples = Drawing(tmp_path).samples()
    found = []
    for number in range(COUNT):
        sample, file = samples[number % 12], tmp_path / f"{number}.png"
        flat(sample.truth["shade"]).save(file)
        found.append(Answered(sample, Response("drawing", sample.id, number // 12, 0, "", image=file.name), file))
    return found


def judged(answered: list[Answered], judge_of: Any, size: int, benchmark: Any) -> tuple[Judged, list[Verdict]]:
    kept: list[Verdict] = []
    panel = Panel({"shade": judge_of}, {})
    done = judge(benchmark, answered, panel, keep=kept.extend, size=BatchSize(size), screen=Screen(io.StringIO()))
    return done, kept


def test_at_most_two_batches_of_pictures_are_alive(
    answered: list[Answered], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    references: list[weakref.ref[Image.Image]] = []  # a picture is not hashable
    most = 0
    opened = pictures.open_image

    def alive() -> int:
        return sum(reference() is not None for reference in list(references))

    def watched(source: Path) -> Image.Image:
        nonlocal most
        picture = opened(source)
        references.append(weakref.ref(picture))
        most = max(most, alive())
        return picture

    monkeypatch.setattr(pictures, "open_image", watched)
    done, kept = judged(answered, ShadeJudge(), 5, Drawing(tmp_path))
    assert (done, len(kept), all(verdict.correct for verdict in kept)) == (Judged(0, 0), COUNT, True)
    assert 5 <= most <= 10
    assert alive() == 0


def test_pictures_are_decoded_while_the_judge_is_busy(
    answered: list[Answered], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead = threading.Event()
    opened = pictures.open_image

    def watched(source: Path) -> Image.Image:
        if source.name == "9.png":  # the last of the second batch
            ahead.set()
        return opened(source)

    class Patient(ShadeJudge):
        def shades(self, pictures: Any) -> list[int]:
            assert ahead.wait(10)
            return super().shades(pictures)

    monkeypatch.setattr(pictures, "open_image", watched)
    done, kept = judged(answered, Patient(), 5, Drawing(tmp_path))
    assert (done, len(kept)) == (Judged(0, 0), COUNT)


@pytest.mark.parametrize("size", [1, 7, 32])
def test_verdicts_do_not_depend_on_the_batch(answered: list[Answered], tmp_path: Path, size: int) -> None:
    Path(tmp_path / "13.png").write_bytes(b"")
    done, kept = judged(answered, ShadeJudge(), size, Drawing(tmp_path))
    assert done == Judged(failed=0, unread=1)
    assert [(v.sample, v.repeat) for v in kept] == [(f"{n % 12:03d}", n // 12) for n in range(COUNT) if n != 13]


def test_a_full_memory_and_a_bad_sample_lose_nothing_else(answered: list[Answered], tmp_path: Path) -> None:
    class Small(Drawing):
        def verdicts(self, batch: Any, judges: Any) -> Any:
            if len(batch) > 3:
                raise MemoryError
            if any(one.source == answered[20].source for one in batch):
                raise RuntimeError("a bad sample")
            return super().verdicts(batch, judges)

    (tmp_path / "21.png").write_bytes(b"")
    done, kept = judged(answered, ShadeJudge(), 16, Small(tmp_path))
    assert done == Judged(failed=1, unread=1)
    assert len(kept) == COUNT - 2
