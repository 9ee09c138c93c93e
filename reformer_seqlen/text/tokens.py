"""A split as numbers: piece ids, the bytes each piece stands for, where rows and documents begin.

Four arrays a split, each a .npy file that is read through a memory map:
    SPLIT.ids.npy        (tokens,) the smallest unsigned type that holds the vocabulary
    SPLIT.bytes.npy      (tokens,) bytes of text each piece stands for, smallest unsigned type
    SPLIT.rows.npy       (rows,) int64, the token at which each row (line of text) begins
    SPLIT.documents.npy  (documents,) int64, the token at which each document begins
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import sentencepiece
from numpy.typing import NDArray

Integers = NDArray[np.unsignedinteger]


@dataclass(frozen=True)
class Tokens:
    """A split's tokens, mapped from disk."""

    ids: Integers  # (tokens,)
    piece_bytes: Integers  # (tokens,)
    rows: NDArray[np.int64]  # (rows,)
    documents: NDArray[np.int64]  # (documents,)

    def __len__(self) -> int:
        return len(self.ids)


def load_tokenizer(folder: Path) -> sentencepiece.SentencePieceProcessor:
    """The SentencePiece model of a base model's folder."""
    return sentencepiece.SentencePieceProcessor(model_proto=(folder / "spiece.model").read_bytes())


def load_tokens(folder: Path, split: str) -> Tokens:
    """Map a split's arrays from disk."""
    arrays = {
        name: np.load(folder / f"{split}.{name}.npy", mmap_mode="r", allow_pickle=False)
        for name in ("ids", "bytes", "rows", "documents")
    }
    return Tokens(arrays["ids"], arrays["bytes"], arrays["rows"], arrays["documents"])
