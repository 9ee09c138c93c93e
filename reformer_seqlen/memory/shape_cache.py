"""Operators on the meta device, each computed once for the same shapes.

Working out the shape of a result is most of what a recorded run costs, as torch does it in Python.
A model repeats its layers, so most of its operators are given shapes that came before.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Remake = Callable[[tuple[Any, ...]], Any]
"""Makes an operator's result once more, from its positional arguments."""


class ShapeCache:
    """The results of operators, by operator, shapes and other arguments."""

    def __init__(self) -> None:
        self._known: dict[Any, Remake | None] = {}

    def run(self, operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Return what an operator returns; its tensors share storage exactly as they would.

        Args:
            operator: as a dispatch mode is given it.
            args: its arguments.
            kwargs: its arguments by name.
        """
        key = operator, _described(args), _described(list(kwargs.items()))
        remake = self._known.get(key)
        if remake is not None:
            return remake(args)
        given = _tensors((args, list(kwargs.values())))
        storages = [_storage(tensor) for tensor in given]
        result = operator(*args, **kwargs)
        if args and result is args[0]:
            unchanged = _described(args) == key[1] and storages == [*map(_storage, given)]
            self._known[key] = _first if unchanged and _has_no_data(result) else None
        else:
            self._known[key] = _of_new_tensors(result, storages)
        return result


def _described(value: Any) -> Any:
    """What decides an operator's result on the meta device; equal numbers differ by their type."""
    if isinstance(value, Tensor):
        return value.shape, value.stride(), value.dtype, value.device
    if isinstance(value, list | tuple):
        return tuple([_described(item) for item in value])
    return type(value), value


def _first(args: tuple[Any, ...]) -> Any:
    """The result of an operator that works in place and leaves shape and storage as they are."""
    return args[0]


def _of_new_tensors(result: Any, storages: list[int]) -> Remake | None:
    """How to make a result of new tensors; None for views and for all else.

    Args:
        result: of an operator.
        storages: those of its arguments.
    """
    if isinstance(result, Tensor):
        return _empty_like(result) if _is_new(result, storages) else None
    if not isinstance(result, list | tuple):
        return None
    if not all(isinstance(item, Tensor) and _is_new(item, storages) for item in result):
        return None
    if len({_storage(tensor) for tensor in result}) < len(result):  # views of one another
        return None
    makers, kind = [_empty_like(tensor) for tensor in result], type(result)
    return lambda args: kind([make(args) for make in makers])


def _is_new(tensor: Tensor, storages: list[int]) -> bool:
    """Whether a tensor has no data, and all of a storage that is no argument's."""
    if not _has_no_data(tensor) or _storage(tensor) in storages:
        return False
    size: int = _empty_like(tensor)(()).untyped_storage().nbytes()
    return size == tensor.untyped_storage().nbytes()


def _has_no_data(value: Any) -> bool:
    return isinstance(value, Tensor) and value.device.type == "meta"


def _empty_like(tensor: Tensor) -> Remake:
    shape, stride, dtype = tensor.shape, tensor.stride(), tensor.dtype
    return lambda _: torch.empty_strided(shape, stride, dtype=dtype, device="meta")


def _storage(tensor: Tensor) -> int:
    address: int = tensor.untyped_storage()._cdata
    return address


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, list | tuple):
        return [tensor for item in value for tensor in _tensors(item)]
    return [value] if isinstance(value, Tensor) else []
