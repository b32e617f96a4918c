"""UniDet in its authors' code, with the tests' weights and pictures: what `unidet_original.json` was made with.

    python tests/unidet_original.py DETECTRON2 UNIDET_EVAL tests/unidet_original.json

DETECTRON2 is a checkout of facebookresearch/detectron2 at 5aeb252b, built in place for the processor
(`FORCE_CUDA=0 python setup.py build_ext --inplace`), UNIDET_EVAL the folder of that name in Karine-Huang/T2I-CompBench at
1b709499; run with T2I-CompBench's torch 2.0.1, torchvision 0.15.2 and Pillow 9.5.0, numpy 1.26, timm 0.4.12, and fvcore,
omegaconf, pycocotools and what they need. fairscale, which only training uses, is replaced by an empty module. Nothing of
suder-bench but this folder is needed. OMP_NUM_THREADS=1 was set.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import torch
import unidet_weights

PICTURES = {"a": (320, 240, 0), "b": (150, 200, 2)}
NETWORKS = {"r50": "Unified_learned_OCIM_R50_6x+2x", "rs200": "Unified_learned_OCIM_RS200_6x+2x"}


def build(name: str) -> Any:
    """The model of a configuration of T2I-CompBench's, with the tests' weights."""
    checkpoint = ModuleType("fairscale.nn.checkpoint")
    checkpoint.checkpoint_wrapper = lambda module, **_: module  # type: ignore[attr-defined]
    sys.modules |= {"fairscale": ModuleType("fairscale"), "fairscale.nn": ModuleType("nn"), checkpoint.__name__: checkpoint}
    import experts.obj_detection.unidet  # noqa: F401
    from detectron2.modeling import build_model
    from experts.obj_detection.utils import setup_cfg

    there = "experts/obj_detection"
    labels = ["MULTI_DATASET.UNIFIED_LABEL_FILE", f"{there}/datasets/label_spaces/learned_mAP+M.json"]
    settings = {"config_file": f"{there}/configs/{NETWORKS[name]}.yaml", "confidence_threshold": 0.5}
    model = build_model(setup_cfg(SimpleNamespace(opts=["MODEL.DEVICE", "cpu", *labels], **settings))).eval()
    counters = {key: value for key, value in model.state_dict().items() if key.endswith("num_batches_tracked")}
    made = {
        key: torch.from_numpy(unidet_weights.values(key, tuple(value.shape)))
        for key, value in model.state_dict().items()
        if key not in counters
    }
    model.load_state_dict(made | counters)
    return model


def detect(model: Any, picture: Any) -> tuple[dict[str, Any], float]:
    """As generate_dataset.py prepares a picture; its boxes in thousandths of a pixel, and the seconds that the model took."""
    from torchvision.transforms import Resize

    frame = np.array(Resize(size=479, max_size=480)(picture.convert("RGB")))[:, :, ::-1]
    values = torch.as_tensor(frame.astype("float32").transpose(2, 0, 1))
    start = time.perf_counter()
    with torch.no_grad():
        found = model([{"image": values, "height": values.shape[1], "width": values.shape[2]}])[0]["instances"]
    seconds = time.perf_counter() - start
    return {
        "size": [values.shape[2], values.shape[1]],
        "classes": found.pred_classes.tolist(),
        "scores": [round(score, 7) for score in found.scores.tolist()],
        "boxes": [[round(side, 3) for side in box] for box in found.pred_boxes.tensor.tolist()],
    }, seconds


def main(detectron: str, unidet: str, file: str) -> None:
    to = Path(file).resolve()
    sys.path[:0] = [str(Path(detectron).resolve()), str(Path(unidet).resolve())]
    os.chdir(unidet)  # its configuration names files from there
    found: dict[str, Any] = {}
    for name in NETWORKS:
        model = build(name)
        for picture, drawing in PICTURES.items():
            found.setdefault(name, {})[picture], seconds = detect(model, unidet_weights.scene(*drawing))
            print(f"{name}: {len(found[name][picture]['classes'])} objects in {seconds:.1f} s", flush=True)
    versions = {"torch": torch.__version__, "numpy": np.__version__, "pictures": PICTURES}
    to.write_text(json.dumps({"made by": __doc__, **versions, **found}, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
