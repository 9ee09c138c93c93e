"""Both residual streams through all layers, and the logits that come of them.

Shapes: B batch, L length, L' length padded to whole chunks, M hidden size, V vocabulary.
"""

from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from reformer_seqlen.reformer import called
from reformer_seqlen.reformer.dropout import dropped_
from reformer_seqlen.reformer.layers import (
    HEAD,
    Pass,
    add_feed_forward,
    add_local_attention,
    add_lsh_attention,
    kinds_and_layers,
    token_parts,
)
from reformer_seqlen.reformer.precision import autocast_to
from reformer_seqlen.reformer.reversible import AddBranch, ReversibleLayer, run_layers


def through_layers(
    model: PreTrainedModel, pass_: Pass, embedded: Tensor, recompute: bool
) -> tuple[Tensor, Tensor]:
    """Both streams (B, L', M) after all layers.

    Args:
        model: a Reformer.
        pass_: what the layers share.
        embedded: (B, L', M), what both streams begin with.
        recompute: whether activations are computed again in the backward pass.
    """
    layers = [
        _with_branches(index, kind, layer, pass_)
        for index, (kind, layer) in enumerate(kinds_and_layers(model))
    ]
    if recompute and not pass_.calls:
        streams: tuple[Tensor, Tensor] = run_layers(layers, embedded)
        return streams

    def add(add_branch: AddBranch, stream: Tensor, inputs: Tensor) -> Tensor:
        if recompute:
            added: Tensor = checkpoint(add_branch, stream, inputs, use_reentrant=False)
            return added
        return add_branch(stream, inputs)

    first = second = embedded
    pass_.keep(second)
    for layer in layers:
        first = add(layer.add_attention, first, second)
        second = add(layer.add_feed_forward, second, first)
        pass_.keep(second)
    return first, second


def _with_branches(index: int, kind: str, layer: Any, pass_: Pass) -> ReversibleLayer:
    kept: list[Tensor] = []  # buckets
    attention = (
        partial(add_lsh_attention, layer.attention, index, pass_, kept)
        if kind == "lsh"
        else partial(add_local_attention, layer.attention, index, pass_)
    )
    return ReversibleLayer(
        attention,
        partial(add_feed_forward, layer.feed_forward, index, pass_),
        tuple(layer.attention.parameters()),
        tuple(layer.feed_forward.parameters()),
    )


def head_logits(model: PreTrainedModel, pass_: Pass, first: Tensor, second: Tensor) -> Tensor:
    """Logits (B, L, V) of both streams (B, L, M)."""
    encoder, head, dtype = model.reformer.encoder, model.lm_head, pass_.dtype
    if pass_.calls:
        with autocast_to(dtype, first):
            normed = encoder.layer_norm(torch.cat([first, second], dim=-1))
            normed = called.dropped(normed, pass_.dropout(encoder.dropout, HEAD, 0))
            logits: Tensor = head(normed)
            return logits.float()
    parts = []
    for number, both in enumerate(token_parts(first.flatten(0, 1), second.flatten(0, 1))):
        normed = encoder.layer_norm(torch.cat(both, dim=-1))
        normed = dropped_(normed, pass_.dropout(encoder.dropout, HEAD, number))
        logits = F.linear(normed.to(dtype), head.decoder.weight.to(dtype))
        parts.append(logits.float() + head.bias)
    flat_logits = torch.cat(parts) if len(parts) > 1 else parts[0]
    by_text: Tensor = flat_logits.unflatten(0, first.shape[:2])
    return by_text
