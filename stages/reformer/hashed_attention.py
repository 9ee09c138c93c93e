"""Attention over chunks of the order that hashing makes, and who sees whom there.

Read `hash_order` and its two rules first, then `HashedAttention`.

Shapes: B batch, H heads, L length, N = B x L tokens, D head size, R hash rounds, C chunk length,
W window = C x (1 + chunks before), K sorted rows of a head, X all chunks of a batch, one after the
other.
"""

from math import prod
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from stages.reformer.chunked_attention import (
    MASKED,
    ONLY_ITSELF,
    Geometry,
    add_over_windows,
    attend,
    multiply_into,
    score_gradients,
    windows,
)
from stages.reformer.dropout import Dropout
from stages.reformer.hashing import hash_vectors

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


def unit_keys(queries: Tensor) -> tuple[Tensor, Tensor]:
    """Keys of shared query/key vectors (rows, D), and the factors (rows, 1) that made them.

    Keys have unit mean square, and are divided by sqrt(D) as scores are elsewhere.
    """
    mean_square = queries.float().square().mean(-1, keepdim=True)
    factor = (mean_square + 1e-6).rsqrt_().mul_(queries.shape[-1] ** -0.5).to(queries.dtype)
    return queries * factor, factor


def add_key_gradients(
    query_gradient: Tensor, key_gradient: Tensor, keys: Tensor, factor: Tensor
) -> None:
    """Add to query_gradient what comes through `unit_keys`; key_gradient is overwritten."""
    along = (keys * key_gradient).sum(-1, keepdim=True)
    key_gradient.addcmul_(keys, along, value=-1)
    query_gradient.addcmul_(key_gradient, factor)


class HashedAttention(torch.autograd.Function):
    """Attention over chunks of the hash order, to heads' outputs (N, H*D)."""

    @staticmethod
    def forward(
        ctx: Any, projected: Tensor, buckets: Tensor, rule: HashRule, geometry: Geometry,
        dropout: Dropout,
    ) -> Tensor:  # fmt: skip
        """Attend; projected (N, H*2*D) are each head's shared query/keys, then its values."""
        projected = projected.view(-1, 2 * geometry.size)  # N*H 2*D
        order = hash_order(buckets, rule, geometry, projected.dtype)
        lead, chosen = geometry.before * geometry.chunk, order.rows.flatten()
        gathered = projected.new_zeros(lead + len(chosen), 2 * geometry.size)
        torch.index_select(projected, 0, chosen, out=gathered[lead:])
        keys, factor = unit_keys(gathered[:, : geometry.size])
        queries, key_windows, value_windows = _sorted_views(gathered, keys, geometry)
        sorted_output = projected.new_empty(queries.shape)
        rounds = order.ranks.shape[-1]
        attended = attend(
            order.scores, queries, key_windows, value_windows, sorted_output, dropout,
            rounds=rounds, itself=order.itself,
        )  # fmt: skip
        output, weights = combine_rounds(sorted_output.flatten(0, 1), attended.sums, order.ranks)
        output = output.view(-1, geometry.heads * geometry.size)
        ctx.geometry, ctx.itself, ctx.wrap = geometry, order.itself, order.wrap
        ctx.save_for_backward(
            gathered, keys, factor, output, weights, chosen, order.ranks,
            *attended[:2],
        )  # fmt: skip
        return output

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """The gradient of projected."""
        geometry: Geometry = ctx.geometry
        gathered, keys, factor, output, weights, chosen, ranks, *found = ctx.saved_tensors
        probabilities, kept = found
        queries, key_windows, value_windows = _sorted_views(gathered, keys, geometry)
        inner = (gradient * output).view(-1, geometry.size).sum(-1, keepdim=True)
        inner = _sort_gradient(inner, chosen, ranks, weights).view(*queries.shape[:2], 1)
        gradient = _sort_gradient(gradient.view(-1, geometry.size), chosen, ranks, weights)
        gradient = gradient.view(queries.shape)
        scores = score_gradients(probabilities, kept, value_windows, gradient, inner)
        if ctx.itself is not None:
            scores.masked_fill_(ctx.itself, 0)
        sorted_gradient = torch.empty_like(gathered[gathered.shape[0] - len(chosen) :])
        for_queries, for_values = sorted_gradient.split(geometry.size, dim=1)
        for_keys = torch.empty_like(for_queries)
        multiply_into(for_queries.view(queries.shape), scores, key_windows)
        add_over_windows(for_keys, scores, queries.flatten(0, 1), geometry)
        add_over_windows(for_values, kept, gradient.flatten(0, 1), geometry)
        lead = geometry.before * geometry.chunk
        add_key_gradients(for_queries, for_keys, keys[lead:], factor[lead:])
        for_projected = _unsort_gradient(sorted_gradient, ranks, geometry, ctx.wrap)
        return for_projected.view(len(output), -1), None, None, None, None


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


def _sorted_views(gathered: Tensor, keys: Tensor, geometry: Geometry) -> tuple[Tensor, ...]:
    """Queries (X, C, D), and windows (X, W, D) of keys and values, in sorted order."""
    shared, values = gathered.split(geometry.size, dim=1)
    queries = shared[geometry.before * geometry.chunk :].unflatten(0, (-1, geometry.chunk))
    return queries, windows(keys, geometry), windows(values, geometry)


def combine_rounds(rows: Tensor, sums: Tensor, ranks: Tensor) -> tuple[Tensor, Tensor]:
    """Bring sorted rows (X*C, D) back to (N*H, D), weighing rounds by the mass that each found.

    Returns:
        The rows and the weights (N*H, R), empty for a single round.
    """
    found = rows.index_select(0, ranks.flatten())
    if ranks.shape[-1] == 1:
        return found, sums
    sums = sums.flatten().index_select(0, ranks.flatten()).view(-1, ranks.shape[-1])
    weights = round_weights(sums).to(rows.dtype)
    found = torch.bmm(weights.unsqueeze(1), found.view(*weights.shape, -1))
    return found.squeeze(1), weights


def round_weights(sums: Tensor) -> Tensor:
    """The share of each round (..., R) in a query's attention, by the scores' log-sum-exp.

    Not softmax: where a query has only itself in every round, stock's rounding at -1e5 shows.
    """
    return torch.exp(sums - sums.logsumexp(-1, keepdim=True))


def _sort_gradient(rows: Tensor, chosen: Tensor, ranks: Tensor, weights: Tensor) -> Tensor:
    """Rows (N*H, D) in sorted order (X*C, D), weighed by round; 0 for fillers and copies."""
    found = rows.index_select(0, chosen)
    if len(chosen) == ranks.numel() and ranks.shape[-1] == 1:
        return found
    weights = weights if weights.numel() else rows.new_ones(ranks.numel())
    factor = rows.new_zeros(len(chosen)).index_copy_(0, ranks.flatten(), weights.flatten())
    return found.mul_(factor.unsqueeze(-1))


def _unsort_gradient(rows: Tensor, ranks: Tensor, geometry: Geometry, wrap: int) -> Tensor:
    """The sum (N*H, D) of all sorted rows (X*C, D) that a token was copied to; overwrites them."""
    if wrap:
        by_head = rows.view(geometry.batch * geometry.heads, -1, rows.shape[1])
        by_head[:, -wrap:].add_(by_head[:, :wrap])
    found = rows.index_select(0, ranks.flatten())
    rounds = ranks.shape[-1]
    return found if rounds == 1 else found.unflatten(0, (-1, rounds)).sum(1)
