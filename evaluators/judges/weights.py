"""Weights of the judge networks: from a folder, the Hugging Face cache or the hub, or one line that says what to do."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from huggingface_hub import try_to_load_from_cache
from PIL import Image
from torch import nn

from suder_bench.ahead import Ahead
from suder_bench.errors import JudgeError, unknown
from suder_bench.machine import JUDGE_DTYPES, choose_device
from suder_bench.proxies import through_proxy

Item = TypeVar("Item")
DTYPES: dict[str, torch.dtype] = {name: getattr(torch, name) for name in JUDGE_DTYPES}

OPENAI_MEAN, OPENAI_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
"""Of CLIP's pictures; BLIP has the same."""


UNREADABLE = (
    *(OSError, RuntimeError, ValueError, TypeError, AttributeError, LookupError, EOFError),
    pickle.UnpicklingError,
)
"""What `torch.load` raises for a file that is no checkpoint, by what its first bytes happen to mean."""


@dataclass(frozen=True)
class Place:
    """Where a judge computes, and in what precision under autocast; the weights stay in float32."""

    device: torch.device
    dtype: torch.dtype

    @staticmethod
    def choose(device: str, dtype: str, *, half_on_cuda: bool) -> Place:
        """`dtype` "auto" is the precision of the official script: float16 on CUDA where `half_on_cuda`, else float32."""
        if dtype not in ("auto", *DTYPES):
            raise unknown("dtype", dtype, ["auto", *DTYPES])
        place = torch.device(choose_device(device))
        half = torch.float16 if half_on_cuda and place.type == "cuda" else torch.float32
        return Place(place, DTYPES.get(dtype, half))

    def put(self, model: nn.Module) -> Any:
        return model.to(self.device)

    def precision(self) -> AbstractContextManager[Any]:
        return nullcontext() if self.dtype == torch.float32 else torch.autocast(self.device.type, self.dtype)

    def fingerprint(self, model: nn.Module, tokenizer: Any = None) -> str:
        """Changes with any weight, with the words of the tokenizer where there is one, and with the precision: all of it changes
        what a judge says."""
        found = digest(model)
        if tokenizer is not None:
            found = hashlib.sha256(f"{found} {_words(tokenizer)}".encode()).hexdigest()[:16]
        return found if self.dtype == torch.float32 else f"{found}-{str(self.dtype).removeprefix('torch.')}"


def load_pretrained(role: str, loader: Any, reference: str, *, offline: bool, way: str = "", **options: Any) -> Any:
    """`loader.from_pretrained`, first from the disk, then from the hub unless `offline`; `way` is how else to get the weights.

    Raises `JudgeError` when the weights cannot be had, or lack parts of the network, which would score silently wrong.
    """
    try:
        return _load(role, loader, reference, local_files_only=True, **options)
    except OSError as error:
        if os.path.isdir(reference):
            raise JudgeError(
                f"judge {role}: {reference} is not a folder in transformers' format ({_first_line(error)})"
            ) from error
    way = way or f"suder-bench judges fetch {role} brings the official weights, or give --judge {role}=official:FOLDER"
    if offline:
        raise JudgeError(f"judge {role}: {reference} is not in the Hugging Face cache, and --offline forbids to fetch it; {way}")
    if not _hub_answers():
        raise JudgeError(
            f"judge {role}: {reference} is not in the Hugging Face cache, and the hub cannot be reached"
            f"{through_proxy(_hub())}; {way}"
        )
    try:
        return _load(role, loader, reference, local_files_only=False, **options)
    except OSError as error:
        raise JudgeError(f"judge {role}: {reference} cannot be fetched ({_first_line(error)}); {way}") from error


