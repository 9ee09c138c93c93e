"""A file over HTTP: pooch tries again, checks the sha256 and keeps nothing that is not whole."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pooch
from filelock import FileLock
from requests import RequestException, Response

from reformer_seqlen.fetching import patience
from reformer_seqlen.fetching.patience import UnavailableError, root_reason
from reformer_seqlen.runtime import progress
from reformer_seqlen.runtime.messages import fetching as messages
from reformer_seqlen.runtime.paths import WORK

if TYPE_CHECKING:
    from tqdm import tqdm

STORE = WORK / "downloads"
"""What is downloaded stays here: a file that several sources need comes once."""


def download(url: str, name: str, sha256: str, size: int | None = None) -> Path:
    """Download a file into the store, or find it there; two processes at once download it once.

    Args:
        url: where it is.
        name: what it is called in the store and in messages.
        sha256: of its bytes as they are stored at `url`.
        size: how many bytes it has, where known: another file is refused before it is downloaded.

    Returns:
        The file in the store, its checksum verified.

    Raises:
        UnavailableError: the place does not have the file or cannot be reached.
        StudyError: what came has another checksum or size; nothing of it is kept.
    """
    stored = f"{sha256[:16]}-{name}"
    registry, urls = {stored: sha256}, {stored: url}
    store = pooch.create(STORE, "", registry=registry, urls=urls, retry_if_failed=patience.RETRIES)
    pooch.get_logger().setLevel("WARNING")
    STORE.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(STORE / f"{stored}.lock"), progress.of_bytes(name, size) as bar:
            return Path(store.fetch(stored, downloader=_downloader(size, bar)))
    except RequestException as error:
        raise UnavailableError(root_reason(error)) from error
    except ValueError as error:  # another checksum, or an address that no host can have
        raise messages.cannot_fetch(url, error) from error


def _downloader(declared: int | None, bar: "tqdm[None]") -> pooch.HTTPDownloader:
    """Download with time limits, and refuse a wrong answer before its first byte is written."""

    def look_at(response: Response, **_: Any) -> None:
        if response.is_redirect or response.status_code in patience.WORTH_ANOTHER_TRY:
            return
        if not response.ok:
            raise UnavailableError(messages.answered(response.status_code, response.reason))
        size = int(response.headers.get("Content-Length", 0))
        if declared is not None and size not in (0, declared):
            raise messages.other_size(response.url, size, declared)
        bar.reset(total=size)
        # Else requests undoes an encoding that a server adds unasked; the sum is the file's own.
        response.raw.headers.pop("Content-Encoding", None)

    return pooch.HTTPDownloader(
        progressbar=bar,
        chunk_size=1 << 16,
        timeout=(patience.CONNECT_S, patience.READ_S),
        headers={"Accept-Encoding": "identity"},
        hooks={"response": look_at},
    )
