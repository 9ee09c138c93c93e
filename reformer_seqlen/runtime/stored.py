"""Checksums beside what stages hand on, compared before anything is computed from it.

DVC looks at a file again only if its time or size has changed, and takes what is in its cache on
trust: a disk that forgets would go unseen.
"""

import hashlib
from pathlib import Path

from reformer_seqlen.runtime.messages import storage as messages

SUMS = "MD5SUMS"
"""In a folder: what `md5sum` prints of its files. DVC names its copies by the same sums."""
OF_THE_LINES = "# md5 of the lines below: "
"""Begins the file; `md5sum --check` passes over it."""
CACHE = Path(".dvc/cache/files/md5")


def md5_of(path: Path) -> str:
    """The md5 of a file in hexadecimal digits: against accidents, not against forgers."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def sums_of(folder: Path) -> dict[str, str]:
    """The md5 of each file of a folder, at any depth, by its path in it."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != SUMS)
    return {path.relative_to(folder).as_posix(): md5_of(path) for path in files}


def write_sums(folder: Path) -> None:
    """Write a folder's sums into it."""
    lines = "".join(f"{digest}  {name}\n" for name, digest in sums_of(folder).items())
    (folder / SUMS).write_text(f"{OF_THE_LINES}{_digest(lines)}\n{lines}", encoding="utf-8")


def _digest(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def check_stored(folder: Path) -> None:
    """Compare all that has sums in a folder, at any depth, with them.

    Raises:
        StudyError: a file is missing, or not what was stored.
    """
    for sums in sorted(folder.rglob(SUMS)):
        for name, expected in read_sums(sums).items():
            path = sums.parent / name
            found = None
            if not path.is_file():
                found = messages.MISSING
            elif md5_of(path) != expected:
                found = messages.OTHER_BYTES
            if found:
                raise messages.damaged(path, found, sums.parent, _damaged_copy(expected))


def read_sums(path: Path) -> dict[str, str]:
    """What `write_sums` wrote.

    Raises:
        StudyError: it is cut off.
    """
    first, _, lines = path.read_text(encoding="utf-8", errors="replace").partition("\n")
    if first != f"{OF_THE_LINES}{_digest(lines)}":
        raise messages.damaged(path, messages.NO_SUMS, path.parent, None)
    pairs = (line.split("  ", 1) for line in lines.splitlines())
    return {name: digest for digest, name in pairs}


def _damaged_copy(digest: str) -> Path | None:
    """DVC's copy of a file, if it is there and damaged."""
    copy = CACHE / digest[:2] / digest[2:]
    return copy if copy.is_file() and md5_of(copy) != digest else None
