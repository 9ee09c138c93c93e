"""What Python imports first where this folder is on its path: acts at an aimed moment.

The file that FAULT names says at which event of `sys.audit` and on which file, how many times it
may pass before, and what happens then. It is gone when that has happened.
"""

import errno
import json
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any

EVENTS = {"open", "os.rename", "os.mkdir", "os.remove", "shutil.rmtree"}
PLAN = Path(os.environ.get("FAULT", "/nowhere"))
SLACK_BYTES = 1 << 20
passed: dict[float, int] = {}
busy = False


def watch(event: str, arguments: tuple[Any, ...]) -> None:
    """Act, if this is the moment."""
    global busy
    if busy or event not in EVENTS or not isinstance(arguments[0], str | os.PathLike | bytes):
        return
    busy = True
    try:
        due = _due(event, os.fsdecode(arguments[0]))
    finally:
        busy = False
    if due is not None:
        _act(*due)


def _due(event: str, path: str) -> tuple[str, str] | None:
    try:
        written = PLAN.stat().st_mtime
        plan = json.loads(PLAN.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if event != plan["event"] or not path.endswith(plan["path"]):
        return None
    passed[written] = passed.get(written, 0) + 1
    if passed[written] <= plan["passes"]:
        return None
    PLAN.unlink()
    return plan["act"], path


def _act(act: str, path: str) -> None:
    if act == "no memory":
        pages = Path("/proc/self/statm").read_text(encoding="utf-8").split()[0]
        used = int(pages) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + SLACK_BYTES, resource.RLIM_INFINITY))
        bytearray(64 * SLACK_BYTES)  # what would be asked for next
    elif act in errno.errorcode.values():
        number = getattr(errno, act)
        raise OSError(number, os.strerror(number), path)
    else:
        os.kill(os.getpid(), signal.Signals[act])


if PLAN.parent.exists():
    sys.addaudithook(watch)
