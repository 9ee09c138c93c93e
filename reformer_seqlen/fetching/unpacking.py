"""From a stored file to the one raw file that is wanted of it: a member, a decompressed stream."""

import bz2
import gzip
import io
import lzma
import shutil
import zipfile
import zlib
from pathlib import Path
from typing import IO

from reformer_seqlen.parameters.sources import Compression
from reformer_seqlen.runtime.errors import StudyError

PACKED = {"gz": gzip.GzipFile, "bz2": bz2.BZ2File, "xz": lzma.LZMAFile}
SHOWN_MEMBERS = 8


def unpack(
    stored: Path, name: str, target: Path, *, member: str | None, compression: Compression
) -> None:
    """Write the raw file to `target`, a stream at a time.

    Args:
        stored: the file as it is stored at its source.
        name: what it is called there, which says how it is packed and names it in messages.
        target: where the raw bytes go.
        member: the file of a .zip that is wanted; nothing else of the archive is written.
        compression: how it is packed; `auto` goes by the end of `name`.

    Raises:
        StudyError: the archive has no such member, or it cannot be unpacked.
    """
    try:
        if member is not None:
            _unpack_member(stored, name, member, target)
        elif (kind := packing(name, compression)) is None:
            shutil.copyfile(stored, target)
        else:
            with PACKED[kind](stored) as packed:
                _copy(packed, target)
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError) as error:
        raise StudyError(f"{name} cannot be unpacked: {error}") from error
    except OSError as error:
        # gzip and bz2 say that data is damaged with an OSError that has no number.
        if error.errno is not None:
            raise
        raise StudyError(f"{name} cannot be unpacked: {error}") from error


def packing(name: str, declared: Compression) -> str | None:
    """How a file is packed, one of PACKED, or None; `auto` goes by the end of its name."""
    if declared == "auto":
        ending = name.rpartition(".")[2].lower()
        return ending if ending in PACKED else None
    return None if declared == "none" else declared


def _unpack_member(stored: Path, name: str, member: str, target: Path) -> None:
    with zipfile.ZipFile(stored) as archive:
        if member not in archive.namelist():
            names = archive.namelist()
            shown = ", ".join(names[:SHOWN_MEMBERS]) + (", …" if len(names) > SHOWN_MEMBERS else "")
            raise StudyError(f"{name} has no member `{member}`; it has {shown or 'none'}")
        with archive.open(member) as packed:
            _copy(packed, target)


def _copy(packed: IO[bytes] | io.BufferedIOBase, target: Path) -> None:
    with target.open("wb") as file:
        shutil.copyfileobj(packed, file, 1 << 20)
