"""Several processes train as one does: the same losses, checkpoints that either goes on from."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import environment
from tests.distributed_example import TRAININGS, UPDATES, history, interrupted

pytestmark = pytest.mark.slow

TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2")


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes have left of all trainings, one of which a single process had begun."""
    folder = tmp_path_factory.mktemp("together")
    assert interrupted("reformer", folder / "begun-alone", 5, tells=True) == "Terminated"
    done = subprocess.run(
        [*TORCHRUN, "-m", "tests.distributed_example", str(folder)],
        env=environment(OMP_NUM_THREADS="1"),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return folder


def found(folder: Path, name: str) -> Any:
    return json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))


def assert_equal(one: dict[str, Any], other: dict[str, Any], tolerance: float = 1e-5) -> None:
    """The same losses and gradients at every update, and the same evaluations."""
    assert [each["step"] for each in one["steps"]] == list(range(1, UPDATES + 1))
    for kind in ("steps", "evaluations"):
        for first, second in zip(one[kind], other[kind], strict=True):
            assert first == pytest.approx(second, abs=tolerance, rel=tolerance)
    assert one["weights"] == pytest.approx(other["weights"], rel=tolerance)
    assert one["tokens_seen"] == other["tokens_seen"]


@pytest.mark.parametrize("name", ["reformer", "gpt2"])
def test_losses_are_those_of_one_process(name: str, together: Path, tmp_path: Path) -> None:
    assert_equal(found(together, name), history(name, tmp_path))


@pytest.mark.parametrize("name", ["muon", "bfloat16"])
def test_what_is_rounded_to_bfloat16_differs_as_by_another_number_of_threads(
    name: str, together: Path, tmp_path: Path
) -> None:
    """Muon rounds, too: the last digit of a gradient decides which way a number of it goes."""
    assert_equal(found(together, name), history(name, tmp_path), 1e-3)


def test_dropout_is_repeatable_and_each_process_has_masks_of_its_own(
    together: Path, tmp_path: Path
) -> None:
    assert found(together, "dropout") == found(together, "dropout-again")
    first, other = found(together, "dropout")["steps"][0], history("dropout", tmp_path)["steps"][0]
    assert first["training_loss"] != pytest.approx(other["training_loss"], abs=1e-5)


def test_what_two_processes_left_one_goes_on_from(together: Path) -> None:
    """The second process alone was told to end, at the end of the fourth update."""
    assert found(together, "stopped") == "Terminated"
    checkpoint, initial = sorted((together / "stopped").iterdir())
    assert (checkpoint.name, initial.name) == ("checkpoint-4", "initial")
    assert_equal(history("reformer", together / "stopped"), found(together, "reformer"))


def test_what_one_process_left_two_go_on_from(together: Path) -> None:
    assert_equal(found(together, "went-on"), found(together, "reformer"))


def test_the_first_process_alone_writes(together: Path) -> None:
    assert sorted(path.name for path in (together / "of-0/work").iterdir()) == sorted(TRAININGS)
    assert list((together / "of-1").iterdir()) == []


def test_all_stop_where_one_process_has_a_weight_that_is_no_number(together: Path) -> None:
    spoilt = found(together, "spoilt")
    assert spoilt["diverged_at"] | {"loss": "nan", "grad_norm": "nan"} == spoilt["diverged_at"]
    assert (spoilt["updates"], spoilt["diverged_at"]["model_of"]) == (6, "initial")
    assert spoilt["evaluations"][-1]["validation_loss"] > 0
