"""An Emu3 checkpoint's JSON files changed at random: it draws and answers, or is refused in one line; never a traceback."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from models.emu3.tiny_emu3 import write_checkpoint
from models.test_checkpoint_fuzz import KINDS, changed
from PIL import Image

from suder_bench.errors import UserError
from suder_bench.models import reference
from suder_bench.models.emu3.adapter import Emu3Model
from suder_bench.models.protocols import ImageSampling, TextSampling

NAMES = ("config.json", "generation_config.json", "tokenizer_config.json", "processor_config.json")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("whole"))


def tried(folder: Path) -> None:
    """Everything that a run does with a checkpoint, or a mistake of one line."""
    told = ""
    try:
        chosen = reference.choose(str(folder))
        guidance = chosen.guidance
        assert guidance is not None
        chosen.check()
        model = Emu3Model.load(f"{folder}?image_area=256")
        model.generate(["a star"], seeds=[0], sampling=ImageSampling(guidance=guidance))
        if isinstance(model, Emu3Model):
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


def test_normalisation_that_has_no_way_back_is_refused(whole: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(whole, tmp_path / "changed"))
    file = folder / "processor_config.json"
    file.write_text(file.read_text().replace("0.26862954", "0.0"))
    with pytest.raises(UserError, match="cannot be loaded: its image processor:"):
        Emu3Model.load(str(folder))
