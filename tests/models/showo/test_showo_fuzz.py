"""A Show-o checkpoint's JSON files changed at random: it draws and answers, or is refused in one line; never a traceback."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from models.showo.small_showo import write_folder
from models.test_checkpoint_fuzz import KINDS, changed
from PIL import Image

from suder_bench.errors import UserError
from suder_bench.models.protocols import ImageSampling, TextSampling
from suder_bench.models.reference import choose
from suder_bench.models.showo import reference
from suder_bench.models.showo.model import ShowoModel

NAMES = ("config.json", "generation_config.json", "tokenizer_config.json")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_folder(tmp_path_factory.mktemp("whole"))
    (folder / "generation_config.json").write_text('{"guidance_scale": 2.5, "generation_timesteps": 3}')
    return folder


def tried(folder: Path) -> None:
    """Everything that a run does with a checkpoint, or a mistake of one line."""
    told = ""
    try:
        chosen = choose(f"showo:{folder}")
        sampling = ImageSampling(guidance=chosen.guidance, steps=min(chosen.steps or 2, 2))
        chosen.check()
        model = chosen.load(device="cpu", dtype="float32")
        assert isinstance(model, ShowoModel)
        model.generate(["a star"], seeds=[0], sampling=sampling)
        shown = Image.new("RGB", (20, 40), (9, 99, 200))
        model.answer([[shown], []], ["a ball?"] * 2, seeds=[0, 1], sampling=TextSampling(max_new_tokens=2))
    except UserError as mistake:
        told = str(mistake)
    assert "\n" not in told


@settings(max_examples=40, **KINDS)
@given(draw=st.data())
def test_a_changed_file_is_read_or_refused(whole: Path, tmp_path_factory: pytest.TempPathFactory, draw: st.DataObject) -> None:
    folder = Path(shutil.copytree(whole, tmp_path_factory.mktemp("changed"), dirs_exist_ok=True))
    name = draw.draw(st.sampled_from(NAMES))
    (folder / name).write_text(changed((whole / name).read_text(), draw))
    tried(folder)


@given(text=st.text(alphabet="ab/:?&=%.+drop153filmaskhn-", max_size=40))
def test_any_reference_is_read_or_refused(text: str) -> None:
    told = ""
    try:
        found = reference.read(text)
        assert 0 <= found.estimator.drop <= 1
        assert found.estimator.draws >= 1
    except UserError as mistake:
        told = str(mistake)
    assert "\n" not in told
