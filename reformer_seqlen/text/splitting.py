"""From a source's bytes to the text of three splits; lines are shuffled only if asked for.

A corpus is a sequence of documents, each a sequence of whole lines. A split is a contiguous part of
it, cut between documents or lines, so no text is in two splits.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reformer_seqlen.parameters.common.quantities import SPLITS
from reformer_seqlen.parameters.corpora import Between, Corpus, Split, SplitFile
from reformer_seqlen.text.arrays import array_parts
from reformer_seqlen.text.blocks import after_last_blank, split_lines
from reformer_seqlen.text.documents import documents
from reformer_seqlen.text.shuffling import shuffle_lines
from reformer_seqlen.text.stored import (
    copy_text,
    count_words,
    documents_path,
    text_path,
    write_text,
)

WHOLE = "whole"
"""What a text is called that is not split yet."""
READ_BYTES = 1 << 19
"""At a time."""


def first(parts: Iterable[bytes], first_bytes: int | None) -> Iterator[bytes]:
    """The documents that fit into `first_bytes`; the first one too long is cut at a line.

    Where that leaves nothing, or a line is longer than a block, it is cut after a blank.
    """
    left = math.inf if first_bytes is None else first_bytes
    within = True  # nothing was taken yet, or the last line goes on
    for part in parts:
        if len(part) > left:
            room = part[: int(left)]
            cut = room.rfind(b"\n") + 1 or (after_last_blank(room) if within else 0)
            if cut:
                yield type(part)(room[:cut])
            return
        left -= len(part)
        within = not part.endswith(b"\n")
        yield part


def after(
    parts: Iterable[bytes], skip_bytes: int, between: Between = "documents"
) -> Iterator[bytes]:
    """The documents after the first ones that together have at least `skip_bytes`.

    Whole documents are left out, so that none of them is in a corpus of the first `skip_bytes`.
    What goes on `between` lines begins after a line; where none ends, after a blank.
    """
    left, begun = skip_bytes, False
    for part in parts:
        kept = part if left <= 0 else b""
        if between == "lines" and 0 < left < len(part):
            cut = part.find(b"\n", left - 1) + 1 or part.find(b" ", left - 1) + 1 or len(part)
            kept = type(part)(part[cut:])
        left -= len(part)
        if kept:
            yield kept if begun else bytes(kept)
            begun = True


def first_lines(parts: Iterable[bytes], lines: int | None) -> Iterator[bytes]:
    """The documents up to a number of lines; the last one is cut after the last of them."""
    if lines is None:
        yield from parts
        return
    left = lines
    for part in parts:
        taken = split_lines(part)[:left]
        left -= sum(line.endswith(b"\n") for line in taken)  # the last may go on in the next part
        yield type(part)(b"".join(taken))
        if not left:
            return


def split_text(
    folder: Path, name: str, split: Split, target: Path, key: str
) -> dict[str, dict[str, int]]:
    """Cut a text into contiguous train, validation and test.

    With `between: lines` the cut may fall inside a document; the rest of the document is the first
    one of the next split. A text of one line is cut after blanks.

    Args:
        folder: of the text.
        name: of the text there.
        split: where to cut.
        target: the folder of the three texts.
        key: the text's place in params.yaml, for messages.
    """
    cuts = cut_places(folder, name, split)
    size = text_path(folder, name).stat().st_size
    return {
        part: copy_text(folder, name, begin, end, target, part, key)
        for part, begin, end in zip(SPLITS, (0, *cuts), (*cuts, size), strict=True)
    }


def cut_places(folder: Path, name: str, split: Split) -> tuple[int, int]:
    """The bytes of a text at which validation and test begin, between lines or documents."""
    ends = _ends_between(folder, name, split.between)
    if split.shares_of == "number":
        number = sum(map(len, ends()))
        first_of = counted_cut_points(number, split.validation, split.test)
        return _nth(ends(), first_of)
    size = text_path(folder, name).stat().st_size
    return _reaching(ends(), byte_shares(size, split.validation, split.test))


def end_of(between: Between, folder: Path, name: str, least: int) -> int:
    """The end of a text's first line or document that ends at or after a byte."""
    return _reaching(_ends_between(folder, name, between)(), (least, least))[0]


def byte_shares(size: int, validation: float, test: float) -> tuple[int, int]:
    """How many bytes train, and train and validation together, have at least.

    A split takes lines or documents until it holds its share of the bytes.

    Example: `byte_shares(100, 0.2, 0.1)` is `(70, 90)`.
    """
    train, both = np.round(np.array([1 - validation - test, 1 - test]) * size)
    return int(train), int(both)


