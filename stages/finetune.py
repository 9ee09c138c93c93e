"""Fine-tune a base model on a run's windows: `python -m stages.finetune RUN`.

Reads data/bases/MODEL, data/tokens/CORPUS-MODEL and data/windows/RUN; writes data/models/RUN,
data/histories/RUN.json and data/timings/RUN.json. Goes on from its last checkpoint in
work/finetune/RUN if it was interrupted.
"""

import shutil
from argparse import ArgumentParser

from stages.reformer.model import hash_buckets, load_reformer, parameter_counts
from stages.study import machine
from stages.study.console import run
from stages.study.layout import BASES, HISTORIES, MODELS, TIMINGS, TOKENS, WINDOWS
from stages.study.outputs import whole_folder, write_json
from stages.study.params import Params, known, load_params
from stages.text.splits import load_split
from stages.training.checkpoints import fingerprint, work_folder
from stages.training.trainer import train


def finetune(name: str, params: Params) -> None:
    """Train a run and write its model, history and timings."""
    item, settings, attention = params.runs[name], params.training(name), params.attention(name)
    base = BASES / item.model
    machine.make_deterministic(settings.threads)
    inputs = [
        *(path for path in base.iterdir() if path.is_file()),
        *(TOKENS / f"{item.corpus}-{item.model}").glob("*.npy"),
        *(WINDOWS / name).glob("*.npy"),
    ]
    values = [item.model_dump(), settings.model_dump(), attention.model_dump()]
    with work_folder("finetune", name, fingerprint(values, inputs)) as work:
        machine.seed(settings.seed)
        model = load_reformer(base, sequence_length=item.sequence_length, **attention.options())
        learnt, validation = (load_split(name, params, part) for part in ("train", "validation"))
        trained = train(model, learnt, validation, settings, work)
        with whole_folder(MODELS / name) as folder:
            trained.model.save_pretrained(folder)
            shutil.copyfile(base / "spiece.model", folder / "spiece.model")
        record = {
            "run": name,
            "corpus": item.corpus,
            "model": item.model,
            "sequence_length": item.sequence_length,
            "hash_buckets": hash_buckets(trained.model),
            "parameters": parameter_counts(trained.model),
        }
        write_json(HISTORIES / f"{name}.json", {**record, **trained.history})
        write_json(TIMINGS / f"{name}.json", {**trained.timings, **machine.describe()})


def main() -> None:
    """Fine-tune the run named on the command line."""
    parser = ArgumentParser(prog="python -m stages.finetune", description=__doc__)
    parser.add_argument("run", help="a key of `runs` in params.yaml")
    name = parser.parse_args().run
    params = load_params()
    known("runs", params.runs, name)
    finetune(name, params)


if __name__ == "__main__":
    run(main)
