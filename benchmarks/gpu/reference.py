"""The Reformer's arithmetic written plainly: every token against every other, in float64.

Nothing of `reformer_seqlen.reformer` is used but a model's weights and the numbers of its random
rotations, so that a mistake there shows as a difference from this.

Shapes: B batch, L length, M hidden size, V vocabulary, H heads, D head size, R hash rounds,
K = R x L, the tokens once for each round.
"""

import math
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from reformer_seqlen.reformer.hashing import bucket_factors, draw_rotations, rotation_seed
from reformer_seqlen.reformer.model import Reformer

ITSELF = -1e5  # the score of a query's own key: attended to only if there is no other
NEVER = -1e9


class Reference:
    """A model's double, which computes its logits without dropout.

    Attributes:
        model: holds the weights, in float64 on the CPU, and takes their gradients.
        buckets: of each lsh layer in the last pass, (B, H, R, L).
        other_units: share of real tokens' hidden units on which `units` was wrong in the last pass.
    """

    def __init__(self, model: Reformer, seed: int = 0, step: int = 0) -> None:
        self.model: Any = deepcopy(model).cpu().double()
        self.config: Any = model.config
        self.causality = model.causality
        self.draw = (seed, step)
        self.buckets: list[Tensor] = []
        self.other_units = 0.0

    def logits(self, ids: Tensor, real: Tensor, units: Sequence[Tensor] = ()) -> Tensor:
        """Logits (B, L, V) of ids (B, L).

        Args:
            ids: the tokens.
            real: (B, L), False where a token is padding.
            units: for each layer, True for the hidden units (B, L, F) that relu lets pass; those
                above 0 unless given.
        """
        self.buckets, others = [], []
        encoder, head = self.model.reformer.encoder, self.model.lm_head
        first = second = self._embedded(ids)
        for index, layer in enumerate(encoder.layers):
            first = first + self._attention(layer.attention, index, second, real)
            dense = layer.feed_forward
            hidden = dense.dense.dense(dense.layer_norm(first))
            passing = units[index] if units else hidden > 0
            others.append((passing != (hidden > 0))[real].double().mean())
            second = second + dense.output.dense(hidden * passing)
        self.other_units = float(torch.stack(others).mean())
        both = encoder.layer_norm(torch.cat([first, second], dim=-1))
        result: Tensor = F.linear(both, head.decoder.weight) + head.bias
        return result

    def _embedded(self, ids: Tensor) -> Tensor:
        embeddings = self.model.reformer.embeddings
        words, tables = embeddings.word_embeddings(ids), embeddings.position_embeddings
        positions = torch.arange(ids.shape[1])
        if not self.config.axial_pos_embds:
            vectors = tables.embedding.weight[positions]
        else:
            rows, columns = tables.weights  # (rows, 1, m), (1, columns, m')
            width = columns.shape[1]
            parts = rows[positions // width, 0], columns[0, positions % width]
            vectors = torch.cat(parts, dim=-1)
        embedded: Tensor = words + vectors
        return embedded

    def _attention(self, module: Any, index: int, inputs: Tensor, real: Tensor) -> Tensor:
        attention, normed = module.self_attention, module.layer_norm(inputs)
        heads = attention.num_attention_heads

        def by_head(dense: Any) -> Tensor:
            projected: Tensor = dense(normed).unflatten(-1, (heads, -1)).transpose(1, 2)
            return projected  # B H L D

        if self.config.attn_layers[index] == "local":
            queries, keys = by_head(attention.query), by_head(attention.key)
            outputs = local_attention(queries, keys, by_head(attention.value), real, attention)
        else:
            shared, values = by_head(attention.query_key), by_head(attention.value)
            outputs = self._hashed(index, shared, values, real, attention)
        attended: Tensor = module.output.dense(outputs.transpose(1, 2).flatten(2))
        return attended

    def _hashed(
        self, index: int, shared: Tensor, values: Tensor, real: Tensor, attention: Any
    ) -> Tensor:
        chunk, reach = attention.chunk_length, attention.num_chunks_before
        buckets = self._find_buckets(index, shared.detach(), real)
        self.buckets.append(buckets)
        if self.causality == "strict":
            return strict_attention(shared, values, buckets, reach * chunk)
        return published_attention(shared, values, buckets, real, chunk, reach)

    def _find_buckets(self, index: int, vectors: Tensor, real: Tensor) -> Tensor:
        """Buckets (B, H, R, L): the direction, of a random few, that a vector points most along."""
        factors = bucket_factors(self.config.lsh_num_buckets)
        shape = (vectors.shape[1], vectors.shape[3], self.config.num_hashes, sum(factors) // 2)
        rotations = draw_rotations(rotation_seed(*self.draw, index), shape, vectors)
        rotated = torch.einsum("bhld,hdrs->bhrls", vectors, rotations)
        buckets, stride = torch.zeros(rotated.shape[:-1], dtype=torch.long), 1
        for part in rotated.split([factor // 2 for factor in factors], dim=-1):
            buckets += stride * torch.cat([part, -part], dim=-1).argmax(-1)
            stride *= 2 * part.shape[-1]
        padding: Tensor = ~real[:, None, None]
        return buckets.masked_fill(padding, stride)  # which has a bucket of its own


def unit_keys(shared: Tensor) -> Tensor:
    """The keys of shared query/keys (..., D), which hold the scores' 1 / sqrt(D)."""
    mean_square = shared.square().mean(-1, keepdim=True)
    return shared * torch.rsqrt(mean_square + 1e-6) / math.sqrt(shared.shape[-1])


def local_attention(
    queries: Tensor, keys: Tensor, values: Tensor, real: Tensor, attention: Any
) -> Tensor:
    """A query sees the earlier tokens of its chunk and of those before it; all (B, H, L, D)."""
    position = torch.arange(queries.shape[2])
    query, key = position[:, None], position
    chunks = query // attention.chunk_length - key // attention.chunk_length
    near = (key <= query) & (chunks <= attention.num_chunks_before)
    allowed = near & (real[:, None, None] | (key == query))
    scores = queries @ keys.transpose(-1, -2) / math.sqrt(queries.shape[-1])
    scores = scores.masked_fill(~allowed, NEVER)
    return torch.softmax(scores, dim=-1) @ values


def strict_attention(shared: Tensor, values: Tensor, buckets: Tensor, reach: int) -> Tensor:
    """A query sees the last `reach` tokens before it in its bucket, in every round.

    Args:
        shared: queries, and keys before they are scaled, (B, H, L, D).
        values: (B, H, L, D).
        buckets: (B, H, R, L).
        reach: tokens.
    """
    position = torch.arange(shared.shape[2])
    earlier = position < position[:, None]
    same = (buckets[..., :, None] == buckets[..., None, :]) & earlier  # B H R L L
    rank = same.sum(-1)  # in the bucket
    allowed = same & (rank[..., :, None] - rank[..., None, :] <= reach)
    scores = (shared @ unit_keys(shared).transpose(-1, -2))[:, :, None]  # B H 1 L L
    scores = scores + ITSELF * torch.eye(len(position), dtype=scores.dtype)
    allowed = allowed | torch.eye(len(position), dtype=torch.bool)
    scores = scores.masked_fill(~allowed, NEVER)  # B H R L L
    return mean_of_rounds(torch.softmax(scores, -1) @ values[:, :, None], scores.logsumexp(-1))


def published_attention(
    shared: Tensor, values: Tensor, buckets: Tensor, real: Tensor, chunk: int, reach: int
) -> Tensor:
    """A query sees the earlier tokens in its chunk of the hash order and in `reach` before it.

    The chunks are cut from the tokens sorted by round, bucket and position, and the first one
    follows the last one. Arguments as for `strict_attention`, and real (B, L).
    """
    rounds, length = buckets.shape[2:]
    place = buckets.argsort(dim=-1, stable=True).argsort(dim=-1)  # B H R L
    place = place + torch.arange(rounds)[:, None] * length
    chunks = place.flatten(2) // chunk  # B H K
    count = rounds * length // chunk
    behind = (chunks[..., :, None] - chunks[..., None, :]) % count
    position = torch.arange(length).repeat(rounds)
    query, key = position[:, None], position
    allowed = (behind <= reach) & (key <= query) & real.repeat(1, rounds)[:, None, None]
    tokens, keys = shared.repeat(1, 1, rounds, 1), unit_keys(shared).repeat(1, 1, rounds, 1)
    scores = (tokens @ keys.transpose(-1, -2)).masked_fill(~allowed, NEVER)  # B H K K
    own = (key == query) & (behind <= reach)
    scores = scores.masked_fill(own, ITSELF)
    # a chunk that is not in the window is not even masked: it is not there
    scores = scores.masked_fill(behind > reach, -torch.inf)
    outputs = torch.softmax(scores, -1) @ values.repeat(1, 1, rounds, 1)
    by_round = (rounds, length)
    return mean_of_rounds(
        outputs.unflatten(2, by_round), scores.logsumexp(-1).unflatten(2, by_round)
    )


def mean_of_rounds(outputs: Tensor, sums: Tensor) -> Tensor:
    """Outputs (B, H, R, L, D) weighted by the sums (B, H, R, L) of what each round's scores give.

    The weights alone are in float32, as stock's are: where a query finds only itself in every
    round, all sums are near -1e5, where float32 gives each of four rounds 0.249 instead of 0.25.
    """
    single = sums.float()
    weights = torch.exp(single - single.logsumexp(2, keepdim=True)).double()
    return (weights.unsqueeze(-1) * outputs).sum(2)
