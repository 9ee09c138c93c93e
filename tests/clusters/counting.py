"""The counting repository on a cluster: each stage once, a failure in between, and mended."""

from contextlib import closing

import pytest

from reformer_seqlen.commands.distribute import submit
from reformer_seqlen.commands.repro import DvcProgress
from reformer_seqlen.distribution import parcel
from reformer_seqlen.distribution.cluster import Cluster
from reformer_seqlen.distribution.footprint import GIB, Footprint
from reformer_seqlen.pipeline.dag import among
from tests.conftest import Project, stages_run
from tests.counting_example import commit, times_run
from tests.dvc_example import NEEDS, dvc_repository

SMALL = {name: Footprint(memory_bytes=GIB // 4, seconds=1.0) for name in NEEDS}


def each_stage_runs_once(
    cluster: Cluster, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run a repository whose stage `check@a` fails, mend it, and run the rest; count."""
    monkeypatch.chdir(project.root)
    assert _submit(cluster) == (["check@a"], ["check@a", "check@b", "write@a", "write@b"])
    once = {"write@a": 1, "write@b": 1, "check@a": 1, "check@b": 1}
    assert times_run(project.root) == once
    _change(project, a="mended")
    assert _submit(cluster) == ([], ["check@a", "join", "write@a"])
    all_times = {**once, "write@a": 2, "check@a": 2, "join": 1}
    assert times_run(project.root) == all_times
    # The collector computes nothing.
    assert stages_run(project.dvc("repro", "--pull")) == []
    assert (project.root / "joined.txt").read_text() == "mended\ny\n"
    assert times_run(project.root) == all_times


def _submit(cluster: Cluster) -> tuple[list[str], list[str]]:
    """Run all stages that are not finished; those that failed, and those that were computed."""
    remote = parcel.default_remote()
    folder = parcel.parcel_folder(remote)
    parcel.pack(folder, remote)
    assert parcel.leave_mark(folder) is None
    assert not [problem for node in cluster.try_out(folder) for problem in node["problems"]]
    needs = among(NEEDS, set(NEEDS) - parcel.finished(folder))
    progress = DvcProgress(needs, {}, {}, 2)
    with closing(progress):
        failed = submit(cluster, needs, folder, SMALL, progress)
    parcel.take_in(folder, parcel.finished(folder))
    return failed, sorted(progress.ran)


def _change(project: Project, a: str) -> None:
    kept = [project.root / name for name in ("dvc.yaml", ".dvc/config")]
    texts = [path.read_text() for path in kept]
    dvc_repository(project.root, a=a)
    for path, text in zip(kept, texts, strict=True):
        path.write_text(text)
    commit(project)
