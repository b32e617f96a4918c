"""Detections made elsewhere, by the official UniDet for one: the back-end `file` of the roles detector-2d and detector-3d.

A file holds JSON lines, one a picture (`docs/detections.md` shows how the official scripts write them):

    {"detector": "Unified_learned_OCIM_RS200_6x+2x", "file": "a cat ... a dog_000000.png", "size": [479, 479],
     "digest": "<sha256 of b'479x479:' and the RGB bytes>", "labels": ["cat", "dog"], "scores": [0.93, 0.71],
     "boxes": [[12.5, 40.0, 210.1, 470.9], [250.3, 61.2, 470.0, 468.8]]}

A picture is known by the digest of what the detector saw, that is of its pixels in UniDet's frame, so that no detections can
be taken for another picture's. Boxes are (x0, y0, x1, y1) in that frame, in the order in which the detector gave them.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from suder_bench.errors import JudgeError, UserError
from suder_bench.evaluators.judges.protocols import Detection, Picture

Place = tuple[Path, int]
"""A file and the byte at which a picture's line begins."""


def load(
    role: str, *, device: str = "auto", dtype: str = "auto", offline: bool = False, source: str | None = None
) -> DetectionsFile:
    """Read the file `source`, or all `*.jsonl` of the folder. Raises `JudgeError` naming what is wrong and where."""
    if source is None:
        raise JudgeError(f"judge {role}: give the file with the detections: --judge {role}=file:FILE (docs/detections.md)")
    path = Path(os.path.expanduser(source))
    files = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
    if not files or not path.exists():
        raise JudgeError(f"judge {role}: there is no {'*.jsonl in ' if path.is_dir() else ''}{source}")
    return DetectionsFile(role, files)


class DetectionsFile:
    """Implements `Detector` for pictures in UniDet's frame. Keeps places and not detections: files may be large.

    Never `exact`: a file can name any detector, and nothing in it shows which network, weights or settings made it. The
    back-end is what the file declares, with the digest of all its lines.
    """

    exact = False

    def __init__(self, role: str, files: Sequence[Path]) -> None:
        self._places: dict[str, Place] = {}
        self._names, self._count = ", ".join(map(str, files)), 0
        detectors, contents = set[str](), hashlib.sha256()
        for file in files:
            for place, number, line in _lines(role, file):
                contents.update(line)
                row = _read(role, f"{file}:{number}", line)
                detectors.add(row["detector"])
                self._count += len(row["labels"])
                self._places.setdefault(row["digest"], place)
        if len(detectors) != 1:
            found = f"is by several detectors ({', '.join(sorted(detectors))})" if detectors else "is empty"
            raise JudgeError(f"judge {role}: {self._names} {found}; give a file of one detector's detections")
        (detector,) = detectors
        self.fingerprint = contents.hexdigest()[:16]
        self.backend = f"{detector} as declared by a file ({self.fingerprint})"

    def detect(self, pictures: Sequence[Picture]) -> list[list[Detection]]:
        """Raises `UserError` for a picture that the file does not hold."""
        return [self._find(picture) for picture in pictures]

    def check(self) -> None:
        """Something was found somewhere. Raises `JudgeError`: in some installs UniDet's RS200 finds nothing at all."""
        if not self._count:
            raise JudgeError(
                f"not one detection in any of {len(self._places):,} pictures of {self._names}; was the detector broken?"
            )

    def _find(self, picture: Picture) -> list[Detection]:
        digest = frame_digest(picture)
        if digest not in self._places:
            raise UserError(
                f"{self._names} holds no detections for this picture ({picture.width} x {picture.height} in UniDet's frame,"
                f" digest {digest[:12]}); it was made from other pictures"
            )
        file, start = self._places[digest]
        with file.open("rb") as opened:
            opened.seek(start)
            row = json.loads(opened.readline())
        found = zip(row["labels"], row["scores"], row["boxes"], strict=True)
        return [Detection(label, score, (x0, y0, x1, y1)) for label, score, (x0, y0, x1, y1) in found]


def frame_digest(picture: Picture) -> str:
    """sha256 of width, height and RGB pixels of a picture in UniDet's frame."""
    return hashlib.sha256(f"{picture.width}x{picture.height}:".encode() + picture.convert("RGB").tobytes()).hexdigest()


def _lines(role: str, file: Path) -> Iterator[tuple[Place, int, bytes]]:
    try:
        with file.open("rb") as opened:
            start = 0
            for number, line in enumerate(opened, 1):
                if line.strip():
                    yield (file, start), number, line
                start += len(line)
    except OSError as error:
        raise JudgeError(f"judge {role}: {file} cannot be read ({error.strerror})") from error


def _read(role: str, where: str, line: bytes) -> dict[str, Any]:
    """The row of one line, checked. Raises `JudgeError`."""
    try:
        row: dict[str, Any] = json.loads(line)
        labels, scores, boxes = row["labels"], row["scores"], row["boxes"]
        right = (
            isinstance(row["detector"], str)
            and isinstance(row["digest"], str)
            and all(isinstance(found, list) for found in (labels, scores, boxes))
            and not any(isinstance(number, bool) for numbers in (scores, *boxes) for number in numbers)
            and len(labels) == len(scores) == len(boxes)
            and all(isinstance(label, str) for label in labels)
            and all(0 <= score <= 1 for score in scores)
            and all(len(box) == 4 and box[0] <= box[2] and box[1] <= box[3] for box in boxes)
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise JudgeError(f"judge {role}: {where}: not a line of detections ({error!r}); see docs/detections.md") from error
    if not right:
        raise JudgeError(
            f"judge {role}: {where}: needs a detector, a digest, and as many labels as scores in [0, 1] and boxes"
            " (x0, y0, x1, y1); see docs/detections.md"
        )
    return row
