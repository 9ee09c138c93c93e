"""How texts are stored: a split's lines, and the byte at which each document begins."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reformer_seqlen.runtime import progress
from reformer_seqlen.runtime.messages import text as messages
from reformer_seqlen.text.arrays import array_parts, growing_array
from reformer_seqlen.text.blocks import BLOCK_BYTES, after_last_blank, read_parts
from reformer_seqlen.text.documents import Rest

COPIED_BYTES = 1 << 20
"""At a time."""
TextBlock = tuple[bytes, NDArray[np.int64]]
"""Some text, and the bytes of it at which documents begin."""


def text_path(folder: Path, split: str) -> Path:
    """The text of a split."""
    return folder / f"{split}.txt"


def documents_path(folder: Path, split: str) -> Path:
    """The array of bytes at which the split's documents begin, int64."""
    return folder / f"{split}.documents.npy"


def write_text(folder: Path, split: str, parts: Iterable[bytes], key: str) -> dict[str, int]:
    """Write `SPLIT.txt` and `SPLIT.documents.npy` from documents, some of them in memory at a time.

    Returns:
        How many bytes and documents were written.

    Raises:
        StudyError: the split is empty; the message names `key`, the text's place in params.yaml.
    """
    return write_blocks(folder, split, _blocks(parts), key)


def _blocks(parts: Iterable[bytes]) -> Iterator[TextBlock]:
    texts: list[bytes] = []
    starts: list[int] = []
    size = 0
    for part in parts:
        if not isinstance(part, Rest):
            starts.append(size)
        texts.append(part)
        size += len(part)
        if size > BLOCK_BYTES:
            yield b"".join(texts), np.array(starts, dtype=np.int64)
            texts, starts, size = [], [], 0
    yield b"".join(texts), np.array(starts, dtype=np.int64)


def write_blocks(folder: Path, split: str, blocks: Iterable[TextBlock], key: str) -> dict[str, int]:
    """Write a text as `write_text` does, from blocks of it."""
    size = 0
    path = text_path(folder, split)
    with (
        path.open("wb") as file,
        growing_array(documents_path(folder, split), np.int64) as documents,
    ):
        for text, starts in blocks:
            documents.append(size + starts)
            size += file.write(text)
        if not size:
            path.unlink()
            raise messages.empty_text(key, split)
    return {"bytes": size, "documents": len(documents)}


def count_words(folder: Path, split: str) -> int:
    r"""The words of a text, between blanks as Unicode has them; each line's end is one more.

    So WikiText-2 and Penn Treebank are counted in the literature, where a line ends with `<eos>`.

    Example: "a b\n\nc\n" has 3 words and 3 ends of lines.
    """
    words, ended = 0, True
    with text_path(folder, split).open("rb") as file:
        for part, _ in read_parts(file, after_last_blank):
            words += len(part.decode(errors="replace").split()) + part.count(b"\n")
            ended = part.endswith(b"\n")
    return words + (not ended)


def copy_text(
    source: Path, name: str, begin: int, end: int, folder: Path, split: str, key: str
) -> dict[str, int]:
    """Write a split that is a part of another text, as `write_text` does.

    A document that is cut goes on as the split's first one.

    Args:
        source: the folder of the text.
        name: of the text there.
        begin: the text's byte with which the part begins.
        end: the byte after it.
        folder: where the part goes.
        split: what it is called.
        key: the text's place in params.yaml, for the message.
    """
    if begin >= end:
        raise messages.empty_text(key, split)
    with (
        text_path(source, name).open("rb") as text,
        text_path(folder, split).open("wb") as file,
        progress.of_bytes(split, end - begin) as bar,
    ):
        text.seek(begin)
        while left := end - begin - file.tell():
            bar.update(file.write(text.read(min(COPIED_BYTES, left))))
    with growing_array(documents_path(folder, split), np.int64) as starts:
        starts.append(np.zeros(1, dtype=np.int64))
        for part in array_parts(documents_path(source, name)):
            starts.append(part[(begin < part) & (part < end)] - begin)
    return {"bytes": end - begin, "documents": len(starts)}
