"""From text to tokens: piece ids, and the bytes of text that each piece stands for."""

import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import sentencepiece

from reformer_seqlen.parameters.tokens import Encoding, RowShape
from reformer_seqlen.runtime import progress
from reformer_seqlen.text.stored import document_starts, read_rows

BLANK = "\N{LOWER ONE EIGHTH BLOCK}"
"""How SentencePiece writes a blank in a piece."""


def encode(
    tokenizer: sentencepiece.SentencePieceProcessor,
    rows: Iterable[bytes],
    encoding: Encoding = "sentencepiece",
    row_shape: RowShape = "whole",
) -> Iterator[tuple[list[int], list[int]]]:
    """Encode rows one by one into piece ids and the bytes of text that each piece stands for.

    A piece stands for all bytes from the end of the piece before it to its own end, across rows
    too. An unknown piece stands for the characters that it replaces. Bytes that the tokenizer drops
    (a newline, repeated blanks) count for the piece after them. Bytes after the last piece count
    for none here: `write_tokens` adds them to the last one, so that the bytes add up to the text.

    Args:
        tokenizer: the SentencePiece model.
        rows: lines of text, each with its newline.
        encoding: whose rules split a row into pieces (see `TokenSet` in parameters).
        row_shape: which part of a line is encoded.
    """
    pieces = _transformers_pieces if encoding == "transformers" else _sentencepiece_pieces
    waiting = 0
    for row in rows:
        begin, end = _bounds(row, row_shape)
        ids, ends = pieces(tokenizer, row[begin:end])
        yield ids, [b - a for a, b in itertools.pairwise([-waiting - begin, *ends])]
        waiting = len(row) - begin - ends[-1] if ends else waiting + len(row)


def _bounds(line: bytes, row_shape: RowShape) -> tuple[int, int]:
    """Where a row begins and ends in its line."""
    if row_shape == "whole":
        return 0, len(line)
    if row_shape == "unended":
        return 0, len(line.removesuffix(b"\n"))
    text = line.decode(errors="surrogateescape")  # blanks are what Unicode calls so
    if row_shape == "blank_empty":
        return 0, len(line) if text.strip() else 0
    begin = len(line) - len(text.lstrip().encode(errors="surrogateescape"))
    return begin, begin + len(text.strip().encode(errors="surrogateescape"))


def _sentencepiece_pieces(
    tokenizer: sentencepiece.SentencePieceProcessor, row: bytes
) -> tuple[list[int], list[int]]:
    """A row's pieces and the byte of the row at which each ends."""
    encoded = tokenizer.encode(row, return_type="offset_mapping")
    return encoded["ids"], [end for _, end in encoded["offsets"]]


def _transformers_pieces(
    tokenizer: sentencepiece.SentencePieceProcessor, row: bytes
) -> tuple[list[int], list[int]]:
    """A row's pieces as transformers' tokenizer makes them, and where each ends."""
    known = [each for each in (tokenizer.unk_id(), tokenizer.eos_id()) if each >= 0]
    spelt = re.compile("|".join(re.escape(tokenizer.id_to_piece(each)) for each in known).encode())
    ids: list[int] = []
    ends: list[int] = []
    begin = 0
    for match in [*spelt.finditer(row), None]:
        part = row[begin : match.start() if match else len(row)]
        inside, inside_ends = _sentencepiece_pieces(tokenizer, part)
        ids += inside
        ends += [begin + end for end in inside_ends]
        if _ends_blank(tokenizer, part):
            ids.append(tokenizer.piece_to_id(BLANK))
            ends.append(begin + len(part))
        if match:
            ids.append(tokenizer.piece_to_id(match.group().decode()))
            ends.append(begin := match.end())
    return ids, ends


def _ends_blank(tokenizer: sentencepiece.SentencePieceProcessor, part: bytes) -> bool:
    """Whether a text ends with a blank after normalisation, such as a no-break space."""
    if part[-1:].isascii():
        return part[-1:].isspace()
    # SentencePiece drops a blank at the end, so normalise with a letter behind it.
    return bool(tokenizer.normalize(part.decode(errors="replace") + "x").endswith(f"{BLANK}x"))


def write_tokens(
    tokenizer: sentencepiece.SentencePieceProcessor,
    text: Path,
    split: str,
    folder: Path,
    encoding: Encoding = "sentencepiece",
    row_shape: RowShape = "whole",
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
        progress.of_bytes(split, total_bytes) as bar,
    ):
        rows = _measured(read_rows(text, split), row_bytes, bar.update)
        for ids, stands_for in encode(tokenizer, rows, encoding, row_shape):
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


def _measured(
    rows: Iterable[bytes], offsets: list[int], done: Callable[[float], object]
) -> Iterator[bytes]:
    for row in rows:
        offsets.append(offsets[-1] + len(row))
        done(len(row))
        yield row


def _compact(raw: Path, target: Path, largest: int, add_to_last: int = 0) -> None:
    """Rewrite a raw uint32 file as .npy of the smallest type, without reading it whole."""
    count = raw.stat().st_size // 4
    wide = np.memmap(raw, dtype=np.uint32, mode="r", shape=(count,)) if count else np.empty(0)
    smallest = np.min_scalar_type(largest)
    array = np.lib.format.open_memmap(target, mode="w+", dtype=smallest, shape=(count,))
    for begin in range(0, count, 1 << 20):
        array[begin : begin + (1 << 20)] = wide[begin : begin + (1 << 20)]
    if count and add_to_last:
        array[-1] += array.dtype.type(add_to_last)
    array.flush()
    raw.unlink()
