"""The engine of a Ray cluster: a task for each stage, on any node that has room for it."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import IO, Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from reformer_seqlen.distribution.footprint import GIB, Footprint
from reformer_seqlen.pipeline.dag import Needs
from reformer_seqlen.pipeline.schedule import Begun, Ended, Event, Said
from reformer_seqlen.runtime.errors import StudyError
from reformer_seqlen.runtime.files import whole_file

RETRIES = 3
"""How often a task is started again whose node is gone. A stage that fails is not."""
LOOK_SECONDS = 0.2
TRY_SECONDS = 300
STOP_SECONDS = 30
CONNECT_SECONDS = 10


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


@contextmanager
def program(parcel: Mapping[str, bytes], clones: str) -> Iterator[tuple[Path, list[str]]]:
    """The worker's own program on a node, which may not have this project.

    Args:
        parcel: the files of a parcel, by their paths in it.
        clones: where workers of the node have their clones.

    Yields:
        the unpacked parcel, and the command.
    """
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "locks").mkdir()
        for path, content in parcel.items():
            (folder / path).write_bytes(content)
        yield folder, [sys.executable, "-u", str(folder / "worker.py"), str(folder), clones]


def try_node(parcel: Mapping[str, bytes], clones: str) -> str:
    """What the worker's program says of its node, as JSON; else why it can't."""
    with program(parcel, clones) as (folder, command):
        done = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
        return done.stdout if done.returncode == 0 else done.stderr


def pass_on(output: IO[str], stage: str, lines: Any) -> None:
    """Tell an actor of each line that a stage prints."""
    for line in output:
        ray.get(lines.put.remote(stage, line.rstrip("\n")))


def work(
    parcel: Mapping[str, bytes], added: Mapping[str, bytes], clones: str, stage: str, lines: Any
) -> str | None:
    """Compute a stage; return what the worker adds to dvc.lock, as JSON, or None if it failed.

    Args:
        parcel: the files of a parcel, by their paths in it.
        added: what the stages that it needs have added to it.
        clones: where workers of the node have their clones.
        stage: to compute.
        lines: the actor that is told of the beginning and of each line.
    """
    ray.get(lines.put.remote(stage, None))
    with program({**parcel, **added}, clones) as (folder, command):
        process = subprocess.Popen(
            [*command, stage],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            cwd=folder,
        )
        assert process.stdout is not None
        listener = Thread(target=pass_on, args=(process.stdout, stage, lines), daemon=True)
        listener.start()
        try:
            # Ray cancels by an interrupt that ends no system call, so none may last.
            while process.poll() is None:
                time.sleep(LOOK_SECONDS)
        except BaseException:
            process.terminate()  # which it passes on to the stage
            process.wait()
            raise
        listener.join()
        return (
            None
            if process.returncode
            else (folder / f"locks/{stage}.json").read_text(encoding="utf-8")
        )


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
        clones: the folder of clones on each node.

    Raises:
        StudyError: there is no cluster at RAY_ADDRESS, or one of other versions.
    """

    holds_back = False

    def __init__(self, at_once: int, clones: str) -> None:
        self.at_once, self.clones = at_once, clones
        # Nodes may lack this module, or have another version of it.
        ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
        _connect()
        # Here, since it must outlive the nodes that do the work.
        here = _on_node(ray.get_runtime_context().get_node_id())
        self.lines = ray.remote(Lines).options(num_cpus=0, scheduling_strategy=here).remote()
        self.running: dict[Any, str] = {}

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
        """What the worker's program says of each node.

        Raises:
            StudyError: there is none.
        """
        files = ray.put(_files(parcel))
        asked = {
            node: ray.remote(try_node)
            .options(num_cpus=0, scheduling_strategy=_on_node(node.identity))
            .remote(files, self.clones)
            for node in self.nodes()
        }
        said = []
        for node, answer in asked.items():
            printed = ""
            try:
                printed = ray.get(answer, timeout=TRY_SECONDS)
                said.append(json.loads(printed))
            except ray.exceptions.TaskUnschedulableError:
                continue  # the node is gone
            except (ray.exceptions.RayError, ValueError) as error:
                problem = " ".join((printed or str(error)).split())[-300:]
                said.append({"node": node.name, "processor": "?", "problems": [problem]})
        if not said:
            raise StudyError("the Ray cluster has no node")
        return said

    def refused(self, footprints: Mapping[str, Footprint]) -> list[str]:
        """The stages for which no node is large enough: their tasks would wait for ever."""
        nodes = self.nodes()
        return [
            f"{name} needs {each.threads} CPUs, {each.memory_bytes / GIB:.1f} GiB of memory"
            f" and {each.gpus} GPUs, and no node of the Ray cluster has that"
            for name, each in footprints.items()
            if not any(
                node.cpus >= each.threads
                and node.memory_bytes >= each.memory_bytes
                and node.gpus >= each.gpus
                for node in nodes
            )
        ]

    def ready(self, parcel: Path, footprints: Mapping[str, Footprint], needs: Needs) -> None:
        """Take what is to be sent to workers."""
        self.parcel, self.footprints, self.needs = parcel, footprints, needs
        self.sent = ray.put(_files(parcel))

    def start(self, name: str) -> None:
        """Give Ray a task, with what those that it needs have added to dvc.lock."""
        needed = self.footprints[name]
        locks = [self._lock(other) for other in self.needs[name]]
        added = {f"locks/{path.name}": path.read_bytes() for path in locks}
        task = (
            ray.remote(work)
            .options(
                name=name,
                num_cpus=needed.threads,
                num_gpus=needed.gpus,
                memory=needed.memory_bytes,
                max_retries=RETRIES,
            )
            .remote(self.sent, added, self.clones, name, self.lines)
        )
        self.running[task] = name

    def _lock(self, name: str) -> Path:
        return self.parcel / f"locks/{name}.json"

    def events(self, seconds: float) -> Iterator[Event]:
        """What tasks have printed, and which have ended."""
        done, _ = ray.wait(list(self.running), timeout=min(seconds, LOOK_SECONDS))
        for stage, line in ray.get(self.lines.take.remote()):
            yield Begun(stage) if line is None else Said(stage, line)
        for task in done:
            name = self.running.pop(task)
            try:
                added = ray.get(task)
            except ray.exceptions.RayError as error:
                yield Said(name, " ".join(str(error).split())[-500:])
                added = None
            if added is not None:
                with whole_file(self._lock(name)) as path:
                    path.write_text(added, encoding="utf-8")
            yield Ended(name, 1 if added is None else 0)

    def stop(self, error: BaseException) -> None:
        """Cancel all tasks; those that run end with their stages."""
        left = list(self.running)
        for task in left:
            with suppress(ray.exceptions.RayError, TypeError):
                ray.cancel(task)
        if left:
            ray.wait(left, num_returns=len(left), timeout=STOP_SECONDS)


def _connect() -> None:
    """Connect to the cluster of RAY_ADDRESS, or start one here.

    Raises:
        StudyError: nobody listens there, where Ray would try for ever; or Ray refuses.
    """
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    address = os.environ.get("RAY_ADDRESS")
    if not address:
        ray.init(address="local", include_dashboard=False, **quiet)
        return
    host, _, port = address.rpartition(":")
    try:
        if host and port.isdecimal():
            socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
        ray.init(address=address, **quiet)
    except (OSError, RuntimeError, ValueError) as error:
        raise StudyError(
            f"RAY_ADDRESS is {address}, and no Ray cluster answers there that this environment can "
            f"use ({error}): start one with `ray start --head`, or unset RAY_ADDRESS to have one "
            "started here"
        ) from error


def _on_node(identity: str) -> NodeAffinitySchedulingStrategy:
    return NodeAffinitySchedulingStrategy(identity, soft=False)


def _files(parcel: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in parcel.iterdir() if path.is_file()}
