"""The order that hashing sorts tokens into, and which tokens attend to which in it.

Read `strict_order` and `published_order` first: the two rules of attention.

Shapes: B batch, H heads, L length, N = B x L tokens, D head size, R hash rounds, C chunk length,
W window = C x (1 + chunks before), K sorted rows of a head, X all chunks of a batch.
"""

from math import prod
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from reformer_seqlen.reformer.chunked_attention import MASKED, ONLY_ITSELF, Geometry, windows
from reformer_seqlen.reformer.hashing import hash_vectors

Causality = Literal["strict", "published"]


class HashFunction(NamedTuple):
    """A layer's hash function, for texts that have another one than the longest."""

    texts: Tensor  # (B,), True for these texts
    rotations: Tensor  # (H, D, R, sum of the factors' halves)
    factors: tuple[int, ...]  # whose product is the number of buckets


class HashRule(NamedTuple):
    """How an lsh layer hashes, and which tokens attend to which."""

    rotations: Tensor  # as in HashFunction
    factors: tuple[int, ...]
    causality: Causality
    real: Tensor | None  # (B, L), False where a token is padding
    shorter: tuple[HashFunction, ...] = ()  # with fewer buckets

    def part(self, texts: slice | Tensor) -> "HashRule":
        """The same for some texts of the batch."""
        return self._replace(
            real=None if self.real is None else self.real[texts],
            shorter=tuple(each._replace(texts=each.texts[texts]) for each in self.shorter),
        )


class HashOrder(NamedTuple):
    """Tokens sorted by (round, bucket, position); chunks are cut from this order."""

    rows: Tensor  # B H K, rows of (N*H, ...) in sorted order
    ranks: Tensor  # N H R, where in the sorted rows a token of a head is
    scores: Tensor  # X C W, the mask: is added to the product of queries and keys
    itself: Tensor | None  # X C W, where a query meets its own key: scores become ONLY_ITSELF
    wrap: int  # how many of a head's K rows, the first ones, are copies of its last ones


def hash_order(
    buckets: Tensor, rule: HashRule, geometry: Geometry, dtype: torch.dtype
) -> HashOrder:
    """Sort positions by buckets (B, H, R, L), and say which attend to which."""
    if rule.causality == "strict":
        return strict_order(buckets, rule, geometry, dtype)
    return published_order(buckets, rule, geometry, dtype)


