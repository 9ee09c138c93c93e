"""Only the wanted file comes out of what is packed; what is damaged is named and leaves nothing."""

import bz2
import gzip
import io
import lzma
import stat
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.declared import declared, got, no_file_above, refused, sha256

TEXT = "One line.\nAnother, with an é.\n".encode()


def archive(members: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", method) as file:
        for name, body in members.items():
            file.writestr(name, body)
    return content.getvalue()


def flagged(offset: int, value: int) -> bytes:
    """An archive whose directory says something else of its member, at a byte of the entry."""
    content = bytearray(archive({"one": TEXT}, zipfile.ZIP_STORED))
    for signature, shift in ((b"PK\x03\x04", -2), (b"PK\x01\x02", 0)):
        content[content.index(signature) + offset + shift] = value
    return bytes(content)


@pytest.mark.parametrize(
    ("name", "content", "options"),
    [
        ("text.gz", gzip.compress(TEXT), {}),
        ("text.bz2", bz2.compress(TEXT), {}),
        ("text.xz", lzma.compress(TEXT), {}),
        ("text", gzip.compress(TEXT), {"compression": "gz"}),
        ("text.bz2", TEXT, {"compression": "none"}),
        ("text.txt", TEXT, {}),
        ("text.zip", archive({"../up": b"", "/abs/a": b"", "in/a": TEXT}), {"member": "in/a"}),
    ],
    ids=["gz", "bz2", "xz", "declared", "misnamed", "plain", "zip"],
)
def test_what_is_packed_is_unpacked(name: str, content: bytes, options: dict[str, str]) -> None:
    Path(name).write_bytes(content)
    got(declared(kind="path", path=name, sha256=sha256(content), **options))
    assert Path("raw").read_bytes() == TEXT
    assert sorted(path.name for path in Path().iterdir()) == sorted([name, "raw"])


@pytest.mark.parametrize(
    ("content", "member", "said"),
    [
        (archive({"a/": b"", "a/b": b"", "c": b""}), "a/", "no member `a/`; it has a/b, c"),
        (archive(dict.fromkeys("abcdefghij", b"")), "k", "it has a, b, c, d, e, f, g, h, …"),
        (archive({"../up": TEXT}), "../up", "the member `../up` is refused"),
        (archive({"/abs/a": TEXT}), "/abs/a", "the member `/abs/a` is refused"),
        (TEXT, "one", "`member: one` is taken from a .zip, and this is none"),
        (archive({"one": TEXT * 99})[:-60], "one", "none, or one that was cut off; unpack"),
        (archive({"one": TEXT}, zipfile.ZIP_STORED).replace(b"line", b"LINE"), "one", "Bad CRC"),
        (flagged(8, 1), "one", "cannot be unpacked: File 'one' is encrypted"),
        (flagged(10, 9), "one", "cannot be unpacked: That compression method"),
    ],
    ids=["folder", "missing", "climbing", "absolute", "no zip", "cut", "damaged", "secret", "odd"],
)
def test_a_member_that_cannot_be_had_is_named(content: bytes, member: str, said: str) -> None:
    Path("text.zip").write_bytes(content)
    message = refused(declared(kind="path", path="text.zip", member=member))
    assert message.startswith("text.zip")
    assert said in message


def test_a_member_that_is_a_link_is_named() -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        entry = zipfile.ZipInfo("link.txt")
        entry.create_system, entry.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        file.writestr(entry, "/etc/hostname")
    Path("text.zip").write_bytes(content.getvalue())
    message = refused(declared(kind="path", path="text.zip", member="link.txt"))
    assert message.startswith("text.zip: the member `link.txt` is a link and holds no text")


@pytest.mark.parametrize(
    ("name", "content", "options"),
    [
        ("text.zip", archive({"one": b"a b\n" * (1 << 22)}), {"member": "one"}),
        ("text.gz", gzip.compress(b"a b\n" * (1 << 22)), {}),
    ],
)
def test_no_more_is_unpacked_than_is_declared(
    name: str, content: bytes, options: dict[str, str]
) -> None:
    Path(name).write_bytes(content)
    source = declared(kind="path", path=name, unpacked_size=3_000_000, **options)
    with no_file_above(8 << 20):  # half of what it unpacks to
        message = refused(source)
    assert message.startswith(f"what is unpacked of {name} has more than the 3000000 bytes")


@pytest.mark.parametrize("name", ["text.zip", "text.tar.gz", "TEXT.TGZ", "text.zst"])
def test_an_archive_is_not_taken_for_a_text(name: str) -> None:
    Path(name).write_bytes(TEXT)
    assert refused(declared(kind="path", path=name)).startswith(f"{name} is packed as .")
    got(declared(kind="path", path=name, compression="none"))
    assert Path("raw").read_bytes() == TEXT


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("text.gz", TEXT),
        ("text.gz", gzip.compress(TEXT)[:-9]),
        ("text.gz", gzip.compress(TEXT)[:-8] + bytes(8)),
        ("text.bz2", TEXT),
        ("text.bz2", bz2.compress(TEXT)[:-9]),
        ("text.xz", TEXT),
        ("text.xz", lzma.compress(TEXT)[:-9]),
    ],
    ids=["gz none", "gz cut", "gz sum", "bz2 none", "bz2 cut", "xz none", "xz cut"],
)
def test_a_damaged_file_is_named(name: str, content: bytes) -> None:
    Path(name).write_bytes(content)
    message = refused(declared(kind="path", path=name))
    assert message.startswith(f"{name} cannot be unpacked: ")
