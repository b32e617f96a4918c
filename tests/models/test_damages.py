"""Every way in which a checkpoint is damaged, in every form that is read: one line that says what and where."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from models.emu3 import tiny_emu3
from models.janus import original_layout
from models.showo import small_showo
from models.tiny import edit_json, tiny_image_processor, tiny_janus_model, tiny_tokenizer
from models.vlm.tiny_vlm import write_llava
from safetensors.torch import load_file, save_file

from suder_bench.errors import UserError
from suder_bench.models.reference import choose

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"


def write_janus(folder: Path) -> object:
    for part in (tiny_janus_model(), tiny_tokenizer(), tiny_image_processor()):
        part.save_pretrained(folder)
    return folder


def write_original(kind: str) -> Callable[[Path], object]:
    return lambda folder: original_layout.write(folder, tiny_janus_model(vision_heads=16), tiny_tokenizer(), kind=kind)


def write_pipeline(folder: Path) -> object:
    pytest.importorskip("diffusers")
    from models.tiny_pipelines import save_tiny_pipeline

    return save_tiny_pipeline(folder, "sd")


@dataclass(frozen=True)
class Form:
    """How a family is written, where its weights are, what one of them is called in the file, and which files belong to it."""

    write: Callable[[Path], object]
    weight: str
    weights: str = "model.safetensors"
    tokenizer: str = "tokenizer.json"
    processors: tuple[str, ...] = ("preprocessor_config.json", "processor_config.json")
    head: str = ""
    without_tokenizer: str = "holds no tokenizer (tokenizer.json or"
    other_shape: str = "of shape ("
    settings: Mapping[str, str] = field(default_factory=dict)


FORMS = {
    "janus": Form(write_janus, "model.generation_embeddings.weight", head="lm_head.weight"),
    "original safetensors": Form(write_original("safetensors"), "gen_embed.weight", head="language_model.lm_head.weight"),
    "original bin": Form(
        write_original("bin"), "gen_embed.weight", weights="pytorch_model.bin", head="language_model.lm_head.weight"
    ),
    "emu3": Form(
        tiny_emu3.write_checkpoint,
        "text_model.lm_head.weight",
        head="text_model.lm_head.weight",
        settings={"image_area": "4096"},
    ),
    "showo": Form(
        small_showo.write_folder,
        "showo.model.embed_tokens.weight",
        weights="pytorch_model.safetensors",
        processors=(),
        head="showo.lm_head.weight",
        without_tokenizer="has no text tokenizer of its own, and takes it from microsoft/phi-1_5",
    ),
    "vlm": Form(write_llava, "multi_modal_projector.linear_1.weight", head="language_model.lm_head.weight"),
    "diffusers": Form(
        write_pipeline,
        "conv_in.weight",
        weights="unet/diffusion_pytorch_model.safetensors",
        tokenizer="tokenizer/tokenizer.json",
        processors=(),
        without_tokenizer="has no vocabulary in its folder tokenizer",
    ),
}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a form, written once and not changed."""
    folders: dict[str, Path] = {}

    def of(name: str) -> Path:
        if name not in folders:
            folder = tmp_path_factory.mktemp(name.replace(" ", "-"))
            FORMS[name].write(folder)  # which skips the test where its library is missing
            folders[name] = folder
        return folders[name]

    return of


