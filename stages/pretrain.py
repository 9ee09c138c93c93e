"""Make or fetch a base model and its tokenizer: `python -m stages.pretrain MODEL`.

Writes data/bases/MODEL: config.json, model.safetensors, spiece.model and card.json. A model with
`pretraining` gets a SentencePiece tokenizer and weights trained here on its own text, none of it a
corpus of the study; a model with `checkpoint` is fetched.
"""

import io
import shutil
import string
import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import sentencepiece
import torch
from transformers import PreTrainedModel, ReformerConfig

from stages.fetching.fetch import fetch
from stages.reformer.model import (
    configured,
    create_reformer,
    load_reformer,
    parameter_counts,
)
from stages.reformer.published import PUBLISHED_ARCHITECTURE
from stages.study import machine
from stages.study.console import run
from stages.study.errors import StudyError
from stages.study.layout import BASES, TIMINGS
from stages.study.outputs import whole_folder, write_json
from stages.study.params import LENGTH_MULTIPLE, Model, Pretraining, known, load_params
from stages.study.sources import CheckpointSource, licence_line
from stages.text.corpora import cut_points, documents, first, write_text
from stages.text.splits import Split
from stages.text.tokens import load_tokenizer, load_tokens, write_tokens
from stages.text.windows import contiguous, refuse_empty
from stages.training.checkpoints import fingerprint, work_folder
from stages.training.trainer import train


def train_tokenizer(text: Path, pieces: int, target: Path) -> None:
    """Train a lossless SentencePiece BPE model on a text file.

    Nothing is normalised, and every printable ASCII character and the newline are pieces, so that
    only other scripts and signs become unknown: a text full of unknown pieces looks easier than
    it is.

    Raises:
        StudyError: the text does not give that many pieces, or the characters need more.
    """
    printable = string.ascii_letters + string.digits + string.punctuation
    model = io.BytesIO()
    with text.open(encoding="utf-8") as lines:
        try:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=(line.rstrip("\n") for line in lines),
                model_writer=model,
                model_type="bpe",
                vocab_size=pieces,
                character_coverage=1.0,
                required_chars=printable,
                user_defined_symbols=["\n"],
                normalization_rule_name="identity",
                remove_extra_whitespaces=False,
                add_dummy_prefix=False,
                max_sentence_length=text.stat().st_size,
                num_threads=1,
                minloglevel=2,
            )
        except RuntimeError as error:
            reason = str(error).rpartition("] ")[2]
            raise StudyError(
                f"pretraining.pieces: SentencePiece makes no {pieces} pieces of this text: {reason}"
            ) from error
    target.write_bytes(model.getvalue())


def prepare_text(recipe: Pretraining, folder: Path, mirror: str | None) -> dict[str, Split]:
    """Fetch the base text, train the tokenizer on it, and cut its windows."""
    print(licence_line(recipe.file))
    raw = folder / "raw"
    fetch(recipe.file, raw, mirror=mirror)
    whole = list(first(documents(raw, recipe.format), recipe.first_bytes))
    cut, _ = cut_points([len(part) for part in whole], recipe.validation, 0.0)
    write_text(folder, "train", whole[:cut], "pretraining")
    write_text(folder, "validation", whole[cut:], "pretraining")
    train_tokenizer(folder / "train.txt", recipe.pieces, folder / "spiece.model")
    return {
        name: _windows(folder, name, recipe.sequence_length) for name in ("train", "validation")
    }


def _windows(folder: Path, name: str, length: int) -> Split:
    write_tokens(load_tokenizer(folder), folder, name, folder)
    tokens = load_tokens(folder, name)
    windows = contiguous(len(tokens), length, every_token=name == "validation")
    refuse_empty(windows, "pretraining", name, len(tokens), length)
    return Split(tokens, windows, length, "contiguous")


