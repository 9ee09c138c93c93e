"""`distribute --engine ray`: a cluster of several nodes, each with clones of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import ray

from reformer_seqlen.distribution.ray_engine import Tasks
from reformer_seqlen.runtime.errors import StudyError
from tests.clusters.counting import each_stage_runs_once
from tests.clusters.machines import RayCluster, free_port, ray_cluster, s3_bucket, wait_until
from tests.clusters.studies import (
    STAGE,
    command,
    has_checkpoint,
    new_clone,
    press_ctrl_c,
    runs_in,
    same_results,
    started,
    wait_for_checkpoint,
    without_training,
)
from tests.conftest import Project
from tests.counting_example import commit, counting_repository

pytestmark = pytest.mark.slow

CLONES = ".cache/reformer-seqlen"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayCluster]:
    """A head, and two nodes."""
    with ray_cluster(tmp_path_factory.mktemp("ray")) as cluster:
        yield cluster


def test_each_stage_runs_once(
    cluster: RayCluster, remote: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = counting_repository(tmp_path / "study", remote, a="fail")
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    try:
        each_stage_runs_once(Tasks(2, f"~/{CLONES}/counting"), project, monkeypatch)
    finally:
        ray.shutdown()
    homes = [cluster.home(name) / CLONES / "counting/1" for name in ("a", "b")]
    assert all((home / "params.yaml").exists() for home in homes)


def test_an_address_where_nobody_listens_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{free_port()}")
    with pytest.raises(StudyError, match="no Ray cluster answers there"):
        Tasks(2, "clones")


def s3_remote(project: Project, endpoint: str) -> None:
    """Add a remote on S3, without keys."""
    project.dvc("remote", "add", "--quiet", "--default", "storage", "s3://bucket/study")
    for key, value in (("endpointurl", endpoint), ("region", "us-east-1")):
        project.dvc("remote", "modify", "--quiet", "storage", key, value)


def test_what_cannot_work_is_refused_in_one_message(
    cluster: RayCluster, one_machine: Project, tmp_path: Path
) -> None:
    """Here, keys of the remote that only this machine has, and a node of other versions."""
    old = tmp_path / "old/tabulate-0.1.dist-info/METADATA"
    old.parent.mkdir(parents=True)
    old.write_text("Name: tabulate\nVersion: 0.1\n")
    cluster.start("old", PYTHONPATH=str(old.parent.parent))
    project = new_clone(one_machine, tmp_path / "study")
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    with s3_bucket() as endpoint:
        s3_remote(project, endpoint)
        printed = project.run(*command("ray"), succeed=False, RAY_ADDRESS=cluster.address, **keys)
    cluster.kill("old")
    _, _, refused = printed.partition("error: nothing was submitted:\n")
    own, *nodes = sorted(refused.splitlines(), key=lambda line: "these files differ" not in line)
    assert own.startswith(
        "- workers compute the last commit, and these files differ from it: .dvc/config: `git add`"
    )
    assert sum("it does not reach the remote: NoCredentialsError" in line for line in nodes) == 3
    [versions] = [line for line in nodes if "tabulate is 0.1, " in line]
    assert versions.endswith(" is wanted")


def test_the_whole_study_is_that_of_one_machine_though_a_node_dies(
    cluster: RayCluster, one_machine: Project, tmp_path: Path
) -> None:
    """In the middle of a training, which begins again on the other node; the remote is on S3."""
    project, log = new_clone(one_machine, tmp_path / "study"), tmp_path / "log"
    with s3_bucket() as endpoint:
        s3_remote(project, endpoint)
        commit(project)
        for key in ("access_key_id", "secret_access_key"):
            project.dvc("remote", "modify", "--quiet", "--local", "storage", key, "test")
        with started(project, log, "ray", RAY_ADDRESS=cluster.address) as process:
            homes = {name: cluster.home(name) / CLONES for name in ("a", "b")}

            def trains(name: str) -> bool:
                return any(has_checkpoint(clones) for clones in homes[name].glob("*"))

            wait_until(
                lambda: process.poll() is not None or trains("a") or trains("b"), "no checkpoint"
            )
            assert process.poll() is None, log.read_text()
            cluster.kill("a" if trains("a") else "b")
            assert process.wait() == 0, log.read_text()
    printed = log.read_text()
    assert "12 stages ran on workers, report here" in printed
    assert f"{STAGE}: going on from update" not in printed
    assert same_results(project, one_machine)


def test_a_dead_nodes_training_goes_on_where_clones_are_on_a_shared_disk(
    cluster: RayCluster, one_machine: Project, remote: str, tmp_path: Path
) -> None:
    survivor = next(name for name in ("a", "b") if name in cluster.nodes)
    cluster.start("c")
    project, log = without_training(one_machine, tmp_path / "study", remote), tmp_path / "log"
    clones = tmp_path / "clones"
    arguments = ("ray", "--clones", str(clones), STAGE)
    with started(project, log, *arguments, RAY_ADDRESS=cluster.address) as process:
        wait_for_checkpoint(clones, process, log)
        cluster.kill(survivor if cluster.runs(survivor, clones) else "c")
        assert process.wait() == 0, log.read_text()
    assert f"{STAGE}: going on from update" in log.read_text()
    assert same_results(project, one_machine)


def test_ctrl_c_leaves_a_checkpoint_and_the_same_command_goes_on(
    one_machine: Project, remote: str, tmp_path: Path
) -> None:
    """On a cluster that the command starts here."""
    project, log = without_training(one_machine, tmp_path / "study", remote), tmp_path / "log"
    clones = tmp_path / "clones"
    arguments = ("ray", "--clones", str(clones))
    with started(project, log, *arguments) as process:
        wait_for_checkpoint(clones, process, log)
        press_ctrl_c(process, log)
        assert "interrupted: run the same command again" in log.read_text()
        wait_until(lambda: not runs_in(clones), "a worker still runs")
    printed = project.run(*command(*arguments))
    assert f"{STAGE}: going on from update" in printed
    assert "1 stage ran on workers, report here" in printed
    assert same_results(project, one_machine)
    assert "nothing to do: all stages are up to date" in project.run(*command(*arguments))
