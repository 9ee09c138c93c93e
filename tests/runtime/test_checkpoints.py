"""Checkpoints: only whole ones are gone on from, and only by the attempt that they belong to."""

import contextlib
from pathlib import Path

import pytest

from reformer_seqlen.runtime.checkpoints import (
    COMPLETE,
    fingerprint,
    last_complete,
    mark_complete,
    stopwatch,
    work_folder,
)
from tests.conftest import ROOT

CODE = ROOT / "stages/chunk.py"


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


def test_seconds_go_on_after_an_interruption(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    with contextlib.suppress(KeyboardInterrupt), stopwatch(tmp_path) as seconds:
        now[0] += 50
        assert seconds() == 50
        raise KeyboardInterrupt
    now[0] = 7.0  # of another process
    with stopwatch(tmp_path) as seconds:
        now[0] += 3
        assert seconds() == 53


def test_an_interrupted_attempt_is_kept_for_the_same_inputs_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reformer_seqlen.runtime.checkpoints.WORK", tmp_path)

    def interrupted(version: str) -> bool:
        """Run an attempt that is cut off; whether it found what the one before it left."""
        found = False
        with (
            contextlib.suppress(KeyboardInterrupt),
            work_folder("finetune", "news", fingerprint(version, [], CODE)) as folder,
        ):
            found = (folder / "left").exists()
            (folder / "left").touch()
            raise KeyboardInterrupt
        return found

    assert [interrupted("a"), interrupted("a"), interrupted("b")] == [False, True, False]
    with work_folder("finetune", "news", fingerprint("b", [], CODE)) as folder:
        assert (folder / "left").exists()
    assert not folder.exists()


def test_a_fingerprint_knows_values_and_files(tmp_path: Path) -> None:
    file = tmp_path / "data"
    file.write_text("one")
    first = fingerprint({"epochs": 1}, [file], CODE)
    assert fingerprint({"epochs": 1}, [file], CODE) == first
    assert fingerprint({"epochs": 2}, [file], CODE) != first
    file.write_text("two")
    assert fingerprint({"epochs": 1}, [file], CODE) != first


def test_any_number_of_processes_goes_on_from_the_same_checkpoints() -> None:
    def of(**shared: object) -> str:
        values = [{"corpus": "news", "train": {"epochs": 1, **shared}}, {"epochs": 1, **shared}]
        return fingerprint(values, [], CODE)

    assert of(processes=2, fsdp=True) == of(processes=1) == of()


def test_a_damaged_checkpoint_falls_back_to_the_one_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, newest = (checkpoint(tmp_path, step, whole=False) for step in (5, 10))
    for each in (before, newest):
        (each / "model.safetensors").write_bytes(b"weights")
        mark_complete(each, 1.0)
    (newest / "model.safetensors").write_bytes(b"weighty")
    assert last_complete(tmp_path) == (before, 1.0)
    assert capsys.readouterr().err == (
        f"{newest} is damaged (model.safetensors): going on from the one before it, if there is "
        "one\n"
    )
    assert not newest.exists()


@pytest.mark.parametrize("record", ["", "{", "[]", '{"format": 1}', '{"format": 2, "md5": 7}'])
def test_a_damaged_or_foreign_record_of_a_checkpoint_is_not_believed(
    tmp_path: Path, record: str
) -> None:
    (checkpoint(tmp_path, 5, whole=True) / COMPLETE).write_text(record)
    assert last_complete(tmp_path) == (None, 0.0)


def test_an_attempt_on_other_inputs_is_set_aside_with_what_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("reformer_seqlen.runtime.checkpoints.WORK", tmp_path)
    file = tmp_path / "train.ids.npy"
    file.write_bytes(b"1")

    def attempt(rate: float) -> None:
        mark = fingerprint([{"learning_rate": rate}], [file], CODE)
        with (
            contextlib.suppress(KeyboardInterrupt),
            work_folder("finetune", "news", mark) as folder,
        ):
            (folder / f"of-{rate}").touch()
            raise KeyboardInterrupt

    attempt(0.01)
    attempt(0.02)
    file.write_bytes(b"2")
    attempt(0.02)
    places = [tmp_path / "set-aside/finetune" / name for name in ("news-1", "news-2")]
    assert [(places[0] / "of-0.01").exists(), (places[1] / "of-0.02").exists()] == [True, True]
    first, second = capsys.readouterr().err.splitlines()
    assert first == (
        "finetune news: an interrupted attempt is not gone on from, since params.yaml has changed "
        f"(learning_rate: 0.01 -> 0.02); it was set aside in {places[0]}, which you may delete"
    )
    assert f"since what it reads has changed ({file})" in second
