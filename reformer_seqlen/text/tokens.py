"""A split as numbers: piece ids, the bytes each piece stands for, where rows and documents begin.

Six arrays a split, each a .npy file that is read through a memory map:
    SPLIT.ids.npy        (tokens,) the smallest unsigned type that holds the vocabulary
    SPLIT.bytes.npy      (tokens,) uint8, bytes of text each piece stands for, 255 where it is more
    SPLIT.long.npy       (long pieces, 2) int64, tokens of more than 255 bytes, and the bytes beyond
    SPLIT.rows.npy       (rows,) int64, the token at which each row (line of text) begins
    SPLIT.documents.npy  (documents,) int64, the token at which each document begins
    SPLIT.context.npy    (context tokens,) int64, the special tokens put before documents
A token thus takes two bytes under a vocabulary of up to 256 pieces, three under one of up to
65,536, five above, and a rare long piece changes none of it.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.unsignedinteger]
LONGEST = 255
"""Bytes of text that a uint8 can say."""


def _none() -> NDArray[np.int64]:
    return np.empty(0, dtype=np.int64)


def _no_pairs() -> NDArray[np.int64]:
    return np.empty((0, 2), dtype=np.int64)


@dataclass(frozen=True)
class Tokens:
    """A split's tokens, mapped from disk; `bytes_of` counts bytes, long pieces included."""

    ids: Integers  # (tokens,)
    piece_bytes: NDArray[np.uint8]  # (tokens,)
    rows: NDArray[np.int64]  # (rows,)
    documents: NDArray[np.int64]  # (documents,)
    context: NDArray[np.int64] = field(default_factory=_none)  # (context tokens,)
    long: NDArray[np.int64] = field(default_factory=_no_pairs)  # (long pieces, 2)

    def __len__(self) -> int:
        return len(self.ids)

    def bytes_of(self, positions: NDArray[np.int64] | slice) -> int:
        """The bytes of text that some tokens, none of them twice, stand for together."""
        short = int(self.piece_bytes[positions].sum(dtype=np.int64))
        if not len(self.long):
            return short
        chosen = np.zeros(len(self), dtype=np.bool_)
        chosen[positions] = True
        return short + int(self.long[chosen[self.long[:, 0]], 1].sum())

    def sizes(self) -> NDArray[np.int64]:
        """The bytes of text that each token stands for, (tokens,)."""
        sizes = self.piece_bytes.astype(np.int64)
        sizes[self.long[:, 0]] += self.long[:, 1]
        return sizes

    def is_context(self, positions: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of these tokens are special ones before a document: context, never a target."""
        if not len(self.context):
            return np.zeros(positions.shape, dtype=np.bool_)
        places = np.searchsorted(self.context, positions).clip(max=len(self.context) - 1)
        found: NDArray[np.bool_] = self.context[places] == positions
        return found


def load_tokens(folder: Path, split: str) -> Tokens:
    """Map a split's arrays from disk."""
    ids, piece_bytes, *others = (
        np.load(folder / f"{split}.{name}.npy", mmap_mode="r", allow_pickle=False)
        for name in ("ids", "bytes", "rows", "documents", "context", "long")
    )
    return Tokens(ids, piece_bytes, *others)
