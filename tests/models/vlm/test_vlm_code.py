"""Code that lies in a checkpoint (`auto_map`): never run unasked, and part of what the model is where it is run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from safetensors.torch import save_file

from suder_bench import cli
from suder_bench.errors import UserError
from suder_bench.models import reference
from suder_bench.models.protocols import TextSampling
from suder_bench.models.vlm.model import VlmModel
from suder_bench.testing import pictures

CONFIGURATION = """
from pathlib import Path
from transformers import LlavaConfig

with Path(MARK).open("a") as file:
    file.write("run ")


class OwnConfig(LlavaConfig):
    model_type = "own_llava"
"""
MODEL = """
from transformers import LlavaForConditionalGeneration
from .configuration_own import OwnConfig


class OwnModel(LlavaForConditionalGeneration):
    config_class = OwnConfig
"""
PROCESSOR = """
from transformers import LlavaProcessor


class OwnProcessor(LlavaProcessor):
    pass
"""
TEMPLATE = (
    "{% for m in messages %}{% for p in m.content %}{% if p.type == 'image' %}<image>{% else %}{{ p.text }}{% endif %}"
    "{% endfor %}{% endfor %} ANSWER:"
)
CODE = {"AutoConfig": "configuration_own.OwnConfig", "AutoModelForImageTextToText": "modeling_own.OwnModel"}
WORLD = ["--benchmark", "pope", "--data", "world", "--offline", "--limit", "1", "--device", "cpu"]
SETTING = "?trust_remote_code=true"


@pytest.fixture(scope="module", autouse=True)
def modules(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Where transformers copies such code to, for these tests alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path_factory.mktemp("modules")))
        yield


def edit(file: Path, **changes: object) -> None:
    """A value of None takes a key out."""
    told = {**json.loads(file.read_text()), **changes}
    file.write_text(json.dumps({name: value for name, value in told.items() if value is not None}))


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """What the code writes when it is run."""
    return tmp_path / "it ran"


@pytest.fixture
def own(checkpoints: dict[str, Path], loaded: dict[str, VlmModel], tmp_path: Path, mark: Path) -> Path:
    """A LLaVA that says it is another model, in code of its own, its weights under the names that they have in memory."""
    folder = Path(shutil.copytree(checkpoints["llava"], tmp_path / "own"))
    weights = {name: weight.clone() for name, weight in loaded["llava"].model.state_dict().items()}
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    (folder / "configuration_own.py").write_text(CONFIGURATION.replace("MARK", repr(str(mark))))
    (folder / "modeling_own.py").write_text(MODEL)
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    edit(folder / "config.json", model_type="own_llava", auto_map=CODE)
    return folder


def test_without_the_flag_nothing_is_run_and_one_line_says_so(
    own: Path, mark: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in (str(own), f"vlm:{own}"):
        assert cli.main(["run", "--model", name, "--out", str(tmp_path / "run"), *WORLD]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert f"{own}/config.json asks for code of the checkpoint's own (configuration_own.py, auto_map)" in line
        assert "--trust-remote-code" in line
    assert not mark.exists()
    assert not (tmp_path / "run").exists()


def test_with_the_flag_it_answers_and_the_run_says_which_code(own: Path, mark: Path, tmp_path: Path) -> None:
    run = ["run", "--model", str(own), "--trust-remote-code", "--out", str(tmp_path / "run"), *WORLD]
    assert cli.main(run) == 0
    assert mark.read_text()
    model = json.loads((tmp_path / "run/run.json").read_text())["model"]
    assert model["name"] == f"{own}{SETTING}"
    told = "config.json: AutoConfig configuration_own.OwnConfig, config.json: AutoModelForImageTextToText modeling_own.OwnModel"
    assert model["settings"]["code of the checkpoint"] == told
    assert model["settings"]["family"] == "own_llava"
    assert len(model["parts"]["code"]) == 64


def test_its_answers_are_those_of_the_code(own: Path, checkpoints: dict[str, Path]) -> None:
    """The same network under another name; a family that no test knows is held to its own sampler."""
    plain = Path(shutil.copytree(checkpoints["llava"], own.parent / "plain"))
    shutil.copy(own / "chat_template.jinja", plain)
    ours, theirs = (VlmModel.load(name) for name in (f"{own}{SETTING}", str(plain)))
    assert type(ours.model).__name__ == "OwnModel"
    assert (ours._proven, theirs._proven) == (False, True)
    asked = {"seeds": [0, 1], "sampling": TextSampling(max_new_tokens=4)}
    shown = [[one] for one in pictures(2)]
    # LLaVA's own setting of the image processor is its family's, which another model_type does not get.
    for model in (ours, theirs):
        model.processor.image_processor.do_pad = False
    assert ours.answer(shown, ["What is it?", "Is it red?"], **asked) == theirs.answer(
        shown, ["What is it?", "Is it red?"], **asked
    )


def test_other_code_is_another_model(own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = ["run", "--model", str(own), "--trust-remote-code", "--out", str(tmp_path / "run"), *WORLD]
    assert cli.main(run) == 0
    (own / "modeling_own.py").write_text(MODEL + "\n# other\n")
    capsys.readouterr()
    assert cli.main(run) == 2
    assert "was made with model code" in capsys.readouterr().err


def test_a_model_that_transformers_has_is_read_without_its_code(own: Path, mark: Path, caplog: pytest.LogCaptureFixture) -> None:
    edit(own / "config.json", model_type="llava")
    model = VlmModel.load(str(own))
    assert type(model.model).__name__ == "LlavaForConditionalGeneration"
    assert not mark.exists()
    (line,) = [line for line in caplog.messages if "is not run" in line]
    assert "code of the checkpoint's own (configuration_own.py, modeling_own.py)" in line
    assert "code of the checkpoint" not in model.settings
    assert "code" not in model.parts
    assert type(VlmModel.load(f"{own}{SETTING}").model).__name__ == "OwnModel"


@pytest.mark.parametrize(
    ("file", "key", "auto_map"),
    [
        ("processor_config.json", "processor_class", {"AutoProcessor": "processing_own.OwnProcessor"}),
        ("tokenizer_config.json", "tokenizer_class", {"AutoTokenizer": [None, "processing_own.OwnProcessor"]}),
    ],
)
def test_a_processor_or_tokenizer_in_code_of_its_own_is_refused(
    checkpoints: dict[str, Path], tmp_path: Path, file: str, key: str, auto_map: dict[str, object]
) -> None:
    folder = Path(shutil.copytree(checkpoints["llava"], tmp_path / "own"))
    edit(folder / file, auto_map=auto_map, **{key: "OwnProcessor"})
    (folder / "processing_own.py").write_text(PROCESSOR)
    with pytest.raises(UserError, match=rf"{file} asks for code .*processing_own\.py.*--trust-remote-code"):
        VlmModel.load(str(folder))


def test_a_processor_in_code_of_its_own(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(checkpoints["llava"], tmp_path / "own"))
    changes = {"auto_map": {"AutoProcessor": "processing_own.OwnProcessor"}, "processor_class": "OwnProcessor"}
    edit(folder / "processor_config.json", **changes)
    (folder / "processing_own.py").write_text(PROCESSOR)
    model = VlmModel.load(f"{folder}{SETTING}")
    assert type(model.processor).__name__ == "OwnProcessor"
    assert model.settings["code of the checkpoint"] == "processor_config.json: AutoProcessor processing_own.OwnProcessor"


def without(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def of_another_repository(folder: Path) -> None:
    edit(folder / "config.json", auto_map={"AutoModel": "some/body--modeling_own.OwnModel"})


def broken(folder: Path) -> None:
    (folder / "modeling_own.py").write_text("import a_package_that_nobody_has\n")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (without("modeling_own.py"), r"config\.json asks for modeling_own\.py \(auto_map\), which is not there"),
        (of_another_repository, r"of another repository \(some/body--modeling_own\.OwnModel\), which no fingerprint covers"),
        (broken, r"its code: .*a_package_that_nobody_has"),
    ],
)
def test_code_that_is_not_whole(own: Path, change: Callable[[Path], None], told: str) -> None:
    change(own)
    with pytest.raises(UserError, match=told) as mistake:
        VlmModel.load(f"{own}{SETTING}")
    assert "\n" not in str(mistake.value)


@pytest.mark.parametrize("name", ["tiny-janus", f"tiny-janus{SETTING}", "emu3:a/b", "diffusers:a/b", "folder:."])
def test_other_adapters_run_no_code_and_say_so(name: str) -> None:
    asked = {} if SETTING in name else {"trust_remote_code": "true"}
    with pytest.raises(UserError, match=r"--trust-remote-code says nothing to .*runs no code of a checkpoint \(choices: vlm\)"):
        reference.choose(name, asked)


def test_a_setting_is_there_or_not(own: Path) -> None:
    with pytest.raises(UserError, match=r"trust_remote_code is 'false'; write trust_remote_code=true, or leave it out"):
        reference.choose(f"vlm:{own}?trust_remote_code=false")


def test_a_run_of_someone_elses_does_not_decide_to_run_code(
    own: Path, mark: Path, tmp_path: Path, fakes: None, capsys: pytest.CaptureFixture[str]
) -> None:
    made = ["run", "--model", "fake:bright", "--benchmark", "drawing", "--data", str(tmp_path), "--out", str(tmp_path / "run")]
    assert cli.main([*made, "--device", "cpu", "--limit", "3"]) == 0
    told = json.loads((tmp_path / "run/run.json").read_text())
    told["model"] |= {"name": f"{own}{SETTING}", "adapter": "vlm"}
    (tmp_path / "run/run.json").write_text(json.dumps(told))
    capsys.readouterr()
    compare = ["reward", "compare", "--run", str(tmp_path / "run"), "--out", str(tmp_path / "out"), "--device", "cpu"]
    assert cli.main(compare) == 2
    assert "run was made with code that lies in the checkpoint; --trust-remote-code runs it again" in capsys.readouterr().err
    assert not mark.exists()
