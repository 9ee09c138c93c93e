"""Of sources."""

from pathlib import Path

from reformer_seqlen.runtime.files import sha256_of


def no_sha256(key: str, path: str) -> str:
    """A file of this machine whose changes nobody sees: DVC sees params.yaml, not the file."""
    file = Path(path).expanduser()
    found = f", it is {sha256_of(file)} now" if file.is_file() else ""
    return f"{key}: no sha256 is declared{found}; without it no later change of the file is seen"
