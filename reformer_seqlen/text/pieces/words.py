"""Rows put together from words, each of which is encoded once.

A tokenizer spends most of its time on words that it has met before. Where it encodes the words of a
row independently of each other, which the caller has to know, a table of words gives the same
pieces several times faster.
"""

from array import array
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from reformer_seqlen.text.pieces.encoded import Encoded, RowPieces, joined

ROW, BLANK = b"\xfe", b"\xff"
"""Written before a row, and for a blank inside a word: bytes that no UTF-8 text has."""
BEFORE = b"a"
"""A word inside a row is encoded behind this one."""
MOST_PIECES = 1 << 20
"""Of all words in the table, about 30 MiB; it is emptied when it has more."""


class _Numbers(dict[bytes, int]):
    """The number of each word. One that is looked up for the first time gets the next number."""

    def __init__(self) -> None:
        super().__init__()
        self.new: list[bytes] = []

    def __missing__(self, word: bytes) -> int:
        self.new.append(word)
        self[word] = number = len(self)
        return number


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
        # A blank in a word is common, too, if it is as any other character is.
        self._common = encoder.common.replace(b" ", BLANK)
        self._forget()

    def _forget(self) -> None:
        self._numbers = _Numbers()
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
        text = (b" " + ROW).join(rows)
        if not rows or text.count(ROW) >= len(rows) or BLANK in text:
            return self._one_by_one(rows, within=within)
        if len(self._ids) > MOST_PIECES:
            self._forget()
        words = _words(text, within=within)
        numbers = np.fromiter(map(self._numbers.__getitem__, words), np.int64, len(words))
        if self._numbers.new:
            self._learn(self._numbers.new)
            self._numbers.new = []
        return self._looked_up(numbers)

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
        """Put new words into the table, at the numbers that they got."""
        number = len(self._first)
        for column in (self._first, self._sizes, self._counts, self._places):
            column.frombytes(bytes(8 * len(words)))
        kinds: tuple[list[int], ...] = ([], [], [], [])
        for place, word in enumerate(words):
            begins_row = word.startswith(ROW)
            inner = word[begins_row:]
            is_common = not inner.translate(None, self._common) and not inner.endswith(BLANK)
            kinds[2 * begins_row + is_common].append(place)
        others, common, first_others, first_common = (
            (
                [number + place for place in places],
                [words[place].lstrip(ROW).replace(BLANK, b" ") for place in places],
            )
            for places in kinds
        )
        self._add_common(*common)
        self._add_first_common(*first_common)
        self._add(*first_others, self._encoder.encode_rows(first_others[1]))
        texts = [b" " + text for text in others[1]]
        self._add(others[0], texts, self._inside(texts))
        for number in (*first_others[0], *first_common[0]):
            self._first[number] = True

    def _add(
        self, numbers: Sequence[int], texts: Sequence[bytes], pieces: Sequence[RowPieces]
    ) -> None:
        for number, text, (ids, ends) in zip(numbers, texts, pieces, strict=True):
            self._sizes[number] = len(text)
            self._counts[number] = len(ids)
            self._places[number] = len(self._ids)
            self._ids.extend(ids)
            self._ends.extend(ends)

    def _add_common(self, numbers: Sequence[int], words: Sequence[bytes]) -> None:
        """Encode words inside a row as one row, and cut its pieces where the words begin."""
        encoded = self._encoder.encode_common([b" ".join([BEFORE, *words])])
        sizes = np.array([1 + len(word) for word in words], dtype=np.int64)
        stops = len(BEFORE) + np.cumsum(sizes)  # (words,) in bytes of the row
        places = np.searchsorted(encoded.ends, np.append(len(BEFORE), stops), side="right")
        known, counts = places[0], np.diff(places)
        ends = encoded.ends[known:] - np.repeat(stops - sizes, counts)
        self._add_arrays(numbers, sizes, counts, encoded.ids[known:], ends)

    def _add_first_common(self, numbers: Sequence[int], words: Sequence[bytes]) -> None:
        """Encode words at the beginning of rows."""
        encoded = self._encoder.encode_common(words)
        sizes = np.array([len(word) for word in words], dtype=np.int64)
        counts = np.diff(encoded.rows, append=len(encoded.ids))
        ends = encoded.ends - np.repeat(np.cumsum(sizes) - sizes, counts)
        self._add_arrays(numbers, sizes, counts, encoded.ids, ends)

    def _add_arrays(
        self,
        numbers: Sequence[int],
        sizes: NDArray[np.int64],
        counts: NDArray[np.int64],
        ids: NDArray[np.unsignedinteger],
        ends: NDArray[np.int64],
    ) -> None:
        where = np.array(numbers, dtype=np.int64)
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


def _words(text: bytes, *, within: bool) -> list[bytes]:
    """The words of rows, which ROW separates: those that begin one after ROW, others bare.

    A bare word is one without its blank.
    """
    marked = np.frombuffer((b"" if within else ROW) + text, dtype=np.uint8).copy()
    blank, graphic = marked == ord(" "), (marked > ord(" ")) & (marked <= ord("~"))
    ends_word = np.zeros(len(marked), dtype=np.bool_)
    ends_word[1:-1] = graphic[:-2] & graphic[2:]
    ends_word[:-1] |= marked[1:] == ROW[0]
    ends_word[:1] |= within
    marked[blank & ~ends_word] = BLANK[0]
    words = marked.tobytes().split(b" ")
    return words[1:] if within else words


def last_cut(row: bytes) -> int:
    """Where the last word of a row begins, 0 where it is the only one."""
    place = row.rfind(b" ", 0, -1)
    while place > 0:
        if ord("!") <= row[place - 1] <= ord("~") and ord("!") <= row[place + 1] <= ord("~"):
            return place
        place = row.rfind(b" ", 0, place)
    return 0
