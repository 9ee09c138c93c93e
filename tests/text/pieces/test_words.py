"""Rows put together from words have the pieces that they have as a whole."""

import random
from pathlib import Path

import pytest

from reformer_seqlen.parameters.tokens import Encoding
from reformer_seqlen.text.pieces import words as words_module
from reformer_seqlen.text.pieces.cuts import last_cut
from reformer_seqlen.text.pieces.encoded import joined
from reformer_seqlen.text.pieces.sentencepieces import SentencePieceTokenizer
from tests.tokenizer_example import MAKERS, ROWS, make

WORDS = [
    "the",
    "tree",
    "Grows",
    "by",
    "12",
    "é",
    "\N{NO-BREAK SPACE}",
    "",
    "<unk>",
    "a.",
    "▁",
    "\t",
]
CUT = ("lossless", "normalising", "few-pieces", "no-a", "blanks-in-pieces", "byte-fallback")
"""Tokenizers that encode words independently."""
ENCODINGS: tuple[Encoding, ...] = ("sentencepiece", "transformers")


def random_rows(seed: int, count: int) -> list[bytes]:
    """Rows of words between one blank or more; some end with a blank, some without a newline."""
    draw = random.Random(seed)
    words = WORDS + ["".join(draw.choices("thergows", k=draw.randint(1, 9))) for _ in range(200)]
    rows = [
        " ".join(draw.choices(words, k=draw.randint(0, 12))) + draw.choice(["\n", " \n", "", " "])
        for _ in range(count)
    ]
    return [row.encode() for row in rows]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {name: make(name, root / name) / "spiece.model" for name in (*CUT, "unigram")}


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("name", CUT)
def test_rows_of_words_have_the_pieces_of_whole_rows(
    models: dict[str, Path], name: str, encoding: Encoding
) -> None:
    tokenizer = SentencePieceTokenizer(models[name], encoding)
    rows = [*random_rows(1, 300), *ROWS[:-3]]
    found = tokenizer.encode(rows)
    whole = joined(rows, tokenizer.encode_rows(rows))
    assert found.ids.tolist() == whole.ids.tolist()
    assert found.ends.tolist() == whole.ends.tolist()
    assert found.rows.tolist() == whole.rows.tolist()
    assert tokenizer.encode(rows).ids.tolist() == found.ids.tolist()  # now all words are known


@pytest.mark.parametrize("name", CUT)
def test_lengths_of_pieces_say_what_sentencepieces_offsets_do(
    models: dict[str, Path], name: str
) -> None:
    tokenizer = SentencePieceTokenizer(models[name])
    rows = [*random_rows(2, 200), *ROWS]
    for row, (ids, ends) in zip(rows, tokenizer.encode_rows(rows), strict=True):
        offsets = tokenizer.processor.encode(row, return_type="offset_mapping")
        assert ids == offsets["ids"]
        assert ends == [end for _, end in offsets["offsets"]]


@pytest.mark.parametrize("name", CUT)
def test_a_row_that_is_cut_has_the_pieces_of_the_whole(models: dict[str, Path], name: str) -> None:
    tokenizer = SentencePieceTokenizer(models[name])
    row = b"  The tree grows by  the river, \xc3\xa9 and a tree.\n"
    cut = tokenizer.last_cut(row)
    assert row[cut:] == b" tree.\n"
    parts = tokenizer.encode([row[:cut]]), tokenizer.encode([row[cut:], b"a b\n"], within=True)
    whole = tokenizer.encode([row, b"a b\n"])
    assert [*parts[0].ids, *parts[1].ids] == whole.ids.tolist()
    assert [*parts[0].ends, *(cut + parts[1].ends)] == whole.ends.tolist()
    assert (parts[1].rows + len(parts[0].ids)).tolist() == whole.rows[1:].tolist()


@pytest.mark.parametrize(
    ("row", "cut"),
    [
        (b"a b c", 3),
        (b"a b  c", 1),
        (b"a b c ", 3),
        (b"a b\xc3\xa9 c", 1),
        (b"ab", 0),
        (b" ab", 0),
        (b"", 0),
    ],
)
def test_a_row_is_cut_at_a_blank_between_visible_ascii_characters(row: bytes, cut: int) -> None:
    assert last_cut(row) == cut


def test_a_unigram_model_is_given_whole_rows(models: dict[str, Path]) -> None:
    assert SentencePieceTokenizer(models["unigram"]).last_cut(b"the tree grows") == 0


def test_a_full_table_is_emptied(models: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words_module, "MOST_PIECES", 10)
    tokenizer = SentencePieceTokenizer(models["lossless"])
    for seed in range(3):
        rows = random_rows(seed, 20)
        whole = joined(rows, tokenizer.encode_rows(rows))
        assert tokenizer.encode(rows).ids.tolist() == whole.ids.tolist()


def test_every_kind_of_sentencepiece_model_is_tried() -> None:
    kinds = {name for name, (kind, _) in MAKERS.items() if kind == "sentencepiece"}
    assert kinds == {*CUT, "unigram"}
