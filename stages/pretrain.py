"""Make or fetch a base model and its tokenizer: `python -m stages.pretrain MODEL`.

Writes data/bases/MODEL: config.json, model.safetensors, card.json and the tokenizer, which goes to
data/tokenizers/MODEL alone, too. A model with `pretraining` gets a tokenizer and weights made here
of its own text, none of it a corpus of the study; the text's tokens go to data/base_tokens/MODEL. A
model with `checkpoint` is fetched, and has none.

`torchrun --standalone --nproc-per-node N -m stages.pretrain MODEL` trains in N processes, as
`processes: N` does.
"""

import shutil
import time
from pathlib import Path
from typing import Any

from reformer_seqlen.bases.architecture import architecture
from reformer_seqlen.bases.card import card
from reformer_seqlen.bases.gguf import from_gguf
from reformer_seqlen.bases.phases import together, train_phases
from reformer_seqlen.bases.text import prepare_text, prepared_text, text_record
from reformer_seqlen.fetching.checks import unchecked
from reformer_seqlen.fetching.fetch import fetch
from reformer_seqlen.models.causal import create, load
from reformer_seqlen.parameters.common.reading import known, read_section
from reformer_seqlen.parameters.model_options import options_for
from reformer_seqlen.parameters.models import Model, Pretraining
from reformer_seqlen.parameters.sources import (
    CheckpointSource,
    PathSource,
    declared_mirror,
    describe,
    licence_line,
)
from reformer_seqlen.parameters.training import Training
from reformer_seqlen.runtime import machine, processes
from reformer_seqlen.runtime.checkpoints import fingerprint, work_folder
from reformer_seqlen.runtime.files import whole_folder, write_json
from reformer_seqlen.runtime.paths import BASE_TOKENS, BASES, TIMINGS, TOKENIZERS
from reformer_seqlen.runtime.ranks import is_first
from reformer_seqlen.text.tokenizers import (
    declare_tokenizer,
    load_tokenizer,
    save_tokenizer,
)
from reformer_seqlen.training.determinism import make_deterministic, seed
from reformer_seqlen.training.together import of_first
from reformer_seqlen.training.trainer import Trained


def pretrain(
    name: str, model: Model, recipe: Pretraining, target: Path, mirror: str | None
) -> None:
    """Make a base model from its own text and write it to `target`."""
    print(licence_line(recipe.file))
    key = f"models.{name}.pretraining"
    began, settings = time.monotonic(), recipe.train or Training()
    make_deterministic(settings.threads)
    own = [Path(recipe.file.path).expanduser()] if isinstance(recipe.file, PathSource) else []
    files = [path for path in own if path.is_file()]
    mark = fingerprint(model.model_dump(mode="json"), files, Path(__file__))
    with (
        processes.joined(settings.processes, "stages.pretrain", name),
        work_folder("pretrain", name, mark) as work,
    ):
        text = work / "text"
        if is_first():
            shutil.rmtree(text, ignore_errors=True)
            text.mkdir()
            prepare_text(recipe, model.tokenizer, text, key, mirror)
        of_first(None)  # the others wait for the text
        tokens = prepared_text(text)
        seed(settings.seed)
        options = options_for(model.model_type, model.options, f"models.{name}.options")
        fresh = create(architecture(name, model, recipe), options)
        phases = train_phases(fresh, tokens, recipe, work, key)
        processes.first_alone()
        with whole_folder(target) as folder:
            fresh.save_pretrained(folder)
            save_tokenizer(text, folder)
            write_json(folder / "history.json", {"phases": [each.history for each in phases]})
            made = {**learnt(phases), "text": text_record(text)}
            write_json(folder / "card.json", card(name, fresh, {"pretraining": made}))
        with whole_folder(BASE_TOKENS / name) as folder:
            shutil.copytree(text / "tokens", folder, dirs_exist_ok=True)
            counts = {split: {"tokens": len(part)} for split, part in tokens.items()}
            write_json(folder / "tokens.json", {"model": name, "splits": counts})
        spent = {"runtime_seconds": time.monotonic() - began}
        _write_timings(name, together(phases) if phases else spent)


def learnt(phases: list[Trained]) -> dict[str, Any]:
    """What a card says of a training: how much was read, and the losses at its end."""
    seen = sum(each.history["tokens_seen"] for each in phases)
    if not phases:
        return {"tokens_seen": seen}
    last = phases[-1].history
    return {
        "tokens_seen": seen,
        "final_training_loss": last["final_training_loss"],
        "validation_loss": last["evaluations"][-1]["validation_loss"],
    }


def fetch_checkpoint(
    name: str, model: Model, source: CheckpointSource, target: Path, mirror: str | None
) -> None:
    """Fetch a published checkpoint and write it, with its card, to `target`."""
    processes.first_alone()
    began = time.monotonic()
    key = f"models.{name}"
    print(licence_line(source))
    for note in unchecked(source, f"{key}.checkpoint"):
        print(note)
    with whole_folder(target) as folder:
        fetched = fetch(source, folder / "fetched", f"{key}.checkpoint", mirror=mirror)
        _unfold(folder / "fetched", folder, describe(source))
        declare_tokenizer(folder, model.tokenizer)
        load_tokenizer(folder)  # refuses one that can't be read
        loaded = load(folder, sequence_length=None, options=model.options, key=key)
        write_json(folder / "card.json", card(name, loaded, {"checkpoint": fetched.model_dump()}))
    with whole_folder(BASE_TOKENS / name) as folder:  # what it was trained on is not at hand
        write_json(folder / "tokens.json", {"model": name, "splits": {}})
    _write_timings(name, {"runtime_seconds": time.monotonic() - began})


def _unfold(fetched: Path, folder: Path, what: str) -> None:
    """Put a checkpoint's files into its folder; a GGUF file is made into them."""
    if fetched.is_file():
        from_gguf(fetched, folder, what)
        fetched.unlink()
        return
    for path in fetched.iterdir():
        path.rename(folder / path.name)
    fetched.rmdir()


def _write_timings(name: str, timings: dict[str, float]) -> None:
    write_json(TIMINGS / "pretrain" / f"{name}.json", {**timings, **machine.describe()})


def main(name: str) -> None:
    """Make or fetch a base model."""
    model = known("models", read_section("models", dict[str, Model]), name)
    mirror = declared_mirror()
    if model.pretraining is not None:
        pretrain(name, model, model.pretraining, BASES / name, mirror)
    elif model.checkpoint is not None:
        fetch_checkpoint(name, model, model.checkpoint, BASES / name, mirror)
    with whole_folder(TOKENIZERS / name) as folder:
        save_tokenizer(BASES / name, folder)


if __name__ == "__main__":
    from reformer_seqlen.commands.stage import run_each

    run_each(main, "models")