def strict_geometry(geometry: Geometry, rule: HashRule) -> Geometry:
    """The same layout with shorter chunks, whose windows reach back over as many tokens.

    `strict_order` pads the last chunk of every bucket. The chunks are the longest for which the
    padding adds at most half of the rows; shorter windows make up for the added rows. With as many
    buckets as tokens, a chunk is a single query, and a training pass takes 2 (float32) to 8 times
    (bfloat16) as long in these layers.
    """
    lead = geometry.before * geometry.chunk
    chunk = max(
        chunk
        for chunk in range(1, geometry.chunk + 1)
        if geometry.chunk % chunk == 0
        and _most_buckets(geometry, rule) * (chunk - 1) <= geometry.length // 2
    )
    return geometry._replace(chunk=chunk, before=lead // chunk)


def _most_buckets(geometry: Geometry, rule: HashRule) -> int:
    """How many buckets can hold a token at most; padding has a bucket of its own."""
    return min(geometry.length, prod(rule.factors) + (rule.real is not None))


def strict_order(
    buckets: Tensor, rule: HashRule, geometry: Geometry, dtype: torch.dtype
) -> HashOrder:
    """The strict rule: a query attends to the last `before` x C tokens before it in its bucket.

    Which earlier tokens share a bucket does not depend on later ones, and a bucket's tokens are
    sorted by position. Every bucket begins a new chunk, and fillers pad its last one. So neither
    what a query attends to nor where in its window that is depends on the future: sums are the
    same to the last digit, in whatever order a processor adds.

    Fillers are copies of a text's first token. A filler attends to itself alone and no token
    attends to it; no rank points at it, and its gradient is 0.
    """
    rounds = buckets.shape[2]
    sorted_buckets, order = torch.sort(buckets, dim=-1, stable=True)
    places, begins = chunk_aligned(sorted_buckets, geometry.chunk)
    most = geometry.length + _most_buckets(geometry, rule) * (geometry.chunk - 1)
    span = most // geometry.chunk * geometry.chunk  # K / R, whatever the buckets are
    itself = torch.arange(span, device=buckets.device).expand(*order.shape[:3], span)
    bucket_start = itself.scatter(-1, places, begins)  # B H R K/R
    positions = torch.zeros_like(bucket_start).scatter_(-1, places, order)
    places = places + torch.arange(rounds, device=buckets.device).unsqueeze(-1) * span
    return HashOrder(
        _token_rows(positions.flatten(2), geometry),
        _ranks(order, places, rounds * span),
        strict_scores(bucket_start, geometry, dtype),
        itself=None,
        wrap=0,
    )


def chunk_aligned(sorted_buckets: Tensor, chunk: int) -> tuple[Tensor, Tensor]:
    """Places of sorted tokens if every bucket begins at a multiple of `chunk`, and its beginning.

    Example: buckets (0, 0, 0, 1, 1) and chunks of 2 give places (0, 1, 2, 4, 5) and beginnings
    (0, 0, 0, 4, 4).

    Args:
        sorted_buckets: (..., L), ascending.
        chunk: rows of a chunk.

    Returns:
        Each token's place, and the place of its bucket's first token, both (..., L).
    """
    rank = torch.arange(sorted_buckets.shape[-1], device=sorted_buckets.device)
    starts = F.pad(sorted_buckets.diff(dim=-1) != 0, (1, 0))
    begin = torch.cummax(rank * starts, dim=-1).values
    # at the first token of a bucket: how many rows pad the bucket before it
    fillers = starts * ((F.pad(begin[..., :-1], (1, 0)) - rank) % chunk)
    shift = fillers.cumsum(-1)
    return rank + shift, begin + shift


def strict_scores(bucket_start: Tensor, geometry: Geometry, dtype: torch.dtype) -> Tensor:
    """The mask (X, C, W), from the first row (B, H, R, K/R) of the bucket that each row is in."""
    chunk, device = geometry.chunk, bucket_start.device
    lead = geometry.before * chunk
    row = torch.arange(bucket_start.shape[-1], device=device)
    lowest = torch.maximum(bucket_start, row - lead) - (row // chunk * chunk - lead)
    lowest = (lowest * -MASKED).to(torch.float32).view(-1, chunk, 1)  # X C 1
    key = torch.arange(geometry.window, device=device)
    own = torch.arange(chunk, device=device).unsqueeze(-1) + lead
    past = torch.zeros(chunk, geometry.window, device=device)
    past.masked_fill_(key > own, MASKED).masked_fill_(key == own, ONLY_ITSELF)
    # 0 or more from `lowest` on; in float32, as bfloat16 rounds whole numbers above 256
    scores = (key * -MASKED).to(torch.float32) - lowest
    return torch.minimum(scores, past, out=scores).to(dtype)


def published_order(
    buckets: Tensor, rule: HashRule, geometry: Geometry, dtype: torch.dtype
) -> HashOrder:
    """The published rule: a query attends to all earlier tokens in its window, whatever the bucket.

    The windows are cut from the order of all positions, so which earlier ones fall into a query's
    window depends on how later tokens hash. This is not causal.
    """
    rounds, length = buckets.shape[2:]
    order = torch.sort(buckets, dim=-1, stable=True).indices
    wrap = geometry.before * geometry.chunk
    flat = order.flatten(2)  # B H R*L
    flat = torch.cat([flat[..., flat.shape[-1] - wrap :], flat], dim=-1)  # B H K
    places = wrap + torch.arange(rounds * length, device=buckets.device).view(rounds, length)
    scores, itself = published_scores(flat, rule.real, geometry, dtype)
    return HashOrder(
        _token_rows(flat, geometry),
        _ranks(order, places.expand_as(order), flat.shape[-1]),
        scores,
        itself if rounds > 1 else None,
        wrap,
    )


def _token_rows(positions: Tensor, geometry: Geometry) -> Tensor:
    """The rows of (N*H, ...) of positions (B, H, K) in their texts."""
    text = torch.arange(geometry.batch, device=positions.device).view(-1, 1, 1)
    head = torch.arange(geometry.heads, device=positions.device).view(-1, 1)
    return (text * geometry.length + positions) * geometry.heads + head


def _ranks(order: Tensor, places: Tensor, span: int) -> Tensor:
    """The places (N, H, R) of each head's tokens among all sorted rows.

    Args:
        order: (B, H, R, L) positions.
        places: (B, H, R, L), the place of each among its head's rows.
        span: rows of a head.
    """
    batch, heads, rounds, length = order.shape
    begin = torch.arange(batch * heads, device=order.device).view(batch, heads, 1, 1) * span
    ranks = torch.empty_like(order).scatter_(-1, order, places + begin)
    return ranks.permute(0, 3, 1, 2).reshape(batch * length, heads, rounds)


def published_scores(
    order: Tensor, real: Tensor | None, geometry: Geometry, dtype: torch.dtype
) -> tuple[Tensor, Tensor | None]:
    """The mask of `published_order`.

    Args:
        order: (B, H, K) sorted positions, beginning with copies of the last ones.
        real: (B, L), False where a token is padding.
        geometry: of the chunks.
        dtype: of the mask.

    Returns:
        The mask (X, C, W), and where in it a query meets its own key.
    """
    chunk, lead = geometry.chunk, geometry.before * geometry.chunk
    query = order.float().view(-1, chunk, 1)  # X C 1
    position = order.float()
    if real is not None:
        hidden = ~real[:, None].expand(-1, order.shape[1], -1).gather(-1, order)
        position = position + hidden * 2.0**23
    rows = F.pad(position.flatten(), (lead, 0), value=2.0**23)
    key = windows(rows.unsqueeze(-1), geometry).transpose(1, 2)  # X 1 W
    # 0 for an earlier key, -1 for itself, less for a later one
    scores = (query - 1 - key).clamp_(max=0).mul_(-ONLY_ITSELF)
    return scores.to(dtype), query == key


def find_buckets(projected: Tensor, rule: HashRule, geometry: Geometry) -> Tensor:
    """Buckets (B, H, R, L) of the shared query/keys in projected (N, H*2*D)."""
    vectors = projected.view(-1, geometry.heads, 2 * geometry.size)[..., : geometry.size]

    def buckets_by(rotations: Tensor, factors: tuple[int, ...]) -> Tensor:
        found = hash_vectors(vectors.transpose(0, 1), rotations, factors)  # H N R
        by_text = found.view(geometry.heads, geometry.batch, geometry.length, found.shape[-1])
        return by_text.permute(1, 0, 3, 2)

    buckets = buckets_by(rule.rotations, rule.factors)
    for texts, rotations, factors in rule.shorter:
        buckets = torch.where(texts.view(-1, 1, 1, 1), buckets_by(rotations, factors), buckets)
    if rule.real is not None:  # padding gets a bucket of its own, the last
        buckets = buckets.masked_fill(~rule.real[:, None, None], prod(rule.factors))
    return buckets.contiguous()
