"""What goes into the first layer: words and positions.

Shapes: B batch, L length, L' length padded to whole chunks, M hidden size.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from reformer_seqlen.reformer.axial_positions import (
    check_length,
    check_positions,
    drop_positions,
    drop_positions_at,
    embeddings_at,
    prefix_embeddings,
)
from reformer_seqlen.reformer.dropout import dropped_
from reformer_seqlen.reformer.generation import GenerationCache
from reformer_seqlen.reformer.inputs import Texts
from reformer_seqlen.reformer.layers import POSITIONS, WORDS, Pass


def embed(embeddings: Any, pass_: Pass, texts: Texts) -> Tensor:
    """Words and positions with dropout, padded to (B, L', M)."""
    words, length = texts.words, texts.words.shape[1]
    if pass_.calls:
        words = words.clone()  # a hook may have kept them, and dropout works in place
    positions = _positions(embeddings.position_embeddings, pass_, texts)
    dropout = pass_.dropout(embeddings.dropout, WORDS)
    embedded = dropped_(words, dropout) + positions
    missing = 0 if pass_.real is None else pass_.real.shape[1] - length
    return F.pad(embedded, (0, 0, 0, missing)) if missing else embedded


def _positions(tables: Any, pass_: Pass, texts: Texts) -> Tensor:
    """Position embeddings (1 or B, L, M), with dropout."""
    batch, length, _ = texts.words.shape
    if texts.positions is None:
        check_length(tables, length)
        positions = (
            embeddings_at(tables, torch.arange(length, device=texts.words.device))
            if pass_.calls
            else prefix_embeddings(tables, length)
        )
        return drop_positions(tables, positions, batch, pass_.dropout(tables.dropout, POSITIONS))
    check_positions(tables, texts.positions)
    positions = embeddings_at(tables, texts.positions)
    dropout = pass_.dropout(tables.dropout, POSITIONS)
    return drop_positions_at(tables, positions, texts.positions, dropout)


def embed_newest(embeddings: Any, cache: GenerationCache, words: Tensor) -> Tensor:
    """The word and position (B, M) of the newest token, of words (B, 1, M)."""
    tables = embeddings.position_embeddings
    if cache.position is None:
        check_length(tables, cache.length)
        position = torch.tensor([cache.length - 1], device=words.device)
    else:
        check_positions(tables, cache.position)
        position = cache.position
    return words[:, 0] + embeddings_at(tables, position)
