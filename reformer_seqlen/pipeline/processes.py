"""The engine of this machine: a process for each thing that runs."""

import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Thread

import psutil

from reformer_seqlen.pipeline.schedule import Begun, Ended, Event, Said
from reformer_seqlen.runtime.console import Terminated

STOP_SECONDS = (10.0, 25.0, 5.0)
"""How long interrupted processes may take to end: by themselves, told once more, terminated.

Ctrl-C reaches all of them, and a training writes a checkpoint then.
"""


class Processes:
    """Runs a command for each name.

    Args:
        command: of a name.
        at_once: how many run at a time.
        environment: of the processes; this process's own by default.
    """

    holds_back = False

    def __init__(
        self,
        command: Callable[[str], Sequence[str]],
        at_once: int,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.command, self.at_once, self.environment = command, at_once, environment
        self.running: dict[str, subprocess.Popen[str]] = {}
        self.happened = SimpleQueue[Event]()

    def start(self, name: str) -> None:
        """Start a process, and a thread that listens to it."""
        self.running[name] = process = subprocess.Popen(
            self.command(name),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=self.environment,
        )
        self.happened.put(Begun(name))
        Thread(target=self._listen, args=(name, process), daemon=True).start()

    def _listen(self, name: str, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                self.happened.put(Said(name, line.rstrip("\n")))
        status = process.wait()
        del self.running[name]
        self.happened.put(Ended(name, status))

    def events(self, seconds: float) -> Iterator[Event]:
        """What has happened."""
        with suppress(Empty):
            yield self.happened.get(timeout=seconds)

    def stop(self, error: BaseException) -> None:
        """End what an error leaves running."""
        end(list(self.running.values()), patience_at(error))


def patience_at(error: BaseException) -> tuple[float, float, float]:
    """`STOP_SECONDS`, but SIGTERM reached nobody else: the others are told at once."""
    first, *others = STOP_SECONDS
    return (0.0 if isinstance(error, Terminated) else first, others[0], others[1])


def end(
    processes: Iterable[subprocess.Popen[str]],
    patience: tuple[float, float, float] = STOP_SECONDS,
) -> None:
    """Wait for interrupted processes; what stays is interrupted again, and then terminated.

    A process that is just starting may lose Ctrl-C, and DVC ignores it while its stage runs: the
    stage would run to its end, and the next ones after it.
    """
    left = list(processes)
    for seconds, told in zip(patience, (signal.SIGINT, signal.SIGTERM, None), strict=True):
        until = time.monotonic() + seconds
        for process in left:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, until - time.monotonic()))
        left = [process for process in left if process.poll() is None]
        for process in left:
            if told is not None:
                _tell(process.pid, told)


def _tell(parent_id: int, told: signal.Signals) -> None:
    """Send a signal to a process's children, and to itself if it has none or has to go too."""
    with suppress(psutil.NoSuchProcess):
        parent = psutil.Process(parent_id)
        children = parent.children(recursive=True)
        for process in children if children and told == signal.SIGINT else [parent, *children]:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(told)
