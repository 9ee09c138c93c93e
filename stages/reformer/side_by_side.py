"""Parts of a batch computed side by side, each on a processor core of its own.

Texts of a batch have nothing to do with each other. So instead of sharing every small operation
between all threads, which then wait for each other a thousand times an update, each thread takes
some of the texts all the way from the embeddings to the logits and back. The gradients are added
in the order of the parts: results do not depend on which thread was faster.
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

Compute = Callable[[int, slice, Tensor], Tensor]
"""From a part's number, its texts and its rows of the inputs to its rows of the outputs."""


def parts_of(batch: int, device: torch.device) -> list[slice]:
    """The texts of each part: as many parts as torch has threads, on the CPU only."""
    threads = torch.get_num_threads()
    if device.type != "cpu" or torch.compiler.is_compiling():
        threads = 1
    count = max(1, min(threads, batch))
    bounds = [batch * number // count for number in range(count + 1)]
    return [slice(*pair) for pair in pairwise(bounds)]


def compute_side_by_side(
    compute: Compute, inputs: Tensor, parameters: Sequence[Tensor], parts: list[slice]
) -> Tensor:
    """What `compute` gives for all parts, one after the other, with gradients.

    Args:
        compute: is called once for each part, in a thread of its own.
        inputs: (batch, ...).
        parameters: what compute reads besides.
        parts: see `parts_of`.
    """
    if torch.is_grad_enabled():
        outputs: Tensor = _SideBySide.apply(compute, parts, inputs, *parameters)
        return outputs

    def part_outputs(number: int) -> Tensor:
        with torch.no_grad():
            return compute(number, parts[number], inputs[parts[number]])

    return torch.cat(_in_threads(part_outputs, len(parts)))


class _SideBySide(torch.autograd.Function):
    """Keeps the graph of every part until the backward pass walks them side by side."""

    @staticmethod
    def forward(
        ctx: Any, compute: Compute, parts: list[slice], inputs: Tensor, *parameters: Tensor
    ) -> Tensor:
        def part_outputs(number: int) -> tuple[Tensor, Tensor]:
            begin = inputs[parts[number]].detach().requires_grad_(inputs.requires_grad)
            with torch.enable_grad():
                return begin, compute(number, parts[number], begin)

        ctx.parts, ctx.wanted = parts, [p for p in parameters if p.requires_grad]
        ctx.places = [p.requires_grad for p in parameters]
        ctx.graphs = _in_threads(part_outputs, len(parts))
        return torch.cat([outputs.detach() for _, outputs in ctx.graphs])

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        graphs, ctx.graphs = ctx.graphs, None

        def part_gradients(number: int) -> Sequence[Tensor]:
            begin, outputs = graphs[number]
            sought = [begin, *ctx.wanted] if begin.requires_grad else ctx.wanted
            return torch.autograd.grad(outputs, sought, gradient[ctx.parts[number]])

        found = [list(gradients) for gradients in _in_threads(part_gradients, len(graphs))]
        for_inputs = None
        if graphs[0][0].requires_grad:
            for_inputs = torch.cat([gradients.pop(0) for gradients in found])
        total = found[0]
        for others in found[1:]:
            torch._foreach_add_(total, others)
        remaining = iter(total)
        return None, None, for_inputs, *(next(remaining) if w else None for w in ctx.places)


def _in_threads(run: Callable[[int], Any], count: int) -> list[Any]:
    """run(0), run(1), ... side by side."""
    return list(_workers(count, max(1, torch.get_num_threads() // count)).map(run, range(count)))


@cache
def _workers(count: int, threads_each: int) -> ThreadPoolExecutor:
    """Threads that wait for work, each of which torch gives `threads_each` threads."""
    total = torch.get_num_threads()
    ready = Barrier(count + 1)

    def prepare() -> None:
        torch.get_num_threads()  # else a thread's first operation sets the number back
        torch.set_num_threads(threads_each)
        ready.wait()

    pool = ThreadPoolExecutor(count, "reformer", initializer=prepare)
    for _ in range(count):
        pool.submit(int)
    ready.wait()
    torch.set_num_threads(total)  # of threads to come, which the workers have set, too
    return pool


os.register_at_fork(after_in_child=_workers.cache_clear)  # a child has none of its parent's threads
