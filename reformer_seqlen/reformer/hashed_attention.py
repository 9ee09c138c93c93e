"""Attention over chunks of tokens sorted by bucket, with a hand-written backward pass.

Read `hash_order` first, which says which tokens attend to which, then `HashedAttention`.

Shapes: B batch, H heads, L length, N = B x L tokens, D head size, R hash rounds, C chunk length,
W window = C x (1 + chunks before), X all chunks of a batch.
"""

from typing import Any

import torch
from torch import Tensor

from reformer_seqlen.reformer.chunked_attention import (
    Geometry,
    add_over_windows,
    attend,
    multiply_into,
    score_gradients,
    windows,
)
from reformer_seqlen.reformer.dropout import Dropout, RowDropout
from reformer_seqlen.reformer.hash_order import HashOrder, HashRule, hash_order


def unit_keys(queries: Tensor) -> tuple[Tensor, Tensor]:
    """Keys of shared query/key vectors (rows, D), and the factors (rows, 1) between the two.

    Keys are scaled to a mean square of 1 and, instead of the scores, divided by sqrt(D).
    """
    mean_square = queries.float().square().mean(-1, keepdim=True)
    factor = (mean_square + 1e-6).rsqrt_().mul(queries.shape[-1] ** -0.5).to(queries.dtype)
    return queries * factor, factor


def add_key_gradients(
    query_gradient: Tensor, key_gradient: Tensor, keys: Tensor, factor: Tensor
) -> None:
    """Backpropagate through `unit_keys` into query_gradient; overwrites key_gradient."""
    along = (keys * key_gradient).sum(-1, keepdim=True)
    key_gradient.addcmul_(keys, along, value=-1)
    query_gradient.addcmul_(key_gradient, factor)


class HashedAttention(torch.autograd.Function):
    """Attention over chunks of the hash order; gives the heads' outputs (N, H*D)."""

    @staticmethod
    def forward(
        ctx: Any, projected: Tensor, buckets: Tensor, rule: HashRule, geometry: Geometry,
        dropout: Dropout,
    ) -> Tensor:  # fmt: skip
        """Attend; projected (N, H*2*D) holds each head's shared query/keys, then its values."""
        projected = projected.view(-1, 2 * geometry.size)  # N*H 2*D
        order = hash_order(buckets, rule, geometry, projected.dtype)
        lead, chosen = geometry.before * geometry.chunk, order.rows.flatten()
        gathered = projected.new_zeros(lead + chosen.shape[0], 2 * geometry.size)
        if torch.compiler.is_compiling():
            gathered[lead:] = projected.index_select(0, chosen)
        else:
            torch.index_select(projected, 0, chosen, out=gathered[lead:])
        keys, factor = unit_keys(gathered[:, : geometry.size])
        queries, key_windows, value_windows = _sorted_views(gathered, keys, geometry)
        sorted_output = projected.new_empty(queries.shape)
        rounds = order.ranks.shape[-1]
        attended = attend(
            order.scores, queries, key_windows, value_windows, sorted_output,
            _dropout_by_query(dropout, order), rounds=rounds, itself=order.itself,
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
        sorted_gradient = torch.empty_like(gathered[gathered.shape[0] - chosen.shape[0] :])
        for_queries, for_values = sorted_gradient.split(geometry.size, dim=1)
        for_keys = torch.empty_like(for_queries)
        multiply_into(for_queries.view(queries.shape), scores, key_windows)
        add_over_windows(for_keys, scores, queries.flatten(0, 1), geometry)
        add_over_windows(for_values, kept, gradient.flatten(0, 1), geometry)
        lead = geometry.before * geometry.chunk
        add_key_gradients(for_queries, for_keys, keys[lead:], factor[lead:])
        for_projected = _unsort_gradient(sorted_gradient, ranks, geometry, ctx.wrap)
        return for_projected.view(output.shape[0], -1), None, None, None, None


def _sorted_views(gathered: Tensor, keys: Tensor, geometry: Geometry) -> tuple[Tensor, ...]:
    """Queries (X, C, D), and windows (X, W, D) of keys and values, in sorted order."""
    shared, values = gathered.split(geometry.size, dim=1)
    queries = shared[geometry.before * geometry.chunk :].unflatten(0, (-1, geometry.chunk))
    return queries, windows(keys, geometry), windows(values, geometry)


def _dropout_by_query(dropout: Dropout, order: HashOrder) -> Dropout:
    """The same dropout, whose mask has a row for every query and round, in the text's order."""
    if not dropout.probability:
        return dropout
    rounds = order.ranks.shape[-1]
    place = torch.arange(order.rows.shape[-1], device=order.rows.device) - order.wrap
    of_round = place // ((place.shape[0] - order.wrap) // rounds) % rounds  # copies are the last's
    return RowDropout(dropout, order.ranks.numel(), (order.rows * rounds + of_round).flatten())


def combine_rounds(rows: Tensor, sums: Tensor, ranks: Tensor) -> tuple[Tensor, Tensor]:
    """Bring sorted rows (X*C, D) back to (N*H, D): the mean of the rounds by `round_weights`.

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

    As stock computes it, and not by softmax: where a query finds only itself in every round, all
    sums are near -1e5, and the two round differently.
    """
    return torch.exp(sums - sums.logsumexp(-1, keepdim=True))


def _sort_gradient(rows: Tensor, chosen: Tensor, ranks: Tensor, weights: Tensor) -> Tensor:
    """Rows (N*H, D) in sorted order (X*C, D), weighted by round; 0 for fillers and copies."""
    found = rows.index_select(0, chosen)
    if chosen.shape[0] == ranks.numel() and ranks.shape[-1] == 1:
        return found
    weights = weights if weights.numel() else rows.new_ones(ranks.numel())
    factor = rows.new_zeros(chosen.shape[0]).index_copy_(0, ranks.flatten(), weights.flatten())
    return found.mul_(factor.unsqueeze(-1))


def _unsort_gradient(rows: Tensor, ranks: Tensor, geometry: Geometry, wrap: int) -> Tensor:
    """The sum (N*H, D) of all sorted rows (X*C, D) that a token was copied to; overwrites them."""
    if wrap:
        by_head = rows.view(geometry.batch * geometry.heads, -1, rows.shape[1])
        by_head[:, -wrap:].add_(by_head[:, :wrap])
    found = rows.index_select(0, ranks.flatten())
    rounds = ranks.shape[-1]
    return found if rounds == 1 else found.unflatten(0, (-1, rounds)).sum(1)
