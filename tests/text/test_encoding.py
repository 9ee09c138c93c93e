"""Tokens on disk: every byte of text is counted once, whatever the tokenizer drops or ignores."""

import itertools
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reformer_seqlen.parameters.tokens import Encoding, RowShape
from reformer_seqlen.runtime import shards
from reformer_seqlen.text import blocks, encoding
from reformer_seqlen.text.encoding import write_tokens
from reformer_seqlen.text.pieces.sentencepieces import BLANK, SentencePieceTokenizer
from reformer_seqlen.text.stored import write_text
from reformer_seqlen.text.tokenizers import Tokenizer, load_tokenizer
from reformer_seqlen.text.tokens import Tokens, load_tokens
from tests.conftest import digests
from tests.properties import drawn
from tests.tokenizer_example import MAKERS, ROWS, make, sentencepiece_model

SHAPES: list[RowShape] = ["whole", "blank_empty", "unended", "stripped"]
DOCUMENTS = [ROWS[0] + ROWS[1], ROWS[2], b"".join(ROWS[3:])]


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tokenizer]:
    root = tmp_path_factory.mktemp("tokenizers")
    return {name: load_tokenizer(make(name, root / name)) for name in MAKERS}


def written(
    tokenizer: Tokenizer, documents: list[bytes], folder: Path, **settings: Any
) -> tuple[Tokens, dict[str, Any]]:
    """A text's tokens, and what is said of them."""
    write_text(folder, "train", documents, "corpora.x")
    counts = write_tokens(tokenizer, folder, "train", folder, **settings)
    return load_tokens(folder, "train"), {**counts}


def test_a_lossless_tokenizer_gives_ascii_text_back(tokenizers: dict[str, Tokenizer]) -> None:
    text = '"Quoted" <b>{{x|1}}</b> \n'
    ids = tokenizers["lossless"].encode([text.encode()]).ids.tolist()
    assert tokenizers["lossless"].decode(ids) == text
    assert tokenizers["lossless"].unknown_id not in ids


def test_an_unknown_piece_stands_for_the_bytes_it_replaced(
    tokenizers: dict[str, Tokenizer], tmp_path: Path
) -> None:
    lossless = tokenizers["lossless"]
    tokens, counts = written(lossless, ["a ἀρχός!\n".encode()], tmp_path)
    unknown = tokens.ids.tolist().index(lossless.unknown_id)
    assert tokens.piece_bytes[unknown] == len("ἀρχός".encode())
    assert counts["unknown"] == 1


def test_unknown_characters_are_named(tokenizers: dict[str, Tokenizer], tmp_path: Path) -> None:
    text = "é tree éß trees 9 😀\r\n".encode()
    _, counts = written(tokenizers["lossless"], [text], tmp_path)
    assert counts["unknown_characters"] == {"é": 2, "\r": 1, "ß": 1, "😀": 1}
    _, counts = written(tokenizers["normalising"], [text], tmp_path)  # the line's end is a blank
    assert counts["unknown_characters"] == {"é": 2, "9": 1, "ß": 1, "😀": 1}
    _, counts = written(tokenizers["metaspace"], [b"the tree 9\n"], tmp_path)
    assert (counts["unknown"], counts["unknown_characters"]) == (1, {"9": 1})
    _, counts = written(tokenizers["byte-level"], [text], tmp_path)
    assert (counts["unknown"], counts["unknown_characters"]) == (0, {})


def test_what_normalisation_drops_counts_for_the_next_piece(
    tokenizers: dict[str, Tokenizer], tmp_path: Path
) -> None:
    tokens, _ = written(tokenizers["normalising"], [b"tree\n\n  tree\ntree\n"], tmp_path)
    pieces = len(tokens) // 3
    assert tokens.rows.tolist() == [0, pieces, pieces, 2 * pieces]
    first, second, last = tokens.piece_bytes.reshape(3, pieces).sum(axis=1)
    assert (first, second) == (len(b"tree"), len(b"\n\n  tree"))
    assert last == len(b"\ntree\n")  # nothing follows, to which the last newline could belong


