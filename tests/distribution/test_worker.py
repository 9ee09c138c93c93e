"""A worker's own program, in clones of its own."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from reformer_seqlen.distribution import parcel
from reformer_seqlen.runtime.files import read_json, sha256_of, write_json
from tests.conftest import Project, environment, stages_run
from tests.counting_example import commit, counting_repository, times_run
from tests.dvc_example import NEEDS

pytestmark = pytest.mark.slow


def test_two_workers_compute_each_stage_once_and_the_collector_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = counting_repository(tmp_path / "study", str(tmp_path / "remote"))
    monkeypatch.chdir(project.root)
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


def test_a_stage_that_a_killed_dvc_has_locked_is_free_for_the_next_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though its number is still there, as of a zombie, or of a process of another machine."""
    project = counting_repository(tmp_path / "study", str(tmp_path / "remote"))
    monkeypatch.chdir(project.root)
    folder, clones = tmp_path / "parcel", tmp_path / "clones"
    parcel.pack(folder, parcel.default_remote())
    assert parcel.leave_mark(folder) is None
    program = (sys.executable, str(folder / "worker.py"), str(folder), str(clones))
    project.run(*program)
    output = str(clones / "1" / "a.txt")
    owner = {"pid": os.getpid(), "cmd": "dvc repro --pull --single-item write@a"}
    (clones / "1/.dvc/tmp").mkdir(parents=True, exist_ok=True)
    write_json(clones / "1/.dvc/tmp/rwlock", {"write": {output: owner}, "read": {}})
    project.run(*program, "write@a")
    assert times_run(project.root)["write@a"] == 1


def test_a_worker_goes_on_from_the_last_checkpoint_of_one_that_was_killed(
    own_smoke: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In another clone of the same folder; the bytes are those of one machine."""
    stage, trained = "finetune@news-64", ("data/models/news-64", "data/histories/news-64.json")
    monkeypatch.chdir(own_smoke.root)
    own_smoke.dvc("remote", "add", "--quiet", "--default", "storage", str(tmp_path / "remote"))
    own_smoke.dvc("push", "--quiet", "download", "pretrain", "tokenize", "chunk")
    commit(own_smoke)
    folder, clones = tmp_path / "parcel", tmp_path / "clones"
    parcel.pack(folder, parcel.default_remote())
    known = read_json(folder / "dvc.lock.json")
    del known[stage]
    write_json(folder / "dvc.lock.json", known)
    program = [sys.executable, str(folder / "worker.py"), str(folder), str(clones), stage]
    process = subprocess.Popen(
        program,
        env=environment(REFORMER_SEQLEN_LANE="1"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    work = clones / "work/finetune/news-64"
    while process.poll() is None and not list(work.glob("checkpoint-*/complete.json")):
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it ended before it could be killed"
    assert "going on from update" in own_smoke.run(*program, REFORMER_SEQLEN_LANE="2")
    for name in trained:
        assert digest(clones / "2" / name) == digest(own_smoke.root / name)


def digest(path: Path) -> dict[str, str]:
    """A sha256 of a file, or of each file of a folder."""
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    return {file.name: sha256_of(file) for file in files}
