"""Dropout whose masks are pure functions of a seed: the same when recomputed or resumed.

torch's own dropout draws a Bernoulli number for every element, which takes a quarter of stock
Reformer's training time. `draws.kept_bits` draws masks from random bytes instead.
"""

from typing import Any

import torch
from torch import Tensor

from reformer_seqlen.reformer.draws import Seed, kept_bits


class Dropout:
    """Draws one mask, a pure function of its seed."""

    def __init__(self, probability: float, seed: Seed) -> None:
        self.probability, self.seed = probability, seed
        self.scale = 1 / (1 - probability)  # of what is kept, so that the mean stays

    def bits(self, shape: torch.Size, device: torch.device) -> Tensor:
        """Bytes, 1 where kept and 0 where dropped."""
        return kept_bits(self.seed, self.probability, shape, device)

    def mask(self, like: Tensor) -> Tensor:
        """The bits as numbers of `like`'s type and shape."""
        return self.bits(like.shape, like.device).to(like.dtype)


class RowDropout(Dropout):
    """Takes rows of a mask that is drawn in the order of the text.

    A mask that is drawn in the order of the hashes depends, at every token, on how later ones hash.
    """

    def __init__(self, drawn: Dropout, count: int, rows: Tensor) -> None:
        """Take `rows` (K,) of the `count` rows of a mask of `drawn`."""
        super().__init__(drawn.probability, drawn.seed)
        self.drawn, self.count, self.rows = drawn, count, rows

    def bits(self, shape: torch.Size, device: torch.device) -> Tensor:
        """Bytes of a shape (..., W) of K rows, 1 where kept and 0 where dropped."""
        bits = self.drawn.bits(torch.Size((self.count, shape[-1])), device)
        return bits.index_select(0, self.rows).view(shape)


class _Dropped(torch.autograd.Function):
    """dropout(values), in place."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, dropout: Dropout) -> Tensor:
        bits = dropout.bits(values.shape, values.device)
        ctx.scale = dropout.scale
        ctx.save_for_backward(bits)
        ctx.mark_dirty(values)
        return values.mul_(bits.to(values.dtype).mul_(dropout.scale))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (bits,) = ctx.saved_tensors
        return bits.to(gradient.dtype).mul_(ctx.scale).mul_(gradient), None


def dropped_(values: Tensor, dropout: Dropout) -> Tensor:
    """dropout(values), in place."""
    if not dropout.probability:
        return values
    if torch.compiler.is_compiling():  # which decides itself what to do in place
        return values * dropout.mask(values).mul_(dropout.scale)
    result: Tensor = _Dropped.apply(values, dropout)
    return result
