"""`make repro`: what runs, side by side and one after another."""

from pathlib import Path

import pytest

from reformer_seqlen.commands import repro
from reformer_seqlen.commands.repro import (
    DvcProgress,
    default_jobs,
    last,
    one_after_another,
    side_by_side,
)
from tests.conftest import environment
from tests.dvc_example import NEEDS, dvc_repository


def _run(progress: DvcProgress) -> list[str]:
    """Run the small repository's stages; return those that failed."""
    if progress.jobs > 1:
        return side_by_side(NEEDS, progress, environment())
    return one_after_another(NEEDS, progress, environment())


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_failed_stage_stops_what_needs_it_and_nothing_else(
    jobs: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    dvc_repository(tmp_path, a="fail")
    progress = DvcProgress(NEEDS, {}, {}, jobs)
    assert _run(progress) == ["check@a"]
    assert sorted(progress.ran) == ["check@a", "check@b", "write@a", "write@b"]
    assert Path("b.checked").read_text() == "y\n"
    dvc_repository(tmp_path, a="mended")
    progress = DvcProgress(NEEDS, {}, {}, jobs)
    assert _run(progress) == []
    assert progress.ran == ["write@a", "check@a", "join"]
    assert Path("joined.txt").read_text() == "mended\ny\n"


def test_dvc_is_asked_for_the_last_stages_only() -> None:
    assert last(NEEDS, NEEDS) == ["join"]
    assert last({"write@a", "write@b", "check@b"}, NEEDS) == ["write@a", "check@b"]


def test_the_end_says_what_failed_and_what_was_not_run() -> None:
    assert repro.failure(["check@a"], NEEDS).splitlines() == [
        "failed: check@a; the messages above say why",
        "not run, since they need it: join",
        "what is finished stays finished: run `make repro` again to go on",
    ]
    assert "not run" not in repro.failure(["join"], NEEDS)


def test_jobs_fit_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repro, "cores", lambda: 8)
    monkeypatch.setattr(repro, "FIRST_GPU", Path("/dev/no-such-gpu"))
    assert [default_jobs(threads) for threads in (1, 2, 3, 16)] == [8, 4, 2, 1]
    monkeypatch.setattr(repro, "FIRST_GPU", Path("/dev/null"))
    assert default_jobs(1) == 1


@pytest.mark.parametrize(
    "line",
    [
        "> python -m stages.chunk news-64",
        "Updating lock file 'dvc.lock'",
        "Stage 'chunk@news-64' didn't change, skipping",
        "Use `dvc push` to send your updates to remote storage.",
        "To enable auto staging, run:",
        "\tdvc config core.autostage true",
        "Pulling data for stage: 'chunk@news-64'",
        "Unable to pull data for stage: 'chunk@news-64'",
    ],
)
def test_what_dvc_says_of_itself_is_left_out(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    DvcProgress([], {}, {}).said("chunk@news-64", line)
    DvcProgress([], {}, {}).said("chunk@news-64", "what a stage prints")
    assert capsys.readouterr().out == "what a stage prints\n"
