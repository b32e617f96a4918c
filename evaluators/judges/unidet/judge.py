"""UniDet, T2I-CompBench's detector, in plain PyTorch: from pictures to named boxes.

It computes what T2I-CompBench's `UniDet_eval` and detectron2 do: RS200 for spatial and complex, R50 for 3d_spatial and numeracy.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch

from suder_bench.benchmark import Match
from suder_bench.errors import JudgeError
from suder_bench.evaluators.judges import manifest as manifests
from suder_bench.evaluators.judges import street
from suder_bench.evaluators.judges.manifest import Manifest
from suder_bench.evaluators.judges.protocols import Detection, Picture
from suder_bench.evaluators.judges.unidet.checkpoint import read_network
from suder_bench.evaluators.judges.unidet.classes import names
from suder_bench.evaluators.judges.unidet.heads import THRESHOLD, Objects
from suder_bench.evaluators.judges.unidet.network import Configuration, Network
from suder_bench.evaluators.judges.unidet.preprocess import padded, prepare
from suder_bench.evaluators.judges.weights import Place, chunks, prepared
from suder_bench.evaluators.t2i_compbench.spatial import to_frame
from suder_bench.models.threads import one_thread_each

ROLES = {"rs200": "detector-2d", "r50": "detector-3d"}
BATCH = 16
"""Pictures at once on an accelerator; a processor takes one a thread."""

THREADS = 16
"""Each takes 240 MiB for its picture (R50)."""

FRAMES = 64
"""Resized copies of pictures that are held at once."""


@dataclass(frozen=True)
class Found:
    """The objects of one picture, surest first: `boxes` (n, 4) as x0, y0, x1, y1 in its pixels, `scores` (n,), `names`."""

    boxes: np.ndarray
    scores: np.ndarray
    names: list[str]


class UniDet:
    """Implements `Detector` for pictures in UniDet's frame; `find` takes any.

    `exact` is true for the file of weights that the benchmark names. `rgb` feeds red first, which no official number does.
    """

    def __init__(
        self, network: Network, configuration: Configuration, place: Place, *, match: Match, name: str, rgb: bool = False
    ) -> None:
        self.match, self.exact = match, match == "exact"
        order = "-rgb" if rgb else ""
        self.backend = f"unidet-{configuration.name}{order}" + (f":{name}" if match == "another file" else "")
        self.fingerprint = place.fingerprint(network) + order
        self._network, self._place = place.put(network), place
        self._configuration, self._rgb = configuration, rgb

    @classmethod
    def read(
        cls, file: str | Path, *, device: str = "auto", dtype: str = "auto", rgb: bool = False, role: str | None = None
    ) -> Self:
        """The detector of a checkpoint of R50 or RS200, whichever it is, perhaps in the other's `role`. `dtype` "auto" is float16
        on CUDA, else float32.

        Raises `JudgeError` for any other file.
        """
        path = Path(file).expanduser()
        network, configuration = read_network(path)
        own = ROLES[configuration.name]
        match = "another file" if rgb or role not in (None, own) else manifests.match(own, path)
        place = Place.choose(device, dtype, half_on_cuda=True)
        return cls(network, configuration, place, match=match, name=path.name, rgb=rgb)

    @classmethod
    def load(
        cls, role: str, source: str | None, *, device: str, dtype: str, offline: bool, manifest: Manifest | None = None
    ) -> Self:
        """The detector that the benchmark names for a role, from the file that was fetched, or from another place.

        Raises `JudgeError` where there is none, or where it holds the other network.
        """
        file = locate(role, source, manifest)
        network, configuration = read_network(file)
        if ROLES[configuration.name] != role:
            raise JudgeError(
                f"judge {role}: {file} holds UniDet {configuration.name}, which is for {ROLES[configuration.name]};"
                f" to use it here all the same: --judge {role}=unidet:{file}"
            )
        place = Place.choose(device, dtype, half_on_cuda=True)
        return cls(network, configuration, place, match=manifests.match(role, file, manifest), name=file.name)

    def find(self, pictures: Sequence[Picture]) -> list[Found]:
        """What is in each picture, of any size, above a score of 0.1."""
        found = []
        for some in chunks(pictures, FRAMES):
            frames = [to_frame(picture.convert("RGB")) for picture in some]
            for picture, frame, objects in zip(some, frames, self._look(frames), strict=True):
                scale = np.array([picture.width / frame.width, picture.height / frame.height] * 2)
                labels = [names()[number] for number in objects.classes.tolist()]
                found.append(Found(objects.boxes.numpy() * scale, objects.scores.numpy(), labels))
        return found

    def detect(self, pictures: Sequence[Picture]) -> list[list[Detection]]:
        """What is in each picture above a score of 0.1; pictures are not resized."""
        return [_detections(objects) for objects in self._look(pictures)]

    def check(self) -> None:
        """Of three things drawn beside a street at least one is found where it is. Raises `JudgeError`.

        Not all of them: what the official weights make of a drawing has not been tried.
        """
        (found,) = self.find([street.picture()])
        for label, (left, top, right, bottom) in zip(found.names, found.boxes.tolist(), strict=True):
            x0, y0, x1, y1 = street.THINGS.get(label, (0, (0, 0, 0, 0)))[1]
            if x0 < (left + right) / 2 < x1 and y0 < (top + bottom) / 2 < y1:
                return
        raise JudgeError(
            f"three drawn things ({', '.join(street.THINGS)}): expected one in its place above {THRESHOLD}, got none among"
            f" {len(found.names)} objects; wrong weights?"
        )

    def _look(self, frames: Sequence[Picture]) -> list[Objects]:
        # float32 is float32: CUDA's convolutions round to TF32 otherwise.
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            return self._in_threads(frames) if self._place.device.type == "cpu" else self._in_batches(frames)

    def _in_batches(self, frames: Sequence[Picture]) -> list[Objects]:
        """Frames of one padded size together: none is padded for another's sake, which would change what is found in it."""
        found: dict[int, Objects] = {}
        sizes = [padded(frame) for frame in frames]
        for size in dict.fromkeys(sizes):
            rows = [row for row, own in enumerate(sizes) if own == size]
            for batch, values in prepared(rows, lambda row: self._prepare(frames[row]), BATCH):
                own = [rows[index] for index in batch]
                found |= zip(own, self._pass(values, [frames[row] for row in own]), strict=True)
        return [found[row] for row in range(len(frames))]

    def _in_threads(self, frames: Sequence[Picture]) -> list[Objects]:
        """A picture to a thread: what has no parallel form (sorting, suppression) then waits for nobody."""
        with one_thread_each(THREADS) as map_each:
            return list(map_each(self._alone, frames))

    def _alone(self, frame: Picture) -> Objects:
        return self._pass(self._prepare(frame)[None], [frame])[0]

    def _prepare(self, frame: Picture) -> torch.Tensor:
        return prepare(frame, self._configuration, rgb=self._rgb)

    @torch.inference_mode()
    def _pass(self, values: torch.Tensor, frames: Sequence[Picture]) -> list[Objects]:
        with self._place.precision():
            found = self._network(values.to(self._place.device), [(frame.height, frame.width) for frame in frames])
        return [Objects(one.boxes.cpu(), one.scores.cpu(), one.classes.cpu()) for one in found]


