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
HELD = "Unable to acquire lock"


def mended(ask: Callable[[bool], T]) -> T:
    """What DVC answers, once what stops it is out of the way.

    Args:
        ask: is told whether to wait for other DVC processes.

    Raises:
        StudyError: it is something else.
    """
    wait = False
    for _ in range(4):  # as there are things to mend, and the answer
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
            elif CUT_OFF.search(words) and LOCK_FILE.exists():
                place = _set_aside(LOCK_FILE)
                print(messages.lock_set_aside(LOCK_FILE, place), file=sys.stderr, flush=True)
            else:
                raise
    return ask(wait)


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
    """Which process of DVC works in this folder."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            words = process.cmdline()
            named = "-m dvc" in " ".join(words) or any(Path(word).name == "dvc" for word in words)
            if named and "repro" in words and process.cwd() == str(Path.cwd()):
                return f"process {process.pid} (`dvc {' '.join(words[-2:])}`)"
    return None
