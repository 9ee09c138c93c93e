"""Run what is stale of the study on many machines, with an engine that they already have.

    reformer-seqlen distribute --engine ray --workers 8
    reformer-seqlen distribute --engine slurm --workers 9 --gres gpu:1 --sbatch=--partition=long

Each worker has a clone of its own at the last commit, and takes and leaves results in DVC's remote.
First it is said what will run where, and refused what can't work. After Ctrl-C, or when what was
wrong is mended, the same command goes on: what is finished is not computed again.
docs/more-machines.md tells how to set machines up.
"""

import shlex
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from reformer_seqlen.commands import repro
from reformer_seqlen.commands.repro import (
    DvcProgress,
    add_stages,
    alone_in_folder,
    check_models,
    failure,
    nothing_to_do,
    one_after_another,
    stages_ran,
    study_progress,
)
from reformer_seqlen.distribution import parcel as parcels
from reformer_seqlen.distribution.cluster import Cluster, ready_cluster, refuse, some
from reformer_seqlen.distribution.division import Division, divide
from reformer_seqlen.distribution.footprint import Footprint, footprints
from reformer_seqlen.distribution.footprint_table import expected_seconds, table
from reformer_seqlen.distribution.parcel import Remote
from reformer_seqlen.parameters.study import Study, load_study
from reformer_seqlen.pipeline.dag import Needs, among, environment, selected
from reformer_seqlen.pipeline.progress import last_runtimes
from reformer_seqlen.pipeline.schedule import run_all
from reformer_seqlen.runtime.errors import StudyError
from reformer_seqlen.runtime.interrupts import ended_by_sigterm
from reformer_seqlen.runtime.progress import duration


def say(
    remote: Remote,
    nodes: list[dict[str, Any]],
    division: Division,
    found: Mapping[str, Footprint],
    workers: int,
) -> None:
    """Say what workers get, what they are, and which stages will run where."""
    _, written = parcels.uncommitted()
    print(f"commit {parcels.commit()[:12]}, remote `{remote.name}`: {remote.url}")
    if written:
        print(f"not committed, and not sent, since the study writes it: {some(written)}")
    if division.finished:
        print(f"finished by workers before: {some(sorted(division.finished))}")
    names = sorted({node["node"] for node in nodes})
    print(f"tried out: {', '.join(names) or 'no node is free now, each job tries its own first'}")
    processors = sorted({node["processor"] for node in nodes})
    if len(processors) > 1:
        print(f"warning: other processors, other last digits: {', '.join(processors)}")
    print(table(found, division.here, f"{workers} workers"))
    total = expected_seconds(among(division.needs, division.there), found, workers)
    at_best = "unknown" if total is None else f"{duration(total)} at best"
    print(f"on {workers} workers: {at_best}", flush=True)


def distribute(given: Namespace, params: Study, again: str) -> str:
    """Run what is stale; return what was done, in words.

    Raises:
        StudyError: nothing was submitted; or stages failed.
    """
    remote = parcels.default_remote()
    folder = parcels.parcel_folder(remote)
    division = divide(given.stages, params, parcels.finished(folder))
    if not division.wanted:
        return nothing_to_do(division.unasked)
    ran = on_workers(given, params, division, folder, remote, again) if division.there else []
    parcels.take_in(folder, parcels.finished(folder) & division.wanted)
    options = ["--pull"] if remote else []
    own = _run_here(params, division.wanted, division.needs, again, *options)
    parcels.clean(folder)
    return f"{stages_ran(len(set(ran)))} on workers, {', '.join(own) or 'none'} here"


