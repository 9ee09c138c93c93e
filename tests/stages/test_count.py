"""The stage `count`: n-grams of a corpus, scored on the same targets as its runs."""

import math
from pathlib import Path

import numpy as np
import pytest

from reformer_seqlen.counting.kneser_ney import nats, train
from reformer_seqlen.runtime.errors import StudyError
from reformer_seqlen.runtime.files import read_json, write_json
from reformer_seqlen.runtime.paths import BASE_TOKENS, BASES, COUNTS, TEXTS, TOKENS
from reformer_seqlen.text.chunking import contiguous
from reformer_seqlen.text.encoding import write_tokens
from reformer_seqlen.text.splits import Split
from reformer_seqlen.text.stored import write_text
from reformer_seqlen.text.tokenizers import load_tokenizer, make_tokenizer
from reformer_seqlen.text.tokens import load_tokens
from stages.count import main
from tests.small_study import LINES, SmallStudy

PIECES = 120
KEY = "models.tiny.pretraining"
TOKENS_OF_NEWS = TOKENS / "news-tiny"
SPLITS = {"train": LINES[:6], "validation": LINES[6:8], "test": [b"21 fish swim in it.\n"]}


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallStudy:
    """A study with its tokens there, and those of the base text."""
    monkeypatch.chdir(tmp_path)
    for folder in (TEXTS / "news", TEXTS / "base", BASES / "tiny", TOKENS_OF_NEWS):
        folder.mkdir(parents=True)
    (BASE_TOKENS / "tiny").mkdir(parents=True)
    Path("long.txt").write_bytes(b"".join(LINES) * 20)
    make_tokenizer("sentencepiece", Path("long.txt"), PIECES, BASES / "tiny", KEY)
    tokenizer = load_tokenizer(BASES / "tiny")
    splits = {}
    for split, lines in SPLITS.items():
        write_text(TEXTS / "news", split, lines, "corpora.news")
        splits[split] = write_tokens(tokenizer, TEXTS / "news", split, TOKENS_OF_NEWS)
    write_text(TEXTS / "base", "train", LINES[8:] * 3, KEY)
    write_tokens(tokenizer, TEXTS / "base", "train", BASE_TOKENS / "tiny")
    record = {"pieces": PIECES, "unknown_id": tokenizer.unknown_id, "splits": splits}
    write_json(TOKENS_OF_NEWS / "tokens.json", record)
    return SmallStudy()


def losses(count: str, split: str) -> "np.ndarray[tuple[int], np.dtype[np.float32]]":
    loaded: np.ndarray[tuple[int], np.dtype[np.float32]] = np.load(
        COUNTS / count / f"{split}.nats.npy"
    )
    return loaded


def test_the_targets_are_those_of_runs_of_every_length(study: SmallStudy) -> None:
    study.run(main, "news-3gram")
    for split in ("validation", "test"):
        tokens = load_tokens(TOKENS_OF_NEWS, split)
        expected = nats(train(load_tokens(TOKENS_OF_NEWS, "train").ids, 3, PIECES), tokens.ids)
        for length in (3, 8):
            windows = contiguous(len(tokens), length, every_token=True)
            targets = Split(tokens, windows, length, "contiguous").scored_positions()
            found = losses("news-3gram", split)
            assert found.dtype == np.float32
            assert found.tolist() == expected[targets].astype(np.float32).tolist()


