"""Torch's choice of an attention kernel on a GPU, call by call, and what each allocates."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from reformer_seqlen.memory.attention import kernel_of
from reformer_seqlen.memory.tracker import on_meta
from tests.memory.test_prediction import bytes_counted_by_torch, bytes_in_use

HALF, FLOAT = torch.float16, torch.float32


def kernel(
    heads: int = 4,
    key_heads: int = 4,
    size: int = 64,
    value_size: int | None = None,
    lengths: tuple[int, int] = (32, 32),
    dtype: torch.dtype = FLOAT,
    masked: bool = False,
    enable_gqa: bool = False,
    ampere: bool = True,
) -> str:
    with torch.device("meta"):
        query = torch.empty(2, heads, lengths[0], size, dtype=dtype)
        key = torch.empty(2, key_heads, lengths[1], size, dtype=dtype)
        value = torch.empty(2, key_heads, lengths[1], value_size or size, dtype=dtype)
        mask = torch.empty(1, 1, *lengths, dtype=torch.bool) if masked else None
    return kernel_of(query, key, value, mask, not masked, enable_gqa, ampere)


def test_single_precision_has_the_memory_efficient_kernel_but_for_grouped_queries() -> None:
    assert kernel() == kernel(masked=True) == "efficient"
    assert kernel(key_heads=2, enable_gqa=True) == "math"
    assert kernel(key_heads=1) == kernel(key_heads=1, masked=True) == "math"  # falcon's
    assert kernel(size=30) == "math"
    assert kernel(size=30, ampere=False) == "efficient"
    assert kernel(value_size=32) == kernel(lengths=(16, 32)) == "efficient"


def test_half_precision_has_flash_from_ampere_on_where_there_is_no_mask() -> None:
    assert kernel(dtype=HALF) == kernel(dtype=torch.bfloat16) == "flash"
    assert (
        kernel(dtype=HALF, key_heads=2, enable_gqa=True) == kernel(dtype=HALF, size=30) == "flash"
    )
    assert kernel(dtype=HALF, masked=True) == kernel(dtype=HALF, size=264) == "efficient"
    assert kernel(dtype=HALF, value_size=32) == kernel(dtype=HALF, lengths=(16, 32)) == "efficient"
    assert kernel(dtype=HALF, ampere=False) == "efficient"
    assert kernel(dtype=HALF, key_heads=2, enable_gqa=True, ampere=False) == "math"
    assert kernel(dtype=torch.bfloat16, ampere=False) == "math"
    assert kernel(dtype=HALF, key_heads=2, masked=True, enable_gqa=True) == "math"


def test_other_shapes_have_no_fused_kernel() -> None:
    heads = torch.empty(4, 32, 64, device="meta")
    assert kernel_of(heads, heads, heads, None, True, False) == "math"
    strided = torch.empty(2, 4, 64, 32, device="meta").transpose(2, 3)
    assert kernel_of(strided, strided, strided, None, True, False) == "math"


def sizes(call: Callable[[Tensor, Tensor], Tensor], learns: bool, length: int = 64) -> list[int]:
    """The bytes that a call of attention asks for, in order; negative of what is gone after it."""
    with on_meta(scalar=0) as tracker, tracker.watching():
        query = torch.zeros(1, 2, length, 16, requires_grad=learns)
        mask = torch.ones(1, 1, length, length, dtype=torch.bool)
        made = call(query, mask)
        gone = {~event for event in tracker.trace.events if event < 0}
        assert made.shape == query.shape
        asked = tracker.trace.sizes
    return [-size if number in gone else size for number, size in enumerate(asked)][2:]


def masked(query: Tensor, mask: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(query, query, query, attn_mask=mask)


def test_a_boolean_mask_is_converted_by_every_call_and_kept_for_the_backward_pass() -> None:
    floats, attended, sums = 64 * 64 * 4, 2 * 64 * 16 * 4, 2 * 64 * 4
    assert sizes(masked, learns=False) == [-4, -4, -floats, attended, -8, -8]  # and a seed
    assert sizes(masked, learns=True) == [-4, -4, floats, attended, sums, 8, 8]


def test_rows_of_a_mask_are_padded_where_they_are_not_aligned() -> None:
    asked = sizes(masked, learns=True, length=60)
    assert asked[2:4] == [-60 * 60 * 4, 60 * 64 * 4]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("learns", [False, True])
def test_the_math_kernel_asks_for_what_torch_asks_for(learns: bool, dtype: torch.dtype) -> None:
    def given() -> tuple[Tensor, Tensor, Tensor]:
        query = torch.zeros(2, 4, 96, 16, dtype=dtype, requires_grad=learns)
        key, value = (torch.zeros(2, 2, 96, 16, dtype=dtype, requires_grad=learns) for _ in "kv")
        return query, key, value

    def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        attended = F.scaled_dot_product_attention(
            query, key, value, is_causal=True, enable_gqa=True
        )
        return attended.sum()

    with sdpa_kernel([SDPBackend.MATH]):
        counted = bytes_counted_by_torch(partial(attend, *given()))
    with on_meta(scalar=0) as tracker, tracker.watching(ampere=False):
        tensors = given()
        attend(*tensors)
        predicted = bytes_in_use(tracker.trace) - sum(map(_bytes, tensors))
    assert predicted == pytest.approx(counted, abs=64)


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def test_the_flash_kernel_needs_room_for_its_backward_pass() -> None:
    def backward(length: int, key_heads: int) -> list[int]:
        with on_meta(scalar=0) as tracker:
            query = torch.zeros(1, 4, length, 40, dtype=HALF, requires_grad=True)
            key = torch.zeros(1, key_heads, length, 40, dtype=HALF, requires_grad=True)
            with tracker.watching():
                made = F.scaled_dot_product_attention(query, key, key, enable_gqa=True)
                before = len(tracker.trace.sizes)
                made.sum().backward()
        return tracker.trace.sizes[before:]

    sums, queries = 4 * 128 * 4, 4 * 128 * 64 * 4  # 100 rows are rounded to 128, 40 numbers to 64
    gradient = 4 * 100 * 40 * 2  # of the queries; of the keys and of the values
    assert backward(100, 4)[2:7] == [sums, queries, *[gradient] * 3]
    assert backward(100, 1)[2:8] == [sums, queries, *[gradient] * 3, gradient // 4]
