"""Windows over chunks, their gradients, and where strict order puts the items of a bucket."""

import pytest
import torch

from reformer_seqlen.reformer.chunked_attention import Geometry, add_over_windows, windows
from reformer_seqlen.reformer.hash_order import HashRule, chunk_aligned, strict_geometry


def test_a_window_is_a_chunk_and_those_before_it() -> None:
    rows = torch.tensor([[0.0], [0.0], [1.0], [2.0], [3.0], [4.0]])  # after two rows of zeros
    found = windows(rows, Geometry(1, 4, 1, 1, chunk=2, before=1))
    assert found.squeeze(-1).tolist() == [[0, 0, 1, 2], [1, 2, 3, 4]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("chunks", [1, 2, 3, 7])
@pytest.mark.parametrize(("chunk", "before"), [(4, 0), (4, 1), (4, 3), (1, 5)])
def test_gradients_are_added_over_all_windows_that_hold_a_row(
    chunk: int, before: int, chunks: int, dtype: torch.dtype
) -> None:
    """As automatic differentiation of the windows adds them."""
    torch.manual_seed(0)
    size, lead = 8, before * chunk
    geometry = Geometry(1, chunks * chunk, 1, size, chunk, before)
    rows = torch.zeros(lead + chunks * chunk, size, requires_grad=True)
    weights = torch.randn(chunks, chunk, geometry.window).to(dtype)
    vectors = torch.randn(chunks * chunk, size).to(dtype)
    product = weights.float() @ windows(rows, geometry)  # X C D
    product.backward(vectors.float().unflatten(0, (-1, chunk)))
    assert rows.grad is not None
    added = torch.empty(chunks * chunk, size, dtype=dtype)
    add_over_windows(added, weights, vectors, geometry)
    torch.testing.assert_close(added, rows.grad[lead:].to(dtype), atol=1e-5, rtol=1e-2)


def test_every_bucket_begins_with_a_chunk() -> None:
    buckets = torch.tensor([[0, 0, 0, 1, 1, 4], [2, 3, 3, 3, 3, 3]])
    places, begins = chunk_aligned(buckets, 2)
    assert places.tolist() == [[0, 1, 2, 4, 5, 6], [0, 2, 3, 4, 5, 6]]
    assert begins.tolist() == [[0, 0, 0, 4, 4, 6], [0, 2, 2, 2, 2, 2]]


@pytest.mark.parametrize(
    ("length", "factors", "chunk"),
    [(256, (8,), 16), (16384, (16, 32), 16), (64, (2,), 16), (256, (64, 128), 1), (256, (2,), 64)],
)
def test_filling_up_buckets_adds_at_most_half_of_the_rows(
    length: int, factors: tuple[int, ...], chunk: int
) -> None:
    rule = HashRule(torch.empty(0), factors, "strict", None)
    geometry = strict_geometry(Geometry(1, length, 2, 64, chunk=64, before=1), rule)
    assert geometry == Geometry(1, length, 2, 64, chunk, before=64 // chunk)
