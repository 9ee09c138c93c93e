"""What holds of every tokenizer: its own ids, all bytes of the text, the same bits per byte."""

import math
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import PreTrainedTokenizerFast

from reformer_seqlen.runtime.errors import StudyError
from reformer_seqlen.runtime.files import write_json
from reformer_seqlen.scoring.measures import describe_targets
from reformer_seqlen.text import tokenizers as tokenizers_module
from reformer_seqlen.text.chunking import contiguous
from reformer_seqlen.text.encoding import write_tokens
from reformer_seqlen.text.pieces.fast_tokenizers import TransformersTokenizer
from reformer_seqlen.text.pieces.sentencepieces import SentencePieceTokenizer
from reformer_seqlen.text.splits import Split
from reformer_seqlen.text.stored import write_text
from reformer_seqlen.text.tokenizers import (
    Tokenizer,
    controls_of,
    declare_tokenizer,
    load_tokenizer,
    save_tokenizer,
    sentences,
    train_tokenizer,
)
from reformer_seqlen.text.tokens import load_tokens
from reformer_seqlen.text.windows import NO_TARGET
from tests.tokenizer_example import END, MAKERS, ROWS, UTF_8_ROWS, byte_level, make

Own = Callable[[str], list[int]]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder for each tokenizer."""
    root = tmp_path_factory.mktemp("tokenizers")
    return {name: make(name, root / name) for name in MAKERS}


def own_encode(tokenizer: Tokenizer, folder: Path) -> Own:
    """How the tokenizer's own library encodes a row."""
    if isinstance(tokenizer, SentencePieceTokenizer):
        return partial(tokenizer.processor.encode)
    if isinstance(tokenizer, TransformersTokenizer):
        fast: Any = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
        return lambda row: list(fast(row, add_special_tokens=False)["input_ids"])
    return lambda row: [2 + byte for byte in row.encode()]


@pytest.mark.parametrize("name", MAKERS)
def test_the_ids_of_every_row_are_the_tokenizers_own(folders: dict[str, Path], name: str) -> None:
    tokenizer = load_tokenizer(folders[name])
    own = own_encode(tokenizer, folders[name])
    encoded = tokenizer.encode(UTF_8_ROWS)
    bounds = [*encoded.rows.tolist(), len(encoded.ids)]
    for row, (begin, end) in zip(UTF_8_ROWS, pairwise(bounds), strict=True):
        assert encoded.ids[begin:end].tolist() == own(row.decode()), row


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("rows", [ROWS, UTF_8_ROWS, [b"tree"], [b"\n"], []])
def test_the_bytes_of_all_pieces_are_those_of_the_text(
    folders: dict[str, Path], name: str, rows: list[bytes], tmp_path: Path
) -> None:
    tokenizer, text = load_tokenizer(folders[name]), b"".join(rows)
    (tmp_path / "train.txt").write_bytes(text)
    np.save(tmp_path / "train.documents.npy", np.zeros(1, dtype=np.int64))
    counts = write_tokens(tokenizer, tmp_path, "train", tmp_path)
    tokens = load_tokens(tmp_path, "train")
    assert (counts["bytes"], counts["rows"]) == (len(text), len(rows))
    assert counts["tokens"] == len(tokens)
    assert tokens.bytes_of(slice(None)) == (len(text) if len(tokens) else 0)
    assert all(tokens.ids < tokenizer.vocabulary)


@pytest.mark.parametrize("name", MAKERS)
def test_a_piece_ends_where_its_text_does(folders: dict[str, Path], name: str) -> None:
    tokenizer = load_tokenizer(folders[name])
    row = b"The tree grows by the river"
    [*ends] = tokenizer.encode([row]).ends.tolist()
    assert ends == sorted(ends)
    assert ends[-1] == len(row)
    for count in range(1, len(ends)):
        if row[ends[count - 1] :][:1] == b" ":  # a part that ends with a word has the same pieces
            part = tokenizer.encode([row[: ends[count - 1]]])
            assert part.ends.tolist() == ends[:count]


@pytest.mark.parametrize("name", MAKERS)
def test_a_uniform_model_has_the_same_bits_per_byte_under_every_tokenizer(
    folders: dict[str, Path], name: str, tmp_path: Path
) -> None:
    """A model that takes each byte for equally likely scores 8 bits per byte."""
    tokenizer = load_tokenizer(folders[name])
    write_text(tmp_path, "test", [b"".join(ROWS), b"".join(ROWS[:9])], "corpora.x")
    prefix = tokenizer.document_prefix
    write_tokens(tokenizer, tmp_path, "test", tmp_path, prefix=prefix)
    tokens = load_tokens(tmp_path, "test")
    split = Split(tokens, contiguous(len(tokens), 64, every_token=True), 64, "contiguous")
    target = describe_targets(split, tokenizer.unknown_id)
    nats, targets = 0.0, 0
    for window, start in enumerate(split.windows.starts.tolist()):
        _, labels = split.batch(slice(window, window + 1))
        scored = start + 1 + np.flatnonzero(labels[0].numpy() != NO_TARGET)
        nats += tokens.bytes_of(scored) * math.log(256)
        targets += len(scored)
    assert targets == target.tokens
    assert nats / (math.log(2) * target.bytes) == pytest.approx(8)
    first = len(prefix) or 1  # the first token is no target; a special token stands for no bytes
    unscored = tokens.bytes_of(slice(0, first))
    assert target.bytes == len(b"".join(ROWS + ROWS[:9])) - unscored


