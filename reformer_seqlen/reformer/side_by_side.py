"""Parts of a batch computed side by side, each in a thread of its own.

Texts of a batch are independent. torch splits every operation among all threads, which then wait
for each other a thousand times an update. Here each thread computes the forward and the backward
pass of some of the texts, from the embeddings to the logits. If there is only one text, each thread
computes the feed-forward layers of some of its tokens. Gradients are added in the order of the
parts, so that results do not depend on which thread is faster.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from threading import Barrier
from typing import Any

import torch
from torch import Tensor

from reformer_seqlen.runtime.messages import reformer as messages

Compute = Callable[..., Tensor]
"""From a part's number, its slice and its rows of each input to its rows of the outputs."""

TOKENS_FOR_A_THREAD = 1024
"""With fewer tokens, a thread costs more than it gains: Python executes one thread at a time."""


def parts_of(rows: int, tokens: int, device: torch.device) -> list[slice]:
    """How to split rows among threads: on the CPU into at most as many parts as torch has threads.

    Args:
        rows: how many.
        tokens: of a row.
        device: which computes them.
    """
    if device.type != "cpu" or torch.compiler.is_compiling():
        return [slice(0, rows)]
    least = -(-TOKENS_FOR_A_THREAD // tokens)
    count = max(1, min(torch.get_num_threads(), rows // least))
    return [slice(*pair) for pair in pairwise(rows * part // count for part in range(count + 1))]


def compute_side_by_side(
    compute: Compute, parts: list[slice], inputs: Sequence[Tensor], parameters: Sequence[Tensor]
) -> Tensor:
    """The outputs of `compute` for all parts, concatenated, with gradients.

    Args:
        compute: is called once for each part, in a thread of its own.
        parts: see `parts_of`.
        inputs: (rows, ...) each, split into these parts.
        parameters: the other tensors that `compute` reads and that need gradients.

    Raises:
        StudyError: the backward pass is called twice.
    """
    if len(parts) == 1:
        return compute(0, parts[0], *inputs)
    if torch.is_grad_enabled():
        outputs: Tensor = _SideBySide.apply(compute, parts, len(inputs), *inputs, *parameters)
        return outputs

    def part_outputs(number: int) -> Tensor:
        part = parts[number]
        with torch.no_grad():
            return compute(number, part, *(tensor[part] for tensor in inputs))

    return torch.cat(_in_threads(part_outputs, len(parts)))


class _SideBySide(torch.autograd.Function):
    """Keeps the autograd graph of every part for the backward pass, which frees them."""

    @staticmethod
    def forward(
        ctx: Any, compute: Compute, parts: list[slice], count: int, *tensors: Tensor
    ) -> Tensor:
        inputs, parameters = tensors[:count], tensors[count:]

        def part_graph(number: int) -> tuple[list[Tensor], Tensor]:
            part = parts[number]
            begin = [x[part].detach().requires_grad_(x.requires_grad) for x in inputs]
            with torch.enable_grad():
                return begin, compute(number, part, *begin)

        ctx.parts, ctx.parameters = parts, parameters
        ctx.graphs = _in_threads(part_graph, len(parts))
        return torch.cat([outputs.detach() for _, outputs in ctx.graphs])

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        graphs, ctx.graphs = ctx.graphs, None
        if graphs is None:
            raise messages.second_backward()

        def part_gradients(number: int) -> tuple[list[Tensor | None], list[Tensor]]:
            begin, outputs = graphs[number]
            sought = [tensor for tensor in (*begin, *ctx.parameters) if tensor.requires_grad]
            found = iter(torch.autograd.grad(outputs, sought, gradient[ctx.parts[number]]))
            return [next(found) if tensor.requires_grad else None for tensor in begin], list(found)

        by_input, by_parameter = zip(*_in_threads(part_gradients, len(graphs)), strict=True)
        for_inputs = [
            None if gradients[0] is None else torch.cat(gradients)
            for gradients in zip(*by_input, strict=True)
        ]
        total = by_parameter[0]
        for others in by_parameter[1:] if total else ():
            torch._foreach_add_(total, others)
        rest = iter(total)
        for_parameters = [next(rest) if p.requires_grad else None for p in ctx.parameters]
        return None, None, None, *for_inputs, *for_parameters


def _in_threads(run: Callable[[int], Any], count: int) -> list[Any]:
    """run(0), run(1), ... side by side."""
    return list(_workers(count, max(1, torch.get_num_threads() // count)).map(run, range(count)))


@cache
def _workers(count: int, threads_each: int) -> ThreadPoolExecutor:
    """Threads that wait for work, each of which torch gives `threads_each` threads."""
    total = torch.get_num_threads()
    ready = Barrier(count + 1)

    def prepare() -> None:
        torch.get_num_threads()  # or else a thread's first operation resets the number
        torch.set_num_threads(threads_each)
        ready.wait()

    pool = ThreadPoolExecutor(count, "reformer", initializer=prepare)
    for _ in range(count):
        pool.submit(int)
    ready.wait()
    torch.set_num_threads(total)  # the workers changed it for new threads, too
    return pool


os.register_at_fork(after_in_child=_workers.cache_clear)  # a child has none of its parent's threads