def test_a_score_has_the_fields_of_a_runs_score(study: SmallStudy) -> None:
    study.run(main, "news-3gram")
    scores = read_json(COUNTS / "news-3gram/scores.json")
    tokens, found = load_tokens(TOKENS_OF_NEWS, "test"), losses("news-3gram", "test")
    total, size = float(found.sum(dtype=np.float64)), int(tokens.piece_bytes[1:].sum())
    assert scores["test"] == {
        "loss_nats": pytest.approx(total / len(found)),
        "perplexity": pytest.approx(math.exp(total / len(found))),
        "tokens": len(tokens) - 1,
        "bytes": size,
        "bits_per_byte": pytest.approx(total / math.log(2) / size),
        "low": scores["test"]["low"],
        "high": scores["test"]["high"],
        "unknown_rate": 0.0,
        "unigram_perplexity": scores["test"]["unigram_perplexity"],
    }
    assert scores["test"]["low"] < scores["test"]["bits_per_byte"] < scores["test"]["high"]
    assert scores["validation"]["perplexity"] < scores["test"]["perplexity"]  # it is like train


def test_a_text_of_words_has_a_perplexity_per_word(study: SmallStudy) -> None:
    """21 fish swim in it. and the line's end: 6 words, of which the first piece is not scored."""
    record = read_json(TOKENS_OF_NEWS / "tokens.json")
    record["splits"]["test"]["words"] = 6
    write_json(TOKENS_OF_NEWS / "tokens.json", record)
    study.run(main, "news-3gram")
    scores, sizes = (
        read_json(COUNTS / "news-3gram/scores.json"),
        load_tokens(TOKENS_OF_NEWS, "test").piece_bytes,
    )
    words = 6 * sizes[1:].sum() / sizes.sum()
    total = float(losses("news-3gram", "test").sum(dtype=np.float64))
    assert scores["test"]["word_perplexity"] == pytest.approx(math.exp(total / words))
    assert "word_perplexity" not in scores["validation"]


def test_the_record_says_what_was_counted(study: SmallStudy) -> None:
    study.run(main, "news-3gram")
    study.run(main, "news-3gram-all")
    own = read_json(COUNTS / "news-3gram/scores.json")
    both = read_json(COUNTS / "news-3gram-all/scores.json")
    assert (own["count"], own["corpus"], own["model"]) == ("news-3gram", "news", "tiny")
    assert (own["order"], own["text"], both["text"]) == (3, "own", "all")
    assert own["tokens_counted"] == len(load_tokens(TOKENS_OF_NEWS, "train"))
    base = len(load_tokens(BASE_TOKENS / "tiny", "train"))
    assert both["tokens_counted"] == own["tokens_counted"] + base


def test_all_text_is_the_base_text_and_then_the_corpus(study: SmallStudy) -> None:
    study.run(main, "news-3gram-all")
    folders = (BASE_TOKENS / "tiny", TOKENS_OF_NEWS)
    text = np.concatenate([load_tokens(folder, "train").ids for folder in folders])
    unseen = load_tokens(TOKENS_OF_NEWS, "test").ids
    expected = nats(train(text, 3, PIECES), unseen)[1:].astype(np.float32)
    assert losses("news-3gram-all", "test").tolist() == expected.tolist()


def test_the_order_is_the_declared_one(study: SmallStudy) -> None:
    study.values["counts"]["news-unigram"] = {"corpus": "news", "model": "tiny", "order": 1}
    study.run(main, "news-unigram")
    study.run(main, "news-3gram")
    perplexity = {
        name: read_json(COUNTS / name / "scores.json")["validation"]["perplexity"]
        for name in ("news-unigram", "news-3gram")
    }
    assert perplexity["news-3gram"] < perplexity["news-unigram"] / 5


def test_a_split_with_nothing_to_score_leaves_nothing(study: SmallStudy) -> None:
    np.save(TOKENS_OF_NEWS / "test.ids.npy", np.zeros(1, dtype=np.uint8))
    with pytest.raises(StudyError, match=r"counts\.news-3gram: the test split has 1 tokens, too"):
        study.run(main, "news-3gram")
    assert not COUNTS.exists()


def test_a_count_that_is_not_declared_is_named(study: SmallStudy) -> None:
    with pytest.raises(StudyError, match=r"counts\.news-9gram: not in params\.yaml, which has"):
        study.run(main, "news-9gram")
