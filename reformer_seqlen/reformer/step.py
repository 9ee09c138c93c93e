"""One new token through the layers, with a cache of those before it.

Shapes: B batch, M hidden size, K outputs.
"""

from collections.abc import Iterable
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from reformer_seqlen.reformer import called
from reformer_seqlen.reformer.dropout import Dropout
from reformer_seqlen.reformer.generation import GenerationCache, local_step, lsh_step
from reformer_seqlen.reformer.layers import Pass, local_weight, lsh_weight
from reformer_seqlen.reformer.precision import autocast_to

NO_DROPOUT = Dropout(0.0, 0)


def next_streams(
    layers: Iterable[tuple[str, Any]], pass_: Pass, cache: GenerationCache, embedded: Tensor
) -> tuple[Tensor, Tensor]:
    """Both streams (B, 1, M) of the newest token, embedded (B, M), after all layers."""
    first = second = embedded
    pass_.keep(second.unsqueeze(1))
    for index, (kind, layer) in enumerate(layers):
        module, attend = layer.attention, lsh_step if kind == "lsh" else local_step
        projected = _projected(kind, module, pass_, second)
        outputs = attend(cache, index, projected, module.self_attention)
        first = _add_outputs(module, pass_, first, outputs)
        second = _add_feed_forward(layer.feed_forward, pass_, second, first)
        pass_.keep(second.unsqueeze(1))
    return first.unsqueeze(1), second.unsqueeze(1)


def _projected(kind: str, module: Any, pass_: Pass, inputs: Tensor) -> Tensor:
    """The projections (B, K) of an attention module's inputs (B, M)."""
    dtype, attention = pass_.dtype, module.self_attention
    if pass_.calls:
        with autocast_to(dtype, inputs):
            return called.projected(kind, module, inputs).to(dtype)
    weight = lsh_weight(attention) if kind == "lsh" else local_weight(attention)
    return F.linear(module.layer_norm(inputs).to(dtype), weight.to(dtype))


def _add_outputs(module: Any, pass_: Pass, stream: Tensor, outputs: Tensor) -> Tensor:
    """The stream (B, M) plus the projected outputs (B, H*D) of attention."""
    if pass_.calls:
        with autocast_to(pass_.dtype, stream):
            return called.add_outputs(module, stream, outputs, NO_DROPOUT)
    return stream + F.linear(outputs, module.output.dense.weight.to(pass_.dtype))


def _add_feed_forward(module: Any, pass_: Pass, stream: Tensor, inputs: Tensor) -> Tensor:
    """The stream plus two dense layers over its normalised inputs. Both (B, M)."""
    if pass_.calls:
        with autocast_to(pass_.dtype, stream):
            return called.add_feed_forward(module, stream, inputs, (NO_DROPOUT, NO_DROPOUT))
    dtype, inner, outer = pass_.dtype, module.dense.dense, module.output.dense
    hidden = F.linear(
        module.layer_norm(inputs).to(dtype), inner.weight.to(dtype), inner.bias.to(dtype)
    )
    return stream + F.linear(hidden.relu_(), outer.weight.to(dtype), outer.bias.to(dtype))
