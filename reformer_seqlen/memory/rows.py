"""The results of `benchmark_memory` as plain objects: a row, and the studies beside the rows."""

import os
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import Any

from reformer_seqlen.memory.allocator import MIB
from reformer_seqlen.memory.fit import batches, capacity, length_unit, lengths
from reformer_seqlen.memory.gpt2_2021 import build_as_in_2021
from reformer_seqlen.memory.measurement import Job, Measurement, measure
from reformer_seqlen.memory.models import (
    Config,
    build,
    check_length,
    configuration,
    positions_of,
    with_depth,
    with_positions,
)
from reformer_seqlen.memory.prediction import (
    Builder,
    Prediction,
    predict,
    stock_reformer,
    trace_inference,
    trace_training,
)
from reformer_seqlen.parameters.memory import Curve, MemoryRow, MemoryStudy
from reformer_seqlen.runtime.errors import StudyError

DIGITS = 3


def mib(size: int) -> float:
    """Bytes as MiB, rounded as every result is."""
    return round(size / MIB, DIGITS)


def parts(sizes: dict[str, int]) -> dict[str, float]:
    """The parts of a sum of bytes, as MiB."""
    return {name: mib(size) for name, size in sizes.items()}


def percent(value: float, reference: float | None) -> float | None:
    """By how much a value is off its reference, in percent of the reference."""
    return None if reference is None else round(100 * (value - reference) / reference, DIGITS)


def model_of(study: MemoryStudy, name: str) -> tuple[Config, Builder]:
    """The configuration of a row's model, and how to make it.

    Raises:
        StudyError: the row asks for what its model does not have.
    """
    row, where = study.rows[name], f"memory.rows.{name}"
    config = configuration(study.models[row.model], f"memory.models.{row.model}")
    config = with_positions(config, row.positions, where)
    if row.allocations == "today":
        return config, partial(build, config)
    if config.model_type != "gpt2":
        raise StudyError(f"{where}: allocations: {row.allocations} is for model_type gpt2")
    return config, partial(build_as_in_2021, config)


def row_result(study: MemoryStudy, name: str, threads: int = 1) -> dict[str, Any]:
    """Predict a row, and measure it if it asks for that; what goes wrong is in `why`.

    Args:
        study: the memory section of params.yaml.
        name: of the row.
        threads: of what is measured (see `reformer_seqlen.memory.measurement.Job`).
    """
    row = study.rows[name]
    result: dict[str, Any] = {
        "row": name,
        **row.model_dump(include={"model", "positions", "allocations"}),
        **row.model_dump(include={"batch_size", "sequence_length"}),
        **dict.fromkeys(("device", "measured_mib", "measured_error_percent")),
        **dict.fromkeys(("measured_allocated_mib", "measured_reserved_mib")),
        **dict.fromkeys(("predicted_mib", "predicted_allocated_mib", "predicted_reserved_mib")),
        **dict.fromkeys(("context_mib", "weights_mib", "composition", "modules")),
        "why": None,
    }
    try:
        config, builder = model_of(study, name)
        result["positions"] = positions_of(config)
        check_length(config, row.sequence_length)
        prediction = predict(trace_inference(builder, row.batch_size, row.sequence_length))
    except StudyError as error:
        return result | {"why": str(error)}
    result |= _predicted(prediction, study.gpus[study.gpu].context_mib)
    return result | _measured(study, row, builder, result["predicted_allocated_mib"], threads)


def _predicted(prediction: Prediction, context_mib: int) -> dict[str, Any]:
    total = round(mib(prediction.reserved) + context_mib, DIGITS)
    return {
        "predicted_mib": total,
        "predicted_allocated_mib": mib(prediction.allocated),
        "predicted_reserved_mib": mib(prediction.reserved),
        "context_mib": context_mib,
        "weights_mib": mib(prediction.weights),
        "composition": parts(prediction.kinds),
        "modules": parts(prediction.modules),
    }


