"""The engine of a Slurm cluster whose nodes share this folder: a job for each stage.

All jobs are submitted at once, each with `--dependency=afterok` on what it needs: they go on when
nobody watches them. `--workers N` are N names of jobs: of one name Slurm runs one at a time
(`singleton`), each in the clone of that number.
"""

import json
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from threading import Event, Thread
from typing import Any

from reformer_seqlen.commands.dag import Needs
from reformer_seqlen.commands.footprint import Footprint
from reformer_seqlen.commands.schedule import Begun, Ended, Events, Said
from reformer_seqlen.commands.worker import LANE
from reformer_seqlen.runtime.errors import StudyError
from reformer_seqlen.runtime.paths import WORK

CLONES = WORK / "distribute/clones"
RUNS = ("RUNNING", "COMPLETING")
WAITS = (
    "PENDING",
    "CONFIGURING",
    "REQUEUED",
    "REQUEUE_HOLD",
    "REQUEUE_FED",
    "SUSPENDED",
    "STOPPED",
)
LOOK_SECONDS = 2.0
IMMEDIATE_SECONDS = 60
TIME_FACTOR, LEAST_MINUTES = 3, 10
"""A job may take three times as long as its stage takes here, and ten minutes at least."""
WARNING_SECONDS = 60
"""So long before its time is over, a job is sent SIGTERM."""
MIB = 1 << 20


