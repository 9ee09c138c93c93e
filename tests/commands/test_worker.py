"""A worker's own program, in clones of its own, through a folder and through a server of S3."""

import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from reformer_seqlen.commands import parcel
from tests.cluster_example import counting_repository, times_run
from tests.conftest import stages_run
from tests.dvc_example import NEEDS

pytestmark = pytest.mark.slow

needs_s3 = pytest.mark.skipif(
    find_spec("moto") is None or find_spec("dvc_s3") is None,
    reason="no moto or dvc-s3: pip install -r requirements-distribute.lock",
)


@pytest.fixture(params=["folder", pytest.param("s3", marks=needs_s3)])
def remote(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[str, str | None]]:
    """A remote's address, and that of its server."""
    if request.param == "folder":
        yield str(tmp_path / "remote"), None
        return
    import boto3
    from moto.server import ThreadedMotoServer

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    try:
        endpoint = "http://{}:{}".format(*server.get_host_and_port())
        boto3.client("s3", endpoint_url=endpoint).create_bucket(Bucket="bucket")
        yield "s3://bucket/study", endpoint
    finally:
        server.stop()


def test_two_workers_compute_each_stage_once_and_the_collector_none(
    remote: tuple[str, str | None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, endpoint = remote
    project = counting_repository(tmp_path / "study", address)
    monkeypatch.chdir(project.root)
    if endpoint is not None:
        project.dvc("remote", "modify", "--quiet", "--local", "storage", "endpointurl", endpoint)
    folder = tmp_path / "parcel"
    parcel.pack(folder, parcel.default_remote())
    assert parcel.leave_mark(folder) is None
    program = (sys.executable, str(folder / "worker.py"), str(folder), str(tmp_path / "clones"))
    assert '"problems": []' in project.run(*program)
    for number, name in enumerate(NEEDS):
        project.run(*program, name, REFORMER_SEQLEN_LANE=str(1 + number % 2))
    assert times_run(project.root) == dict.fromkeys(NEEDS, 1)
    parcel.take_in(folder, parcel.finished(folder))
    assert stages_run(project.dvc("repro", "--pull")) == []
    assert (project.root / "joined.txt").read_text() == "x\ny\n"
    # And what the remote has, another collector's workers do not compute again.
    again = tmp_path / "again"
    parcel.pack(again, parcel.default_remote())
    (again / "dvc.lock.json").write_text("{}")
    program = (sys.executable, str(folder / "worker.py"), str(again), str(tmp_path / "others"))
    assert "is cached - skipping run" in project.run(*program, "write@a")
    assert times_run(project.root) == dict.fromkeys(NEEDS, 1)