def test_rows_and_documents_begin_where_the_text_says(
    tokenizers: dict[str, Tokenizer], tmp_path: Path
) -> None:
    lines = [b"The tree grows.\n", b"12 <trees>\n", b"The tree grows.\n"]
    tokens, counts = written(tokenizers["lossless"], [lines[0] + lines[1], lines[2]], tmp_path)
    bounds = [*tokens.rows.tolist(), len(tokens)]
    texts = [
        tokenizers["lossless"].decode(tokens.ids[begin:end].tolist()).encode()
        for begin, end in itertools.pairwise(bounds)
    ]
    assert texts == lines
    assert tokens.documents.tolist() == [0, tokens.rows[2]]
    assert (counts["rows"], counts["documents"]) == (3, 2)


@pytest.mark.slow
@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("shape", SHAPES)
def test_neither_blocks_nor_workers_change_a_byte(
    tokenizers: dict[str, Tokenizer],
    name: str,
    shape: RowShape,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prefix = tokenizers[name].document_prefix
    files = []
    for size, workers in ((1 << 19, 1), (50, 1), (50, 2)):
        monkeypatch.setattr(blocks.read_blocks, "__defaults__", (blocks.nowhere, size))
        folder = tmp_path / f"{size}-{workers}"
        folder.mkdir()
        settings = {"row_shape": shape, "prefix": prefix, "workers": workers}
        _, counts = written(tokenizers[name], DOCUMENTS, folder, **settings)
        assert counts["bytes"] == len(b"".join(DOCUMENTS))
        files.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert files[0] == files[1] == files[2]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lossless", "normalising", "byte-level", "bytes"])
def test_a_line_of_20_mb_is_encoded_in_parts(
    tokenizers: dict[str, Tokenizer], name: str, tmp_path: Path
) -> None:
    phrase, times = b"the tree grows by the river, ", 690_000
    line = (phrase * times)[:-1]
    seen: list[int] = []

    class Watched:
        """Notes how many bytes it is given at once."""

        def __getattr__(self, attribute: str) -> Any:
            return getattr(tokenizers[name], attribute)

        def encode(self, rows: list[bytes], *, within: bool = False) -> Any:
            seen.append(sum(map(len, rows)))
            return tokenizers[name].encode(rows, within=within)

    watched: Any = Watched()
    tokens, counts = written(watched, [line], tmp_path, workers=1)
    assert max(seen) < 1 << 20
    assert (counts["rows"], counts["bytes"]) == (1, len(line))
    assert tokens.bytes_of(slice(None)) == len(line)
    once, twice = (tokenizers[name].encode([(phrase * n)[:-1]]).ids for n in (1, 2))
    again = twice[len(once) :]
    assert np.array_equal(tokens.ids, [*once, *np.tile(again, times - 1)])


@pytest.mark.parametrize("name", MAKERS)
def test_an_empty_text_has_no_tokens(
    tokenizers: dict[str, Tokenizer], name: str, tmp_path: Path
) -> None:
    (tmp_path / "train.txt").touch()
    np.save(tmp_path / "train.documents.npy", np.empty(0, dtype=np.int64))
    counts = write_tokens(tokenizers[name], tmp_path, "train", tmp_path)
    assert counts == {
        "tokens": 0, "bytes": 0, "rows": 0, "documents": 0,
        "unknown": 0, "unknown_characters": {},
    }  # fmt: skip
    tokens = load_tokens(tmp_path, "train")
    assert (len(tokens), tokens.bytes_of(slice(None))) == (0, 0)


def test_a_token_takes_three_bytes_and_a_rare_long_piece_no_more(
    tokenizers: dict[str, Tokenizer], tmp_path: Path
) -> None:
    text = b"tree\n" + b" " * 700 + b"tree tree\n" + b" " * 300
    tokens, _ = written(tokenizers["normalising"], [text], tmp_path)
    assert tokens.ids.itemsize == tokens.piece_bytes.itemsize == 1  # 60 pieces
    pieces = len(tokens) // 3  # of "tree"
    assert tokens.long[:, 0].tolist() == [pieces, len(tokens) - 1]
    assert tokens.piece_bytes[tokens.long[:, 0]].tolist() == [255, 255]
    assert tokens.bytes_of(slice(None)) == len(text)
    assert tokens.bytes_of(np.arange(pieces, 2 * pieces)) == len(b"\n" + b" " * 700 + b"tree")
    sentencepiece_model(tmp_path, vocab_size=330, byte_fallback=True)
    tokens, _ = written(SentencePieceTokenizer(tmp_path / "spiece.model"), [text], tmp_path)
    assert tokens.ids.itemsize + tokens.piece_bytes.itemsize == 3


def test_special_tokens_before_documents_are_context(
    tokenizers: dict[str, Tokenizer], tmp_path: Path
) -> None:
    texts = [b"the tree\nthe river\n", b"trees\n", b"the tree\n"]
    (tmp_path / "without").mkdir()
    plain, _ = written(tokenizers["metaspace"], texts, tmp_path / "without")
    tokens, counts = written(tokenizers["metaspace"], texts, tmp_path, prefix=(0, 1))
    assert tokens.context.tolist() == [
        place + each for place in tokens.documents.tolist() for each in (0, 1)
    ]
    assert tokens.documents.tolist() == [
        begin + 2 * number for number, begin in enumerate(plain.documents.tolist())
    ]
    assert tokens.rows.tolist() == [
        begin + shift for begin, shift in zip(plain.rows.tolist(), [0, 2, 2, 4], strict=True)
    ]
    assert tokens.ids[tokens.context].tolist() == [0, 1] * 3
    assert tokens.piece_bytes[tokens.context].tolist() == [0] * 6
    pieces = ~tokens.is_context(np.arange(len(tokens)))
    assert tokens.ids[pieces].tolist() == plain.ids.tolist()
    assert tokens.piece_bytes[pieces].tolist() == plain.piece_bytes.tolist()
    assert counts["tokens"] == len(plain) + 6


@pytest.fixture(scope="module")
def normalising(tmp_path_factory: pytest.TempPathFactory) -> dict[Encoding, SentencePieceTokenizer]:
    """A tokenizer as the published one, used as SentencePiece and as transformers does."""
    folder = make("normalising", tmp_path_factory.mktemp("models") / "normalising")
    kinds: tuple[Encoding, ...] = ("sentencepiece", "transformers")
    return {kind: SentencePieceTokenizer(folder / "spiece.model", kind) for kind in kinds}


def pieces_of(tokenizer: SentencePieceTokenizer, row: bytes) -> list[str]:
    ids = tokenizer.encode([row]).ids.tolist()
    return [tokenizer.processor.id_to_piece(number) for number in ids]


def test_transformers_encoding_takes_a_spelt_special_token_for_that_token(
    normalising: dict[Encoding, SentencePieceTokenizer],
) -> None:
    ours = normalising["transformers"]
    assert pieces_of(ours, b"<unk>") == ["<unk>"]
    assert pieces_of(ours, b"<unk> <unk></s>") == ["<unk>", BLANK, "<unk>", "</s>"]
    tree = pieces_of(normalising["sentencepiece"], b"tree")
    assert pieces_of(ours, b"tree <unk>tree") == [*tree, BLANK, "<unk>", *tree]
    assert len(pieces_of(normalising["sentencepiece"], b"<unk>")) > 2


@pytest.mark.parametrize("blank", [" ", "\n", "  \t\n", "\N{NO-BREAK SPACE}", "\N{EM SPACE}\n"])
def test_transformers_encoding_makes_a_piece_of_the_blank_that_ends_a_row(
    normalising: dict[Encoding, SentencePieceTokenizer], blank: str
) -> None:
    tree = pieces_of(normalising["transformers"], b"tree")
    assert pieces_of(normalising["transformers"], f"tree{blank}".encode()) == [*tree, BLANK]
    assert pieces_of(normalising["transformers"], blank.encode()) == [BLANK]
    assert pieces_of(normalising["sentencepiece"], blank.encode()) == []


def test_a_row_is_as_much_of_its_line_as_its_shape_says(
    normalising: dict[Encoding, SentencePieceTokenizer],
) -> None:
    ours = normalising["transformers"]
    tree = pieces_of(ours, b"tree")

    def rows(line: str) -> list[list[str]]:
        found = []
        for shape in SHAPES:
            [row], _ = encoding.rows_of([line.encode()], shape)
            found.append(pieces_of(ours, row))
        return found

    assert rows(" tree\n") == [[*tree, BLANK], [*tree, BLANK], tree, tree]
    assert rows(" tree \n") == [[*tree, BLANK], [*tree, BLANK], [*tree, BLANK], tree]
    assert rows(" \n") == [[BLANK], [], [BLANK], []]
    assert rows("\n") == [[BLANK], [], [], []]
    assert rows("\N{NO-BREAK SPACE}tree\N{NO-BREAK SPACE}\n")[-1] == tree


@pytest.mark.parametrize("shape", SHAPES)
def test_bytes_add_up_under_every_row_shape(
    normalising: dict[Encoding, SentencePieceTokenizer], tmp_path: Path, shape: RowShape
) -> None:
    text = b"".join([*ROWS, b"\n a <unk> tree \n", b" \n"])
    tokens, counts = written(normalising["transformers"], [text], tmp_path, row_shape=shape)
    assert tokens.bytes_of(slice(None)) == counts["bytes"] == len(text)


def test_what_was_interrupted_goes_on_from_finished_blocks_to_the_same_bytes(
    tokenizers: dict[str, Tokenizer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "SHARD_SECONDS", 0.0)
    monkeypatch.setattr(encoding, "read_blocks", partial(blocks.read_blocks, size=16))
    documents = ["é tree by the river\n".encode() * 4] * 3
    encode, encoded = encoding._encode_block, itertools.count()

    def cut_off(*arguments: Any) -> Any:
        if next(encoded) == 5:
            raise KeyboardInterrupt
        return encode(*arguments)

    stopped, whole = tmp_path / "stopped", tmp_path / "whole"
    for folder in (stopped, whole):
        folder.mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(encoding, "_encode_block", cut_off)
        with pytest.raises(KeyboardInterrupt):
            written(tokenizers["lossless"], documents, stopped, shards=tmp_path / "shards")
    assert len(list((tmp_path / "shards").iterdir())) == 5
    _, counts = written(tokenizers["lossless"], documents, stopped, shards=tmp_path / "shards")
    assert counts == written(tokenizers["lossless"], documents, whole)[1]
    assert digests(stopped, ".") == digests(whole, ".")


BYTES = [b"the ", b"tree", b" grows", b"  ", b"\t", b"\r", b"\n", b"\xff", b"<unk>", b"</s>", b"9"]
CHARACTERS = ["é", "ἀ", "🌳", "\N{NO-BREAK SPACE}", "\N{COMBINING ACUTE ACCENT}"]
FRAGMENTS = st.sampled_from([*BYTES, *map(str.encode, CHARACTERS)])
TEXTS = st.lists(st.lists(FRAGMENTS, min_size=1, max_size=12).map(b"".join), min_size=1, max_size=4)


@pytest.mark.slow
@pytest.mark.parametrize("name", MAKERS)
@settings(drawn, max_examples=40)
@given(TEXTS, st.sampled_from(SHAPES))
def test_the_bytes_of_all_pieces_are_those_of_the_text(
    tokenizers: dict[str, Tokenizer], name: str, texts: list[bytes], shape: RowShape
) -> None:
    """Unless there is no piece at all, which could stand for them."""
    documents = [text + b"\n" for text in texts]
    with TemporaryDirectory() as folder:
        tokens, counts = written(tokenizers[name], documents, Path(folder), row_shape=shape)
        total = int(tokens.sizes().sum())
        assert counts["bytes"] == sum(map(len, documents))
        assert total == (counts["bytes"] if len(tokens) else 0)
        assert tokens.bytes_of(slice(0, len(tokens))) == total
        assert len(tokens.documents) == len(documents)
        assert (np.diff(tokens.rows) >= 0).all()
