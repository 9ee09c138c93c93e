"""From text to tokens: piece ids, and the bytes of text that each piece stands for."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice, starmap
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reformer_seqlen.parameters.tokens import RowShape
from reformer_seqlen.runtime import progress
from reformer_seqlen.runtime.cores import cores
from reformer_seqlen.runtime.shards import Part, going_on
from reformer_seqlen.text.blocks import Block, nowhere, read_blocks
from reformer_seqlen.text.token_files import BlockPieces, FileCounts, token_files
from reformer_seqlen.text.tokenizers import Tokenizer
from reformer_seqlen.text.workers import in_order

BYTES_A_WORKER = 4 << 20
"""Of text, at least: a worker takes time to start."""
NAMED = 20
"""Of the characters that are unknown, the most frequent."""
CUT_SHAPES: tuple[RowShape, ...] = ("whole", "unended")
"""Shapes under which a part of a long row is what it is of the whole row."""


class Counts(FileCounts):
    """What is said of a split in tokens.json.

    Attributes:
        unknown: how many tokens are unknown pieces.
        unknown_characters: the most frequent characters that they stand for.
    """

    unknown: int
    unknown_characters: dict[str, int]


def write_tokens(
    tokenizer: Tokenizer,
    text: Path,
    split: str,
    folder: Path,
    row_shape: RowShape = "whole",
    *,
    prefix: tuple[int, ...] = (),
    workers: int | None = None,
    shards: Path | None = None,
) -> Counts:
    """Encode a split's text into `folder`, some blocks of rows in memory at a time.

    Args:
        tokenizer: of the model.
        text: the folder of a corpus.
        split: which of its texts.
        folder: where the arrays go (see `tokens`).
        row_shape: which part of a line is encoded (see `TokenSet` in parameters).
        prefix: ids to put before each document; they stand for no bytes.
        workers: processes; None for one a core where the text is long enough. They change nothing.
        shards: the folder from whose finished blocks it goes on, where it takes long.

    Returns:
        How many tokens, bytes, unknown tokens, rows and documents the split has, and the unknown
        characters that are most frequent, with their numbers.
    """
    path = text / f"{split}.txt"
    total = path.stat().st_size
    if workers is None:
        workers = worker_count(total)
    last_cut = tokenizer.last_cut if row_shape in CUT_SHAPES else nowhere
    encode = partial(_encode_block, tokenizer, row_shape)
    unknown, characters = 0, Counter[str]()
    documents = text / f"{split}.documents.npy"
    with (
        path.open("rb") as file,
        progress.of_bytes(split, total) as bar,
        token_files(folder, split, documents, tokenizer.vocabulary, prefix) as files,
    ):

        def encoded(blocks: Iterator[Block]) -> Iterator[Part]:
            return starmap(_packed, in_order(encode, blocks, workers))

        for part in going_on(shards, read_blocks(file, last_cut), encoded):
            pieces, replaced = _unpacked(part)
            files.add(pieces)
            unknown += replaced.total()
            characters.update(_characters(replaced))
            bar.update(pieces.size_bytes)
        counts, long = files.finish()
    np.save(folder / f"{split}.long.npy", long)
    named = _unknown_characters(tokenizer, characters)
    return {**counts, "unknown": unknown, "unknown_characters": named}


def worker_count(size: int) -> int:
    """How many processes encode a text of so many bytes."""
    return max(1, min(cores(), size // BYTES_A_WORKER))


def _encode_block(
    tokenizer: Tokenizer, row_shape: RowShape, block: Block
) -> tuple[BlockPieces, Counter[bytes]]:
    """A block's pieces, and how often unknown pieces stand for which bytes."""
    line_begins = _begins(block.rows)
    rows, skipped = rows_of(block.rows, row_shape)
    encoded = tokenizer.encode(rows, within=block.within)
    first = np.append([0] if block.within else [], encoded.rows).astype(np.int64)  # (rows,)
    shifts = line_begins + skipped - _begins(rows)
    ends = encoded.ends + np.repeat(shifts, np.diff(first, append=len(encoded.ids)))
    sizes = np.diff(ends, prepend=0)
    pieces = BlockPieces(
        block.size_bytes,
        encoded.ids.astype(np.min_scalar_type(tokenizer.vocabulary - 1)),
        sizes.astype(np.min_scalar_type(sizes.max(initial=0))),
        encoded.rows,
        line_begins[block.within :],
    )
    unknown = np.flatnonzero(encoded.ids == tokenizer.unknown_id)
    return pieces, _replaced(block, ends[unknown] - sizes[unknown], ends[unknown])


def _packed(pieces: BlockPieces, replaced: Counter[bytes]) -> Part:
    """A block's pieces as arrays alone."""
    named = [[text.decode("latin-1"), times] for text, times in replaced.items()]
    unknown = np.frombuffer(json.dumps(named).encode(), dtype=np.uint8)
    size = np.array(pieces.size_bytes)
    return size, pieces.ids, pieces.sizes, pieces.rows, pieces.row_bytes, unknown


def _unpacked(part: Part) -> tuple[BlockPieces, Counter[bytes]]:
    size, *arrays, unknown = part
    named = json.loads(unknown.tobytes())
    replaced = Counter({text.encode("latin-1"): times for text, times in named})
    return BlockPieces(int(size), *arrays), replaced


def _begins(rows: Sequence[bytes]) -> NDArray[np.int64]:
    sizes = np.array([len(row) for row in rows], dtype=np.int64)
    return np.cumsum(sizes) - sizes


def rows_of(lines: list[bytes], row_shape: RowShape) -> tuple[list[bytes], NDArray[np.int64]]:
    """The rows of lines, and how many bytes of each line come before its row."""
    if row_shape == "whole":
        return lines, np.zeros(len(lines), dtype=np.int64)
    bounds = [_row_bounds(line, row_shape) for line in lines]
    rows = [line[begin:end] for line, (begin, end) in zip(lines, bounds, strict=True)]
    return rows, np.array([begin for begin, _ in bounds], dtype=np.int64)


def _row_bounds(line: bytes, row_shape: RowShape) -> tuple[int, int]:
    """Where a row begins and ends in its line, unless it is all of it."""
    if row_shape == "unended":
        return 0, len(line.removesuffix(b"\n"))
    text = line.decode(errors="surrogateescape")  # blanks are what Unicode calls so
    if row_shape == "blank_empty":
        return 0, len(line) if text.strip() else 0
    begin = len(line) - len(text.lstrip().encode(errors="surrogateescape"))
    return begin, begin + len(text.strip().encode(errors="surrogateescape"))


def _replaced(block: Block, begins: NDArray[np.int64], ends: NDArray[np.int64]) -> Counter[bytes]:
    """How often each text stands between these bytes of a block."""
    text = b"".join(block.rows)
    return Counter(
        text[begin:end] for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)
    )


def _characters(replaced: Counter[bytes]) -> Counter[str]:
    characters: Counter[str] = Counter()
    for text, count in replaced.items():
        for character in text.decode(errors="replace"):
            characters[character] += count
    return characters


def _unknown_characters(tokenizer: Tokenizer, characters: Counter[str]) -> dict[str, int]:
    """Those characters that the tokenizer does not know, the most frequent ones first.

    An unknown piece stands for blanks before it, too, where the tokenizer drops them.
    """
    first = sorted(characters.items(), key=lambda item: (-item[1], item[0]))
    unknown = (
        item for item in first if tokenizer.unknown_id in tokenizer.encode([item[0].encode()]).ids
    )
    return dict(islice(unknown, NAMED))
