"""Of texts, tokens and windows."""

from pathlib import Path

from reformer_seqlen.runtime.errors import StudyError


def no_python_module(module: Path, error: Exception) -> StudyError:
    """`format: python_string` of what Python can't parse."""
    return StudyError(f"{module.name} is not a Python module: {error}")


def empty_text(key: str, split: str) -> StudyError:
    """Nothing of a text falls into a split."""
    return StudyError(
        f"{key}: the {split} split is empty, no line or document of the text falls into"
        " its share; give a larger `first_bytes` or share, or a longer text"
    )


def no_window(run: str, split: str, tokens: int, length: int) -> StudyError:
    """A split that is shorter than one window."""
    return StudyError(
        f"runs.{run}: the {split} split has {tokens} tokens, too few for one window of "
        f"sequence_length {length}; choose a shorter length, or a larger `first_bytes` or "
        f"share of the corpus for {split}"
    )


def nothing_to_score(key: str, split: str, tokens: int) -> StudyError:
    """A split without a token after the first."""
    return StudyError(
        f"{key}: the {split} split has {tokens} tokens, too few to score one after another; "
        f"choose a larger `first_bytes` or share of the corpus for {split}"
    )


def no_tokenizer(pieces: int, error: Exception) -> StudyError:
    """SentencePiece can't make that many pieces of a text."""
    reason = str(error).rpartition("] ")[2]
    return StudyError(
        f"pretraining.pieces: SentencePiece makes no {pieces} pieces of this text: {reason}"
    )
