"""`reformer-seqlen distribute`: real clusters of this machine, real clones, real remotes."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from reformer_seqlen.commands import parcel
from reformer_seqlen.commands.distribute import Cluster, among, submit
from reformer_seqlen.commands.footprint import GIB, Footprint
from reformer_seqlen.commands.repro import DvcProgress
from reformer_seqlen.runtime.errors import StudyError
from tests.cluster_example import (
    commit,
    counting_repository,
    free_port,
    needs_ray,
    needs_slurm,
    ray_cluster,
    slurm,
    times_run,
)
from tests.conftest import Project, stages_run
from tests.dvc_example import NEEDS, dvc_repository

pytestmark = pytest.mark.slow

SMALL = {name: Footprint(memory_bytes=GIB // 4, seconds=1.0) for name in NEEDS}


@pytest.fixture(
    params=[pytest.param("ray", marks=needs_ray), pytest.param("slurm", marks=needs_slurm)],
)
def cluster(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Cluster]:
    """Two workers, of a Ray cluster of two nodes or a Slurm of one."""
    folder = tmp_path / "cluster"
    folder.mkdir()
    clones = str(tmp_path / "clones")
    if request.param == "slurm":
        from reformer_seqlen.commands.slurm_engine import Jobs

        with slurm(folder) as conf:
            monkeypatch.setenv("SLURM_CONF", str(conf))
            yield Jobs(2, clones, None, [])
        return
    import ray

    from reformer_seqlen.commands.ray_engine import Tasks

    with ray_cluster(folder, 2) as (address, _):
        monkeypatch.setenv("RAY_ADDRESS", address)
        yield Tasks(2, clones)
        ray.shutdown()


def _distribute(cluster: Cluster) -> tuple[list[str], list[str]]:
    """Run the small repository's stages; return those that failed, and those that were computed."""
    remote = parcel.default_remote()
    folder = parcel.parcel_folder(remote)
    parcel.pack(folder, remote)
    assert parcel.leave_mark(folder) is None
    assert [node["problems"] for node in cluster.try_out(folder)] in ([[]], [[], []])
    needs = among(NEEDS, set(NEEDS) - parcel.finished(folder))
    progress = DvcProgress(needs, {}, {}, 2)
    with closing(progress):
        failed = submit(cluster, needs, folder, SMALL, progress)
    parcel.take_in(folder, parcel.finished(folder))
    return failed, progress.ran


def test_every_stage_runs_once_and_the_collector_computes_nothing(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = counting_repository(tmp_path / "study", str(tmp_path / "remote"))
    monkeypatch.chdir(project.root)
    failed, ran = _distribute(cluster)
    assert (failed, sorted(ran)) == ([], sorted(NEEDS))
    assert times_run(project.root) == dict.fromkeys(NEEDS, 1)
    assert stages_run(project.dvc("repro", "--pull")) == []
    assert (project.root / "joined.txt").read_text() == "x\ny\n"
    assert times_run(project.root) == dict.fromkeys(NEEDS, 1)


def _change(project: Project, a: str) -> None:
    pipeline = (project.root / "dvc.yaml").read_text()
    config = (project.root / ".dvc/config").read_text()
    dvc_repository(project.root, a=a)
    (project.root / "dvc.yaml").write_text(pipeline)
    (project.root / ".dvc/config").write_text(config)
    commit(project)


def test_a_failed_stage_stops_what_needs_it_and_a_mended_one_goes_on(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = counting_repository(tmp_path / "study", str(tmp_path / "remote"), a="fail")
    monkeypatch.chdir(project.root)
    failed, _ = _distribute(cluster)
    assert failed == ["check@a"]
    once = {"write@a": 1, "write@b": 1, "check@a": 1, "check@b": 1}
    assert times_run(project.root) == once
    _change(project, a="mended")
    failed, ran = _distribute(cluster)
    assert (failed, ran) == ([], ["write@a", "check@a", "join"])
    assert times_run(project.root) == {**once, "write@a": 2, "check@a": 2, "join": 1}


@needs_ray
def test_an_address_where_nobody_listens_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from reformer_seqlen.commands.ray_engine import Tasks

    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{free_port()}")
    with pytest.raises(StudyError, match="no Ray cluster answers there"):
        Tasks(2, "clones")
