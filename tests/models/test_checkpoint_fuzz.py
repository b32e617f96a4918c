"""A checkpoint's JSON files changed at random: it is loaded and answers, or is refused in one line; never a traceback."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from models.tiny import write_checkpoint
from PIL import Image
from trials import trials

from suder_bench.errors import UserError
from suder_bench.models import reference
from suder_bench.models.janus import JanusModel
from suder_bench.models.protocols import ImageSampling, TextSampling

NAMES = ("config.json", "generation_config.json", "tokenizer_config.json", "processor_config.json", "preprocessor_config.json")
KINDS: dict[str, Any] = {
    "deadline": None,
    "derandomize": True,
    "suppress_health_check": list(HealthCheck),
    "phases": [Phase.generate],  # a found case is small enough, and shrinking loads hundreds of models
}
numbers = st.sampled_from([-1, 0, 1, 2, 3, 7, 16, 33, 64, 1000, 2**63, 0.0, -0.5, 0.25, 1e300])
values = st.recursive(
    st.none() | st.booleans() | numbers | st.sampled_from(["", "a", "llama", "<bos>", "silu", "float32"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "height", "rope_type"]), inner, max_size=2),
    max_leaves=4,
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("whole"))


def places(content: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something can be changed, however deep."""
    for key, value in content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ():
        yield (*path, key)
        yield from places(value, (*path, key))


def changed(text: str, draw: st.DataObject) -> str:
    content = json.loads(text)
    for _ in range(draw.draw(st.integers(1, 3))):
        *above, last = draw.draw(st.sampled_from(sorted(places(content), key=repr) or [("a",)]))
        parent = content
        for key in above:
            parent = parent[key]
        if draw.draw(st.booleans()) and isinstance(parent, dict):
            parent.pop(last, None)
        else:
            parent[last] = draw.draw(values)
    return json.dumps(content)


def tried(folder: Path) -> None:
    """Everything that a run does with a checkpoint, or a mistake of one line."""
    told = ""
    try:
        chosen = reference.choose(str(folder))
        guidance = chosen.guidance
        assert chosen.world in (True, False)
        chosen.check()
        model = JanusModel.load(str(folder))
        model.generate(["a star"], seeds=[0], sampling=ImageSampling(guidance=guidance))
        shown = Image.new("RGB", (20, 40), (9, 99, 200))
        model.answer([[shown], []], ["a ball?"] * 2, seeds=[0, 1], sampling=TextSampling(max_new_tokens=2))
    except UserError as mistake:
        told = str(mistake)
    assert "\n" not in told


def fuzz(whole: Path, folder: Path, draw: st.DataObject) -> None:
    name = draw.draw(st.sampled_from([name for name in NAMES if (whole / name).is_file()]))
    shutil.copy(whole / name, folder)
    text = (whole / name).read_text()
    cut = draw.draw(st.integers(0, len(text) - 1) | st.just(-1) | st.just(-1) | st.just(-1))
    (folder / name).write_text(changed(text, draw) if cut < 0 else text[:cut])
    tried(folder)
    shutil.copy(whole / name, folder)


@settings(max_examples=40, **KINDS)
@given(draw=st.data())
def test_a_changed_file_is_read_or_refused(whole: Path, tmp_path_factory: pytest.TempPathFactory, draw: st.DataObject) -> None:
    fuzz(whole, shutil.copytree(whole, tmp_path_factory.mktemp("few"), dirs_exist_ok=True), draw)


@pytest.mark.slow
@settings(max_examples=trials(300, thorough=3000), **KINDS)
@given(draw=st.data())
def test_many_changed_files_are_read_or_refused(whole: Path, draw: st.DataObject) -> None:
    folder = whole.parent / "many"
    fuzz(whole, folder if folder.exists() else shutil.copytree(whole, folder), draw)
