"""Texts read in blocks."""

import io

import pytest

from reformer_seqlen.text.blocks import read_blocks, split_lines

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
