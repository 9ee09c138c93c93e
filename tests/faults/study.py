"""The smoke study in a folder of its own, which may be killed, starved and damaged."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from reformer_seqlen.commands.warm import kept
from reformer_seqlen.runtime.warm import ADDRESS
from tests.conftest import Project, digests, environment

INJECTION = Path(__file__).parent / "injection"
RESULTS = ("data/texts", "data/bases", "data/tokenizers", "data/base_tokens", "data/tokens",
           "data/counts", "data/windows", "data/models", "data/histories", "data/evaluations",
           "metrics/validation", "metrics/test", "metrics/memory")  # fmt: skip
COMPUTED = ("data", "work", "dvc.lock", ".dvc/cache", ".dvc/tmp")
LONGEST_SECONDS = 900


@dataclass(frozen=True)
class Moment:
    """When something happens: at an event of `sys.audit`, on a file, after so many others.

    Attributes:
        path: how the file's path ends.
        act: a signal, the name of an error of the operating system, or "no memory".
    """

    path: str
    event: str = "os.rename"
    passes: int = 0
    act: str = "SIGKILL"


class Study:
    """A copy of the project, with the parameters of the smoke study."""

    def __init__(self, root: Path) -> None:
        self.project = Project(root)
        self.root = root
        self.plan = root.with_name(f"{root.name}.fault.json")
        path = os.pathsep.join([str(INJECTION), str(root)])
        self.variables = environment(PYTHONPATH=path, FAULT=str(self.plan), PYTHONUNBUFFERED="1")
        self.log = root.with_name(f"{root.name}.log")

    @contextmanager
    def warm(self) -> Iterator[None]:
        """Within the block, stages are run by a process that has imported torch already."""
        with chdir(self.root), kept(self.variables) as variables:
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
                while connection.connect_ex(variables[ADDRESS]):
                    time.sleep(0.01)
            alone, self.variables = self.variables, dict(variables)
            try:
                yield
            finally:
                self.variables = alone

    def aim(self, moment: Moment) -> None:
        """Have this happen in whichever process comes to it first."""
        self.plan.write_text(json.dumps(vars(moment)))

    def start(self, *command: str) -> "subprocess.Popen[bytes]":
        """Start a command in a process group of its own; what it prints goes into a file."""
        with self.log.open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", *command],
                cwd=self.root,
                env=self.variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def run(self, *command: str) -> tuple[int, str]:
        """Run a command; its status and all that it printed."""
        with self.start(*command) as process:
            try:
                process.wait(timeout=LONGEST_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                raise
        return process.returncode, self.log.read_text(errors="replace")

    def stage(self, name: str, *key: str) -> tuple[int, str]:
        """Run a stage's module."""
        return self.run(f"stages.{name}", *key)

    def results(self) -> dict[str, str]:
        """The bytes of all that does not depend on the time that it took."""
        return digests(self.root, *RESULTS)

    def forget(self) -> None:
        """Remove all that was computed."""
        for name in COMPUTED:
            path = self.root / name
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        self.project.run("git", "checkout", "-q", "data", "metrics", "plots", "results")
        (self.root / ".dvc/tmp").mkdir()

    def processes(self) -> list[psutil.Process]:
        """Those that work in its folder."""
        return [
            process
            for process in psutil.process_iter(["cwd"])
            if process.info["cwd"] == str(self.root) and process.pid != os.getpid()
        ]
