"""The stage `download`: a declared text becomes three splits and a record of where it is from."""

import gzip
import hashlib
import random
from pathlib import Path

import numpy as np
import pytest

from reformer_seqlen.runtime.errors import StudyError
from reformer_seqlen.runtime.files import read_json
from reformer_seqlen.runtime.paths import TEXTS, WORK
from stages.download import main
from tests.small_study import LINES, SmallStudy

NEWS = TEXTS / "news"
TEXT = b"".join(LINES)


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallStudy:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REFORMER_SEQLEN_MIRROR", raising=False)
    return SmallStudy()


def test_a_text_is_split_in_order(study: SmallStudy) -> None:
    study.run(main, "news")
    assert (NEWS / "train.txt").read_bytes() == b"".join(LINES[:6])
    assert (NEWS / "validation.txt").read_bytes() == b"".join(LINES[6:8])
    assert (NEWS / "test.txt").read_bytes() == b"".join(LINES[8:])
    assert np.load(NEWS / "validation.documents.npy").tolist() == [0, 28]


def test_the_record_says_what_was_read_and_made(study: SmallStudy) -> None:
    study.run(main, "news")
    record = read_json(NEWS / "source.json")
    assert (record["corpus"], record["licence"]) == ("news", "my own")
    [source] = record["sources"]
    assert (source["file"], source["kind"], source["size_bytes"]) == ("all", "path", 280)
    assert source["sha256"] == hashlib.sha256(TEXT).hexdigest()
    assert record["splits"] == {
        "train": {"bytes": 168, "documents": 6},
        "validation": {"bytes": 56, "documents": 2},
        "test": {"bytes": 56, "documents": 2},
    }


def test_the_record_counts_words_where_a_text_is_of_words(study: SmallStudy) -> None:
    """10 trees grow by the river. and the line's end: 7 words a line."""
    study.corpus["words"] = True
    study.run(main, "news")
    splits = read_json(NEWS / "source.json")["splits"]
    assert {name: size["words"] for name, size in splits.items()} == {
        "train": 42,
        "validation": 14,
        "test": 14,
    }


def test_a_file_without_a_checksum_is_told_its_checksum(
    study: SmallStudy, capsys: pytest.CaptureFixture[str]
) -> None:
    digest = hashlib.sha256(TEXT).hexdigest()
    study.run(main, "news")
    said = f"corpora.news.files.all: no sha256 is declared, it is {digest} now; without it"
    assert said in capsys.readouterr().out
    study.corpus["files"]["all"]["sha256"] = digest
    study.run(main, "news")
    assert "no sha256" not in capsys.readouterr().out


def test_a_corpus_may_have_a_file_for_every_split(study: SmallStudy) -> None:
    names = ("train", "validation", "test")
    for name, line in zip(names, LINES, strict=False):
        Path(f"{name}.txt").write_bytes(line)
    files = {name: {"kind": "path", "path": f"{name}.txt", "licence": "my own"} for name in names}
    study.corpus["files"], study.corpus["split"] = files, None
    study.run(main, "news")
    assert [(NEWS / f"{name}.txt").read_bytes() for name in names] == LINES[:3]


def test_the_first_lines_are_enough_where_asked_for(study: SmallStudy) -> None:
    study.corpus["first_rows"] = 5
    study.run(main, "news")
    assert (NEWS / "train.txt").read_bytes() == b"".join(LINES[:3])
    assert (NEWS / "test.txt").read_bytes() == LINES[4]


