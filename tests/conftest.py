"""What several tests share: a copy of the project to run in, and the smoke study run there once."""

import gc
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from ruamel.yaml import YAML

from reformer_seqlen.commands.warm import kept
from reformer_seqlen.parameters.profiles import compose
from reformer_seqlen.parameters.study import Study, parse_study
from reformer_seqlen.runtime.files import sha256_of
from reformer_seqlen.runtime.process import wait_briefly
from reformer_seqlen.runtime.warm import ADDRESS

wait_briefly()  # before any test imports torch
# A shell's background jobs ignore Ctrl-C, and so would the processes that tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).parent.parent
CONF = ROOT / "conf"
PATIENCE_SECONDS = 120
"""How long a test waits for what takes a moment: a shared machine may stand still meanwhile."""


def pytest_collection_finish() -> None:
    """Keep the collector from looking through torch and transformers again and again."""
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put files with slow tests first, so that pytest's workers end together.

    One of those that need the smoke study is the first of all: its worker runs the study, and none
    of the others waits for it meanwhile.
    """
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    needing = [item.path for item in items if "smoke" in getattr(item, "fixturenames", ())]
    later, first = set(needing), needing[:1]
    items.sort(
        key=lambda item: (
            item.path not in first,
            item.path not in slow,
            item.path in later,
            str(item.path),
        )
    )


@dataclass(frozen=True)
class Project:
    """A copy of the project in a folder and git repository of its own."""

    root: Path

    def run(self, *command: str, succeed: bool = True, **variables: str) -> str:
        """Run a command here and return what it printed, stdout and stderr together."""
        done = subprocess.run(
            command,
            cwd=self.root,
            env=environment(**variables),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            check=False,
        )
        if succeed:
            assert done.returncode == 0, done.stdout
        else:
            assert done.returncode != 0, done.stdout
        return done.stdout

    def stage(self, name: str, *arguments: str, succeed: bool = True) -> str:
        """Run one stage's module."""
        return self.run(sys.executable, "-m", f"stages.{name}", *arguments, succeed=succeed)

    def dvc(self, *arguments: str, succeed: bool = True, **variables: str) -> str:
        """Run dvc."""
        command = (sys.executable, "-m", "dvc", *arguments)
        return self.run(*command, succeed=succeed, **variables)

    def change_params(self, change: Callable[[Any], None]) -> None:
        """Edit params.yaml as a person would."""
        yaml, path = YAML(), self.root / "params.yaml"
        values = yaml.load(path)
        change(values)
        yaml.dump(values, path)

    def would_run(self) -> list[str]:
        """The stages that `dvc repro` would run now."""
        return stages_run(self.dvc("repro", "--dry", "--allow-missing"))


def digests(root: Path, *folders: str) -> dict[str, str]:
    """A sha256 for every file below some folders."""
    return {
        str(path.relative_to(root)): sha256_of(path)
        for folder in folders
        for path in sorted((root / folder).rglob("*"))
        if path.is_file()
    }


def stages_run(printed: str) -> list[str]:
    """The stages that ran, by what `dvc repro` printed."""
    lines = printed.splitlines()
    return [line.split("'")[1] for line in lines if line.startswith("Running stage")]


def environment(**variables: str) -> dict[str, str]:
    """The environment of a child: this Python first, no network, no colours."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "HF_HUB_OFFLINE": "1", "NO_COLOR": "1", **variables}


@pytest.fixture
def set_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    """Sets torch's number of threads until the test ends; each takes even a few tokens."""
    import torch

    monkeypatch.setattr("reformer_seqlen.reformer.side_by_side.TOKENS_FOR_A_THREAD", 30)
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def copy_project(target: Path) -> Project:
    """Copy what git knows or would add, and commit it there."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    project = Project(target)
    project.run("git", "init", "-q", "-b", "main")
    project.run("git", "config", "user.email", "test@example.org")
    project.run("git", "config", "user.name", "test")
    project.run("git", "add", "-A")
    project.run("git", "commit", "-qm", "the project")
    return project


@pytest.fixture(scope="session")
def paper() -> Study:
    """The study of the profile `paper`."""
    return parse_study(compose("paper", CONF), "paper")


@pytest.fixture(scope="session")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project with the smoke study run by `dvc exp run`; tests leave it as they found it.

    It is run once for all of pytest's workers; each has a copy of its own.
    """
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "the-smoke-study"
    with FileLock(f"{shared}.lock"):
        if not (shared / "dvc.lock").exists():
            shared.mkdir()
            project = copy_project(shared)
            (shared / "dvc.lock").unlink()  # of another study: DVC would read it again and again
            with chdir(shared), kept(environment()) as variables:
                warm = {name: variables[name] for name in (ADDRESS,) if name in variables}
                project.dvc("exp", "run", "-S", "profile=smoke", succeed=True, **warm)
    own = tmp_path_factory.mktemp("smoke") / "study"
    shutil.copytree(shared, own, symlinks=True)
    return Project(own)


@pytest.fixture
def own_smoke(smoke: Project, tmp_path: Path) -> Project:
    """A copy of the smoke study, all its results included, for a test that changes something."""
    shutil.copytree(smoke.root, tmp_path / "smoke", symlinks=True)
    return Project(tmp_path / "smoke")
