"""What DVC says of its stages, asked in a small repository of its own."""

from pathlib import Path

import pytest

from reformer_seqlen.pipeline.dag import all_needs, selected, stale_stages, with_dependents
from reformer_seqlen.runtime.errors import StudyError
from tests.dvc_example import NEEDS, dvc_repository


@pytest.mark.slow
def test_stages_and_which_are_stale_are_dvcs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    repository = dvc_repository(tmp_path)
    assert all_needs() == NEEDS
    assert stale_stages() == set(NEEDS)
    repository.dvc("repro", "-q")
    assert stale_stages() == set()
    dvc_repository(tmp_path, b="changed")
    assert stale_stages() == {"write@b"}


@pytest.mark.slow
def test_what_dvc_refuses_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    dvc_repository(tmp_path)
    Path("dvc.yaml").write_text("stages: [1]")
    with pytest.raises(StudyError, match=r"`dvc status --json` failed:\n(.|\n)*dvc\.yaml"):
        stale_stages()


def test_a_stage_is_selected_with_what_it_needs() -> None:
    assert selected(["check@a"], NEEDS) == {"write@a", "check@a"}
    assert selected(["write"], NEEDS) == {"write@a", "write@b"}
    assert selected(["join"], NEEDS) == set(NEEDS)
    with pytest.raises(StudyError, match="there is no stage `check@c`: choose from write@a, "):
        selected(["check@c"], NEEDS)


def test_dependents_are_all_that_come_after() -> None:
    assert with_dependents(["check@a"], NEEDS) == {"check@a", "join"}
    assert with_dependents(["write@b", "join"], NEEDS) == {"write@b", "check@b", "join"}


@pytest.mark.slow
def test_a_folder_without_a_repository_is_told_what_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a .zip of the project, unpacked."""
    monkeypatch.chdir(tmp_path)
    dvc_repository(tmp_path)
    Path(".dvc/config").write_text("[core]\n    analytics = false\n")
    with pytest.raises(StudyError, match=r"this folder is not a git repository.*`git init"):
        stale_stages()
