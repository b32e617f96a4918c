"""GenEval's Mask2Former as mmdet saved it: where it is, and each of its tensors under the name that transformers gives it.

The names on the right are those of the checkpoints on the Hugging Face hub, which every version of transformers reads.
As a program it converts a file once and for all:

    python -m suder_bench.evaluators.judges.mmdet_weights FILE.pth FOLDER
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from transformers import Mask2FormerConfig, SwinConfig

from suder_bench.benchmark import Match
from suder_bench.errors import JudgeError, UserError
from suder_bench.evaluators.judges import manifest as manifests
from suder_bench.evaluators.judges.manifest import Manifest
from suder_bench.evaluators.judges.weights import digest
from suder_bench.models.digests import sha256

NETWORK = "mask2former_swin-s-p4-w7-224_lsj_8x2_50e_coco"
FETCH = "suder-bench judges fetch detector"

CLASSES = 80
_BACKBONE, _PIXELS, _QUERIES = (
    "model.pixel_level_module.encoder",
    "model.pixel_level_module.decoder",
    "model.transformer_module",
)


class Mask2FormerForUniversalSegmentation(transformers.Mask2FormerForUniversalSegmentation):
    """transformers' class, which has a norm and a loss beside the network; nothing it predicts depends on their weights."""

    _keys_to_ignore_on_load_missing = [r"swin\.layernorm\.", r"criterion\."]  # noqa: RUF012 (declared so by transformers)


@dataclass(frozen=True)
class Row:
    """A tensor of mmdet's model: its name and shape, and its names in transformers.

    Three names are for the thirds of a projection to query, key and value; none is for a table that the window size
    determines. `patches` marks the last axis as holding 2 x 2 patches, which mmdet orders otherwise.
    """

    name: str
    shape: tuple[int, ...]
    others: tuple[str, ...]
    patches: bool = False


def geneval_config() -> Mask2FormerConfig:
    """The network that GenEval names: Swin-S, 100 queries, 80 classes."""
    swin: dict[str, Any] = {
        "embed_dim": 96,
        "depths": [2, 2, 18, 2],
        "num_heads": [3, 6, 12, 24],
        "window_size": 7,
        "mlp_ratio": 4.0,
        "out_features": [f"stage{stage}" for stage in range(1, 5)],
    }
    config = Mask2FormerConfig(backbone_config=SwinConfig(**swin))
    config.num_labels = CLASSES
    return config


@dataclass(frozen=True)
class Checkpoint:
    """A file that mmdet saved, and the network that it is said to hold."""

    file: Path
    config: Mask2FormerConfig

    @staticmethod
    def find(source: Path) -> Checkpoint | None:
        """A .pth file, or a folder's only one; None for a folder without any.

        The network is GenEval's, or the one of a config.json in transformers' format that lies in the folder.
        Raises `JudgeError` where there are several files.
        """
        if not source.is_dir():
            return Checkpoint(source, geneval_config())
        files = sorted(source.glob("*.pth"))
        if len(files) > 1:
            names = ", ".join(file.name for file in files)
            raise JudgeError(f"judge detector: {source} holds {len(files)} checkpoints ({names}); name the file")
        described = (source / "config.json").is_file()
        config = Mask2FormerConfig.from_pretrained(source) if described else geneval_config()
        return Checkpoint(files[0], config) if files else None

    def match(self, manifest: Manifest | None = None) -> Match:
        """Whether this is the very file that GenEval downloads."""
        same = same_network(self.config, geneval_config())
        return manifests.match("detector", self.file, manifest) if same else "another file"

    def network(self) -> Mask2FormerForUniversalSegmentation:
        return build(read(self.file), self.config, str(self.file))


def same_network(config: Mask2FormerConfig, other: Mask2FormerConfig) -> bool:
    """Whether two configurations make the same network, parts without weights included."""
    return table(config) == table(other) and _settings(config) == _settings(other)


def table(config: Mask2FormerConfig) -> tuple[Row, ...]:
    """Every tensor of mmdet's model of this configuration, in mmdet's order."""
    return (*_swin(config.backbone_config), *_pixel_decoder(config), *_transformer_decoder(config))


