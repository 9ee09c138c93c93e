"""How a stage is run by a process that has imported torch and transformers already.

`make repro` keeps one (`reformer_seqlen/commands/warm.py`). `python -m stages.NAME KEY` asks it for
a child that runs the stage with its streams and environment, passes signals on to it, and ends as
it ends. A stage that nobody answers runs here, as it does without `make repro`.
"""

import json
import os
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from types import FrameType

from reformer_seqlen.runtime.console import end_at_interrupts
from reformer_seqlen.runtime.messages.storage import KILLED

ADDRESS = "REFORMER_SEQLEN_WARM"
"""The environment variable that holds the path of the warm process's socket."""
ALONE = ("stages.benchmark_memory",)
"""Stages that measure the memory of processes like their own."""
STREAMS = (0, 1, 2)
LONGEST_STATUS = 8
PASSED_ON = {
    number: number
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGCONT)
} | {signal.SIGTSTP: signal.SIGSTOP}  # which processes without a terminal ignore
"""What this process is told, and what the stage is told then."""


def run_there() -> None:
    """Have the warm process run the stage of this command line, and end with it.

    Returns if the stage has to run here: there is no such process, or it ended before the stage.
    """
    address, command = os.environ.get(ADDRESS), sys.orig_argv
    if address is None or command[1] != "-m" or command[2] in ALONE:
        return
    end_at_interrupts()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        try:
            connection.connect(address)
            socket.send_fds(connection, [json.dumps(request()).encode()], STREAMS)
        except OSError:
            return
        _end_with_the_stage(connection)


def request() -> dict[str, object]:
    """What a stage is to run with; its streams go beside it."""
    return {
        "python": sys.executable,
        "command": sys.orig_argv[2:],
        "folder": str(Path.cwd()),
        "environment": dict(os.environ),
    }


def _end_with_the_stage(connection: socket.socket) -> None:
    """Pass signals on until the stage ends, and end as it did.

    Its process holds the other end of the connection, too. So without a status, both are gone, and
    the stage is free to run here: unless it was told to end.
    """
    told: list[int] = []

    def pass_on(number: int, _: FrameType | None) -> None:
        with suppress(OSError):
            connection.send(bytes([PASSED_ON[signal.Signals(number)]]))
        if number == signal.SIGTSTP:
            signal.raise_signal(signal.SIGSTOP)
        elif number != signal.SIGCONT:
            told.append(number)

    before = {number: signal.getsignal(number) for number in PASSED_ON}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, pass_on)
    answer = b""
    with suppress(OSError):
        answer = connection.recv(LONGEST_STATUS)
    if answer:
        if int(answer) == -signal.SIGKILL:
            print(f"error: {KILLED}", file=sys.stderr, flush=True)
        _end(int(answer))
    if told:
        _end(-told[-1])
    for number, handler in before.items():
        signal.signal(number, handler)


def _end(status: int) -> None:
    """End with an exit status or, if that is below zero, by a signal."""
    if status < 0:
        with suppress(OSError):  # some signals are always what they are by default
            signal.signal(-status, signal.SIG_DFL)
        signal.raise_signal(-status)
    os._exit(status)
