"""The rows as they are written: predicted, and measured where they ask for it."""

import json
import subprocess
import sys
from typing import Any

import pytest

from reformer_seqlen.memory import rows
from reformer_seqlen.memory.measurement import Job, Measurement
from reformer_seqlen.memory.rows import is_to_be_measured, measured_row, predicted_row
from tests.memory_example import TINY_REFORMER, memory_study, memory_values

STUDY = memory_study()


def test_a_row_says_what_is_predicted() -> None:
    result = predicted_row(STUDY, "reformer-cp-axial-256")
    assert result["predicted_mib"] == 1015.0
    assert result["predicted_reserved_mib"] == 96.0
    assert result["context_mib"] == 919
    assert result["positions"] == "axial"
    assert result["why"] == "predicted only"
    assert not is_to_be_measured(result)
    for parts in ("composition", "modules"):
        assert sum(result[parts].values()) == pytest.approx(
            result["predicted_allocated_mib"], abs=0.01
        )
    json.dumps(result, allow_nan=False)


def test_a_measured_row_says_how_far_the_prediction_is_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    jobs: list[Job] = []

    def measure(job: Job) -> Measurement:
        jobs.append(job)
        return Measurement("cpu", mib=25.0)

    monkeypatch.setattr(rows, "measure", measure)
    predicted = predicted_row(STUDY, "tiny")
    assert is_to_be_measured(predicted)
    result = measured_row(STUDY, predicted)
    assert [job.expected_mib for job in jobs] == [predicted["predicted_allocated_mib"]]
    assert (result["device"], result["measured_mib"], result["why"]) == ("cpu", 25.0, None)
    error = 100 * (result["predicted_allocated_mib"] / 25 - 1)
    assert result["measured_error_percent"] == pytest.approx(error, abs=0.001)
    assert list(result) == list(predicted)


def test_a_measurement_that_fails_is_the_rows_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "measure", lambda _: Measurement("cpu", why="killed"))
    result = measured_row(STUDY, predicted_row(STUDY, "tiny"))
    assert (result["why"], result["measured_mib"], result["measured_error_percent"]) == (
        "killed",
        None,
        None,
    )


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("gpt2-2048", "gpt2 has 1024 positions, 2048 tokens are too many"),
        ("too-long", "reformer has 4096 positions, 4160 tokens are too many"),
    ],
)
def test_a_row_beyond_the_positions_says_so(name: str, why: str) -> None:
    result = predicted_row(STUDY, name)
    assert result["why"] == why
    assert result["predicted_mib"] is result["measured_mib"] is None
    assert not is_to_be_measured(result)
    assert list(result) == list(predicted_row(STUDY, "tiny"))


def test_a_row_that_asks_for_what_its_model_has_not_says_so() -> None:
    asked: dict[str, dict[str, Any]] = {
        "positions": {"model": "gpt2", "positions": "axial"},
        "allocations": {"model": "tiny", "allocations": 2021},
        "key": {"model": "broken"},
    }
    shape = {"batch_size": 1, "sequence_length": 64}
    study = memory_study(
        models=memory_values()["models"] | {"broken": TINY_REFORMER | {"hiden_size": 3}},
        rows={name: row | shape for name, row in asked.items()},
        fits=[],
    )
    whys = {name: predicted_row(study, name)["why"] for name in asked}
    assert "memory.rows.positions: axial positions are for Reformers" in whys["positions"]
    assert "memory.rows.allocations: allocations: 2021 is for" in whys["allocations"]
    assert "memory.models.broken" in whys["key"]
    assert "did you mean hidden_size" in whys["key"]


def test_todays_gpt2_takes_less_than_that_of_2021() -> None:
    today = predicted_row(STUDY, "today")
    assert today["predicted_mib"] < predicted_row(STUDY, "gpt2-own-256")["predicted_mib"]


@pytest.mark.slow
def test_the_whole_table_is_predicted_within_a_gib() -> None:
    # Not by getrusage: on Linux its peak begins at that of the parent, this process.
    script = (
        "from reformer_seqlen.memory.measurement import _peak_resident\n"
        "from reformer_seqlen.memory.rows import predicted_row\n"
        "from tests.memory_example import PUBLISHED, memory_study, row_name\n"
        "study = memory_study()\n"
        "for model, lengths in PUBLISHED.items():\n"
        "    for length in lengths:\n"
        "        assert predicted_row(study, row_name(*model, length))['predicted_mib']\n"
        "print(_peak_resident())\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 2**30
