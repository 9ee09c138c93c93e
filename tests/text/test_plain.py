"""What is read as text is text, in UTF-8: the format is known by its bytes, never by its name."""

import bz2
import gzip
import io
import lzma
import random
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from reformer_seqlen.runtime.errors import StudyError
from reformer_seqlen.text import plain
from reformer_seqlen.text.plain import make_plain
from tests.declared import declared

TEXT = b"".join(b"%d trees grow by the river.\n" % number for number in range(100))
FRENCH = "L'arbre pousse près de la rivière, à l'été.\n" * 50


def zipped() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("text.txt", TEXT)
    return content.getvalue()


def tarred() -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        entry = tarfile.TarInfo("text.txt")
        entry.size = len(TEXT)
        archive.addfile(entry, io.BytesIO(TEXT))
    return content.getvalue()


def made_plain(content: bytes, folder: Path, **said: Any) -> tuple[bytes, list[str]]:
    """A source's text as it is read, and what is said of it."""
    raw = folder / "raw"
    raw.write_bytes(content)
    source: Any = declared(kind="path", path="mine.txt", **said)
    notes = make_plain(raw, source, "the text")
    assert [path.name for path in folder.iterdir()] == ["raw"]
    return raw.read_bytes(), notes


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (zipped(), "no text but zip, by its first bytes: name the `member` of it"),
        (gzip.compress(TEXT), "no text but gzip, by its first bytes: say `compression: gz`"),
        (gzip.compress(tarred()), "no text but gzip"),
        (bz2.compress(TEXT), "no text but bzip2, by its first bytes: say `compression: bz2`"),
        (lzma.compress(TEXT), "no text but xz, by its first bytes: say `compression: xz`"),
        (tarred(), "no text but tar, by its first bytes: make a text file of it"),
        (b"\x28\xb5\x2f\xfd" + TEXT, "no text but zstd"),
        (b"7z\xbc\xaf\x27\x1c" + TEXT, "no text but 7z"),
        (b"PAR1\x15\x00" + TEXT, "no text but parquet"),
        (b"%PDF-1.7\n" + TEXT, "no text but PDF"),
        (
            TEXT.decode().encode("utf-16"),
            "no UTF-8 but utf-16, by its first bytes: say `encoding: u",
        ),
        (TEXT.decode().encode("utf-16-le"), "say `encoding: utf-16-le`"),
        (TEXT.decode().encode("utf-16-be"), "say `encoding: utf-16-be`"),
        (TEXT.decode().encode("utf-32"), "say `encoding: utf-32`"),
        (TEXT.decode().encode("utf-32-le"), "say `encoding: utf-32-le`"),
        (TEXT.decode().encode("utf-32-be"), "say `encoding: utf-32-be`"),
        (TEXT + b"a\0b", "a NUL byte is at or after byte 2,791"),
        (random.Random(1).randbytes(4000), "a NUL byte is at or after byte 107"),
        (bytes(random.Random(1).choices(range(1, 256), k=4000)), r"\d of its 4,000 bytes are none"),
        (FRENCH.encode("cp1252"), "250 of its 2,200 bytes are none: say in which `encoding` it is"),
        (b"", "the file is empty"),
    ],
    ids=lambda value: "" if isinstance(value, bytes) else None,
)
def test_what_is_no_text_in_utf_8_is_named(content: bytes, said: str, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=f"^the text: .*{said}"):
        made_plain(content, tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        FRENCH.encode(),
        b"BZh is no word, PK is none, and neither is 7z\n",
        b"tab\t, form feed\x0c, escape\x1b[1m and delete\x7f\n",
        b"x" * 257 + b"us\n",
    ],
)
def test_text_stays_as_it_is(text: bytes, tmp_path: Path) -> None:
    assert made_plain(text, tmp_path) == (text, [])


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "utf-16", "UTF-16-BE", "utf8", "cp437"])
@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_a_text_in_a_declared_encoding_is_read_as_utf_8(
    encoding: str, size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plain, "READ_BYTES", size)
    text, notes = made_plain(FRENCH.encode(encoding), tmp_path, encoding=encoding)
    assert (text.decode(), notes) == (FRENCH, [])


def test_bytes_that_a_declared_encoding_does_not_have_are_named(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"^the text\.encoding: this is not ascii, near byte 17: "):
        made_plain(FRENCH.encode(), tmp_path, encoding="ascii")
    with pytest.raises(StudyError, match=r"\.encoding: this is not utf-16-le, near byte .*truncat"):
        made_plain(b"abc", tmp_path, encoding="utf-16-le")


def test_any_bytes_are_taken_where_that_is_declared(tmp_path: Path) -> None:
    content = zipped()
    assert made_plain(content, tmp_path, encoding="binary") == (content, [])


@pytest.mark.parametrize("size", [1, 2, 3, 1 << 20])
def test_line_ends_are_counted_and_said_and_made_newlines_where_that_is_declared(
    size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plain, "READ_BYTES", size)
    text = b"one\r\ntwo\rthree\r\r\nfour\nfive\r"
    counts = r"the text: 2 lines end with \r\n, 3 lines end with \r alone: "
    assert made_plain(text, tmp_path) == (
        text,
        [f"{counts}they are kept; `line_ends: newline` makes each a newline"],
    )
    assert made_plain(text, tmp_path, line_ends="newline") == (
        b"one\ntwo\nthree\n\nfour\nfive\n",
        [f"{counts}each is made a newline, as `line_ends: newline` says"],
    )


def test_a_byte_order_mark_is_said_and_left_out_where_that_is_declared(tmp_path: Path) -> None:
    text = FRENCH.encode("utf-8-sig")
    kept, [note] = made_plain(text, tmp_path)
    assert kept == text
    assert "a byte order mark is before the text and kept as a character" in note
    assert made_plain(text, tmp_path, encoding="utf-8-sig") == (FRENCH.encode(), [])


@pytest.mark.parametrize("line_ends", ["kept", "newline"])
def test_a_few_bytes_that_are_no_utf_8_are_kept_and_counted(line_ends: str, tmp_path: Path) -> None:
    text = TEXT + "près".encode()[:-2] + b"\xff\n" + "à".encode()[:1]
    kept, [note] = made_plain(text, tmp_path, line_ends=line_ends)
    assert kept == text
    assert note.startswith("the text: bytes that are no UTF-8: 3; they are kept")
