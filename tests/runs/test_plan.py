"""What a run is to do: seeds, limits and the digest of the data."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby
from pathlib import Path

import pytest
from fakes import Drawing, Reading, encoded, settings
from hypothesis import given
from hypothesis import strategies as st

from suder_bench.errors import UserError
from suder_bench.records import Sample
from suder_bench.runs.cells import cells, in_order
from suder_bench.runs.plan import Items, Task, data_read_once, evenly, places, plan, samples_digest, seed_of
from suder_bench.runs.shards import Shard


def quiet(line: str) -> None:
    pass


@given(st.integers(0, 2**40), st.text(), st.text(), st.integers(0, 99))
def test_a_seed_has_63_bits_and_depends_on_all_it_is_named_after(run: int, benchmark: str, sample: str, repeat: int) -> None:
    seed = seed_of(run, benchmark, sample, repeat)
    assert 0 <= seed < 2**63
    others = [(run + 1, benchmark, sample, repeat), (run, benchmark + "x", sample, repeat), (run, benchmark, sample, repeat + 1)]
    assert seed not in [seed_of(*other) for other in [*others, (run, benchmark, sample + "x", repeat)]]


def test_seeds_never_change() -> None:
    assert seed_of(0, "geneval", "00000", 0) == 3447464834599902783


@given(st.lists(st.integers(1, 5), min_size=1, max_size=40), st.integers(1, 80))
def test_a_limit_keeps_order_and_whole_clusters(sizes: list[int], limit: int) -> None:
    samples = [Sample(f"{c}/{i}", str(c), "") for c, size in enumerate(sizes) for i in range(size)]
    chosen = evenly(samples, limit)
    ids = [sample.id for sample in chosen]
    assert ids == [sample.id for sample in samples if sample.id in ids]
    for cluster in {sample.cluster for sample in chosen}:
        assert sum(sample.cluster == cluster for sample in chosen) == sizes[int(cluster)]
    assert 0 < len(chosen) <= max(limit, sizes[0])


def test_a_limit_meets_every_category_and_doubling_it_only_adds() -> None:
    samples = Drawing(Path(__file__).parent).samples()
    assert {sample.truth["category"] for sample in evenly(samples, 3)} == {"a", "b", "c"}
    assert len(evenly(samples, 5)) == 5
    assert {sample.id for sample in evenly(samples, 3)} <= {sample.id for sample in evenly(samples, 6)}
    assert evenly(samples, 12) == evenly(samples, 99) == evenly(samples, None) == samples


def test_the_digest_of_the_data_sees_every_change() -> None:
    sample = Sample("1", "1", "a cat", (encoded(3),), {"count": 1})
    changes = [{"id": "2"}, {"cluster": "2"}, {"prompt": "a dog"}, {"images": (encoded(4),)}, {"truth": {"count": 2}}]
    digests = [samples_digest([sample]), *(samples_digest([replace(sample, **change)]) for change in changes)]
    assert len(set(digests)) == len(digests)


def test_a_picture_file_counts_by_name_and_size_wherever_it_lies(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "1.png").write_bytes(encoded(1))
    first, second = (samples_digest([Sample("1", "1", "", (tmp_path / folder / "1.png",))]) for folder in "ab")
    assert first == second


@pytest.mark.usefixtures("fakes")
def test_repeats_of_a_prompt_stay_together() -> None:
    (task,) = plan(settings("drawing", repeats=3, limit=2), quiet)
    assert [item.key for item in task.items] == [("000", 0), ("000", 1), ("000", 2), ("006", 0), ("006", 1), ("006", 2)]


@pytest.mark.usefixtures("fakes")
def test_items_are_the_same_by_place_in_slices_and_in_turn() -> None:
    [task] = plan(settings("drawing", repeats=3, seed=7), quiet)
    items = list(task.items)
    assert len(items) == len(task.items) == 3 * len(task.samples)
    assert [task.items[place] for place in range(len(items))] == items
    assert task.items[-1] == items[-1]
    assert task.items[4:9:2] == tuple(items[4:9:2])
    assert [item.seed for item in items] == [seed_of(7, "drawing", item.sample.id, item.repeat) for item in items]
    for some in (task.items, items[::2]):
        place = places(some)
        assert [place(*item.key) for item in some] == list(range(len(some)))
        assert place("nobody", 0) is None
        assert place(items[0].sample.id, 3) is None


@pytest.mark.usefixtures("fakes")
def test_data_are_read_once_for_all_runs_on_them_and_each_keeps_its_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[Path] = []
    samples = Drawing.samples
    monkeypatch.setattr(Drawing, "samples", lambda self: reads.append(self) or samples(self))
    asked = [settings("drawing", seed=seed) for seed in (0, 1)]
    apart = [plan(one, quiet)[0] for one in asked]
    assert len(reads) == 2
    with data_read_once():
        shared = [plan(one, quiet)[0] for one in asked]
        assert len(reads) == 3
        plan(replace(asked[0], limit=2), quiet)
        assert len(reads) == 4
    plan(asked[0], quiet)
    assert len(reads) == 5
    assert [list(one.items) for one in shared] == [list(one.items) for one in apart]
    assert [one.data for one in shared] == [one.data for one in apart]


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 9)), max_size=40), st.integers(1, 3), st.integers(1, 8))
def test_questions_about_a_picture_are_asked_together(asked: list[tuple[int, int]], repeats: int, size: int) -> None:
    """Whatever is left of the plan, in the cells of the whole; a benchmark of pictures goes by its plan."""
    samples = tuple(Sample(str(i), "", "?" * length, (bytes([which]),)) for i, (which, length) in enumerate(asked))
    items = Items("reading", samples, repeats, 0)
    task = Task(Reading(Path()), "official", repeats, samples, items, "")
    ordered = in_order(task, items)
    assert sorted(item.key for item in ordered) == sorted(item.key for item in items)
    runs = [which for which, _ in groupby(item.sample.images for item in ordered)]
    assert len(runs) == len(set(runs))
    longest = [max(len(sample.prompt) for sample in samples if sample.images == which) for which in runs]
    assert longest == sorted(longest)
    whole = cells(task, items, size)
    assert [len(cell) for cell in whole] == [len(items[at : at + size]) for at in range(0, len(items), size)]
    parts = [Shard(number, 2).of(task, size) for number in (1, 2)]
    assert sorted(item.key for part in parts for item in part.items) == sorted(item.key for item in items)
    assert all(cell in whole for part in parts for cell in cells(part, part.items, size))
    assert in_order(replace(task, benchmark=Drawing(Path())), items) == items


@pytest.mark.usefixtures("fakes")
def test_every_benchmark_without_data_is_told(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"no drawing/shades\.txt"):
        plan(settings("drawing", "reading", data=tmp_path / "empty"), quiet)
    with pytest.raises(ExceptionGroup) as raised:
        plan(settings("drawing", "drawing", data=tmp_path / "empty"), quiet)
    assert len(raised.value.exceptions) == 2


@pytest.mark.usefixtures("fakes")
def test_an_unknown_protocol_is_refused() -> None:
    with pytest.raises(UserError, match="unknown protocol 'strct'; did you mean 'strict'"):
        plan(settings(protocol="strct"), quiet)


@pytest.mark.usefixtures("fakes")
def test_a_protocol_is_for_the_benchmarks_that_offer_it() -> None:
    assert [task.protocol for task in plan(settings(protocol="strict"), quiet)] == ["strict", "official"]
