"""Backpropagation through reversible layers without stored activations (arXiv:1707.04585).

A layer turns the streams (a, b) into a' = a + attention(b), b' = b + feed_forward(a'). Backwards
its inputs are recovered from its outputs, so memory does not grow with depth; the price is a
second forward pass, and gradients that differ in the last digits.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

Branch = Callable[[Tensor], Tensor]
Add = Callable[[Tensor, Tensor], Tensor]


class ReversibleLayer(NamedTuple):
    """The two branches of a layer, how each is added, and the parameters that each uses."""

    attention: Branch
    add_attention: Add
    feed_forward: Branch
    add_feed_forward: Add
    attention_parameters: tuple[Tensor, ...]
    feed_forward_parameters: tuple[Tensor, ...]


def run_layers(layers: Sequence[ReversibleLayer], hidden: Tensor) -> tuple[Tensor, Tensor]:
    """Both streams after all layers, each starting from `hidden`; keeps no activations."""
    parameters = [
        parameter
        for layer in layers
        for parameter in (*layer.attention_parameters, *layer.feed_forward_parameters)
    ]
    streams: tuple[Tensor, Tensor] = _Reversible.apply(layers, hidden, *parameters)  # type: ignore[no-untyped-call]
    return streams


def _branch_gradients(
    branch: Branch, add: Add, parameters: tuple[Tensor, ...], inputs: Tensor,
    output_gradient: Tensor,
) -> tuple[Tensor, Tensor, list[Tensor | None]]:  # fmt: skip
    """The branch's output, and its gradients by input and by parameters."""
    inputs = inputs.detach().requires_grad_()
    with torch.enable_grad():
        output = add(torch.zeros_like(inputs), branch(inputs))
    wanted = [parameter for parameter in parameters if parameter.requires_grad]
    input_gradient, *found = torch.autograd.grad(output, [inputs, *wanted], output_gradient)
    remaining = iter(found)
    gradients = [next(remaining) if parameter.requires_grad else None for parameter in parameters]
    return output.detach(), input_gradient, gradients


class _Reversible(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, layers: Sequence[ReversibleLayer], hidden: Tensor, *parameters: Tensor
    ) -> tuple[Tensor, Tensor]:
        first = second = hidden
        for layer in layers:
            first = layer.add_attention(first, layer.attention(second))
            second = layer.add_feed_forward(second, layer.feed_forward(first))
        ctx.layers = layers
        ctx.save_for_backward(first, second)
        return first, second

    @staticmethod
    def backward(ctx: FunctionCtx, *output_gradients: Tensor) -> tuple[Tensor | None, ...]:
        first, second = ctx.saved_tensors  # type: ignore[attr-defined]
        first_gradient, second_gradient = output_gradients
        gradients: list[Tensor | None] = []
        for layer in reversed(ctx.layers):  # type: ignore[attr-defined]
            output, gradient, feed_forward = _branch_gradients(
                layer.feed_forward,
                layer.add_feed_forward,
                layer.feed_forward_parameters,
                first,
                second_gradient,
            )
            second = second - output
            first_gradient = first_gradient + gradient
            output, gradient, attention = _branch_gradients(
                layer.attention,
                layer.add_attention,
                layer.attention_parameters,
                second,
                first_gradient,
            )
            first = first - output
            second_gradient = second_gradient + gradient
            gradients = [*attention, *feed_forward, *gradients]
        return None, first_gradient + second_gradient, *gradients
