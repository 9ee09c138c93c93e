"""What each GPU can do with the models of the rows that `memory.fits` names."""

from functools import partial
from typing import Any

from reformer_seqlen.memory.fit import batches, capacity, length_unit, lengths
from reformer_seqlen.memory.pool import Task
from reformer_seqlen.memory.prediction import trace_inference
from reformer_seqlen.memory.rows import model_of
from reformer_seqlen.models.configurations import check_length, positions_of
from reformer_seqlen.parameters.memory import MemoryStudy


def gpu_tasks(study: MemoryStudy) -> dict[str, Task[dict[str, Any]]]:
    """The search for every row of `fits`, by its name."""
    return {name: partial(gpus_of, study, name) for name in study.fits}


def gpus_of(study: MemoryStudy, name: str) -> dict[str, Any]:
    """For every GPU: whether a row fits, its longest sequence, its largest batch.

    Raises:
        StudyError: the row's model does not run, or cannot be searched.
    """
    row = study.rows[name]
    config, make = model_of(study, name)
    builder = partial(make, config)
    check_length(config, row.sequence_length)
    of_lengths = lengths(config, lambda tokens: trace_inference(builder, row.batch_size, tokens))
    of_batches = batches(lambda count: trace_inference(builder, count, row.sequence_length))
    workspaces = {gpu.cublas_workspace for gpu in study.gpus.values()}
    searches = {size: (of_lengths.on(size), of_batches.on(size)) for size in workspaces}
    gpus = {}
    for gpu_name, gpu in study.gpus.items():
        room = capacity(gpu.memory_mib, gpu.context_mib)
        by_length, by_batch = searches[gpu.cublas_workspace]
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
