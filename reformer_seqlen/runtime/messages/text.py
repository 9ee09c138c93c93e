"""Of texts, tokens and windows."""

import itertools
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reformer_seqlen.runtime.errors import StudyError, one_line
from reformer_seqlen.runtime.files import final_path

SHOWN = 5
"""Of the characters that are unknown; tokens.json has more."""


def no_python_module(key: str, error: Exception) -> StudyError:
    """`format: python_string` of what Python can't parse."""
    reason = error if str(error) else type(error).__name__
    return StudyError(f"{key}: this is not a Python module of text: {reason}")


def no_dump(key: str, error: Exception) -> StudyError:
    """`format: wikipedia_prose` of what is no XML, or not all of it."""
    return StudyError(
        f"{key}: this is no whole XML dump of MediaWiki, as `wikipedia_prose` reads it: {error}; "
        "fetch it again if it was cut off, or give another `format`"
    )


def empty_text(key: str, split: str) -> StudyError:
    """Nothing of a text falls into a split, or there is nothing at all of it."""
    if split == "whole":
        return StudyError(
            f"{key}: nothing is left of the text, it holds no line or document that is not blank,"
            " or none that fits; give a larger `first_bytes`, another `format`, or another text"
        )
    return StudyError(
        f"{key}: the {split} split is empty, no line or document of the text falls into"
        " its share; give a larger `first_bytes` or share, or a longer text, or `split.between: "
        "lines`, by which a text of one line is cut between words"
    )


def no_window(key: str, split: str, tokens: int, length: int) -> StudyError:
    """A split that is shorter than one window."""
    return StudyError(
        f"{key}: the {split} split has {tokens} tokens, too few for one window of "
        f"sequence_length {length}; choose a shorter length, or a larger `first_bytes` or "
        f"share of the text for {split}"
    )


def nothing_to_score(key: str, split: str, tokens: int) -> StudyError:
    """A split without a token after the first."""
    return StudyError(
        f"{key}: the {split} split has {tokens} tokens, too few to score one after another; "
        f"choose a larger `first_bytes` or share of the corpus for {split}"
    )


def no_tokenizer(key: str, pieces: int, error: Exception) -> StudyError:
    """SentencePiece can't make that many pieces of a text."""
    reason = str(error).rpartition("] ")[2]
    return StudyError(
        f"{key}.pieces: SentencePiece makes no {pieces} pieces of this text: {reason}"
    )


def no_tokenizer_file(folder: Path, kind: str, name: str) -> StudyError:
    """A folder that lacks what a kind of tokenizer is read from."""
    return StudyError(
        f"{final_path(folder)} holds no {name}, which `tokenizer: {kind}` needs; choose another "
        "`tokenizer` for the model, or a checkpoint that has this file"
    )


def unreadable_tokenizer(folder: Path, kind: str, error: Exception) -> StudyError:
    """A tokenizer's file that its library can't read."""
    place = final_path(folder)
    return StudyError(f"the tokenizer in {place} is not of the kind {kind}: {one_line(error)}")


def no_document_prefix(name: str, model: str) -> StudyError:
    """Special tokens asked of a tokenizer that has none."""
    return StudyError(
        f"tokens.{name}.document_prefix: the tokenizer of models.{model} puts no special tokens "
        "before a text; leave `document_prefix` out"
    )


def unknown_pieces(key: str, split: str, counts: Mapping[str, Any]) -> str:
    """How many pieces are unknown, and which characters they stand for."""
    share = counts["unknown"] / counts["tokens"]
    named = [
        f"{character!r} ({unicodedata.name(character, f'U+{ord(character):04X}')}) {count:,} times"
        for character, count in itertools.islice(counts["unknown_characters"].items(), SHOWN)
    ]
    stands_for = f": {', '.join(named)}" if named else ""
    return f"{key}: {share:.2%} of the pieces of {split} are unknown to the tokenizer{stands_for}"


def too_many_unknown(run: str, split: str, counts: Mapping[str, Any], limit: float) -> StudyError:
    """A split of which the tokenizer knows too little for a score to say anything."""
    return StudyError(
        f"{unknown_pieces(f'runs.{run}', split, counts)}; more than evaluate.unknown_limit, "
        f"{limit:.2%}, so a score would be of easier text than this. Give the tokenizer more "
        "`pieces` or a larger `character_coverage`, or declare the limit that you accept in "
        f"runs.{run}.evaluate.unknown_limit"
    )


def worker_ended() -> StudyError:
    """A process that encodes text is gone."""
    return StudyError(
        "a process that encodes text was ended from outside; the system does that when the"
        " machine's memory runs out"
    )
