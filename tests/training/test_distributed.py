"""Several processes train as one does: the same losses, checkpoints that either goes on from."""

import json
import signal
import subprocess
import sys
import time
from contextlib import chdir
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from safetensors.torch import load_file

from reformer_seqlen.runtime.console import TERMINATED
from stages import chunk, download, pretrain, tokenize
from tests.conftest import ROOT, digests, environment
from tests.distributed_example import TRAININGS, UPDATES, history, interrupted
from tests.small_study import SmallStudy

pytestmark = pytest.mark.slow

TORCHRUN = ("torch.distributed.run", "--standalone", "--nproc-per-node", "2")


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes have left of all trainings, one of which a single process had begun."""
    folder = tmp_path_factory.mktemp("together")
    for name, work in (("reformer", "begun-alone"), ("fsdp-gpt2", "fsdp-begun-alone")):
        assert interrupted(name, folder / work, 5, tells=True) == "Terminated"
    done = subprocess.run(
        [sys.executable, "-m", *TORCHRUN, "-m", "tests.distributed_example", str(folder)],
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


@pytest.mark.parametrize("name", ["reformer", "gpt2", "fsdp-reformer", "fsdp-gpt2"])
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


@pytest.mark.parametrize(("name", "stopped"), [("reformer", "stopped"), ("gpt2", "fsdp-stopped")])
def test_what_two_processes_left_one_goes_on_from(name: str, stopped: str, together: Path) -> None:
    """The second process alone was told to end, at the end of the fourth update."""
    assert found(together, stopped) == "Terminated"
    checkpoint, initial = sorted((together / stopped).iterdir())
    assert (checkpoint.name, initial.name) == ("checkpoint-4", "initial")
    assert_equal(history(name, together / stopped), found(together, name))


@pytest.mark.parametrize(("name", "begun"), [("reformer", "went-on"), ("gpt2", "fsdp-went-on")])
def test_what_one_process_left_two_go_on_from(name: str, begun: str, together: Path) -> None:
    assert_equal(found(together, begun), found(together, name))


def test_a_signal_ends_an_evaluation_of_all_which_is_made_up_for(together: Path) -> None:
    assert found(together, "stopped-scoring") == "KeyboardInterrupt"
    assert found(together, "went-on-scoring") == found(together, "gpt2")


def test_checkpoints_of_any_number_of_processes_hold_the_same(together: Path) -> None:
    """The states of random generators are left out by several: nothing is drawn from them."""
    one, several = (
        together / "fsdp-begun-alone/checkpoint-5",
        together / "fsdp-stopped/checkpoint-4",
    )
    files = [{path.name for path in each.iterdir()} for each in (one, several)]
    assert files[0] - files[1] == {"rng_state.pth"}
    assert files[1] < files[0]
    weights = [load_file(each / "model.safetensors") for each in (one, several)]
    assert weights[0].keys() == weights[1].keys()
    states = [torch.load(each / "optimizer.pt", weights_only=True) for each in (one, several)]
    shapes = [
        {
            (number, name): value.shape
            for number, of in each["state"].items()
            for name, value in of.items()
        }
        for each in states
    ]
    assert shapes[0] == shapes[1]


def test_the_first_process_alone_writes(together: Path) -> None:
    assert sorted(path.name for path in (together / "of-0/work").iterdir()) == sorted(TRAININGS)
    assert list((together / "of-1").iterdir()) == []


def test_all_stop_where_one_process_has_a_weight_that_is_no_number(together: Path) -> None:
    spoilt = found(together, "spoilt")
    assert spoilt["diverged_at"] | {"loss": "nan", "grad_norm": "nan"} == spoilt["diverged_at"]
    assert (spoilt["updates"], spoilt["diverged_at"]["model_of"]) == (6, "initial")
    assert spoilt["evaluations"][-1]["validation_loss"] > 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small study, ready to be fine-tuned. Its model drops out."""
    folder = tmp_path_factory.mktemp("study")
    with chdir(folder):
        study = SmallStudy()
        text = b"".join(b"%d trees grow by the river.\n" % number for number in range(100, 160))
        Path("mine.txt").write_bytes(text)
        base = study.values["models"]["tiny"]["pretraining"]["train"]
        base |= {"epochs": None, "updates": 2}
        study.values["train"] |= {"epochs": None, "updates": 60, "evaluations": 1}
        study.run(download.main, "news")
        study.run(pretrain.main, "tiny")
        study.run(tokenize.main, "news-tiny")
        study.run(chunk.main, "news-64")
    return folder


def started(folder: Path, *command: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=folder,
        env=environment(PYTHONPATH=str(ROOT), OMP_NUM_THREADS="1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def test_a_study_may_ask_for_processes_and_ends_as_by_torchrun(folder: Path) -> None:
    """The same bytes, and after a signal, too."""
    stage = ("stages.finetune", "news-64")
    with started(folder, *TORCHRUN, "-m", *stage) as process:
        assert "error" not in process.communicate()[0].lower()
    by_torchrun = digests(folder, "data/models", "data/histories")
    assert len(by_torchrun) > 5
    params = folder / "params.yaml"
    with_processes = params.read_text().replace("updates: 60", "updates: 60\n  processes: 2")
    params.write_text(with_processes)
    work = folder / "work/finetune/news-64"
    with started(folder, *stage) as process:
        while process.poll() is None and not list(work.glob("checkpoint-*/complete.json")):
            time.sleep(0.005)
        process.send_signal(signal.SIGTERM)
        said = process.communicate()[0]
    assert said.count("interrupted: ") == 2, said
    assert process.returncode == TERMINATED
    files = {path.name for path in work.glob("checkpoint-*/*")}
    assert [name for name in files if name.startswith("rng_state")] == []
    with started(folder, *stage) as process:
        assert process.communicate()[0].startswith("going on from update")
    assert digests(folder, "data/models", "data/histories") == by_torchrun
    left = [each for each in psutil.process_iter(["cwd"]) if each.info["cwd"] == str(folder)]
    assert left == []


def test_a_stage_that_trains_nothing_is_refused_once(folder: Path) -> None:
    with started(folder, *TORCHRUN, "-m", "stages.chunk", "news-64") as process:
        said = process.communicate()[0]
    assert process.returncode == 1
    assert said.count("error: stages.chunk runs in one process, and torchrun has started 2") == 1
