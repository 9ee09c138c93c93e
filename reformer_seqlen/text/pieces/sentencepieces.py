"""The tokenizer `sentencepiece`: a SentencePiece model, made here or a checkpoint's."""

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import sentencepiece

from reformer_seqlen.parameters.tokens import Encoding
from reformer_seqlen.text.pieces.cuts import last_cut
from reformer_seqlen.text.pieces.encoded import Encoded, RowPieces, joined
from reformer_seqlen.text.pieces.protobuf import fields
from reformer_seqlen.text.pieces.words import Words

BLANK = "\N{LOWER ONE EIGHTH BLOCK}"
"""How SentencePiece writes a blank in a piece."""
BPE = 2
BUILT_IN = {b"identity", b"nfkc", b"nmt_nfkc", b"nfkc_cf", b"nmt_nfkc_cf"}
"""Normalisation rules of which none holds a blank."""


class SentencePieceTokenizer:
    """Text under a SentencePiece model; bytes that are no UTF-8 are unknown characters to it."""

    document_prefix: tuple[int, ...] = ()

    def __init__(self, model: Path, encoding: Encoding = "sentencepiece") -> None:
        """Read a model.

        Args:
            model: a file as SentencePiece writes it.
            encoding: whose rules split a row into pieces (see `TokenSet` in parameters).
        """
        self.processor = sentencepiece.SentencePieceProcessor(model_proto=model.read_bytes())
        self.vocabulary: int = self.processor.vocab_size()
        self.unknown_id: int = self.processor.unk_id()
        self._rules = rules_of(self.processor)
        self._spelt = [_spelling(self.processor, number) for number in range(self.vocabulary)]
        self._lengths = np.array([len(text) for text in self._spelt])
        known = [each for each in (self.unknown_id, self.processor.eos_id()) if each >= 0]
        special = [re.escape(self.processor.id_to_piece(each)) for each in known]
        self._special = (
            re.compile("|".join(special).encode()) if encoding != "sentencepiece" else None
        )
        independent = encodes_words_independently(self.processor, self._rules, encoding)
        self.common = self._common()
        self._words = Words(self) if independent else None

    def encode(self, rows: Sequence[bytes], *, within: bool = False) -> Encoded:
        """The pieces of rows; `within`: the first goes on from where another was cut."""
        if self._words is not None:
            return self._words.encode(rows, within=within)
        return joined(rows, self.encode_rows(rows))

    def last_cut(self, row: bytes) -> int:
        """Where a row is best cut so that both parts have its pieces; 0 for nowhere."""
        return last_cut(row) if self._words is not None else 0

    def decode(self, ids: Sequence[int]) -> str:
        """The text of pieces."""
        return str(self.processor.decode(list(ids)))

    def encode_rows(self, rows: Sequence[bytes]) -> list[RowPieces]:
        """The pieces of each row, without the table of words."""
        return [
            self._as_transformers_does(row)
            if self._special and (self._special.search(row) or self._ends_blank(row))
            else self._with_ends(row, ids)
            for row, ids in zip(rows, self.processor.encode(list(rows)), strict=True)
        ]

    def encode_common(self, rows: Sequence[bytes]) -> Encoded:
        """The pieces of rows of common characters and blanks, whose lengths say where they end."""
        encoded = self.processor.encode(list(rows), return_type="numpy")
        counts = np.array([len(ids) for ids in encoded], dtype=np.int64)
        begins = np.cumsum(counts) - counts
        ids = np.concatenate([np.empty(0, dtype=np.int32), *encoded]).astype(np.uint32)
        lengths = self._lengths[ids]
        lengths[begins[counts > 0]] -= self._rules.adds_blank
        return Encoded(ids, np.cumsum(lengths), begins)

    def _common(self) -> bytes:
        """Visible ASCII characters that are pieces, but none that special tokens are spelt with.

        If the model changes no text, blanks and control characters are as common.
        """
        special = self._special.pattern if self._special else b""
        untouched = self._rules.identity and not self._rules.drops_blanks and not self._special
        first, last = (0, 0x7F) if untouched else (ord("!"), ord("~"))
        each = (bytes([code]) for code in range(first, last + 1))
        return b"".join(one for one in each if one in self._spelt and one not in special)

    def _with_ends(self, row: bytes, ids: list[int]) -> RowPieces:
        """The ids of a row's pieces, and where each ends.

        Where the pieces spell the row, their lengths say it. SentencePiece's own offsets say it of
        all rows, in three times the time.
        """
        if self._rules.identity or (self._rules.built_in and row.isascii()):
            texts = [self._spelt[each] for each in ids]
            spelt = b"".join(texts)
            added = 0 if row.startswith(spelt) else 1  # a blank before the row
            rest = row[len(spelt) - added :]
            if (b" " * added + row).startswith(spelt) and (not rest or rest.isspace()):
                return ids, list(itertools.accumulate(map(len, texts), initial=-added))[1:]
        return self._by_offsets(row)

    def _by_offsets(self, row: bytes) -> RowPieces:
        encoded = self.processor.encode(row, return_type="offset_mapping")
        return encoded["ids"], [end for _, end in encoded["offsets"]]

    def _as_transformers_does(self, row: bytes) -> RowPieces:
        """A row's pieces as transformers' tokenizer makes them."""
        assert self._special
        ids: list[int] = []
        ends: list[int] = []
        begin = 0
        for match in [*self._special.finditer(row), None]:
            part = row[begin : match.start() if match else len(row)]
            inside, inside_ends = self._by_offsets(part)
            ids += inside
            ends += [begin + end for end in inside_ends]
            if self._ends_blank(part):
                ids.append(self.processor.piece_to_id(BLANK))
                ends.append(begin + len(part))
            if match:
                ids.append(self.processor.piece_to_id(match.group().decode()))
                ends.append(begin := match.end())
        return ids, ends

    def _ends_blank(self, part: bytes) -> bool:
        """Whether a text ends with a blank after normalisation, such as a no-break space."""
        if part[-1:].isascii():
            return part[-1:].isspace()
        # SentencePiece drops a blank at the end, so normalise with a letter behind it.
        normalised = self.processor.normalize(part.decode(errors="replace") + "x")
        return bool(normalised.endswith(f"{BLANK}x"))


