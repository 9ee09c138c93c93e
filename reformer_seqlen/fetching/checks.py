"""What is fetched is what is declared, or is refused."""

from pathlib import Path

from reformer_seqlen.runtime.messages import fetching as messages


def check_sum(actual: str, declared: str | None, what: str) -> None:
    """Refuse `what`, whose sha256 is `actual`, if another is declared."""
    if declared is not None and actual != declared:
        raise messages.other_sum(what, declared, actual)


def check_size(raw: Path, declared: int | None, what: str) -> None:
    """Refuse `what`, which is the file `raw`, if another size in bytes is declared."""
    size = raw.stat().st_size
    if declared is not None and size != declared:
        raise messages.other_size(what, size, declared)
