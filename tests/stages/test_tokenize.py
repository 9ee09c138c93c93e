"""The stage `tokenize`: the three splits of a text as the pieces of a model's tokenizer."""

from pathlib import Path

import pytest

from reformer_seqlen.runtime.errors import StudyError
from reformer_seqlen.runtime.files import read_json
from reformer_seqlen.runtime.paths import BASES, TEXTS, TOKENS
from reformer_seqlen.text.stored import write_text
from reformer_seqlen.text.tokenizers import train_tokenizer
from reformer_seqlen.text.tokens import load_tokenizer, load_tokens
from stages.tokenize import main
from tests.small_study import LINES, SmallStudy

SPLITS = {"train": LINES[:7], "validation": LINES[7:9], "test": LINES[9:]}
NEWS = TOKENS / "news-tiny"


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallStudy:
    """A study with its text and its tokenizer there."""
    monkeypatch.chdir(tmp_path)
    for folder in (TEXTS / "news", BASES / "tiny"):
        folder.mkdir(parents=True)
    for split, lines in SPLITS.items():
        write_text(TEXTS / "news", split, lines, "corpora.news")
    Path("long.txt").write_bytes(b"".join(LINES) * 20)
    train_tokenizer(Path("long.txt"), 120, BASES / "tiny/spiece.model")
    return SmallStudy()


def test_the_pieces_of_every_split_are_its_text(study: SmallStudy) -> None:
    study.run(main, "news-tiny")
    tokenizer = load_tokenizer(BASES / "tiny")
    for split, lines in SPLITS.items():
        tokens = load_tokens(NEWS, split)
        assert tokenizer.decode(tokens.ids.tolist()).encode() == b"".join(lines)
        assert int(tokens.piece_bytes.sum()) == 28 * len(lines)
        assert len(tokens.rows) == len(tokens.documents) == len(lines)


def test_the_record_counts_them(study: SmallStudy) -> None:
    study.run(main, "news-tiny")
    record = read_json(NEWS / "tokens.json")
    assert (record["corpus"], record["model"]) == ("news", "tiny")
    assert record["pieces"] == 120
    assert record["splits"]["test"] == {
        "tokens": len(load_tokens(NEWS, "test")),
        "bytes": 28,
        "unknown": 0,
        "rows": 1,
        "documents": 1,
    }


def test_a_missing_text_leaves_nothing(study: SmallStudy) -> None:
    (TEXTS / "news/test.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"data/texts/news/test\.txt"):
        study.run(main, "news-tiny")
    assert list(TOKENS.iterdir()) == []


def test_a_token_set_that_is_not_declared_is_named(study: SmallStudy) -> None:
    with pytest.raises(StudyError, match=r"tokens\.news-big: not in params\.yaml"):
        study.run(main, "news-big")
