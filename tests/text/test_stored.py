"""Texts on disk."""

from pathlib import Path

import numpy as np
import pytest

from reformer_seqlen.runtime.errors import StudyError
from reformer_seqlen.text import stored
from reformer_seqlen.text.documents import Rest
from reformer_seqlen.text.stored import copy_text, count_words, write_text


def documents(folder: Path, split: str) -> list[int]:
    return [*np.load(folder / f"{split}.documents.npy").tolist()]


def test_text_is_written_with_its_documents(tmp_path: Path) -> None:
    written = write_text(tmp_path, "test", [b"a\nb\n", b"c\n"], "corpora.x")
    assert written == {"bytes": 6, "documents": 2}
    assert (tmp_path / "test.txt").read_bytes() == b"a\nb\nc\n"
    assert documents(tmp_path, "test") == [0, 4]


@pytest.mark.parametrize("block", [0, 3, 100])
def test_a_document_may_come_in_parts(
    tmp_path: Path, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored, "BLOCK_BYTES", block)
    parts = [b"a\n", Rest(b"b\n"), b"c\n", Rest(b"d\n"), b"e\n"]
    assert write_text(tmp_path, "test", parts, "corpora.x") == {"bytes": 10, "documents": 3}
    assert documents(tmp_path, "test") == [0, 4, 8]


def test_words_stand_between_blanks_and_a_lines_end_is_one(tmp_path: Path) -> None:
    r"""Of ` = A = \n`, a blank line, and a last line that is not ended: 3 + 1, 0 + 1, 2 + 1."""
    text = " = A = \n \ntwo\u2003words".encode()  # an em space is a blank, too
    write_text(tmp_path, "test", [text], "corpora.x")
    assert count_words(tmp_path, "test") == 8


def test_an_empty_split_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"corpora\.x: the test split is empty"):
        write_text(tmp_path, "test", [], "corpora.x")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("begin", "end", "begins"), [(0, 8, [0, 4]), (2, 8, [0, 2]), (4, 6, [0]), (6, 8, [0])]
)
def test_a_part_of_a_text_begins_with_a_document(
    tmp_path: Path, begin: int, end: int, begins: list[int]
) -> None:
    text = b"a\nb\nc\nd\n"
    write_text(tmp_path, "whole", [text[:4], text[4:]], "corpora.x")
    copied = copy_text(tmp_path, "whole", begin, end, tmp_path, "test", "corpora.x")
    assert copied == {"bytes": end - begin, "documents": len(begins)}
    assert (tmp_path / "test.txt").read_bytes() == text[begin:end]
    assert documents(tmp_path, "test") == begins
