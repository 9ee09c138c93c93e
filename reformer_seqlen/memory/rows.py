"""The rows of `memory.rows`: what a forward pass takes, predicted, and measured if asked for."""

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn

from reformer_seqlen.memory.configurations import first_layers, with_positions
from reformer_seqlen.memory.gpt2_2021 import build_as_in_2021
from reformer_seqlen.memory.measurement import WARM_UP_LAYERS, Job, Measurement, measure
from reformer_seqlen.memory.pool import Task
from reformer_seqlen.memory.prediction import Prediction, predict, trace_inference
from reformer_seqlen.memory.rounding import mib, parts, rounded
from reformer_seqlen.models.configurations import (
    Config,
    build,
    check_length,
    configuration,
    positions_of,
)
from reformer_seqlen.parameters.memory import MemoryRow, MemoryStudy
from reformer_seqlen.runtime.errors import StudyError
from reformer_seqlen.runtime.messages import memory as messages

Result = dict[str, Any]
"""A row as it is written."""
Maker = Callable[[Config], nn.Module]
"""Makes a model of a configuration."""
PREDICTED_ONLY = "predicted only"
"""Why a row has no measurement if it asks for none."""


def model_of(study: MemoryStudy, name: str) -> tuple[Config, Maker]:
    """The configuration of a row's model, and what makes a model of a configuration.

    Raises:
        StudyError: the row asks for what its model does not have.
    """
    row, where = study.rows[name], f"memory.rows.{name}"
    config = configuration(study.models[row.model], f"memory.models.{row.model}")
    config = with_positions(config, row.positions, where)
    if row.allocations == "today":
        return config, build
    if config.model_type != "gpt2":
        raise messages.allocations_of_another(where, row.allocations)
    return config, build_as_in_2021


def row_tasks(study: MemoryStudy) -> dict[str, Task[Result]]:
    """The prediction of every row, by its name."""
    return {name: partial(predicted_row, study, name) for name in study.rows}


def predicted_row(study: MemoryStudy, name: str) -> Result:
    """A row with its prediction; if there can be none, `why` says so."""
    row = study.rows[name]
    try:
        config, make = model_of(study, name)
        check_length(config, row.sequence_length)
        trace = trace_inference(partial(make, config), row.batch_size, row.sequence_length)
    except StudyError as error:
        return _empty(name, row) | {"why": str(error)}
    predicted = _predicted(predict(trace), study.gpus[study.gpu].context_mib)
    why = None if row.measure else PREDICTED_ONLY
    return _empty(name, row) | {"positions": positions_of(config), **predicted, "why": why}


def is_to_be_measured(result: Result) -> bool:
    """Whether a predicted row waits for its measurement."""
    return result["why"] is None


def measured_row(study: MemoryStudy, result: Result) -> Result:
    """A predicted row with its measurement; if it fails, `why` says so.

    Args:
        study: the memory section of params.yaml.
        result: as `predicted_row` returned it.
    """
    row, allocated_mib = study.rows[result["row"]], result["predicted_allocated_mib"]
    config, make = model_of(study, result["row"])
    job = Job(
        partial(make, config),
        partial(make, first_layers(config, WARM_UP_LAYERS)),
        row.batch_size,
        row.sequence_length,
        allocated_mib,
        study.limits.mib,
        study.limits.seconds,
    )
    found = measure(job)
    measured = {
        "measured_mib": found.mib,
        "measured_allocated_mib": found.allocated_mib,
        "measured_reserved_mib": found.reserved_mib,
        "measured_error_percent": _error_percent(found, allocated_mib),
    }
    numbers = {key: None if value is None else rounded(value) for key, value in measured.items()}
    return result | {"device": found.device, **numbers, "why": found.why}


def _error_percent(found: Measurement, allocated_mib: float) -> float | None:
    """By how much the prediction is off what was in use: resident on a CPU, allocated on a GPU."""
    in_use = found.mib if found.allocated_mib is None else found.allocated_mib
    return None if in_use is None else 100 * (allocated_mib - in_use) / in_use


def _empty(name: str, row: MemoryRow) -> Result:
    """A row before anything is known of it: every row has the same keys."""
    return {
        "row": name,
        **row.model_dump(include={"model", "positions", "allocations"}),
        **row.model_dump(include={"batch_size", "sequence_length"}),
        **dict.fromkeys(("device", "measured_mib", "measured_error_percent")),
        **dict.fromkeys(("measured_allocated_mib", "measured_reserved_mib")),
        **dict.fromkeys(("predicted_mib", "predicted_allocated_mib", "predicted_reserved_mib")),
        **dict.fromkeys(("context_mib", "weights_mib", "composition", "modules")),
        "why": None,
    }


def _predicted(prediction: Prediction, context_mib: int) -> Result:
    return {
        "predicted_mib": rounded(mib(prediction.reserved) + context_mib),
        "predicted_allocated_mib": mib(prediction.allocated),
        "predicted_reserved_mib": mib(prediction.reserved),
        "context_mib": context_mib,
        "weights_mib": mib(prediction.weights),
        "composition": parts(prediction.kinds),
        "modules": parts(prediction.modules),
    }