@dataclass(frozen=True)
class Rules:
    """What a model's file says of its training and of what it does to a text first."""

    bpe: bool
    identity: bool
    """Characters are left as they are."""
    built_in: bool
    """They are, or are changed by rules that come with SentencePiece."""
    adds_blank: bool
    drops_blanks: bool
    writes_blanks: bool


def rules_of(processor: sentencepiece.SentencePieceProcessor) -> Rules:
    """Read the fields of sentencepiece_model.proto that say it."""
    model = fields(processor.serialized_model_proto())
    training, normalising = (
        fields(inner) if isinstance(inner := model.get(number), bytes) else {} for number in (2, 3)
    )
    identity = not normalising.get(2)
    return Rules(
        bpe=training.get(3) == BPE,
        identity=identity,
        built_in=identity or normalising.get(1) in BUILT_IN,
        adds_blank=normalising.get(3, 1) == 1,
        drops_blanks=normalising.get(4, 1) == 1,
        writes_blanks=normalising.get(5, 1) == 1,
    )


def encodes_words_independently(
    processor: sentencepiece.SentencePieceProcessor, rules: Rules, encoding: Encoding
) -> bool:
    """Whether a word has the same pieces whatever stands before and after it in its row.

    So it is where pieces are merged (BPE), no piece goes on after a word's end, and no rule of
    normalisation looks at what stands before or after a blank. A unigram model weighs whole rows:
    rounding may decide between two ways to split them.
    """
    pieces = [processor.id_to_piece(number) for number in range(processor.vocab_size())]
    return (
        rules.bpe
        and rules.built_in
        and rules.writes_blanks
        and BLANK in pieces
        and not any(re.search(f"[^{BLANK}]{BLANK}| ", piece) for piece in pieces)
        # After a special token in its text, `transformers` encodes the rest as a row of its own.
        and (encoding == "sentencepiece" or rules.adds_blank == rules.drops_blanks)
    )


def _spelling(processor: sentencepiece.SentencePieceProcessor, number: int) -> bytes:
    """The text of a piece, and for one that has none a byte that no UTF-8 text has."""
    if any(
        is_one(number) for is_one in (processor.is_unknown, processor.is_control, processor.is_byte)
    ):
        return b"\xff"
    return str(processor.id_to_piece(number)).replace(BLANK, " ").encode()
