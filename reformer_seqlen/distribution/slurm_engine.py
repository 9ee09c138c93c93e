"""The engine of a Slurm cluster whose nodes share this folder: a job for each stage.

All jobs are submitted at once, each with `--dependency=afterok` on what it needs: they go on when
nobody watches them. `--workers N` are N names of jobs: of one name Slurm runs one at a time
(`singleton`), each in the clone of that number.
"""

import json
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from reformer_seqlen.distribution.footprint import Footprint
from reformer_seqlen.distribution.worker import LANE, WARNING_SECONDS
from reformer_seqlen.pipeline.dag import Needs
from reformer_seqlen.pipeline.schedule import Begun, Ended, Event, Said
from reformer_seqlen.runtime.errors import StudyError

RUNS = ("RUNNING", "COMPLETING")
GONE = "GONE"
"""Of a job that Slurm has forgotten, as it does some minutes after its end."""
ENDED = (
    "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY",
    "PREEMPTED", "REVOKED", "TIMEOUT", GONE,
)  # fmt: skip
LOOK_SECONDS = 3.0
"""How often Slurm is asked for the states of jobs: each time costs its controller something."""
IMMEDIATE_SECONDS = 60
TIME_FACTOR, LEAST_MINUTES = 3, 10
"""A job may take three times as long as its stage takes here, and ten minutes at least."""
BUSY = "nodes are busy|Immediate execution impossible"
"""What srun says where it would have to wait."""
MIB = 1 << 20