def counted_cut_points(parts: int, validation: float, test: float) -> tuple[int, int]:
    """Where validation and test begin by the number of parts, rounded down as the study did.

    Example: `counted_cut_points(19, 0.1, 0.1)` is `(15, 16)`: what is left over goes to test.
    """
    # Rounded first, because 1 - 0.7 - 0.1 is a little less than 0.2.
    shares = (round(share * parts, 6) for share in (1 - validation - test, validation))
    begin_validation, length = map(math.floor, shares)
    return begin_validation, begin_validation + length


Ends = Iterable[NDArray[np.int64]]
"""The byte after each line or document of a text, many at a time."""


def _reaching(ends: Ends, wanted: tuple[int, int]) -> tuple[int, int]:
    """The first ends at or after some bytes."""
    found: list[int] = []
    for part in ends:
        while len(found) < len(wanted) and len(part) and part[-1] >= wanted[len(found)]:
            found.append(int(part[np.searchsorted(part, wanted[len(found)])]))
    return found[0], found[1]


def _nth(ends: Ends, wanted: tuple[int, int]) -> tuple[int, int]:
    """The ends of the first so many lines or documents; 0 is before the first."""
    found, seen = {0: 0}, 0
    for part in ends:
        found |= {n: int(part[n - seen - 1]) for n in wanted if seen < n <= seen + len(part)}
        seen += len(part)
    return found[wanted[0]], found[wanted[1]]


def _ends_between(folder: Path, name: str, between: Between) -> Callable[[], Ends]:
    """Reads the ends of a text's documents or lines; of its words, where it is one line."""
    if between == "documents":
        return partial(_document_ends, folder, name)
    path = text_path(folder, name)
    return partial(_ends_after, path, b"\n" if _has_lines(path) else b" ")


def _has_lines(path: Path) -> bool:
    """Whether a newline stands before a text's last byte."""
    done, size = 0, path.stat().st_size
    with path.open("rb") as file:
        while part := file.read(READ_BYTES):
            if b"\n" in part:
                return done + part.find(b"\n") + 1 < size
            done += len(part)
    return False


def _ends_after(path: Path, mark: bytes) -> Ends:
    """The byte after each mark, and the text's end."""
    done, last = 0, b""
    with path.open("rb") as file:
        while part := file.read(READ_BYTES):
            yield done + 1 + np.flatnonzero(np.frombuffer(part, dtype=np.uint8) == ord(mark))
            done, last = done + len(part), part
    if not last.endswith(mark):
        yield np.array([done])


def _document_ends(folder: Path, name: str) -> Ends:
    begun = 0
    for starts in array_parts(documents_path(folder, name)):
        yield starts if begun else starts[1:]
        begun += len(starts)
    yield np.array([text_path(folder, name).stat().st_size])


def write_splits(
    corpus: Corpus, raw: Mapping[SplitFile, Path], target: Path, work: Path, key: str
) -> dict[str, dict[str, int]]:
    """Write the text of each split of a corpus.

    Args:
        corpus: how its files are read and split.
        raw: the files.
        target: the folder of the texts.
        work: a folder for what is written on the way.
        key: the corpus's place in params.yaml, for messages.

    Returns:
        How many bytes and documents each split has, and words where the corpus is one of words.
    """
    counts = _write_splits(corpus, raw, target, work, key)
    if corpus.words:
        counts = {name: {**n, "words": count_words(target, name)} for name, n in counts.items()}
    return counts


def _write_splits(
    corpus: Corpus, raw: Mapping[SplitFile, Path], target: Path, work: Path, key: str
) -> dict[str, dict[str, int]]:
    texts = {name: _documents(path, corpus, f"{key}.files.{name}") for name, path in raw.items()}
    if corpus.split is None:
        return {name: write_text(target, name, parts, key) for name, parts in texts.items()}
    write_text(work, WHOLE, texts["all"], key)
    name = WHOLE
    if corpus.shuffle_lines_seed is not None:
        shuffle_lines(work, WHOLE, corpus.shuffle_lines_seed, name := "shuffled")
    return split_text(work, name, corpus.split, target, key)


def _documents(raw: Path, corpus: Corpus, key: str) -> Iterator[bytes]:
    found = documents(raw, corpus.format, key)
    return first_lines(first(found, corpus.first_bytes), corpus.first_rows)
