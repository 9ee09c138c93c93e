"""Generation token by token: a cache of the past, and the attention of one new token to it.

Only for strictly causal attention, where what a token attends to never changes later. A new token
then attends to exactly what it would in a parallel pass over the whole text.

Shapes: B batch, H heads, D head size, R hash rounds, T tokens so far, T' those still in reach.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from reformer_seqlen.reformer.chunked_attention import MASKED, ONLY_ITSELF, Geometry
from reformer_seqlen.reformer.hashed_attention import round_weights, unit_keys
from reformer_seqlen.reformer.hashing import hash_vectors


class LocalPast(NamedTuple):
    """A local layer's cache, of the tokens that later ones may still attend to."""

    keys: Tensor  # B H T' D
    values: Tensor  # B H T' D


class LshPast(NamedTuple):
    """An lsh layer's cache, of all tokens."""

    keys: Tensor  # B H T D
    values: Tensor  # B H T D
    buckets: Tensor  # B H R T


class GenerationCache:
    """Every layer's cache, and the rotations that give its buckets."""

    def __init__(
        self, length: int, real: Tensor | None, rotations: dict[int, Tensor],
        factors: tuple[int, ...],
    ) -> None:  # fmt: skip
        self.length, self.real = length, real
        self.rotations, self.factors = rotations, factors
        self.layers: list[LocalPast | LshPast] = []

    def fill_local(self, projected: Tensor, geometry: Geometry) -> None:
        """Cache a local layer's projections (B * padded length, 3*H*D) of a parallel pass."""
        parts = projected.view(geometry.batch, -1, 3, geometry.heads, geometry.size)
        _, keys, values = parts[:, : self.length].permute(2, 0, 3, 1, 4)
        self.layers.append(LocalPast(keys, values))

    def fill_lsh(self, projected: Tensor, buckets: Tensor, geometry: Geometry) -> None:
        """Cache an lsh layer's projections (B * padded length, H*2*D) of a parallel pass."""
        parts = projected.view(geometry.batch, -1, geometry.heads, 2, geometry.size)
        shared, values = parts[:, : self.length].permute(3, 0, 2, 1, 4)
        self.layers.append(LshPast(unit_keys(shared)[0], values, buckets[..., : self.length]))

    def advance(self) -> None:
        """Count one more token, which is no padding."""
        self.length += 1
        if self.real is not None:
            self.real = F.pad(self.real, (0, 1), value=True)

    def reorder_cache(self, beams: Tensor) -> None:
        """Keep the texts of these beams; transformers' beam search calls it by this name."""
        self.layers = [
            type(past)(*(tensor.index_select(0, beams) for tensor in past)) for past in self.layers
        ]
        if self.real is not None:
            self.real = self.real.index_select(0, beams)

    def get_seq_length(self, _: int | None = 0) -> int:
        """Tokens so far."""
        return self.length


def local_step(cache: GenerationCache, index: int, projected: Tensor, attention: Any) -> Tensor:
    """Outputs (B, H*D) of the newest token, from its projections (B, 3*H*D)."""
    heads, size = attention.num_attention_heads, attention.attention_head_size
    query, key, value = projected.view(-1, 3, heads, 1, size).unbind(1)  # B H 1 D
    past = cache.layers[index]
    keys, values = torch.cat([past.keys, key], 2), torch.cat([past.values, value], 2)
    position = cache.length
    chunk = attention.chunk_length
    visible = position + 1 - max(0, (position // chunk - attention.num_chunks_before) * chunk)
    keys, values = keys[:, :, -visible:], values[:, :, -visible:]
    cache.layers[index] = LocalPast(keys, values)
    scores = query @ keys.transpose(-1, -2)  # B H 1 T'
    if cache.real is not None:
        hidden = ~F.pad(cache.real, (0, 1), value=True)[:, -visible:]
        scores = scores.masked_fill(hidden[:, None, None], MASKED)
    return (torch.softmax(scores, -1) @ values).flatten(1)


def lsh_step(cache: GenerationCache, index: int, projected: Tensor, attention: Any) -> Tensor:
    """Outputs (B, H*D) of the newest token, from its projections (B, H*2*D)."""
    heads, size = attention.num_attention_heads, attention.attention_head_size
    query, value = projected.view(-1, heads, 2, size).unbind(2)  # B H D
    bucket = hash_vectors(query.transpose(0, 1), cache.rotations[index], cache.factors)
    bucket = bucket.transpose(0, 1).unsqueeze(-1)  # B H R 1
    past = cache.layers[index]
    assert isinstance(past, LshPast)
    key = unit_keys(query)[0]
    same = past.buckets == bucket  # B H R T
    newer = same.flip(-1).cumsum(-1).flip(-1)  # in the bucket, itself included
    seen = same & (newer <= attention.num_chunks_before * attention.chunk_length)
    scores = torch.einsum("bhd,bhtd->bht", query, past.keys).unsqueeze(2)  # B H 1 T
    scores = scores.expand(seen.shape).masked_fill(~seen, MASKED)
    itself = (query * key).sum(-1) + ONLY_ITSELF
    itself = itself[:, :, None, None].expand(*seen.shape[:-1], 1)
    scores = torch.cat([scores, itself], -1)  # B H R T+1
    past = LshPast(
        torch.cat([past.keys, key.unsqueeze(2)], 2),
        torch.cat([past.values, value.unsqueeze(2)], 2),
        torch.cat([past.buckets, bucket], -1),
    )
    cache.layers[index] = past
    outputs = torch.softmax(scores, -1) @ past.values  # B H R D
    weights = round_weights(scores.float().logsumexp(-1)).to(outputs.dtype)  # B H R
    return (outputs * weights.unsqueeze(-1)).sum(2).flatten(1)
