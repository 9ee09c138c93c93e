"""Outputs that appear whole or not at all: written beside, flushed to disk, renamed."""

import errno
import hashlib
import json
import math
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from reformer_seqlen.runtime.errors import StudyError, one_line
from reformer_seqlen.runtime.paths import DATA
from reformer_seqlen.runtime.stored import write_sums

SAVE_AS_UTF8 = "save it as UTF-8"
DAMAGED_RESULT = "delete it and run `make repro`, which makes it again"
NOT_WRITTEN = re.compile(
    r"I/O error: .*\(os error \d+\)|inline_container.*unexpected pos|write failed"
)
"""In what safetensors and torch raise where a disk is full."""


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def final_path(path: Path) -> Path:
    """What a file or folder that is not whole yet is to be called, for messages."""
    name = path.name
    hidden = name.startswith(".") and name.endswith(".partial")
    return path.with_name(name[1:].removesuffix(".partial")) if hidden else path


@contextmanager
def naming(target: Path) -> Iterator[None]:
    """Have an error of the operating system name what was being written, if it names no file.

    Libraries that write in C++ or Rust raise errors of their own where a disk is full.
    """
    try:
        yield
    except OSError as error:
        if error.errno is None:  # numpy's: so many values requested, so many written
            raise OSError(errno.ENOSPC, str(error), str(target)) from error
        if error.filename is None:
            error.filename = str(target)
        raise
    except Exception as error:
        if NOT_WRITTEN.search(str(error)):
            raise OSError(errno.ENOSPC, one_line(error), str(target)) from error
        raise


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder beside `target`; it becomes `target` only if the block succeeds.

    What stages hand on, in data/, gets the checksums of its files.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        with naming(target):
            yield partial
        if target.absolute().is_relative_to(DATA.absolute()):
            write_sums(partial)
        for path in sorted(partial.rglob("*")):
            _flush(path)
        _flush(partial)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    try:
        with naming(target):
            if target.exists():
                shutil.rmtree(target)
            partial.rename(target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    _flush(target.parent)


@contextmanager
def whole_file(target: Path) -> Iterator[Path]:
    """Yield the path of a file beside `target`; it becomes `target` only if the block succeeds."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.partial")
    try:
        with naming(target):
            yield partial
        _flush(partial)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    partial.rename(target)
    _flush(target.parent)


def write_json(target: Path, value: Any) -> None:
    """Write `value` as indented JSON with a final newline, whole or not at all.

    Raises:
        ValueError: a number is not finite; JSON has no such number, so say it in another field.
    """
    with whole_file(target) as path:
        path.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def read_text(path: Path, mend: str = "") -> str:
    """Read a text file.

    Args:
        path: the file.
        mend: what makes it again, for the message.

    Raises:
        StudyError: it is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        found = f"byte 0x{error.object[error.start]:02x} in line {line}"
        raise StudyError(f"{path} is not UTF-8 ({found}): {mend or SAVE_AS_UTF8}") from error


def read_json(path: Path, mend: str = DAMAGED_RESULT) -> Any:
    """Read a JSON file that a stage wrote.

    Raises:
        StudyError: it is damaged; the message says what makes it again.
    """
    return parse_json(read_text(path, mend), str(path), mend)


def parse_json(text: str, where: str, mend: str = DAMAGED_RESULT) -> Any:
    """What a JSON text says.

    Raises:
        StudyError: it is none.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:  # a number of thousands of digits is a ValueError
        raise StudyError(f"{where} is not JSON ({error}): {mend}") from error


def finite(value: float) -> float | None:
    """The value, or None where it is not a finite number, which JSON cannot hold."""
    return value if math.isfinite(value) else None


def sha256_of(path: Path) -> str:
    """The sha256 of a file in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
