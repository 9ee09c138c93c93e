"""Part 5: a real training: loss against time, ours and GPT-2, on the same text."""

import io
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

import sentencepiece
import torch
import transformers
from torch import Tensor

from benchmarks.gpu.contestants import Contestant, contestant, synchronise
from benchmarks.gpu.record import Record
from benchmarks.gpu.text import find_text
from benchmarks.training import VOCABULARY

MODELS = ("ours", "gpt2")
PRECISION = "bfloat16"
WARM_UP_UPDATES = 100
LEARNING_RATE = 1e-3
VALIDATION_SHARE = 0.1
FOR_THE_TOKENIZER = 300_000  # characters, of which it learns its pieces
RESERVE_SECONDS = 3.0
"""Of a part's time, for what follows the last model."""


@dataclass(frozen=True)
class Sizes:
    """Of the models, the text and the training."""

    layers: int
    characters: int
    batch_size: int
    length: int
    seconds: float  # of training, for each model
    every: float  # seconds of training from one validation to the next
    validation_batches: int


SIZES = {
    "cuda": Sizes(6, 4_000_000, 16, 2048, seconds=30, every=1.5, validation_batches=2),
    "cpu": Sizes(2, 40_000, 4, 64, seconds=0.5, every=0.25, validation_batches=1),
}


@dataclass(frozen=True)
class Pieces:
    """A text's pieces, and how it was cut into them."""

    train: Tensor
    validation: Tensor
    facts: dict[str, Any]


def run(device: torch.device, record: Record) -> None:
    """Train one model after the other, each for the same time."""
    transformers.logging.set_verbosity_error()
    sizes = SIZES[device.type]
    pieces = load_pieces(sizes.characters)
    record.note("text", pieces.facts)
    record.note("setting", setting(sizes))
    for name in MODELS:
        remaining = (record.seconds_left - RESERVE_SECONDS) / (len(MODELS) - MODELS.index(name))
        seconds = min(sizes.seconds, 0.8 * remaining)  # validation and the start take the rest
        place = {"model": name}
        call = partial(trained, name, pieces, sizes, seconds, device)
        points = record.attempt("curves", place, call)
        if points is not None:
            record.row("curves", {**place, "points": points})


def setting(sizes: Sizes) -> dict[str, Any]:
    """What both are trained with."""
    return {
        "batch_size": sizes.batch_size,
        "sequence_length": sizes.length,
        "precision": PRECISION,
        "optimizer": "adamw",
        "learning_rate": LEARNING_RATE,
        "warmup_updates": WARM_UP_UPDATES,
    }


def lines_of(text: str) -> list[str]:
    r"""Lines as the pipeline has them, each with its newline: one ends at `\n` alone."""
    return io.StringIO(text, newline="\n").readlines()


def load_pieces(characters: int) -> Pieces:
    """A text in pieces of a vocabulary that is learnt from its beginning; its end validates."""
    text, source = find_text(characters)
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=(line.rstrip("\n") for line in lines_of(text[:FOR_THE_TOKENIZER])),
        model_writer=model,
        model_type="bpe",
        vocab_size=VOCABULARY,
        minloglevel=2,
    )
    tokenizer = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    lines = tokenizer.encode(lines_of(text))
    ids = torch.tensor(list(chain.from_iterable(lines)))
    cut = round(len(ids) * (1 - VALIDATION_SHARE))
    facts = {"source": source, "characters": len(text), "pieces": len(ids)}
    return Pieces(ids[:cut], ids[cut:], facts)


def trained(
    name: str, pieces: Pieces, sizes: Sizes, seconds: float, device: torch.device
) -> list[dict[str, Any]]:
    """Train a model for so long: how its loss fell, with time and updates.

    Validation does not count as time, nor does the first update, which warms up.
    """
    made = contestant(name, sizes.layers, sizes.length, device)
    batches = batches_of(pieces.train, sizes, device)
    held = windows(pieces.validation, sizes, device)
    made.train(next(batches), PRECISION)
    points: list[dict[str, Any]] = []
    spent = 0.0
    while spent < seconds:
        losses, begin = [], time.perf_counter()
        while time.perf_counter() - begin < sizes.every:
            learning_rate = LEARNING_RATE * min(1.0, made.updates / WARM_UP_UPDATES)
            made.optimizer.param_groups[0]["lr"] = learning_rate
            losses.append(made.train(next(batches), PRECISION))
            if len(losses) % 8 == 0:
                synchronise(device)  # else the host would run ahead of the time
        training_loss = float(torch.stack(losses).mean())
        spent += time.perf_counter() - begin
        points.append(
            {
                "seconds": round(spent, 3),
                "updates": points[-1]["updates"] + len(losses) if points else len(losses),
                "training_loss": training_loss,
                "validation_loss": validation_loss(made, held),
            }
        )
    return points


def validation_loss(made: Contestant, batches: list[Tensor]) -> float:
    """Mean nats a piece; the count of updates, which draws the hashes, is left as it was."""
    updates = made.updates
    losses = [made.evaluate(ids, PRECISION) for ids in batches]
    made.updates = updates
    return float(torch.stack(losses).mean())


def batches_of(pieces: Tensor, sizes: Sizes, device: torch.device) -> Iterator[Tensor]:
    """Batches (B, L) of windows that begin anywhere; the text is on the device."""
    source = torch.Generator().manual_seed(0)
    pieces = pieces.to(device)
    offsets = torch.arange(sizes.length, device=device)
    while True:
        starts = torch.randint(len(pieces) - sizes.length, (sizes.batch_size, 1), generator=source)
        yield pieces[starts.to(device, non_blocking=True) + offsets]


def windows(pieces: Tensor, sizes: Sizes, device: torch.device) -> list[Tensor]:
    """The first windows of a text, as batches (B, L)."""
    count = sizes.validation_batches * sizes.batch_size
    whole = pieces[: count * sizes.length].view(-1, sizes.batch_size, sizes.length)
    return list(whole.to(device))
