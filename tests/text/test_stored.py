"""Texts on disk."""

from pathlib import Path

import numpy as np
import pytest

from reformer_seqlen.runtime.errors import StudyError
from reformer_seqlen.text.stored import document_starts, read_rows, write_text


def test_text_is_written_with_its_documents(tmp_path: Path) -> None:
    written = write_text(tmp_path, "test", [b"a\nb\n", b"c\n"], "corpora.x")
    assert written == {"bytes": 6, "documents": 2}
    assert list(read_rows(tmp_path, "test")) == [b"a\n", b"b\n", b"c\n"]
    assert np.array_equal(document_starts(tmp_path, "test"), [0, 4])


def test_an_empty_split_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"corpora\.x: the test split is empty"):
        write_text(tmp_path, "test", [], "corpora.x")
    assert list(tmp_path.iterdir()) == []
