"""The tokenizer `transformers`: any fast tokenizer, read from its tokenizer.json."""

import itertools
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer, decoders

from reformer_seqlen.runtime.files import read_json
from reformer_seqlen.text.pieces.cuts import last_cut
from reformer_seqlen.text.pieces.encoded import Encoded, RowPieces, joined

UNDECODABLE = dict.fromkeys(range(0xDC80, 0xDD00), "\N{REPLACEMENT CHARACTER}")
"""What Python's `surrogateescape` makes of bytes that are no UTF-8, a character of each."""


class TransformersTokenizer:
    """Text under a fast tokenizer, which reads U+FFFD for each byte that is no UTF-8.

    Special tokens that are spelt in a text are read as those tokens, as transformers does.
    """

    def __init__(self, file: Path) -> None:
        """Read a tokenizer.json."""
        self._tokenizer = Tokenizer.from_file(str(file))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        pieces = self._tokenizer.get_vocab(with_added_tokens=True)
        self.vocabulary = max(pieces.values()) + 1
        self.unknown_id = _unknown_id(read_json(file)["model"], pieces)
        self.document_prefix = _document_prefix(self._tokenizer)
        self._spelt = _spellings(self._tokenizer, pieces)
        self._may_cut = _cuts_before_blanks(self._tokenizer)

    def encode(self, rows: Sequence[bytes], *, within: bool = False) -> Encoded:
        """The pieces of rows; `within`: the first goes on from where another was cut."""
        texts = [row.decode(errors="surrogateescape") for row in rows]
        shown = [text if text.isascii() else text.translate(UNDECODABLE) for text in texts]
        found = self._tokenizer.encode_batch(shown, add_special_tokens=False)
        whole = joined(rows, map(self._with_ends, rows, texts, found))
        return Encoded(whole.ids, whole.ends, whole.rows[within:])

    def _with_ends(self, row: bytes, text: str, encoding: Encoding) -> RowPieces:
        """The ids of a row's pieces, and where each ends.

        Pieces of bytes may end inside a character, which offsets in characters cannot say.
        """
        ids = encoding.ids
        if self._spelt:
            spelt = [self._spelt.get(each, b"") for each in ids]
            if b"".join(spelt) == row:
                return ids, list(itertools.accumulate(map(len, spelt)))
        ends = [end for _, end in encoding.offsets]
        if text.isascii():
            return ids, list(itertools.accumulate(ends, max))
        return ids, np.maximum.accumulate(_byte_places(text)[ends]).tolist()

    def last_cut(self, row: bytes) -> int:
        """Before the last word where words are pieces of their own; a row is whole otherwise."""
        return last_cut(row) if self._may_cut else 0

    def decode(self, ids: Sequence[int]) -> str:
        """The text of pieces, without special tokens."""
        return str(self._tokenizer.decode(list(ids)))


def _cuts_before_blanks(tokenizer: Tokenizer) -> bool:
    """Whether a tokenizer always begins a piece with the one blank between two visible characters.

    GPT-2's does: its pattern takes the blank with what follows it. Tokens that are added must not
    reach over a blank.
    """
    settings = json.loads(tokenizer.to_str())
    first = settings["pre_tokenizer"] or {}
    plain = (
        first.get("type") == "ByteLevel" and first["use_regex"] and not first["add_prefix_space"]
    )
    return (
        bool(plain)
        and settings["normalizer"] is None
        and not any(
            " " in token["content"] or token["lstrip"] or token["rstrip"] or token["single_word"]
            for token in settings["added_tokens"]
        )
    )


def _byte_places(text: str) -> NDArray[np.int64]:
    """The byte at which each character begins, and that after the last: (characters + 1,)."""
    points = np.frombuffer(text.encode("utf-32-le", errors="surrogatepass"), dtype="<u4")
    sizes = 1 + (points >= 1 << 7).astype(np.int64) + (points >= 1 << 11) + (points >= 1 << 16)
    sizes[(points >= min(UNDECODABLE)) & (points <= max(UNDECODABLE))] = 1
    return np.append(0, np.cumsum(sizes))


def _unknown_id(model: dict[str, object], pieces: dict[str, int]) -> int | None:
    number, token = model.get("unk_id"), model.get("unk_token")
    return number if isinstance(number, int) else pieces.get(str(token))


def _document_prefix(tokenizer: Tokenizer) -> tuple[int, ...]:
    """The ids that the tokenizer puts before a text."""
    encoding = tokenizer.encode("a")
    marked = zip(encoding.ids, encoding.special_tokens_mask, strict=True)
    return tuple(number for number, _ in itertools.takewhile(lambda each: each[1], marked))


def _spellings(tokenizer: Tokenizer, pieces: dict[str, int]) -> dict[int, bytes]:
    """The bytes of each piece where pieces are made of bytes, as GPT-2's are; else nothing."""
    if not isinstance(tokenizer.decoder, decoders.ByteLevel):
        return {}
    added = tokenizer.get_added_tokens_decoder()
    byte_of = {character: number for number, character in enumerate(_byte_characters())}
    return {
        number: piece.encode()
        if number in added
        else bytes(byte_of[character] for character in piece if character in byte_of)
        for piece, number in pieces.items()
    }


def _byte_characters() -> list[str]:
    """The character that GPT-2 writes for each byte: itself where it is visible in Latin-1."""
    visible = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = itertools.count(0x100)
    return [chr(byte if byte in visible else next(others)) for byte in range(256)]
