"""What server and workers send each other comes back whole, or not at all."""

from __future__ import annotations

import io

from hypothesis import given
from hypothesis import strategies as st

from suder_bench.service import frames
from suder_bench.service.asked import Asked

ITEMS = st.builds(
    Asked,
    benchmark=st.text(),
    picture=st.binary(),
    pixels=st.just(0),
    prompt=st.none() | st.text(),
    metadata=st.dictionaries(st.text(), st.none() | st.integers() | st.text() | st.lists(st.booleans())),
    sample=st.none() | st.text(),
)


@given(st.lists(ITEMS, max_size=4), st.integers(0, 300))
def test_a_batch_comes_back_and_a_part_of_one_does_not(batch: list[Asked], cut: int) -> None:
    stream = io.BytesIO()
    frames.write_batch(stream, 7, batch)
    whole = stream.getvalue()
    found = frames.read(io.BytesIO(whole + b"the next"))
    assert found is not None
    assert found[0]["id"] == 7
    assert frames.batch_of(*found) == batch
    assert frames.read(io.BytesIO(whole[: max(0, len(whole) - 1 - cut)])) is None
