"""The tokenizer `bytes`: a piece a byte, as the published enwik8 Reformer has it."""

from collections.abc import Sequence

import numpy as np

from reformer_seqlen.text.pieces.encoded import Encoded

SPECIAL_IDS = 2
"""Ids before that of byte 0: padding, and one that is not used."""


class ByteTokenizer:
    """Any bytes, UTF-8 or not, and the same bytes back."""

    vocabulary = SPECIAL_IDS + 256
    unknown_id = None
    document_prefix: tuple[int, ...] = ()

    def encode(self, rows: Sequence[bytes], *, within: bool = False) -> Encoded:
        """A piece for each byte."""
        text = np.frombuffer(b"".join(rows), dtype=np.uint8)
        sizes = np.array([len(row) for row in rows], dtype=np.int64)
        begins = np.cumsum(sizes) - sizes
        ends = np.arange(1, len(text) + 1, dtype=np.int64)
        return Encoded(text.astype(np.uint16) + SPECIAL_IDS, ends, begins[within:])

    def last_cut(self, row: bytes) -> int:
        """A row may be cut anywhere."""
        return len(row)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of the bytes; what is no UTF-8 is shown as U+FFFD."""
        return bytes(each - SPECIAL_IDS for each in ids if each >= SPECIAL_IDS).decode(
            errors="replace"
        )
