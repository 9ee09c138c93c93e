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
    """The pieces of a block of text."""

    size_bytes: int
    ids: Integers  # (pieces,)
    sizes: Integers  # (pieces,) bytes from the end of the piece before, or the block's beginning
    rows: NDArray[np.int64]  # (rows that begin here,) the piece at which each does
    row_bytes: NDArray[np.int64]  # (rows that begin here,) the byte of the block at which each does


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
        self._rest = 0  # bytes after the last piece
        self._last: tuple[int, int] | None = None  # the last piece's place, and its bytes
        self._long: dict[int, int] = {}

    def add(self, block: BlockPieces) -> None:
        """Write a block's pieces."""
        rows = self._size_bytes + block.row_bytes
        documents = self._documents.up_to(rows[-1]) if len(rows) else rows
        in_rows = np.searchsorted(rows, documents)
        begins, size = block.rows[in_rows], len(self._prefix)
        sizes = block.sizes.astype(np.int64)
        if len(sizes):
            sizes[0] += self._rest
            self._rest = 0
        self._rest += block.size_bytes - int(block.sizes.sum(dtype=np.int64))
        here = len(self._writers["ids"])
        new = np.repeat(begins, size)  # where special tokens go
        is_piece = np.insert(np.ones(len(sizes), dtype=np.bool_), new, False)
        self._writers["ids"].append(np.insert(block.ids, new, np.tile(self._prefix, len(begins))))
        self._write_sizes(np.insert(sizes, new, 0), is_piece, here)
        earlier = np.searchsorted(in_rows, np.arange(len(rows)))  # documents before each row
        self._writers["rows"].append(here + block.rows + size * earlier)
        self._writers["documents"].append(here + begins + size * np.arange(len(begins)))
        self._writers["context"].append(here + np.flatnonzero(~is_piece))
        self._size_bytes += block.size_bytes

    def _write_sizes(
        self, sizes: NDArray[np.int64], is_piece: NDArray[np.bool_], here: int
    ) -> None:
        self._writers["bytes"].append(np.minimum(sizes, LONGEST))
        for place in np.flatnonzero(sizes > LONGEST).tolist():
            self._long[here + place] = int(sizes[place]) - LONGEST
        pieces = np.flatnonzero(is_piece)
        if len(pieces):
            self._last = here + int(pieces[-1]), int(sizes[pieces[-1]])

    def finish(self) -> tuple[FileCounts, NDArray[np.int64]]:
        """Add what follows the last piece to its bytes.

        Returns:
            How many tokens, bytes, rows and documents were written, and the long pieces.
        """
        tokens = len(self._writers["ids"])
        ended = len(self._documents.up_to(np.inf))  # documents that begin after the last row does
        self._writers["documents"].append(np.full(ended, tokens))
        if self._last is not None and self._rest:
            place, size = self._last[0], self._last[1] + self._rest
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
