"""From documents to train, validation and test."""

from typing import Literal

import pytest

from reformer_seqlen.parameters.corpora import Split
from reformer_seqlen.text.splitting import (
    counted_cut_points,
    cut_points,
    first,
    first_lines,
    shuffled_lines,
    split_parts,
)

TENTHS = Split(validation=0.1, test=0.1, between="lines")


def test_the_first_bytes_end_with_a_whole_line() -> None:
    assert list(first([b"aa\n", b"bb\ncc\n", b"dd\n"], 8)) == [b"aa\n", b"bb\n"]
    assert list(first([b"aa\n", b"bbbbbb\n"], 8)) == [b"aa\n"]
    assert list(first([b"aa\n", b"bb\n"], None)) == [b"aa\n", b"bb\n"]


def test_cut_points_by_hand() -> None:
    assert cut_points([10] * 10, 0.2, 0.1) == (7, 9)
    assert cut_points([70, 20, 10], 0.2, 0.1) == (1, 2)


def test_splits_are_contiguous_share_nothing_and_lose_nothing() -> None:
    whole = [b"".join(b"%d.%d\n" % (doc, line) for line in range(9)) for doc in range(20)]
    for between in ("lines", "documents"):
        rule = Split(validation=0.15, test=0.1, between=between)
        parts = split_parts(whole, rule)
        assert b"".join(b"".join(parts[name]) for name in parts) == b"".join(whole)
        lines = [line for name in parts for part in parts[name] for line in part.split()]
        assert len(lines) == len(set(lines))


def test_a_cut_between_lines_may_fall_inside_a_document() -> None:
    parts = split_parts([b"".join(b"%d\n" % line for line in range(10))], TENTHS)
    assert parts["train"] == [b"0\n1\n2\n3\n4\n5\n6\n7\n"]
    assert parts["validation"] == [b"8\n"]
    assert parts["test"] == [b"9\n"]


def test_the_first_lines_end_with_a_whole_line() -> None:
    documents = [b"a\n\n", b"b\nc\nd"]
    assert list(first_lines(documents, None)) == documents
    assert list(first_lines(documents, 2)) == [b"a\n\n"]
    assert list(first_lines(documents, 3)) == [b"a\n\n", b"b\n"]
    assert list(first_lines(documents, 9)) == documents


def test_shuffled_lines_are_the_same_lines_in_the_same_order_for_a_seed() -> None:
    lines = [b"%d\n" % line for line in range(100)]
    once, again, other = (shuffled_lines(lines, seed) for seed in (1, 1, 2))
    assert once == again != other
    assert sorted(once) == sorted(lines)


def test_a_last_line_without_a_newline_stays_a_line_of_its_own_when_shuffled() -> None:
    lines = [b"%d\n" % line for line in range(9)]
    for seed in range(9):
        assert sorted(shuffled_lines([b"".join(lines)[:-1]], seed)) == lines


@pytest.mark.parametrize("between", ["lines", "documents"])
def test_shares_may_be_of_the_number_of_lines_or_documents(
    between: Literal["lines", "documents"],
) -> None:
    parts = [b"x" * size + b"\n" for size in (900, 1, 1, 1, 1, 1, 1, 1, 500, 1)]
    rule = Split(validation=0.2, test=0.1, between=between, shares_of="number")
    split = split_parts(parts, rule)
    assert [len(split[name]) for name in ("train", "validation", "test")] == [7, 2, 1]


def test_shares_of_the_number_are_rounded_down_as_the_study_did() -> None:
    assert counted_cut_points(19, 0.1, 0.1) == (15, 16)
    assert counted_cut_points(1_128_024, 0.1, 0.1) == (902_419, 1_015_221)  # enwik8's lines
    assert counted_cut_points(10, 0.7, 0.1) == (2, 9)