class Jobs:
    """Submits a job for each stage.

    Args:
        at_once: how many run at a time.
        clones: the folder of clones; None for one in the work folder.
        gres: what a job asks for whose stage uses a GPU, as in `gpu:1`; None without GPUs.
        options: more options of sbatch, as in `--partition=long`.
    """

    holds_back = True

    def __init__(
        self, at_once: int, clones: str | None, gres: str | None, options: Sequence[str]
    ) -> None:
        self.at_once, self.gres, self.options = at_once, gres, list(options)
        self.clones = Path(clones or CLONES).expanduser().absolute()
        study = sha256(str(self.clones).encode()).hexdigest()[:8]
        self.lanes = [f"reformer-seqlen-{study}-{number}" for number in range(1, at_once + 1)]
        self.free = [0.0] * at_once
        self.done: dict[str, float] = {}
        self.jobs: dict[str, str] = {}
        self.listener: Thread | None = None
        self.stopped = Event()

    @property
    def gpus(self) -> bool:
        """Whether there are GPUs."""
        return self.gres is not None

    def try_out(self, parcel: Path) -> list[dict[str, Any]]:
        """What the worker's program says of a node; nothing if none is free at once."""
        try:
            said = _ask(
                "srun", "--quiet", f"--immediate={IMMEDIATE_SECONDS}", "--ntasks=1", "--time=10",
                f"--job-name={self.lanes[0]}-try", *self.options, *self._program(parcel),
            )  # fmt: skip
        except StudyError as error:
            if "Unable to allocate resources" in str(error):
                return []
            raise
        return [json.loads(said)]

    def _program(self, parcel: Path) -> list[str]:
        return [sys.executable, "-u", str(parcel / "worker.py"), str(parcel), str(self.clones)]

    def refused(self, footprints: Mapping[str, Footprint]) -> list[str]:
        """Nothing: sbatch refuses what no partition has."""
        return []

    def ready(self, parcel: Path, footprints: Mapping[str, Footprint], needs: Needs) -> None:
        """Take what workers read, and look for jobs that an earlier call has left in the queue."""
        self.parcel, self.footprints, self.needs = parcel, footprints, needs
        self.jobs, self.listener, self.stopped = {}, None, Event()
        (parcel / "jobs").mkdir(exist_ok=True)
        self.known = parcel / "jobs.txt"
        self.known.touch()
        active = {job for job, state in self._states().items() if state in (*RUNS, *WAITS)}
        before = [line.split(" ") for line in self.known.read_text(encoding="utf-8").splitlines()]
        self.left = {name: job for job, name in before if job in active}

    def start(self, name: str, events: Events) -> None:
        """Submit a job, unless it is in the queue already."""
        if name not in self.left:
            self.left[name] = self._submit(name)
            with self.known.open("a", encoding="utf-8") as file:
                file.write(f"{self.left[name]} {name}\n")
        self.jobs[name] = self.left[name]
        if self.listener is None:
            self.listener = Thread(target=self._listen, args=(events,), daemon=True)
            self.listener.start()

    def _submit(self, name: str) -> str:
        lane = self._lane(name)
        needed = self.footprints[name]
        # Slurm forgets jobs some minutes after their end, and refuses to wait for them.
        after = [self.jobs[other] for other in self.needs[name] if not self._is_finished(other)]
        order = ["singleton", *([f"afterok:{':'.join(after)}"] if after else [])]
        command = f"exec {shlex.join([*self._program(self.parcel), name])}"
        options = [
            f"--job-name={self.lanes[lane]}",
            f"--comment={name}",
            f"--output={self.log(name)}",
            "--open-mode=append",
            f"--dependency={','.join(order)}",
            "--kill-on-invalid-dep=yes",
            "--requeue",
            f"--signal=B:TERM@{WARNING_SECONDS}",
            f"--export=ALL,{LANE}={lane + 1}",
            f"--cpus-per-task={needed.threads}",
            f"--mem={needed.memory_bytes // MIB}M",
        ]
        if needed.seconds is not None:
            options.append(f"--time={minutes(needed.seconds)}")
        if needed.gpu:
            options.append(f"--gres={self.gres}")
        answer = _ask("sbatch", "--parsable", *options, *self.options, "--wrap", command)
        return answer.strip().partition(";")[0]

    def _lane(self, name: str) -> int:
        """The lane in which a stage can start first, by what is expected of those before it."""
        possible = max((self.done.get(other, 0.0) for other in self.needs[name]), default=0.0)
        lane = min(range(self.at_once), key=lambda each: max(self.free[each], possible))
        seconds = self.footprints[name].seconds or 0.0
        self.free[lane] = self.done[name] = max(self.free[lane], possible) + seconds
        return lane

    def log(self, name: str) -> Path:
        """The file into which a job prints."""
        return self.parcel / "jobs" / f"{name}.log"

    def _states(self) -> dict[str, str]:
        """The state of each of our jobs, those that ended a few minutes ago included."""
        listed = _ask(
            "squeue", "--me", "--noheader", "--states=all", f"--name={','.join(self.lanes)}",
            "--format=%i %T",
        )  # fmt: skip
        return dict(line.split() for line in listed.splitlines())

    def _listen(self, events: Events) -> None:
        """Tell of jobs until they are stopped."""
        begun: set[str] = set()
        ended: set[str] = set()
        read: dict[str, int] = {}
        while not self.stopped.wait(LOOK_SECONDS):
            submitted = dict(self.jobs)
            try:
                states = self._states()
            except StudyError:  # the controller is busy or restarts
                continue
            for name in submitted.keys() - ended:
                state = states.get(submitted[name], "gone")
                if state not in WAITS and self.log(name).exists():
                    if name not in begun:
                        begun.add(name)
                        events.put(Begun(name))
                    self._pass_on(name, read, events)
                if state not in (*RUNS, *WAITS):
                    ended.add(name)
                    events.put(Ended(name, self._status(name, name in begun)))

    def _pass_on(self, name: str, read: dict[str, int], events: Events) -> None:
        """Tell of the lines that a job has printed since the last look."""
        with self.log(name).open("rb") as file:
            file.seek(read.get(name, 0))
            whole, newline, _ = file.read().rpartition(b"\n")
        read[name] = read.get(name, 0) + len(whole) + len(newline)
        for line in whole.decode(errors="replace").splitlines():
            events.put(Said(name, line))

    def _status(self, name: str, ran: bool) -> int | None:
        """Whether a job has done what it was to do: then its stage's part of dvc.lock is there."""
        until = time.monotonic() + 2 * LOOK_SECONDS  # a shared disk may show it late
        while ran and time.monotonic() < until:
            if self._is_finished(name):
                return 0
            time.sleep(0.2)
        return 1 if ran else None

    def _is_finished(self, name: str) -> bool:
        return (self.parcel / "locks" / f"{name}.json").exists()

    def stop(self, error: BaseException | None) -> None:
        """Cancel all jobs."""
        self.stopped.set()
        if self.listener is not None:
            self.listener.join()
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