@dataclass(frozen=True)
class Copy:
    """A checkpoint to spoil."""

    form: Form
    folder: Path

    @property
    def file(self) -> Path:
        return self.folder / self.form.weights

    def read(self, file: Path | None = None) -> dict[str, torch.Tensor]:
        place = file or self.file
        return dict(torch.load(place, weights_only=True) if place.suffix == ".bin" else load_file(place))

    def write(self, weights: dict[str, torch.Tensor], file: Path | None = None) -> None:
        whole = {name: weight.clone() for name, weight in weights.items()}
        (torch.save if self.file.suffix == ".bin" else save_file)(whole, file or self.file)

    def change(self, change: Callable[[torch.Tensor], torch.Tensor | None], name: str | None = None) -> None:
        weights = self.read()
        changed = change(weights.pop(name or self.form.weight).clone())
        self.write(weights if changed is None else {**weights, name or self.form.weight: changed})

    def shard(self) -> list[Path]:
        """The weights in two files with their index, as save_pretrained names them."""
        weights, (stem, ending) = self.read(), self.file.name.split(".")
        names = sorted(weights)
        files = [self.file.with_name(f"{stem}-0000{i + 1}-of-00002.{ending}") for i in range(2)]
        places = {name: files[i % 2].name for i, name in enumerate(names)}
        for file in files:
            self.write({name: weights[name] for name in names if places[name] == file.name}, file)
        index = self.file.with_name(f"{self.file.name}.index.json")
        index.write_text(json.dumps({"metadata": {}, "weight_map": places}), encoding="utf-8")
        self.file.unlink()
        return files

    def remove(self, *names: str) -> None:
        for name in names:
            (self.folder / name).unlink(missing_ok=True)

    def load(self) -> Any:
        chosen = choose(str(self.folder), self.form.settings)
        chosen.check()
        return chosen.load(device="cpu", dtype="float32")

    def told(self) -> str:
        """The one line with which it is refused, which says where it lies."""
        with pytest.raises(UserError) as mistake:
            self.load()
        line = str(mistake.value)
        assert "\n" not in line
        assert str(self.folder) in line
        return line


@pytest.fixture(params=FORMS)
def copy(request: pytest.FixtureRequest, written: Callable[[str], Path], tmp_path: Path) -> Copy:
    return Copy(FORMS[request.param], Path(shutil.copytree(written(request.param), tmp_path / "checkpoint")))


def half(file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])


def truncated_shard(copy: Copy) -> str:
    shard = copy.shard()[1]
    half(shard)
    return f"{shard} ({shard.stat().st_size:,} bytes) is cut short"


def pointer_for_a_shard(copy: Copy) -> str:
    shard = copy.shard()[0]
    shard.write_text(POINTER)
    return f"{shard} is a Git LFS pointer, not the weights; fetch them with git lfs pull"


def pointer_for_the_weights(copy: Copy) -> str:
    copy.file.write_text(POINTER)
    return f"{copy.file} is a Git LFS pointer"


def pointer_for_the_tokenizer(copy: Copy) -> str:
    file = copy.folder / copy.form.tokenizer
    file.write_text(POINTER)
    return f"{file} is a Git LFS pointer, not its contents; fetch them with git lfs pull"


def missing_shard(copy: Copy) -> str:
    shard = copy.shard()[1]
    shard.unlink()
    return f"lacks 1 of the 2 files that {copy.file.name}.index.json names, such as {shard.name}"


def missing_tokenizer(copy: Copy) -> str:
    copy.remove(copy.form.tokenizer)
    return copy.form.without_tokenizer


def missing_processor(copy: Copy) -> str:
    if not copy.form.processors:
        pytest.skip("a pipeline reads no pictures")
    copy.remove(*copy.form.processors)
    return "holds no image processor (preprocessor_config.json or processor_config.json)"


def held_by(copy: Copy) -> str:
    """What is said of the shard that holds the weight; a pipeline's component is named before it."""
    shards = copy.shard()
    [file] = [file for file in shards if copy.form.weight in copy.read(file)]
    return f"(the weight is in {file.name})" if copy.form.head else "unet"


def wrong_shape(copy: Copy) -> tuple[str, ...]:
    copy.change(lambda weight: weight[:-1])
    return held_by(copy), f"{copy.form.weight.removeprefix('text_model.')} {copy.form.other_shape}"


def not_a_number(copy: Copy) -> tuple[str, ...]:
    copy.change(lambda weight: weight.index_fill_(0, torch.tensor([0]), torch.nan))
    return held_by(copy), "are NaN or infinite"


def infinite(copy: Copy) -> tuple[str, ...]:
    copy.change(lambda weight: weight.index_fill_(0, torch.tensor([0]), -torch.inf))
    return held_by(copy), "are NaN or infinite"


def missing_head(copy: Copy) -> str:
    if not copy.form.head:
        pytest.skip("a pipeline has no head")
    copy.change(lambda weight: None, copy.form.head)
    return "lacks 1 weights, such as lm_head.weight; the checkpoint is incomplete"


