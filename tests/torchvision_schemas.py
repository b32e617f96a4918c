"""A pytest plugin (`-p torchvision_schemas`) that lets PyPI's torchvision be imported beside a torch for the processor.

Its build is for CUDA, so that its library of operators does not load; the import then fails where it registers shapes for two of
them. With their signatures declared it succeeds, without the operators: open-clip-torch uses neither these nor others.
"""

from torch.library import Library

DECLARED = Library("torchvision", "DEF")
for operator in ("nms", "qnms"):
    DECLARED.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
