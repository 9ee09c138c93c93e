"""Position embeddings of a Reformer at any length.

Axial tables of shape (rows, columns) hold position p at row p // columns of the first and column
p % columns of the second. A text of any length up to rows x columns therefore uses a prefix of
the trained tables, exactly; stock transformers refuses that in training.

Shapes: B batch, L length, M hidden size.
"""

from typing import Any, TypeAlias

import torch
from torch import Tensor
from transformers.models.reformer.modeling_reformer import (
    AxialPositionEmbeddings,
    PositionEmbeddings,
)

from reformer_seqlen.reformer.dropout import Dropout, dropped_
from reformer_seqlen.runtime.messages import reformer as messages

Positions: TypeAlias = Any
"""An AxialPositionEmbeddings or a PositionEmbeddings of transformers, which is not typed."""


def position_limit(embeddings: Positions) -> int:
    """How many positions the tables hold."""
    if isinstance(embeddings, AxialPositionEmbeddings):
        rows, columns = embeddings.axial_pos_shape
        return int(rows * columns)
    return int(embeddings.embedding.num_embeddings)


def check_length(embeddings: Positions, length: int) -> None:
    """Refuse a text that reaches beyond the position tables."""
    limit = position_limit(embeddings)
    if length > limit:
        raise messages.beyond_positions(length, limit)


def check_positions(embeddings: Positions, positions: Tensor) -> None:
    """Refuse positions (B, L) outside the position tables."""
    if torch.compiler.is_compiling() or not positions.numel():
        return
    check_length(embeddings, int(positions.max()) + 1)
    if positions.min() < 0:
        raise messages.negative_position(int(positions.min()))


def prefix_embeddings(embeddings: Positions, length: int) -> Tensor:
    """Embeddings (L, M) of the first positions, by slices, whose gradients are cheap."""
    if isinstance(embeddings, PositionEmbeddings):
        table: Tensor = embeddings.embedding.weight
        return table[:length]
    row_table, column_table = embeddings.weights  # (rows, 1, m), (1, columns, m')
    columns = min(column_table.shape[1], length)
    rows = -(-length // columns)
    grid = torch.cat(
        [
            row_table[:rows].expand(-1, columns, -1),
            column_table[:, :columns].expand(rows, -1, -1),
        ],
        dim=-1,
    )
    return grid.flatten(0, 1)[:length]


def embeddings_at(embeddings: Positions, positions: Tensor) -> Tensor:
    """Embeddings (..., M) of any positions (...)."""
    if isinstance(embeddings, PositionEmbeddings):
        looked_up: Tensor = embeddings.embedding(positions)
        return looked_up
    row_table, column_table = embeddings.weights
    columns = column_table.shape[1]
    return torch.cat([row_table[positions // columns, 0], column_table[0, positions % columns]], -1)


def drop_positions(embeddings: Positions, vectors: Tensor, batch: int, dropout: Dropout) -> Tensor:
    """Stock's dropout on vectors (L, M) of the first positions, for each text of a batch.

    Of plain tables it drops single numbers. Of axial ones it drops whole columns: in a text, all
    numbers of every position p with the same p % columns (stock's dropout2d).

    Returns:
        (B, L, M), or (1, L, M) if nothing is dropped.
    """
    if not dropout.probability:
        return vectors.unsqueeze(0)
    positions = torch.arange(vectors.shape[0], device=vectors.device).expand(batch, -1)
    return drop_positions_at(embeddings, vectors.expand(batch, -1, -1), positions, dropout)


def drop_positions_at(
    embeddings: Positions, vectors: Tensor, positions: Tensor, dropout: Dropout
) -> Tensor:
    """The same dropout on vectors (B, L, M) of any positions (B, L)."""
    if not dropout.probability:
        return vectors
    if isinstance(embeddings, PositionEmbeddings):
        return dropped_(vectors.clone(), dropout)
    columns = embeddings.axial_pos_shape[1]
    mask = dropout.mask(vectors.new_empty(positions.shape[0], columns)).mul_(dropout.scale)
    return vectors * mask.gather(1, positions % columns).unsqueeze(-1)
