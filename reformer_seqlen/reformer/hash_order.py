"""The order that hashing makes, and who sees whom in it.

Read `strict_order` and `published_order` first: the two rules.

Shapes: B batch, H heads, L length, N = B x L tokens, D head size, R hash rounds, C chunk length,
W window = C x (1 + chunks before), K sorted rows of a head, X all chunks of a batch, one after the
other.
"""

from math import prod
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from reformer_seqlen.reformer.chunked_attention import MASKED, ONLY_ITSELF, Geometry, windows
from reformer_seqlen.reformer.hashing import hash_vectors

Causality = Literal["strict", "published"]


class HashRule(NamedTuple):
    """How an lsh layer hashes and who sees whom."""

    rotations: Tensor  # (H, D, R, sum of the factors' halves)
    factors: tuple[int, ...]  # of the number of buckets
    causality: Causality
    real: Tensor | None  # (B, L), False where a token is padding


class HashOrder(NamedTuple):
    """The order of (round, bucket, position): chunks are cut from it."""

    rows: Tensor  # B H K, rows of (N*H, ...) in sorted order
    ranks: Tensor  # N H R, where in the sorted rows a token of a head is
    scores: Tensor  # X C W, to be added to the product
    itself: Tensor | None  # X C W, where a score has to be set to ONLY_ITSELF afterwards
    wrap: int  # of a head's K rows, the first ones that are copies of its last


def hash_order(
    buckets: Tensor, rule: HashRule, geometry: Geometry, dtype: torch.dtype
) -> HashOrder:
    """Sort positions by buckets (B, H, R, L), and say who sees whom."""
    if rule.causality == "strict":
        return strict_order(buckets, rule, geometry, dtype)
    return published_order(buckets, rule, geometry, dtype)


def strict_geometry(geometry: Geometry, rule: HashRule) -> Geometry:
    """Shorter chunks of queries that look back as far.

    `strict_order` fills up the last chunk of every bucket. Chunks are as long as they can be for
    that to add at most half of the rows: then windows, which are shorter, make up for it. Where
    buckets are as many as tokens, that leaves one query to a chunk, and a training pass takes 2
    (float32) to 8 times (bfloat16) as long in these layers.
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
    """How many buckets may hold a token; padding has one of its own."""
    return min(geometry.length, prod(rule.factors) + (rule.real is not None))


def strict_order(
    buckets: Tensor, rule: HashRule, geometry: Geometry, dtype: torch.dtype
) -> HashOrder:
    """The strict rule: a query sees the last `before` x C items before it in its own bucket.

    Which earlier items share a bucket depends on nothing later, and within a bucket the order is
    by position. Every bucket starts at a chunk's first row, and fillers follow its last item up to
    the chunk's end. So neither what a query sees nor where in its window that is depends on the
    future: sums are the same to the last digit, in whatever order a processor adds.

    Fillers are copies of a text's first token. Each sees itself alone and is seen by no other; no
    rank points at one, and its gradient is 0.
    """
    rounds = buckets.shape[2]
    sorted_buckets, order = torch.sort(buckets, dim=-1, stable=True)
    places, begins = chunk_aligned(sorted_buckets, geometry.chunk)
    most = geometry.length + _most_buckets(geometry, rule) * (geometry.chunk - 1)
    span = most // geometry.chunk * geometry.chunk  # K / R: the same whatever the buckets
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
    """Where sorted items are if every bucket begins at a multiple of `chunk`, and where that is.

    Example: buckets (0, 0, 0, 1, 1) and chunks of 2 give places (0, 1, 2, 4, 5) and beginnings
    (0, 0, 0, 4, 4).

    Args:
        sorted_buckets: (..., L), ascending.
        chunk: rows of a chunk.

    Returns:
        Places and beginnings (..., L).
    """
    rank = torch.arange(sorted_buckets.shape[-1], device=sorted_buckets.device)
    starts = F.pad(sorted_buckets.diff(dim=-1) != 0, (1, 0))
    begin = torch.cummax(rank * starts, dim=-1).values
    # where a bucket starts, as many rows as fill up the one before it
    fillers = starts * ((F.pad(begin[..., :-1], (1, 0)) - rank) % chunk)
    shift = fillers.cumsum(-1)
    return rank + shift, begin + shift


def strict_scores(bucket_start: Tensor, geometry: Geometry, dtype: torch.dtype) -> Tensor:
    """What to add to scores (X, C, W), by where the bucket of a row starts (B, H, R, K/R)."""
    chunk, device = geometry.chunk, bucket_start.device
    lead = geometry.before * chunk
    row = torch.arange(bucket_start.shape[-1], device=device)
    lowest = torch.maximum(bucket_start, row - lead) - (row // chunk * chunk - lead)
    lowest = (lowest * -MASKED).to(torch.float32).view(-1, chunk, 1)  # X C 1
    key = torch.arange(geometry.window, device=device)
    own = torch.arange(chunk, device=device).unsqueeze(-1) + lead
    past = torch.zeros(chunk, geometry.window, device=device)
    past.masked_fill_(key > own, MASKED).masked_fill_(key == own, ONLY_ITSELF)
    # 0 or more from `lowest` on; bfloat16 can't tell keys beyond 256 apart
    scores = (key * -MASKED).to(torch.float32) - lowest
    return torch.minimum(scores, past, out=scores).to(dtype)


def published_order(
    buckets: Tensor, rule: HashRule, geometry: Geometry, dtype: torch.dtype
) -> HashOrder:
    """The published rule: a query sees what is earlier in its window, whatever its bucket.

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
    """Where (N, H, R) among all sorted rows a token of a head is.

    Args:
        order: (B, H, R, L) positions.
        places: (B, H, R, L), where in its head's rows each of them is.
        span: rows of a head.
    """
    batch, heads, rounds, length = order.shape
    begin = torch.arange(batch * heads, device=order.device).view(batch, heads, 1, 1) * span
    ranks = torch.empty_like(order).scatter_(-1, order, places + begin)
    return ranks.permute(0, 3, 1, 2).reshape(batch * length, heads, rounds)


def published_scores(
    order: Tensor, real: Tensor | None, geometry: Geometry, dtype: torch.dtype
) -> tuple[Tensor, Tensor | None]:
    """The scores of `published_order`.

    Args:
        order: (B, H, K) positions, the last chunks before the first ones.
        real: (B, L), False where a token is padding.
        geometry: of the chunks.
        dtype: of the scores.

    Returns:
        What to add to the scores (X, C, W), and where a query meets itself.
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
    buckets = hash_vectors(vectors.transpose(0, 1), rule.rotations, rule.factors)  # H N R
    rounds = buckets.shape[-1]
    buckets = buckets.view(geometry.heads, geometry.batch, geometry.length, rounds)
    buckets = buckets.permute(1, 0, 3, 2)
    if rule.real is not None:  # padding gets a bucket of its own, the last
        buckets = buckets.masked_fill(~rule.real[:, None, None], prod(rule.factors))
    return buckets.contiguous()
