"""From a source's bytes to the text of three splits; lines are shuffled only if asked for.

A corpus is a sequence of documents, each a sequence of whole lines. A split is a contiguous part of
it, cut between documents or lines, so no text is in two splits.
"""

import io
import itertools
import math
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from reformer_seqlen.parameters.corpora import Corpus, Split, SplitFile
from reformer_seqlen.text.documents import closed, documents


def first(parts: Iterable[bytes], first_bytes: int | None) -> Iterator[bytes]:
    """The documents that fit into `first_bytes`; the first one too long is cut at a line."""
    left = first_bytes
    for part in parts:
        if left is None:
            yield part
        elif len(part) <= left:
            left -= len(part)
            yield part
        else:
            cut = part[: part.rfind(b"\n", 0, left) + 1]
            if cut:
                yield cut
            return


def first_lines(parts: Iterable[bytes], lines: int | None) -> Iterator[bytes]:
    """The documents up to a number of lines; the last one is cut after the last of them."""
    left = lines
    for part in parts:
        if left is None:
            yield part
            continue
        taken = list(itertools.islice(io.BytesIO(part), left))
        left -= len(taken)
        yield b"".join(taken)
        if not left:
            return


def shuffled_lines(parts: Iterable[bytes], seed: int) -> list[bytes]:
    """All lines in an order drawn from `seed`, each a document: how the study read enwik8.

    A last line without a newline gets one, or the line that then follows it would be part of it.
    """
    lines = [closed(line) for part in parts for line in part.splitlines(keepends=True)]
    random.Random(seed).shuffle(lines)  # noqa: S311 - no secret
    return lines


def cut_points(sizes: Sequence[int], validation: float, test: float) -> tuple[int, int]:
    """Where validation and test begin among parts of these sizes, taken in order.

    Each split takes parts until it holds its share of the bytes; the cut falls before the part in
    which the share is reached.

    Example: `cut_points([10] * 10, 0.2, 0.1)` is `(7, 9)`.
    """
    ends = np.cumsum(sizes)
    total = int(ends[-1]) if len(ends) else 0
    shares = np.array([1 - validation - test, 1 - test]) * total
    begin_validation, begin_test = np.searchsorted(ends, np.round(shares), side="left") + 1
    return int(begin_validation), int(begin_test)


def counted_cut_points(parts: int, validation: float, test: float) -> tuple[int, int]:
    """Where validation and test begin by the number of parts, rounded down as the study did.

    Example: `counted_cut_points(19, 0.1, 0.1)` is `(15, 16)`: what is left over goes to test.
    """
    # Rounded first, because 1 - 0.7 - 0.1 is a little less than 0.2.
    shares = (round(share * parts, 6) for share in (1 - validation - test, validation))
    begin_validation, length = map(math.floor, shares)
    return begin_validation, begin_validation + length


def split_parts(parts: Iterable[bytes], split: Split) -> dict[str, list[bytes]]:
    """Cut documents into contiguous train, validation and test.

    With `between: lines` the cut may fall inside a document; the rest of the document is the first
    one of the next split.
    """
    whole = list(parts)
    if split.between == "documents":
        ranges = _ranges(whole, split)
        return {name: whole[begin:end] for name, (begin, end) in ranges.items()}
    lines = [part.splitlines(keepends=True) for part in whole]
    ranges = _ranges(list(itertools.chain.from_iterable(lines)), split)
    return {name: _lines_between(lines, begin, end) for name, (begin, end) in ranges.items()}


def _ranges(parts: Sequence[bytes], split: Split) -> dict[str, tuple[int, int]]:
    if split.shares_of == "bytes":
        cuts = cut_points([len(part) for part in parts], split.validation, split.test)
    else:
        cuts = counted_cut_points(len(parts), split.validation, split.test)
    return {"train": (0, cuts[0]), "validation": cuts, "test": (cuts[1], len(parts))}


def _lines_between(lines: Sequence[Sequence[bytes]], begin: int, end: int) -> list[bytes]:
    offsets = itertools.accumulate((len(part) for part in lines), initial=0)
    inside = (
        b"".join(part[max(begin - offset, 0) : max(end - offset, 0)])
        for part, offset in zip(lines, offsets, strict=False)
    )
    return [part for part in inside if part]


def read_corpus(corpus: Corpus, raw: Mapping[SplitFile, Path]) -> dict[str, Iterable[bytes]]:
    """The documents of each split of a corpus whose raw files are at hand."""
    parts: dict[str, Iterable[bytes]] = {
        name: first_lines(
            first(documents(path, corpus.format), corpus.first_bytes), corpus.first_rows
        )
        for name, path in raw.items()
    }
    if corpus.split is None:
        return parts
    whole = parts["all"]
    if corpus.shuffle_lines_seed is not None:
        whole = shuffled_lines(whole, corpus.shuffle_lines_seed)
    return {**split_parts(whole, corpus.split)}
