"""Dropout whose masks are a pure function of a number: the same for a recompute or a resume.

torch's own dropout draws one Bernoulli number after the other, a quarter of stock Reformer's
training time. Here four elements share one 64-bit random word, and masks are made and used block
by block, so that they never leave the processor's cache.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

_LEVELS = 1 << 16  # probabilities are multiples of 1 / 65536
_BLOCK = 1 << 17  # elements whose mask is made at a time; any multiple of 4 gives the same masks


def _random_words(seed: int, device: torch.device) -> Any:
    """A function from a number of 64-bit words to as many new ones, seen as 16-bit numbers.

    On the CPU they are numpy's SFC64, whose stream is guaranteed never to change; elsewhere the
    device's own.
    """
    if device.type == "cpu":
        source = np.random.SFC64(seed)
        return lambda words: torch.from_numpy(source.random_raw(words).view(np.int16))
    generator = torch.Generator(device).manual_seed(seed)

    def draw(words: int) -> Tensor:
        empty = torch.empty(words, dtype=torch.int64, device=device)
        return empty.random_(-(2**63), None, generator=generator).view(torch.int16)

    return draw


def _threshold(probability: float) -> int:
    return round(probability * _LEVELS)


def kept_scale(probability: float) -> float:
    """What kept elements are multiplied with."""
    return _LEVELS / (_LEVELS - _threshold(probability))


def _mask_blocks(
    seed: int, probability: float, like: Tensor, *tensors: Tensor
) -> Iterator[tuple[Tensor, ...]]:
    """Go through tensors of one shape in blocks, each with its mask of 0 and 1 in like's type."""
    draw = _random_words(seed, like.device)
    block = _BLOCK if like.device.type == "cpu" else like.numel()
    limit = _threshold(probability) - _LEVELS // 2
    for parts in zip(*(tensor.view(-1).split(block) for tensor in tensors), strict=True):
        count = parts[0].numel()
        # comparing in place makes 0 and 1 of the same type, several times faster than bool
        kept = draw(-(-count // 4))[:count].ge_(limit).to(like.dtype)
        yield kept, *parts


def keep_mask(seed: int, shape: torch.Size, probability: float, like: Tensor) -> Tensor:
    """A mask in `like`'s type: 1 / (1 - p) where kept, 0 where dropped with probability p."""
    mask = like.new_empty(shape)
    for kept, part in _mask_blocks(seed, probability, mask, mask):
        torch.mul(kept, kept_scale(probability), out=part)
    return mask


def multiply_kept_(values: Tensor, probability: float, seed: int, scale: float) -> Tensor:
    """Multiply values with scale where kept, and with 0 where dropped, in place."""
    for kept, part in _mask_blocks(seed, probability, values, values):
        part.mul_(kept.mul_(scale))
    return values


def dropped_probabilities(values: Tensor, probability: float, seed: int | None) -> Tensor:
    """Dropout of `values` without a gradient; the same tensor without a seed or at p = 0."""
    if seed is None or probability == 0:
        return values
    result = torch.empty_like(values)
    scale = kept_scale(probability)
    for kept, part, out in _mask_blocks(seed, probability, values, values, result):
        torch.mul(part, kept.mul_(scale), out=out)
    return result


class _Dropped(torch.autograd.Function):
    """dropout(values), in place; the mask is drawn again for the gradient, not kept."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, probability: float, seed: int) -> Tensor:
        ctx.probability, ctx.seed = probability, seed
        ctx.mark_dirty(values)
        return multiply_kept_(values, probability, seed, kept_scale(probability))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        scale = kept_scale(ctx.probability)
        gradient = gradient.clone(memory_format=torch.contiguous_format)
        return multiply_kept_(gradient, ctx.probability, ctx.seed, scale), None, None


def dropped_(values: Tensor, probability: float, seed: int | None) -> Tensor:
    """dropout(values), in place where there is something to drop."""
    if seed is None or probability == 0:
        return values
    result: Tensor = _Dropped.apply(values, probability, seed)
    return result


class _AddDropped(torch.autograd.Function):
    """stream + dropout(branch); the mask is drawn again for the gradient, not kept."""

    @staticmethod
    def forward(ctx: Any, stream: Tensor, branch: Tensor, probability: float, seed: int) -> Tensor:
        ctx.probability, ctx.seed, ctx.dtype = probability, seed, branch.dtype
        scale = kept_scale(probability)
        result = torch.empty_like(stream)
        blocks = _mask_blocks(seed, probability, branch, stream, branch, result)
        for kept, old, new, out in blocks:
            torch.add(old, new * kept, alpha=scale, out=out)
        return result

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        gradient = gradient.contiguous()
        branch = torch.empty_like(gradient, dtype=ctx.dtype)
        scale = kept_scale(ctx.probability)
        for kept, part, out in _mask_blocks(ctx.seed, ctx.probability, branch, gradient, branch):
            torch.mul(part, kept.mul_(scale), out=out) if out.dtype == part.dtype else out.copy_(
                part
            ).mul_(kept.mul_(scale))
        return gradient, branch, None, None


def add_dropped(stream: Tensor, branch: Tensor, probability: float, seed: int | None) -> Tensor:
    """stream + dropout(branch)."""
    if seed is None or probability == 0:
        return stream + branch
    result: Tensor = _AddDropped.apply(stream, branch, probability, seed)
    return result


class _ReluDropped(torch.autograd.Function):
    """dropout(relu(values)), in place. What is above 0 afterwards says where gradients pass."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, probability: float, seed: int | None) -> Tensor:
        values.relu_()
        ctx.scale = 1.0
        if seed is not None and probability > 0:
            ctx.scale = kept_scale(probability)
            multiply_kept_(values, probability, seed, ctx.scale)
        ctx.mark_dirty(values)
        ctx.save_for_backward(values)
        return values

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (values,) = ctx.saved_tensors
        passed = torch.ops.aten.threshold_backward(gradient, values, 0)
        return passed.mul_(ctx.scale) if ctx.scale != 1 else passed, None, None


def relu_dropped_(values: Tensor, probability: float, seed: int | None) -> Tensor:
    """dropout(relu(values)), in place; the same as relu(dropout(values))."""
    result: Tensor = _ReluDropped.apply(values, probability, seed)
    return result
