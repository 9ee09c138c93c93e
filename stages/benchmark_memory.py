"""What models take: predicted, and where asked for measured: `python -m stages.benchmark_memory`.

Writes data/memory: rows.json, what fits each GPU (gpus.json), and training over depth and length
(training.json). What fails says why and leaves the others alone. data/timings/benchmark_memory.json
says how long it took, where and by which code.
"""

import sys
import time
from functools import partial
from typing import Any

import torch
import transformers

from reformer_seqlen.memory import pool
from reformer_seqlen.memory.gpus import gpu_tasks
from reformer_seqlen.memory.rows import (
    PREDICTED_ONLY,
    is_to_be_measured,
    measured_row,
    row_tasks,
)
from reformer_seqlen.memory.training import training_tasks
from reformer_seqlen.parameters.common.reading import read_section
from reformer_seqlen.parameters.memory import MemoryStudy
from reformer_seqlen.runtime import machine
from reformer_seqlen.runtime.errors import StudyError
from reformer_seqlen.runtime.files import whole_folder, write_json
from reformer_seqlen.runtime.paths import MEMORY, TIMINGS

Results = dict[str, dict[str, Any]]


def main() -> None:
    """Predict everything, then measure rows, each time on all cores."""
    began = time.monotonic()
    transformers.logging.set_verbosity_error()
    study = read_section("memory", MemoryStudy)
    predictions = predict_all(study)
    rows = predictions["rows"]
    measure_all(study, rows)
    for name, row in rows.items():
        if row["why"] not in (None, PREDICTED_ONLY):
            print(f"memory.rows.{name}: {row['why']}", file=sys.stderr)
    with whole_folder(MEMORY) as folder:
        write_json(folder / "rows.json", rows)
        write_json(folder / "gpus.json", predictions["fits"])
        write_json(folder / "training.json", list(predictions["training"].values()))
    spent = {"runtime_seconds": time.monotonic() - began}
    write_json(TIMINGS / "benchmark_memory.json", {**spent, **machine.describe()})


def predict_all(study: MemoryStudy) -> dict[str, Results]:
    """What can be predicted of `fits`, `training` and `rows`."""
    tasks = {"fits": gpu_tasks(study), "training": training_tasks(study), "rows": row_tasks(study)}
    named = {(key, name): task for key in tasks for name, task in tasks[key].items()}
    found = pool.run(named, "predicting", torch.get_num_threads())
    predictions: dict[str, Results] = {key: {} for key in tasks}
    for (key, name), result in found.items():
        if isinstance(result, StudyError):
            print(f"memory.{key}.{name}: {result}", file=sys.stderr)
        else:
            predictions[key][name] = result
    return predictions


def measure_all(study: MemoryStudy, rows: Results) -> None:
    """Complete the rows that ask for a measurement.

    Each pass has a process of its own and one thread, so that several run side by side. A GPU
    belongs to one at a time. This process has run no operator, as `memory.measurement` asks.
    """
    at_a_time = torch.get_num_threads() if torch.version.cuda is None else 1
    waiting = [name for name, row in rows.items() if is_to_be_measured(row)]
    tasks = {name: partial(measured_row, study, rows[name]) for name in waiting}
    for name, found in pool.run(tasks, "measuring", at_a_time).items():
        if isinstance(found, StudyError):
            raise found
        rows[name] = found


if __name__ == "__main__":
    from reformer_seqlen.commands.stage import run

    run(main)
