"""What `--device` and `--dtype` mean on this machine, for models and judges alike. Imports torch only when needed."""

from __future__ import annotations

import ctypes
import os
import re
import sys
from importlib import metadata

from suder_bench.errors import UserError, unknown

DTYPES = ("float32", "bfloat16")
JUDGE_DTYPES = (*DTYPES, "float16")

ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
PASSIVE = {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}
"""What numerical libraries read once, when they are imported."""
LARGE_PAGES = {"THP_MEM_ALLOC_ENABLE": "1"}
"""Has torch ask the kernel for pages of 2 MB, where it gives them when asked (Linux): keys and values of a batch are read from
all over their memory, which takes a tenth less of the time so."""

KEPT, LARGEST_KEPT = 256 * 2**20, 32 * 2**20
"""Bytes of freed memory that a process keeps, and of the largest block among them, beyond which glibc takes none."""

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # malloc.h


def choose_device(device: str) -> str:
    """The device of a name; "auto" is CUDA where there is one, else the CPU. mps is taken when asked for: nobody has measured it.

    Raises `UserError` for a device that is unknown or not here.
    """
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", device):
        raise UserError(f"unknown device '{device}' (choices: auto, cpu, cuda, cuda:N, mps)")
    if device == "cpu" or (device == "auto" and _cpu_alone()):
        return "cpu"
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, number = device.partition(":")
    here = torch.cuda.is_available() if kind == "cuda" else torch.backends.mps.is_available()
    if not here or (number and int(number) >= torch.cuda.device_count()):
        raise UserError(f"device '{device}' is not available on this machine; use --device cpu")
    return device


def _cpu_alone() -> bool:
    """Whether torch, which nobody has imported yet, was built for the CPU: then a driver of workers need not import it."""
    if "torch" in sys.modules:
        return False
    try:
        return metadata.version("torch").endswith("+cpu")
    except metadata.PackageNotFoundError:
        return False


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_side_by_side = 1


def use_one_thread() -> None:
    """Have numerical libraries compute in one thread, unless the user's environment says how many.

    Sums round differently in another number of threads, and a picture's pixels show it. Several cores are for several workers,
    and for what is computed `side_by_side`.
    """
    global _side_by_side
    if "OMP_NUM_THREADS" not in os.environ:
        _side_by_side = cores()
        torch = sys.modules.get("torch")
        if torch is not None:
            torch.set_num_threads(1)
    for name, value in ONE_THREAD.items():
        os.environ.setdefault(name, value)


def wait_passively() -> None:
    """Have the threads of numerical libraries sleep while they wait, unless the user's environment says how they wait.

    Threads that spin keep their core from whoever is to end their wait: beside other work 32 pictures of tiny-janus on two
    threads took 10 to 20 times as long. To be called before torch is imported.
    """
    for name, value in PASSIVE.items():
        os.environ.setdefault(name, value)


def use_large_pages() -> None:
    """Unless the user's environment says otherwise; to be called before torch is imported."""
    for name, value in LARGE_PAGES.items():
        os.environ.setdefault(name, value)


def keep_freed_memory() -> None:
    """Have glibc keep up to `KEPT` bytes that are freed, where it is the C library: a model's batches ask for the same amounts
    again and again, and pages that the kernel hands out anew, and clears, took a twentieth of drawing's time on a CPU."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(_MMAP_THRESHOLD, LARGEST_KEPT)
    mallopt(_TRIM_THRESHOLD, KEPT)


def side_by_side() -> int:
    """How many threads may compute, each by itself, where `use_one_thread` has been called; else 1."""
    return _side_by_side


def count_devices(device: str) -> int:
    """How many workers can compute side by side on a kind of device: one on each GPU, one on each core."""
    if device == "cpu":
        return cores()
    if device != "cuda":
        return 1
    import torch

    return torch.cuda.device_count()


def environments(device: str, count: int) -> list[dict[str, str]]:
    """What so many workers get in their environment: each a GPU of those this process sees, in turn, and threads as here."""
    threads = {name: os.environ.get(name, value) for name, value in ONE_THREAD.items()}
    if device != "cuda":
        return [threads] * count
    seen = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    own = seen or [str(number) for number in range(max(1, count_devices(device)))]
    return [{**threads, "CUDA_VISIBLE_DEVICES": own[worker % len(own)]} for worker in range(count)]


def has_float64(kind: str) -> bool:
    """Whether tensors of 64-bit floats can be on a kind of device ("cpu", "cuda", "mps")."""
    return kind != "mps"


def choose_dtype(dtype: str, device: str) -> str:
    """The dtype of a name; "auto" is bfloat16 on CUDA and float32 elsewhere. Raises `UserError` for an unknown one."""
    if dtype == "auto":
        return "bfloat16" if device.startswith("cuda") else "float32"
    if dtype not in DTYPES:
        raise unknown("dtype", dtype, ["auto", *DTYPES])
    return dtype
