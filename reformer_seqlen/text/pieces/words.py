"""Rows put together from words, each of which is encoded once.

A tokenizer spends most of its time on words that it has met before. Where it encodes the words of a
row independently of each other, which the caller has to know, a table of words gives the same
pieces several times faster.
"""

import itertools
from array import array
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import pyarrow
from numpy.typing import NDArray

from reformer_seqlen.text.pieces.encoded import Encoded, RowPieces, joined

ROW = b"\xff"
"""Written before a row: a byte that no UTF-8 text has."""
BEFORE = b"a"
"""A word inside a row is encoded behind this one."""
GROUP = 32
"""Words that are encoded as one row, since a row takes time of its own."""
MOST_PIECES = 1 << 21
"""Of all words in the table, about 60 MiB; it is emptied when it has more."""


class RowEncoder(Protocol):
    """A tokenizer that gives a word the same pieces in every row, but at the row's beginning."""

    common: bytes
    """ASCII characters that are pieces, and take a byte in the text and a byte in its pieces."""

    def encode_rows(self, rows: Sequence[bytes]) -> list[RowPieces]:
        """The pieces of each row."""

    def encode_common(self, rows: Sequence[bytes]) -> Encoded:
        """The pieces of rows of blanks and common characters alone."""


class Words:
    """A table of words and their pieces.

    A word ends before a blank that has a visible ASCII character on both sides; it begins with the
    blank that ended the word before it.
    """

    def __init__(self, encoder: RowEncoder) -> None:
        """Begin with an empty table."""
        self._encoder = encoder
        self._forget()

    def _forget(self) -> None:
        self._numbers: dict[bytes, int] = {}
        # Of each word: does it begin a row, its bytes, its pieces, and where they stand below.
        self._first, self._sizes, self._counts, self._places = (array("q") for _ in range(4))
        # Of all words, one after another: ids, and the byte of its word at which each piece ends.
        self._ids, self._ends = array("I", [0]), array("I", [0])

    def encode(self, rows: Sequence[bytes], *, within: bool) -> Encoded:
        """The pieces of rows.

        Args:
            rows: text.
            within: the first row goes on from another, and begins with the blank of a word.
        """
        text = ROW.join(rows)
        if not rows or text.count(ROW) >= len(rows):
            return self._one_by_one(rows, within=within)
        if len(self._ids) > MOST_PIECES:
            self._forget()
        words, which = _different_words(text if within else ROW + text)
        found = map(self._numbers.get, words, itertools.repeat(-1))
        numbers = np.fromiter(found, np.int64, len(words))
        new = np.flatnonzero(numbers < 0)
        if len(new):
            numbers[new] = len(self._numbers) + np.arange(len(new))
            self._learn([words[place] for place in new.tolist()])
        return self._looked_up(numbers[which])

    def _one_by_one(self, rows: Sequence[bytes], *, within: bool) -> Encoded:
        goes_on = self._inside(rows[:1]) if within else []
        pieces = [*goes_on, *self._encoder.encode_rows(rows[len(goes_on) :])]
        whole = joined(rows, pieces)
        return Encoded(whole.ids, whole.ends, whole.rows[len(goes_on) :])

    def _inside(self, words: Sequence[bytes]) -> list[RowPieces]:
        """The pieces of words inside a row; each word begins with its blank."""
        rows = [BEFORE, *(BEFORE + word for word in words)]
        (known, _), *pieces = self._encoder.encode_rows(rows)
        return [
            (ids[len(known) :], [end - len(BEFORE) for end in ends[len(known) :]])
            for ids, ends in pieces
        ]

    def _learn(self, words: Sequence[bytes]) -> None:
        """Put new words at the end of the table."""
        number = len(self._numbers)
        self._numbers.update(zip(words, range(number, number + len(words)), strict=True))
        for column in (self._first, self._sizes, self._counts, self._places):
            column.frombytes(bytes(8 * len(words)))
        common: list[int] = []
        first_common: list[int] = []
        others: list[int] = []
        kinds = {b" ": common, ROW: first_common}
        for place, word in enumerate(words):
            left = word[:1] + word[1:].translate(None, self._encoder.common)
            # The blank at a row's end might become one piece with that of the next word.
            (others if word.endswith(b" ") else kinds.get(left, others)).append(place)
        first = [place for place in others if words[place].startswith(ROW)]
        inside = [place for place in others if not words[place].startswith(ROW)]
        self._add_common(number, common, [words[place] for place in common])
        self._add_first_common(number, first_common, [words[place][1:] for place in first_common])
        texts = [words[place][1:] for place in first]
        self._add(number, first, texts, self._encoder.encode_rows(texts))
        texts = [words[place] for place in inside]
        self._add(number, inside, texts, self._inside(texts))
        for place in (*first, *first_common):
            self._first[number + place] = True

    def _add(
        self,
        number: int,
        places: Sequence[int],
        texts: Sequence[bytes],
        pieces: Sequence[RowPieces],
    ) -> None:
        for place, text, (ids, ends) in zip(places, texts, pieces, strict=True):
            self._sizes[number + place] = len(text)
            self._counts[number + place] = len(ids)
            self._places[number + place] = len(self._ids)
            self._ids.extend(ids)
            self._ends.extend(ends)

    def _add_common(self, number: int, places: list[int], words: list[bytes]) -> None:
        """Encode words inside rows as a few rows, and cut their pieces where the words begin."""
        groups = [[BEFORE, *words[at : at + GROUP]] for at in range(0, len(words), GROUP)]
        encoded = self._encoder.encode_common([b"".join(group) for group in groups])
        of_rows = np.array([len(group) for group in groups], dtype=np.int64)
        is_word = np.ones(of_rows.sum(), dtype=np.bool_)
        is_word[np.cumsum(of_rows) - of_rows] = False
        sizes = np.full(len(is_word), len(BEFORE), dtype=np.int64)
        sizes[is_word] = [len(word) for word in words]
        stops = np.cumsum(sizes)
        cuts = np.searchsorted(encoded.ends, stops, side="right")
        # A row may begin with a piece of no bytes, a blank that the tokenizer adds.
        cuts[np.cumsum(of_rows) - 1] = np.append(encoded.rows, len(encoded.ids))[1:]
        counts = np.diff(cuts, prepend=0)
        ends = encoded.ends - np.repeat(stops - sizes, counts)
        chosen = np.repeat(is_word, counts)
        self._add_arrays(
            number, places, sizes[is_word], counts[is_word], encoded.ids[chosen], ends[chosen]
        )

    def _add_first_common(self, number: int, places: list[int], words: list[bytes]) -> None:
        """Encode words at the beginning of rows."""
        encoded = self._encoder.encode_common(words)
        sizes = np.array([len(word) for word in words], dtype=np.int64)
        counts = np.diff(encoded.rows, append=len(encoded.ids))
        ends = encoded.ends - np.repeat(np.cumsum(sizes) - sizes, counts)
        self._add_arrays(number, places, sizes, counts, encoded.ids, ends)

    def _add_arrays(
        self,
        number: int,
        places: list[int],
        sizes: NDArray[np.int64],
        counts: NDArray[np.int64],
        ids: NDArray[np.unsignedinteger],
        ends: NDArray[np.int64],
    ) -> None:
        where = number + np.array(places, dtype=np.int64)
        np.frombuffer(self._sizes, dtype=np.int64)[where] = sizes
        np.frombuffer(self._counts, dtype=np.int64)[where] = counts
        begins = len(self._ids) + np.cumsum(counts) - counts
        np.frombuffer(self._places, dtype=np.int64)[where] = begins
        self._ids.frombytes(ids.astype(np.uint32).tobytes())
        self._ends.frombytes(ends.astype(np.uint32).tobytes())

    def _looked_up(self, numbers: NDArray[np.int64]) -> Encoded:
        first, sizes, counts, places = (
            np.frombuffer(each, dtype=np.int64)[numbers]
            for each in (self._first, self._sizes, self._counts, self._places)
        )  # (words,)
        begins = np.cumsum(counts) - counts  # (words,) in pieces
        chosen = np.repeat(places - begins, counts) + np.arange(counts.sum())  # (pieces,)
        ids = np.frombuffer(self._ids, dtype=np.uint32)[chosen]
        ends = np.frombuffer(self._ends, dtype=np.uint32)[chosen].astype(np.int64)
        ends += np.repeat(np.cumsum(sizes) - sizes, counts)
        return Encoded(ids, ends, begins[first == 1])


