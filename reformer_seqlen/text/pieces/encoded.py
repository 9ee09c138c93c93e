"""What a tokenizer makes of rows: piece ids, and where each piece ends in the text."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RowPieces = tuple[Sequence[int], Sequence[int]]
"""The ids of a row's pieces, and the byte of the row at which each ends."""


@dataclass(frozen=True)
class Encoded:
    """The pieces of some rows, one row after another.

    A piece stands for the bytes from the end of the piece before it to its own end. Bytes that a
    tokenizer drops, such as a newline, are thus those of the piece after them.
    """

    ids: NDArray[np.unsignedinteger]  # (pieces,)
    ends: NDArray[np.int64]  # (pieces,) the byte of the joined rows at which each piece ends
    rows: NDArray[np.int64]  # (rows that begin here,) the piece at which each does


def joined(rows: Sequence[bytes], pieces: Iterable[RowPieces]) -> Encoded:
    """Join rows that were encoded one by one."""
    ids: list[int] = []
    ends: list[int] = []
    begins = []
    size = 0
    for row, (row_ids, row_ends) in zip(rows, pieces, strict=True):
        begins.append(len(ids))
        ids += row_ids
        ends += [size + end for end in row_ends]
        size += len(row)
    return Encoded(
        np.array(ids, dtype=np.uint32),
        np.array(ends, dtype=np.int64),
        np.array(begins, dtype=np.int64),
    )
