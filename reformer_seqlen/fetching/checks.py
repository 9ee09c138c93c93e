"""What is fetched is what is declared, or is refused."""

from pathlib import Path

from reformer_seqlen.parameters.sources import PathSource, Source
from reformer_seqlen.runtime.files import sha256_of
from reformer_seqlen.runtime.messages import fetching as messages


def checked(path: Path, what: str, sha256: str | None, size: int | None = None) -> str:
    """The sha256 of the file `path`, which `what` names; refused if it or its size is another one.

    Args:
        path: the file.
        what: what it is, for messages.
        sha256: of its bytes, where declared.
        size: how many bytes it has, where declared.
    """
    found, bytes_ = sha256_of(path), path.stat().st_size
    check_sum(found, sha256, what)
    if size is not None and bytes_ != size:
        raise messages.other_size(what, bytes_, size)
    return found


def check_sum(found: str, declared: str | None, what: str) -> None:
    """Refuse `what` if its sha256 is not the declared one."""
    if declared is not None and found != declared:
        raise messages.other_sum(what, declared, found)


def unchecked(source: Source, key: str) -> list[str]:
    """What a person should know of a source of this machine that has no declared sha256.

    Args:
        source: what is declared.
        key: its place in params.yaml.
    """
    if isinstance(source, PathSource) and source.sha256 is None:
        return [messages.no_sha256(key, source.path)]
    return []