def _different_words(text: bytes) -> tuple[list[bytes], NDArray[np.int32]]:
    """The different words of rows that have ROW before them, and which of them stand in the text.

    A word begins with ROW or with its blank.
    """
    characters = np.frombuffer(text, dtype=np.uint8)
    blank, row = characters == ord(" "), characters == ROW[0]
    graphic = (characters > ord(" ")) & (characters <= ord("~"))
    row[1:-1] |= blank[1:-1] & graphic[:-2] & graphic[2:]
    row[:1] = True
    places = np.append(np.flatnonzero(row), len(text)).astype(np.int32)
    buffers = [None, pyarrow.py_buffer(places), pyarrow.py_buffer(text)]
    words = pyarrow.Array.from_buffers(pyarrow.binary(), len(places) - 1, buffers)
    encoded = words.dictionary_encode()
    _, offsets, content = encoded.dictionary.buffers()
    ends = np.frombuffer(offsets, dtype=np.int32, count=len(encoded.dictionary) + 1).tolist()
    joined_words = content.to_pybytes()
    different = [joined_words[begin:end] for begin, end in itertools.pairwise(ends)]
    # Not `to_numpy`, which imports pandas.
    return different, np.frombuffer(encoded.indices.buffers()[1], dtype=np.int32, count=len(words))
