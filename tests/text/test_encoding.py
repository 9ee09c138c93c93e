"""Tokens: every byte of text is counted once, whatever the tokenizer drops or does not know."""

from pathlib import Path

import numpy as np
import pytest
import sentencepiece

from reformer_seqlen.parameters.tokens import RowShape
from reformer_seqlen.text.encoding import BLANK, encode, write_tokens
from reformer_seqlen.text.stored import write_text
from reformer_seqlen.text.tokenizers import train_tokenizer
from reformer_seqlen.text.tokens import load_tokens

ROWS = [b"The tree grows.\n", "Ein Baum wächst: ἀρχός.\n".encode(), b"\n", b"  12 <trees>\n"]


@pytest.fixture(scope="module")
def lossless(tmp_path_factory: pytest.TempPathFactory) -> sentencepiece.SentencePieceProcessor:
    folder = tmp_path_factory.mktemp("lossless")
    (folder / "train.txt").write_text("The tree grows and the trees grow.\n" * 50)
    train_tokenizer(folder / "train.txt", 120, folder / "spiece.model")
    return sentencepiece.SentencePieceProcessor(model_file=str(folder / "spiece.model"))


@pytest.fixture(scope="module")
def normalising(tmp_path_factory: pytest.TempPathFactory) -> sentencepiece.SentencePieceProcessor:
    """A tokenizer as the published one: blanks and newlines are normalised away."""
    path = tmp_path_factory.mktemp("normalising") / "spiece"
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["The tree grows and the trees grow."] * 50),
        model_prefix=str(path),
        model_type="bpe",
        vocab_size=40,
        minloglevel=2,
    )
    return sentencepiece.SentencePieceProcessor(model_file=f"{path}.model")


def test_the_lossless_tokenizer_gives_ascii_text_back(
    lossless: sentencepiece.SentencePieceProcessor,
) -> None:
    text = 'A  tab?\n"Quoted" <b>{{x|1}}</b> \n'
    assert lossless.decode(lossless.encode(text)) == text
    assert lossless.unk_id() not in lossless.encode(text)


def test_an_unknown_piece_stands_for_the_bytes_it_replaced(
    lossless: sentencepiece.SentencePieceProcessor,
) -> None:
    [(ids, stands_for)] = encode(lossless, ["a ἀρχός!".encode()])
    unknown = ids.index(lossless.unk_id())
    assert stands_for[unknown] == len("ἀρχός".encode())
    assert sum(stands_for) == len("a ἀρχός!".encode())


def test_what_normalisation_drops_counts_for_the_next_piece(
    normalising: sentencepiece.SentencePieceProcessor,
) -> None:
    rows = list(encode(normalising, [b"tree\n", b"\n", b"  tree\n"]))
    assert rows[1] == ([], [])
    assert sum(rows[0][1]) == len(b"tree")
    assert sum(rows[2][1]) == len(b"\n\n  tree")


