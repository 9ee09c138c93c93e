"""What a source gives as text is text: looked at byte by byte, and brought to UTF-8."""

import codecs
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from reformer_seqlen.parameters.sources import BINARY, FileSource, HubSource, LineEnds
from reformer_seqlen.runtime.files import whole_file
from reformer_seqlen.runtime.messages import plain as messages

READ_BYTES = 1 << 20
"""At a time."""
HEAD_BYTES = 512
FORMATS = {
    b"PK\x03\x04": "zip",
    b"PK\x05\x06": "zip",
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
    b"7z\xbc\xaf\x27\x1c": "7z",
    b"Rar!\x1a\x07": "rar",
    b"PAR1\x15": "parquet",
    b"ARROW1\x00": "arrow",
    b"\x89HDF": "HDF5",
    b"SQLite format 3\x00": "SQLite",
    b"%PDF-": "PDF",
    b"\xd0\xcf\x11\xe0": "a Word or Excel document",
    b"GGUF": "GGUF",
    b"\x7fELF": "a program",
    b"\x89PNG": "PNG",
    b"\xff\xd8\xff": "JPEG",
}
"""How files that are no text begin."""
PACKED_BLOCK = b"1AY&SY"
"""Follows `BZh` and a digit in a bzip2 file; `BZh` alone may begin a text."""
TAR = 257, b"ustar"
"""Where a tar archive says what it is."""
MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""Byte order marks, the longer ones first: that of UTF-32 begins as that of UTF-16 does."""
WIDE = 0.2
"""NUL bytes among a text's first ones, as a share: in UTF-16 they are half of plain English."""
UNDECODABLE = 0.001
"""Bytes that are no UTF-8, as a share: with more the text is in another encoding, or is none."""
FEW = 3
"""Such bytes that any text may have: a character at whose middle it was cut off."""


@dataclass
class Seen:
    """What a person should know of a text.

    Attributes:
        crlf: lines that end with a carriage return and a newline.
        cr: lines that end with a carriage return alone.
        odd: bytes that are no UTF-8.
        marked: whether a byte order mark stands before it, as a character.
    """

    crlf: int = 0
    cr: int = 0
    odd: int = 0
    marked: bool = False
    _last: str | None = None

    def add(self, part: str) -> None:
        """Count what is in the next part; an empty one is the text's end."""
        if self._last is None:
            self.marked = part.startswith("\N{ZERO WIDTH NO-BREAK SPACE}")
        elif self._last == "\r":  # the next part tells of which kind it is
            self.crlf += part.startswith("\n")
            self.cr += not part.startswith("\n")
        self._last = part[-1:]
        pairs = part.count("\r\n")
        self.crlf += pairs
        self.cr += part.count("\r") - pairs - (self._last == "\r")
        self.odd += _odd(part)


def make_plain(raw: Path, source: FileSource, key: str) -> list[str]:
    """Check that a file is text, and write it as UTF-8 with the line ends that are declared.

    Bytes that are no UTF-8 stay as they are where they are few.

    Args:
        raw: the file, which is replaced where it is not to stay as it is.
        source: what is declared of it.
        key: the source's place in params.yaml, for messages.

    Returns:
        What a person should know of it.

    Raises:
        StudyError: it is empty or no text, or in another encoding than declared.
    """
    encoding, line_ends = _declared(source)
    size = raw.stat().st_size
    if not size:
        raise messages.empty(key)
    if encoding == BINARY:
        return []
    with raw.open("rb") as file:
        _check_head(file.read(HEAD_BYTES), encoding, key)
    seen = Seen()
    parts = _decoded(raw, encoding, seen, key)
    if encoding == "utf-8" and line_ends == "kept":
        for _ in parts:
            pass  # it is looked at, and stays as it is
    else:
        _rewrite(raw, parts, line_ends)
    if seen.odd > max(FEW, UNDECODABLE * size):
        raise messages.not_utf_8(key, seen.odd, size)
    return _notes(key, line_ends, seen)


def _declared(source: FileSource) -> tuple[str, LineEnds]:
    """The encoding and the line ends; rows of the hub are text already."""
    return (
        ("utf-8", "kept") if isinstance(source, HubSource) else (source.encoding, source.line_ends)
    )


def format_of(head: bytes) -> str | None:
    """What the first bytes of a file say that it is, None where they may begin a text."""
    place, name = TAR
    if head[place:].startswith(name):
        return "tar"
    for begin, kind in FORMATS.items():
        if head.startswith(begin) and (kind != "bzip2" or head[4:].startswith(PACKED_BLOCK)):
            return kind
    return None


def _check_head(head: bytes, encoding: str, key: str) -> None:
    if kind := format_of(head):
        raise messages.not_text(key, kind)
    if encoding == "utf-8" and (other := _wide_encoding(head)):
        raise messages.other_encoding(key, other)


def _wide_encoding(head: bytes) -> str | None:
    """The encoding of several bytes a character that the first bytes of a text show."""
    for mark, marked in MARKS.items():
        if head.startswith(mark):
            return marked
    first, second, third, fourth = (
        head[lane::4].count(0) * 4 > WIDE * len(head) for lane in range(4)
    )
    if second and third:
        return "utf-32-le" if fourth else "utf-32-be"
    if second and fourth:
        return "utf-16-le"
    return "utf-16-be" if first and third else None


def _rewrite(raw: Path, parts: Iterable[str], line_ends: LineEnds) -> None:
    """Write a text as UTF-8 with the line ends that are declared."""
    newlines = io.IncrementalNewlineDecoder(None, translate=True)
    with whole_file(raw) as target, target.open("wb") as file:
        for part in parts:
            text = newlines.decode(part, final=not part) if line_ends == "newline" else part
            file.write(text.encode("utf-8", errors="surrogateescape"))


def _decoded(raw: Path, encoding: str, seen: Seen, key: str) -> Iterator[str]:
    """The parts of a text, and an empty one at its end.

    Raises:
        StudyError: a NUL is among them, or bytes that the encoding does not have.
    """
    errors = "surrogateescape" if encoding.startswith("utf-8") else "strict"
    decoder = codecs.getincrementaldecoder(encoding)(errors)
    done = 0
    with raw.open("rb") as file:
        while True:
            read = file.read(READ_BYTES)
            try:
                part = decoder.decode(read, final=not read)
            except UnicodeError as error:
                raise messages.undecodable(key, encoding, done, error) from error
            if "\0" in part:
                raise messages.nul(key, done + max(0, read.find(0)))
            seen.add(part)
            yield part
            if not read:
                if part:
                    yield ""
                return
            done += len(read)


def _odd(part: str) -> int:
    """How many bytes that are no UTF-8 stand in a text, a surrogate each."""
    try:
        part.encode()
    except UnicodeEncodeError:
        return len(part) - len(part.encode("utf-8", errors="ignore").decode())
    return 0


def _notes(key: str, line_ends: LineEnds, seen: Seen) -> list[str]:
    notes = []
    if seen.crlf or seen.cr:
        notes.append(messages.line_ends(key, seen.crlf, seen.cr, line_ends))
    if seen.odd:
        notes.append(messages.few_undecodable(key, seen.odd))
    if seen.marked:
        notes.append(messages.byte_order_mark(key))
    return notes
