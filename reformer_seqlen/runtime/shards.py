"""Work of many parts that goes on where it was: what is finished is stored every minute."""

import time
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from reformer_seqlen.runtime.files import whole_file
from reformer_seqlen.runtime.messages import storage as messages

T = TypeVar("T")
Part = tuple[NDArray[Any], ...]
SHARD_SECONDS = 60.0
"""Of work, which is the most that is lost."""


def going_on(
    folder: Path | None, items: Iterable[T], work: Callable[[Iterator[T]], Iterator[Part]]
) -> Iterator[Part]:
    """A part for each item, those that an earlier attempt stored among them.

    Args:
        folder: of the shards; None stores nothing.
        items: the same, and in the same order, in each attempt.
        work: makes a part of each item, whatever items come before.
    """
    waiting = iter(items)
    done = 0
    for part in _stored(folder) if folder is not None else ():
        next(waiting)
        done += 1
        yield part
    if done:
        print(messages.parts_are_there(done), flush=True)
    made: list[Part] = []
    began = time.monotonic()
    for part in work(waiting):
        made.append(part)
        yield part
        if folder is None:
            made.clear()
        elif time.monotonic() - began >= SHARD_SECONDS:
            _store(folder, done, made)
            done += len(made)
            made, began = [], time.monotonic()


def _store(folder: Path, first: int, parts: list[Part]) -> None:
    """Write parts from number `first` on. The format holds a checksum of each array."""
    arrays = {
        f"{number:08}.{place}": array
        for number, part in enumerate(parts)
        for place, array in enumerate(part)
    }
    with whole_file(folder / f"{first}.npz") as path, path.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def _stored(folder: Path) -> Iterator[Part]:
    """The parts that are there, up to a shard that is missing or damaged."""
    first = 0
    while (path := folder / f"{first}.npz").exists():
        try:
            parts = _read(path)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            print(messages.damaged_shard(path, error), flush=True)
            path.unlink()
            return
        yield from parts
        first += len(parts)


def _read(path: Path) -> list[Part]:
    with np.load(path, allow_pickle=False) as arrays:
        parts: dict[str, list[NDArray[Any]]] = {}
        for name in arrays.files:
            parts.setdefault(name.partition(".")[0], []).append(arrays[name])
    return [tuple(part) for part in parts.values()]
