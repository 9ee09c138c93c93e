"""Tokenizers: a folder's own, made or copied; what all kinds have in common."""

import io
import shutil
import string
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import sentencepiece

from reformer_seqlen.parameters.tokens import Encoding, TokenizerKind
from reformer_seqlen.runtime.files import read_json, write_json
from reformer_seqlen.runtime.messages import text as messages
from reformer_seqlen.text.blocks import read_parts
from reformer_seqlen.text.pieces.encoded import Encoded

NO_CONTROLS = bytes([0, ord("\n"), *range(ord(" "), 0x7F), *range(0x80, 0x100)])
"""Bytes that are no ASCII controls; NUL, which no text has; newline, which is always a piece."""
LONGEST_SENTENCE = 1 << 16
"""Characters; SentencePiece takes 200 times the memory of a sentence."""
MOST_BYTES_OF_A_SENTENCE = 1 << 30
"""That SentencePiece can be told."""
KIND = "kind.json"
"""Says which kind of tokenizer a folder holds; a byte tokenizer has no other file."""
MODEL = "spiece.model"
FAST = "tokenizer.json"
NEEDED: dict[TokenizerKind, str | None] = {
    "sentencepiece": MODEL,
    "transformers": FAST,
    "bytes": None,
}
"""The file that a folder must hold of each kind."""
COPIED = (
    MODEL,
    FAST,
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
)
"""What transformers reads, too, of a tokenizer."""


class Tokenizer(Protocol):
    """Text to pieces and back."""

    @property
    def vocabulary(self) -> int:
        """How many ids there are, from 0."""

    @property
    def unknown_id(self) -> int | None:
        """The piece that stands for text without a piece of its own, if there is one."""

    @property
    def document_prefix(self) -> tuple[int, ...]:
        """The ids of the special tokens that it puts before a document."""

    def encode(self, rows: Sequence[bytes], *, within: bool = False) -> Encoded:
        """The pieces of rows, and the byte at which each ends.

        Args:
            rows: text, most often a line each.
            within: the first row goes on from where another was cut.
        """

    def last_cut(self, row: bytes) -> int:
        """Where a row is best cut so that both parts have the pieces of the whole; 0 for nowhere.

        It is as far back in the row as can be.
        """

    def decode(self, ids: Sequence[int]) -> str:
        """The text of pieces."""


def load_tokenizer(folder: Path, encoding: Encoding = "sentencepiece") -> Tokenizer:
    """The tokenizer in a folder.

    Args:
        folder: holds kind.json and the tokenizer's own files.
        encoding: whose rules make pieces under a SentencePiece model (see `TokenSet`).

    Raises:
        StudyError: a file is missing or is no such tokenizer.
    """
    kind = read_json(folder / KIND)["kind"]
    _check_files(folder, kind)
    # Each kind has a library of its own, which the others need not import.
    if kind == "bytes":
        from reformer_seqlen.text.pieces.single_bytes import ByteTokenizer

        return ByteTokenizer()
    try:
        if kind == "transformers":
            from reformer_seqlen.text.pieces.fast_tokenizers import TransformersTokenizer

            return TransformersTokenizer(folder / FAST)
        from reformer_seqlen.text.pieces.sentencepieces import SentencePieceTokenizer

        return SentencePieceTokenizer(folder / MODEL, encoding)
    except Exception as error:  # tokenizers raises no other class for a file that it cannot read
        raise messages.unreadable_tokenizer(folder, kind, error) from error


def _check_files(folder: Path, kind: TokenizerKind) -> None:
    name = NEEDED[kind]
    if name is not None and not (folder / name).is_file():
        raise messages.no_tokenizer_file(folder, kind, name)


def declare_tokenizer(folder: Path, kind: TokenizerKind) -> None:
    """Say in kind.json which tokenizer of a folder is meant.

    Raises:
        StudyError: a file that the kind needs is missing.
    """
    _check_files(folder, kind)
    write_json(folder / KIND, {"kind": kind})


def save_tokenizer(source: Path, target: Path) -> None:
    """Copy a tokenizer's files, and what says its kind, from one folder to another.

    Args:
        source: holds them, perhaps among others.
        target: an existing folder.

    Raises:
        StudyError: a file that the kind needs is missing.
    """
    kind: TokenizerKind = read_json(source / KIND)["kind"]
    _check_files(source, kind)
    for name in COPIED:
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)
    declare_tokenizer(target, kind)


def make_tokenizer(
    kind: TokenizerKind, text: Path, pieces: int, target: Path, key: str, coverage: float = 1.0
) -> None:
    """Make a tokenizer for a model that is made here, from its own text.

    Args:
        kind: `sentencepiece` or `bytes`.
        text: a file of lines.
        pieces: of the SentencePiece model.
        target: an existing folder.
        key: the place in params.yaml of what says `pieces`, for messages.
        coverage: see `train_tokenizer`.
    """
    if kind == "sentencepiece":
        train_tokenizer(text, pieces, target / MODEL, key, coverage)
    write_json(target / KIND, {"kind": kind})


def controls_of(text: Path) -> list[str]:
    """The ASCII control characters of a text, but for the newline and NUL, which none has."""
    found: set[int] = set()
    with text.open("rb") as file:
        for part, _ in read_parts(file, len):
            found.update(part.translate(None, NO_CONTROLS))
    return [chr(code) for code in sorted(found)]


def sentences(lines: Iterable[str]) -> Iterator[str]:
    """Lines without their newlines; a long one in parts of whole words, cut before blanks."""
    for line in lines:
        text, begin = line.rstrip("\n"), 0
        while len(text) - begin > LONGEST_SENTENCE:
            cut = text.rfind(" ", begin + 1, begin + LONGEST_SENTENCE)
            if cut < 0:  # one word is longer
                cut = text.find(" ", begin + LONGEST_SENTENCE)
            if cut < 0:
                break
            yield text[begin:cut]
            begin = cut
        yield text[begin:]


def train_tokenizer(text: Path, pieces: int, target: Path, key: str, coverage: float = 1.0) -> None:
    """Train a lossless SentencePiece BPE model on a text file.

    Nothing is normalised. Every printable ASCII character and the newline are pieces, and so are
    tabs, carriage returns and other controls that the text holds. Only other scripts and signs
    become unknown: a text with many unknown pieces is easier to predict than the text itself.

    Args:
        text: a file of lines.
        pieces: how many to make.
        target: the model's file.
        key: the place in params.yaml of what says `pieces`, for messages.
        coverage: the share of the text's characters that are pieces; the rarest become unknown.

    Raises:
        StudyError: the text has too few different pieces, or more characters than pieces.
    """
    printable = string.ascii_letters + string.digits + string.punctuation
    model = io.BytesIO()
    # Lines as encoding reads them: a carriage return is a character.
    with text.open(encoding="utf-8", errors="replace", newline="\n") as lines:
        try:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=sentences(lines),
                model_writer=model,
                model_type="bpe",
                vocab_size=pieces,
                character_coverage=coverage,
                required_chars=printable,
                user_defined_symbols=["\n", *controls_of(text)],
                normalization_rule_name="identity",
                remove_extra_whitespaces=False,
                add_dummy_prefix=False,
                max_sentence_length=min(text.stat().st_size, MOST_BYTES_OF_A_SENTENCE),
                num_threads=1,
                minloglevel=2,
            )
        except RuntimeError as error:
            raise messages.no_tokenizer(key, pieces, error) from error
    target.write_bytes(model.getvalue())
