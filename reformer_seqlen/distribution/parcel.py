"""What `reformer-seqlen distribute` sends to its workers, and what it asks of this folder before.

A parcel is a folder: the commit as a git bundle, dvc.lock as it is here, the remote's settings, and
the file `worker`, which unpacks it. Workers add to it what they have written into their dvc.lock.
"""

import json
import re
import secrets
import shutil
import sys
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from reformer_seqlen.checking import head
from reformer_seqlen.distribution import worker
from reformer_seqlen.pipeline.dag import ask
from reformer_seqlen.runtime.errors import StudyError
from reformer_seqlen.runtime.files import whole_file
from reformer_seqlen.runtime.git import git
from reformer_seqlen.runtime.paths import METRICS, PLOTS, README, RESULTS, WORK

LOCK = Path("dvc.lock")
WRITTEN = tuple(str(path) for path in (LOCK, METRICS, PLOTS, RESULTS, README))
"""What a study writes into its own git repository: workers need none of it as it is here."""
PARCELS = WORK / "distribute"
MARK = "reformer-seqlen-distribute"


@dataclass(frozen=True)
class Remote:
    """DVC's default remote.

    Attributes:
        url: where it is.
        settings: of all of DVC's files of settings, by key.
    """

    name: str
    url: str
    settings: Mapping[str, str]

    def config(self) -> str:
        """The settings, as a `.dvc/config.local`."""
        own = f"remote.{self.name}."
        lines = [
            f"    {key.removeprefix(own)} = {value}"
            for key, value in self.settings.items()
            if key.startswith(own)
        ]
        return "\n".join(
            ["[core]", f"    remote = {self.name}", f"['remote \"{self.name}\"']", *lines, ""]
        )


def default_remote() -> Remote | None:
    """The remote that DVC pushes to, relative paths made absolute; None if there is none."""
    lines = [line.partition("=") for line in ask("config", "--list").splitlines()]
    settings = {key: value for key, _, value in lines}
    name = settings.get("core.remote")
    url = settings.get(f"remote.{name}.url")
    return Remote(name, url, settings) if name and url else None


def uncommitted() -> tuple[list[str], list[str]]:
    """The files that differ from the last commit: those that workers need, and others."""
    command = ["status", "--porcelain", "-z", "--untracked-files=all", "--no-renames"]
    listed = _said_by_git(*command).split("\0")
    files = [line[3:] for line in listed if line]
    written = [name for name in files if name.split("/")[0] in WRITTEN]
    return sorted(set(files) - set(written)), written


def commit() -> str:
    """The last commit.

    Raises:
        StudyError: there is none, or git refuses to say.
    """
    found = head.commit()
    if found is None:
        raise StudyError(
            "nothing is committed here, and workers compute a commit: "
            "`git add --all && git commit --message study`"
        )
    return found


def _said_by_git(*arguments: str) -> str:
    done = git(*arguments)
    if done.returncode:
        raise StudyError(f"`git {' '.join(arguments)}` failed:\n{done.stderr.strip()}")
    return done.stdout


def versions(remote: Remote | None) -> dict[str, str]:
    """Python's and those of the packages that stages may use, without a build's suffix."""
    asked = requires("reformer-seqlen") or []
    needed = "\n".join(text for text in asked if "extra" not in text or "study" in text)
    names = re.findall(r"^[\w.-]+", needed, re.MULTILINE)
    if remote and "://" in remote.url:
        names.append(f"dvc-{remote.url.partition('://')[0]}")
    found = {"python": f"{sys.version_info.major}.{sys.version_info.minor}"}
    for name in names:
        with suppress(PackageNotFoundError):
            found[name] = version(name).partition("+")[0]
    return found


def parcel_folder(remote: Remote | None) -> Path:
    """The folder of a parcel: another one for another commit or remote."""
    where = sha256((remote.url if remote else "").encode()).hexdigest()[:6]
    return (PARCELS / where / commit()[:12]).absolute()


def pack(folder: Path, remote: Remote | None) -> None:
    """Make a parcel; what workers have added to the folder stays."""
    (folder / worker.LOCKS).mkdir(parents=True, exist_ok=True)
    shutil.copyfile(worker.__file__, folder / "worker.py")
    _said_by_git("bundle", "create", "--quiet", str(folder / worker.CODE), "HEAD")
    where = _said_by_git("rev-parse", "--git-path", "shallow")
    shallow = Path(where.strip())  # a clone without all of its history has this file
    mark = {"name": f"{MARK}-{secrets.token_hex(4)}", "text": secrets.token_hex(16)}
    order = {
        "commit": commit(),
        "shallow": shallow.read_text(encoding="utf-8") if shallow.exists() else "",
        "config": remote.config() if remote else "",
        "versions": versions(remote),
        "mark": mark if remote else None,
    }
    with whole_file(folder / worker.ORDER) as path:
        path.touch(mode=0o600)  # settings of a remote may hold a password
        path.write_text(json.dumps(order), encoding="utf-8")
    write_lock(folder)


def leave_mark(folder: Path) -> str | None:
    """Leave a parcel's mark in the remote, by which workers know it; return what went wrong."""
    order = json.loads((folder / worker.ORDER).read_text(encoding="utf-8"))
    try:
        worker.reach(Path.cwd(), order["mark"], leave=True)
    except Exception as error:  # every library of a remote has its own
        return f"{type(error).__name__}: {error}"
    return None


def push(names: Collection[str]) -> None:
    """Push what is here of results, so that workers have it; DVC passes over what is not here."""
    if names:
        ask("push", "--quiet", "--run-cache", *sorted(names))


def write_lock(folder: Path) -> None:
    """Put dvc.lock, as it is now, into a parcel."""
    stages = _read(LOCK)["stages"] if LOCK.exists() else {}
    with whole_file(folder / worker.LOCK) as path:
        path.write_text(json.dumps(stages), encoding="utf-8")


def finished(folder: Path) -> set[str]:
    """The stages that workers have finished and pushed."""
    return {path.stem for path in (folder / worker.LOCKS).glob("*.json")}


def take_in(folder: Path, stages: Collection[str]) -> None:
    """Write into dvc.lock what workers have written into theirs of these stages."""
    yaml = YAML()
    yaml.default_flow_style = False
    lock: Any = yaml.load(LOCK) if LOCK.exists() else {"schema": "2.0", "stages": {}}
    for name in sorted(stages):
        text = (folder / worker.LOCKS / f"{name}.json").read_text(encoding="utf-8")
        lock["stages"][name] = json.loads(text)
    with whole_file(LOCK) as path:
        yaml.dump(lock, path)


def clean(folder: Path) -> None:
    """Remove what nobody needs after the last stage; what jobs have printed stays."""
    for name in (worker.ORDER, worker.CODE, worker.LOCK):
        (folder / name).unlink(missing_ok=True)


def _read(path: Path) -> Any:
    return YAML(typ="safe").load(path)