def load(role: str, *, device: str = "auto", dtype: str = "auto", offline: bool = False, source: str | None = None) -> UniDet:
    """The back-end `unidet`: `source` is r50, rs200 or a file, for any of the two roles; "#rgb" behind it feeds red first.

    Raises `JudgeError` where the weights cannot be had.
    """
    which, _, order = (source or "").partition("#")
    if order not in ("", "rgb"):
        raise JudgeError(f"judge {role}: '#{order}' after unidet:{which} is not '#rgb', the one order of channels to choose")
    file = locate(role, which) if which and which not in ROLES else locate(ROLES.get(which, role), None)
    return UniDet.read(file, device=device, dtype=dtype, rgb=order == "rgb", role=role)


def locate(role: str, source: str | None, manifest: Manifest | None = None) -> Path:
    """The file that `source` names, or else the one that was fetched. Raises `JudgeError` where there is none."""
    official = manifests.of(role, manifest)[0]
    path = official.place(manifests.folder()) if source is None else Path(os.path.expanduser(source))
    if path.is_file():
        return path
    raise JudgeError(
        f"judge {role}: {official.network} is not at {path}; get it with suder-bench judges fetch {role}, or give the file,"
        f" --judge {role}=official:FILE, or detections made elsewhere, --judge {role}=file:FILE (docs/detections.md)"
    )


def _detections(objects: Objects) -> list[Detection]:
    rows = zip(objects.classes.tolist(), objects.scores.tolist(), objects.boxes.tolist(), strict=True)
    return [Detection(names()[number], score, (x0, y0, x1, y1)) for number, score, (x0, y0, x1, y1) in rows]
