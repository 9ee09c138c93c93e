"""Gradients written by hand are those of finite differences, dropout included."""

from typing import Any

import pytest
import torch
from torch import Tensor

from reformer_seqlen.reformer.chunked_attention import Geometry, LocalAttention, local_bias
from reformer_seqlen.reformer.dense import DenseAdd, NormedDense, relu_dropped_
from reformer_seqlen.reformer.dropout import Dropout, dropped_
from reformer_seqlen.reformer.hash_order import HashRule, strict_geometry
from reformer_seqlen.reformer.hashed_attention import HashedAttention

GEOMETRY = Geometry(batch=2, length=16, heads=2, size=3, chunk=4, before=1)
DROPPED = [0.0, 0.4]


def numbers(*shape: int) -> Tensor:
    """The same normal numbers each time, in float64, to be differentiated by."""
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(shape, dtype=torch.float64, generator=generator).requires_grad_()


def check(function: Any, *inputs: Tensor, tolerance: float = 1e-3) -> None:
    # keys are scaled by factors in float32, which shorter steps would show
    assert torch.autograd.gradcheck(function, inputs, eps=1e-3, atol=tolerance)


@pytest.mark.slow
@pytest.mark.parametrize("probability", DROPPED)
@pytest.mark.parametrize("padded", [False, True])
def test_local_attention(padded: bool, probability: float) -> None:
    real = torch.arange(16).expand(2, 16) >= 3 if padded else None
    lead, heads, size = GEOMETRY.chunk, GEOMETRY.heads, GEOMETRY.size
    projected = numbers(lead + 2 * 16, 3 * heads * size)
    bias = local_bias(GEOMETRY, real, projected)
    dropouts = [Dropout(probability, seed) for seed in range(heads)]
    check(lambda rows: LocalAttention.apply(rows, bias, GEOMETRY, dropouts), projected)


@pytest.mark.slow
@pytest.mark.parametrize("probability", DROPPED)
@pytest.mark.parametrize("rounds", [1, 2])
@pytest.mark.parametrize("causality", ["strict", "published"])
def test_hashed_attention(causality: Any, rounds: int, probability: float) -> None:
    rule = HashRule(torch.empty(0), (4,), causality, None)
    geometry = strict_geometry(GEOMETRY, rule) if causality == "strict" else GEOMETRY
    generator = torch.Generator().manual_seed(0)
    buckets = torch.randint(4, (2, 2, rounds, 16), generator=generator)
    dropout = Dropout(probability, 1)
    check(
        lambda rows: HashedAttention.apply(rows, buckets, rule, geometry, dropout),
        numbers(2 * 16, 2 * 2 * 3),
        # rounds are weighed by scores in float32: of a token that sees itself alone, near -1e5
        tolerance=2e-2 if causality == "strict" and rounds > 1 else 1e-3,
    )


@pytest.mark.parametrize("probability", DROPPED)
def test_dense_layers(probability: float) -> None:
    tokens, stream = numbers(5, 4), numbers(5, 6)
    dropout = Dropout(probability, 2)
    check(
        lambda *inputs: NormedDense.apply(*inputs, 1e-5, 2),
        tokens, numbers(4), numbers(4), numbers(6, 4), numbers(6),
    )  # fmt: skip
    check(
        lambda *inputs: DenseAdd.apply(*inputs, dropout, 1.5),
        stream, tokens, numbers(6, 4), numbers(6),
    )  # fmt: skip


@pytest.mark.parametrize("probability", DROPPED)
def test_dropout(probability: float) -> None:
    dropout = Dropout(probability, 3)
    check(lambda values: dropped_(values.clone(), dropout), numbers(5, 4))
    check(lambda values: relu_dropped_(values.clone(), dropout), numbers(5, 4))
