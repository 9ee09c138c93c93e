"""A split as numbers: piece ids, the bytes each piece stands for, where rows and documents begin.

Four arrays a split, each a .npy file that is read through a memory map:
    SPLIT.ids.npy        (tokens,) the smallest unsigned type that holds the vocabulary
    SPLIT.bytes.npy      (tokens,) bytes of text each piece stands for, smallest unsigned type
    SPLIT.rows.npy       (rows,) int64, the token at which each row (line of text) begins
    SPLIT.documents.npy  (documents,) int64, the token at which each document begins
"""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import sentencepiece
from numpy.typing import NDArray
from tqdm import tqdm

from stages.text.corpora import document_starts, read_rows

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


def smallest_unsigned(largest: int) -> np.dtype[np.unsignedinteger]:
    """The smallest unsigned type that holds `largest`."""
    return np.dtype(np.min_scalar_type(largest))


def encode(
    tokenizer: sentencepiece.SentencePieceProcessor, rows: Iterable[bytes]
) -> Iterator[tuple[list[int], list[int]]]:
    """Encode rows one by one into piece ids and the bytes of text that each piece stands for.

    A piece stands for the bytes from the end of the piece before it to its own end, across rows
    too: an unknown piece stands for what it replaced, and what the tokenizer's normalisation drops
    (a newline, repeated blanks) counts for the piece that follows. So the bytes add up to the text,
    but for what follows the last piece, which `write_tokens` adds to that piece.
    """
    waiting = 0
    for row in rows:
        encoded = tokenizer.encode(row, return_type="offset_mapping")
        ends = [end for _, end in encoded["offsets"]]
        yield encoded["ids"], [b - a for a, b in itertools.pairwise([-waiting, *ends])]
        waiting = len(row) - ends[-1] if ends else waiting + len(row)


def write_tokens(
    tokenizer: sentencepiece.SentencePieceProcessor, text: Path, split: str, folder: Path
) -> dict[str, int]:
    """Encode a split's text into `folder`, a batch of rows in memory at a time.

    Returns:
        How many tokens, bytes, unknown tokens, rows and documents the split has.
    """
    total_bytes = (text / f"{split}.txt").stat().st_size
    unknown_id = tokenizer.unk_id()
    row_starts, row_bytes, tokens, unknown, longest, covered = [0], [0], 0, 0, 0, 0
    ids_raw, bytes_raw = folder / f"{split}.ids.raw", folder / f"{split}.bytes.raw"
    with (
        ids_raw.open("wb") as ids_file,
        bytes_raw.open("wb") as bytes_file,
        tqdm(total=total_bytes, unit="B", unit_scale=True, desc=split, disable=None) as bar,
    ):
        rows = _measured(read_rows(text, split), row_bytes, bar)
        for ids, stands_for in encode(tokenizer, rows):
            np.array(ids, dtype=np.uint32).tofile(ids_file)
            np.array(stands_for, dtype=np.uint32).tofile(bytes_file)
            tokens += len(ids)
            unknown += ids.count(unknown_id)
            longest = max(longest, *stands_for, 0)
            covered += sum(stands_for)
            row_starts.append(tokens)
    rest = total_bytes - covered
    _compact(ids_raw, folder / f"{split}.ids.npy", tokenizer.vocab_size() - 1)
    _compact(bytes_raw, folder / f"{split}.bytes.npy", longest + rest, add_to_last=rest)
    np.save(folder / f"{split}.rows.npy", np.array(row_starts[:-1], dtype=np.int64))
    rows_of_documents = np.searchsorted(row_bytes, document_starts(text, split))
    starts = np.array(row_starts, dtype=np.int64)[rows_of_documents]
    np.save(folder / f"{split}.documents.npy", starts)
    return {
        "tokens": tokens,
        "bytes": total_bytes,
        "unknown": unknown,
        "rows": len(row_starts) - 1,
        "documents": len(starts),
    }


def _measured(rows: Iterable[bytes], offsets: list[int], bar: "tqdm[None]") -> Iterator[bytes]:
    for row in rows:
        offsets.append(offsets[-1] + len(row))
        bar.update(len(row))
        yield row


def _compact(raw: Path, target: Path, largest: int, add_to_last: int = 0) -> None:
    """Rewrite a raw uint32 file as .npy of the smallest type, without reading it whole."""
    count = raw.stat().st_size // 4
    wide = np.memmap(raw, dtype=np.uint32, mode="r", shape=(count,)) if count else np.empty(0)
    array = np.lib.format.open_memmap(
        target, mode="w+", dtype=smallest_unsigned(largest), shape=(count,)
    )
    for begin in range(0, count, 1 << 20):
        array[begin : begin + (1 << 20)] = wide[begin : begin + (1 << 20)]
    if count and add_to_last:
        array[-1] += array.dtype.type(add_to_last)
    array.flush()
    raw.unlink()


def load_tokens(folder: Path, split: str) -> Tokens:
    """Map a split's arrays from disk."""
    arrays = {
        name: np.load(folder / f"{split}.{name}.npy", mmap_mode="r", allow_pickle=False)
        for name in ("ids", "bytes", "rows", "documents")
    }
    return Tokens(arrays["ids"], arrays["bytes"], arrays["rows"], arrays["documents"])
