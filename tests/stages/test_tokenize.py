"""The stage `tokenize`: the three splits of a text as the pieces of a model's tokenizer."""

from pathlib import Path

import pytest

from reformer_seqlen.runtime.errors import StudyError
from reformer_seqlen.runtime.files import read_json, write_json
from reformer_seqlen.runtime.paths import TEXTS, TOKENIZERS, TOKENS
from reformer_seqlen.text.stored import write_text
from reformer_seqlen.text.tokenizers import load_tokenizer, make_tokenizer
from reformer_seqlen.text.tokens import load_tokens
from stages.tokenize import main
from tests.small_study import LINES, SmallStudy
from tests.tokenizer_example import metaspace

SPLITS = {"train": LINES[:7], "validation": LINES[7:9], "test": LINES[9:]}
NEWS = TOKENS / "news-tiny"


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallStudy:
    """A study with its text and its tokenizer there."""
    monkeypatch.chdir(tmp_path)
    for folder in (TEXTS / "news", TOKENIZERS / "tiny"):
        folder.mkdir(parents=True)
    sizes = {
        split: write_text(TEXTS / "news", split, lines, "corpora.news")
        for split, lines in SPLITS.items()
    }
    write_json(TEXTS / "news/source.json", {"splits": sizes})
    Path("long.txt").write_bytes(b"".join(LINES) * 20)
    key = "models.tiny.pretraining"
    make_tokenizer("sentencepiece", Path("long.txt"), 120, TOKENIZERS / "tiny", key)
    return SmallStudy()


def test_the_pieces_of_every_split_are_its_text(study: SmallStudy) -> None:
    study.run(main, "news-tiny")
    tokenizer = load_tokenizer(TOKENIZERS / "tiny")
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
        "unknown_characters": {},
        "rows": 1,
        "documents": 1,
    }


def test_the_record_has_the_number_of_words_of_a_text_of_words(study: SmallStudy) -> None:
    source = read_json(TEXTS / "news/source.json")
    source["splits"]["test"]["words"] = 7  # 19 trees grow by the river. and the line's end
    write_json(TEXTS / "news/source.json", source)
    study.run(main, "news-tiny")
    splits = read_json(NEWS / "tokens.json")["splits"]
    assert splits["test"]["words"] == 7
    assert "words" not in splits["train"]


def test_a_missing_text_leaves_nothing(study: SmallStudy) -> None:
    (TEXTS / "news/test.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"data/texts/news/test\.txt"):
        study.run(main, "news-tiny")
    assert list(TOKENS.iterdir()) == []


def test_a_token_set_that_is_not_declared_is_named(study: SmallStudy) -> None:
    with pytest.raises(StudyError, match=r"tokens\.news-big: not in params\.yaml"):
        study.run(main, "news-big")


def test_unknown_characters_are_told(study: SmallStudy, capsys: pytest.CaptureFixture[str]) -> None:
    write_text(TEXTS / "news", "test", ["trées by thé river\n".encode()], "corpora.news")
    study.run(main, "news-tiny")
    counts = read_json(NEWS / "tokens.json")["splits"]["test"]
    assert (counts["unknown"], counts["unknown_characters"]) == (2, {"é": 2})
    share = 2 / counts["tokens"]
    assert capsys.readouterr().out == (
        f"tokens.news-tiny: {share:.2%} of the pieces of test are unknown to the tokenizer: "
        "'é' (LATIN SMALL LETTER E WITH ACUTE) 2 times\n"
    )


def test_documents_may_begin_with_the_tokenizers_special_tokens(study: SmallStudy) -> None:
    metaspace(TOKENIZERS / "tiny")
    write_json(TOKENIZERS / "tiny/kind.json", {"kind": "transformers"})
    study.values["tokens"]["news-tiny"]["document_prefix"] = True
    study.run(main, "news-tiny")
    tokens = load_tokens(NEWS, "train")
    assert tokens.context.tolist() == tokens.documents.tolist() == tokens.rows.tolist()
    assert set(tokens.ids[tokens.context].tolist()) == {0}
    assert tokens.bytes_of(slice(None)) == 28 * 7


def test_a_tokenizer_without_special_tokens_has_none_to_put_before_documents(
    study: SmallStudy,
) -> None:
    study.values["tokens"]["news-tiny"]["document_prefix"] = True
    with pytest.raises(StudyError, match=r"news-tiny\.document_prefix: the tokenizer of models\."):
        study.run(main, "news-tiny")
    assert not TOKENS.exists()
