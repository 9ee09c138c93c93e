"""Downloads against real servers on 127.0.0.1: resumed, retried, checked, mirrored, never half."""

import bz2
import hashlib
import io
import json
import random
import socket
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from reformer_seqlen.fetching.access import MIRROR_VARIABLE, STORE
from reformer_seqlen.fetching.fetch import fetch
from reformer_seqlen.fetching.http_download import Patience
from reformer_seqlen.parameters.sources import Fetched, UrlSource
from reformer_seqlen.runtime.errors import StudyError
from tests.servers import FileServer, Proxy

BODY = random.Random(1).randbytes(3_000_000)
OTHER = random.Random(2).randbytes(3_000_000)
HASTE = Patience(tries=3, first_wait=0.01, connect=2, read=5)
ONCE = Patience(tries=1, connect=2, read=5)
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def declared(url: str, content: bytes = BODY, **options: object) -> UrlSource:
    values = {"kind": "url", "url": url, "sha256": sha256(content), "licence": "made up"}
    return UrlSource.model_validate({**values, **options})


def got(
    source: UrlSource, mirror: str | None = None, patience: Patience = HASTE, name: str = "raw"
) -> Fetched:
    return fetch(source, Path(name), mirror=mirror, patience=patience)


def refused(source: UrlSource, mirror: str | None = None, patience: Patience = HASTE) -> str:
    """The message of a fetch that must fail and must leave nothing at its target."""
    with pytest.raises(StudyError) as caught:
        got(source, mirror, patience, name="refused")
    assert [path for path in Path().iterdir() if "refused" in path.name] == []
    return str(caught.value)


def in_store(ending: str) -> list[Path]:
    return sorted(STORE.glob(f"*{ending}"))


def unused_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (MIRROR_VARIABLE, *PROXIES, *map(str.lower, PROXIES)):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "run").mkdir()
    monkeypatch.chdir(tmp_path / "run")


@pytest.fixture
def server() -> Iterator[FileServer]:
    with FileServer({"/text.bin": BODY}) as running:
        yield running


def test_a_file_is_downloaded_and_its_record_is_the_same_anywhere(server: FileServer) -> None:
    source = declared(server.url + "/text.bin", size=len(BODY))
    fetched = got(source)
    assert Path("raw").read_bytes() == BODY
    assert json.loads(fetched.model_dump_json(exclude_none=True)) == {
        "kind": "url",
        "what": source.url,
        "sha256": sha256(BODY),
        "size_bytes": len(BODY),
        "licence": "made up",
    }


def test_a_second_source_of_the_same_file_does_not_download_it_again(server: FileServer) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        file.writestr("train.txt", b"one")
        file.writestr("test.txt", b"two")
    server.files["/texts.zip"] = content.getvalue()
    for member, text in (("train.txt", b"one"), ("test.txt", b"two")):
        source = declared(server.url + "/texts.zip", content.getvalue(), member=member)
        assert got(source, name=member).sha256 == sha256(text)
        assert Path(member).read_bytes() == text
    assert len(server.asked("/texts.zip")) == 1


def test_a_broken_connection_is_resumed_where_it_broke(server: FileServer) -> None:
    server.cuts["/text.bin"] = [1_000_000, 700_000]
    got(declared(server.url + "/text.bin"))
    assert Path("raw").read_bytes() == BODY
    asked = [request.headers for request in server.asked("/text.bin")]
    assert [headers["Range"] for headers in asked] == [None, "bytes=1000000-", "bytes=1700000-"]
    assert {headers["If-Range"] for headers in asked[1:]} == {f'"{sha256(BODY)}"'}


def test_a_later_attempt_resumes_what_an_earlier_one_left(server: FileServer) -> None:
    server.cuts["/text.bin"] = [2_000_000]
    source = declared(server.url + "/text.bin")
    assert "text.bin" in refused(source, patience=ONCE)
    assert [path.stat().st_size for path in in_store(".partial")] == [2_000_000]
    got(source)
    assert Path("raw").read_bytes() == BODY
    assert server.asked("/text.bin")[-1].headers["Range"] == "bytes=2000000-"
    assert in_store(".partial") == in_store(".json") == []


