"""Rows put together from words, each of which is encoded once.

A tokenizer spends most of its time on words that it has met before. Where it encodes the words of a
row independently of each other, which the caller has to know, a table of words gives the same
pieces several times faster.
"""

from array import array
from collections.abc import Callable, Sequence

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


class Words:
    """A table of words and their pieces.

    A word ends before a blank that has a visible ASCII character on both sides; it begins with the
    blank that ended the word before it.
    """

    def __init__(
        self, encode: Callable[[Sequence[bytes]], Sequence[RowPieces]], common: bytes
    ) -> None:
        """Begin with an empty table.

        Args:
            encode: gives the pieces of rows. It must give a word the same pieces in every row, but
                at the row's beginning, where it may give it others.
            common: visible ASCII characters; words of these alone are encoded many at a time.
        """
        self._encode = encode
        self._common = common
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
        self._learn(self._numbers.new)
        self._numbers.new = []
        return self._looked_up(numbers)

    def _one_by_one(self, rows: Sequence[bytes], *, within: bool) -> Encoded:
        goes_on = self._inside(rows[:1]) if within else []
        pieces = [*goes_on, *self._encode(rows[len(goes_on) :])]
        whole = joined(rows, pieces)
        return Encoded(whole.ids, whole.ends, whole.rows[len(goes_on) :])

    def _inside(self, words: Sequence[bytes]) -> list[RowPieces]:
        """The pieces of words inside a row; each word begins with its blank."""
        (known, _), *pieces = self._encode([BEFORE, *(BEFORE + word for word in words)])
        return [
            (ids[len(known) :], [end - len(BEFORE) for end in ends[len(known) :]])
            for ids, ends in pieces
        ]

    def _learn(self, words: Sequence[bytes]) -> None:
        """Put new words into the table, at the numbers that they got."""
        number = len(self._first)
        for column in (self._first, self._sizes, self._counts, self._places):
            column.frombytes(bytes(8 * len(words)))
        kinds: tuple[list[int], list[int], list[int]] = ([], [], [])
        for place, word in enumerate(words):
            kind = 1 if word.startswith(ROW) else 2 if word.translate(None, self._common) else 0
            kinds[kind].append(place)
        common, first, others = kinds
        self._add_common(number + np.array(common, dtype=np.int64), [words[i] for i in common])
        texts = [words[place][1:].replace(BLANK, b" ") for place in first]
        self._add([number + place for place in first], texts, self._encode(texts), first=True)
        texts = [b" " + words[place].replace(BLANK, b" ") for place in others]
        self._add([number + place for place in others], texts, self._inside(texts), first=False)

    def _add(
        self,
        numbers: Sequence[int],
        texts: Sequence[bytes],
        pieces: Sequence[RowPieces],
        *,
        first: bool,
    ) -> None:
        for number, text, (ids, ends) in zip(numbers, texts, pieces, strict=True):
            self._first[number] = first
            self._sizes[number] = len(text)
            self._counts[number] = len(ids)
            self._places[number] = len(self._ids)
            self._ids.extend(ids)
            self._ends.extend(ends)

    def _add_common(self, numbers: NDArray[np.int64], words: Sequence[bytes]) -> None:
        """Encode words as one row, and cut its pieces where the words begin."""
        if not words:
            return
        row_ids, row_ends = self._encode([b" ".join([BEFORE, *words])])[0]
        ids, ends = np.array(row_ids, dtype=np.uint32), np.array(row_ends, dtype=np.int64)
        sizes = np.array([1 + len(word) for word in words], dtype=np.int64)
        stops = len(BEFORE) + np.cumsum(sizes)  # (words,) in bytes of the row
        known, *places = np.searchsorted(ends, [len(BEFORE), *stops], side="right")
        counts = np.diff(places, prepend=known)
        own_ends = ends[known:] - np.repeat(stops - sizes, counts)
        np.frombuffer(self._sizes, dtype=np.int64)[numbers] = sizes
        np.frombuffer(self._counts, dtype=np.int64)[numbers] = counts
        np.frombuffer(self._places, dtype=np.int64)[numbers] = (
            len(self._ids) + np.cumsum(counts) - counts
        )
        self._ids.frombytes(ids[known:].tobytes())
        self._ends.frombytes(own_ends.astype(np.uint32).tobytes())

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
    stays = blank & ~np.append(within, graphic[:-1])
    stays[:-1] |= blank[:-1] & ~graphic[1:]
    stays[:-1] &= marked[1:] != ROW[0]
    marked[stays] = BLANK[0]
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