def architecture(name: str, model: Model, recipe: Pretraining) -> ReformerConfig:
    """The published architecture, with what the recipe and the model's options say over it.

    Raises:
        StudyError: the recipe's `architecture` has an unknown name or makes no Reformer.
    """
    key = f"models.{name}.pretraining.architecture"
    unknown = recipe.architecture.keys() - ReformerConfig().to_dict().keys()
    if unknown:
        raise StudyError(
            f"{key}: a Reformer's configuration has no {', '.join(sorted(unknown))};"
            f" published is {', '.join(PUBLISHED_ARCHITECTURE)}"
        )
    try:
        published = {**PUBLISHED_ARCHITECTURE, **recipe.architecture}
        config = configured(
            ReformerConfig(
                **published,
                vocab_size=recipe.pieces,
                axial_pos_embds=model.positions == "axial",
            ),
            key,
            sequence_length=recipe.sequence_length,
            **model.options(),
        )
        with torch.device("meta"):  # only to see whether it builds
            create_reformer(config, model.implementation)
    except Exception as error:  # transformers' checks raise many kinds
        raise StudyError(f"{key} makes no Reformer: {' '.join(str(error).split())}") from error
    return config


def pretrain(
    name: str, model: Model, recipe: Pretraining, target: Path, mirror: str | None
) -> None:
    """Make a base model from its own text and write it to `target`."""
    machine.make_deterministic(recipe.train.threads)
    with work_folder("pretrain", name, fingerprint(model.model_dump(mode="json"), [])) as work:
        text = work / "text"
        shutil.rmtree(text, ignore_errors=True)
        text.mkdir()
        splits = prepare_text(recipe, text, mirror)
        machine.seed(recipe.train.seed)
        fresh = create_reformer(architecture(name, model, recipe), model.implementation)
        trained = train(fresh, splits["train"], splits["validation"], recipe.train, work)
        with whole_folder(target) as folder:
            trained.model.save_pretrained(folder)
            shutil.copyfile(text / "spiece.model", folder / "spiece.model")
            write_json(folder / "history.json", trained.history)
            learnt = {
                "tokens_seen": trained.history["tokens_seen"],
                "final_training_loss": trained.history["final_training_loss"],
                "validation_loss": trained.history["evaluations"][-1]["validation_loss"],
            }
            write_json(folder / "card.json", card(name, trained.model, {"pretraining": learnt}))
        write_json(TIMINGS / f"pretrain-{name}.json", {**trained.timings, **machine.describe()})


def fetch_checkpoint(
    name: str, model: Model, source: CheckpointSource, target: Path, mirror: str | None
) -> None:
    """Fetch a published checkpoint and write it, with its card, to `target`."""
    began = time.monotonic()
    print(licence_line(source))
    with whole_folder(target) as folder:
        fetched = fetch(source, folder / "fetched", mirror=mirror)
        for path in (folder / "fetched").iterdir():
            path.rename(folder / path.name)
        (folder / "fetched").rmdir()
        loaded = load_reformer(folder, sequence_length=LENGTH_MULTIPLE, **model.options())
        write_json(folder / "card.json", card(name, loaded, {"checkpoint": fetched.model_dump()}))
    timings = {"runtime_seconds": time.monotonic() - began}
    write_json(TIMINGS / f"pretrain-{name}.json", {**timings, **machine.describe()})


def card(name: str, model: PreTrainedModel, origin: dict[str, Any]) -> dict[str, Any]:
    """What a model is: its shape, its parameters counted from the weights, where it is from."""
    config = model.config
    return {
        "model": name,
        "parameters": parameter_counts(model),
        "layers": list(config.attn_layers),
        "hidden_size": config.hidden_size,
        "num_attention_heads": config.num_attention_heads,
        "vocabulary": config.vocab_size,
        "pretraining": None,
        "checkpoint": None,
        **origin,
    }


def main() -> None:
    """Make or fetch the model named on the command line."""
    parser = ArgumentParser(prog="python -m stages.pretrain", description=__doc__)
    parser.add_argument("model", help="a key of `models` in params.yaml")
    name = parser.parse_args().model
    params = load_params()
    model, mirror = known("models", params.models, name), params.sources.mirror
    if model.pretraining is not None:
        pretrain(name, model, model.pretraining, BASES / name, mirror)
    elif model.checkpoint is not None:
        fetch_checkpoint(name, model, model.checkpoint, BASES / name, mirror)


if __name__ == "__main__":
    run(main)