def test_what_arrived_whole_before_a_kill_is_not_asked_for_again(server: FileServer) -> None:
    server.cuts["/text.bin"] = [2_000_000]
    source = declared(server.url + "/text.bin")
    refused(source, patience=ONCE)
    in_store(".partial")[0].write_bytes(BODY)
    got(source)
    assert len(server.asked("/text.bin")) == 1


def test_a_file_that_changed_meanwhile_is_not_patched_together(server: FileServer) -> None:
    server.files["/text.bin"] = OTHER
    server.cuts["/text.bin"] = [2_000_000]
    source = declared(server.url + "/text.bin")
    refused(source, patience=ONCE)
    server.files["/text.bin"] = BODY
    got(source)
    assert Path("raw").read_bytes() == BODY


def test_a_longer_partial_file_than_the_real_one_begins_anew(server: FileServer) -> None:
    server.cuts["/text.bin"] = [2_000_000]
    source = declared(server.url + "/text.bin")
    refused(source, patience=ONCE)
    in_store(".partial")[0].write_bytes(BODY + OTHER)
    got(source)
    assert Path("raw").read_bytes() == BODY


@pytest.mark.parametrize("lacking", ["ranges", "etags"])
def test_a_server_that_cannot_resume_is_asked_for_all(server: FileServer, lacking: str) -> None:
    setattr(server, lacking, False)
    server.cuts["/text.bin"] = [1_000_000]
    got(declared(server.url + "/text.bin"))
    assert Path("raw").read_bytes() == BODY


def test_a_busy_server_is_tried_again_and_a_refusing_one_is_not(server: FileServer) -> None:
    server.statuses["/text.bin"] = [503, 429]
    got(declared(server.url + "/text.bin"))
    assert len(server.asked("/text.bin")) == 3
    message = refused(declared(server.url + "/gone.bin", OTHER))
    assert "answered 404 Not Found" in message
    assert len(server.asked("/gone.bin")) == 1
    server.statuses["/busy.bin"] = [503] * 9
    assert "answered 503" in refused(declared(server.url + "/busy.bin", OTHER))
    assert len(server.asked("/busy.bin")) == HASTE.tries


def test_waiting_grows_between_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    for failures in (1, 2, 3):
        Patience(first_wait=0.5).wait(failures)
    assert waits == [0.5, 1.0, 2.0]


def test_a_wrong_checksum_keeps_nothing_and_shows_both_sums(server: FileServer) -> None:
    message = refused(declared(server.url + "/text.bin", OTHER))
    assert sha256(BODY) in message
    assert sha256(OTHER) in message
    assert server.url + "/text.bin" in message
    assert in_store(".partial") == in_store(".json") == in_store("text.bin") == []


def test_a_wrong_size_is_refused_before_it_is_downloaded(server: FileServer) -> None:
    message = refused(declared(server.url + "/text.bin", size=5))
    assert "3000000 bytes" in message
    assert "size: 5" in message
    assert in_store(".partial") == []


def test_a_redirect_is_followed(server: FileServer) -> None:
    server.redirects["/moved.bin"] = server.url + "/text.bin"
    got(declared(server.url + "/moved.bin"))
    assert Path("raw").read_bytes() == BODY


def test_a_packed_download_is_checked_as_it_is_stored(server: FileServer) -> None:
    packed = bz2.compress(b"text\n")
    server.files["/text.bz2"] = packed
    source = declared(server.url + "/text.bz2", packed, unpacked_sha256=sha256(b"text\n"))
    assert got(source).sha256 == sha256(b"text\n")
    assert Path("raw").read_bytes() == b"text\n"


@pytest.mark.parametrize("host", ["127.0.0.1", "no-such-host.invalid"])
def test_an_unreachable_place_is_given_up_within_seconds(host: str) -> None:
    source = declared(f"http://{host}:{unused_port()}/text.bin")
    began = time.monotonic()
    message = refused(source, patience=Patience())
    assert time.monotonic() - began < 10
    assert message.startswith(f"cannot fetch {source.url}:")
    for part in ("origin: ", "text.bin", "mirror", MIRROR_VARIABLE, "kind: path", "HTTPS_PROXY"):
        assert part in message
    assert message.count("cannot fetch") == 1


