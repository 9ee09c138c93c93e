"""What a model decides by a hair, so that what it is compared with can decide alike.

A rounded number may put a vector into another bucket, or a hidden unit to the other side of 0.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import torch
from torch import Tensor

from reformer_seqlen.reformer import hash_order, layers
from reformer_seqlen.reformer.dense import relu_dropped_
from reformer_seqlen.reformer.dropout import Dropout
from reformer_seqlen.reformer.hashing import hash_vectors


class Hashes:
    """Buckets for a model to take instead of its own, which are counted where they differ.

    Attributes:
        position: of the first token of the pass, for generation.
    """

    def __init__(self, buckets: list[Tensor]) -> None:
        self.buckets, self.position = buckets, 0
        self._passes = self._other = self._all = 0

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Within the block, models take these buckets."""
        with patch.object(hash_order, "hash_vectors", self._take):
            yield

    @property
    def others(self) -> float:
        """The share of the vectors that the model would have put into another bucket."""
        return self._other / self._all if self._all else 0.0

    def _take(self, vectors: Tensor, rotations: Tensor, factors: tuple[int, ...]) -> Tensor:
        """Buckets (H, N, R) of vectors (H, N, D), which are those of the next lsh layer."""
        own = hash_vectors(vectors, rotations, factors)
        buckets = self.buckets[self._passes % len(self.buckets)]  # B H R L
        self._passes += 1
        count = own.shape[1] // len(buckets)
        buckets = buckets[..., self.position : self.position + count]
        taken = buckets.permute(1, 0, 3, 2).flatten(1, 2).to(own.device)
        hashed = taken < 8  # the others are padding's
        self._other += int((own != taken)[hashed].sum())
        self._all += int(hashed.sum())
        return taken


class Units:
    """Which hidden units of each layer pass relu, as a model decides it in its forward pass.

    Attributes:
        passing: (B, L, F) of each layer, on the CPU.
    """

    def __init__(self, shape: torch.Size, count: int) -> None:
        self.passing: list[Tensor] = []
        self._shape, self._count = shape, count

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Within the block, what models decide is kept."""
        with patch.object(layers, "relu_dropped_", self._watch):
            yield

    def _watch(self, values: Tensor, dropout: Dropout) -> Tensor:
        result = relu_dropped_(values, dropout)
        if len(self.passing) < self._count:  # a layer may be computed again for its gradients
            self.passing.append((result.detach() > 0).view(*self._shape, -1).cpu())
        return result
