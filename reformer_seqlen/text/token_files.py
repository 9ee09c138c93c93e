"""Writes a split's tokens, a block after another, into the arrays that `tokens` reads."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import numpy as np
from numpy.typing import DTypeLike, NDArray

from reformer_seqlen.text.arrays import ArrayWriter, SortedReader, growing_array
from reformer_seqlen.text.tokens import LONGEST, Integers


class FileCounts(TypedDict):
    """How much of a split was written."""

    tokens: int
    bytes: int
    rows: int
    documents: int


@dataclass(frozen=True)
class BlockPieces:
    """The pieces of a block of text; all bytes are counted from the block's beginning."""

    size_bytes: int
    ids: Integers  # (pieces,)
    ends: Integers  # (pieces,) the byte at which each ends
    rows: NDArray[np.int64]  # (rows that begin here,) the piece at which each does
    row_bytes: NDArray[np.int64]  # (rows that begin here,) the byte at which each does


class TokenFiles:
    """A split's arrays while they are written."""

    def __init__(
        self,
        writers: dict[str, ArrayWriter],
        documents: SortedReader,
        prefix: tuple[int, ...],
    ) -> None:
        """Begin a split.

        Args:
            writers: of the arrays ids, bytes, rows, documents and context.
            documents: reads the byte at which each document begins.
            prefix: ids to put before each document.
        """
        self._writers = writers
        self._documents = documents
        self._prefix = np.array(prefix, dtype=np.int64)
        self._size_bytes = 0
        self._end = 0  # of the last piece, in bytes of the text
        self._last: tuple[int, int] | None = None  # the last piece's place, and its bytes
        self._long: dict[int, int] = {}

    def add(self, block: BlockPieces) -> None:
        """Write a block's pieces."""
        rows = self._size_bytes + block.row_bytes
        documents = self._documents.up_to(rows[-1]) if len(rows) else rows
        in_rows = np.searchsorted(rows, documents)
        begins, ends = block.rows[in_rows], self._size_bytes + block.ends.astype(np.int64)
        size = len(self._prefix)
        new = np.repeat(begins, size)
        stands_for = np.insert(np.diff(ends, prepend=self._end), new, 0)
        is_piece = np.insert(np.ones(len(ends), dtype=np.bool_), new, False)
        here = len(self._writers["ids"])
        self._writers["ids"].append(np.insert(block.ids, new, np.tile(self._prefix, len(begins))))
        self._write_bytes(stands_for, is_piece, here)
        before = np.searchsorted(in_rows, np.arange(len(rows)))  # documents before each row
        self._writers["rows"].append(here + block.rows + size * before)
        self._writers["documents"].append(here + begins + size * np.arange(len(begins)))
        self._writers["context"].append(here + np.flatnonzero(~is_piece))
        self._size_bytes += block.size_bytes
        self._end = int(ends[-1]) if len(ends) else self._end

    def _write_bytes(
        self, stands_for: NDArray[np.int64], is_piece: NDArray[np.bool_], here: int
    ) -> None:
        self._writers["bytes"].append(np.minimum(stands_for, LONGEST))
        for place in np.flatnonzero(stands_for > LONGEST).tolist():
            self._long[here + place] = int(stands_for[place]) - LONGEST
        pieces = np.flatnonzero(is_piece)
        if len(pieces):
            self._last = here + int(pieces[-1]), int(stands_for[pieces[-1]])

    def finish(self) -> tuple[FileCounts, NDArray[np.int64]]:
        """Add what follows the last piece to its bytes.

        Returns:
            How many tokens, bytes, rows and documents were written, and the long pieces.
        """
        tokens, rest = len(self._writers["ids"]), self._size_bytes - self._end
        ended = len(self._documents.up_to(np.inf))  # documents that begin after the last row does
        self._writers["documents"].append(np.full(ended, tokens))
        if self._last is not None and rest:
            place, size = self._last[0], self._last[1] + rest
            self._writers["bytes"].replace(place, min(size, LONGEST))
            if size > LONGEST:
                self._long[place] = size - LONGEST
        counts: FileCounts = {
            "tokens": tokens,
            "bytes": self._size_bytes,
            "rows": len(self._writers["rows"]),
            "documents": len(self._writers["documents"]),
        }
        return counts, np.array([*self._long.items()], dtype=np.int64).reshape(-1, 2)


@contextmanager
def token_files(
    folder: Path, split: str, documents: Path, vocabulary: int, prefix: tuple[int, ...]
) -> Iterator[TokenFiles]:
    """Open the arrays of a split.

    Args:
        folder: where they go.
        split: `train`, `validation` or `test`.
        documents: the array of bytes at which documents begin.
        vocabulary: how many ids there are.
        prefix: ids to put before each document.
    """
    types: dict[str, DTypeLike] = {
        "ids": np.min_scalar_type(vocabulary - 1),
        "bytes": np.uint8,
        "rows": np.int64,
        "documents": np.int64,
        "context": np.int64,
    }
    with ExitStack() as stack:
        writers = {
            name: stack.enter_context(growing_array(folder / f"{split}.{name}.npy", dtype))
            for name, dtype in types.items()
        }
        yield TokenFiles(writers, SortedReader(documents), prefix)
