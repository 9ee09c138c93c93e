"""From a stored file to the one raw file that is wanted of it: a member, a decompressed stream."""

import bz2
import errno
import gzip
import io
import lzma
import shutil
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO

from reformer_seqlen.parameters.sources import Compression
from reformer_seqlen.runtime import progress
from reformer_seqlen.runtime.messages import fetching as messages

COPIED_BYTES = 1 << 20
"""At a time."""

UNIX_MODE = 16
"""Bits of a member's attributes below those that say on Unix what kind of file it is."""

PACKED = {"gz": gzip.GzipFile, "bz2": bz2.BZ2File, "xz": lzma.LZMAFile}

ARCHIVES = {"zip", "tar", "tgz", "tbz2", "txz", "7z", "rar", "zst", "lz4", "br", "z"}
"""Endings of what is no text before somebody unpacks it, which is not done here unasked."""

DAMAGED = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, UnicodeError, RuntimeError)
"""A RuntimeError is raised for a member that is encrypted, or packed as Python can't unpack it."""


def unpack(
    stored: Path,
    name: str,
    target: Path,
    *,
    member: str | None,
    compression: Compression,
    size: int | None = None,
) -> None:
    """Write the raw file to `target`, and nothing else.

    Args:
        stored: the file as it is stored at its source.
        name: what it is called there, which says how it is packed and names it in messages.
        target: where the raw bytes go.
        member: the file of a .zip that is wanted.
        compression: how it is packed; `auto` goes by the end of `name`.
        size: of the raw file in bytes, where declared; no more is unpacked.

    Raises:
        StudyError: the archive has no such member, it cannot be unpacked, or to more bytes.
    """
    try:
        if member is not None:
            with zipfile.ZipFile(stored) as archive, _member(archive, name, member) as packed:
                _copy(packed, target, name, archive.getinfo(member).file_size, size)
        elif compression == "auto" and (ending := _archive(name)):
            raise messages.unsupported(name, ending)
        elif (kind := packing(name, compression)) is None:
            shutil.copyfile(stored, target)
        else:
            with PACKED[kind](stored) as packed:
                _copy(packed, target, name, None, size)
    except DAMAGED as error:
        if member is not None and not zipfile.is_zipfile(stored):
            raise messages.no_zip(name, member) from error
        raise messages.cannot_unpack(name, error) from error
    except OSError as error:
        # Damaged data, too, is an OSError: without a number, or a place before a file's beginning.
        if error.errno not in (None, errno.EINVAL):
            raise
        raise messages.cannot_unpack(name, error) from error


def packing(name: str, declared: Compression) -> str | None:
    """How a file is packed, one of PACKED, or None; `auto` goes by the end of its name."""
    if declared == "auto":
        ending = name.rpartition(".")[2].lower()
        return ending if ending in PACKED else None
    return None if declared == "none" else declared


def _archive(name: str) -> str | None:
    """The ending that says that a file is an archive, or packed in a way that is not undone."""
    endings = name.lower().split(".")[1:]
    if endings and endings[-1] in PACKED:
        endings.pop()
    return endings[-1] if endings and endings[-1] in ARCHIVES else None


def _member(archive: zipfile.ZipFile, name: str, member: str) -> IO[bytes]:
    if member.startswith("/") or ".." in PurePosixPath(member).parts:
        raise messages.member_outside(name, member)
    names = [each for each in archive.namelist() if not each.endswith("/")]
    if member not in names:
        raise messages.no_member(name, member, names)
    if stat.S_ISLNK(archive.getinfo(member).external_attr >> UNIX_MODE):
        raise messages.member_is_no_file(name, member)
    return archive.open(member)


def _copy(
    packed: IO[bytes] | io.BufferedIOBase,
    target: Path,
    name: str,
    total: int | None,
    declared: int | None,
) -> None:
    """Write what comes out of a packed file, `total` bytes by its archive, up to those declared."""
    with target.open("wb") as file, progress.of_bytes(f"unpacking {name}", total) as bar:
        while part := packed.read(COPIED_BYTES):
            bar.update(file.write(part))
            if declared is not None and file.tell() > declared:
                raise messages.unpacks_to_more(name, declared)
