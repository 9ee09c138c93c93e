"""Fine-tune a base model on a run's windows: `python -m stages.finetune RUN`.

Reads data/bases/MODEL, data/tokens/CORPUS-MODEL and data/windows/RUN; writes data/models/RUN,
data/histories/RUN.json and data/timings/finetune/RUN.json. Goes on from its last checkpoint in
work/finetune/RUN if it was interrupted.
"""

import shutil
from pathlib import Path
from typing import Any

from reformer_seqlen.models.causal import draws_hashes, load, parameter_counts
from reformer_seqlen.parameters.common.reading import known, read_section
from reformer_seqlen.parameters.model_options import options_of
from reformer_seqlen.parameters.runs import Run, overridden
from reformer_seqlen.parameters.training import Training
from reformer_seqlen.reformer.model import hash_buckets
from reformer_seqlen.runtime import machine
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
    with work_folder("finetune", name, fingerprint(values, inputs, code)) as work:
        seed(settings.seed)
        key = f"runs.{name}"
        model = load(base, sequence_length=run.sequence_length, options=options, key=key)
        learnt, validation = (load_split(tokens, windows, part) for part in ("train", "validation"))
        trained = train(model, learnt, validation, settings, work)
        with whole_folder(MODELS / name) as folder:
            trained.model.save_pretrained(folder)
            shutil.copytree(TOKENIZERS / run.model, folder, dirs_exist_ok=True)
        record = {
            "run": name,
            "corpus": run.corpus,
            "model": run.model,
            "sequence_length": run.sequence_length,
            "hash_buckets": hash_buckets(model) if draws_hashes(model) else None,
            "parameters": parameter_counts(trained.model),
        }
        write_json(HISTORIES / f"{name}.json", {**record, **trained.history})
        timings = {**trained.timings, **machine.describe()}
        write_json(TIMINGS / "finetune" / f"{name}.json", timings)


def main(name: str) -> None:
    """Fine-tune a run."""
    run = known("runs", read_section("runs", dict[str, Run]), name)
    settings = overridden(read_section("train", Training), run.train, f"runs.{name}.train")
    finetune(name, run, settings, options_of(run))


if __name__ == "__main__":
    from reformer_seqlen.commands.stage import run_each

    run_each(main, "runs")
