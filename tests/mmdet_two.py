"""What mmdet 2.28.2 itself, the version that GenEval names, finds with random weights: tiny ones, and of GenEval's size.

`mmdet_2.28.2.json` beside this file holds it, so that no test needs mmdet 2. With mmdet 2.28.2 and mmcv 1.7.2 installed,
`python tests/mmdet_two.py` writes it again.
"""

from __future__ import annotations

import base64
import json
import sys
import tempfile
import types
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

RECORD = Path(__file__).with_name("mmdet_2.28.2.json")
Scene = tuple[int, int, int]
SCENES: tuple[Scene, ...] = ((64, 64, 0), (320, 24, 1), (96, 64, 2), (210, 280, 3))
FULL_SCENES: tuple[Scene, ...] = ((64, 64, 4), (96, 64, 5))
"""(width, height, seed) of the pictures, for the tiny network and for one of GenEval's size."""

KEPT = 20
"""Detections kept of each picture, the surest."""


def read(full: bool = False) -> dict[Scene, list[dict[str, Any]]]:
    """By scene: class index, score, box and mask of each detection, most confident first."""
    found = {}
    for scene, rows in zip(FULL_SCENES if full else SCENES, json.loads(RECORD.read_text())[int(full)], strict=True):
        width, height, _ = scene
        for row in rows:
            bits = np.frombuffer(zlib.decompress(base64.b64decode(row["mask"])), np.uint8)
            row["mask"] = np.unpackbits(bits)[: width * height].reshape(height, width).astype(bool)
        found[scene] = rows
    return found


def inference(folder: Path) -> Callable[[str], tuple[list[np.ndarray], list[list[np.ndarray]]]]:
    """mmdet 2's own way from a picture file to boxes and masks by class."""
    _stand_ins()
    import mmdet
    import torch
    from mmcv import Config
    from mmdet.apis import inference_detector, init_detector

    own = Path(mmdet.__file__).parent / ".mim/configs/mask2former/mask2former_swin-s-p4-w7-224_lsj_8x2_50e_coco.py"
    config = Config.fromfile(str(own))
    _shrink(config.model, json.loads((folder / "config.json").read_text()))
    model = init_detector(config, device="cpu")
    model.load_state_dict(torch.load(folder / "tiny.pth", weights_only=False)["state_dict"])
    return lambda path: inference_detector(model, path)


def _shrink(model: Any, small: dict[str, Any]) -> None:
    """mmdet's configuration with the sizes of a config.json."""
    swin, head, width = small["backbone_config"], model.panoptic_head, small["hidden_dim"]
    embed = swin["embed_dim"]
    model.backbone.update(init_cfg=None, embed_dims=embed, depths=swin["depths"], num_heads=swin["num_heads"])
    head.update(in_channels=[embed << stage for stage in range(4)], feat_channels=width, out_channels=width)
    head.num_queries = small["num_queries"]
    encoder, decoder = head.pixel_decoder.encoder, head.transformer_decoder
    encoder.num_layers, decoder.num_layers = small["encoder_layers"], small["decoder_layers"] - 1
    encoder.transformerlayers.attn_cfgs.embed_dims = width
    encoder.transformerlayers.ffn_cfgs.update(embed_dims=width, feedforward_channels=small["encoder_feedforward_dim"])
    head.pixel_decoder.positional_encoding.num_feats = head.positional_encoding.num_feats = width // 2
    decoder.transformerlayers.attn_cfgs.embed_dims = width
    decoder.transformerlayers.feedforward_channels = small["dim_feedforward"]
    decoder.transformerlayers.ffn_cfgs.update(embed_dims=width, feedforward_channels=small["dim_feedforward"])


def _stand_ins() -> None:
    """mmcv 1 imports compiled operations and torchvision without asking Mask2Former to use them."""

    class Absent(types.ModuleType):
        def __getattr__(self, name: str) -> Any:
            if name.startswith("__"):
                raise AttributeError(name)
            return Absent(name)

    for name in ("mmcv._ext", "torchvision", "torchvision.models", "torchvision.ops"):
        module = Absent(name)
        module.__path__ = []
        module.__version__ = "0.20.0"
        sys.modules.setdefault(name, module)


def main() -> None:
    import tiny_detector

    from suder_bench.evaluators.judges.mmdet_weights import geneval_config

    record = []
    for network, scenes in ((tiny_detector.config(), SCENES), (geneval_config(), FULL_SCENES)):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            infer = inference(tiny_detector.save(folder, network))
            for scene in scenes:
                tiny_detector.scene(*scene).save(folder / "scene.png")
                record.append(_rows(*infer(str(folder / "scene.png"))))
    RECORD.write_text(json.dumps([record[: len(SCENES)], record[len(SCENES) :]]) + "\n")


def _rows(boxes: list[np.ndarray], masks: list[list[np.ndarray]]) -> list[dict[str, Any]]:
    rows = [
        {
            "class": index,
            "score": round(float(box[4]), 7),
            "box": [float(x) for x in box[:4]],
            "mask": base64.b64encode(zlib.compress(np.packbits(mask).tobytes(), 9)).decode(),
        }
        for index in range(len(boxes))
        for box, mask in zip(boxes[index], masks[index], strict=True)
    ]
    return sorted(rows, key=lambda row: -row["score"])[:KEPT]


if __name__ == "__main__":
    main()
