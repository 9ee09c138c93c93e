"""A file over HTTP: resumed where it broke off, tried again with back-off, checked by its sha256.

What has arrived stays in a folder that git and DVC ignore, so that neither a broken connection nor
a stopped process costs what is already here, and a file that several sources need comes once.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from filelock import FileLock
from tqdm import tqdm

from reformer_seqlen.runtime.errors import StudyError
from reformer_seqlen.runtime.files import read_json, sha256_of, write_json

WORTH_ANOTHER_TRY = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True)
class Patience:
    """How long to try: a place that cannot be reached is given up within seconds.

    Attributes:
        tries: attempts in a row that brought nothing; an attempt that brought bytes starts anew.
        first_wait: seconds before the second attempt, doubled before each further one.
        connect: seconds to wait for a connection, to each of a host's addresses.
        read: seconds to wait for the next bytes.
    """

    tries: int = 3
    first_wait: float = 0.5
    connect: float = 4.0
    read: float = 20.0

    def wait(self, failures: int) -> None:
        """Sleep after so many failures in a row."""
        time.sleep(self.first_wait * 2 ** (failures - 1))


class UnavailableError(Exception):
    """A place did not give what was asked of it; the message is the reason alone."""


class _BrokenError(Exception):
    """An attempt failed in a way that another one may not."""


@dataclass(frozen=True)
class Wanted:
    """A file to download: its name in messages, and what is declared of it."""

    name: str
    sha256: str
    size: int | None = None


def download(url: str, wanted: Wanted, store: Path, *, patience: Patience) -> Path:
    """Download a file into `store`, or find it there.

    Returns:
        The file in `store`, its checksum verified.

    Raises:
        UnavailableError: the place does not have the file or cannot be reached.
        StudyError: what came has another checksum or size; nothing of it is kept.
    """
    store.mkdir(parents=True, exist_ok=True)
    whole = store / f"{wanted.sha256[:16]}-{wanted.name}"
    partial = whole.with_name(f"{whole.name}.partial")
    # Two stages may want the same file at once: the second finds what the first has got.
    with FileLock(whole.with_name(f"{whole.name}.lock")):
        if not _is(whole, wanted.sha256):
            if not _is(partial, wanted.sha256):
                _until_whole(url, wanted, partial, patience)
                refuse_other_sum(partial, wanted.sha256, url)
            partial.rename(whole)
            _note(partial).unlink(missing_ok=True)
    return whole


def _is(path: Path, sha256: str) -> bool:
    return path.exists() and sha256_of(path) == sha256


def refuse_other_sum(partial: Path, declared: str, origin: str) -> None:
    """Delete what was downloaded, and say so, unless it has the declared checksum.

    Raises:
        StudyError: the checksum is another; the message shows both.
    """
    actual = sha256_of(partial)
    if actual != declared:
        partial.unlink()
        _note(partial).unlink(missing_ok=True)
        raise StudyError(
            f"{origin} has another checksum than declared, nothing of it was kept:\n"
            f"  declared sha256 {declared}\n  received sha256 {actual}\n"
            "It came damaged (try again), or it is another file than the declared one."
        )


def _size(partial: Path) -> int:
    return partial.stat().st_size if partial.exists() else 0


def _note(partial: Path) -> Path:
    return partial.with_name(f"{partial.name}.json")


def _until_whole(url: str, wanted: Wanted, partial: Path, patience: Patience) -> None:
    """Ask again, for what is still missing, until everything is here or patience is over."""
    failures = 0
    with (
        _client(patience) as client,
        tqdm(
            desc=wanted.name,
            total=wanted.size,
            unit="B",
            unit_scale=True,
            unit_divisor=1024,
            disable=None,
        ) as bar,
    ):
        while True:
            had = _size(partial)
            try:
                return _receive(client, url, wanted, partial, bar)
            except _BrokenError as error:
                failures = 1 if _size(partial) > had else failures + 1
                if failures >= patience.tries:
                    raise UnavailableError(str(error)) from error
            patience.wait(failures)


def _client(patience: Patience) -> httpx2.Client:
    """A client that goes through the proxies which the environment names."""
    try:
        return httpx2.Client(
            follow_redirects=True,
            timeout=httpx2.Timeout(patience.read, connect=patience.connect),
        )
    except (ValueError, ImportError, httpx2.InvalidURL) as error:
        raise UnavailableError(
            f"the proxy that the environment names is of no use: {error}"
        ) from error


def _receive(
    client: httpx2.Client, url: str, wanted: Wanted, partial: Path, bar: "tqdm[Any]"
) -> None:
    """One request: append what is missing to `partial`, or begin it anew."""
    try:
        with client.stream("GET", url, headers=_resume_headers(url, partial)) as response:
            begin = _begin(response, partial)
            _refuse_other_size(response, begin, wanted, url)
            _remember(response, url, partial, begin)
            _write(response, partial, begin, wanted, bar)
    except httpx2.UnsupportedProtocol as error:
        raise UnavailableError(root_reason(error)) from error
    except httpx2.TransportError as error:
        raise _BrokenError(root_reason(error)) from error
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise UnavailableError(root_reason(error)) from error


def _resume_headers(url: str, partial: Path) -> dict[str, str]:
    """Ask for the rest only if the server can tell that its file is still the same one.

    `identity`, because the checksum is that of the stored file, not of a transfer encoding.
    """
    headers = {"Accept-Encoding": "identity"}
    if partial.exists() and _note(partial).exists():
        known = read_json(_note(partial))
        if known["url"] == url and known["validator"]:
            headers["Range"] = f"bytes={partial.stat().st_size}-"
            headers["If-Range"] = known["validator"]
    return headers


def _begin(response: httpx2.Response, partial: Path) -> int:
    """At which byte of the file the response begins.

    Raises:
        _BrokenError: the server is busy, or its range is not the one that was asked for.
        UnavailableError: the server refuses.
    """
    if response.status_code == httpx2.codes.OK:
        return 0
    if response.status_code == httpx2.codes.PARTIAL_CONTENT:
        size = _size(partial)
        if response.headers.get("Content-Range", "").startswith(f"bytes {size}-"):
            return size
    if response.status_code in (
        httpx2.codes.PARTIAL_CONTENT,
        httpx2.codes.RANGE_NOT_SATISFIABLE,
    ):
        partial.unlink(missing_ok=True)
        raise _BrokenError("the server's range does not fit what is already here")
    reason = f"answered {response.status_code} {response.reason_phrase}"
    if response.status_code in WORTH_ANOTHER_TRY:
        raise _BrokenError(reason)
    raise UnavailableError(reason)


def _refuse_other_size(response: httpx2.Response, begin: int, wanted: Wanted, url: str) -> None:
    length = response.headers.get("Content-Length")
    if wanted.size is not None and length is not None and begin + int(length) != wanted.size:
        raise StudyError(
            f"{url} has {begin + int(length)} bytes, but `size: {wanted.size}` is declared; "
            "nothing of it was kept"
        )


def _remember(response: httpx2.Response, url: str, partial: Path, begin: int) -> None:
    """Note what identifies the file, before its first byte: a weak ETag cannot be resumed."""
    if begin == 0:
        etag = response.headers.get("ETag", "W/")
        validator = response.headers.get("Last-Modified") if etag.startswith("W/") else etag
        write_json(_note(partial), {"url": url, "validator": validator})


def _write(
    response: httpx2.Response, partial: Path, begin: int, wanted: Wanted, bar: "tqdm[Any]"
) -> None:
    length = response.headers.get("Content-Length")
    bar.total = wanted.size or (begin + int(length) if length else None)
    bar.n = begin
    bar.refresh()
    with partial.open("ab" if begin else "wb") as file:
        # Raw, because the client would undo a Content-Encoding that a server adds unasked; in the
        # pieces that arrive, because a piece that is still being filled is lost when all breaks.
        for chunk in response.iter_raw():
            file.write(chunk)
            bar.update(len(chunk))


def root_reason(error: BaseException) -> str:
    """What is at the bottom of a network error, without the layers that pass it on."""
    below = error.__cause__ or error.__context__
    while below is not None:
        error, below = below, below.__cause__ or below.__context__
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text)
