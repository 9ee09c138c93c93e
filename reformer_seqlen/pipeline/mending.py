"""What killed processes leave of DVC's own files: set aside, so that the study goes on.

DVC writes them in place: one that was cut off stops every later command until it is gone. And a DVC
that outlived its `make repro` still holds the lock of the folder.
"""

import re
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import psutil

from reformer_seqlen.runtime.errors import StudyError
from reformer_seqlen.runtime.messages import storage as messages
from reformer_seqlen.runtime.paths import WORK

T = TypeVar("T")
LOCK_FILE = Path("dvc.lock")
RWLOCK = Path(".dvc/tmp/rwlock")
CUT_OFF = re.compile(
    r"(?:\./)?dvc\.lock' (?:validation failed|is invalid|is not|structure is corrupted)"
)
"""What DVC says of its lock file."""
LOOK_SECONDS = 0.5
BLOCKED = "it is being blocked by"
PROCESS = re.compile(r"\(PID (\d+)\)")
MOST_MENDED = 8
HELD = "Unable to acquire lock"


def mended(ask: Callable[[bool], T]) -> T:
    """What DVC answers, once what stops it is out of the way.

    Args:
        ask: is told whether to wait for other DVC processes.

    Raises:
        StudyError: it is something else.
    """
    wait = False
    for _ in range(MOST_MENDED):
        try:
            return ask(wait)
        except StudyError as error:
            words = str(error)
            if HELD in words and not wait:
                wait = True
                print(
                    messages.held("DVC", other_dvc() or "another process"),
                    file=sys.stderr,
                    flush=True,
                )
            elif "RWLock-file" in words and "corrupted" in words:
                RWLOCK.unlink(missing_ok=True)
                print(messages.removed(RWLOCK), file=sys.stderr, flush=True)
            elif BLOCKED in words:
                _unblock({int(number) for number in PROCESS.findall(words)})
            elif CUT_OFF.search(words) and LOCK_FILE.exists():
                place = _set_aside(LOCK_FILE)
                print(messages.lock_set_aside(LOCK_FILE, place), file=sys.stderr, flush=True)
            else:
                raise
    return ask(wait)


def _unblock(ids: set[int]) -> None:
    """Wait for processes of DVC, and forget those that only have the number of one that is gone.

    A killed process has its number until its parent has looked, and then another may get it.
    """
    for number in ids:
        while runs_stages(number):
            time.sleep(LOOK_SECONDS)
    if any(psutil.pid_exists(number) for number in ids):
        RWLOCK.unlink(missing_ok=True)
        print(messages.unblocked(RWLOCK), file=sys.stderr, flush=True)


def _set_aside(path: Path) -> Path:
    folder = WORK / "set-aside"
    folder.mkdir(parents=True, exist_ok=True)
    place = folder / f"{path.name}-{1 + len(list(folder.glob(f'{path.name}-*')))}"
    path.rename(place)
    return place


def wait_for_other_dvc() -> None:
    """Wait for a DVC that runs stages here already: it has no lock of the folder meanwhile."""
    said = False
    while found := other_dvc():
        if not said:
            print(messages.held("DVC", found), file=sys.stderr, flush=True)
            said = True
        time.sleep(LOOK_SECONDS)


def other_dvc() -> str | None:
    """Which process of DVC runs stages in this folder."""
    for number in psutil.pids():
        with suppress(psutil.Error):
            if runs_stages(number) and psutil.Process(number).cwd() == str(Path.cwd()):
                words = psutil.Process(number).cmdline()
                return f"process {number} (`dvc {' '.join(words[-2:])}`)"
    return None


def runs_stages(process_id: int) -> bool:
    """Whether a process is one of `dvc repro`."""
    try:
        words = psutil.Process(process_id).cmdline()
    except psutil.Error:
        return False
    named = "-m dvc" in " ".join(words) or any(Path(word).name == "dvc" for word in words)
    return named and "repro" in words
