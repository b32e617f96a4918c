"""How a model is asked for a chunk of responses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fakes import FakeModel, flat

from suder_bench.models.protocols import ImageSampling, TextSampling
from suder_bench.records import Sample
from suder_bench.runs import making
from suder_bench.runs.batches import BatchSize
from suder_bench.runs.making import Asked, Maker
from suder_bench.runs.plan import Item
from suder_bench.runs.workers.here import UNSEEN


def test_a_picture_is_opened_once_for_all_questions_of_a_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["a.png", "b.png", "a.png", "a.png"]
    for shade, name in enumerate(set(names)):
        flat(shade).save(tmp_path / name)
    opened: list[Any] = []
    open_image = making.open_image
    monkeypatch.setattr(making, "open_image", lambda source: (opened.append(source), open_image(source))[1])
    samples = [Sample(str(i), "", "which shade?", (tmp_path / name,)) for i, name in enumerate(names)]
    maker = Maker(FakeModel(), ImageSampling(), TextSampling(), BatchSize(), UNSEEN)
    chunk = Asked("reading", False, tuple(Item("reading", sample, 0, 0) for sample in samples))
    [part] = maker.do(chunk)
    assert [place for place, _ in part.results] == [0, 1, 2, 3]
    assert sorted(source.name for source in opened) == ["a.png", "b.png"]
