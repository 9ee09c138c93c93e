"""What torch's scaled_dot_product_attention allocates on a GPU, call by call.

This follows torch 2.13: select_sdp_backend in aten/native/transformers/cuda/sdp_utils.cpp for the
choice, scaled_dot_product_attention in aten/native/transformers/attention.cpp for what is done
around a kernel, and flash_api.cpp for what the flash kernel needs beside its results. A Hopper
takes cuDNN's kernel where others take flash; its results are as large.

B sequences, H heads, L positions that ask, S positions that are asked, D numbers of a head.
"""

import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

aten = torch.ops.aten
Kernel = Literal["flash", "efficient", "math"]
HALF = (torch.float16, torch.bfloat16)
FLASH_HEAD = 256
"""The largest D of the flash kernel."""
FLASH_ALIGNMENT = 8
"""The flash kernel's D is padded to a multiple of this."""
MASK_ALIGNMENT = 8
"""The memory-efficient kernel's mask has rows whose distance is a multiple of this."""
FLASH_ROWS = 128
"""The flash kernel's backward pass rounds L up to a multiple of this."""


def attention(
    query: Tensor,  # B H L D
    key: Tensor,  # B H S D, or fewer heads
    value: Tensor,  # B H S D, or fewer heads
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
    ampere: bool = True,
) -> Tensor:
    """Do what torch's function of this signature does on a GPU, as far as memory is concerned.

    `ampere` says whether the GPU is of compute capability 8.0 or higher; all else is torch's.
    """
    kernel = kernel_of(query, key, value, attn_mask, is_causal, enable_gqa, ampere)
    mask = _additive(attn_mask, query.dtype)
    if kernel == "flash":
        return _flash(query, key, value, dropout_p, is_causal, scale)
    if kernel == "efficient":
        return _efficient(query, key, value, mask, dropout_p, is_causal, scale)
    return _math(query, key, value, mask, dropout_p, is_causal, scale, enable_gqa)


def kernel_of(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    is_causal: bool,
    enable_gqa: bool,
    ampere: bool = True,
) -> Kernel:
    """The kernel that torch takes for a call.

    Fused kernels want as many heads of keys and values as of queries; only the flash kernel groups
    queries. It has no masks, and works in half precision, from Ampere on.
    """
    if not query.dim() == key.dim() == value.dim() == 4 or 0 in (query.shape[2], key.shape[2]):
        return "math"
    if not query.shape[0] == key.shape[0] == value.shape[0]:
        return "math"
    if any(tensor.stride(-1) != 1 for tensor in (query, key, value, mask) if tensor is not None):
        return "math"
    if _flash_can(query, key, value, mask, is_causal, enable_gqa, ampere):
        return "flash"
    heads, same = query.shape[1], query.shape[-1] == key.shape[-1]
    known = query.dtype == torch.float32 or query.dtype in (HALF if ampere else HALF[:1])
    unit = _alignment(query.dtype, ampere)
    aligned = query.shape[-1] % unit == 0 and value.shape[-1] % unit == 0
    is_grouped = not heads == key.shape[1] == value.shape[1]
    return "efficient" if known and same and aligned and not is_grouped else "math"


def _flash_can(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    is_causal: bool,
    enable_gqa: bool,
    ampere: bool,
) -> bool:
    if not ampere or query.dtype not in HALF or mask is not None:
        return False
    if not query.shape[-1] == key.shape[-1] == value.shape[-1] <= FLASH_HEAD:
        return False
    if is_causal and query.shape[2] != key.shape[2]:
        return False
    heads = query.shape[1]
    groups = enable_gqa and key.shape[1] == value.shape[1] and heads % key.shape[1] == 0
    return groups or heads == key.shape[1] == value.shape[1]


def _alignment(dtype: torch.dtype, ampere: bool) -> int:
    """What the memory-efficient kernel's D is a multiple of."""
    if dtype in HALF:
        return 8  # tensor cores, from Volta on
    return 4 if ampere else 1


