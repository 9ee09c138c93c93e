"""A small DVC repository whose stages count how often they run, a Ray cluster, and a Slurm.

Both run on this machine, each daemon a process of its own, in a folder of its own.
"""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.conftest import Project, environment
from tests.dvc_example import dvc_repository

needs_ray = pytest.mark.skipif(
    find_spec("ray") is None, reason='Ray is not installed: pip install "reformer-seqlen[ray]"'
)
SLURM = ("munged", "slurmctld", "slurmd", "sbatch", "srun")
needs_slurm = pytest.mark.skipif(
    not all(shutil.which(name) for name in SLURM),
    reason="Slurm is not installed: apt-get install slurm-wlm munge",
)
PATIENCE_SECONDS = 300.0
RAY_ATTEMPTS = 5
"""Ray gives up a node that takes more than 30 seconds to start, as on busy cores."""


def counting_repository(root: Path, remote: str | None, **texts: str) -> Project:
    """The small repository, committed, with a remote; its stages write down that they run."""
    root.mkdir(exist_ok=True)
    project = dvc_repository(root, **texts)
    pipeline = (root / "dvc.yaml").read_text()
    count = root.parent / "ran.txt"
    for stage, command in (("write@${key}", "printf"), ("check@${key}", "grep"), ("join", "cat")):
        pipeline = pipeline.replace(f"cmd: {command}", f"cmd: echo {stage} >> {count}; {command}")
    (root / "dvc.yaml").write_text(pipeline)
    (root / ".dvc/config").write_text("[core]\n    analytics = false\n")
    (root / ".gitignore").write_text("*.txt\n*.checked\n/work\n")
    (root / ".dvc/.gitignore").write_text("/tmp\n/cache\n/config.local\n")  # noqa: S108
    if remote is not None:
        project.dvc("remote", "add", "--quiet", "--local", "--default", "storage", remote)
    if not (root / ".git").exists():
        project.run("git", "init", "--quiet")
    commit(project)
    return project


def commit(project: Project) -> None:
    """Commit everything."""
    who = ("-c", "user.name=test", "-c", "user.email=test@example.org")
    project.run("git", "add", "--all")
    project.run("git", *who, "commit", "--quiet", "--allow-empty", "--message", "all")


def times_run(root: Path) -> Counter[str]:
    """How often each stage of a counting repository has run."""
    return Counter((root.parent / "ran.txt").read_text().split())


def free_port() -> int:
    """A port that nobody listens to."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def daemon(
    command: Sequence[str], log: Path, **variables: str
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that runs within the block."""
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, stdout=file, stderr=subprocess.STDOUT, env=environment(**variables)
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait_until(true: Callable[[], bool], what: str) -> None:
    """Wait until something is so."""
    until = time.monotonic() + PATIENCE_SECONDS
    while not true():
        assert time.monotonic() < until, what
        time.sleep(0.2)


def answers(*command: str, **variables: str) -> bool:
    """Whether a command succeeds."""
    done = subprocess.run(
        command, env=environment(**variables), capture_output=True, check=False, timeout=60
    )
    return done.returncode == 0


@contextmanager
def ray_cluster(folder: Path, nodes: int) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """A Ray cluster of nodes with one processor and a home folder each; yields its address."""
    ray = str(Path(sys.executable).parent / "ray")
    port = free_port()
    address = f"127.0.0.1:{port}"
    shared = ["--block", "--num-cpus=1", "--disable-usage-stats"]
    with ExitStack() as stack:
        started = []
        for number in range(nodes):
            where = ["--head", f"--port={port}", "--include-dashboard=false"]
            if number:
                where = [f"--address={address}"]
            home = folder / f"home-{number}"
            home.mkdir()
            command = [ray, "start", *where, *shared]
            variables = {"HOME": str(home), "RAY_worker_niceness": "0"}
            for attempt in range(RAY_ATTEMPTS):
                log = folder / f"node-{number}-{attempt}.log"
                node = stack.enter_context(daemon(command, log, **variables))
                wait_until(partial(_has_begun, node, log), f"node {number} does not start")
                if node.poll() is None:
                    break
            assert node.poll() is None, log.read_text()
            started.append(node)
        yield address, started


def _has_begun(node: subprocess.Popen[bytes], log: Path) -> bool:
    """Whether a node is there, or has given up."""
    return node.poll() is not None or "Ray runtime started" in log.read_text(errors="replace")


SLURM_CONF = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerParameters=sched_interval=1,bf_interval=1
ReturnToService=2
SlurmdParameters=config_overrides
MailProg=/bin/true
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 RealMemory=16000 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


@contextmanager
def slurm(folder: Path) -> Iterator[Path]:
    """A Slurm of one node that is said to have four processors; yields its slurm.conf."""
    conf = folder / "slurm.conf"
    (folder / "state").mkdir()
    (folder / "spool").mkdir()
    ports = free_port(), free_port()
    conf.write_text(SLURM_CONF.format(host=socket.gethostname(), folder=folder, ports=ports))
    key = folder / "munge.key"
    key.touch(mode=0o600)
    key.write_bytes(os.urandom(1024))
    folder.chmod(0o755)
    files = (f"--{what}-file={folder}/munge.{what}" for what in ("pid", "log", "seed", "key"))
    munged = ["munged", "--foreground", "--force", f"--socket={folder}/munge.socket", *files]
    with ExitStack() as stack:
        stack.enter_context(daemon(munged, folder / "munged.out"))
        wait_until((folder / "munge.socket").exists, "munged does not start")
        for name in ("slurmctld", "slurmd"):
            command = [name, "-D", "-f", str(conf)]
            stack.enter_context(daemon(command, folder / f"{name}.out", SLURM_CONF=str(conf)))
        idle = ("srun", "--immediate=2", "true")
        wait_until(lambda: answers(*idle, SLURM_CONF=str(conf)), "Slurm runs nothing")
        yield conf
