"""A training from its beginning or its last checkpoint to its end: repeatable and resumable."""

import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import save_model
from transformers import PreTrainedModel, TrainerState
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from reformer_seqlen.parameters.training import Training
from reformer_seqlen.runtime import ranks
from reformer_seqlen.runtime.checkpoints import last_complete, mark_complete
from reformer_seqlen.runtime.files import naming, whole_folder
from reformer_seqlen.runtime.interrupts import Interrupts
from reformer_seqlen.runtime.messages import parameters as parameter_messages
from reformer_seqlen.runtime.messages import training as messages
from reformer_seqlen.runtime.updates import UpdateLines
from reformer_seqlen.text.splits import Split
from reformer_seqlen.training import sharding
from reformer_seqlen.training.arguments import arguments
from reformer_seqlen.training.history import speed, summarise
from reformer_seqlen.training.pacemaker import Pacemaker, Progress
from reformer_seqlen.training.together import of_first
from reformer_seqlen.training.window_trainer import (
    INITIAL,
    WEIGHTS,
    WindowData,
    WindowTrainer,
    is_spread,
)


@dataclass(frozen=True)
class Trained:
    """The results of a training."""

    model: PreTrainedModel
    history: dict[str, Any]
    timings: dict[str, float]


def train(
    model: PreTrainedModel,
    train_split: Split,
    validation: Split,
    settings: Training,
    work: Path,
) -> Trained:
    """Train a model on a split's windows, from the last complete checkpoint in `work`, if any.

    Args:
        model: trained in place.
        train_split: to train on.
        validation: to evaluate on now and then.
        settings: optimizer, schedule, batch size and so on.
        work: the folder of checkpoints.

    Returns:
        history: per update and per epoch; losses in nats per piece.
        timings: wall clock of the whole training, evaluations included, as the published study
            and transformers' Trainer count it.
    """
    windows, length = len(train_split.windows), train_split.length
    if ranks.size() > settings.sequences(length):
        raise parameter_messages.fewer_sequences(settings.sequences(length), ranks.size())
    checkpoint, elapsed_seconds = of_first(_begin(model, work) if ranks.is_first() else (None, 0.0))
    updates = settings.updates_on(windows, length)
    due = settings.evaluated_after(windows, length)
    interrupts = Interrupts()
    pacemaker = Pacemaker(settings, due, elapsed_seconds, interrupts)
    trainer = WindowTrainer(
        model=sharding.spread(model) if is_spread(settings) else model,
        args=arguments(model, settings, updates, length, work),
        train_dataset=WindowData(train_split),
        eval_dataset=WindowData(validation),
        validation=validation,
        settings=settings,
        interrupts=interrupts,
        callbacks=[pacemaker],
    )
    trainer.remove_callback(PrinterCallback)
    if not trainer.args.disable_tqdm:
        trainer.remove_callback(ProgressCallback)
        trainer.add_callback(Progress)
    elif ranks.is_first():
        trainer.add_callback(UpdateLines)
    with interrupts.noted(), naming(work):
        _run(trainer, checkpoint, due, elapsed_seconds)
    interrupts.raise_if_asked()
    diverged = None
    if pacemaker.diverged is not None:
        kept = trainer.return_to_good(work)
        if ranks.is_first():
            print(messages.diverged(pacemaker.diverged, kept), file=sys.stderr, flush=True)
        diverged = {name: str(value) for name, value in pacemaker.diverged.items()}
        diverged["model_of"] = kept
        updates = trainer.state.global_step
    if trainer.spread:
        sharding.fill(model, sharding.whole_weights(trainer.model))
    read = min(settings.windows_read(windows, length), updates * settings.sequences(length))
    history = summarise(trainer.state.log_history)
    history["tokens_seen"] = read * length
    if diverged is not None:
        history["diverged_at"] = diverged
    timings = speed(pacemaker.elapsed_seconds, updates, read, history["tokens_seen"])
    return Trained(model, history, timings)


def _begin(model: PreTrainedModel, work: Path) -> tuple[Path | None, float]:
    """The checkpoint to go on from and the seconds until it; without one, keep the weights."""
    checkpoint, elapsed_seconds = last_complete(work)
    if checkpoint is not None:
        print(messages.going_on(checkpoint.name.rpartition("-")[2], elapsed_seconds), flush=True)
    else:
        with whole_folder(work / INITIAL) as folder:
            save_model(model, str(folder / WEIGHTS))
    return checkpoint, elapsed_seconds


def _run(
    trainer: WindowTrainer, checkpoint: Path | None, due: Collection[int], elapsed_seconds: float
) -> None:
    """Train, from a checkpoint if there is one, with the evaluation that it may lack.

    The Trainer itself would do an update too many after a checkpoint of the last one.
    """
    if checkpoint is None:
        trainer.train()
        return
    state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
    done = {entry["step"] for entry in state.log_history if "eval_loss" in entry}
    if state.global_step in due and state.global_step not in done:
        trainer.state = state
        trainer.return_to(checkpoint)
        trainer.evaluate()
        trainer.interrupts.raise_if_asked()
        if ranks.is_first():
            state.save_to_json(str(checkpoint / "trainer_state.json"))
            mark_complete(checkpoint, elapsed_seconds)
        of_first(None)  # the others read it next
    if state.global_step >= state.max_steps:
        trainer.state = state
        trainer.return_to(checkpoint)
    else:
        trainer.train(resume_from_checkpoint=str(checkpoint))
