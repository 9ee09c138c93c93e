"""The cluster that computes a study: connected to, tried out, and refused what can't work there."""

from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from reformer_seqlen.distribution import parcel as parcels
from reformer_seqlen.distribution.footprint import Footprint
from reformer_seqlen.distribution.parcel import Remote
from reformer_seqlen.pipeline.dag import Needs
from reformer_seqlen.pipeline.schedule import Engine
from reformer_seqlen.runtime.errors import StudyError


class Cluster(Engine, Protocol):
    """An engine of machines that are tried out before."""

    @property
    def gpus(self) -> bool:
        """Whether there are GPUs."""

    def try_out(self, parcel: Path) -> list[dict[str, Any]]:
        """For each node that can be asked now: `node`, `processor` and `problems`."""

    def refused(self, footprints: Mapping[str, Footprint]) -> list[str]:
        """Why stages can never run there."""

    def ready(self, parcel: Path, footprints: Mapping[str, Footprint], needs: Needs) -> None:
        """What is to be sent, and what `start` will be asked for."""


def connect(given: Namespace, remote: Path) -> Cluster:
    """The cluster that the command line names.

    Args:
        given: the command line.
        remote: a folder here that is another one for another remote.

    Raises:
        StudyError: it is not there.
    """
    if given.engine == "slurm":
        from reformer_seqlen.distribution.slurm_engine import Jobs

        return Jobs(given.workers, given.clones or str(remote / "clones"), given.gres, given.sbatch)
    try:
        from reformer_seqlen.distribution.ray_engine import Tasks
    except ModuleNotFoundError as error:
        if error.name != "ray":
            raise
        raise StudyError(
            "`--engine ray` needs the Python package ray, here and on all nodes: "
            'pip install "ray>=2.60,<3"'
        ) from error
    return Tasks(given.workers, given.clones or f"~/.cache/reformer-seqlen/{remote.name}")


def problems_here(remote: Remote | None) -> list[str]:
    """What keeps this folder's study from being computed elsewhere."""
    found = []
    if remote is None:
        found.append(
            "DVC has no default remote, through which workers get and give results: "
            "`dvc remote add --default storage s3://bucket/path`, or a folder that all machines see"
        )
    elif remote.url.startswith(("http://", "https://")):
        found.append(f"the remote {remote.url} keeps no run-cache: take one that is not HTTP")
    changed, _ = parcels.uncommitted()
    if changed:
        found.append(
            f"workers compute the last commit, and these files differ from it: {some(changed)}: "
            "`git add` and `git commit` them, or `git stash --include-untracked`"
        )
    return found


def some(names: list[str], most: int = 5) -> str:
    """A list of names, its end left out if it is long."""
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest


def refuse(problems: list[str]) -> None:
    """Refuse to begin.

    Raises:
        StudyError: there are problems; all of them in one message.
    """
    if problems:
        lines = "\n".join(f"- {problem}" for problem in problems)
        raise StudyError(f"nothing was submitted:\n{lines}")


def ready_cluster(
    given: Namespace, folder: Path, remote: Remote | None
) -> tuple[Cluster, list[dict[str, Any]]]:
    """Pack a parcel, and try it out on the cluster's nodes; return these and what each says.

    Raises:
        StudyError: something keeps the study from being computed there.
    """
    problems, nodes, cluster = problems_here(remote), list[dict[str, Any]](), None
    parcels.pack(folder, remote)
    if remote is not None and (refusal := parcels.leave_mark(folder)):
        problems.append(f"the remote {remote.url} can't be reached from here: {refusal}")
    try:
        cluster = connect(given, folder.parent)
        nodes = cluster.try_out(folder)
    except StudyError as error:
        problems.append(str(error))
    problems += [f"{node['node']}: {problem}" for node in nodes for problem in node["problems"]]
    refuse(problems)
    assert cluster is not None
    return cluster, nodes
