"""Downloads against real servers on 127.0.0.1: tried again, checked, never half."""

import socket
import sys
import threading
from pathlib import Path

import pytest

from reformer_seqlen.fetching.access import MIRROR_VARIABLE
from reformer_seqlen.fetching.http_download import STORE
from reformer_seqlen.parameters.sources import Source
from tests.declared import declared, got, refused, sha256
from tests.servers import FileServer

OTHER = b"another file"


def a_url(url: str, content: bytes, **options: object) -> Source:
    return declared(kind="url", url=url, sha256=sha256(content), **options)


def kept() -> list[str]:
    """What a download that failed leaves in the store: at most a lock."""
    return [path.name for path in STORE.iterdir() if path.suffix != ".lock"]


def test_a_file_is_downloaded_and_its_record_is_the_same_anywhere(
    server: FileServer, body: bytes
) -> None:
    source = a_url(server.url + "/text.bin", body, size=len(body))
    assert got(source).model_dump(exclude_none=True) == {
        "kind": "url",
        "what": server.url + "/text.bin",
        "sha256": sha256(body),
        "size_bytes": len(body),
        "licence": "made up",
    }
    assert Path("raw").read_bytes() == body


def test_two_at_once_and_a_later_one_download_a_file_once(server: FileServer, body: bytes) -> None:
    source = a_url(server.url + "/text.bin", body)
    threads = [threading.Thread(target=got, args=(source, None, name)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    got(source, name="c")
    assert {Path(name).read_bytes() for name in "abc"} == {body}
    assert server.asked("/text.bin") == 1


def test_a_broken_connection_and_a_busy_server_are_tried_again(
    server: FileServer, body: bytes, waits: list[float]
) -> None:
    server.cuts["/text.bin"] = [100_000]
    server.statuses["/text.bin"] = [503]
    got(a_url(server.url + "/text.bin", body))
    assert Path("raw").read_bytes() == body
    assert server.asked("/text.bin") == 3
    assert waits == [1, 2]


@pytest.mark.usefixtures("one_try")
def test_a_server_that_stays_busy_is_named(server: FileServer) -> None:
    server.statuses["/busy.bin"] = [503]
    assert "origin: 503 Server Error" in refused(a_url(server.url + "/busy.bin", OTHER))


def test_a_server_that_refuses_is_asked_once(server: FileServer) -> None:
    assert "origin: answered 404 Not Found" in refused(a_url(server.url + "/gone.bin", OTHER))
    assert server.asked("/gone.bin") == 1


@pytest.mark.usefixtures("one_try")
def test_another_checksum_keeps_nothing_and_shows_both_sums(
    server: FileServer, body: bytes
) -> None:
    message = refused(a_url(server.url + "/text.bin", OTHER))
    for part in (server.url + "/text.bin", sha256(body), sha256(OTHER)):
        assert part in message
    assert kept() == []


def test_another_size_is_refused_before_it_is_downloaded(server: FileServer, body: bytes) -> None:
    message = refused(a_url(server.url + "/text.bin", body, size=5))
    assert f"{server.url}/text.bin has 300000 bytes, but 5 are declared" in message
    assert kept() == []
    assert server.asked("/text.bin") == 1


def test_a_redirect_is_followed(server: FileServer, body: bytes) -> None:
    server.redirects["/moved.bin"] = server.url + "/text.bin"
    got(a_url(server.url + "/moved.bin", body, size=len(body)))
    assert Path("raw").read_bytes() == body


def test_an_encoding_that_a_server_adds_unasked_is_not_undone(
    server: FileServer, body: bytes
) -> None:
    server.headers["Content-Encoding"] = "gzip"
    got(a_url(server.url + "/text.bin", body))
    assert Path("raw").read_bytes() == body


def test_an_unreachable_place_is_given_up_after_seconds(waits: list[float]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/text.bin"
        message = refused(a_url(url, OTHER))
    assert waits == [1, 2]
    assert message.startswith(f"cannot fetch {url}:\n  origin: Connection refused\n")
    for part in ("holds text.bin", MIRROR_VARIABLE, "kind: path", "HTTPS_PROXY"):
        assert part in message


@pytest.mark.usefixtures("one_try")
@pytest.mark.parametrize("host", ["no-such-host.invalid", "double..dot", "127.0.0.1:x"])
def test_an_address_that_leads_nowhere_is_named(host: str) -> None:
    message = refused(a_url(f"http://{host}/text.bin", OTHER))
    assert message.startswith(f"cannot fetch http://{host}/text.bin")


def test_a_proxy_is_used_where_the_environment_says_so(
    server: FileServer, body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FileServer({"http://far.invalid/far.bin": OTHER}) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        got(a_url("http://far.invalid/far.bin", OTHER))
        assert Path("raw").read_bytes() == OTHER
        got(a_url(server.url + "/text.bin", body), name="near")
        assert [request.path for request in proxy.log] == ["http://far.invalid/far.bin"]


@pytest.mark.usefixtures("one_try")
def test_a_proxy_of_no_use_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "nonsense://127.0.0.1:1")
    message = refused(a_url("http://far.invalid/text.bin", OTHER))
    assert "Proxy URL had unsupported scheme nonsense" in message


@pytest.mark.parametrize("watched", [False, True])
def test_a_bar_is_shown_where_somebody_looks_and_nothing_else(
    server: FileServer,
    body: bytes,
    watched: bool,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: watched)
    got(a_url(server.url + "/text.bin", body))
    printed = capfd.readouterr()
    assert ("text.bin: 100%" in printed.err) is watched
    assert printed.out == ""
    assert watched or printed.err == ""
