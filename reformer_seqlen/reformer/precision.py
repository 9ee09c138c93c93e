"""Which dtype matrix products are computed in."""

from contextlib import AbstractContextManager, nullcontext
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from reformer_seqlen.runtime.messages import reformer as messages


def product_dtype(like: Tensor) -> torch.dtype:
    """The dtype of matrix products under the current autocast; without autocast that of `like`.

    Raises:
        StudyError: it is float16, which can't hold the scores of masked keys.
    """
    device, dtype = like.device.type, like.dtype
    if device != "meta" and torch.is_autocast_enabled(device):  # meta has no autocast
        dtype = torch.get_autocast_dtype(device)
    if dtype == torch.float16:
        raise messages.float16()
    if dtype == torch.bfloat16 != like.dtype and faster_dtype(like.device) != dtype:
        return like.dtype
    return dtype


def faster_dtype(device: torch.device) -> torch.dtype:
    """The dtype of products that may be in bfloat16: float32 on a processor that is faster in it.

    One with AVX2 alone takes three to nine times as long in bfloat16.
    """
    slow = device.type == "cpu" and not bfloat16_pays()
    return torch.float32 if slow else torch.bfloat16


def without_autocast(device: torch.device) -> AbstractContextManager[object]:
    """No autocast within the block; the meta device, on which memory is predicted, has none."""
    return nullcontext() if device.type == "meta" else torch.autocast(device.type, enabled=False)


def autocast_to(dtype: torch.dtype, like: Tensor) -> AbstractContextManager[object]:
    """Autocast to `dtype` within the block, unless that is `like`'s own: for modules of torch."""
    if dtype == like.dtype or like.device.type == "meta":
        return nullcontext()
    return torch.autocast(like.device.type, dtype)


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
@cache
def bfloat16_pays() -> bool:
    """Whether this processor multiplies bfloat16 faster than float32.

    Only Linux's /proc/cpuinfo says so. On other systems float32 is safe: bfloat16 may be ten times
    as slow, and is a few times as fast at best.
    """
    try:
        return multiplies_bfloat16_fast(Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    except OSError:
        return False


def multiplies_bfloat16_fast(cpuinfo: str) -> bool:
    """Whether a processor multiplies bfloat16 faster than float32, by its /proc/cpuinfo.

    Intel's do with AMX, which virtual machines often hide. With AVX-512 alone they reach half of
    float32's rate: 165 against 310 GFLOP/s on two cores of an Emerald Rapids. AMD's do with
    AVX-512: 990 against 209 GFLOP/s on two cores of a Zen 5. Other processors convert bfloat16 to
    float32 and multiply that.
    """
    flags = set(cpuinfo.split())
    if "GenuineIntel" in flags:
        return "amx_bf16" in flags
    return bool(flags & {"avx512_bf16", "amx_bf16", "bf16"})  # the last is ARM's
