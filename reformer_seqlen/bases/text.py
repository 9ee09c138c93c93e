"""The text of a base model that is made here, as pieces of a tokenizer made from it."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from reformer_seqlen.fetching.checks import unchecked
from reformer_seqlen.fetching.fetch import fetch_text
from reformer_seqlen.parameters.models import Pretraining
from reformer_seqlen.parameters.tokens import TokenizerKind
from reformer_seqlen.runtime.files import read_json, write_json
from reformer_seqlen.text.documents import documents
from reformer_seqlen.text.encoding import write_tokens
from reformer_seqlen.text.plain import make_plain
from reformer_seqlen.text.splitting import WHOLE, after, byte_shares, end_of, first
from reformer_seqlen.text.stored import copy_text, text_path, write_text
from reformer_seqlen.text.tokenizers import load_tokenizer, make_tokenizer
from reformer_seqlen.text.tokens import Tokens, load_tokens

if TYPE_CHECKING:
    from reformer_seqlen.parameters.corpora import Between

RECORD = "source.json"
"""Says what the text was made from."""


def prepare_text(
    recipe: Pretraining, tokenizer: TokenizerKind, folder: Path, key: str, mirror: str | None
) -> dict[str, Tokens]:
    """Fetch the base text, make the tokenizer from it, and encode it.

    Args:
        recipe: says where the text is, what is taken of it and how many pieces there are.
        tokenizer: its kind.
        folder: gets the tokenizer's files, the text, the record of what was fetched, and in
            `tokens` what `train` and `validation` of it are encoded into.
        key: the recipe's place in params.yaml, for messages.
        mirror: a folder or base URL to try first.

    Returns:
        The tokens of `train` and `validation`.

    Raises:
        StudyError: the text cannot be had, or is too short.
    """
    raw = folder / "raw"
    file_key = f"{key}.file"
    for note in unchecked(recipe.file, file_key):
        print(note)
    fetched = fetch_text(recipe.file, raw, file_key, mirror=mirror)
    write_json(folder / RECORD, fetched.model_dump())
    for note in make_plain(raw, recipe.file, file_key):
        print(note)
    between: Between = "lines" if recipe.format == "bytes" else "documents"
    rest = after(documents(raw, recipe.format, file_key), recipe.skip_bytes, between)
    write_text(folder, WHOLE, first(rest, recipe.first_bytes), key)
    size = text_path(folder, WHOLE).stat().st_size
    cut = end_of(between, folder, WHOLE, byte_shares(size, recipe.validation, 0.0)[0])
    copy_text(folder, WHOLE, 0, cut, folder, "train", key)
    copy_text(folder, WHOLE, cut, size, folder, "validation", key)
    text, coverage = folder / "train.txt", recipe.character_coverage
    make_tokenizer(tokenizer, text, recipe.pieces, folder, key, coverage)
    made, target = load_tokenizer(folder), folder / "tokens"
    target.mkdir()
    for name in ("train", "validation"):
        write_tokens(made, folder, name, target)
    return prepared_text(folder)


def text_record(folder: Path) -> dict[str, Any]:
    """What `prepare_text` fetched: `Fetched`, as a card has it."""
    record: dict[str, Any] = read_json(folder / RECORD)
    return record


def prepared_text(folder: Path) -> dict[str, Tokens]:
    """The tokens that `prepare_text` has left in its folder."""
    return {name: load_tokens(folder / "tokens", name) for name in ("train", "validation")}