def test_lines_are_shuffled_where_a_seed_is_given(study: SmallStudy) -> None:
    study.corpus["shuffle_lines_seed"] = 7
    study.run(main, "news")
    order = [*LINES]
    random.Random(7).shuffle(order)
    assert (NEWS / "train.txt").read_bytes() == b"".join(order[:6])
    assert (NEWS / "test.txt").read_bytes() == b"".join(order[8:])
    assert np.load(NEWS / "test.documents.npy").tolist() == [0, 28]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"path": "gone.txt"}, ": there is no file or folder `gone.txt`"),
        ({"sha256": "0" * 64}, ": mine.txt has another checksum than declared"),
        ({"path": "."}, ": `.` is a folder, and a text is one file: name a file of it"),
        ({"path": "/dev/zero"}, ": `/dev/zero` is a device or a pipe, not a file"),
        ({"path": "/proc/self/mem"}, ": cannot fetch mem: .*Input/output error"),
        ({"encoding": "utf-16"}, r"\.encoding: this is not utf-16"),
    ],
)
def test_what_cannot_be_had_leaves_nothing(
    change: dict[str, str], complaint: str, study: SmallStudy
) -> None:
    study.corpus["files"]["all"] |= change
    with pytest.raises(StudyError, match=rf"^corpora\.news\.files\.all{complaint}"):
        study.run(main, "news")
    assert list(TEXTS.iterdir()) == list(WORK.iterdir()) == []


@pytest.mark.parametrize(
    ("text_format", "complaint"),
    [
        ("wikipedia_prose", "this is no whole XML dump of MediaWiki"),
        ("python_string", "this is not a Python module of text"),
    ],
)
def test_a_text_of_another_format_is_refused_with_its_key(
    text_format: str, complaint: str, study: SmallStudy
) -> None:
    study.corpus["format"] = text_format
    with pytest.raises(StudyError, match=rf"^corpora\.news\.files\.all: {complaint}"):
        study.run(main, "news")
    assert list(TEXTS.iterdir()) == list(WORK.iterdir()) == []


def test_what_is_no_text_is_refused_whatever_its_name(study: SmallStudy) -> None:
    Path("mine.txt").write_bytes(gzip.compress(TEXT))
    with pytest.raises(StudyError, match=r"corpora\.news\.files\.all: this is no text but gzip"):
        study.run(main, "news")
    assert list(TEXTS.iterdir()) == list(WORK.iterdir()) == []


def test_a_text_of_another_encoding_and_other_line_ends_is_read_as_declared(
    study: SmallStudy, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("mine.txt").write_bytes(TEXT.decode().replace("\n", "\r\n").encode("utf-16"))
    study.corpus["files"]["all"] |= {"encoding": "utf-16", "line_ends": "newline"}
    study.run(main, "news")
    assert (NEWS / "test.txt").read_bytes() == b"".join(LINES[8:])
    assert "corpora.news.files.all: 10 lines end with \\r\\n: each is" in capsys.readouterr().out


def test_an_empty_split_is_refused(study: SmallStudy) -> None:
    study.corpus["first_rows"] = 2
    with pytest.raises(StudyError, match=r"corpora\.news: the \w+ split is empty"):
        study.run(main, "news")
    assert not NEWS.exists()


def test_a_corpus_that_is_not_declared_is_named(study: SmallStudy) -> None:
    with pytest.raises(StudyError, match=r"corpora\.novels: not in params\.yaml, which has news"):
        study.run(main, "novels")


def test_a_text_of_one_line_is_split_between_words(study: SmallStudy) -> None:
    """As text8 is: 100 words of 4 bytes with their blanks, none after the last."""
    text = b" ".join(b"%03d" % number for number in range(100))
    Path("mine.txt").write_bytes(text)
    study.corpus["split"] = {"validation": 0.2, "test": 0.1, "between": "lines"}
    for text_format in ("lines", "bytes"):
        study.corpus["format"] = text_format
        study.run(main, "news")
        parts = [(NEWS / f"{name}.txt").read_bytes() for name in ("train", "validation", "test")]
        assert parts[:2] == [text[:280], text[280:360]]
        assert parts[2].removesuffix(b"\n") == text[360:]


def test_the_first_bytes_of_one_line_are_whole_words(study: SmallStudy) -> None:
    Path("mine.txt").write_bytes(b" ".join(b"%03d" % number for number in range(100)))
    study.corpus["split"] = {"validation": 0.2, "test": 0.2, "between": "lines"}
    study.corpus.update({"format": "bytes", "first_bytes": 42})
    study.run(main, "news")
    assert (NEWS / "test.txt").read_bytes() == b"008 009 "
