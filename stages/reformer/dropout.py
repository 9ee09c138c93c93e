"""Dropout whose masks are a pure function of a number: the same for a recompute or a resume.

torch's own dropout draws one Bernoulli number after the other, a quarter of stock Reformer's
training time. Here eight elements share one 64-bit random word: an element is dropped where its
byte is below a threshold.
"""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor


class Dropout:
    """Draws one mask, a pure function of its seed."""

    def __init__(self, probability: float, seed: int) -> None:
        self.probability, self.seed = probability, seed
        self.scale = 1 / (1 - probability)  # of what is kept

    def bits(self, shape: torch.Size, device: torch.device) -> Tensor:
        """Bytes, 1 where kept and 0 where dropped.

        The threshold is one of the two whole numbers around 256 p, drawn such that every element
        is dropped with probability p. On the CPU the bytes are numpy's SFC64, whose stream is
        guaranteed never to change; elsewhere they are the device's own.
        """
        count = shape.numel()
        words = -(-count // 8)
        source = np.random.SFC64(self.seed)
        threshold = math.floor(256 * self.probability + source.random_raw() / 2**64)
        if device.type == "cpu":
            random = torch.from_numpy(source.random_raw(words))
        elif device.type == "meta":  # a prediction of memory has no numbers
            random = torch.empty(words, dtype=torch.int64, device=device)
        else:
            generator = torch.Generator(device).manual_seed(self.seed)
            random = torch.empty(words, dtype=torch.int64, device=device)
            random.random_(-(2**63), None, generator=generator)
        # comparing in place makes 0 and 1 of the same type, several times faster than bool
        return random.view(torch.uint8)[:count].ge_(threshold).view(shape)

    def mask(self, like: Tensor) -> Tensor:
        """The bits as numbers of `like`'s type and shape."""
        return self.bits(like.shape, like.device).to(like.dtype)


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
    result: Tensor = _Dropped.apply(values, dropout)
    return result
