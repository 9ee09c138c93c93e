"""A Ray cluster, a Slurm, and a server that speaks S3, of this machine.

Each daemon is a process of its own, in a folder of its own.
"""

import getpass
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import psutil

from reformer_seqlen.distribution.worker import end_with_parent
from tests.conftest import environment

PATIENCE_SECONDS = 240.0
RAY_ATTEMPTS = 5
"""Ray gives up a node that takes more than 30 seconds to start, as on busy cores."""


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
    """A process that runs within the block, and ends with this one if this one is killed."""
    with log.open("wb") as file:
        process = subprocess.Popen(
            command,
            stdout=file,
            stderr=subprocess.STDOUT,
            env=environment(**variables),
            preexec_fn=end_with_parent,
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
        time.sleep(0.02)


@dataclass
class RayCluster:
    """A head without processors, and nodes with one processor and a home folder each."""

    folder: Path
    stack: ExitStack
    port: int = field(default_factory=free_port)
    nodes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def address(self) -> str:
        """Where the head listens."""
        return f"127.0.0.1:{self.port}"

    def home(self, name: str) -> Path:
        """The home folder of a node."""
        return self.folder / f"home-{name}"

    def start(self, name: str, **variables: str) -> None:
        """Start a node; the first one is the head."""
        where = [f"--address={self.address}", "--num-cpus=1"]
        if not self.nodes:
            where = ["--head", f"--port={self.port}", "--num-cpus=0", "--include-dashboard=false"]
        ray = str(Path(sys.executable).parent / "ray")
        command = [ray, "start", *where, "--block", "--disable-usage-stats"]
        self.home(name).mkdir()
        variables |= {"HOME": str(self.home(name)), "RAY_worker_niceness": "0"}
        variables["AWS_EC2_METADATA_DISABLED"] = "true"  # where it would look for keys, patiently
        for attempt in range(RAY_ATTEMPTS):
            log = self.folder / f"{name}-{attempt}.log"
            node = self.stack.enter_context(daemon(command, log, **variables))
            wait_until(partial(_has_begun, node, log), f"node {name} does not start")
            if node.poll() is None:
                break
        assert node.poll() is None, log.read_text()
        self.nodes[name] = node

    def runs(self, name: str, folder: Path) -> bool:
        """Whether a process of a node works in a folder."""
        for process in psutil.Process(self.nodes[name].pid).children(recursive=True):
            with suppress(psutil.Error):
                if Path(process.cwd()).is_relative_to(folder):
                    return True
        return False

    def kill(self, name: str) -> None:
        """Kill all that runs on a node at once, as a power cut does."""
        for process in psutil.Process(self.nodes.pop(name).pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                process.kill()


def _has_begun(node: subprocess.Popen[bytes], log: Path) -> bool:
    """Whether a node is there, or has given up."""
    return node.poll() is not None or b"Ray runtime started" in log.read_bytes()


@contextmanager
def ray_cluster(folder: Path) -> Iterator[RayCluster]:
    """A Ray cluster with two nodes, `a` and `b`."""
    with ExitStack() as stack:
        cluster = RayCluster(folder, stack)
        for name in ("head", "a", "b"):
            cluster.start(name)
        yield cluster


SLURM_CONF = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
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
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
MailProg=/bin/true
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 RealMemory=16000 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
PartitionName=warned Nodes=ALL GraceTime=60 State=UP
PartitionName=urgent Nodes=ALL PriorityTier=10 State=UP
"""
"""Jobs of `urgent` preempt the others; those of `warned` are sent the signal that they ask for."""
SLURM = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "scontrol")


@contextmanager
def slurm(folder: Path) -> Iterator[Path]:
    """A Slurm of one node that is said to have four processors; yields its slurm.conf."""
    lacking = [name for name in SLURM if shutil.which(name) is None]
    assert not lacking, f"apt-get install slurm-wlm munge: there is no {', '.join(lacking)}"
    conf = folder / "slurm.conf"
    (folder / "state").mkdir()
    (folder / "spool").mkdir()
    ports = free_port(), free_port()
    conf.write_text(
        SLURM_CONF.format(
            host=socket.gethostname(), folder=folder, ports=ports, user=getpass.getuser()
        )
    )
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
        idle, variables = ("srun", "--immediate=2", "true"), environment(SLURM_CONF=str(conf))
        wait_until(
            lambda: subprocess.run(idle, env=variables, capture_output=True).returncode == 0,
            "Slurm runs nothing",
        )
        yield conf


@contextmanager
def s3_bucket() -> Iterator[str]:
    """A server that speaks S3 and has a bucket of the name `bucket`; yields its address."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    try:
        endpoint = "http://{}:{}".format(*server.get_host_and_port())
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", **keys)
        client.create_bucket(Bucket="bucket")
        yield endpoint
    finally:
        server.stop()
