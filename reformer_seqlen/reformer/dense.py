"""Dense layers with the layer norm, relu, dropout and addition around them, as one function each.

A third of their time goes into reading and writing memory, so their hand-written forward and
backward passes read and write as little as they can: dropout's factor is part of the next product,
biases and relu work in place, and masks stay bytes.

Shapes: N tokens, M hidden size, K outputs.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from reformer_seqlen.reformer.dropout import Dropout


class NormedDense(torch.autograd.Function):
    """linear(layer_norm(tokens)), (N, M) to (lead + N, K), after `lead` rows of zeros.

    The zeros are what windows of the first chunks reach back into.
    """

    @staticmethod
    def forward(
        ctx: Any, tokens: Tensor, scale: Tensor, shift: Tensor, weight: Tensor,
        bias: Tensor | None, epsilon: float, lead: int,
    ) -> Tensor:  # fmt: skip
        """The product and its result have the dtype of `weight` (K, M)."""
        normed, mean, deviation = torch.native_layer_norm(
            tokens, scale.shape, scale, shift, epsilon
        )
        normed = normed.to(weight.dtype)
        outputs = normed.new_empty(lead + tokens.shape[0], weight.shape[0])
        outputs[:lead] = 0
        if torch.compiler.is_compiling():  # which knows no `out`
            outputs[lead:] = F.linear(normed, weight, bias)
        elif bias is None:
            torch.mm(normed, weight.t(), out=outputs[lead:])
        else:
            torch.addmm(bias, normed, weight.t(), out=outputs[lead:])
        ctx.lead = lead
        ctx.save_for_backward(tokens, scale, shift, weight, bias, normed, mean, deviation)
        return outputs

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of tokens, scale, shift, weight and bias."""
        tokens, scale, shift, weight, bias, normed, mean, deviation = ctx.saved_tensors
        gradient = gradient[ctx.lead :]
        for_normed = torch.mm(gradient, weight).to(tokens.dtype)
        for_tokens, for_scale, for_shift = torch.ops.aten.native_layer_norm_backward(
            for_normed, tokens, scale.shape, mean, deviation, scale, shift, [True] * 3
        )
        for_bias = None if bias is None else gradient.sum(0)
        for_weight = torch.mm(gradient.t(), normed)
        return for_tokens, for_scale, for_shift, for_weight, for_bias, None, None


class _ReluDropped(torch.autograd.Function):
    """relu(values), 0 where dropped, in place. Gradients pass where the result is above 0."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, dropout: Dropout) -> Tensor:
        values.relu_()
        if dropout.probability:
            values.mul_(dropout.mask(values))
        ctx.mark_dirty(values)
        ctx.save_for_backward(values)
        return values

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (values,) = ctx.saved_tensors
        return values.sign().mul_(gradient), None  # half the time of threshold_backward


def relu_dropped_(values: Tensor, dropout: Dropout) -> Tensor:
    """relu(values), 0 where dropped, in place, not scaled: the next product applies the factor."""
    if torch.compiler.is_compiling():  # which decides itself what to do in place
        dropped = torch.relu(values)
        return dropped * dropout.mask(values) if dropout.probability else dropped
    result: Tensor = _ReluDropped.apply(values, dropout)
    return result


class DenseAdd(torch.autograd.Function):
    """stream (N, M) + dropout(factor x values (N, K) x weight^T (K, M) + bias)."""

    @staticmethod
    def forward(
        ctx: Any, stream: Tensor, values: Tensor, weight: Tensor, bias: Tensor | None,
        dropout: Dropout, factor: float,
    ) -> Tensor:  # fmt: skip
        """The product has the dtype of values and `weight`."""
        if bias is None:
            added = _scaled_product(values, weight.t(), factor)
        else:
            added = torch.addmm(bias, values, weight.t(), alpha=factor)
        bits = None
        if dropout.probability:
            bits = dropout.bits(added.shape, added.device)
            mask = bits.to(stream.dtype)
            result = torch.addcmul(stream, added.to(stream.dtype), mask, value=dropout.scale)
        else:
            result = stream + added
        ctx.scale, ctx.factor = dropout.scale, factor
        ctx.save_for_backward(values, weight, bias, bits)
        return result

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of stream, values, weight and bias."""
        values, weight, bias, bits = ctx.saved_tensors
        kept = gradient if bits is None else bits.to(gradient.dtype).mul_(gradient)
        kept = kept.to(weight.dtype)
        for_bias = None if bias is None else kept.sum(0) * ctx.scale
        factor = ctx.scale * ctx.factor
        for_weight = _scaled_product(kept.t(), values, factor)
        return gradient, _scaled_product(kept, weight, factor), for_weight, for_bias, None, None


def _scaled_product(left: Tensor, right: Tensor, factor: float) -> Tensor:
    """Factor x left (N, K) x right (K, M), in one pass over memory."""
    return torch.addmm(left.new_empty(()), left, right, beta=0, alpha=factor)
