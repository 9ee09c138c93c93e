"""A mirror, a folder or an address, is tried before the origin and held to the same checksums."""

from pathlib import Path

import pytest

from reformer_seqlen.fetching.access import MIRROR_VARIABLE
from reformer_seqlen.parameters.sources import Source
from tests.declared import declared, got, refused, sha256
from tests.servers import FileServer

NOWHERE = "http://127.0.0.1:9"
OTHER = b"another file"


def a_url(url: str, content: bytes) -> Source:
    return declared(kind="url", url=url, sha256=sha256(content))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mirror").mkdir()
    return tmp_path / "mirror"


def test_a_mirror_is_tried_first_by_file_name(
    server: FileServer, body: bytes, folder: Path
) -> None:
    (folder / "text.bin").write_bytes(body)
    source = a_url(f"{NOWHERE}/far/text.bin?raw=true", body)
    assert got(source, folder) == got(source, server.url, name="again")
    assert Path("raw").read_bytes() == Path("again").read_bytes() == body


def test_the_environment_names_a_mirror_over_the_parameters(
    server: FileServer, body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MIRROR_VARIABLE, server.url)
    got(a_url(f"{NOWHERE}/text.bin", body), mirror="no/such/folder")
    assert Path("raw").read_bytes() == body


@pytest.mark.usefixtures("one_try")
@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("folder", "has no gone.bin"),
        ("empty", "answered 404 Not Found"),
        ("down", "Connection refused"),
    ],
)
def test_what_a_mirror_lacks_comes_from_the_origin(
    server: FileServer, body: bytes, folder: Path, kind: str, reason: str
) -> None:
    with FileServer({}) as empty:
        mirror = {"folder": folder, "empty": empty.url, "down": NOWHERE}[kind]
        got(a_url(server.url + "/text.bin", body), mirror)
        assert Path("raw").read_bytes() == body
        message = refused(a_url(server.url + "/gone.bin", body), mirror)
    assert f"\n  mirror {mirror}: {reason}\n  origin: answered 404 Not Found\n" in message


@pytest.mark.usefixtures("one_try")
@pytest.mark.parametrize("kind", ["folder", "url"])
def test_a_mirror_is_held_to_the_checksum(
    server: FileServer, body: bytes, folder: Path, kind: str
) -> None:
    (folder / "text.bin").write_bytes(OTHER)
    with FileServer({"/text.bin": OTHER}) as wrong:
        mirror = {"folder": str(folder), "url": wrong.url}[kind]
        message = refused(a_url(server.url + "/text.bin", body), mirror)
    for part in (mirror, sha256(body), sha256(OTHER)):
        assert part in message
    assert server.log == []


@pytest.mark.parametrize("mirror", ["no/such/folder", "~nobody-of-that-name/mirror"])
def test_a_mirror_that_is_neither_folder_nor_address_is_named(mirror: str) -> None:
    message = refused(a_url(f"{NOWHERE}/text.bin", OTHER), mirror)
    assert message == f"the mirror `{mirror}` is neither a folder nor an http(s) URL"
