"""A process that has imported what stages import, and forks a child for each: `kept`.

It answers `reformer_seqlen/runtime/warm.py`. It computes nothing itself: a child of a process in
which torch has started threads would wait for them for ever.
"""

import json
import os
import runpy
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector
from tempfile import TemporaryDirectory
from typing import Any

from reformer_seqlen.runtime import ranks, warm
from reformer_seqlen.runtime.console import end_at_interrupts
from reformer_seqlen.runtime.process import end_with_parent, leave, prepare, wait_briefly

LARGEST_REQUEST = 2**20
SET_FOR_EACH = {"PWD", "OLDPWD", "SHLVL", "_", "DVC_ROOT", "DVC_STAGE"} | ranks.NAMES
"""Environment variables that shells and DVC set, and those of each process of a training.

Stages read none of them while they import.
"""


@contextmanager
def kept(environment: Mapping[str, str]) -> Iterator[Mapping[str, str]]:
    """Keep a warm process within the block, which starts while the block runs.

    Only Linux ends children with their parents.

    Args:
        environment: of the commands that start stages.

    Yields:
        the environment in which stages find the process.
    """
    if sys.platform != "linux":
        yield environment
        return
    with TemporaryDirectory() as folder:
        environment = {**environment, warm.ADDRESS: f"{folder}/socket"}
        process = subprocess.Popen(
            [sys.executable, "-m", "reformer_seqlen.commands.warm"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,  # so that Ctrl-C reaches stages by `run_there` alone, once
        )
        with process:
            try:
                yield environment
            finally:
                process.kill()


def main() -> None:
    """Import what stages import, and in each child run what it is asked for."""
    address, own, sources = os.environ[warm.ADDRESS], warm.request(), _sources()
    prepare()
    for path in Path("stages").glob("[!_]*.py"):
        runpy.run_module(f"stages.{path.stem}", run_name="imports")
    import reformer_seqlen.commands.stage  # noqa: F401

    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(address)
        listener.listen()
        stage, *arguments = Server(listener, own, sources).serve()
    sys.argv[1:] = arguments
    runpy.run_module(stage, run_name="__main__", alter_sys=True)


class Server:
    """Forks a child for each stage that asks, and tells what became of it.

    Args:
        listener: what stages connect to.
        own: what this process would ask for: only what is alike would import the same.
        sources: the project's modules before they were imported. DVC records the code that it finds
            when a stage ends, so one that has changed since must not be run as it was.
    """

    def __init__(
        self, listener: socket.socket, own: Mapping[str, Any], sources: Mapping[Path, int]
    ) -> None:
        self.listener = listener
        self.own = _to_be_alike(own)
        self.sources = sources
        self.events = DefaultSelector()

    def serve(self) -> list[str]:
        """Serve until standard input ends; in each child, return what it is to run."""
        self._on(sys.stdin, leave)
        self._on(self.listener, self._accept)
        while True:
            for key, _ in self.events.select()[:1]:  # which may be the end of another one
                command: list[str] | None = key.data()
                if command:
                    return command

    def _on(self, source: Any, act: Callable[..., list[str] | None], *given: Any) -> None:
        self.events.register(source, EVENT_READ, partial(act, *given))

    def _accept(self) -> None:
        connection, _ = self.listener.accept()
        self._on(connection, self._begin, connection)

    def _begin(self, connection: socket.socket) -> list[str] | None:
        """Fork for a stage, unless its environment or the code are no longer what was imported."""
        self.events.unregister(connection)
        message, streams, *_ = socket.recv_fds(connection, LARGEST_REQUEST, len(warm.STREAMS))
        asked = json.loads(message or "{}")
        child = 0
        if message and _to_be_alike(asked) == self.own and _sources() == self.sources:
            server = os.getpid()
            child = os.fork()
            if not child:
                connection.detach()  # which leaves it open until this process ends
                _be_a_stage(server, streams, asked["environment"])
                return list(asked["command"])
            ended = os.pidfd_open(child)
            self._on(connection, self._pass_on, connection, child)
            self._on(ended, self._end, connection, child, ended)
        for stream in streams:
            os.close(stream)
        if not child:
            connection.close()
        return None

    def _pass_on(self, connection: socket.socket, child: int) -> None:
        """Send a stage the signal that it is told, or kill it if nobody waits for it any more."""
        try:
            told = connection.recv(1)
        except OSError:
            told = b""
        os.kill(child, told[0] if told else signal.SIGKILL)
        if not told:
            self.events.unregister(connection)

    def _end(self, connection: socket.socket, child: int, ended: int) -> None:
        """Tell how a stage ended."""
        _, status = os.waitpid(child, 0)
        self.events.unregister(ended)
        os.close(ended)
        with suppress(KeyError):
            self.events.unregister(connection)
        with connection, suppress(OSError):
            connection.send(str(os.waitstatus_to_exitcode(status)).encode())


def _to_be_alike(asked: Mapping[str, Any]) -> dict[str, Any]:
    environment = asked.get("environment", {}).items()
    kept = {name: value for name, value in environment if name not in SET_FOR_EACH}
    return {"environment": kept, **{name: asked.get(name) for name in ("python", "folder")}}


def _sources() -> dict[Path, int]:
    """When each module of the project was last changed."""
    folders = (Path("stages"), Path("reformer_seqlen"))
    modules = (path for folder in folders for path in folder.rglob("*.py"))
    return {path: path.stat().st_mtime_ns for path in modules}


def _be_a_stage(server: int, streams: list[int], environment: Mapping[str, str]) -> None:
    """Make a forked child what `python -m` would have started."""
    end_with_parent()
    if os.getppid() != server:
        os._exit(1)
    for number, stream in zip(warm.STREAMS, streams, strict=True):
        os.dup2(stream, number)
        os.close(stream)
    os.environ.clear()
    os.environ.update(environment)
    wait_briefly()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    end_at_interrupts()


if __name__ == "__main__":
    main()
