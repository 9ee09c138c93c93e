"""Work that can be stopped: a work folder outside the outs, and whole checkpoints only.

DVC deletes a stage's outs before it runs it again, so what a later attempt needs lives in `work/`,
which git and DVC ignore.
"""

import json
import shutil
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from reformer_seqlen.runtime.code import ROOT, deciding_modules
from reformer_seqlen.runtime.errors import StudyError
from reformer_seqlen.runtime.files import read_json, sha256_of, write_json
from reformer_seqlen.runtime.messages import storage as messages
from reformer_seqlen.runtime.paths import WORK
from reformer_seqlen.runtime.ranks import is_first
from reformer_seqlen.runtime.stored import sums_of

COMPLETE = "complete.json"
"""Written into a checkpoint last: a folder without it was cut off while it was being written."""
FORMAT = 2
"""Of work folders and checkpoints; those of another format are not gone on from."""
FINGERPRINT = "fingerprint.json"
ELAPSED = "elapsed.json"
SET_ASIDE = "set-aside"
SHARED = ("processes", "fsdp")
"""Keys of params.yaml that say how processes share a training; checkpoints are alike."""
LIBRARIES = ("torch", "transformers")


@contextmanager
def work_folder(stage: str, name: str, fingerprint: str) -> Iterator[Path]:
    """A folder of this stage's own, kept if the block is interrupted, gone when it succeeds.

    What an attempt with another fingerprint left is set aside, with a line that says why. Of
    several processes, the first alone makes the folder and removes it.
    """
    folder = WORK / stage / name
    if not is_first():
        yield folder
        return
    mark = folder / FINGERPRINT
    if folder.exists() and (why := _difference(mark, fingerprint)):
        _set_aside(folder, f"{stage} {name}", why)
    folder.mkdir(parents=True, exist_ok=True)
    if not mark.exists():
        write_json(mark, json.loads(fingerprint))
    yield folder
    done = folder.with_name(f".{name}.done")  # not to be found in part by the next attempt
    shutil.rmtree(done, ignore_errors=True)
    folder.rename(done)
    shutil.rmtree(done)


@contextmanager
def stopwatch(work: Path) -> Iterator[Callable[[], float]]:
    """Tell the seconds that the block took so far, with those of interrupted attempts.

    An attempt that is killed leaves none.
    """
    path = work / ELAPSED
    earlier = float(read_json(path)["seconds"]) if path.exists() else 0.0
    began = time.monotonic()

    def seconds() -> float:
        return earlier + time.monotonic() - began

    try:
        yield seconds
    finally:
        write_json(path, {"seconds": seconds()})


def _set_aside(folder: Path, what: str, why: str) -> None:
    """Move what an attempt left out of the way, unless it left nothing to go on from."""
    if {path.name for path in folder.iterdir()} <= {FINGERPRINT}:
        shutil.rmtree(folder)
        return
    places = WORK / SET_ASIDE / folder.parent.name
    places.mkdir(parents=True, exist_ok=True)
    number = 1 + len(list(places.glob(f"{folder.name}-*")))
    while (place := places / f"{folder.name}-{number}").exists():
        number += 1
    folder.rename(place)
    print(messages.set_aside(what, why, place), file=sys.stderr, flush=True)


def fingerprint(values: object, files: Iterable[Path], stage: Path) -> str:
    """What decides the bytes of an attempt, as JSON.

    Args:
        values: of params.yaml. How many processes train, and what each holds of the model, is left
            out: they all go on from the same checkpoints.
        files: what the stage reads.
        stage: its module; with it goes the code that decides numbers.
    """
    parts = {
        "format": FORMAT,
        "parameters": _without(values, SHARED),
        "data": {str(path): sha256_of(path) for path in sorted(files)},
        "code": {
            str(path.relative_to(ROOT)): sha256_of(path) for path in sorted(deciding_modules(stage))
        },
        "libraries": {name: version(name) for name in LIBRARIES},
    }
    return json.dumps(parts, sort_keys=True)


def _without(values: Any, keys: Collection[str]) -> Any:
    """Values without those of some keys, at any depth."""
    if isinstance(values, dict):
        return {name: _without(value, keys) for name, value in values.items() if name not in keys}
    return [_without(value, keys) for value in values] if isinstance(values, list) else values


def _difference(mark: Path, now: str) -> str | None:
    """Why an attempt is not one of these inputs, in words; None if it is."""
    try:
        before = read_json(mark)
    except (OSError, StudyError):
        return messages.UNKNOWN_ATTEMPT
    wanted = json.loads(now)
    if not isinstance(before, dict) or before.get("format") != FORMAT:
        return messages.OTHER_FORMAT
    changed = [
        messages.changed(part, sorted(_changed(before.get(part), wanted[part])))
        for part in wanted
        if before.get(part) != wanted[part]
    ]
    return "; ".join(changed) or None


def _changed(before: Any, now: Any, key: str = "") -> Iterator[str]:
    """The keys, at any depth, whose values are not the same, with both where these are short."""
    if isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        for old, new in zip(before, now, strict=True):
            yield from _changed(old, new, key)
    elif isinstance(before, dict) and isinstance(now, dict):
        for name in before.keys() | now.keys():
            inner = f"{key}.{name}" if key else str(name)
            yield from _changed(before.get(name), now.get(name), inner)
    elif before != now:
        yield messages.was(key, before, now)


def mark_complete(checkpoint: Path, elapsed_seconds: float) -> None:
    """Say that a checkpoint is whole, what its files are, and how long training had taken."""
    (checkpoint / COMPLETE).unlink(missing_ok=True)
    record = {"format": FORMAT, "elapsed_seconds": elapsed_seconds, "md5": sums_of(checkpoint)}
    write_json(checkpoint / COMPLETE, record)


def is_complete(checkpoint: Path) -> bool:
    """Whether a checkpoint was written to its end."""
    return (checkpoint / COMPLETE).exists()


def last_complete(folder: Path) -> tuple[Path | None, float]:
    """The newest whole checkpoint and the seconds spent until it.

    What was cut off while it was written is removed, and so is what is damaged, which is said.
    """
    for checkpoint in checkpoints(folder):
        if not is_complete(checkpoint):
            shutil.rmtree(checkpoint)
            continue
        try:
            return checkpoint, _elapsed_seconds(checkpoint)
        except StudyError as error:
            print(messages.damaged_checkpoint(checkpoint, error), file=sys.stderr, flush=True)
            shutil.rmtree(checkpoint)
    return None, 0.0


def checkpoints(folder: Path) -> list[Path]:
    """A training's checkpoints, whole or not, the newest first."""
    steps = {int(path.name.rpartition("-")[2]): path for path in folder.glob("checkpoint-*")}
    return [steps[step] for step in sorted(steps, reverse=True)]


def _elapsed_seconds(checkpoint: Path) -> float:
    """What a whole checkpoint says.

    Raises:
        StudyError: it is of another format, or its files are not those that were written.
    """
    record = read_json(checkpoint / COMPLETE)
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise StudyError(messages.OTHER_FORMAT)
    try:
        written, elapsed_seconds = dict(record["md5"]), float(record["elapsed_seconds"])
    except (KeyError, TypeError, ValueError):
        raise StudyError(COMPLETE) from None
    found = sums_of(checkpoint)
    if damaged := sorted(name for name, digest in written.items() if found.get(name) != digest):
        raise StudyError(", ".join(damaged))
    return elapsed_seconds
