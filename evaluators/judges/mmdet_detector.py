"""GenEval's detector through mmdet 3 itself, for whoever has it: the same file, the same pictures, mmdet's network.

With `mmcv-lite`, which has no compiled operations, the deformable attention is mmcv's own in plain torch, on the CPU.
mmdet 3 normalises before it pads; the pictures are prepared as mmdet 2 does, with which GenEval was made.
"""

from __future__ import annotations

import importlib.util
import re
import sys
import types
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import torch

from suder_bench.errors import JudgeError, install
from suder_bench.evaluators.judges.manifest import Manifest
from suder_bench.evaluators.judges.mask2former import BEST, Mask2Former, Sizes, locate, prepare
from suder_bench.evaluators.judges.mmdet_weights import CLASSES, Mask2FormerConfig, convert, read
from suder_bench.evaluators.judges.protocols import Detection, Picture
from suder_bench.evaluators.judges.weights import Place

INSTALL = install("mmdet")
RENAMED = (
    (r"(pixel_decoder\.encoder\.layers\.\d+)\.attentions\.0\.", r"\1.self_attn."),
    (r"(transformer_decoder\.layers\.\d+)\.attentions\.0\.", r"\1.cross_attn."),
    (r"(transformer_decoder\.layers\.\d+)\.attentions\.1\.", r"\1.self_attn."),
    (r"(encoder|decoder)(\.layers\.\d+)\.ffns\.0\.", r"\1\2.ffn."),
)
"""What mmdet 3 calls otherwise than mmdet 2, which saved the file."""


class MmdetMask2Former(Mask2Former):
    """Implements `Detector` and `NumberedClasses`, one picture at a time."""

    @classmethod
    def load(cls, source: str | None, *, device: str, dtype: str, offline: bool, manifest: Manifest | None = None) -> Self:
        """Read GenEval's .pth file or a folder that holds it. Raises `JudgeError` without mmdet or the file."""
        place = Place.choose(device, dtype, half_on_cuda=False)
        version = _import(place)
        checkpoint, reference = locate(source, manifest)
        if checkpoint is None:
            raise JudgeError(f"judge detector: {reference} is no checkpoint of mmdet; give --judge detector=mmdet:FILE.pth")
        tensors = read(checkpoint.file)
        convert(tensors, checkpoint.config, str(checkpoint.file))  # refuses another network's
        model = build(checkpoint.config)
        model.load_state_dict({_renamed(name): tensor for name, tensor in tensors.items()})
        judge = cls(model.eval().requires_grad_(False), place, match=checkpoint.match(manifest), name=checkpoint.file.name)
        judge.backend += f" in mmdet {version}"
        return judge

    @torch.inference_mode()
    def _detect(self, pictures: Sequence[Picture], least: float) -> list[list[Detection]]:
        return [self._one(picture, least) for picture in pictures]

    def _one(self, picture: Picture, least: float) -> list[Detection]:
        from mmdet.structures import DetDataSample

        sizes = Sizes.of(picture)
        told = {"img_shape": sizes.resized, "ori_shape": sizes.original, "batch_input_shape": sizes.padded}
        values = prepare(picture, sizes)[None].to(self._place.device)
        with self._place.precision():
            (sample,) = self._model.predict(values, [DetDataSample(metainfo=told)], rescale=True)
        objects = sample.pred_instances
        boxes, masks = objects.bboxes.cpu().numpy(), objects.masks.cpu().numpy()
        order = [place for place in np.argsort(-objects.scores.cpu().numpy(), kind="stable") if objects.scores[place] >= least]
        return [
            Detection(
                self._names[int(objects.labels[place])],
                float(objects.scores[place]),
                (float(boxes[place][0]), float(boxes[place][1]), float(boxes[place][2]), float(boxes[place][3])),
                masks[place],
            )
            for place in order
        ]


def load(
    role: str, *, device: str = "auto", dtype: str = "auto", offline: bool = False, source: str | None = None
) -> MmdetMask2Former:
    return MmdetMask2Former.load(source, device=device, dtype=dtype, offline=offline)


