"""Part 4: how much memory is taken, beside the prediction made without a card.

Every row has a process of its own: what an earlier one left cached would count.
"""

import resource
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import transformers
import yaml  # type: ignore[import-untyped]  # transformers needs it, too
from torch import nn
from transformers.initialization import no_init_weights

from benchmarks.gpu.isolation import isolated
from benchmarks.gpu.record import TIME_WAS_UP, Record
from reformer_seqlen.memory import pool
from reformer_seqlen.memory.allocator import CUBLAS, HOPPER_CUBLAS
from reformer_seqlen.memory.configurations import with_depth, with_positions
from reformer_seqlen.memory.gpt2_2021 import build_as_in_2021
from reformer_seqlen.memory.measurement import held_on_gpu
from reformer_seqlen.memory.prediction import (
    OptimizerName,
    make_optimizer,
    predict,
    stock_reformer,
    trace_inference,
    trace_training,
)
from reformer_seqlen.memory.rounding import mib, rounded
from reformer_seqlen.models.configurations import Config, build, check_length, configuration
from reformer_seqlen.reformer.model import Reformer
from reformer_seqlen.runtime.errors import StudyError

PUBLISHED = Path(__file__).parents[2] / "conf/memory/published.yaml"
SECONDS_OF_A_ROW = 20.0
LAYERS = 6
TRAININGS: tuple[tuple[OptimizerName, int], ...] = (
    ("adafactor", 2048),
    ("adamw", 2048),
    ("adafactor", 16384),
)
OF_TODAY = ("gpt2-today", "gpt2-eager", "gpt2-no-cache")
UPDATES = 2
"""The second finds the optimizer's states already there."""


@dataclass(frozen=True)
class Row:
    """Something whose memory is predicted and measured.

    Attributes:
        make: makes the model of a configuration; picklable.
        optimizer: of a training; None for one forward pass without gradients.
    """

    name: str
    config: Config
    make: Callable[[Config], nn.Module]
    batch_size: int
    sequence_length: int
    optimizer: OptimizerName | None = None

    @property
    def place(self) -> dict[str, Any]:
        """The first columns."""
        return {
            "row": self.name,
            "kind": "inference" if self.optimizer is None else f"training, {self.optimizer}",
            "batch_size": self.batch_size,
            "sequence_length": self.sequence_length,
        }


def run(device: torch.device, record: Record) -> None:
    """Predict everything on all cores, then measure one row at a time with nothing beside it."""
    transformers.logging.set_verbosity_error()
    study = yaml.safe_load(PUBLISHED.read_text(encoding="utf-8"))
    rows = list(all_rows(study) if device.type == "cuda" else small_rows(study))
    size = isolated(workspace, SECONDS_OF_A_ROW).value or 0  # no row must find CUDA started
    tasks = {number: partial(predicted, row, size) for number, row in enumerate(rows)}
    predictions = pool.run(tasks, "predicting", torch.get_num_threads())
    if device.type == "cuda":
        record.note("context", isolated(context, SECONDS_OF_A_ROW).value)
    for number, row in enumerate(rows):
        prediction = predictions[number]
        if isinstance(prediction, StudyError):
            record.row("rows", {**row.place, "why": str(prediction)})
        else:
            measure(record, row, prediction, device)


def measure(record: Record, row: Row, prediction: dict[str, float], device: torch.device) -> None:
    """Add a row with what is measured of it."""
    beginning = {**row.place, **prediction}
    if record.seconds_left < 3:
        record.row("rows", {**beginning, "why": TIME_WAS_UP})
        return
    seconds = min(SECONDS_OF_A_ROW, record.seconds_left - 1)
    ended = isolated(partial(measured, row, device.type), seconds)
    if ended.value is None:
        record.row("rows", {**beginning, "why": ended.why})
    else:
        record.row("rows", {**beginning, **compared(prediction, ended.value)})


def compared(prediction: Mapping[str, float], found: Mapping[str, float]) -> dict[str, float]:
    """What was measured, with the errors of the prediction in percent of it."""
    row = dict(found)
    for name in ("allocated", "reserved"):
        if f"{name}_mib" in found:
            expected, right = prediction[f"predicted_{name}_mib"], found[f"{name}_mib"]
            row[f"{name}_error_percent"] = rounded(100 * (expected - right) / right)
    return row


def workspace() -> int:
    """The bytes that torch gives cuBLAS of the allocator's on the card that is there; 0 without."""
    if not torch.cuda.is_available():
        return 0
    is_hopper = torch.cuda.get_device_capability()[0] == 9
    return HOPPER_CUBLAS if is_hopper else CUBLAS


def predicted(row: Row, cublas_workspace: int = 0) -> dict[str, float]:
    """What a row takes, by its shapes alone.

    Args:
        row: what is asked about.
        cublas_workspace: bytes, as `predict` takes them.

    Raises:
        StudyError: the model does not run on this shape.
    """
    check_length(row.config, row.sequence_length)
    builder, shape = partial(row.make, row.config), (row.batch_size, row.sequence_length)
    if row.optimizer is None:
        trace = trace_inference(builder, *shape)
    else:
        trace = trace_training(builder, *shape, row.optimizer)
    prediction = predict(trace, cublas_workspace)
    return {
        "predicted_allocated_mib": mib(prediction.allocated),
        "predicted_reserved_mib": mib(prediction.reserved),
    }


