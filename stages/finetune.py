"""Fine-tune a base model on a run's windows: `python -m stages.finetune RUN`.

Reads data/bases/MODEL, data/tokens/CORPUS-MODEL and data/windows/RUN; writes data/models/RUN,
data/histories/RUN.json and data/timings/finetune/RUN.json. Goes on from its last checkpoint in
work/finetune/RUN if it was interrupted. A run of `train: none` gets its base as it is.

`torchrun --standalone --nproc-per-node N -m stages.finetune RUN` trains in N processes, as
`processes: N` does.
"""

import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from reformer_seqlen.models.causal import check_ids, draws_hashes, load, parameter_counts
from reformer_seqlen.parameters.common.reading import known, read_section
from reformer_seqlen.parameters.model_options import options_of
from reformer_seqlen.parameters.runs import Run, overridden
from reformer_seqlen.parameters.training import Training
from reformer_seqlen.reformer.model import hash_buckets
from reformer_seqlen.runtime import machine, processes
from reformer_seqlen.runtime.checkpoints import fingerprint, work_folder
from reformer_seqlen.runtime.files import whole_folder, write_json
from reformer_seqlen.runtime.paths import (
    BASES,
    HISTORIES,
    MODELS,
    TIMINGS,
    TOKENIZERS,
    TOKENS,
    WINDOWS,
)
from reformer_seqlen.text.splits import load_split
from reformer_seqlen.training.determinism import make_deterministic, seed
from reformer_seqlen.training.trainer import train


def finetune(name: str, run: Run, settings: Training, options: dict[str, Any]) -> None:
    """Train a run and write its model, history and timings."""
    base, tokens = BASES / run.model, TOKENS / f"{run.corpus}-{run.model}"
    windows = WINDOWS / name
    make_deterministic(settings.threads)
    inputs = [path for folder in (base, tokens, windows) for path in sorted(folder.iterdir())]
    values = [run.model_dump(), settings.model_dump(), options]
    code = Path(__file__)
    mark = fingerprint(values, inputs, code)
    with (
        processes.joined(settings.processes, "stages.finetune", name),
        work_folder("finetune", name, mark) as work,
    ):
        seed(settings.seed)
        key = f"runs.{name}"
        model = load(base, sequence_length=run.sequence_length, options=options, key=key)
        learnt, validation = (load_split(tokens, windows, part) for part in ("train", "validation"))
        check_ids(model, (split.tokens.ids for split in (learnt, validation)), run.model)
        trained = train(model, learnt, validation, settings, work)
        processes.first_alone()
        _write(name, run, trained.model, trained.history, trained.timings)


def take_base(name: str, run: Run, settings: Training, options: dict[str, Any]) -> None:
    """Write the base as a run's model, with a history of no update and timings without speeds.

    Args:
        name: the run's.
        run: one that is not trained.
        settings: of the section `train`: threads, and the seed of a fresh position table.
        options: of the run's model.
    """
    processes.first_alone()
    make_deterministic(settings.threads)
    seed(settings.seed)
    began = time.monotonic()
    length, key = run.sequence_length, f"runs.{name}"
    model = load(BASES / run.model, sequence_length=length, options=options, key=key)
    history = {"updates": 0, "epochs": 0, "tokens_seen": 0, "steps": [], "evaluations": []}
    _write(name, run, model, history, {"runtime_seconds": time.monotonic() - began})


def _write(
    name: str,
    run: Run,
    model: PreTrainedModel,
    history: Mapping[str, Any],
    timings: Mapping[str, float],
) -> None:
    """Write a run's model with its tokenizer, its history and its timings."""
    with whole_folder(MODELS / name) as folder:
        model.save_pretrained(folder)
        shutil.copytree(TOKENIZERS / run.model, folder, dirs_exist_ok=True)
    record = {
        "run": name,
        "corpus": run.corpus,
        "model": run.model,
        "sequence_length": run.sequence_length,
        "hash_buckets": hash_buckets(model) if draws_hashes(model) else None,
        "parameters": parameter_counts(model),
    }
    write_json(HISTORIES / f"{name}.json", {**record, **history})
    write_json(TIMINGS / "finetune" / f"{name}.json", {**timings, **machine.describe()})


def main(name: str) -> None:
    """Fine-tune a run, or take its base as it is."""
    run = known("runs", read_section("runs", dict[str, Run]), name)
    settings, options = read_section("train", Training), options_of(run)
    if isinstance(run.train, str):
        take_base(name, run, settings, options)
    else:
        finetune(name, run, overridden(settings, run.train, f"runs.{name}.train"), options)


if __name__ == "__main__":
    from reformer_seqlen.commands.stage import run_each

    run_each(main, "runs")
