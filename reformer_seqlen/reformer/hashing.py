"""Locality-sensitive hashing of shared query/key vectors (Reformer, arXiv:2001.04451, section 2).

Vectors that point the same way get the same bucket: each is multiplied with a random rotation and
its bucket is the index of the largest entry of [rotated, -rotated]. Every draw is a pure function
of (seed, step, layer), so a training resumes exactly and no layer shares its rotations.

Shapes: H heads, N tokens, D head size, R hash rounds, S sum of the factors' halves.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from reformer_seqlen.reformer.draws import Seed, mixed_seed, normal_numbers
from reformer_seqlen.runtime.messages import reformer as messages


def bucket_factors(num_buckets: int | Sequence[int]) -> tuple[int, ...]:
    """The factors of a number of buckets, checked: each must be even and positive."""
    factors = tuple(num_buckets) if isinstance(num_buckets, Sequence) else (num_buckets,)
    whole = all(isinstance(factor, int) for factor in factors)
    if not factors or not whole or any(factor < 2 or factor % 2 for factor in factors):
        raise messages.odd_buckets(num_buckets)
    return factors


def recommended_buckets(sequence_length: int, chunk_length: int) -> tuple[int, ...]:
    """About 2 x length / chunk buckets, a power of two, as the paper and stock transformers advise.

    A number above two chunk lengths is split into two factors: two small rotations cost less than
    one large one, and the time per token stays flat as the length grows.
    """
    exponent = max(1, (2 * (sequence_length // chunk_length)).bit_length() - 1)
    if 2**exponent <= 2 * chunk_length:
        return (2**exponent,)
    return (2 ** (exponent // 2), 2 ** (exponent - exponent // 2))


def rotation_seed(seed: int, step: int, layer: int) -> int:
    """The seed of a layer's rotations; stock transformers calls it `hash_seed`."""
    return mixed_seed(seed, step, layer)


def draw_rotations(seed: Seed, shape: tuple[int, int, int, int], like: Tensor) -> Tensor:
    """Random rotations (H, D, R, S) of one layer, on `like`'s device and in its type."""
    rotations = normal_numbers(seed, shape)
    return rotations.to(device=like.device, dtype=like.dtype, non_blocking=True)


@torch.no_grad()
def hash_vectors(vectors: Tensor, rotations: Tensor, factors: tuple[int, ...]) -> Tensor:
    """Buckets (H, N, R) of vectors (H, N, D), with rotations (H, D, R, S).

    The number of buckets is the product of the factors, each of which hashes by its own part of
    the rotations.
    """
    rounds = rotations.shape[2]
    rotated = torch.bmm(vectors, rotations.flatten(2)).unflatten(-1, (rounds, -1))  # H N R S
    buckets = torch.zeros(rotated.shape[:-1], dtype=torch.long, device=vectors.device)
    stride = 1
    for part in rotated.split([factor // 2 for factor in factors], dim=-1):
        # the largest of [part, -part] is the largest magnitude, in one half or the other
        index = part.abs().argmax(dim=-1)
        opposite = part.gather(-1, index.unsqueeze(-1)).squeeze(-1) < 0
        buckets += (index + part.shape[-1] * opposite) * stride
        stride *= 2 * part.shape[-1]
    return buckets
