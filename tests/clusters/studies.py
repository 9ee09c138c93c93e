"""A study to be computed on a cluster: whole, or what one training is missing."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import psutil
from ruamel.yaml import YAML

from tests.clusters.machines import wait_until
from tests.conftest import Project, digests, environment

INTERRUPTED = "news-64"
"""The run whose training is interrupted."""
STAGE = f"finetune@{INTERRUPTED}"
RESULTS = ("metrics/validation", "metrics/test", "data/models", "data/evaluations")
"""What decides nothing but the numbers: timings are others each time."""
INTERRUPTED_STATUS = 130


def new_clone(of: Project, folder: Path) -> Project:
    """A clone in which nothing has run yet."""
    of.run("git", "clone", "--quiet", str(of.root), str(folder))
    return Project(folder)


def without_training(of: Project, folder: Path, remote: str) -> Project:
    """A copy in which only one training is missing, with a remote."""
    shutil.copytree(of.root, folder, symlinks=True)
    project, yaml = Project(folder), YAML()
    lock = yaml.load(folder / "dvc.lock")
    for out in lock["stages"].pop(STAGE)["outs"]:
        path = folder / out["path"]
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    yaml.dump(lock, folder / "dvc.lock")
    shutil.rmtree(folder / ".dvc/cache/runs")
    shutil.rmtree(folder / "work")
    project.dvc("remote", "add", "--quiet", "--local", "--default", "storage", remote)
    return project


def command(engine: str, *arguments: str) -> list[str]:
    """`reformer-seqlen distribute` with two workers."""
    program = [sys.executable, "-m", "reformer_seqlen", "distribute"]
    return [*program, "--engine", engine, "--workers", "2", *arguments]


@contextmanager
def started(
    project: Project, log: Path, engine: str, *arguments: str, **variables: str
) -> Iterator[subprocess.Popen[bytes]]:
    """`reformer-seqlen distribute`, running, as on a terminal of its own."""
    with (
        log.open("wb") as file,
        in_terminal(command(engine, *arguments), project, file, **variables) as process,
    ):
        yield process


@contextmanager
def in_terminal(
    words: list[str], project: Project, output: IO[bytes], **variables: str
) -> Iterator[subprocess.Popen[bytes]]:
    """A process in a group of its own; its group is killed at the end if it still runs."""
    process = subprocess.Popen(
        words,
        cwd=project.root,
        env=environment(**variables),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_for_checkpoint(clones: Path, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until the training has left a checkpoint in some worker's clone."""
    wait_until(lambda: has_checkpoint(clones) or process.poll() is not None, "no checkpoint")
    assert process.poll() is None, log.read_text()


def has_checkpoint(clones: Path) -> bool:
    """Whether the training has left a checkpoint there."""
    return any(clones.glob(f"work/finetune/{INTERRUPTED}/checkpoint-*/complete.json"))


def press_ctrl_c(process: subprocess.Popen[bytes], log: Path) -> None:
    """Have it end as Ctrl-C on its terminal does."""
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait() == INTERRUPTED_STATUS, log.read_text()


def runs_in(clones: Path) -> bool:
    """Whether a process still works in some worker's clone."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if Path(process.cwd()).is_relative_to(clones):
                return True
    return False


def same_results(project: Project, other: Project) -> bool:
    """Whether two studies have the same numbers, to the last byte."""
    found = digests(project.root, *RESULTS)
    return len(found) > 10 and found == digests(other.root, *RESULTS)
