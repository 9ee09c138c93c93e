"""The engine of a Ray cluster: a task for each stage, on any node that has room for it."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread
from typing import Any

import ray

from reformer_seqlen.commands.dag import Needs
from reformer_seqlen.commands.footprint import Footprint
from reformer_seqlen.commands.schedule import Begun, Ended, Events, Said
from reformer_seqlen.runtime.errors import StudyError
from reformer_seqlen.runtime.files import whole_file

CLONES = "~/.cache/reformer-seqlen/workers"
RETRIES = 3
"""How often a task is started again whose node is gone. A stage that fails is not."""
WAIT_SECONDS = 0.2
TRY_SECONDS = 300
CONNECT_SECONDS = 10
GIB = 1 << 30


class Lines:
    """The actor to which tasks send what they print: pairs of a stage and a line or None."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str | None]] = []

    def put(self, stage: str, line: str | None) -> None:
        """Keep a line until it is taken; None says that the stage runs now."""
        self.lines.append((stage, line))

    def take(self) -> list[tuple[str, str | None]]:
        """What has come since this was called last."""
        taken, self.lines = self.lines, []
        return taken


def work(
    parcel: Mapping[str, bytes], clones: str, stage: str | None, told: Callable[[str | None], None]
) -> str | None:
    """Run the worker's own program on a node, which may not have this project.

    Args:
        parcel: the files of a parcel, by their paths in it.
        clones: where workers of the node have their clones.
        stage: to compute; None to try the node out.
        told: is told of each line, and of the beginning by None.

    Returns:
        what the worker adds to dvc.lock, or what it says of its node, as JSON; None if it failed.
    """
    told(None)
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "locks").mkdir()
        for path, content in parcel.items():
            (folder / path).write_bytes(content)
        arguments = [str(folder), clones, *([] if stage is None else [stage])]
        process = subprocess.Popen(
            [sys.executable, "-u", str(folder / "worker.py"), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if stage is None else subprocess.STDOUT,
            text=True,
            errors="replace",
            cwd=folder,
        )
        assert process.stdout is not None
        try:
            if stage is None:
                printed, problems = process.communicate()
                return printed if printed and not process.returncode else problems
            for line in process.stdout:
                told(line.rstrip("\n"))
            if process.wait():
                return None
        except BaseException:
            process.terminate()  # which it passes on to the stage
            process.wait()
            raise
        return (folder / "locks" / f"{stage}.json").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Node:
    """A node of the cluster, and what it has."""

    identity: str
    name: str
    cpus: float
    gpus: float
    memory_bytes: float


class Tasks:
    """Runs a task for each stage.

    Args:
        at_once: how many run at a time.
        clones: the folder of clones on each node; None for one in the home folder.
    """

    holds_back = False

    def __init__(self, at_once: int, clones: str | None) -> None:
        self.at_once, self.clones = at_once, clones or CLONES
        # Nodes may lack this module, or have another version of it.
        ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
        address = os.environ.get("RAY_ADDRESS")
        if address:
            _check_listening(address)
            ray.init(address=address, **quiet)
        else:
            ray.init(address="local", include_dashboard=False, **quiet)
        self.lines = ray.remote(num_cpus=0)(Lines).remote()
        self.running: dict[Any, str] = {}
        self.listener: Thread | None = None
        self.stopped = Event()

    @property
    def gpus(self) -> bool:
        """Whether there are GPUs."""
        return any(node.gpus for node in self.nodes())

    def nodes(self) -> list[Node]:
        """The nodes that are there now."""
        return [
            Node(
                identity=node["NodeID"],
                name=node["NodeManagerHostname"],
                cpus=node["Resources"].get("CPU", 0),
                gpus=node["Resources"].get("GPU", 0),
                memory_bytes=node["Resources"].get("memory", 0),
            )
            for node in ray.nodes()
            if node["Alive"]
        ]

    def try_out(self, parcel: Path) -> list[dict[str, Any]]:
        """What the worker's program says of each node."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        files = ray.put(_files(parcel))
        nodes = self.nodes()
        asked = [
            ray.remote(work)
            .options(
                num_cpus=0,
                scheduling_strategy=NodeAffinitySchedulingStrategy(node.identity, soft=False),
            )
            .remote(files, self.clones, None, _tell_nobody)
            for node in nodes
        ]
        said = []
        for node, answer in zip(nodes, asked, strict=True):
            try:
                said.append(json.loads(ray.get(answer, timeout=TRY_SECONDS)))
            except (ray.exceptions.RayError, ValueError) as error:
                problem = " ".join(str(error).split())[-300:]
                said.append({"node": node.name, "processor": "?", "problems": [problem]})
        return said

    def refused(self, footprints: Mapping[str, Footprint]) -> list[str]:
        """The stages for which no node is large enough: their tasks would wait for ever."""
        nodes = self.nodes()
        return [
            f"{name} needs {each.threads} CPUs, {each.memory_bytes / GIB:.1f} GiB of memory"
            f"{' and a GPU' * each.gpu}, and no node of the Ray cluster has that"
            for name, each in footprints.items()
            if not any(
                node.cpus >= each.threads
                and node.memory_bytes >= each.memory_bytes
                and node.gpus >= each.gpu
                for node in nodes
            )
        ]

    def ready(self, parcel: Path, footprints: Mapping[str, Footprint], _: Needs) -> None:
        """Take what is to be sent to workers."""
        self.parcel, self.footprints = parcel, footprints
        self.listener, self.stopped = None, Event()
        self.sent = ray.put(_files(parcel))

    def start(self, name: str, events: Events) -> None:
        """Give Ray a task, with what stages before have added to dvc.lock."""
        needed = self.footprints[name]
        added = {
            f"locks/{path.name}": path.read_bytes() for path in self.parcel.glob("locks/*.json")
        }
        task = (
            ray.remote(_with_added)
            .options(
                name=name,
                num_cpus=needed.threads,
                num_gpus=int(needed.gpu),
                memory=needed.memory_bytes,
                max_retries=RETRIES,
            )
            .remote(self.sent, added, self.clones, name, self.lines)
        )
        self.running[task] = name
        if self.listener is None:
            self.listener = Thread(target=self._listen, args=(events,), daemon=True)
            self.listener.start()

    def _listen(self, events: Events) -> None:
        """Tell of tasks until they are stopped."""
        while not self.stopped.wait(0 if self.running else WAIT_SECONDS):
            tasks = list(self.running)
            done, _ = ray.wait(tasks, timeout=WAIT_SECONDS) if tasks else ([], [])
            for stage, line in ray.get(self.lines.take.remote()):
                events.put(Begun(stage) if line is None else Said(stage, line))
            for task in done:
                name = self.running[task]
                try:
                    added = ray.get(task)
                except ray.exceptions.RayError as error:
                    events.put(Said(name, " ".join(str(error).split())[-500:]))
                    added = None
                if added is not None:
                    with whole_file(self.parcel / f"locks/{name}.json") as path:
                        path.write_text(added, encoding="utf-8")
                del self.running[task]
                events.put(Ended(name, 1 if added is None else 0))

    def stop(self, error: BaseException | None) -> None:
        """Cancel all tasks; those that run end with their stages."""
        self.stopped.set()
        if self.listener is not None:
            self.listener.join()
        left = list(self.running)
        for task in left:
            with suppress(ray.exceptions.RayError, TypeError):
                ray.cancel(task)
        ray.wait(left, num_returns=len(left), timeout=30) if left else None


def _check_listening(address: str) -> None:
    """Refuse an address where nobody listens: Ray would try it for ever.

    Raises:
        StudyError: it is one.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        return
    try:
        socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
    except OSError as error:
        raise StudyError(
            f"RAY_ADDRESS is {address}, and no Ray cluster answers there ({error}): start one with "
            "`ray start --head`, or unset RAY_ADDRESS to have one started here"
        ) from error


def _with_added(
    parcel: Mapping[str, bytes], added: Mapping[str, bytes], clones: str, stage: str, lines: Any
) -> str | None:
    def told(line: str | None) -> None:
        ray.get(lines.put.remote(stage, line))

    return work({**parcel, **added}, clones, stage, told)


def _tell_nobody(_: str | None) -> None:
    pass


def _files(parcel: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in parcel.iterdir() if path.is_file()}
