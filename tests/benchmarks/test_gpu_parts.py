"""A part that fails, hangs or is killed leaves the others, and what it had found."""

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.gpu.isolation import isolated
from benchmarks.gpu.parts import PARTS, Part, run_parts
from benchmarks.gpu.record import TIME_WAS_UP, Record
from benchmarks.gpu.speed import in_turn

HEAD = {"card": "Imaginary", "device": "cpu"}


def good(_: torch.device, record: Record) -> None:
    record.row("rows", {"seconds_left": record.seconds_left})


def failing(device: torch.device, record: Record) -> None:
    good(device, record)
    raise ValueError("not with me")


def hanging(device: torch.device, record: Record) -> None:
    good(device, record)
    time.sleep(600)


def killed(device: torch.device, record: Record) -> None:
    good(device, record)
    os.kill(os.getpid(), signal.SIGKILL)


def content(folder: Path, name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    return loaded


@pytest.mark.slow
def test_the_others_run_and_what_was_found_is_kept(tmp_path: Path) -> None:
    parts = {
        "failing": Part(failing, 2),
        "hanging": Part(hanging, 1),
        "killed": Part(killed, 2),
        "good": Part(good, 2),
    }
    right = run_parts(parts, "cpu", tmp_path, HEAD, 7)
    assert right == {"failing": False, "hanging": False, "killed": False, "good": True}
    assert [content(tmp_path, name)["status"] for name in parts] == [
        "ValueError after 0 s: not with me",
        "took more than 3 s and was ended",  # with the two that the first had left
        "its process ended with status -9",
        "complete",
    ]
    for name in parts:
        assert content(tmp_path, name)["card"] == "Imaginary"
        assert len(content(tmp_path, name)["results"]["rows"]) == 1


def test_a_part_without_any_result_is_not_right(tmp_path: Path) -> None:
    def useless(_: torch.device, record: Record) -> None:
        record.row("rows", {"why": "nothing works here"})

    assert run_parts({"a": Part(useless, 5)}, "cpu", tmp_path, HEAD, 5) == {"a": False}
    assert content(tmp_path, "a")["status"] == "complete"


def test_all_limits_leave_time_to_start_in_six_minutes() -> None:
    assert list(PARTS) == ["correctness", "speed", "profile", "memory", "training"]
    assert sum(part.limit_seconds for part in PARTS.values()) == 340


def test_a_case_without_memory_ends_no_part(tmp_path: Path) -> None:
    (tmp_path / "part.json").write_text("{}", encoding="utf-8")
    record = Record(tmp_path / "part.json", 60)

    def too_large() -> int:
        raise torch.OutOfMemoryError("CUDA out of memory.\n Tried to allocate 2 GiB")

    assert record.attempt("rows", {"case": 1}, too_large) is None
    assert record.attempt("rows", {"case": 2}, lambda: 5) == 5
    assert content(tmp_path, "part")["results"]["rows"] == [
        {"case": 1, "why": "OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB"}
    ]


def test_what_time_is_up_for_is_not_begun(tmp_path: Path) -> None:
    (tmp_path / "part.json").write_text("{}", encoding="utf-8")
    record = Record(tmp_path / "part.json", 10)
    assert record.attempt("rows", {"case": 1}, lambda: pytest.fail("begun"), seconds=11) is None
    assert record.results["rows"] == [{"case": 1, "why": TIME_WAS_UP}]


def test_a_value_comes_back_from_another_process() -> None:
    assert isolated(os.getpid, 5).value not in (None, os.getpid())


def test_a_model_that_fails_gets_a_row_and_the_others_are_timed(tmp_path: Path) -> None:
    (tmp_path / "part.json").write_text("{}", encoding="utf-8")
    record = Record(tmp_path / "part.json", 60)
    calls = []

    def works() -> None:
        calls.append("works")

    def fails_later() -> None:
        calls.append("fails")
        if calls.count("fails") > 2:
            raise torch.OutOfMemoryError("2 GiB")

    steps = {"a": works, "b": fails_later}
    timed = in_turn(record, "training", {}, steps, repeats=2, device=torch.device("cpu"))
    assert list(timed) == ["a"]
    assert calls == [*3 * ["works"], *3 * ["fails"], "works", "works"]
    assert record.results["training"] == [{"model": "b", "why": "OutOfMemoryError: 2 GiB"}]
