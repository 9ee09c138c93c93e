"""What is killed or interrupted goes on where it was, and ends with the same bytes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from reformer_seqlen.runtime.console import INTERRUPTED
from reformer_seqlen.runtime.files import read_json
from tests.conftest import Project, copy_project, digests, environment

pytestmark = pytest.mark.slow

COMMAND = (sys.executable, "-m", "reformer_seqlen")


@pytest.fixture
def fresh(smoke: Project, tmp_path: Path) -> Project:
    """The project with the smoke study's parameters, and nothing computed."""
    project = copy_project(tmp_path)
    (tmp_path / "params.yaml").write_bytes((smoke.root / "params.yaml").read_bytes())
    (tmp_path / "dvc.lock").unlink()
    return project


def test_a_killed_training_goes_on_and_ends_with_the_same_bytes(own_smoke: Project) -> None:
    before = digests(own_smoke.root, "data/models/news-64", "data/histories")
    process = subprocess.Popen(
        [sys.executable, "-m", "stages.finetune", "news-64"],
        cwd=own_smoke.root,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    work = own_smoke.root / "work/finetune/news-64"
    while process.poll() is None and not list(work.glob("checkpoint-*/complete.json")):
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL, "training ended before it could be killed"
    assert "going on from update" in own_smoke.stage("finetune", "news-64")
    assert not work.exists()
    assert digests(own_smoke.root, "data/models/news-64", "data/histories") == before


def test_a_killed_study_does_not_redo_what_is_finished(smoke: Project, fresh: Project) -> None:
    """Kill the whole process group in the middle of a training, then type `dvc repro` again."""
    process = subprocess.Popen(
        [sys.executable, "-m", "dvc", "repro", "chunk@news-64", "finetune@news-64"],
        cwd=fresh.root,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    work = fresh.root / "work/finetune/news-64"
    while process.poll() is None and not list(work.glob("checkpoint-*")):
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    printed = fresh.dvc("repro", "finetune@news-64")
    assert "Stage 'download@news' didn't change, skipping" in printed
    assert "Stage 'pretrain@tiny' didn't change, skipping" in printed
    finished = digests(fresh.root, "data/models/news-64", "data/histories")
    assert finished.items() <= digests(smoke.root, "data/models", "data/histories").items()


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_an_interrupted_study_ends_with_its_stages(jobs: str, fresh: Project) -> None:
    """Ctrl-C goes to the whole group; typed again at once, nothing may hold DVC's lock."""
    process = subprocess.Popen(
        [*COMMAND, "repro", "--jobs", jobs, "pretrain", "download"],
        cwd=fresh.root,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    while process.poll() is None and not (fresh.root / "work/pretrain/tiny").exists():
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGINT)
    process.wait()
    assert read_json(fresh.root / ".dvc/tmp/rwlock") == {}
    assert "interrupted: run the same command again" in process.communicate()[0]
    assert process.returncode == INTERRUPTED