def read(file: Path) -> dict[str, torch.Tensor]:
    """The tensors of an mmdet checkpoint. Nothing in the file is executed. Raises `JudgeError` for another kind of file."""
    try:
        with torch.serialization.safe_globals(_numbers()):
            content = torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, KeyError, pickle.UnpicklingError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise JudgeError(f"judge detector: {file} cannot be read ({reason}); run: {FETCH} --replace") from error
    tensors = content.get("state_dict") if isinstance(content, dict) else None
    if not isinstance(tensors, dict) or not all(isinstance(tensor, torch.Tensor) for tensor in tensors.values()):
        raise JudgeError(f"judge detector: {file} has no 'state_dict' of tensors, so mmdet did not save it; run: {FETCH}")
    return dict(tensors)


def convert(tensors: Mapping[str, torch.Tensor], config: Mask2FormerConfig, source: str) -> dict[str, torch.Tensor]:
    """mmdet's tensors under transformers' names, every one of them.

    Raises `JudgeError` that names the first tensor which another configuration has, lacks or shapes otherwise.
    """
    swin: Any = config.backbone_config
    rows = {row.name: row for row in table(config)}
    lacking = [row for row in rows.values() if row.name not in tensors]
    for name, tensor in tensors.items():
        if name not in rows:
            raise _another(source, f"it has {name} {tuple(tensor.shape)}, the network has not")
        if tuple(tensor.shape) != rows[name].shape:
            raise _another(source, f"{name} is {tuple(tensor.shape)}, the network's is {rows[name].shape}")
        if not rows[name].others and not torch.equal(tensor, relative_places(swin.window_size)):
            raise _another(source, f"{name} orders the places of a window in another way")
    if lacking:
        raise _another(source, f"it lacks {lacking[0].name} {lacking[0].shape}")
    found: dict[str, torch.Tensor] = {}
    for name, row in rows.items():
        tensor = tensors[name].float() if row.others else tensors[name]
        parts = (_in_order(tensor) if row.patches else tensor).chunk(len(row.others)) if row.others else ()
        found |= {other: part.clone() for other, part in zip(row.others, parts, strict=True)}
    return found


def build(tensors: Mapping[str, torch.Tensor], config: Mask2FormerConfig, source: str) -> Mask2FormerForUniversalSegmentation:
    """transformers' network with mmdet's tensors; each is used, and none that matters is left as it was."""
    loaded: Any = Mask2FormerForUniversalSegmentation.from_pretrained(
        None, config=config, state_dict=convert(tensors, config, source), output_loading_info=True, dtype=torch.float32
    )
    model, report = loaded
    left = sorted([*report["missing_keys"], *report["unexpected_keys"], *(name for name, *_ in report["mismatched_keys"])])
    if left:
        raise JudgeError(
            f"judge detector: transformers {transformers.__version__} reads {left[0]} otherwise; install version 5.23"
        )
    network: Mask2FormerForUniversalSegmentation = model.eval().requires_grad_(False)
    return network


def converted_from(model: Mask2FormerForUniversalSegmentation, fingerprint: str, manifest: Manifest | None = None) -> Match:
    """What file a network in transformers' format was made from, by the note that `convert_file` left."""
    note = getattr(model.config, "mmdet", None) or {}
    if note.get("weights") != fingerprint or not same_network(model.config, geneval_config()):
        return "another file"
    return manifests.compare("detector", str(note.get("file")), str(note.get("sha256")), manifest)


def convert_file(file: Path, folder: Path) -> None:
    """Write GenEval's .pth file as a folder in transformers' format, with a note of what it was made from."""
    model: Any = Checkpoint(file, geneval_config()).network()
    model.config.mmdet = {"file": file.name, "sha256": sha256(file), "weights": digest(model)}
    model.save_pretrained(folder)


def relative_places(window: int) -> torch.Tensor:
    """(window^2, window^2) rows of the table of relative position biases, as mmdet saves them beside each table."""
    rows, columns = np.divmod(np.arange(window * window), window)
    below, right = (place[:, None] - place[None, :] + window - 1 for place in (rows, columns))
    return torch.from_numpy(below * (2 * window - 1) + right)


def _another(source: str, difference: str) -> JudgeError:
    return JudgeError(f"judge detector: {source} is not {NETWORK}: {difference}; run: {FETCH}")


def _in_order(tensor: torch.Tensor) -> torch.Tensor:
    """The last axis from mmdet's order (channel, row, column) of 2 x 2 patches to (column, row, channel)."""
    return tensor.unflatten(-1, (-1, 2, 2)).transpose(-1, -3).flatten(-3)


