"""A stand-in for Apple's mps where there is none: it computes on the CPU, knows no 64-bit floats, and does not mix devices."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

MPS = torch.device("mps")
_DEVICE = torch.Tensor.device.__get__  # type: ignore[attr-defined]
_MOVES = (torch.Tensor.to, torch.Tensor.cpu)


class OnMps(torch.Tensor):
    """A tensor that says it is on mps."""

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return computed(func, args, kwargs or {})


class Factories(TorchFunctionMode):
    """Makes `torch.zeros(..., device="mps")` and the like."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if is_mps(kwargs.get("device")) or any(map(is_mps, args)) or any(isinstance(leaf, OnMps) for leaf in tree_leaves(args)):
            return computed(func, args, kwargs)
        return func(*args, **kwargs)


def is_mps(value: Any) -> bool:
    return isinstance(value, str | torch.device) and str(value) == "mps"


def computed(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """What mps would make of a call, or the exception that it would raise."""
    if func == _DEVICE:
        return MPS
    leaves = tree_leaves((args, kwargs))
    here = any(isinstance(leaf, OnMps) for leaf in leaves)
    others = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor) and not isinstance(leaf, OnMps) and leaf.dim()]
    moves = [leaf for leaf in leaves if isinstance(leaf, torch.device | str)]
    if here and others and func not in (*_MOVES, torch.Tensor.__getitem__):  # indices may lie anywhere
        raise RuntimeError(f"Expected all tensors to be on the same device, but found at least two devices, mps and cpu ({func})")
    made = func(*tree_map(plain, args), **tree_map(plain, kwargs))
    if func is torch.Tensor.cpu or (func is torch.Tensor.to and moves and not any(map(is_mps, moves))):
        return made
    return tree_map(put, made)


def plain(leaf: Any) -> Any:
    if isinstance(leaf, OnMps):
        return leaf.as_subclass(torch.Tensor)
    return torch.device("cpu") if is_mps(leaf) else leaf


def put(leaf: Any) -> Any:
    """A tensor on mps. Raises `TypeError` as mps does for what it cannot hold."""
    if not isinstance(leaf, torch.Tensor):
        return leaf
    if leaf.dtype == torch.float64:
        raise TypeError("Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64")
    return leaf.as_subclass(OnMps)


@contextmanager
def mps(module: torch.nn.Module) -> Iterator[None]:
    """With the module's weights on mps."""
    for part in module.modules():
        for name, weight in list(part._parameters.items()):
            if weight is not None:
                part._parameters[name] = torch.nn.Parameter(put(weight.detach()), requires_grad=weight.requires_grad)
        for name, buffer in list(part._buffers.items()):
            part._buffers[name] = None if buffer is None else put(buffer)
    with Factories():
        yield