def on_workers(
    given: Namespace,
    params: Study,
    division: Division,
    folder: Path,
    remote: Remote | None,
    again: str,
) -> list[str]:
    """Run what workers are to run, and before it here what that needs; return what they computed.

    Raises:
        StudyError: nothing was submitted; or stages failed.
    """
    cluster, nodes = ready_cluster(given, folder, remote)
    assert remote is not None
    check_models(params, division.there)
    found = {
        name: each.on(cluster.gpus)
        for name, each in footprints(params, division.here | division.there).items()
    }
    refuse(cluster.refused({name: found[name] for name in division.there}))
    say(remote, nodes, division, found, given.workers)
    parcels.take_in(folder, division.finished)
    _run_here(params, division.here, division.needs, again)
    parcels.push(selected(division.there, division.needs))
    # Jobs that an earlier call has left may have ended meanwhile.
    needs = among(division.needs, division.there - parcels.finished(folder))
    seconds = {name: each.seconds or 0.0 for name, each in found.items()}
    progress = study_progress(params, needs, seconds, max(2, given.workers))
    with closing(progress), ended_by_sigterm():
        failed = submit(cluster, needs, folder, found, progress)
    if failed:
        parcels.take_in(folder, parcels.finished(folder) & division.wanted)
        raise StudyError(failure(failed, division.needs, again))
    return progress.ran


def submit(
    cluster: Cluster,
    needs: Needs,
    folder: Path,
    found: Mapping[str, Footprint],
    progress: DvcProgress,
) -> list[str]:
    """Run stages on workers; return those that failed.

    Args:
        cluster: gives them to workers.
        needs: of the stages, what they need of each other; what else they need is in the remote.
        folder: of the parcel, to which is added what workers find.
        found: what each stage takes.
        progress: is told of everything that happens.
    """
    parcels.write_lock(folder)
    cluster.ready(folder, found, needs)
    return run_all(needs, cluster, lambda name: found[name].seconds or 0.0, progress)


def _run_here(params: Study, names: set[str], needs: Needs, again: str, *options: str) -> list[str]:
    """Run stages in this folder, one after another; return those that DVC had to compute.

    Raises:
        StudyError: one has failed.
    """
    progress = study_progress(params, names, last_runtimes(), 1)
    with closing(progress), ended_by_sigterm():
        failed = one_after_another(among(needs, names), progress, environment(), *options)
    if failed:
        raise StudyError(failure(failed, needs, again))
    return progress.ran


def add_arguments(parser: ArgumentParser) -> None:
    """The command line."""
    add_stages(parser)
    parser.add_argument(
        "--engine",
        required=True,
        choices=["ray", "slurm", "local"],
        help="ray: a task a stage, on the cluster of RAY_ADDRESS, without that on one that is "
        "started here; slurm: a job a stage; local: side by side in this folder, as `make repro "
        "JOBS=N`",
    )
    parser.add_argument(
        "--workers", required=True, type=int, metavar="N", help="how many stages run at a time"
    )
    parser.add_argument(
        "--clones",
        metavar="FOLDER",
        help="where workers have their clones; of a shared disk, one worker goes on from another's "
        "checkpoint (default: ray: in ~/.cache/reformer-seqlen of each node; slurm: in "
        "work/distribute)",
    )
    parser.add_argument(
        "--gres",
        metavar="GRES",
        help="slurm: what stages that train and score ask for, such as `gpu:1` (default: no GPU)",
    )
    parser.add_argument(
        "--sbatch",
        action="append",
        default=[],
        metavar="=OPTION",
        help="slurm: an option of sbatch, may be given again: --sbatch=--partition=long",
    )


def run(given: Namespace) -> None:
    """Run the study, then print its results."""
    if given.workers < 1:
        raise StudyError(f"--workers is {given.workers}: give a number of at least 1")
    if given.engine != "slurm" and (given.gres or given.sbatch):
        raise StudyError("--gres and --sbatch are Slurm's: add --engine slurm")
    if given.engine == "local":
        if given.clones:
            raise StudyError("--clones has no effect on --engine local, which runs in this folder")
        repro.run(Namespace(stages=given.stages, jobs=given.workers, profile=None))
        return
    began, params = time.monotonic(), load_study()
    with alone_in_folder(params):
        done = distribute(given, params, f"reformer-seqlen {shlex.join(sys.argv[1:])}")
    repro.print_tables(given.stages)
    print(f"{done}, {duration(time.monotonic() - began)} in all")
