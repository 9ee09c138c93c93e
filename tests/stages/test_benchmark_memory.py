"""The stage `benchmark_memory`: its three files, and what becomes of what fails."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from reformer_seqlen.memory import rows as memory_rows
from reformer_seqlen.memory.measurement import Measurement
from reformer_seqlen.runtime.files import read_json
from reformer_seqlen.runtime.paths import MEMORY
from stages.benchmark_memory import main
from tests.conftest import ROOT, environment
from tests.memory_example import memory_values

NAMES = ("rows", "gpus", "training")
ROWS = ("tiny", "too-long", "today")


def values(**changes: Any) -> dict[str, Any]:
    """The section `memory` with few rows and other values for some keys."""
    few = memory_values()
    few["rows"] = {name: few["rows"][name] for name in ROWS}
    return few | changes


def write_study(memory: dict[str, Any]) -> None:
    """Write the study's params.yaml here, with this section `memory`."""
    yaml = YAML()  # keeps the order
    study = yaml.load(ROOT / "params.yaml")
    study["memory"] = memory
    yaml.dump(study, Path("params.yaml"))


def results() -> tuple[Any, Any, Any]:
    """The rows, the GPUs and the points that were written."""
    rows, gpus, training = (read_json(MEMORY / f"{name}.json") for name in NAMES)
    return rows, gpus, training


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in an empty folder, and measure nothing: this process has run operators."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(memory_rows, "measure", lambda _: Measurement("cpu", mib=25.0))


@pytest.mark.slow
def test_rows_gpus_and_training_are_written(capfd: pytest.CaptureFixture[str]) -> None:
    write_study(values())
    main()
    written, gpus, training = results()
    assert list(written) == list(ROWS)
    assert (written["tiny"]["measured_mib"], written["today"]["measured_mib"]) == (25.0, None)
    assert list(gpus) == ["tiny"]
    assert list(gpus["tiny"]["gpus"]) == ["colab", "small"]
    assert len(training) == 2 * 2 * 2
    assert capfd.readouterr() == (
        "",
        "memory.rows.too-long: reformer has 4096 positions, 4160 tokens are too many\n",
    )


@pytest.mark.slow
def test_what_fails_leaves_the_others_alone(capfd: pytest.CaptureFixture[str]) -> None:
    training = memory_values()["training"] | {"sequence_lengths": [128, 100]}
    write_study(values(fits=["too-long", "tiny"], training=training))
    main()
    _, gpus, points = results()
    assert list(gpus) == ["tiny"]
    assert [(point["curve"], point["sequence_length"]) for point in points] == [
        *[("reversible", 128)] * 2,
        *[("gpt2", 128), ("gpt2", 100)] * 2,
    ]
    said = capfd.readouterr().err
    assert "memory.fits.too-long: reformer has 4096 positions" in said
    assert "reversible, 4 layers, length 100: the model does not run on 2 x 100 tokens" in said


def test_there_may_be_nothing_to_do() -> None:
    training = memory_values()["training"] | {"curves": {}}
    write_study(values(rows={}, fits=[], training=training))
    main()
    assert results() == ({}, {}, [])


@pytest.mark.slow
def test_the_command_measures_in_fresh_processes() -> None:
    training = memory_values()["training"] | {"curves": {}}
    tiny = memory_values()["rows"]["tiny"]
    names = {"first": tiny, "again": tiny}
    write_study(values(rows=names, fits=[], training=training))
    shutil.copy(ROOT / "dvc.yaml", "dvc.yaml")
    done = subprocess.run(
        [sys.executable, "-m", "stages.benchmark_memory"],
        env=environment(PYTHONPATH=os.fspath(ROOT), CUDA_VISIBLE_DEVICES=""),
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    first, again = results()[0].values()
    for row in (first, again):
        assert row["device"] == "cpu"
        assert row["measured_mib"] == pytest.approx(row["predicted_allocated_mib"], abs=2)
