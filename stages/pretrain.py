"""Make or fetch a base model and its tokenizer: `python -m stages.pretrain MODEL`.

Writes data/bases/MODEL: config.json, model.safetensors, spiece.model and card.json. A model with
`pretraining` gets a SentencePiece tokenizer and weights trained here on its own text, none of it a
corpus of the study; a model with `checkpoint` is fetched. Writes the tokens of the text that is
trained on to data/base_tokens/MODEL; for a checkpoint there are none.
"""

import shutil
import time
from pathlib import Path

from transformers import PreTrainedModel

from reformer_seqlen.bases.architecture import architecture
from reformer_seqlen.bases.card import card
from reformer_seqlen.bases.gguf import from_gguf
from reformer_seqlen.fetching.fetch import fetch
from reformer_seqlen.models.causal import create, load
from reformer_seqlen.parameters.common.reading import known, read_section
from reformer_seqlen.parameters.model_options import options_for
from reformer_seqlen.parameters.models import Model, Pretraining
from reformer_seqlen.parameters.sources import (
    CheckpointSource,
    declared_mirror,
    describe,
    licence_line,
)
from reformer_seqlen.parameters.tokens import TokenizerKind
from reformer_seqlen.runtime import machine
from reformer_seqlen.runtime.checkpoints import fingerprint, work_folder
from reformer_seqlen.runtime.files import whole_folder, write_json
from reformer_seqlen.runtime.paths import BASE_TOKENS, BASES, TIMINGS, TOKENIZERS
from reformer_seqlen.text.chunking import contiguous, refuse_empty
from reformer_seqlen.text.documents import documents
from reformer_seqlen.text.encoding import write_tokens
from reformer_seqlen.text.splits import Split
from reformer_seqlen.text.splitting import WHOLE, after, byte_shares, document_end, first
from reformer_seqlen.text.stored import copy_text, text_path, write_text
from reformer_seqlen.text.tokenizers import (
    declare_tokenizer,
    load_tokenizer,
    make_tokenizer,
    save_tokenizer,
)
from reformer_seqlen.text.tokens import Tokens, load_tokens
from reformer_seqlen.training.determinism import make_deterministic, seed
from reformer_seqlen.training.trainer import Trained, train

KEY = "pretraining"
"""The base text's place in params.yaml, in a model."""


def prepare_text(
    recipe: Pretraining, tokenizer: TokenizerKind, folder: Path, mirror: str | None
) -> dict[str, Split]:
    """Fetch the base text, make the tokenizer from it, and encode it in `folder`/tokens.

    Returns:
        The splits, in windows of the first phase.
    """
    print(licence_line(recipe.file))
    raw = folder / "raw"
    fetch(recipe.file, raw, mirror=mirror)
    rest = after(documents(raw, recipe.format), recipe.skip_bytes)
    write_text(folder, WHOLE, first(rest, recipe.first_bytes), KEY)
    size = text_path(folder, WHOLE).stat().st_size
    cut = document_end(folder, WHOLE, byte_shares(size, recipe.validation, 0.0)[0])
    copy_text(folder, WHOLE, 0, cut, folder, "train", KEY)
    copy_text(folder, WHOLE, cut, size, folder, "validation", KEY)
    text, coverage = folder / "train.txt", recipe.character_coverage
    make_tokenizer(tokenizer, text, recipe.pieces, folder, coverage)
    target = folder / "tokens"
    target.mkdir(exist_ok=True)
    made = load_tokenizer(folder)
    splits = {}
    for name in ("train", "validation"):
        write_tokens(made, folder, name, target)
        splits[name] = _windows(load_tokens(target, name), name, recipe.sequence_length)
    return splits


def _windows(tokens: Tokens, name: str, length: int) -> Split:
    windows = contiguous(len(tokens), length, every_token=name == "validation")
    refuse_empty(windows, KEY, name, len(tokens), length)
    return Split(tokens, windows, length, "contiguous")


def train_phases(
    model: PreTrainedModel, splits: dict[str, Split], recipe: Pretraining, work: Path
) -> list[Trained]:
    """Train on one length after another; a phase that was finished before is not trained again."""
    done = []
    for number, (length, settings) in enumerate(recipe.trainings()):
        learnt, validation = (
            _windows(splits[name].tokens, name, length) for name in ("train", "validation")
        )
        done.append(train(model, learnt, validation, settings, work / f"phase-{number}"))
    return done


def pretrain(
    name: str, model: Model, recipe: Pretraining, target: Path, mirror: str | None
) -> None:
    """Make a base model from its own text and write it to `target`."""
    make_deterministic(recipe.train.threads)
    mark = fingerprint(model.model_dump(mode="json"), [], Path(__file__))
    with work_folder("pretrain", name, mark) as work:
        text = work / "text"
        shutil.rmtree(text, ignore_errors=True)
        text.mkdir()
        splits = prepare_text(recipe, model.tokenizer, text, mirror)
        seed(recipe.train.seed)
        options = options_for(model.model_type, model.options, f"models.{name}.options")
        fresh = create(architecture(name, model, recipe), options)
        phases = train_phases(fresh, splits, recipe, work)
        trained = phases[-1]
        with whole_folder(target) as folder:
            trained.model.save_pretrained(folder)
            save_tokenizer(text, folder)
            write_json(folder / "history.json", {"phases": [each.history for each in phases]})
            learnt = {
                "tokens_seen": sum(each.history["tokens_seen"] for each in phases),
                "final_training_loss": trained.history["final_training_loss"],
                "validation_loss": trained.history["evaluations"][-1]["validation_loss"],
            }
            write_json(folder / "card.json", card(name, trained.model, {"pretraining": learnt}))
        with whole_folder(BASE_TOKENS / name) as folder:
            shutil.copytree(text / "tokens", folder, dirs_exist_ok=True)
            counts = {split: {"tokens": len(part.tokens)} for split, part in splits.items()}
            write_json(folder / "tokens.json", {"model": name, "splits": counts})
        _write_timings(name, together([each.timings for each in phases]))


def together(timings: list[dict[str, float]]) -> dict[str, float]:
    """The seconds of several trainings, and the rates over all of them."""
    seconds = sum(each["runtime_seconds"] for each in timings)
    rates = [name for name in timings[0] if name != "runtime_seconds"]
    done = {name: sum(each[name] * each["runtime_seconds"] for each in timings) for name in rates}
    return {"runtime_seconds": seconds, **{name: amount / seconds for name, amount in done.items()}}


def fetch_checkpoint(
    name: str, model: Model, source: CheckpointSource, target: Path, mirror: str | None
) -> None:
    """Fetch a published checkpoint and write it, with its card, to `target`."""
    began = time.monotonic()
    print(licence_line(source))
    with whole_folder(target) as folder:
        fetched = fetch(source, folder / "fetched", mirror=mirror)
        _unfold(folder / "fetched", folder, describe(source))
        declare_tokenizer(folder, model.tokenizer)
        key = f"models.{name}"
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