class Jobs:
    """Submits a job for each stage.

    Args:
        at_once: how many run at a time.
        clones: the folder of clones.
        gres: what a job asks for whose stage uses a GPU, as in `gpu:1`; None without GPUs.
        options: more options of sbatch, as in `--partition=long`; they win over ours.
    """

    holds_back = True

    def __init__(self, at_once: int, clones: str, gres: str | None, options: Sequence[str]) -> None:
        self.at_once, self.gres, self.options = at_once, gres, list(options)
        self.clones = Path(clones).expanduser().absolute()
        study = sha256(str(self.clones).encode()).hexdigest()[:8]
        self.lanes = [f"reformer-seqlen-{study}-{number}" for number in range(1, at_once + 1)]
        self.free = [0.0] * at_once
        self.done: dict[str, float] = {}
        self.jobs: dict[str, str] = {}
        self.begun: set[str] = set()
        self.read: dict[str, int] = {}
        self.looked = 0.0

    @property
    def gpus(self) -> bool:
        """Whether there are GPUs."""
        return self.gres is not None

    def try_out(self, parcel: Path) -> list[dict[str, Any]]:
        """What the worker's program says of a node; nothing if none is free at once."""
        try:
            said = _ask(
                "srun", "--quiet", f"--immediate={IMMEDIATE_SECONDS}", "--ntasks=1", "--time=10",
                f"--mem={Footprint().memory_bytes // MIB}M", f"--job-name={self.lanes[0]}-try",
                *self.options, *self._program(parcel),
            )  # fmt: skip
        except StudyError as error:
            if re.search(BUSY, str(error)):
                return []
            raise
        return [json.loads(said)]

    def _program(self, parcel: Path) -> list[str]:
        return [sys.executable, "-u", str(parcel / "worker.py"), str(parcel), str(self.clones)]

    def refused(self, footprints: Mapping[str, Footprint]) -> list[str]:
        """What sbatch says of stages that can never run there, once for those that ask alike."""
        alike = {tuple(self._resources(each)): name for name, each in footprints.items()}
        problems = []
        for resources, name in alike.items():
            try:
                _ask("sbatch", "--test-only", *resources, *self.options, "--wrap=true")
            except StudyError as error:
                problems.append(f"{name}: {error}")
        return problems

    def ready(self, parcel: Path, footprints: Mapping[str, Footprint], needs: Needs) -> None:
        """Take what workers read, and look for jobs that an earlier call has left in the queue."""
        self.parcel, self.footprints, self.needs = parcel, footprints, needs
        (parcel / "jobs").mkdir(exist_ok=True)
        self.known = parcel / "jobs.txt"
        self.known.touch()
        active = {job for job, state in self._states().items() if state not in ENDED}
        before = [line.split(" ") for line in self.known.read_text(encoding="utf-8").splitlines()]
        self.left = {name: job for job, name in before if job in active}

    def start(self, name: str) -> None:
        """Submit a job, unless it is in the queue already."""
        if name not in self.left:
            self.left[name] = self._submit(name)
            with self.known.open("a", encoding="utf-8") as file:
                file.write(f"{self.left[name]} {name}\n")
        self.jobs[name] = self.left[name]
        log = self._file(name, "log")
        self.read[name] = log.stat().st_size if log.exists() else 0

    def _submit(self, name: str) -> str:
        lane = self._lane(name)
        # Slurm forgets jobs some minutes after their end, and refuses to wait for them.
        after = [self.jobs[other] for other in self.needs[name] if not self._is_finished(other)]
        order = ["singleton", *([f"afterok:{':'.join(after)}"] if after else [])]
        options = [
            f"--job-name={self.lanes[lane]}",
            f"--comment={name}",
            f"--output={self._file(name, 'log')}",
            "--open-mode=append",
            f"--dependency={','.join(order)}",
            "--kill-on-invalid-dep=yes",
            "--requeue",
            f"--signal=B:TERM@{WARNING_SECONDS}",
            f"--export=ALL,{LANE}={lane + 1}",
            *self._resources(self.footprints[name]),
            *self.options,
        ]
        lines = [f"#SBATCH {shlex.quote(option)}" for option in options]
        command = f"exec {shlex.join([*self._program(self.parcel), name])}"
        script = self._file(name, "sh")
        script.write_text("\n".join(["#!/bin/sh", *lines, command, ""]), encoding="utf-8")
        return _ask("sbatch", "--parsable", str(script)).strip().partition(";")[0]

    def _resources(self, needed: Footprint) -> list[str]:
        time_limit = [] if needed.seconds is None else [f"--time={minutes(needed.seconds)}"]
        gres = [f"--gres={self.gres}"] if needed.gpus else []
        memory = f"--mem={needed.memory_bytes // MIB}M"
        return [f"--cpus-per-task={needed.threads}", memory, *time_limit, *gres]

    def _lane(self, name: str) -> int:
        """The lane in which a stage can start first, by what is expected of those before it."""
        possible = max((self.done.get(other, 0.0) for other in self.needs[name]), default=0.0)
        lane = min(range(self.at_once), key=lambda each: max(self.free[each], possible))
        seconds = self.footprints[name].seconds or 0.0
        self.free[lane] = self.done[name] = max(self.free[lane], possible) + seconds
        return lane

    def _file(self, name: str, kind: str) -> Path:
        """The script of a job, `sh`, or the `log` into which it prints."""
        return self.parcel / "jobs" / f"{name}.{kind}"

    def _states(self) -> dict[str, str]:
        """The state of each of our jobs, those that ended a few minutes ago included."""
        listed = _ask(
            "squeue", "--me", "--noheader", "--states=all", f"--name={','.join(self.lanes)}",
            "--format=%i %T",
        )  # fmt: skip
        return dict(line.split() for line in listed.splitlines())

    def events(self, seconds: float) -> Iterator[Event]:
        """What jobs have printed, and which have ended."""
        wait = self.looked + LOOK_SECONDS - time.monotonic()
        time.sleep(max(0.0, min(seconds, wait)))
        if wait > seconds:
            return
        self.looked = time.monotonic()
        try:
            states = self._states()
        except StudyError:  # the controller is busy or restarts
            return
        for name, job in list(self.jobs.items()):
            state, printed = states.get(job, GONE), self._printed(name)
            if name not in self.begun and (state in RUNS or printed):
                self.begun.add(name)
                yield Begun(name)
            for line in printed:
                yield Said(name, line)
            if state in ENDED:
                status = self._status(name)
                del self.jobs[name]
                if status:
                    yield Said(
                        name, f"Slurm says {state}; all it printed: {self._file(name, 'log')}"
                    )
                yield Ended(name, status)

    def _printed(self, name: str) -> list[str]:
        """The lines that a job has printed since the last look."""
        log = self._file(name, "log")
        if not log.exists():
            return []
        with log.open("rb") as file:
            file.seek(self.read[name])
            whole, newline, _ = file.read().rpartition(b"\n")
        self.read[name] += len(whole) + len(newline)
        return whole.decode(errors="replace").splitlines()

    def _status(self, name: str) -> int | None:
        """Whether a job has done what it was to do: then its stage's part of dvc.lock is there."""
        until = time.monotonic() + 2 * LOOK_SECONDS  # a shared disk may show it late
        while name in self.begun and time.monotonic() < until:
            if self._is_finished(name):
                return 0
            time.sleep(0.2)
        return 1 if name in self.begun else None

    def _is_finished(self, name: str) -> bool:
        return (self.parcel / "locks" / f"{name}.json").exists()

    def stop(self, error: BaseException) -> None:
        """Cancel all jobs that have not ended."""
        if self.jobs:
            with suppress(StudyError):
                _ask("scancel", "--quiet", *self.jobs.values())


def minutes(seconds: float) -> int:
    """The time limit of a job, whose stage takes so long here."""
    return max(LEAST_MINUTES, round(TIME_FACTOR * seconds / 60))


def _ask(*command: str) -> str:
    """What one of Slurm's commands answers.

    Raises:
        StudyError: it refuses.
    """
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise StudyError(f"this machine has no `{command[0]}`: Slurm is not set up here") from None
    if done.returncode:
        raise StudyError(f"`{command[0]}` failed: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout
