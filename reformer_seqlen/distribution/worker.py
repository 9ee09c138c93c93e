"""What runs on a worker of `reformer-seqlen distribute`: one stage, in a clone of the worker's own.

    python worker.py PARCEL CLONES          try out what stages will need, say it as JSON
    python worker.py PARCEL CLONES STAGE    compute a stage, push it, write its part of dvc.lock

Until there is a clone, nothing but Python's library and the installed packages is here: this file
is sent with the parcel (see `parcel`), and imports nothing of the project.
"""

import ctypes
import fcntl
import json
import os
import platform
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NoReturn

ORDER, CODE, LOCK, LOCKS = "order.json", "code.bundle", "dvc.lock.json", "locks"
"""A parcel's files: the order, the commit, the collector's dvc.lock, and what stages add to it."""
LANE = "REFORMER_SEQLEN_LANE"
"""The number of the clone to take; the first that is free if it is not set."""
WARNING_SECONDS = 60
"""So long before its time is over, a job of Slurm is sent SIGTERM."""
MOST_RESTARTS = 100
WORK = "work"
PR_SET_PDEATHSIG = 1  # Linux's prctl(2)
KEPT = ("/.dvc", f"/{WORK}", "__pycache__")


def environment() -> dict[str, str]:
    """Of DVC and its stages: this Python is their `python`, and lines are printed at once."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    own = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    return {"PYTHONIOENCODING": ":replace", **own, "PATH": path, "PYTHONUNBUFFERED": "1"}


def differences(versions: Mapping[str, str]) -> list[str]:
    """How this Python and its packages differ from the collector's; a build's suffix may."""
    found = {}
    for name in versions:
        with suppress(PackageNotFoundError):
            found[name] = version(name).partition("+")[0]
    found["python"] = ".".join(platform.python_version_tuple()[:2])
    return [
        f"{name} is {found.get(name, 'not installed')}, {wanted} is wanted"
        for name, wanted in versions.items()
        if found.get(name) != wanted
    ]


@contextmanager
def own_clone(clones: Path) -> Iterator[Path]:
    """A clone's folder that no other worker uses meanwhile.

    DVC inherits the lock, so that it holds for as long as a process works there.
    """
    clones.mkdir(parents=True, exist_ok=True)
    lane = os.environ.get(LANE)
    number = int(lane or 1)
    while True:
        lock = os.open(clones / f"{number}.lock", os.O_CREAT | os.O_RDWR)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if lane else fcntl.LOCK_NB))
            break
        except BlockingIOError:
            os.close(lock)
            number += 1
    os.set_inheritable(lock, True)
    try:
        yield clones / str(number)
    finally:
        os.close(lock)


def check_out(clone: Path, parcel: Path, order: Mapping[str, Any]) -> None:
    """Make the clone what the collector has committed, with its remote, and without results.

    Its DVC cache stays. What is interrupted leaves its checkpoints in a folder that all clones
    here share, so that any worker goes on from them.
    """
    if not (clone / ".git").exists():
        _run("git", "init", "--quiet", str(clone))
    if order["shallow"]:
        (clone / ".git/shallow").write_text(order["shallow"], encoding="utf-8")
    _git(clone, "fetch", "--quiet", "--force", str(parcel / CODE), "HEAD")
    _git(clone, "checkout", "--quiet", "--force", "--detach", order["commit"])
    _git(clone, "clean", "-ffdxq", *(f"--exclude={name}" for name in KEPT))
    # What a killed DVC has locked. No DVC works here now, but another process may have its number.
    (clone / ".dvc/tmp/rwlock").unlink(missing_ok=True)
    shared = clone.parent / WORK
    shared.mkdir(exist_ok=True)
    with suppress(FileExistsError):
        (clone / WORK).symlink_to(Path("..") / WORK)
    config = clone / ".dvc/config.local"
    config.touch(mode=0o600)
    config.write_text(order["config"], encoding="utf-8")


def known_stages(parcel: Path) -> dict[str, Any]:
    """What dvc.lock says of each stage: the collector's, or that of the worker that finished it."""
    stages: dict[str, Any] = json.loads((parcel / LOCK).read_text(encoding="utf-8"))
    for path in (parcel / LOCKS).glob("*.json"):
        stages[path.stem] = json.loads(path.read_text(encoding="utf-8"))
    return stages


def compute(stage: str, parcel: Path, clone: Path) -> None:
    """Run a stage, unless the remote has its results; push them; write its part of dvc.lock."""
    lock = clone / "dvc.lock"
    # JSON is YAML, too.
    lock.write_text(json.dumps({"schema": "2.0", "stages": known_stages(parcel)}), encoding="utf-8")
    _dvc(clone, "repro", "--pull", "--single-item", stage)
    _dvc(clone, "push", "--quiet", "--run-cache", stage)
    from ruamel.yaml import YAML

    entry = YAML(typ="safe").load(lock)["stages"][stage]
    target = parcel / LOCKS / f"{stage}.json"
    partial = target.with_suffix(f".{os.getpid()}.partial")
    partial.write_text(json.dumps(entry), encoding="utf-8")
    partial.rename(target)


def try_out(parcel: Path, clones: Path) -> dict[str, Any]:
    """What this machine is, and why stages can't run on it."""
    order = _order(parcel)
    problems = differences(order["versions"])
    if order["mark"] and not problems:
        with own_clone(clones) as clone:
            try:
                check_out(clone, parcel, order)
                reach(clone, order["mark"])
            except (OSError, subprocess.CalledProcessError) as error:
                problems.append(str(error))
            except Exception as error:  # every library of a remote has its own
                problems.append(f"it does not reach the remote: {type(error).__name__}: {error}")
    return {"node": platform.node(), "processor": _processor(), "problems": problems}


def reach(clone: Path, mark: Mapping[str, str], *, leave: bool = False) -> None:
    """Read from the remote what the collector has left there, and write to it.

    Args:
        clone: a folder whose DVC knows the remote.
        mark: the name of a file in it, and the text.
        leave: whether to be the one that leaves it.
    """
    from dvc.repo import Repo

    with Repo(str(clone)) as repo:
        remote = repo.cloud.get_remote_odb(hash_name="md5-dos2unix")
        path = remote.fs.join(remote.path, mark["name"])
        own = path if leave else f"{path}-{platform.node()}-{os.getpid()}"
        remote.fs.makedirs(remote.path, exist_ok=True)
        if not leave and not remote.fs.exists(path):
            raise FileNotFoundError(f"{remote.path} is not the remote here, but something else")
        remote.fs.pipe_file(own, mark["text"].encode())
        if not leave:
            remote.fs.remove(own)


def _processor() -> str:
    with suppress(OSError):
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
        if found := re.search(r"^model name\s*: (.*)$", text, re.MULTILINE):
            return found[1]
    return platform.machine()


def _order(parcel: Path) -> dict[str, Any]:
    order: dict[str, Any] = json.loads((parcel / ORDER).read_text(encoding="utf-8"))
    return order


def _git(clone: Path, *arguments: str) -> None:
    _run("git", "-C", str(clone), *arguments)


def _run(*command: str) -> None:
    """Run a command that says nothing if it succeeds.

    Raises:
        OSError: it has failed.
    """
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"`{' '.join(command[:6])}` failed: {done.stderr.strip()}")


def _dvc(clone: Path, *arguments: str) -> None:
    """Run DVC; a signal that asks this process to end is passed on to the stage, as Ctrl-C.

    Once: Slurm may send SIGTERM to every process of a job, and at a second signal a stage ends
    without a checkpoint. So DVC and its stages ignore SIGTERM. Ray has its processes block Ctrl-C.
    """
    import psutil

    told: list[int] = []
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "dvc", *arguments],
        cwd=clone,
        env=environment(),
        stdin=subprocess.DEVNULL,
        close_fds=False,
        preexec_fn=_heed_ctrl_c_alone,
    )

    def pass_on(number: int, _: Any) -> None:
        told.append(number)
        with suppress(psutil.Error):
            dvc = psutil.Process(process.pid)
            for each in dvc.children(recursive=True) or [dvc] if len(told) == 1 else []:
                with suppress(psutil.Error):
                    each.send_signal(signal.SIGINT)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, pass_on)
    if process.wait():
        if told:
            requeue()
        sys.exit(f"`dvc {' '.join(arguments)}` failed on {platform.node()}")


def _heed_ctrl_c_alone() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])


def requeue() -> None:
    """Have Slurm start this job again that was told to end while it counts as running.

    So it is before the end of its time, and where a cluster warns of preemption. A job that is
    cancelled, or that Slurm starts again by itself, does not count as running any more.
    """
    job = os.environ.get("SLURM_JOB_ID")
    if job is None or int(os.environ.get("SLURM_RESTART_COUNT", "0")) >= MOST_RESTARTS:
        return
    state = ["squeue", "--noheader", f"--jobs={job}", "--format=%T"]
    if subprocess.run(state, capture_output=True, text=True, check=False).stdout == "RUNNING\n":
        print("its time here is over: it is queued again, to go on", flush=True)
        subprocess.run(["scontrol", "requeue", job], check=False)  # noqa: S607


def end_with_parent() -> None:
    """Have SIGTERM sent to this process when the one that started it is gone."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def main() -> NoReturn:
    """Do what the command line says."""
    end_with_parent()
    parcel, clones = Path(sys.argv[1]).absolute(), Path(sys.argv[2]).expanduser().absolute()
    if len(sys.argv) == 3:
        print(json.dumps(try_out(parcel, clones)))
        sys.exit(0)
    order, stage = _order(parcel), sys.argv[3]
    if problems := differences(order["versions"]):
        sys.exit(f"error: {platform.node()} has other versions: {'; '.join(problems)}")
    with own_clone(clones) as clone:
        check_out(clone, parcel, order)
        compute(stage, parcel, clone)
    sys.exit(0)


if __name__ == "__main__":
    main()