@pytest.mark.parametrize("kind", ["lossless", "normalising"])
def test_bytes_of_all_pieces_add_up_to_the_text(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    tokenizer = request.getfixturevalue(kind)
    write_text(tmp_path, "train", [ROWS[0] + ROWS[1], ROWS[2], ROWS[3]], "corpora.x")
    counts = write_tokens(tokenizer, tmp_path, "train", tmp_path)
    tokens = load_tokens(tmp_path, "train")
    assert int(tokens.piece_bytes.sum()) == counts["bytes"] == len(b"".join(ROWS))
    assert len(tokens) == counts["tokens"]
    assert counts["rows"] == 4
    assert counts["documents"] == 3
    assert not list(tmp_path.glob("*.raw"))


def test_rows_and_documents_begin_where_the_text_says(
    lossless: sentencepiece.SentencePieceProcessor, tmp_path: Path
) -> None:
    write_text(tmp_path, "train", [ROWS[0] + ROWS[3], ROWS[0]], "corpora.x")
    write_tokens(lossless, tmp_path, "train", tmp_path)
    tokens = load_tokens(tmp_path, "train")
    pieces = [
        tokens.ids[begin:end].tolist()
        for begin, end in zip(tokens.rows, [*tokens.rows[1:], len(tokens)], strict=True)
    ]
    assert [lossless.decode(ids).encode() for ids in pieces] == [ROWS[0], ROWS[3], ROWS[0]]
    assert tokens.documents.tolist() == [0, tokens.rows[2]]


def test_numbers_are_stored_in_the_smallest_type_that_holds_them(
    normalising: sentencepiece.SentencePieceProcessor, tmp_path: Path
) -> None:
    write_text(tmp_path, "train", [b"tree\n"], "corpora.x")
    write_text(tmp_path, "test", [b" " * 300 + b"tree\n"], "corpora.x")
    for split in ("train", "test"):
        write_tokens(normalising, tmp_path, split, tmp_path)
    short, long = (load_tokens(tmp_path, split) for split in ("train", "test"))
    assert short.ids.dtype == np.uint8  # 40 pieces
    assert short.piece_bytes.dtype == np.uint8
    assert long.piece_bytes.dtype == np.uint16  # the blanks count for the piece after them


def pieces_of(
    tokenizer: sentencepiece.SentencePieceProcessor, line: bytes, row_shape: RowShape = "whole"
) -> list[str]:
    [(ids, _)] = encode(tokenizer, [line], "transformers", row_shape)
    return [tokenizer.id_to_piece(number) for number in ids]


def test_transformers_encoding_takes_a_spelt_special_token_for_that_token(
    normalising: sentencepiece.SentencePieceProcessor,
) -> None:
    assert pieces_of(normalising, b"<unk>") == ["<unk>"]
    assert pieces_of(normalising, b"<unk> <unk></s>") == ["<unk>", BLANK, "<unk>", "</s>"]
    tree = [normalising.id_to_piece(number) for number in normalising.encode("tree")]
    assert pieces_of(normalising, b"tree <unk>tree") == [*tree, BLANK, "<unk>", *tree]
    [(spelt_out, _)] = encode(normalising, [b"<unk>"])
    assert len(spelt_out) > 2


@pytest.mark.parametrize("blank", [" ", "\n", "  \t\n", "\N{NO-BREAK SPACE}", "\N{EM SPACE}\n"])
def test_transformers_encoding_makes_a_piece_of_the_blank_that_ends_a_row(
    normalising: sentencepiece.SentencePieceProcessor, blank: str
) -> None:
    tree = pieces_of(normalising, b"tree")
    assert pieces_of(normalising, f"tree{blank}".encode()) == [*tree, BLANK]
    assert pieces_of(normalising, blank.encode()) == [BLANK]
    assert list(encode(normalising, [blank.encode()])) == [([], [])]


def test_a_row_is_as_much_of_its_line_as_its_shape_says(
    normalising: sentencepiece.SentencePieceProcessor,
) -> None:
    shapes: list[RowShape] = ["whole", "blank_empty", "unended", "stripped"]
    tree = pieces_of(normalising, b"tree")

    def rows(line: str) -> list[list[str]]:
        return [pieces_of(normalising, line.encode(), shape) for shape in shapes]

    assert rows(" tree\n") == [[*tree, BLANK], [*tree, BLANK], tree, tree]
    assert rows(" tree \n") == [[*tree, BLANK], [*tree, BLANK], [*tree, BLANK], tree]
    assert rows(" \n") == [[BLANK], [], [BLANK], []]
    assert rows("\n") == [[BLANK], [], [], []]
    assert rows("\N{NO-BREAK SPACE}tree\N{NO-BREAK SPACE}\n")[-1] == tree


@pytest.mark.parametrize("shape", ["whole", "blank_empty", "unended", "stripped"])
def test_bytes_add_up_under_every_row_shape(
    normalising: sentencepiece.SentencePieceProcessor, tmp_path: Path, shape: RowShape
) -> None:
    text = b"".join([*ROWS, b" a <unk> tree \n", b" \n"])
    write_text(tmp_path, "train", [text], "corpora.x")
    counts = write_tokens(normalising, tmp_path, "train", tmp_path, "transformers", shape)
    assert int(load_tokens(tmp_path, "train").piece_bytes.sum()) == counts["bytes"] == len(text)
