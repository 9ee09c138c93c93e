"""From documents to train, validation and test."""

from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from reformer_seqlen.parameters.corpora import Split
from reformer_seqlen.runtime.errors import StudyError
from reformer_seqlen.text.documents import Rest
from reformer_seqlen.text.splitting import (
    after,
    byte_shares,
    counted_cut_points,
    end_of,
    first,
    first_lines,
    split_text,
)
from reformer_seqlen.text.stored import write_text

TENTHS = Split(validation=0.1, test=0.1, between="lines")


def split_parts(parts: list[bytes], split: Split, folder: Path) -> dict[str, list[bytes]]:
    """The documents of each split."""
    write_text(folder, "whole", parts, "corpora.x")
    counts = split_text(folder, "whole", split, folder, "corpora.x")
    found = {}
    for name, count in counts.items():
        text = (folder / f"{name}.txt").read_bytes()
        starts = np.load(folder / f"{name}.documents.npy").tolist()
        assert count == {"bytes": len(text), "documents": len(starts)}
        found[name] = [
            text[begin:end] for begin, end in zip(starts, [*starts[1:], None], strict=True)
        ]
    return found


def test_the_first_bytes_end_with_a_whole_line() -> None:
    assert list(first([b"aa\n", b"bb\ncc\n", b"dd\n"], 8)) == [b"aa\n", b"bb\n"]
    assert list(first([b"aa\n", b"bbbbbb\n"], 8)) == [b"aa\n"]
    assert list(first([b"aa\n", b"bb\n"], None)) == [b"aa\n", b"bb\n"]


def test_the_first_lines_end_with_a_whole_line() -> None:
    documents = [b"a\n\n", b"b\nc\nd"]
    assert list(first_lines(documents, None)) == documents
    assert list(first_lines(documents, 2)) == [b"a\n\n"]
    assert list(first_lines(documents, 3)) == [b"a\n\n", b"b\n"]
    assert list(first_lines(documents, 9)) == documents


def test_what_is_left_of_a_part_goes_on_with_its_document() -> None:
    parts = [b"a\n", Rest(b"b\nc\n")]
    assert [type(part) for part in first(parts, 5)] == [bytes, Rest]
    assert [type(part) for part in first_lines(parts, 2)] == [bytes, Rest]


def test_shares_in_bytes() -> None:
    assert byte_shares(100, 0.2, 0.1) == (70, 90)


def test_a_split_takes_documents_until_it_has_its_share(tmp_path: Path) -> None:
    rule = Split(validation=0.2, test=0.1, between="documents")
    tens = [b"%d23456789" % number for number in range(10)]
    found = split_parts(tens, rule, tmp_path)
    assert [len(part) for part in found.values()] == [7, 2, 1]
    found = split_parts([b"a" * 70, b"b" * 20, b"c" * 10], rule, tmp_path)
    assert [len(part) for part in found.values()] == [1, 1, 1]
    assert end_of("documents", tmp_path, "whole", 70) == 70
    assert end_of("documents", tmp_path, "whole", 71) == 90


def test_splits_are_contiguous_share_nothing_and_lose_nothing(tmp_path: Path) -> None:
    whole = [b"".join(b"%d.%d\n" % (doc, line) for line in range(9)) for doc in range(20)]
    for between in ("lines", "documents"):
        for shares_of in ("bytes", "number"):
            rule = Split(validation=0.15, test=0.1, between=between, shares_of=shares_of)
            parts = split_parts(whole, rule, tmp_path)
            assert b"".join(b"".join(parts[name]) for name in parts) == b"".join(whole)
            lines = [line for name in parts for part in parts[name] for line in part.split()]
            assert len(lines) == len(set(lines))


def test_a_cut_between_lines_may_fall_inside_a_document(tmp_path: Path) -> None:
    parts = split_parts([b"".join(b"%d\n" % line for line in range(10))], TENTHS, tmp_path)
    assert parts["train"] == [b"0\n1\n2\n3\n4\n5\n6\n7\n"]
    assert parts["validation"] == [b"8\n"]
    assert parts["test"] == [b"9\n"]


def test_the_last_line_may_lack_its_newline(tmp_path: Path) -> None:
    text = b"\n".join(b"%d" % line for line in range(10))
    assert split_parts([text], TENTHS, tmp_path)["test"] == [b"9"]


def test_a_split_that_would_be_empty_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"corpora\.x: the validation split is empty"):
        split_parts([b"one line\n"], TENTHS, tmp_path)


@pytest.mark.parametrize("between", ["lines", "documents"])
def test_shares_may_be_of_the_number_of_lines_or_documents(
    between: Literal["lines", "documents"], tmp_path: Path
) -> None:
    parts = [b"x" * size + b"\n" for size in (900, 1, 1, 1, 1, 1, 1, 1, 500, 1)]
    rule = Split(validation=0.2, test=0.1, between=between, shares_of="number")
    split = split_parts(parts, rule, tmp_path)
    assert [len(split[name]) for name in ("train", "validation", "test")] == [7, 2, 1]


def test_shares_of_the_number_are_rounded_down_as_the_study_did() -> None:
    assert counted_cut_points(19, 0.1, 0.1) == (15, 16)
    assert counted_cut_points(1_128_024, 0.1, 0.1) == (902_419, 1_015_221)  # enwik8's lines
    assert counted_cut_points(10, 0.7, 0.1) == (2, 9)


def test_a_line_longer_than_what_is_taken_is_cut_after_a_word() -> None:
    assert list(first([b"one two three\n"], 9)) == [b"one two "]
    assert list(first([b"one\n", b"two three\n"], 9)) == [b"one\n"]
    assert list(first([b"one ", Rest(b"two three")], 10)) == [b"one ", b"two "]
    assert list(first([b"a\n", Rest(b"two three")], 9)) == [b"a\n"]
    assert list(first([b"onetwothree\n"], 9)) == []


def test_what_is_left_out_of_one_document_ends_with_a_line() -> None:
    parts = [b"one\ntwo\n", Rest(b"three\n"), Rest(b"four\n")]
    for skipped, left in ((0, 0), (1, 4), (4, 4), (5, 8), (8, 8), (9, 14), (15, 19)):
        kept = list(after(parts, skipped, "lines"))
        assert b"".join(kept) == b"".join(parts)[left:]
        assert not kept or type(kept[0]) is bytes
    assert list(after([b"one two three"], 2, "lines")) == [b"two three"]


def test_rows_are_counted_across_the_parts_of_a_line() -> None:
    parts = [b"one ", Rest(b"two\nthr"), Rest(b"ee\nfour\n")]
    assert b"".join(first_lines(parts, 2)) == b"one two\nthree\n"
