"""DVC's files that a killed process left cut off are put out of the way; DVC is asked again."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from reformer_seqlen.pipeline.mending import LOCK_FILE, RWLOCK, mended
from reformer_seqlen.runtime.errors import StudyError

NO_RWLOCK = "ERROR: Unable to read RWLock-file '.dvc/tmp/rwlock'. JSON structure is corrupted"
NO_LOCK_FILE = "'./dvc.lock' validation failed.\n\nrequired key not provided"
BUSY = "ERROR: Unable to acquire lock. Most likely another DVC process is running"


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder in which both files are cut off."""
    monkeypatch.chdir(tmp_path)
    RWLOCK.parent.mkdir(parents=True)
    RWLOCK.write_text("")
    LOCK_FILE.write_text("stages:\n  chunk")


def stopped_by(*words: str) -> Callable[[bool], str]:
    """DVC, which says these words one after another, and then answers."""
    waiting = list(words)

    def ask(wait: bool) -> str:
        if waiting:
            raise StudyError(waiting.pop(0))
        return "waited" if wait else "answer"

    return ask


def test_what_was_cut_off_is_out_of_the_way(capsys: pytest.CaptureFixture[str]) -> None:
    assert mended(stopped_by(NO_RWLOCK, NO_LOCK_FILE)) == "answer"
    assert not RWLOCK.exists()
    assert Path("work/set-aside/dvc.lock-1").read_text() == "stages:\n  chunk"
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith(".dvc/tmp/rwlock was cut off while it was written, and is removed")
    assert second.startswith("dvc.lock was cut off while it was written, and is set aside in")


def test_a_dvc_that_runs_already_is_waited_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert mended(stopped_by(BUSY)) == "waited"
    assert "runs it already; waiting until that has ended" in capsys.readouterr().err
    assert RWLOCK.exists()


def test_a_number_that_is_no_longer_a_dvc_blocks_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Another process has it: this one."""
    busy = f"ERROR: 'data/x' is busy, it is being blocked by:\n  (PID {os.getpid()}): dvc repro"
    assert mended(stopped_by(busy)) == "answer"
    assert not RWLOCK.exists()
    assert "names processes that run no longer" in capsys.readouterr().err


def test_another_error_is_passed_on() -> None:
    with pytest.raises(StudyError, match="no such stage"):
        mended(stopped_by("ERROR: no such stage"))
    assert LOCK_FILE.exists()
