"""Attention over chunks: here of the text, in `hashed_attention` of tokens sorted by bucket.

In both, a query attends to its own chunk and to the chunks before it, so cost grows linearly with
length. The hand-written backward passes save half of the passes over memory, which cost as much as
the products. Read `attend` first, then `LocalAttention`.

Shapes: B batch, H heads, L length, N = B x L tokens, M hidden size, D head size,
C chunk length, W window = C x (1 + chunks before), X all chunks of a batch.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from reformer_seqlen.reformer.dropout import Dropout

MASKED = -(2.0**30)  # never attended to
ONLY_ITSELF = -1e5  # attended to only where a query has nothing else


class Geometry(NamedTuple):
    """How tokens are laid out in heads and chunks."""

    batch: int
    length: int
    heads: int
    size: int  # D
    chunk: int  # C
    before: int  # chunks that a window reaches back

    @property
    def window(self) -> int:
        """W."""
        return self.chunk * (1 + self.before)


class Attended(NamedTuple):
    """What `attend` finds besides its output."""

    probabilities: Tensor  # X C W
    kept: Tensor  # X C W, after dropout; the same tensor without
    sums: Tensor  # X C, log-sum-exp of the scores; empty unless asked for


def windows(rows: Tensor, geometry: Geometry) -> Tensor:
    """Overlapping windows (X, W, D) over rows (before x C + X x C, D).

    A window of a text's first chunk reaches into another text, and has to be masked there.
    """
    return _for_products(rows.unfold(0, geometry.window, geometry.chunk).transpose(1, 2))


def _for_products(view: Tensor) -> Tensor:
    """The view, or a copy of it for bfloat16 on the CPU.

    There oneDNN multiplies, and copies inputs that overlap or have gaps at every product: slowly,
    if they are transposed.
    """
    copied = view.dtype == torch.bfloat16 and view.device.type == "cpu"
    return view.contiguous() if copied else view


def attend(
    scores: Tensor, queries: Tensor, keys: Tensor, values: Tensor, output: Tensor,
    dropout: Dropout, *, rounds: int = 1, itself: Tensor | None = None,
) -> Attended:  # fmt: skip
    """Softmax attention of queries (X, C, D) over windows (X, W, D), into output (X, C, D).

    Args:
        scores: (X, C, W), the mask, which is added to the product; overwritten.
        queries: scaled by 1 / sqrt(D), unless the keys are.
        keys: of the windows.
        values: of the windows.
        output: is filled.
        dropout: of the probabilities.
        rounds: with more than one, the log-sum-exp of the scores is returned.
        itself: (X, C, W), True where scores become ONLY_ITSELF; probabilities are then computed
            in stock's way, which rounds differently there.
    """
    scores.baddbmm_(queries, keys.transpose(1, 2))
    if itself is not None:
        sums = scores.masked_fill_(itself, ONLY_ITSELF).float().logsumexp(-1)
        probabilities = (scores - sums.unsqueeze(-1)).exp_().to(scores.dtype)
    else:
        sums = scores.float().logsumexp(-1) if rounds > 1 else scores.new_empty(0)
        probabilities = torch.softmax(scores, dim=-1)
    kept = probabilities
    if dropout.probability:
        kept = dropout.mask(probabilities).mul_(probabilities)
        kept.mul_(dropout.scale)
    multiply_into(output, kept, values)
    return Attended(probabilities, kept, sums)


def multiply_into(output: Tensor, left: Tensor, right: Tensor) -> None:
    """Fill any view (X, a, c) with the products of (X, a, b) and (X, b, c)."""
    if torch.compiler.is_compiling():  # which knows no such outputs, and fuses the copy
        output.copy_(torch.bmm(left, right))
    else:
        torch.bmm(left, right, out=output)


def score_gradients(
    probabilities: Tensor, kept: Tensor, values: Tensor, output_gradient: Tensor, inner: Tensor
) -> Tensor:
    """Gradients (X, C, W) of scores; inner (X, C, 1) is the dot product of output and gradient.

    The probabilities and what dropout kept of them are as in `Attended`.
    """
    gradient = torch.bmm(output_gradient, values.transpose(1, 2))
    if kept is probabilities:
        return gradient.sub_(inner).mul_(probabilities)
    return gradient.mul_(kept).addcmul_(probabilities, inner, value=-1)


def add_over_windows(rows: Tensor, weights: Tensor, vectors: Tensor, geometry: Geometry) -> None:
    """Fill rows (X*C, D) with the sum, over the windows that hold a row, of weights^T x vectors.

    A chunk of keys is in the window of its own chunk of queries and in those of the next chunks,
    each time C columns further to the left. The weights are copied with a gap of C numbers after
    each chunk, which makes up for that shift: the weights of a chunk of keys are then W numbers
    apart from one query to the next, across chunks, too, and so a single strided view.

    Args:
        rows: the gradient of the rows of `windows`, without those before the first chunk.
        weights: (X, C, W), zero where masked.
        vectors: (X*C, D).
        geometry: of the chunks.
    """
    chunk, before, window = geometry.chunk, geometry.before, geometry.window
    chunks, step = weights.shape[0], chunk * (window + 1)
    skewed = weights.new_empty(chunks * step)
    skewed.as_strided(weights.shape, (step, window, 1)).copy_(weights)
    # the last chunks are in fewer windows, so each is a product of its own
    whole = max(0, chunks - before)
    for first, count in [(0, whole), *((last, 1) for last in range(whole, chunks))]:
        queries = min(window, (chunks - first) * chunk)
        by_key = skewed.as_strided(
            (count, queries, chunk), (step, window, 1), first * step + before * chunk
        )
        begin, end = first * chunk, (first + count) * chunk
        attending = vectors[begin:].unfold(0, queries, chunk)[:count].transpose(1, 2)
        own = rows[begin:end].unflatten(0, (count, chunk))
        multiply_into(own, _for_products(by_key).transpose(1, 2), attending)


def local_bias(geometry: Geometry, real: Tensor | None, like: Tensor) -> Tensor:
    """The mask (1 or B, L / C, C, W) of local scores: 0 where a query may attend, else MASKED."""
    chunk, before, device = geometry.chunk, geometry.before, like.device
    query = torch.arange(geometry.length, device=device).view(-1, chunk, 1)
    first = torch.arange(0, geometry.length, chunk, device=device).view(-1, 1, 1) - before * chunk
    key = first + torch.arange(geometry.window, device=device)  # L/C 1 W
    allowed = ((key <= query) & (key >= 0)).unsqueeze(0)
    if real is not None:
        real_keys = F.pad(real, (before * chunk, 0)).unfold(1, geometry.window, chunk)  # B L/C W
        allowed = allowed & (real_keys.unsqueeze(2) | (key == query))
    bias = torch.zeros(allowed.shape, device=device, dtype=like.dtype)
    return bias.masked_fill_(~allowed, MASKED)


class LocalAttention(torch.autograd.Function):
    """Attention to a query's own chunk and those before it; gives heads' outputs (N, H*D)."""

    @staticmethod
    def forward(
        ctx: Any, projected: Tensor, bias: Tensor, geometry: Geometry, dropouts: list[Dropout]
    ) -> Tensor:
        """Attend; projected (lead + N, 3*H*D) is zeros, then queries, keys and values."""
        lead = geometry.before * geometry.chunk
        output = projected.new_empty(projected.shape[0] - lead, geometry.heads * geometry.size)
        saved: list[Tensor] = []
        for head in range(geometry.heads):
            queries, keys, values = _local_views(projected, head, geometry)
            scores = bias.expand(geometry.batch, -1, -1, -1).flatten(0, 1).clone()
            head_output = _head_chunks(output, head, geometry)
            saved += attend(scores, queries, keys, values, head_output, dropouts[head])[:2]
        ctx.geometry = geometry
        ctx.save_for_backward(projected, output, *saved)
        return output

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """The gradient of projected."""
        geometry: Geometry = ctx.geometry
        projected, output, *saved = ctx.saved_tensors
        inner = (gradient * output).view(-1, geometry.chunk, geometry.heads, geometry.size).sum(-1)
        for_projected = torch.empty_like(projected)
        lead = geometry.before * geometry.chunk
        for_projected[:lead] = 0
        own = for_projected[lead:]
        for head in range(geometry.heads):
            probabilities, kept = saved[2 * head : 2 * head + 2]
            queries, keys, values = _local_views(projected, head, geometry)
            head_gradient = _head_chunks(gradient, head, geometry)
            head_inner = inner[:, :, head].unsqueeze(-1)
            scores = score_gradients(probabilities, kept, values, head_gradient, head_inner)
            for_queries, for_keys, for_values = _head_columns(own, head, geometry)
            multiply_into(for_queries.unflatten(0, (-1, geometry.chunk)), scores, keys)
            add_over_windows(for_keys, scores, queries.flatten(0, 1), geometry)
            add_over_windows(for_values, kept, head_gradient.flatten(0, 1), geometry)
        return for_projected, None, None, None


def _head_columns(projected: Tensor, head: int, geometry: Geometry) -> tuple[Tensor, ...]:
    """Views (rows, D) of a head's queries, keys and values."""
    parts: Tensor = projected.unflatten(1, (3, geometry.heads, geometry.size))[:, :, head]
    return parts.unbind(1)


def _head_chunks(rows: Tensor, head: int, geometry: Geometry) -> Tensor:
    """The view (X, C, D) of a head's columns in rows (N, H*D)."""
    return rows.view(-1, geometry.chunk, geometry.heads, geometry.size)[:, :, head]


def _local_views(projected: Tensor, head: int, geometry: Geometry) -> tuple[Tensor, ...]:
    queries, keys, values = _head_columns(projected, head, geometry)
    own = queries[geometry.before * geometry.chunk :].unflatten(0, (-1, geometry.chunk))
    return own, windows(keys, geometry), windows(values, geometry)
