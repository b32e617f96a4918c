"""What UniDet's 722 classes are called: the label space that it learned from COCO, Objects365, OpenImages and Mapillary.

A class that several of them have carries the lower-case names that OpenImages and Objects365 gave it, joined by ", " where
they differ, or else COCO's ("footwear, sneakers"); Mapillary's are the last part of theirs ("bike rack"). So T2I-CompBench's
scripts compare them, and thirteen are as these say (13 "street light", 138 "bench", ...). The source is `learned_mAP+M.json` of
UniDet (Apache-2.0). 44 names stand for more than one class.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files

SHA256 = "8840546c24c3df8df852bb4d6b36032e77f3882311798fe786f33ea6db4caf40"
"""Of the names, joined by line feeds, as T2I-CompBench's scripts read them."""


@cache
def names() -> tuple[str, ...]:
    """By class number. Raises `ValueError` where the installed list is not T2I-CompBench's."""
    listed = files(__package__).joinpath("classes.txt").read_text(encoding="utf-8").split("\n")[:-1]
    if hashlib.sha256("\n".join(listed).encode()).hexdigest() != SHA256:
        raise ValueError(
            f"the {len(listed)} class names installed with {__package__} are not UniDet's; install the package again"
        )
    return tuple(listed)