def _measured(
    study: MemoryStudy, row: MemoryRow, builder: Builder, allocated_mib: float, threads: int
) -> dict[str, Any]:
    if not row.measure:
        return {"why": "predicted only"}
    limits = study.limits
    shape = row.batch_size, row.sequence_length
    found = measure(Job(builder, *shape, allocated_mib, limits.mib, limits.seconds, threads))
    return {
        "device": found.device,
        "measured_mib": _rounded(found.mib),
        "measured_allocated_mib": _rounded(found.allocated_mib),
        "measured_reserved_mib": _rounded(found.reserved_mib),
        "measured_error_percent": _prediction_error(found, allocated_mib),
        "why": found.why,
    }


def _prediction_error(found: Measurement, allocated_mib: float) -> float | None:
    """By how much the prediction misses what was in use: resident on a CPU, allocated on a GPU."""
    used = found.mib if found.allocated_mib is None else found.allocated_mib
    return percent(allocated_mib, used)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, DIGITS)


def gpus_result(study: MemoryStudy) -> dict[str, Any]:
    """For the rows that `fits` names: what each GPU can do with the model."""
    return _each(partial(_fits, study), {name: (name,) for name in study.fits})


def _fits(study: MemoryStudy, name: str) -> dict[str, Any]:
    row = study.rows[name]
    config, builder = model_of(study, name)
    check_length(config, row.sequence_length)
    by_length = lengths(config, lambda tokens: trace_inference(builder, row.batch_size, tokens))
    by_batch = batches(lambda count: trace_inference(builder, count, row.sequence_length))
    gpus = {}
    for gpu_name, gpu in study.gpus.items():
        room = capacity(gpu.memory_mib, gpu.context_mib)
        units, most = by_length.largest(room), by_batch.largest(room)
        gpus[gpu_name] = {
            "memory_mib": gpu.memory_mib,
            "context_mib": gpu.context_mib,
            "fits": by_batch.fits(row.batch_size, room),
            "longest_sequence": units * length_unit(config),
            "longest_is_limited_by": "positions" if units == by_length.limit else "memory",
            "largest_batch": most,
        }
    return {
        **row.model_dump(include={"model", "batch_size", "sequence_length", "allocations"}),
        "positions": positions_of(config),
        "gpus": gpus,
    }


def training_result(study: MemoryStudy) -> list[dict[str, Any]]:
    """Training memory of every curve at every depth and length, in that order."""
    training = study.training
    points = {
        f"{name}, {layers} layers, length {length}": (name, layers, length)
        for name in training.curves
        for layers in training.layers
        for length in training.sequence_lengths
    }
    return list(_each(partial(_training_point, study), points).values())


def _each(
    work: Callable[..., dict[str, Any]], asked: Mapping[str, tuple[Any, ...]]
) -> dict[str, Any]:
    """The result for each of `asked`, in a process for each core; one that fails says why."""
    # A fork has everything imported already.
    start = get_context("fork" if sys.platform == "linux" else "spawn")
    found = {}
    with ProcessPoolExecutor(os.cpu_count(), mp_context=start) as pool:
        tasks = {name: pool.submit(work, *arguments) for name, arguments in asked.items()}
        for name, task in tasks.items():
            try:
                found[name] = task.result()
            except StudyError as error:
                print(f"{name}: {error}", file=sys.stderr)
    return found


def _training_point(study: MemoryStudy, name: str, layers: int, length: int) -> dict[str, Any]:
    training = study.training
    curve = training.curves[name]
    trace = trace_training(
        _trainee(study, curve, layers, length),
        training.batch_size,
        length,
        training.optimizer,
        curve.checkpointing,
    )
    prediction = predict(trace)
    return {
        "curve": name,
        "model": curve.model,
        "layers": layers,
        "batch_size": training.batch_size,
        "sequence_length": length,
        "optimizer": training.optimizer,
        "weights_mib": mib(prediction.weights),
        "predicted_allocated_mib": mib(prediction.allocated),
        "predicted_reserved_mib": mib(prediction.reserved),
        "composition": parts(prediction.kinds),
    }


def _trainee(study: MemoryStudy, curve: Curve, layers: int, length: int) -> Builder:
    where = f"memory.models.{curve.model}"
    config = with_depth(configuration(study.models[curve.model], where), layers, length)
    if config.model_type == "reformer":
        return partial(stock_reformer, config, curve.reversible)
    return partial(build, config)