def build(config: Mask2FormerConfig) -> Any:
    """mmdet's network of a configuration, with weights as they come."""
    from mmdet.registry import MODELS
    from mmengine.config import ConfigDict

    swin: Any = config.backbone_config
    width, heads = config.feature_size, config.num_attention_heads
    attention = {"embed_dims": config.hidden_dim, "num_heads": heads, "dropout": 0.0, "batch_first": True}
    relu, halves = {"type": "ReLU", "inplace": True}, {"num_feats": width // 2, "normalize": True}
    encoder = {
        "self_attn_cfg": {**attention, "embed_dims": width, "num_levels": 3, "num_points": 4},
        "ffn_cfg": _feedforward(width, config.encoder_feedforward_dim, relu),
    }
    decoder = {
        "self_attn_cfg": attention,
        "cross_attn_cfg": attention,
        "ffn_cfg": _feedforward(config.hidden_dim, config.dim_feedforward, relu),
    }
    described = {
        "type": "Mask2Former",
        "backbone": {
            "type": "SwinTransformer",
            "embed_dims": swin.embed_dim,
            "depths": list(swin.depths),
            "num_heads": list(swin.num_heads),
            "window_size": swin.window_size,
            "mlp_ratio": int(swin.mlp_ratio),
        },
        "panoptic_head": {
            "type": "Mask2FormerHead",
            "in_channels": [swin.embed_dim << stage for stage in range(4)],
            "strides": list(config.feature_strides),
            "feat_channels": width,
            "out_channels": config.mask_feature_size,
            "num_things_classes": CLASSES,
            "num_stuff_classes": 0,
            "num_queries": config.num_queries,
            "num_transformer_feat_level": 3,
            "pixel_decoder": {
                "type": "MSDeformAttnPixelDecoder",
                "num_outs": 3,
                "norm_cfg": {"type": "GN", "num_groups": 32},
                "act_cfg": {"type": "ReLU"},
                "encoder": {"num_layers": config.encoder_layers, "layer_cfg": encoder},
                "positional_encoding": halves,
            },
            "enforce_decoder_input_project": False,
            "positional_encoding": halves,
            "transformer_decoder": {
                "return_intermediate": True,
                "num_layers": config.decoder_layers - 1,
                "layer_cfg": decoder,
            },
            "loss_cls": {"type": "CrossEntropyLoss", "class_weight": [1.0] * CLASSES + [0.1]},
            "loss_mask": {"type": "CrossEntropyLoss", "use_sigmoid": True},
            "loss_dice": {"type": "DiceLoss"},
        },
        "panoptic_fusion_head": {"type": "MaskFormerFusionHead", "num_things_classes": CLASSES, "num_stuff_classes": 0},
        "test_cfg": {"panoptic_on": False, "semantic_on": False, "instance_on": True, "max_per_image": BEST},
    }
    return MODELS.build(ConfigDict(described))


def _feedforward(width: int, hidden: int, activation: dict[str, Any]) -> dict[str, Any]:
    return {"embed_dims": width, "feedforward_channels": hidden, "num_fcs": 2, "ffn_drop": 0.0, "act_cfg": activation}


def _renamed(name: str) -> str:
    for pattern, replacement in RENAMED:
        name = re.sub(pattern, replacement, name)
    return name


def _import(place: Place) -> str:
    """Make mmdet's models known to its registry; returns its version. Raises `JudgeError` where it is not usable."""
    if importlib.util.find_spec("mmdet") is None or importlib.util.find_spec("mmcv") is None:
        raise JudgeError(f"judge detector: mmdet is not installed; {INSTALL}, or use --judge detector=official")
    compiled = "mmcv._ext" not in sys.modules and importlib.util.find_spec("mmcv._ext") is not None
    if not compiled:
        sys.modules.setdefault("mmcv._ext", _NoExtension("mmcv._ext"))
        if place.device.type != "cpu":
            raise JudgeError("judge detector: mmcv-lite computes on the CPU only; use --judge-device cpu, or install mmcv")
    try:
        import mmdet

        if mmdet.__version__.startswith("3."):
            import mmdet.models
    except (ImportError, OSError, AssertionError) as error:  # mmdet asserts the version of mmcv
        raise JudgeError(f"judge detector: mmdet is installed but does not import ({error}); {INSTALL}") from error
    if not mmdet.__version__.startswith("3."):
        raise JudgeError(f"judge detector: mmdet {mmdet.__version__} is not supported; {INSTALL}")
    return str(mmdet.__version__)


class _NoExtension(types.ModuleType):
    """Stands for the compiled operations that mmcv-lite lacks; mmcv only asks whether they are there until one is used."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)

        def absent(*_: Any, **__: Any) -> Any:
            raise RuntimeError(f"mmcv-lite has no compiled {name}")

        return absent
