"""Rows put together from words, each of which is encoded once.

A tokenizer spends most of its time on words that it has met before. Where it encodes the words of a
row independently of each other, which the caller has to know, a table of words gives the same
pieces several times faster.
"""

from array import array
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from reformer_seqlen.text.pieces.encoded import Encoded, RowPieces, joined

ROW, BLANK = b"\xfe", b"\xff"
"""Written before a row, and for a blank inside a word: bytes that no UTF-8 text has."""
BEFORE = b"a"
"""A word inside a row is encoded behind this one."""
MOST_PIECES = 1 << 19
"""Of all words in the table, about 20 MiB; it is emptied when it has more."""


class Words:
    """A table of words and their pieces.

    A word ends before a blank that has a visible ASCII character on both sides; it begins with the
    blank that ended the word before it.
    """

    def __init__(self, encode: Callable[[Sequence[bytes]], Sequence[RowPieces]]) -> None:
        """Begin with an empty table.

        Args:
            encode: gives the pieces of rows. It must give a word the same pieces in every row, but
                at the row's beginning, where it may give it others.
        """
        self._encode = encode
        self._before = len(encode([BEFORE])[0][0])
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
        if not rows or any(mark in row for row in rows for mark in (ROW, BLANK)):
            return self._one_by_one(rows, within=within)
        if len(self._ids) > MOST_PIECES:
            self._forget()
        words = _words(rows, within=within)
        self._learn(set(words) - self._numbers.keys())
        numbers = np.fromiter(map(self._numbers.__getitem__, words), np.int64, len(words))
        return self._looked_up(numbers)

    def _one_by_one(self, rows: Sequence[bytes], *, within: bool) -> Encoded:
        goes_on = self._inside(rows[:1]) if within else []
        pieces = [*goes_on, *self._encode(rows[len(goes_on) :])]
        whole = joined(rows, pieces)
        return Encoded(whole.ids, whole.ends, whole.rows[len(goes_on) :])

    def _inside(self, words: Sequence[bytes]) -> list[RowPieces]:
        """The pieces of words inside a row; each word begins with its blank."""
        known, size = self._before, len(BEFORE)
        return [
            (ids[known:], [end - size for end in ends[known:]])
            for ids, ends in self._encode([BEFORE + word for word in words])
        ]

    def _learn(self, new: Iterable[bytes]) -> None:
        first: list[bytes] = []
        inside: list[bytes] = []
        for word in new:
            (first if word.startswith(ROW) else inside).append(word)
        texts = [word[1:].replace(BLANK, b" ") for word in first]
        self._add(first, texts, self._encode(texts), begins_row=True)
        texts = [b" " + word.replace(BLANK, b" ") for word in inside]
        self._add(inside, texts, self._inside(texts), begins_row=False)

    def _add(
        self,
        words: Sequence[bytes],
        texts: Sequence[bytes],
        pieces: Sequence[RowPieces],
        *,
        begins_row: bool,
    ) -> None:
        for word, text, (ids, ends) in zip(words, texts, pieces, strict=True):
            self._numbers[word] = len(self._numbers)
            self._first.append(begins_row)
            self._sizes.append(len(text))
            self._counts.append(len(ids))
            self._places.append(len(self._ids))
            self._ids.extend(ids)
            self._ends.extend(ends)

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


def _words(rows: Sequence[bytes], *, within: bool) -> list[bytes]:
    """The words of rows: those that begin a row after ROW, the others without their blank."""
    text = np.frombuffer((b"" if within else ROW) + (b" " + ROW).join(rows), dtype=np.uint8)
    blank, graphic = text == ord(" "), (text > ord(" ")) & (text <= ord("~"))
    before = np.append(within, graphic[:-1])
    after = np.append(graphic[1:], np.False_)
    ends_row = np.append(text[1:] == ROW[0], np.False_)
    marked = text.copy()
    marked[blank & ~((before & after) | ends_row)] = BLANK[0]
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
