"""Of files that should be text."""

from typing import Literal

from reformer_seqlen.runtime.errors import StudyError

AS_IT_IS = "or say `encoding: binary` if these bytes are what is to be learnt"
UNPACKED = {
    "zip": "name the `member` of it that is wanted",
    "gzip": "say `compression: gz`",
    "bzip2": "say `compression: bz2`",
    "xz": "say `compression: xz`",
}
"""What to do with a file that is packed."""


def empty(key: str) -> StudyError:
    """A file without a byte."""
    return StudyError(f"{key}: the file is empty; name one that holds text")


def not_text(key: str, kind: str) -> StudyError:
    """A file that begins as files of another kind do."""
    unpack = "make a text file of it and declare that with `kind: path`"
    return StudyError(
        f"{key}: this is no text but {kind}, by its first bytes: {UNPACKED.get(kind, unpack)}, "
        f"{AS_IT_IS}"
    )


def other_encoding(key: str, encoding: str) -> StudyError:
    """A byte order mark, or NUL bytes where another encoding has them."""
    return StudyError(
        f"{key}: this is no UTF-8 but {encoding}, by its first bytes: say "
        f"`encoding: {encoding}`, {AS_IT_IS}"
    )


def nul(key: str, place: int) -> StudyError:
    """A byte that no text has."""
    return StudyError(
        f"{key}: this is no text, a NUL byte is at or after byte {place:,}: name a text file or "
        f"its `encoding`, {AS_IT_IS}"
    )


def not_utf_8(key: str, odd: int, size: int) -> StudyError:
    """Too many bytes that are no UTF-8."""
    return StudyError(
        f"{key}: this is no UTF-8, {odd:,} of its {size:,} bytes are none: say in which `encoding` "
        f"it is, such as `encoding: cp1252` (Western Europe), {AS_IT_IS}"
    )


def undecodable(key: str, encoding: str, done: int, error: UnicodeError) -> StudyError:
    """Bytes that the declared encoding does not have."""
    place = done + (error.start if isinstance(error, UnicodeDecodeError) else 0)
    reason = error.reason if isinstance(error, UnicodeDecodeError) else error
    return StudyError(
        f"{key}.encoding: this is not {encoding}, near byte {place:,}: {reason}; say in which "
        "`encoding` it is, or leave that out for UTF-8"
    )


def line_ends(key: str, crlf: int, cr: int, declared: Literal["kept", "newline"]) -> str:
    """Lines that end with a carriage return."""
    found = [f"{crlf:,} lines end with \\r\\n"] * bool(crlf) + [
        f"{cr:,} lines end with \\r alone"
    ] * bool(cr)
    done = (
        "each is made a newline, as `line_ends: newline` says"
        if declared == "newline"
        else "they are kept; `line_ends: newline` makes each a newline"
    )
    return f"{key}: {', '.join(found)}: {done}"


def few_undecodable(key: str, odd: int) -> str:
    """Bytes that are no UTF-8, too few to say that the text is in another encoding."""
    return f"{key}: bytes that are no UTF-8: {odd:,}; they are kept. Is `encoding` missing?"


def byte_order_mark(key: str) -> str:
    """A mark before a text, which is a character like others."""
    return (
        f"{key}: a byte order mark is before the text and kept as a character; "
        "`encoding: utf-8-sig` leaves it out"
    )
