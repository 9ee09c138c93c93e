"""Where the bytes of a source come from: a mirror before the origin, held to the same checksums."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from reformer_seqlen.fetching.http_download import Patience, UnavailableError, Wanted, download
from reformer_seqlen.parameters.sources import HubCheckpoint, HubSource, Source, describe
from reformer_seqlen.runtime.errors import StudyError
from reformer_seqlen.runtime.files import sha256_of
from reformer_seqlen.runtime.paths import WORK

MIRROR_VARIABLE = "REFORMER_SEQLEN_MIRROR"
STORE = WORK / "downloads"
TRUE = {"1", "ON", "YES", "TRUE"}
"""What the hub's client takes for yes in the environment."""
T = TypeVar("T")


@dataclass(frozen=True)
class Access:
    """How to get at things: a mirror, how long to try."""

    mirror: str | None
    patience: Patience

    def first(
        self, source: Source, name: str, mirrored: Callable[[], T], origin: Callable[[], T]
    ) -> T:
        """What the mirror gives, if there is one and it gives anything, else what the origin gives.

        Args:
            source: for the message, if neither does.
            name: what a mirror would have to hold.
            mirrored: how to get it from the mirror.
            origin: how to get it from where it is declared to be.
        """
        places = [("origin", origin)]
        if self.mirror is not None:
            places.insert(0, (f"mirror {self.mirror}", mirrored))
        reasons = []
        for place, attempt in places:
            try:
                return attempt()
            except UnavailableError as error:
                reasons.append(f"  {place}: {error}")
        raise StudyError(_advice(source, name, reasons))

    def mirrored(self, where: str, wanted: Wanted) -> Path:
        """The mirror's file at `where`, verified.

        Raises:
            UnavailableError: the mirror does not have it or cannot be reached.
            StudyError: it has another checksum, or there is no such mirror.
        """
        folder = self.mirror_folder()
        if folder is None:
            return self.downloaded(f"{str(self.mirror).rstrip('/')}/{quote(where)}", wanted)
        if not (folder / where).is_file():
            raise UnavailableError(f"has no {where}")
        check_sum(sha256_of(folder / where), wanted.sha256, f"{where} of the mirror {self.mirror}")
        return folder / where

    def mirror_folder(self) -> Path | None:
        """The mirror if it is a folder of this machine, None if it is an address.

        Raises:
            StudyError: it is neither.
        """
        assert self.mirror is not None
        if self.mirror.startswith(("http://", "https://")):
            return None
        folder = Path(self.mirror).expanduser()
        if not folder.is_dir():
            raise StudyError(f"the mirror `{self.mirror}` is neither a folder nor an http(s) URL")
        return folder

    def downloaded(self, url: str, wanted: Wanted) -> Path:
        """The file at `url`, verified, in the folder of downloads."""
        return download(url, wanted, STORE, patience=self.patience)


def _advice(source: Source, name: str, reasons: list[str]) -> str:
    unchecked = isinstance(source, HubCheckpoint) and source.files is None
    place = "a folder of this machine" if unchecked else "a folder or base URL"
    hints = [
        "check the network, and HTTPS_PROXY and NO_PROXY if there is a proxy",
        f"name a mirror that holds {name}: {place}, as `sources.mirror` in "
        f"params.yaml or as {MIRROR_VARIABLE}",
        "declare a copy on this machine with `kind: path`",
    ]
    if isinstance(source, HubSource | HubCheckpoint):
        hints[1:1] = [
            "set HF_TOKEN if the hub asks who you are, HF_ENDPOINT if you have a hub of your own",
            "unset HF_HUB_OFFLINE, which keeps from asking the hub"
            if os.environ.get("HF_HUB_OFFLINE", "").upper() in TRUE
            else "set HF_HUB_OFFLINE=1 if the hub's cache on this machine (HF_HOME) has it",
        ]
    shown = "\n".join([*reasons, "what to do, whichever fits:", *(f"  - {hint}" for hint in hints)])
    return f"cannot fetch {describe(source)}:\n{shown}"


def check_sum(actual: str, declared: str | None, what: str) -> None:
    """Refuse `what`, whose sha256 is `actual`, if another is declared."""
    if declared is not None and actual != declared:
        raise StudyError(
            f"{what} has another checksum than declared, nothing of it was kept:\n"
            f"  declared sha256 {declared}\n  found    sha256 {actual}"
        )


def check_size(raw: Path, declared: int | None, what: str) -> None:
    """Refuse `what`, which is the file `raw`, if another size in bytes is declared."""
    size = raw.stat().st_size
    if declared is not None and size != declared:
        raise StudyError(
            f"{what} has {size} bytes, but {declared} are declared; nothing of it was kept"
        )