def weights_file(reference: str) -> Path | None:
    """The one file of weights that `from_pretrained` reads of a folder or a cached hub id; None where there are several."""

    def there(name: str) -> Path | None:
        found = os.path.join(reference, name) if os.path.isdir(reference) else try_to_load_from_cache(reference, name)
        return Path(found) if isinstance(found, str) and os.path.isfile(found) else None

    if there("adapter_config.json"):  # which transformers merges where peft is installed
        return None
    for name in ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin"):
        if found := there(name):
            return found if found.suffix != ".json" else None
    return None


def read_pickled(role: str, file: Path) -> Any:
    """What torch saved in a file, of which nothing is executed. Raises `JudgeError` where it cannot be read."""
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise JudgeError(
            f"judge {role}: {file} is no checkpoint that torch can read ({reason}); get it again:"
            f" suder-bench judges fetch {role} --replace"
        ) from error


def fill(role: str, file: Path, model: nn.Module, state: Mapping[str, torch.Tensor]) -> None:
    """Put the tensors of a file into a model that was made on the device "meta", in float32; what it has no place for is left.

    Raises `JudgeError` naming the first weight that is lacking or has another shape.
    """
    expected = model.state_dict()
    lacking = sorted(expected.keys() - state.keys())
    if lacking:
        raise JudgeError(f"judge {role}: {file} lacks {len(lacking)} weights ({lacking[0]}, ...); wrong checkpoint")
    for name, tensor in expected.items():
        if tensor.shape != state[name].shape:
            shapes = f"{tuple(state[name].shape)} and not {tuple(tensor.shape)}"
            raise JudgeError(f"judge {role}: {file}: {name} is {shapes}; wrong checkpoint")
    model.load_state_dict({name: state[name].float() for name in expected}, assign=True)


def chunks(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """The items in order, at most `size` at a time."""
    return (items[start : start + size] for start in range(0, len(items), size))


def prepared(
    pictures: Sequence[Item], prepare: Callable[[Item], torch.Tensor], size: int
) -> Iterator[tuple[Sequence[int], torch.Tensor]]:
    """(indices, stack) of at most `size` prepared pictures; worker threads prepare the next ones while these are in use."""
    with Ahead(prepare, pictures) as ready:
        for batch in chunks(range(len(pictures)), size):
            yield batch, torch.stack(ready.take(batch))


def digest(model: nn.Module) -> str:
    """Changes with any weight."""
    summed = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        summed.update(name.encode())
        summed.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return summed.hexdigest()[:16]


def _words(tokenizer: Any) -> str:
    """The vocabulary, and the merges where there are some."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    merges = [] if backend is None else json.loads(backend.to_str())["model"].get("merges", [])
    return json.dumps([sorted(tokenizer.get_vocab().items()), merges])


def pixels(picture: Image.Image, mean: tuple[float, ...], std: tuple[float, ...]) -> torch.Tensor:
    """RGB in [0, 1], less the mean, over the standard deviation: (3, H, W) float32."""
    scaled = np.asarray(picture.convert("RGB"), dtype=np.float32) / 255
    centred = (scaled - np.array(mean, dtype=np.float32)) / np.array(std, dtype=np.float32)
    return torch.from_numpy(centred).permute(2, 0, 1)


def _load(role: str, loader: Any, reference: str, **options: Any) -> Any:
    if not issubclass(loader, nn.Module):
        return loader.from_pretrained(reference, **options)
    model, report = loader.from_pretrained(reference, output_loading_info=True, dtype=torch.float32, **options)
    lacking = sorted(report["missing_keys"]) + sorted(key for key, *_ in report["mismatched_keys"])
    if lacking:
        raise JudgeError(
            f"judge {role}: {reference} lacks or misshapes {len(lacking)} weights ({lacking[0]}, ...); wrong checkpoint"
        )
    return model.eval().requires_grad_(False)


@cache
def _hub_answers() -> bool:
    """One short question, because transformers would retry for half a minute per judge."""
    try:
        with urllib.request.urlopen(urllib.request.Request(_hub(), method="HEAD"), timeout=5):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


def _hub() -> str:
    return os.environ.get("HF_ENDPOINT", "https://huggingface.co")


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
