"""Of base models."""

from collections.abc import Iterable

from reformer_seqlen.runtime.errors import StudyError


def unknown_settings(key: str, unknown: Iterable[str], known: Iterable[str]) -> StudyError:
    """A recipe's architecture sets what a Reformer's configuration does not have."""
    return StudyError(
        f"{key}: a Reformer's configuration has no {', '.join(unknown)};"
        f" the default architecture sets {', '.join(known)}"
    )


def no_reformer(key: str, error: Exception) -> StudyError:
    """An architecture that transformers refuses."""
    return StudyError(f"{key} makes no Reformer: {' '.join(str(error).split())}")
