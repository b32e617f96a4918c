"""The example servers, over stand-ins of the repositories' modules: the same names and signatures, nothing of the models."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from standalone.served import serving

from suder_bench.models.protocols import ImageSampling, TextSampling
from suder_bench.models.reference import choose
from suder_bench.testing import check_model, pictures

HERE = Path(__file__).parent
EXAMPLES = HERE.parents[1] / "examples" / "servers"
OWN = ImageSampling(guidance=None)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Two by two numbers where BAGEL has seven billion."""
    save_file({"language_model.weight": torch.eye(2), "language_model.bias": torch.zeros(2)}, tmp_path / "ema.safetensors")
    (tmp_path / "llm_config.json").write_text("{}")
    (tmp_path / "vit_config.json").write_text(json.dumps({"num_hidden_layers": 27}))
    return tmp_path


def test_bagel_draws_and_answers_as_its_demo_asks_it_to(weights: Path) -> None:
    environment = {"BAGEL_REPO": str(HERE / "bagel_standin"), "BAGEL_WEIGHTS": str(weights)}
    with serving(EXAMPLES / "bagel.py", **environment) as reference:
        model = choose(reference).load(device="cpu", dtype="float32")
        assert check_model(model, image=OWN) == ["TextToImage", "ImageToText"]
        [drawn] = model.generate(["a ball"], seeds=[0], sampling=OWN)  # type: ignore[attr-defined]
        assert drawn.picture.size == (64, 64)
        assert drawn.picture.getpixel((0, 0))[2] == len("a ball") + 40 + 50
        torch.manual_seed(0)
        assert drawn.picture.getpixel((0, 0))[:2] == tuple(torch.randint(0, 256, (2,)).tolist())  # seed 0 is one, too
        [guided] = model.generate(["a ball"], seeds=[0], sampling=ImageSampling(guidance=2.0))  # type: ignore[attr-defined]
        assert guided.picture.getpixel((0, 0))[2] == len("a ball") + 20 + 50
        asked = [[Image.new("RGB", (4, 2)), Image.new("RGB", (3, 3))], []]
        said = model.answer(asked, ["What?", "Why?"], seeds=[1, 2], sampling=TextSampling(max_new_tokens=7))  # type: ignore[attr-defined]
        assert said == ["[(4, 2), (3, 3)] What? False 7", "[] Why? False 7"]


def test_showo2_draws_and_answers_as_its_scripts_do() -> None:
    standin = HERE / "showo2_standin"
    environment = {"SHOWO2_REPO": str(standin), "SHOWO2_CONFIG": str(standin / "config.yaml")}
    with serving(EXAMPLES / "showo2.py", **environment) as reference:
        model = choose(reference).load(device="cpu", dtype="float32")
        assert check_model(model, image=OWN) == ["TextToImage", "ImageToText"]
        images = [
            model.generate(["a ball"], seeds=[3], sampling=sampling)[0].picture.tobytes()  # type: ignore[attr-defined]
            for sampling in (OWN, ImageSampling(guidance=5.0), ImageSampling(guidance=0.0))
        ]
        assert images[0] == images[1] != images[2]
        greedy = TextSampling(max_new_tokens=40)
        seen, unseen = model.answer([pictures(1), []], ["What?", "Why?"], seeds=[1, 2], sampling=greedy)  # type: ignore[attr-defined]
        assert seen.split()[1:] == ["10", "1"]  # five tokens of a picture see one another; greedy
        assert unseen.endswith(" of no picture")
        with pytest.raises(Exception, match="asks about one picture"):
            model.answer([pictures(2)], ["What?"], seeds=[1], sampling=greedy)  # type: ignore[attr-defined]
