"""Random numbers that are pure functions of a seed, inside torch.compile, too.

The compiler takes Python's integers for constants, and would compile again for every seed. So a
seed may also be a tensor, from which custom operators, which the compiler does not trace, draw the
numbers. Both kinds of seed give the same numbers.
"""

import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor, library

Seed: TypeAlias = int | Tensor
"""A number, or an int64 tensor (parts,) on the CPU that stands for `mixed_seed(*parts)`."""

_MASK_64 = (1 << 64) - 1


def mixed_seed(*parts: int) -> int:
    """One 63-bit seed of several numbers, by splitmix64's finalizer (Steele et al. 2014)."""
    state = 0
    for part in parts:
        state = (state + part + 0x9E3779B97F4A7C15) & _MASK_64
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK_64
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK_64
        state ^= state >> 31
    return state >> 1


def seed_of(parts: Tensor, *more: int) -> Seed:
    """mixed_seed(*parts, *more): a tensor inside torch.compile, a number outside."""
    if torch.compiler.is_compiling():
        return derived_seed(parts, *more)
    return mixed_seed(*parts.tolist(), *more)


def derived_seed(seed: Seed, *parts: int) -> Seed:
    """mixed_seed(seed, *parts), of the same kind as `seed`."""
    return mixed_seed(seed, *parts) if isinstance(seed, int) else _derived_seed(seed, parts)


@library.custom_op("reformer_seqlen::derived_seed", mutates_args=())
def _derived_seed(seed: Tensor, parts: Sequence[int]) -> Tensor:
    return torch.tensor([mixed_seed(*seed.tolist(), *parts)], device="cpu")


@_derived_seed.register_fake
def _(seed: Tensor, parts: Sequence[int]) -> Tensor:
    return seed.new_empty(1)


def normal_numbers(seed: Seed, shape: Sequence[int]) -> Tensor:
    """Normally distributed numbers in float32, drawn on the CPU: the same for every device.

    They come from a generator of their own: the global one's state does not change.
    """
    if isinstance(seed, Tensor):
        numbers: Tensor = _normal_numbers(seed, shape)
        return numbers
    return torch.empty(shape, device="cpu").normal_(generator=torch.Generator().manual_seed(seed))


@library.custom_op("reformer_seqlen::normal_numbers", mutates_args=())
def _normal_numbers(seed: Tensor, shape: Sequence[int]) -> Tensor:
    return normal_numbers(int(seed.item()), shape)


@_normal_numbers.register_fake
def _(seed: Tensor, shape: Sequence[int]) -> Tensor:
    return seed.new_empty(shape, dtype=torch.float32)


def kept_bits(seed: Seed, probability: float, shape: Sequence[int], device: torch.device) -> Tensor:
    """Bytes, 1 where dropout keeps and 0 where it drops.

    Eight elements share one 64-bit random word: an element is dropped where its byte is below a
    threshold, one of the two whole numbers around 256 p, drawn such that every element is dropped
    with probability p. On the CPU the bytes are numpy's SFC64, whose stream is guaranteed never
    to change; elsewhere they are the device's own.
    """
    if isinstance(seed, Tensor):
        bits: Tensor = _kept_bits(seed, probability, shape, device)
        return bits
    count = math.prod(shape)
    words = -(-count // 8)
    source = np.random.SFC64(seed)
    threshold = math.floor(256 * probability + source.random_raw() / 2**64)
    if device.type == "cpu":
        random = torch.from_numpy(source.random_raw(words))
    elif device.type == "meta":  # memory is predicted without values
        random = torch.empty(words, dtype=torch.int64, device=device)
    else:
        generator = torch.Generator(device).manual_seed(seed)
        random = torch.empty(words, dtype=torch.int64, device=device)
        random.random_(-(2**63), None, generator=generator)
    # comparing in place makes 0 and 1 of the same type, several times faster than bool
    return random.view(torch.uint8)[:count].ge_(threshold).view(*shape)


@library.custom_op("reformer_seqlen::kept_bits", mutates_args=())
def _kept_bits(
    seed: Tensor, probability: float, shape: Sequence[int], device: torch.device
) -> Tensor:
    return kept_bits(int(seed.item()), probability, shape, device)


@_kept_bits.register_fake
def _(seed: Tensor, probability: float, shape: Sequence[int], device: torch.device) -> Tensor:
    return torch.empty(shape, dtype=torch.uint8, device=device)
