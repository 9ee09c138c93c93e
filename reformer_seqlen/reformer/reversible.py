"""Backpropagation through reversible layers without stored activations (arXiv:1707.04585).

A layer turns the streams (a, b) into a' = a + attention(b), b' = b + feed_forward(a'). Backwards
its inputs are recovered from its outputs, so memory does not grow with depth; the price is a
second forward pass, and gradients that differ in the last digits.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

AddBranch = Callable[[Tensor, Tensor], Tensor]  # from (stream, inputs) to stream + branch(inputs)


class ReversibleLayer(NamedTuple):
    """The two branches of a layer, and the parameters that each uses."""

    add_attention: AddBranch
    add_feed_forward: AddBranch
    attention_parameters: tuple[Tensor, ...]
    feed_forward_parameters: tuple[Tensor, ...]


@torch.compiler.disable(reason="the backward pass computes the layers again")  # type: ignore[untyped-decorator]
def run_layers(layers: Sequence[ReversibleLayer], hidden: Tensor) -> tuple[Tensor, Tensor]:
    """Both streams after all layers, each starting from `hidden`; keeps no activations."""
    parameters = [
        parameter
        for layer in layers
        for parameter in (*layer.attention_parameters, *layer.feed_forward_parameters)
    ]
    streams: tuple[Tensor, Tensor] = _Reversible.apply(layers, hidden, *parameters)
    return streams


def _branch_gradients(
    add_branch: AddBranch,
    parameters: tuple[Tensor, ...],
    inputs: Tensor,
    output_gradient: Tensor,
) -> tuple[Tensor, Tensor, list[Tensor | None]]:
    """The branch's output, and its gradients by input and by parameters."""
    inputs = inputs.detach().requires_grad_()
    with torch.enable_grad():
        output = add_branch(torch.zeros_like(inputs), inputs)
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
            first = layer.add_attention(first, second)
            second = layer.add_feed_forward(second, first)
        ctx.layers = layers
        ctx.save_for_backward(first, second)
        return first, second

    @staticmethod
    def backward(ctx: Any, *output_gradients: Tensor) -> tuple[Tensor | None, ...]:
        first, second = ctx.saved_tensors
        first_gradient, second_gradient = output_gradients
        gradients: list[Tensor | None] = []
        for layer in reversed(ctx.layers):
            output, gradient, feed_forward = _branch_gradients(
                layer.add_feed_forward, layer.feed_forward_parameters, first, second_gradient
            )
            second = second - output
            first_gradient = first_gradient + gradient
            output, gradient, attention = _branch_gradients(
                layer.add_attention, layer.attention_parameters, second, first_gradient
            )
            first = first - output
            second_gradient = second_gradient + gradient
            gradients = [*attention, *feed_forward, *gradients]
        return None, first_gradient + second_gradient, *gradients