def _layer(name: str, other: str | Sequence[str], *shape: int, bias: bool = True, patches: bool = False) -> Iterator[Row]:
    others = (other,) if isinstance(other, str) else tuple(other)
    yield Row(f"{name}.weight", shape, tuple(f"{own}.weight" for own in others), patches)
    if bias:
        yield Row(f"{name}.bias", shape[:1], tuple(f"{own}.bias" for own in others), patches and len(shape) == 1)


def _swin(swin: Any) -> Iterator[Row]:
    width, window = swin.embed_dim, swin.window_size
    patch = (swin.num_channels, swin.patch_size, swin.patch_size)
    yield from _layer("backbone.patch_embed.projection", f"{_BACKBONE}.embeddings.patch_embeddings.projection", width, *patch)
    yield from _layer("backbone.patch_embed.norm", f"{_BACKBONE}.embeddings.norm", width)
    for stage, (depth, heads) in enumerate(zip(swin.depths, swin.num_heads, strict=True)):
        mine, theirs = f"backbone.stages.{stage}", f"{_BACKBONE}.encoder.layers.{stage}"
        hidden = int(swin.mlp_ratio * width)
        for block in range(depth):
            own, other = f"{mine}.blocks.{block}", f"{theirs}.blocks.{block}"
            attention, looks = f"{own}.attn.w_msa", f"{other}.attention.self"
            bias_table = f"{looks}.relative_position_bias_table"
            yield from _layer(f"{own}.norm1", f"{other}.layernorm_before", width)
            yield Row(f"{attention}.relative_position_bias_table", ((2 * window - 1) ** 2, heads), (bias_table,))
            yield Row(f"{attention}.relative_position_index", (window**2, window**2), ())
            yield from _layer(f"{attention}.qkv", [f"{looks}.{part}" for part in ("query", "key", "value")], 3 * width, width)
            yield from _layer(f"{attention}.proj", f"{other}.attention.output.dense", width, width)
            yield from _layer(f"{own}.norm2", f"{other}.layernorm_after", width)
            yield from _layer(f"{own}.ffn.layers.0.0", f"{other}.intermediate.dense", hidden, width)
            yield from _layer(f"{own}.ffn.layers.1", f"{other}.output.dense", width, hidden)
        if stage + 1 < len(swin.depths):
            yield from _layer(f"{mine}.downsample.norm", f"{theirs}.downsample.norm", 4 * width, patches=True)
            reduction = f"{theirs}.downsample.reduction"
            yield from _layer(f"{mine}.downsample.reduction", reduction, 2 * width, 4 * width, bias=False, patches=True)
            width *= 2
    for stage in range(len(swin.depths)):
        yield from _layer(f"backbone.norm{stage}", f"{_BACKBONE}.hidden_states_norms.stage{stage + 1}", swin.embed_dim << stage)


def _pixel_decoder(config: Any) -> Iterator[Row]:
    """Six layers of deformable attention over the three coarser maps, then one step up to a quarter of the picture."""
    mine, width, heads = "panoptic_head.pixel_decoder", config.feature_size, config.num_attention_heads
    channels = [config.backbone_config.embed_dim << stage for stage in range(4)]
    samples, hidden = heads * 3 * 4, config.encoder_feedforward_dim
    for level, deep in enumerate(channels[:0:-1]):
        own, other = f"{mine}.input_convs.{level}", f"{_PIXELS}.input_projections.{level}"
        yield from _layer(f"{own}.conv", f"{other}.0", width, deep, 1, 1)
        yield from _layer(f"{own}.gn", f"{other}.1", width)
    for layer in range(config.encoder_layers):
        own, other = f"{mine}.encoder.layers.{layer}", f"{_PIXELS}.encoder.layers.{layer}"
        for part, out in (
            ("sampling_offsets", 2 * samples), ("attention_weights", samples), ("value_proj", width), ("output_proj", width)
        ):  # fmt: skip
            yield from _layer(f"{own}.attentions.0.{part}", f"{other}.self_attn.{part}", out, width)
        yield from _layer(f"{own}.ffns.0.layers.0.0", f"{other}.fc1", hidden, width)
        yield from _layer(f"{own}.ffns.0.layers.1", f"{other}.fc2", width, hidden)
        yield from _layer(f"{own}.norms.0", f"{other}.self_attn_layer_norm", width)
        yield from _layer(f"{own}.norms.1", f"{other}.final_layer_norm", width)
    yield Row(f"{mine}.level_encoding.weight", (3, width), (f"{_PIXELS}.level_embed",))
    yield from _layer(f"{mine}.lateral_convs.0.conv", f"{_PIXELS}.adapter_1.0", width, channels[0], 1, 1, bias=False)
    yield from _layer(f"{mine}.lateral_convs.0.gn", f"{_PIXELS}.adapter_1.1", width)
    yield from _layer(f"{mine}.output_convs.0.conv", f"{_PIXELS}.layer_1.0", width, width, 3, 3, bias=False)
    yield from _layer(f"{mine}.output_convs.0.gn", f"{_PIXELS}.layer_1.1", width)
    yield from _layer(f"{mine}.mask_feature", f"{_PIXELS}.mask_projection", config.mask_feature_size, width, 1, 1)


