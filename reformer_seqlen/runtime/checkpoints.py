"""Training that can be stopped: a work folder outside the outs, a lock, whole checkpoints only.

DVC deletes a stage's outs before it runs it again, so what a later attempt needs lives in `work/`,
which git and DVC ignore.
"""

import hashlib
import json
import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from reformer_seqlen.runtime.code import deciding_modules
from reformer_seqlen.runtime.files import read_json, write_json
from reformer_seqlen.runtime.paths import WORK

COMPLETE = "complete.json"
"""Written into a checkpoint last: a folder without it was cut off while it was being written."""
WAIT_SECONDS = 1800


@contextmanager
def work_folder(stage: str, name: str, fingerprint: str) -> Iterator[Path]:
    """A folder of this stage's own, kept if the block is interrupted, gone when it succeeds.

    Holds a lock: killing only the dvc process leaves its child running, and two trainings in one
    folder would destroy each other's checkpoints. What an attempt with another fingerprint (other
    parameters, data or code) left is thrown away.
    """
    folder = WORK / stage / name
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(WORK / stage / f"{name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(f"{stage} {name}: another process still runs it, waiting for it", file=sys.stderr)
        lock.acquire(timeout=WAIT_SECONDS)
    with lock:
        mark = folder / "fingerprint"
        if not mark.exists() or mark.read_text() != fingerprint:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True, exist_ok=True)
            mark.write_text(fingerprint)
        yield folder
        shutil.rmtree(folder)


def fingerprint(values: object, files: Iterable[Path], stage: Path) -> str:
    """A sha256 over parameters, the content of files and the code that decides numbers.

    Args:
        values: of params.yaml.
        files: what the stage reads.
        stage: its module.
    """
    digest = hashlib.sha256(json.dumps(values, sort_keys=True).encode())
    for path in sorted([*files, *deciding_modules(stage)]):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def mark_complete(checkpoint: Path, elapsed_seconds: float) -> None:
    """Say that a checkpoint is whole, and how long training had taken until then."""
    write_json(checkpoint / COMPLETE, {"elapsed_seconds": elapsed_seconds})


def last_complete(folder: Path) -> tuple[Path | None, float]:
    """The newest whole checkpoint and the seconds spent until it; what is not whole is removed."""
    steps = {int(path.name.rpartition("-")[2]): path for path in folder.glob("checkpoint-*")}
    for step in sorted(steps, reverse=True):
        if (steps[step] / COMPLETE).exists():
            return steps[step], float(read_json(steps[step] / COMPLETE)["elapsed_seconds"])
        shutil.rmtree(steps[step])
    return None, 0.0
