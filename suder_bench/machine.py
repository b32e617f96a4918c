"""What `--device` and `--dtype` mean on this machine, for models and judges alike. Imports torch only when needed."""

from __future__ import annotations

import re

from suder_bench.errors import UserError, unknown

DTYPES = ("float32", "bfloat16")
JUDGE_DTYPES = (*DTYPES, "float16")


def choose_device(device: str) -> str:
    """The device of a name; "auto" is CUDA where there is one, else the CPU. mps is taken when asked for: nobody has measured it.

    Raises `UserError` for a device that is unknown or not here.
    """
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", device):
        raise UserError(f"unknown device '{device}' (choices: auto, cpu, cuda, cuda:N, mps)")
    if device == "cpu":
        return device
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, number = device.partition(":")
    here = torch.cuda.is_available() if kind == "cuda" else torch.backends.mps.is_available()
    if not here or (number and int(number) >= torch.cuda.device_count()):
        raise UserError(f"device '{device}' is not available on this machine; use --device cpu")
    return device


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
