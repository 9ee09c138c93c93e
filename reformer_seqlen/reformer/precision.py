"""Which type matrix products are computed in."""

from contextlib import AbstractContextManager, nullcontext
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from reformer_seqlen.runtime.errors import StudyError


def product_dtype(like: Tensor) -> torch.dtype:
    """The type of products under the current autocast; outside of it that of `like`.

    Raises:
        StudyError: autocast to float16 or weights of it, which can't hold the scores that mask.
    """
    device, dtype = like.device.type, like.dtype
    if device != "meta" and torch.is_autocast_enabled(device):  # meta has no autocast
        dtype = torch.get_autocast_dtype(device)
    if dtype == torch.float16:
        raise StudyError("float16 can't hold the scores that mask: choose bfloat16 or float32.")
    if device == "cpu" and dtype == torch.bfloat16 != like.dtype and not bfloat16_pays():
        return like.dtype
    return dtype


def without_autocast(device: torch.device) -> AbstractContextManager[object]:
    """No autocast within the block; the meta device, which memory is predicted on, has none."""
    return nullcontext() if device.type == "meta" else torch.autocast(device.type, enabled=False)


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
@cache
def bfloat16_pays() -> bool:
    """Whether the processor multiplies bfloat16 faster than float32; True where no Linux tells."""
    try:
        return multiplies_bfloat16_fast(Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    except OSError:
        return True


def multiplies_bfloat16_fast(cpuinfo: str) -> bool:
    """Whether a processor does, by the text of its /proc/cpuinfo.

    Intel's do so with their AMX tiles, which virtual machines often hide. With AVX-512 alone they
    have half of float32's rate: 165 against 310 GFLOP/s on two cores of an Emerald Rapids. AMD's do
    so with AVX-512: 990 against 209 GFLOP/s on two cores of a Zen 5. Other processors compute
    bfloat16 in float32, with conversions on top.
    """
    flags = set(cpuinfo.split())
    if "GenuineIntel" in flags:
        return "amx_bf16" in flags
    return bool(flags & {"avx512_bf16", "amx_bf16", "bf16"})  # the last is ARM's
