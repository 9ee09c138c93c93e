"""Checkpoints: only whole ones are gone on from, and only by the attempt that they belong to."""

import contextlib
from pathlib import Path

import pytest

from reformer_seqlen.runtime.checkpoints import (
    fingerprint,
    last_complete,
    mark_complete,
    work_folder,
)
from tests.conftest import ROOT


def checkpoint(folder: Path, step: int, *, whole: bool) -> Path:
    path = folder / f"checkpoint-{step}"
    path.mkdir()
    if whole:
        mark_complete(path, float(step))
    return path


def test_the_newest_whole_checkpoint_is_taken(tmp_path: Path) -> None:
    checkpoint(tmp_path, 9, whole=True)
    newest = checkpoint(tmp_path, 10, whole=True)
    cut_off = checkpoint(tmp_path, 11, whole=False)
    assert last_complete(tmp_path) == (newest, 10.0)
    assert not cut_off.exists()


def test_without_a_whole_checkpoint_training_begins_anew(tmp_path: Path) -> None:
    checkpoint(tmp_path, 5, whole=False)
    assert last_complete(tmp_path) == (None, 0.0)


def test_an_interrupted_attempt_is_kept_for_the_same_inputs_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reformer_seqlen.runtime.checkpoints.WORK", tmp_path)

    def interrupted(mark: str) -> bool:
        """Run an attempt that is cut off; whether it found what the one before it left."""
        found = False
        with (
            contextlib.suppress(KeyboardInterrupt),
            work_folder("finetune", "news", mark) as folder,
        ):
            found = (folder / "left").exists()
            (folder / "left").touch()
            raise KeyboardInterrupt
        return found

    assert [interrupted("a"), interrupted("a"), interrupted("b")] == [False, True, False]
    with work_folder("finetune", "news", "b") as folder:
        assert (folder / "left").exists()
    assert not folder.exists()


CODE = ROOT / "stages/chunk.py"


def test_a_fingerprint_knows_values_and_files(tmp_path: Path) -> None:
    file = tmp_path / "data"
    file.write_text("one")
    first = fingerprint({"epochs": 1}, [file], CODE)
    assert fingerprint({"epochs": 1}, [file], CODE) == first
    assert fingerprint({"epochs": 2}, [file], CODE) != first
    file.write_text("two")
    assert fingerprint({"epochs": 1}, [file], CODE) != first
