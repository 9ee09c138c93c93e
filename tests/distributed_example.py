"""Small trainings on a real text, in one process or, by torchrun, in several.

`torchrun --standalone --nproc-per-node 2 -m tests.distributed_example FOLDER` trains all of them,
and the first process writes FOLDER/NAME.json, what became of each.
"""

import json
import math
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from reformer_seqlen.parameters.training import Training
from reformer_seqlen.runtime import ranks
from reformer_seqlen.runtime.processes import joined
from reformer_seqlen.scoring.loss import score_batch
from reformer_seqlen.text.chunking import contiguous
from reformer_seqlen.text.splits import Split
from reformer_seqlen.text.tokens import Tokens
from reformer_seqlen.training.determinism import make_deterministic
from reformer_seqlen.training.pacemaker import Pacemaker
from reformer_seqlen.training.trainer import train
from tests.models_example import VOCABULARY, made

LENGTH = 64
BATCH, WINDOWS = 5, 11
"""An update has 5 windows, or the one that is left: of two processes, one then has none."""
UPDATES = 8
NO_DROPOUT = {
    "reformer": {
        f"{part}_dropout_prob": 0.0
        for part in ("hidden", "local_attention_probs", "lsh_attention_probs")
    },
    "gpt2": dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0),
}


def settings(**changes: Any) -> Training:
    """Eight updates, that is nearly three epochs, the validation split scored after each fourth."""
    return Training.model_validate(
        {
            "updates": UPDATES,
            "batch_size": BATCH,
            "optimizer": "adamw",
            "learning_rate": 0.003,
            "evaluations": 2,
            "threads": 1,
            **changes,
        }
    )


ADAFACTOR = settings(optimizer="adafactor")
MUON = settings(optimizer="muon", matrix_learning_rate=0.02)
TRAININGS: dict[str, tuple[str, bool, Training]] = {
    "reformer": ("reformer", False, ADAFACTOR),
    "gpt2": ("gpt2", False, settings()),
    "muon": ("gpt2", False, MUON),
    "bfloat16": ("gpt2", False, settings(precision="bfloat16")),
    "fsdp-gpt2": ("gpt2", False, settings(fsdp=True)),
    "fsdp-reformer": ("reformer", False, settings(fsdp=True)),
    "dropout": ("reformer", True, ADAFACTOR),
    "dropout-again": ("reformer", True, ADAFACTOR),
}
"""By name, a kind of model, whether it drops out, and how it is trained."""


def model(kind: str, drops_out: bool) -> PreTrainedModel:
    """A small model with weights from a fixed seed."""
    changes: dict[str, Any] = {} if drops_out else NO_DROPOUT[kind]
    found: PreTrainedModel = made(kind, **changes)
    return found


def split(first: int, windows: int) -> Split:
    """The bytes of a few articles, from one on, in windows; some bytes share a piece."""
    (path,) = (path for path in files("gensim") or [] if path.name == "lee_background.cor")
    text = path.read_binary()[first : first + windows * LENGTH + 1]
    ids = np.frombuffer(text, np.uint8) % VOCABULARY
    tokens = Tokens(ids, np.ones(len(ids), np.uint8), np.array([0]), np.array([0]))
    return Split(tokens, contiguous(len(ids), LENGTH, every_token=False), LENGTH, "contiguous")


def history(name: str, work: Path) -> dict[str, Any]:
    """Train, from what is in the folder `work`, and say what became of it."""
    kind, drops_out, chosen = TRAININGS[name]
    make_deterministic(chosen.threads)
    trained = train(model(kind, drops_out), split(0, WINDOWS), split(5000, 8), chosen, work)
    weights = sum(float(each.detach().double().abs().sum()) for each in trained.model.parameters())
    return {**trained.history, "weights": weights}


@contextmanager
def after(update: int, act: Any) -> Iterator[None]:
    """Do something to the model at the end of an update."""
    end_of_step = Pacemaker.on_step_end

    def patched(self: Pacemaker, args: Any, state: Any, control: Any, **more: Any) -> None:
        if state.global_step == update:
            act(more["model"])
        end_of_step(self, args, state, control, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Pacemaker, "on_step_end", patched)
        yield


def interrupted(name: str, work: Path, update: int, tells: bool) -> str:
    """Train to the end of an update; return what it ends with.

    Args:
        name: of the training.
        work: its folder.
        update: at whose end it is interrupted.
        tells: whether this is the process that is told to end.
    """
    act = (lambda _: signal.raise_signal(signal.SIGTERM)) if tells else (lambda _: None)
    try:
        with after(update, act):
            history(name, work)
    except KeyboardInterrupt as interrupt:
        return type(interrupt).__name__
    return "its end"


def interrupted_in_an_evaluation(name: str, work: Path) -> str:
    """Train until the second process is told to end in its first batch of validation."""

    def told(*given: Any) -> Any:
        if ranks.rank() == 1:
            signal.raise_signal(signal.SIGINT)
        return score_batch(*given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("reformer_seqlen.training.window_trainer.score_batch", told)
        try:
            history(name, work)
        except KeyboardInterrupt as interrupt:
            return type(interrupt).__name__
    return "its end"


def spoil(model: PreTrainedModel) -> None:
    """Make a weight no number, in the second process alone."""
    if ranks.rank() == 1:
        with torch.no_grad():
            next(model.parameters()).fill_(math.nan)


def main(folder: Path) -> None:
    """Train all of them in this group of processes."""
    own = folder / f"of-{ranks.rank()}"
    own.mkdir()

    def say(name: str, found: object) -> None:
        if ranks.is_first():
            (folder / f"{name}.json").write_text(json.dumps(found), encoding="utf-8")

    with joined(1):
        os.chdir(own)
        for name in TRAININGS:
            say(name, history(name, Path("work") / name))
        stopped = interrupted("reformer", folder / "stopped", 4, tells=ranks.rank() == 1)
        say("stopped", stopped)
        say("went-on", history("reformer", folder / "begun-alone"))
        stopped = interrupted("fsdp-gpt2", folder / "fsdp-stopped", 4, tells=ranks.rank() == 1)
        say("fsdp-stopped", stopped)
        say("fsdp-went-on", history("fsdp-gpt2", folder / "fsdp-begun-alone"))
        say("stopped-scoring", interrupted_in_an_evaluation("gpt2", folder / "scoring"))
        say("went-on-scoring", history("gpt2", folder / "scoring"))
        with after(5, spoil):
            say("spoilt", history("gpt2", folder / "spoilt"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