def measured(row: Row, device: str) -> dict[str, float]:
    """What a row takes, measured in this process, which has done nothing else."""
    before = _peak_resident_mib()
    with no_init_weights():  # no size depends on what they are
        model = row.make(row.config)
    tie: Callable[[], None] = model.tie_weights  # type: ignore[assignment]
    tie()  # it leaves that out, too, and an output layer would be a tensor of its own
    model = model.to(device)
    if row.optimizer is None:
        with torch.no_grad():
            model.eval()(_tokens(row, device))
    else:
        train(model.train(), row, device)
    if device == "cpu":
        return {"resident_mib": rounded(_peak_resident_mib() - before)}
    return on_card()


def train(model: nn.Module, row: Row, device: str) -> None:
    """A row's updates."""
    assert row.optimizer is not None
    stepper = make_optimizer(row.optimizer, model)
    for _ in range(UPDATES):
        tokens, labels = _tokens(row, device), _tokens(row, device)
        loss = model(tokens, labels=labels, use_cache=False).loss
        loss.backward()
        del loss, tokens, labels
        stepper.step()
        stepper.zero_grad(set_to_none=True)


def on_card() -> dict[str, float]:
    """What this process holds of the card, by torch and by the driver."""
    torch.cuda.synchronize()
    allocated, reserved = torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved()
    driver, now = held_on_gpu(), torch.cuda.memory_reserved()
    kept = torch.cuda.memory_allocated()
    torch._C._cuda_clearCublasWorkspaces()
    return {
        "allocated_mib": mib(allocated),
        "reserved_mib": mib(reserved),
        "driver_mib": mib(driver),
        "context_mib": mib(driver - now),
        "workspace_mib": mib(kept - torch.cuda.memory_allocated()),
    }


def context() -> dict[str, float]:
    """What a process holds of the card that has one number there, and after a product."""
    tensor = torch.ones(64, 64, device="cuda")
    before = on_card()
    torch.mm(tensor, tensor)
    return {
        "context_mib": before["context_mib"],
        "context_with_products_mib": on_card()["context_mib"],
    }


def all_rows(study: dict[str, Any]) -> Iterator[Row]:
    """Every published row, trainings, and what transformers' GPT-2 of today takes."""
    inferences = {name: inference(study, name) for name in study["rows"]}
    later = [name for name in inferences if name.startswith(OF_TODAY)]
    yield from (row for name, row in inferences.items() if name not in later)
    yield from trainings(study["models"])
    yield from (inferences[name] for name in later)


def inference(study: dict[str, Any], name: str) -> Row:
    """A row of the published ones, or of those beside them."""
    row = study["rows"][name]
    config = configuration(study["models"][row["model"]], name)
    config = with_positions(config, row.get("positions", "own"), name)
    make = build_as_in_2021 if row.get("allocations") == 2021 else build
    return Row(name, config, make, row["batch_size"], row["sequence_length"])


def trainings(models: dict[str, Any]) -> Iterator[Row]:
    """Trainings of stock's Reformer, of GPT-2 and of ours, which scores a batch first."""
    reformer, gpt2 = (configuration(models[name], name) for name in ("reformer-cp", "gpt2-small"))
    long = with_depth(reformer, LAYERS, 2048)
    yield Row("ours", long, ours, 16, 2048)
    yield Row("ours", long, ours, 16, 2048, "adamw")
    yield Row("ours, recomputing", long, partial(ours, reversible="on"), 16, 2048, "adamw")
    kept = partial(stock_reformer, reversible=False)
    yield Row("reformer, not reversible", long, kept, 1, 2048, "adafactor")
    stock = partial(stock_reformer, reversible=True)
    for optimizer, length in TRAININGS:
        yield Row("reformer", with_depth(reformer, LAYERS, length), stock, 1, length, optimizer)
        yield Row("gpt2-small", with_depth(gpt2, LAYERS, length), build, 1, length, optimizer)


def small_rows(study: dict[str, Any]) -> Iterator[Row]:
    """One of each kind, for a CPU."""
    reformer = configuration(study["models"]["reformer-cp"], "reformer-cp")
    small = with_depth(reformer, 2, 128)
    yield Row("reformer", small, build, 1, 128)
    yield Row("ours", small, ours, 1, 128, "adamw")


def ours(config: Config, reversible: str = "off") -> nn.Module:
    """This project's Reformer."""
    config = type(config).from_dict(config.to_dict())
    config.reversible = reversible
    return Reformer(config)


def _tokens(row: Row, device: str) -> torch.Tensor:
    return torch.zeros((row.batch_size, row.sequence_length), dtype=torch.int64, device=device)


def _peak_resident_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # Linux counts in KiB
