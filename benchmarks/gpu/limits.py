"""What a card can do, and what a step asks of it: which limit binds?"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from benchmarks.gpu.contestants import PRECISIONS, products_in, synchronise
from reformer_seqlen.memory.tracker import tensors_in
from reformer_seqlen.runtime.errors import one_line

REPEATS = 20
PRODUCT = {"cuda": 8192, "cpu": 256}  # rows and columns of the matrices
COPIED = {"cuda": 2**30, "cpu": 2**22}  # bytes
MAKES_NO_NUMBERS = ("aten::empty", "aten::new_empty", "aten::set_")


def seconds_of(call: Callable[[], object], device: torch.device) -> float:
    """How long a call takes, until the device has done it."""
    synchronise(device)
    begin = time.perf_counter()
    call()
    synchronise(device)
    return time.perf_counter() - begin


def best_rates(device: torch.device) -> dict[str, float]:
    """Floating-point operations a second of one large product in each precision, and `copy`.

    That is the bytes a second that copying a large tensor reads and writes. Factors are random:
    with equal numbers a card draws less power, and is faster than it ever is with real ones.
    """
    size, kind = PRODUCT[device.type], device.type
    rates = {}
    for precision in PRECISIONS:
        dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
        left, right = (torch.randn(size, size, dtype=dtype, device=device) for _ in range(2))
        with products_in(precision):
            rates[precision] = 2 * size**3 / _best(partial(torch.mm, left, right), device)
    source = torch.ones(COPIED[kind], dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    rates["copy"] = 2 * COPIED[kind] / _best(partial(target.copy_, source), device)
    return rates


def _best(call: Callable[[], object], device: torch.device) -> float:
    return min(seconds_of(call, device) for _ in range(REPEATS))


@dataclass(frozen=True)
class Asked:
    """What a step asks of the card.

    Attributes:
        operations: floating-point operations of its products and of torch's attention, of which
            all pairs of tokens count, though a causal kernel may leave out half of them.
        bytes: that its operators read and write, each by itself; caches serve some of them.
        attention: the operators of torch's attention that ran, such as flash's.
    """

    operations: int
    bytes: int
    attention: list[str]

    def shares(self, seconds: float, rates: dict[str, float], precision: str) -> dict[str, float]:
        """The shares of the card's rates that a step which takes so long comes to."""
        return {
            "share_of_products": self.operations / seconds / rates[precision],
            "share_of_copy": self.bytes / seconds / rates["copy"],
        }


def asked_by(step: Callable[[], object]) -> Asked | None:
    """What a step asks for, the second time: the first makes the optimizer's states.

    None if it runs and can't be counted: that should not keep it from being timed.
    """
    step()
    try:
        with Counting() as counted:
            step()
    except Exception as error:
        print(f"  not counted: {type(error).__name__}: {one_line(error)}", flush=True)
        return None
    return Asked(counted.operations, counted.bytes, sorted(counted.attention))


class Counting(TorchDispatchMode):
    """Adds up what operators compute, and the sizes of what they read and write.

    torch's own FlopCounterMode counts the same operations, but fails on stock's reversible layers.
    """

    def __init__(self) -> None:
        super().__init__()
        self.operations = self.bytes = 0
        self.attention: set[str] = set()

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        """Run an operator and count it; views and empty tensors are neither read nor written."""
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        packet = func._overloadpacket
        if packet in flop_registry:
            self.operations += int(flop_registry[packet](*args, **kwargs, out_val=result))
        if "attention" in str(packet):
            self.attention.add(str(packet).removeprefix("aten._scaled_dot_product_"))
        if not func._schema.name.startswith(MAKES_NO_NUMBERS):
            read, written = list(tensors_in([args, kwargs])), list(tensors_in(result))
            if func._schema.is_mutable or not _shares(written, read):
                self.bytes += sum(map(_size, [*read, *written]))
        return result


def _shares(written: list[Tensor], read: list[Tensor]) -> bool:
    """Whether results are views of arguments."""
    known = {tensor.untyped_storage()._cdata for tensor in read}
    return all(tensor.untyped_storage()._cdata in known for tensor in written)


def _size(tensor: Tensor) -> int:
    """The bytes of a tensor; what is expanded is read once."""
    return min(tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes())
