"""`distribute --engine slurm`: a Slurm of this machine, whose jobs are preempted and cancelled."""

import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from reformer_seqlen.distribution.slurm_engine import Jobs
from tests.clusters.counting import each_stage_runs_once
from tests.clusters.machines import slurm, wait_until
from tests.clusters.studies import (
    STAGE,
    command,
    new_clone,
    press_ctrl_c,
    runs_in,
    same_results,
    started,
    wait_for_checkpoint,
    without_training,
)
from tests.conftest import Project
from tests.counting_example import counting_repository

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def own_slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Slurm's slurm.conf."""
    with slurm(tmp_path_factory.mktemp("slurm")) as conf:
        yield str(conf)


@pytest.fixture(autouse=True)
def _of_this_slurm(own_slurm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_CONF", own_slurm)


def queue() -> str:
    """What is in the queue: job, state and comment."""
    return subprocess.check_output(["squeue", "--noheader", "--format=%i %T %k"], text=True)


def test_each_stage_runs_once(remote: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = counting_repository(tmp_path / "study", remote, a="fail")
    each_stage_runs_once(Jobs(2, str(tmp_path / "clones"), None, []), project, monkeypatch)


def test_what_cannot_work_is_refused_in_one_message(one_machine: Project, tmp_path: Path) -> None:
    project = new_clone(one_machine, tmp_path / "study")
    (project.root / "new.py").touch()
    printed = project.run(*command("slurm", "--sbatch=--partition=none"), succeed=False)
    _, _, refused = printed.partition("error: nothing was submitted:\n")
    no_remote, differ, partition = refused.splitlines()[:3]
    assert no_remote.startswith("- DVC has no default remote")
    assert differ.startswith("- workers compute the last commit, and these files differ")
    assert "invalid partition" in partition
    assert queue() == ""


def test_stages_that_no_node_can_hold_are_refused(
    one_machine: Project, remote: str, tmp_path: Path
) -> None:
    project = without_training(one_machine, tmp_path / "study", remote)
    printed = project.run(*command("slurm", "--sbatch=--mem=1T"), succeed=False)
    assert "nothing was submitted" in printed
    assert queue() == ""


def preempt() -> None:
    """Submit a job that needs the whole node at once."""
    urgent = "--partition=urgent --cpus-per-task=4 --mem=100M --output=/dev/null --wrap=true"
    subprocess.check_call(["sbatch", *shlex.split(urgent)])


def test_a_training_that_is_warned_of_its_end_is_queued_again_and_goes_on(
    one_machine: Project, remote: str, tmp_path: Path
) -> None:
    """As before the end of its time, Slurm sends the signal that the job has asked for."""
    project, log = without_training(one_machine, tmp_path / "study", remote), tmp_path / "log"
    clones = tmp_path / "clones"
    arguments = ("slurm", "--clones", str(clones), "--sbatch=--partition=warned", STAGE)
    with started(project, log, *arguments) as process:
        wait_for_checkpoint(clones, process, log)
        preempt()
        assert process.wait() == 0, log.read_text()
    printed = log.read_text()
    assert f"{STAGE}: its time here is over: it is queued again, to go on" in printed
    assert f"{STAGE}: going on from update" in printed
    assert same_results(project, one_machine)


def test_jobs_go_on_when_nobody_watches_and_the_same_command_finds_them(
    one_machine: Project, remote: str, tmp_path: Path
) -> None:
    """Here, one that Slurm has stopped and queued again for a more urgent one."""
    project, log = without_training(one_machine, tmp_path / "study", remote), tmp_path / "log"
    clones = tmp_path / "clones"
    arguments = ("slurm", "--clones", str(clones), STAGE)
    with started(project, log, *arguments) as process:
        wait_for_checkpoint(clones, process, log)
    job, state, stage = queue().split()
    assert (state, stage) == ("RUNNING", STAGE)
    preempt()
    wait_until(lambda: f"{job} PENDING" in queue(), "it is not preempted")
    project.run(*command(*arguments))
    [log] = project.root.glob(f"work/distribute/*/*/jobs/{STAGE}.log")
    assert "going on from update" in log.read_text()
    assert same_results(project, one_machine)
    [known] = project.root.glob("work/distribute/*/*/jobs.txt")
    assert known.read_text() == f"{job} {STAGE}\n"


def test_ctrl_c_cancels_the_queue_and_the_same_command_goes_on(
    one_machine: Project, remote: str, tmp_path: Path
) -> None:
    project, log = without_training(one_machine, tmp_path / "a study", remote), tmp_path / "log"
    clones = tmp_path / "clones"
    arguments = ("slurm", "--clones", str(clones))
    with started(project, log, *arguments) as process:
        wait_for_checkpoint(clones, process, log)
        press_ctrl_c(process, log)
    wait_until(lambda: queue() == "" and not runs_in(clones), "a job is left")
    printed = project.run(*command(*arguments))
    assert f"{STAGE}: going on from update" in printed
    assert "1 stage ran on workers, report here" in printed
    assert same_results(project, one_machine)
    [script] = project.root.glob(f"work/distribute/*/*/jobs/{STAGE}.sh")
    lines = script.read_text().splitlines()
    assert {
        "#!/bin/sh",
        f"#SBATCH --comment={STAGE}",
        "#SBATCH --dependency=singleton",
        "#SBATCH --requeue",
        "#SBATCH --cpus-per-task=1",
        "#SBATCH --time=10",
    } < set(lines)
    assert shlex.split(lines[-1])[-1] == STAGE
    assert "going on from update" in script.with_suffix(".log").read_text()