def test_two_at_once_download_a_file_once(server: FileServer) -> None:
    source = declared(server.url + "/text.bin")
    threads = [threading.Thread(target=got, args=(source,), kwargs={"name": n}) for n in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Path("a").read_bytes() == Path("b").read_bytes() == BODY
    assert len(server.asked("/text.bin")) == 1


@pytest.mark.parametrize("kind", ["folder", "url"])
def test_a_mirror_is_tried_first_by_file_name(
    server: FileServer, tmp_path: Path, kind: str
) -> None:
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / "text.bin").write_bytes(BODY)
    source = declared(f"http://127.0.0.1:{unused_port()}/far/text.bin?raw=true")
    fetched = got(source, str(tmp_path / "mirror") if kind == "folder" else server.url)
    assert Path("raw").read_bytes() == BODY
    assert fetched.what == source.url


def test_the_environment_names_a_mirror_over_the_parameters(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MIRROR_VARIABLE, server.url)
    got(declared(f"http://127.0.0.1:{unused_port()}/text.bin"), mirror=str(tmp_path / "none"))
    assert Path("raw").read_bytes() == BODY


@pytest.mark.parametrize("kind", ["folder", "url", "down"])
def test_what_a_mirror_lacks_comes_from_the_origin(
    server: FileServer, tmp_path: Path, kind: str
) -> None:
    (tmp_path / "mirror").mkdir()
    with FileServer({}) as empty:
        down = f"http://127.0.0.1:{unused_port()}"
        mirrors = {"folder": str(tmp_path / "mirror"), "url": empty.url, "down": down}
        got(declared(server.url + "/text.bin"), mirrors[kind])
        assert Path("raw").read_bytes() == BODY
        message = refused(declared(server.url + "/gone.bin"), mirrors[kind])
    assert f"mirror {mirrors[kind]}: " in message
    assert "origin: answered 404" in message


@pytest.mark.parametrize("kind", ["folder", "url"])
def test_a_mirror_is_held_to_the_checksum(server: FileServer, tmp_path: Path, kind: str) -> None:
    (tmp_path / "text.bin").write_bytes(OTHER)
    with FileServer({"/text.bin": OTHER}) as wrong:
        mirror = str(tmp_path) if kind == "folder" else wrong.url
        message = refused(declared(server.url + "/text.bin"), mirror)
    assert mirror in message
    assert sha256(BODY) in message
    assert sha256(OTHER) in message
    assert server.asked("/text.bin") == []


def test_a_mirror_that_is_neither_folder_nor_address_is_named(server: FileServer) -> None:
    message = refused(declared(server.url + "/text.bin"), "no/such/folder")
    assert "`no/such/folder`" in message


def test_a_proxy_is_used_where_the_environment_says_so(
    server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Proxy({"http://far.invalid/text.bin": BODY}) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        got(declared("http://far.invalid/text.bin"))
        assert Path("raw").read_bytes() == BODY
        assert [request.path for request in proxy.log] == ["http://far.invalid/text.bin"]
        server.files["/near.bin"] = OTHER
        got(declared(server.url + "/near.bin", OTHER), name="near")
        assert len(proxy.log) == 1


def test_a_proxy_of_no_use_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "nonsense://127.0.0.1:1")
    assert "proxy" in refused(declared("http://far.invalid/text.bin"))


def test_nothing_is_printed_where_nobody_looks(
    server: FileServer, capfd: pytest.CaptureFixture[str]
) -> None:
    got(declared(server.url + "/text.bin"))
    assert capfd.readouterr() == ("", "")


def test_bars_are_shown_where_somebody_looks(
    server: FileServer, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    got(declared(server.url + "/text.bin"))
    assert "text.bin: 100%" in capfd.readouterr().err
