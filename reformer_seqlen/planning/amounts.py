"""The sizes of a study's texts, in bytes, tokens and rows: counted or estimated."""

import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reformer_seqlen.fetching.unpacking import packing
from reformer_seqlen.parameters.common.quantities import SPLITS
from reformer_seqlen.parameters.corpora import Corpus
from reformer_seqlen.parameters.models import Pretraining
from reformer_seqlen.parameters.sources import (
    FileSource,
    HubSource,
    PackageSource,
    PathSource,
    UrlSource,
    WheelSource,
)
from reformer_seqlen.parameters.study import Study
from reformer_seqlen.runtime.files import read_json
from reformer_seqlen.runtime.paths import TOKENS

BYTES_PER_ROW = 100
"""A guess, for a corpus that is cut to its first rows and that `PUBLISHED` says nothing of."""
BYTES_PER_PIECE = 1.9
"""English text under a tokenizer of 320 pieces, for a corpus that `PUBLISHED` says nothing of."""


@dataclass(frozen=True)
class Measured:
    """The sizes of a published corpus under the published tokenizer and encoding.

    Attributes:
        bytes_per_piece: bytes of text in a piece, in the mean.
        bytes_per_row: bytes of text in a row, in the mean, with its newline.
        row_spread: the standard deviation of a row's length over its mean.
    """

    bytes_per_piece: float
    bytes_per_row: float
    row_spread: float


PUBLISHED = {
    "wikitext-2": Measured(1.840, 10_940_747 / 36_718, 1.4),
    "ptb": Measured(2.10, 5_101_618 / 42_068, 0.5),
    "enwik8": Measured(1.799, 100_000_000 / 1_128_024, 2.5),
}
"""Pieces were counted on WikiText-2's validation and test texts and enwik8's first 1,000,000 bytes.

Penn Treebank's training text holds `<unk>` 45,020 times. Counted as five pieces each, its text has
1.970 bytes a piece; the published encoding makes two pieces of it and the blank before it, which
gives 2.10. Rows were counted in the official files. Their spread was measured for enwik8, on the
lines of a later dump of Wikipedia; for the others it is a guess: sentences differ less, and
paragraphs between headings and blank lines more than lengths that are drawn evenly.
"""


@dataclass(frozen=True)
class Amount:
    """How many tokens and rows each split has, and how that is known.

    Attributes:
        tokens: by split; empty where nothing is known before the download.
        rows: by split; empty where nothing is known of them.
        row_spread: the standard deviation of a row's length over its mean.
        token_set: the folder in which an earlier run has left the tokens; None where all of this
            is an estimate.
    """

    tokens: Mapping[str, int] = field(default_factory=dict)
    rows: Mapping[str, int] = field(default_factory=dict)
    row_spread: float = 1.0
    token_set: Path | None = None

    @property
    def counted(self) -> bool:
        """Whether it is what is there, not an estimate."""
        return self.token_set is not None


def amount_of_pretraining(recipe: Pretraining) -> Amount:
    """The tokens of the text that a base is made of, estimated."""
    size = raw_bytes(recipe.file)
    size = min(filter(None, (size, recipe.first_bytes)), default=None)
    if size is None:
        return Amount()
    tokens = size / BYTES_PER_PIECE
    shares = {"train": 1 - recipe.validation, "validation": recipe.validation}
    return Amount({split: round(tokens * share) for split, share in shares.items()})


def amount_of(corpus: str, model: str, params: Study, known: Study | None) -> Amount:
    """The tokens of a corpus under a model's tokenizer: counted by an earlier run, or estimated."""
    folder = TOKENS / f"{corpus}-{model}"
    there = all((folder / f"{split}.rows.npy").exists() for split in SPLITS)
    if known is not None and there and _declared_alike(corpus, model, params, known):
        splits: dict[str, Any] = read_json(folder / "tokens.json")["splits"]
        return Amount(
            {split: item["tokens"] for split, item in splits.items()},
            {split: item["rows"] for split, item in splits.items()},
            token_set=folder,
        )
    texts, measured = text_bytes(corpus, params.corpora[corpus]), PUBLISHED.get(corpus)
    if measured is None:
        return Amount({split: round(size / BYTES_PER_PIECE) for split, size in texts.items()})
    return Amount(
        {split: round(size / measured.bytes_per_piece) for split, size in texts.items()},
        {split: round(size / measured.bytes_per_row) for split, size in texts.items()},
        measured.row_spread,
    )


def _declared_alike(corpus: str, model: str, params: Study, known: Study) -> bool:
    name = f"{corpus}-{model}"
    return (
        params.corpora[corpus] == known.corpora.get(corpus)
        and params.models[model] == known.models.get(model)
        and params.tokens[name] == known.tokens.get(name)
    )


def text_bytes(name: str, corpus: Corpus) -> dict[str, int]:
    """The bytes of each split, estimated; empty where a source does not declare its size."""
    measured = PUBLISHED.get(name)
    bytes_per_row = BYTES_PER_ROW if measured is None else measured.bytes_per_row
    rows = corpus.first_rows and round(corpus.first_rows * bytes_per_row)
    sizes = {
        name: min(filter(None, (raw_bytes(source), corpus.first_bytes, rows)), default=None)
        for name, source in corpus.files.items()
    }
    if corpus.split is None:
        return {} if None in sizes.values() else {name: size or 0 for name, size in sizes.items()}
    whole = sizes["all"]
    if whole is None:
        return {}
    validation, test = corpus.split.validation, corpus.split.test
    shares = dict(zip(SPLITS, (1 - validation - test, validation, test), strict=True))
    return {split: round(whole * share) for split, share in shares.items()}


def raw_bytes(source: FileSource) -> int | None:
    """The bytes of a file, unpacked: as declared, or as found on this machine; None if unknown."""
    if isinstance(source, HubSource):
        return source.size
    if source.unpacked_size is not None:
        return source.unpacked_size
    match source:
        case WheelSource():
            return None
        case UrlSource():
            name, size = source.file_name, source.size
        case PackageSource():
            name, size = source.file, _packaged_bytes(source)
        case PathSource():
            path = Path(source.path).expanduser()
            name, size = path.name, path.stat().st_size if path.is_file() else None
    packed = source.member is not None or packing(name, source.compression) is not None
    return None if packed else size


def _packaged_bytes(source: PackageSource) -> int | None:
    try:
        files = importlib.metadata.files(source.package) or []
    except importlib.metadata.PackageNotFoundError:
        return None
    return next((file.size for file in files if str(file) == source.file), None)