@pytest.mark.parametrize("name", MAKERS)
def test_plain_text_comes_back(folders: dict[str, Path], name: str) -> None:
    tokenizer = load_tokenizer(folders[name])
    ids = tokenizer.encode([b"the trees grow by the river"]).ids.tolist()
    assert tokenizer.decode(ids) == "the trees grow by the river"


def test_any_bytes_are_pieces_of_a_byte_tokenizer(folders: dict[str, Path]) -> None:
    tokenizer = load_tokenizer(folders["bytes"])
    encoded = tokenizer.encode([bytes(range(256)), b"ab"])
    assert encoded.ids.tolist() == [*range(2, 258), 99, 100]
    assert encoded.rows.tolist() == [0, 256]
    assert (tokenizer.vocabulary, tokenizer.unknown_id) == (258, None)


def test_pieces_of_bytes_may_end_inside_a_character(folders: dict[str, Path]) -> None:
    tokenizer = load_tokenizer(folders["byte-level"])
    encoded = tokenizer.encode(["é🌳".encode(), b"\n"])
    assert encoded.ends.tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert tokenizer.unknown_id is None


def test_a_byte_that_is_no_utf_8_is_one_replacement_character_to_a_fast_tokenizer(
    folders: dict[str, Path],
) -> None:
    tokenizer = load_tokenizer(folders["metaspace"])
    assert tokenizer.encode([b"the\xfftree"]).ids.tolist() == (
        tokenizer.encode(["the\N{REPLACEMENT CHARACTER}tree".encode()]).ids.tolist()
    )
    unknown = tokenizer.encode([b"the\xfftree"]).ids.tolist().index(tokenizer.unknown_id)
    assert tokenizer.encode([b"the\xfftree"]).ends[unknown] == 4


def test_special_tokens_around_a_text_are_a_prefix_and_not_part_of_rows(
    folders: dict[str, Path],
) -> None:
    tokenizer = load_tokenizer(folders["metaspace"])
    assert tokenizer.document_prefix == (0,)
    assert 0 not in tokenizer.encode([b"the tree"]).ids
    assert load_tokenizer(folders["byte-level"]).document_prefix == ()


def test_a_special_token_in_the_text_is_that_token_to_a_fast_tokenizer(tmp_path: Path) -> None:
    byte_level(tmp_path)
    encoded = TransformersTokenizer(tmp_path / "tokenizer.json").encode([f"é {END}".encode()])
    assert encoded.ids[-1] == 0
    assert encoded.ends[-2:].tolist() == [3, 3 + len(END)]


def test_a_saved_tokenizer_is_the_same(folders: dict[str, Path], tmp_path: Path) -> None:
    for name, source in folders.items():
        (tmp_path / name).mkdir()
        save_tokenizer(source, tmp_path / name)
        saved = load_tokenizer(tmp_path / name)
        assert saved.encode(ROWS).ids.tolist() == load_tokenizer(source).encode(ROWS).ids.tolist()
        assert not (tmp_path / name / "train.txt").exists()


def test_a_checkpoints_tokenizer_is_the_one_that_is_asked_for(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    save_tokenizer(folders["normalising"], tmp_path)
    with pytest.raises(StudyError, match=r"holds no tokenizer\.json, which `tokenizer: transf"):
        declare_tokenizer(tmp_path, "transformers")
    declare_tokenizer(tmp_path, "bytes")
    assert load_tokenizer(tmp_path).vocabulary == 258


KEY = "models.tiny.pretraining"
CONTROLS = [bytes([code]) for code in (*range(1, 10), *range(11, 32), 127)]


def test_every_control_of_its_text_is_a_piece_of_a_tokenizer_that_is_made(tmp_path: Path) -> None:
    lines = [b"%d\ttrees grow by the river.\r\n" % number for number in range(200)]
    (tmp_path / "text").write_bytes(b"".join([*lines, b"a\rb ", *CONTROLS]))
    train_tokenizer(tmp_path / "text", 150, tmp_path / "spiece.model", KEY)
    tokenizer = SentencePieceTokenizer(tmp_path / "spiece.model")
    for text in (*CONTROLS, b"12\ttrees\r\n", b"a\r\r\n"):
        encoded = tokenizer.encode([text])
        assert tokenizer.unknown_id not in encoded.ids
        assert tokenizer.decode(encoded.ids.tolist()).encode() == text


def test_controls_that_a_text_does_not_hold_take_no_pieces(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes("one é\r\ntwo\tthree\x85\n".encode())
    assert controls_of(tmp_path / "text") == ["\t", "\r"]


@pytest.mark.parametrize(
    ("kind", "file"), [("sentencepiece", "spiece.model"), ("transformers", "tokenizer.json")]
)
def test_a_file_that_is_no_tokenizer_is_named(tmp_path: Path, kind: str, file: str) -> None:
    write_json(tmp_path / "kind.json", {"kind": kind})
    (tmp_path / file).write_bytes(b"\x00 no tokenizer")
    with pytest.raises(StudyError, match=rf"is not of the kind {kind}: "):
        load_tokenizer(tmp_path)


def test_a_long_line_is_learnt_from_in_parts_of_whole_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tokenizers_module, "LONGEST_SENTENCE", 10)
    assert list(sentences(["the tree grows tall\n", "by\n", "unbreakable  things\n", "\n"])) == [
        "the tree",
        " grows",
        " tall",
        "by",
        "unbreakable",
        "  things",
        "",
    ]