def _transformer_decoder(config: Any) -> Iterator[Row]:
    mine, width, hidden = "panoptic_head.transformer_decoder", config.hidden_dim, config.dim_feedforward
    theirs = f"{_QUERIES}.decoder"
    for layer in range(config.decoder_layers - 1):  # transformers counts the first guess of the queries as a layer
        own, other = f"{mine}.layers.{layer}", f"{theirs}.layers.{layer}"
        cross, self = f"{own}.attentions.0.attn", f"{own}.attentions.1.attn"
        yield Row(f"{cross}.in_proj_weight", (3 * width, width), (f"{other}.cross_attn.in_proj_weight",))
        yield Row(f"{cross}.in_proj_bias", (3 * width,), (f"{other}.cross_attn.in_proj_bias",))
        yield from _layer(f"{cross}.out_proj", f"{other}.cross_attn.out_proj", width, width)
        for kind, shape in (("weight", (3 * width, width)), ("bias", (3 * width,))):
            yield Row(f"{self}.in_proj_{kind}", shape, tuple(f"{other}.self_attn.{part}_proj.{kind}" for part in "qkv"))
        yield from _layer(f"{self}.out_proj", f"{other}.self_attn.out_proj", width, width)
        yield from _layer(f"{own}.ffns.0.layers.0.0", f"{other}.fc1", hidden, width)
        yield from _layer(f"{own}.ffns.0.layers.1", f"{other}.fc2", width, hidden)
        for place, norm in enumerate(("cross_attn_layer_norm", "self_attn_layer_norm", "final_layer_norm")):
            yield from _layer(f"{own}.norms.{place}", f"{other}.{norm}", width)
    yield from _layer(f"{mine}.post_norm", f"{theirs}.layernorm", width)
    yield Row("panoptic_head.query_embed.weight", (config.num_queries, width), (f"{_QUERIES}.queries_embedder.weight",))
    yield Row("panoptic_head.query_feat.weight", (config.num_queries, width), (f"{_QUERIES}.queries_features.weight",))
    yield Row("panoptic_head.level_embed.weight", (3, width), (f"{_QUERIES}.level_embed.weight",))
    yield from _layer("panoptic_head.cls_embed", "class_predictor", config.num_labels + 1, width)
    for place, out in enumerate((width, width, config.mask_feature_size)):
        embedder = f"{theirs}.mask_predictor.mask_embedder.{place}.0"
        yield from _layer(f"panoptic_head.mask_embed.{2 * place}", embedder, out, width)


def _settings(config: Any) -> tuple[Any, ...]:
    """What no tensor's shape shows."""
    swin = config.backbone_config
    of_swin = (swin.window_size, swin.hidden_act, swin.layer_norm_eps, swin.qkv_bias, tuple(swin.out_features))
    steps = (tuple(config.feature_strides), config.common_stride, config.enforce_input_projection)
    return (*of_swin, config.num_attention_heads, config.activation_function, config.pre_norm, *steps)


def _numbers() -> list[Any]:
    """NumPy's plain numbers, which mmdet's training notes may hold."""
    scalar = np.float64(0).__reduce__()[0]
    kinds = {type(np.dtype(kind)) for kind in ("f4", "f8", "i4", "i8", "b1")}
    return [(scalar, "numpy.core.multiarray.scalar"), scalar, np.dtype, *kinds]


def main(argv: Sequence[str]) -> int:
    if len(argv) != 2:
        print("usage: python -m suder_bench.evaluators.judges.mmdet_weights FILE.pth FOLDER", file=sys.stderr)
        return 2
    try:
        convert_file(Path(argv[0]), Path(argv[1]))
    except UserError as error:
        print(error, file=sys.stderr)
        return error.status
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
