"""T2I-CompBench++'s 3D spatial relations: UniDet's boxes and DPT's depth decide who stands in front.

Huang et al. 2025, "T2I-CompBench++", the 3D-spatial metric. Two habits of the official script are kept under the
official protocol and repaired under "fixed": it slices the depth map (rows are y) by x first, so that it reads the
transposed region; and it overwrites an object's box with later detections until the other object turns up too.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from suder_bench.evaluators.judges.protocols import Box, DepthEstimator, Detection, Detector, Parse, PromptedDetector
from suder_bench.evaluators.t2i_compbench.finding import Finding
from suder_bench.evaluators.t2i_compbench.spatial import Query, detect, explain, first_word, frame_size, iou, nouns

RELATION_WORDS = ("in front of", "behind", "hidden")
FULL_OVERLAP = 0.5


def depth_query(prompt: str, parse: Parse) -> Query:
    """First noun, relation, last noun."""
    return Query(*nouns(parse), first_word(prompt, RELATION_WORDS))


def frame_depth(depth: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A depth map as the official files keep it: shape (height, width) of the frame, float32 in [0, 1], larger is nearer.

    `depth` is any (H, W) map of a picture of `size` (width, height). It is stretched to its own minimum and maximum,
    brought to the picture's size (bilinear, corners aligned), cut to 8 bits, and resized as the picture is. A flat map is 0.
    """
    low, high = float(depth.min()), float(depth.max())
    if not high > low:
        return np.zeros(frame_size(*size)[::-1], dtype=np.float32)
    stretched = _resize_corners((depth.astype(np.float32) - np.float32(low)) / np.float32(high - low), size)
    grey = Image.fromarray(np.float32(255) * stretched).convert("L")
    return np.asarray(grey.resize(frame_size(*size), Image.Resampling.BILINEAR), dtype=np.float32) / 255


def relation_3d(relation: str | None, a: Box, b: Box, depth: np.ndarray, *, fixed: bool = False) -> float:
    """How well box `a` stands in `relation` to box `b`, in [0, 1].

    Boxes that overlap by more than half count fully, less overlap in proportion; none at all, and exactly half, count 0.
    """
    overlap = iou(a, b)
    difference = _mean_depth(depth, a, fixed) - _mean_depth(depth, b, fixed)
    holds = difference > 0 if relation == "in front of" else difference < 0 if relation in ("behind", "hidden") else False
    if not holds or overlap == FULL_OVERLAP:
        return 0.0
    return 1.0 if overlap > FULL_OVERLAP else overlap / FULL_OVERLAP


def pick(query: Query, detections: Sequence[Detection], *, fixed: bool = False) -> tuple[Detection | None, Detection | None]:
    """The detections that stand for the two objects: their class contains the noun, people count as "person".

    Officially the last match up to the place where both objects have been seen; the first match where only one is there,
    and for both under `fixed`.
    """
    nouns_asked = (query.first, query.second)
    hits = [[place for place, found in enumerate(detections) if noun is not None and noun in found.label] for noun in nouns_asked]
    if all(hits) and not fixed:
        both_seen = max(places[0] for places in hits)
        hits = [[max(place for place in places if place <= both_seen)] for places in hits]
    first, second = (detections[places[0]] if places else None for places in hits)
    return first, second


def score_3d(query: Query, detections: Sequence[Detection], depth: np.ndarray, *, fixed: bool = False) -> Finding:
    """A quarter of each object's confidence and half of the relation, without 2D's floor."""
    first, second = pick(query, detections, fixed=fixed)
    score, holds = 0.25 * sum(float(found.score) for found in (first, second) if found is not None), 0.0
    if first is not None and second is not None:
        holds = relation_3d(query.relation, first.box, second.box, depth, fixed=fixed)
        score += 0.5 * holds
    return Finding(score, *explain(query, first, second, holds))


def judge_depth(
    pictures: Sequence[Image.Image],
    queries: Sequence[Query],
    detector: Detector | PromptedDetector,
    estimator: DepthEstimator,
    *,
    fixed: bool = False,
) -> list[Finding]:
    """All pictures in one call of each judge."""
    maps = [frame_depth(depth, picture.size) for depth, picture in zip(estimator.depth(pictures), pictures, strict=True)]
    found = detect(pictures, [query.nouns for query in queries], detector)
    return [score_3d(*one, fixed=fixed) for one in zip(queries, found, maps, strict=True)]


def _mean_depth(depth: np.ndarray, box: Box, fixed: bool) -> float:
    """NaN where the slice is empty, so that no depth test holds."""
    x0, y0, x1, y1 = (int(corner) for corner in box)
    region = depth[y0:y1, x0:x1] if fixed else depth[x0:x1, y0:y1]
    return float(region.mean()) if region.size else float("nan")


def _resize_corners(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bilinear to (width, height) with the corner samples kept in place, as torch's `align_corners=True`."""
    across, down = (np.linspace(0, old - 1, new) for old, new in zip(values.shape[::-1], size, strict=True))
    tall = np.stack([np.interp(down, np.arange(len(column)), column) for column in values.T], axis=1)
    return np.stack([np.interp(across, np.arange(len(row)), row) for row in tall]).astype(np.float32)
