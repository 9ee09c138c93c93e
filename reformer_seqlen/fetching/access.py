"""Where the bytes of a source come from: a mirror before the origin, held to the same checksums."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from reformer_seqlen.fetching.checks import checked
from reformer_seqlen.fetching.http_download import download
from reformer_seqlen.fetching.patience import UnavailableError
from reformer_seqlen.parameters.sources import HubCheckpoint, HubSource, UrlSource, describe
from reformer_seqlen.runtime.messages import fetching as messages

MIRROR_VARIABLE = "REFORMER_SEQLEN_MIRROR"
TRUE = {"1", "ON", "YES", "TRUE"}
"""What the hub's client takes for yes in the environment."""
T = TypeVar("T")
Remote = UrlSource | HubSource | HubCheckpoint


class Mirror:
    """A copy of what is far away: a folder of this machine or a base URL."""

    def __init__(self, place: str) -> None:
        """Find it.

        Raises:
            StudyError: it is neither a folder nor an address.
        """
        self.place = place
        self.folder: Path | None = None
        if not place.startswith(("http://", "https://")):
            with suppress(RuntimeError):  # `~name` of a user whom this machine does not have
                self.folder = Path(place).expanduser()
            if self.folder is None or not self.folder.is_dir():
                raise messages.no_such_mirror(place)

    def file(self, where: str, sha256: str, size: int | None = None) -> Path:
        """Its file at `where`, verified.

        Raises:
            UnavailableError: the mirror does not have it or cannot be reached.
            StudyError: it has another checksum.
        """
        if self.folder is None:
            url = f"{self.place.rstrip('/')}/{quote(where)}"
            return download(url, Path(where).name, sha256, size)
        if not (self.folder / where).is_file():
            raise UnavailableError(messages.has_no(where))
        checked(self.folder / where, f"{where} of the mirror {self.place}", sha256)
        return self.folder / where


def first(
    source: Remote,
    mirror: str | None,
    mirrored: Callable[[Mirror], T],
    origin: Callable[[], T],
) -> T:
    """What the mirror gives, if there is one and it gives anything, else what the origin gives.

    Raises:
        StudyError: neither gives it, or what one gives is not what is declared.
    """
    reasons = []
    if mirror is not None:
        try:
            return mirrored(Mirror(mirror))
        except UnavailableError as error:
            reasons.append(f"mirror {mirror}: {error}")
    try:
        return origin()
    except UnavailableError as error:
        reasons.append(f"origin: {error}")
    wanted, addresses = _mirrored(source)
    raise messages.unavailable(
        describe(source),
        reasons,
        wanted,
        addresses=addresses,
        hub=not isinstance(source, UrlSource),
        offline=os.environ.get("HF_HUB_OFFLINE", "").upper() in TRUE,
    )


def _mirrored(source: Remote) -> tuple[str, bool]:
    """What a mirror must hold, and whether it may be a base URL."""
    if isinstance(source, HubCheckpoint):
        return f"the folder {source.repository}", source.files is not None
    return source.file_name, True