def _flash(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    dropout_p: float,
    is_causal: bool,
    scale: float | None,
) -> Tensor:
    size = query.shape[-1]
    missing = -size % FLASH_ALIGNMENT
    if missing:
        query, key, value = (F.pad(tensor, (0, missing)) for tensor in (query, key, value))
    attended: Tensor = aten._scaled_dot_product_flash_attention(
        query, key, value, dropout_p, is_causal, False, scale=scale or 1 / math.sqrt(size)
    )[0]
    return attended[..., :size] if missing else attended


def _efficient(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    dropout_p: float,
    is_causal: bool,
    scale: float | None,
) -> Tensor:
    if mask is not None:
        rows = mask.stride()[:-1]
        if any(distance % MASK_ALIGNMENT for distance in rows) or mask.stride(-1) != 1:
            columns = mask.shape[-1]
            padded = F.pad(mask, (0, MASK_ALIGNMENT - columns % MASK_ALIGNMENT))
            mask = padded[..., :columns]
        mask = mask.expand(*query.shape[:3], key.shape[2])
    learns = torch.is_grad_enabled() and any(x.requires_grad for x in (query, key, value))
    attended: Tensor = aten._scaled_dot_product_efficient_attention(
        query, key, value, mask, learns, dropout_p, is_causal, scale=scale
    )[0]
    return attended


def _math(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    dropout_p: float,
    is_causal: bool,
    scale: float | None,
    enable_gqa: bool,
) -> Tensor:
    """_scaled_dot_product_attention_math, which works in float32.

    It is not called, as torch adds the mask in place only where nothing watches.
    """
    dtype, size = query.dtype, query.shape[-1]
    exact = torch.float32 if dtype in HALF else dtype
    given = [tensor.to(exact) for tensor in (query, key, value)]  # they live to the end
    root = math.sqrt(abs(scale) if scale is not None else 1 / math.sqrt(size))
    query, (key, value) = given[0] * root, given[1:]
    if is_causal:
        mask = torch.ones((query.shape[-2], key.shape[-2]), dtype=torch.bool).tril()
        mask = _additive(mask, exact)
    if enable_gqa:
        key, value = (x.repeat_interleave(query.shape[-3] // x.shape[-3], -3) for x in given[1:])
    weights = torch.matmul(query, key.transpose(-2, -1) * root)
    if mask is not None:
        weights.add_(mask)
    weights = aten._safe_softmax(weights, -1)
    if dropout_p > 0:
        weights = F.dropout(weights, dropout_p)
    returned = weights.to(dtype)  # the weights are a second result, which lives as long
    attended = torch.matmul(weights, value).to(dtype)
    del returned
    return attended


def _additive(mask: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    """A mask as it is added to the scores: a boolean one is converted by every call."""
    if mask is None or mask.dtype != torch.bool:
        return mask
    return torch.where(mask, 0.0, torch.scalar_tensor(-math.inf, dtype=dtype))


def safe_softmax(scores: Tensor, dim: int, dtype: torch.dtype | None = None) -> Tensor:
    """aten._safe_softmax, in the operators that it consists of."""
    weights = torch.softmax(scores, dim, dtype)
    masked = scores.isneginf()
    rows = masked.all(dim, keepdim=True)
    return weights.masked_fill_(rows, 0.0)  # torch does it with `where`, in place too


def scratch(operator: Any, args: Sequence[Any]) -> list[int]:
    """The bytes that an operator allocates beside its results, and releases before it returns.

    The meta device does not show them.
    """
    if operator is aten.logsumexp.default:  # it computes (self - maxes).exp_() (ReduceOps.cpp)
        return [args[0].numel() * args[0].element_size()]
    if operator is aten._scaled_dot_product_flash_attention_backward.default:
        return _flash_backward_scratch(args[1], args[2])
    return []


def _flash_backward_scratch(query: Tensor, key: Tensor) -> list[int]:
    """The sums over D, the gradient of queries in float32, and those of each query's own keys."""
    batch, heads, length, size = query.shape  # B H L D
    rows = -(-length // FLASH_ROWS) * FLASH_ROWS
    unit = 32 if size <= 128 else 64
    columns = -(-size // unit) * unit
    sums = 4 * batch * heads * rows
    expanded = key.element_size() * batch * heads * key.shape[2] * size
    return [sums, sums * columns, *([expanded] * 2 if heads != key.shape[1] else [])]