def weights_that_are_still_being_written(copy: Copy) -> str:
    """All but the last bytes that the header, or the list at the end, is about."""
    copy.file.write_bytes(copy.file.read_bytes()[:-1])
    return f"{copy.file} ({copy.file.stat().st_size:,} bytes) is cut short"


def weights_that_aria2_is_at(copy: Copy) -> str:
    """Which gives the file its whole length before its content."""
    beside = copy.file.with_name(copy.file.name + ".aria2")
    beside.write_bytes(b"")
    return f"{beside}: the checkpoint is still being written or downloaded; wait until it is whole, or delete this file"


def a_file_that_rsync_is_at(copy: Copy) -> str:
    beside = copy.file.with_name(f".{copy.file.name}.x3Ab9Z")
    shutil.copyfile(copy.file, beside)
    return f"{beside}: the checkpoint is still being written"


def a_download_of_the_hub(copy: Copy) -> str:
    """Into this folder: `hf download --local-dir`."""
    under_way = copy.folder / ".cache/huggingface/download/chat_template.jinja.c0ffee.incomplete"
    under_way.parent.mkdir(parents=True)
    under_way.write_bytes(b"")
    return f"{under_way}: the checkpoint is still being written"


DAMAGES = (
    truncated_shard,
    pointer_for_a_shard,
    pointer_for_the_weights,
    pointer_for_the_tokenizer,
    missing_shard,
    missing_tokenizer,
    missing_processor,
    wrong_shape,
    not_a_number,
    infinite,
    missing_head,
    weights_that_are_still_being_written,
    weights_that_aria2_is_at,
    a_file_that_rsync_is_at,
    a_download_of_the_hub,
)


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_checkpoint_is_told_in_a_line(copy: Copy, damage: Callable[[Copy], str | tuple[str, ...]]) -> None:
    says = damage(copy)
    line = copy.told()
    for part in (says,) if isinstance(says, str) else says:
        assert part in line


def test_a_checkpoint_that_is_whole_loads(copy: Copy) -> None:
    """In shards, beside what neither a copy nor a download leaves."""
    copy.shard()
    for name in (".gitattributes", "README.md", "training_args.bin", ".cache/huggingface/download/config.json.metadata"):
        (copy.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (copy.folder / name).write_text("")
    copy.load()


def test_weights_that_change_while_they_are_read(copy: Copy, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a copy does that writes into the place of an older one (rsync --inplace)."""
    looked, times = torch.Tensor.isfinite, iter(range(10**9, 10**10))

    def meanwhile(self: torch.Tensor) -> torch.Tensor:
        os.utime(copy.file, (next(times),) * 2)
        return looked(self)

    monkeypatch.setattr(torch.Tensor, "isfinite", meanwhile)
    size = f"{copy.file.stat().st_size:,}"
    told = f"{copy.file} changed while it was read ({size} bytes, now {size}); it is still being written: wait until it is whole"
    assert copy.told() == told


TIED = {
    "janus": ("config.json", "text_config", "lm_head.weight", "model.language_model.embed_tokens.weight"),
    "original bin": (
        "config.json",
        "language_config",
        "language_model.lm_head.weight",
        "language_model.model.embed_tokens.weight",
    ),
    "vlm": ("config.json", "text_config", "language_model.lm_head.weight", "language_model.model.embed_tokens.weight"),
}
"""Where a config says that the head is the embedding, and their names."""


@pytest.mark.parametrize("copy", TIED, indirect=True)
def test_a_head_that_is_the_embedding_need_not_be_stored(copy: Copy, request: pytest.FixtureRequest) -> None:
    name = request.node.callspec.params["copy"]
    file, part, head, embedding = TIED[name]
    edit_json(copy.folder / file, **{part: {"tie_word_embeddings": True}})
    if name != "original bin":
        edit_json(copy.folder / file, tie_word_embeddings=True)
    own = copy.load().model.lm_head.weight
    assert not torch.equal(own, copy.read()[embedding]), "a head of its own is kept, whatever the config says"
    copy.change(lambda weight: None, head)
    assert torch.equal(copy.load().model.lm_head.weight, copy.read()[embedding])
    copy.change(lambda weight: None, embedding)
    assert "lm_head.weight" in copy.told() or "embed_tokens.weight" in copy.told()
