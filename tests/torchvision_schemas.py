"""A pytest plugin (`-p torchvision_schemas`) that lets PyPI's torchvision be imported beside a torch for the processor.

Its build is for CUDA, so that its library of operators does not load; the import then fails where it registers shapes for two of
them. With their signatures declared it succeeds, without the operators: open-clip-torch uses neither these nor others.
A torchvision that works is left as it is.
"""

import sys

from torch.library import Library

try:
    import torchvision  # noqa: F401
except Exception:  # whatever a library of another build meets
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    DECLARED = Library("torchvision", "DEF")
    for operator in ("nms", "qnms"):
        DECLARED.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
