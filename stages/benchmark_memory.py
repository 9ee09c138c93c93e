"""What models take: predicted, and where asked for measured: `python -m stages.benchmark_memory`.

Writes data/memory: rows.json, what fits each GPU (gpus.json), and training over depth and length
(training.json).
"""

import sys

import torch

from reformer_seqlen.memory.rows import gpus_result, row_result, training_result
from reformer_seqlen.parameters.common.reading import read_section
from reformer_seqlen.parameters.memory import MemoryStudy
from reformer_seqlen.runtime.files import whole_folder, write_json
from reformer_seqlen.runtime.paths import MEMORY


def main() -> None:
    """Write the results of all rows; one that fails says why and leaves the others alone."""
    study, threads = read_section("memory", MemoryStudy), torch.get_num_threads()
    rows = {}
    for name in study.rows:
        rows[name] = row_result(study, name, threads)
        if rows[name]["why"] is not None:
            print(f"{name}: {rows[name]['why']}", file=sys.stderr)
    with whole_folder(MEMORY) as folder:
        write_json(folder / "rows.json", rows)
        write_json(folder / "gpus.json", gpus_result(study))
        write_json(folder / "training.json", training_result(study))


if __name__ == "__main__":
    from reformer_seqlen.commands.stage import run

    run(main)
