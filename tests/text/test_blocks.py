"""Texts read in blocks."""

import io
import random
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reformer_seqlen.text.blocks import after_last_blank, read_blocks, read_parts, split_lines
from reformer_seqlen.text.documents import documents
from reformer_seqlen.text.shuffling import shuffle_lines
from reformer_seqlen.text.splitting import end_of, first_lines
from reformer_seqlen.text.stored import count_words, text_path, write_text
from tests.properties import drawn

TEXT = b"one\ntwo\r\n\nthree three three\nfour"


@pytest.mark.parametrize("size", range(1, 40, 3))
def test_blocks_hold_whole_lines_and_nothing_is_lost(size: int) -> None:
    blocks = list(read_blocks(io.BytesIO(TEXT), size=size))
    assert [row for block in blocks for row in block.rows] == split_lines(TEXT)
    assert not any(block.within for block in blocks)


def test_a_long_row_is_cut_where_it_may_be() -> None:
    text = b"aaaa bbbb cccc\ndd\n"
    blocks = list(read_blocks(io.BytesIO(text), lambda row: row.rfind(b" "), size=6))
    assert b"".join(row for block in blocks for row in block.rows) == text
    assert [(block.rows, block.within) for block in blocks] == [
        ([b"aaaa"], False),
        ([b" bbbb"], True),
        ([b" cccc\n", b"dd\n"], True),
    ]


def test_a_line_ends_at_a_newline_alone() -> None:
    assert split_lines(b"a\rb\x0bc\x0cd\x85\ne\r\n\nf") == [
        b"a\rb\x0bc\x0cd\x85\n",
        b"e\r\n",
        b"\n",
        b"f",
    ]
    assert split_lines(b"") == []


ODD = st.lists(
    st.sampled_from([b"a", b" ", b"\n", b"\r", b"\r\n", b"\x0b", b"\x0c", b"\x1c", b"\xc2\x85"])
    | st.just("\N{LINE SEPARATOR}".encode()),
    min_size=1,
    max_size=40,
).map(b"".join)
"""Texts full of what some call the end of a line."""


def lines_of(text: bytes) -> list[bytes]:
    r"""The definition: a line ends at `\n`, and nowhere else but at the text's end."""
    *whole, rest = text.split(b"\n")
    return [line + b"\n" for line in whole] + [rest] * bool(rest)


@pytest.mark.slow
@drawn
@given(ODD, st.integers(1, 9))
def test_all_who_read_lines_read_the_same_ones(text: bytes, size: int) -> None:
    lines = lines_of(text)
    assert split_lines(text) == lines
    assert b"".join(part for part, _ in read_parts(io.BytesIO(text), len, size)) == text
    with TemporaryDirectory() as name:
        folder = Path(name)
        raw = folder / "raw"
        raw.write_bytes(text)
        closed = [line.removesuffix(b"\n") + b"\n" for line in lines]
        assert list(documents(raw, "lines", "corpora.x")) == [
            line for line in closed if line.strip()
        ]
        assert b"".join(first_lines(documents(raw, "bytes", "corpora.x"), 2)) == b"".join(lines[:2])
        write_text(folder, "whole", documents(raw, "bytes", "corpora.x"), "corpora.x")
        assert text_path(folder, "whole").read_bytes() == text
        words = sum(len(line.decode().split()) + 1 for line in lines)
        assert count_words(folder, "whole") == words
        shuffle_lines(folder, "whole", 1, "shuffled")
        random.Random(1).shuffle(closed)
        assert text_path(folder, "shuffled").read_bytes() == b"".join(closed)
        starts = np.load(folder / "shuffled.documents.npy").tolist()
        assert starts == [sum(map(len, closed[:number])) for number in range(len(closed))]


@pytest.mark.slow
@drawn
@given(ODD, st.integers(1, 60))
def test_a_cut_between_lines_is_after_a_line_or_in_a_text_of_one_after_a_word(
    text: bytes, least: int
) -> None:
    with TemporaryDirectory() as name:
        text_path(Path(name), "whole").write_bytes(text)
        least = min(least, len(text))
        cut = end_of("lines", Path(name), "whole", least)
    ends = [place + 1 for place, byte in enumerate(text) if byte == ord("\n")]
    if not [end for end in ends if end < len(text)]:
        ends = [place + 1 for place, byte in enumerate(text) if byte == ord(" ")]
    assert cut == min(end for end in [*ends, len(text)] if end >= least)


def test_a_long_line_is_read_word_by_word() -> None:
    text = b"ab cd efghi jk\nl m"
    parts = list(read_parts(io.BytesIO(text), after_last_blank, 4))
    assert b"".join(part for part, _ in parts) == text
    assert {part[-1:] for part, _ in parts[:-1]} == {b" ", b"\n"}
    assert [within for _, within in parts] == [
        number > 0 and not parts[number - 1][0].endswith(b"\n") for number in range(len(parts))
    ]
